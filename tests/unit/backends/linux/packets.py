"""Packets as workloads send them, made by hand, and values of a small network that they are sent in."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any

from weft.backends.linux import frames
from weft.config import Api
from weft.logical.model import Address, DhcpOptions, LogicalPort, LogicalSwitch, Route

MAC = "fa:16:3e:00:00:05"
NETWORK = "6f3d1d6e-7a38-4c1b-9f0e-5d6b8b3f0a11"
PORT = "0c8a1b1e-57f5-4ac2-8a4b-1f6f0d3c9e22"
API = Api(host="here", dhcp_lease_duration=86400)
V4 = DhcpOptions("s4", 4, "10.0.0.0/24", "10.0.0.1", True, ("198.18.0.53",), (Route("10.9.0.0/16", "10.0.0.7"),))
V6 = DhcpOptions("s6", 6, "fd00:1::/64", "fd00:1::1", True, ra_mode="dhcpv6-stateful", address_mode="dhcpv6-stateful")


def switch(*subnets: DhcpOptions, **changes: Any) -> LogicalSwitch:
    return replace(LogicalSwitch(NETWORK, "net", "project", 1450, (), subnets or (V4, V6)), **changes)


def port(**changes: Any) -> LogicalPort:
    own = LogicalPort(
        PORT,
        NETWORK,
        MAC,
        addresses=(Address("10.0.0.5", 24, "s4"), Address("fd00:1::5", 64, "s6")),
        dns=(("10.0.0.5", "vm", "vm.example.org."), ("fd00:1::5", "vm", "vm.example.org.")),
    )
    return replace(own, **changes)


def option(number: int, value: bytes) -> bytes:
    return bytes([number, len(value)]) + value


def dhcp(
    kind: int,
    options: bytes = b"",
    *,
    ciaddr: str = "0.0.0.0",
    giaddr: str = "0.0.0.0",
    broadcast: bool = False,
    mac: str = MAC,
    chaddr: str = "",
    xid: bytes = b"\1\2\3\4",
) -> bytes:
    """A client's DHCPv4 frame."""
    pack = frames.pack4
    body = b"\x01\x01\x06\x00" + xid + b"\0\0" + (b"\x80\0" if broadcast else b"\0\0")
    body += pack(ciaddr) + bytes(8) + pack(giaddr) + frames.pack_mac(chaddr or mac).ljust(16, b"\0") + bytes(192)
    body += b"\x63\x82\x53\x63" + option(53, bytes([kind])) + options + b"\xff"
    source, to = pack(ciaddr), pack("255.255.255.255")
    return frames.udp4(frames.Packet(frames.pack_mac(mac), frames.BROADCAST, source, to, 68, 67, body))


class Reply4:
    """A server's DHCPv4 frame, taken apart again (and its checksums proven)."""

    def __init__(self, frame: bytes | None) -> None:
        assert frame is not None
        packet = frames.parse(frame)
        assert packet is not None
        assert frames.checksum(frame[14:34]) == 0
        udp = frame[34:]
        assert frames.checksum(frame[26:34] + struct.pack("!BBH", 0, 17, len(udp)) + udp) == 0
        self.packet = packet
        body = packet.payload
        self.xid, self.yiaddr, self.ciaddr, self.siaddr = body[4:8], body[16:20], body[12:16], body[20:24]
        self.sname, self.file = body[44:108].rstrip(b"\0"), body[108:236].rstrip(b"\0")
        self.options: dict[int, bytes] = {}
        rest = body[240:]
        while rest[0] != 255:
            number, length = rest[0], rest[1]
            self.options[number] = self.options.get(number, b"") + rest[2 : 2 + length]
            rest = rest[2 + length :]
        self.kind = self.options[53][0]


def option6(number: int, value: bytes) -> bytes:
    return struct.pack("!HH", number, len(value)) + value


DUID = option6(1, b"\0\1\0\1client")


def dhcp6(kind: int, options: bytes = DUID, mac: str = MAC) -> bytes:
    """A client's DHCPv6 frame."""
    source, to = frames.pack6(frames.link_local(mac)), frames.pack6("ff02::1:2")
    body = bytes([kind]) + b"\7\7\7" + options
    return frames.udp6(frames.Packet(frames.pack_mac(mac), b"\x33\x33\x00\x01\x00\x02", source, to, 546, 547, body))


def ia_na(*addresses: str) -> bytes:
    inner = b"".join(option6(5, frames.pack6(address) + bytes(8)) for address in addresses)
    return option6(3, b"\0\0\0\1" + bytes(8) + inner)


class Reply6:
    """A server's DHCPv6 frame, taken apart again (and its checksum proven)."""

    def __init__(self, frame: bytes | None) -> None:
        assert frame is not None
        packet = frames.parse(frame)
        assert packet is not None
        segment = frame[54:]
        assert frames.checksum(frame[22:54] + struct.pack("!IHBB", len(segment), 0, 0, 17) + segment) == 0
        self.packet = packet
        self.kind, self.xid = packet.payload[0], packet.payload[1:4]
        self.options = split6(packet.payload[4:])

    def addresses(self) -> list[tuple[bytes, int, int]]:
        """(address, preferred, valid) of the first IA_NA."""
        inner = split6(self.options[3][0][12:])
        return [(value[:16], *struct.unpack("!II", value[16:24])) for value in inner.get(5, [])]


def split6(raw: bytes) -> dict[int, list[bytes]]:
    found: dict[int, list[bytes]] = {}
    while raw:
        number, length = struct.unpack_from("!HH", raw)
        assert len(raw) >= 4 + length
        found.setdefault(number, []).append(raw[4 : 4 + length])
        raw = raw[4 + length :]
    return found


def solicitation(source: str, mac: str = MAC, options: bytes = b"") -> bytes:
    """A router solicitation."""
    to = frames.pack6("ff02::2")
    message = b"\x85\0\0\0" + bytes(4) + options
    return frames.icmp6(
        frames.Packet(frames.pack_mac(mac), b"\x33\x33\0\0\0\2", frames.pack6(source), to, 0, 0, message)
    )
