"""Ethernet frames with UDP or ICMPv6 in them: taken apart when a workload sent them, put together for it. Pure."""

from __future__ import annotations

import hashlib
import struct
from functools import lru_cache
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import NamedTuple

ETH_IPV4 = 0x0800
ETH_IPV6 = 0x86DD
UDP = 17
ICMPV6 = 58
BROADCAST = b"\xff" * 6
UNSPECIFIED4 = bytes(4)
UNSPECIFIED6 = bytes(16)
ALL_NODES = inet_pton(AF_INET6, "ff02::1")

#: where every network's own services live (metadata, DNS, the identity of the DHCP server); nothing of a subnet
SERVICE4 = "169.254.169.254"
SERVICE6 = "fe80::a9fe:a9fe"
LEAST_IPV6_MTU = 1280
"""Of a link that IPv6 uses (RFC 8200 section 5); the kernel has no IPv6 on smaller ones."""


class Packet(NamedTuple):
    """One UDP datagram or ICMPv6 message on its link. MACs and addresses are packed; ports are 0 for ICMPv6."""

    src_mac: bytes
    dst_mac: bytes
    src: bytes
    dst: bytes
    sport: int
    dport: int
    payload: bytes


def pack_mac(text: str) -> bytes:
    """`fa:16:3e:00:00:01` as six bytes."""
    return bytes.fromhex(text.replace(":", ""))


@lru_cache(maxsize=4096)
def service_mac(network_id: str) -> str:
    """The MAC of a network's service port: the same on every host, so a workload that moves keeps its neighbour entry."""
    return "0a:" + hashlib.sha256(network_id.encode()).digest()[:5].hex(":")


@lru_cache(maxsize=65536)
def link_local(mac: str) -> str:
    """The EUI-64 link-local address of an interface with this MAC (RFC 4291, appendix A)."""
    raw = pack_mac(mac)
    return inet_ntop(AF_INET6, b"\xfe\x80" + bytes(6) + bytes([raw[0] ^ 2]) + raw[1:3] + b"\xff\xfe" + raw[3:])


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _transport_checksum(src: bytes, dst: bytes, protocol: int, segment: bytes) -> int:
    if len(src) == 4:
        pseudo = src + dst + struct.pack("!BBH", 0, protocol, len(segment))
    else:
        pseudo = src + dst + struct.pack("!IHBB", len(segment), 0, 0, protocol)
    return checksum(pseudo + segment)


def parse(frame: bytes) -> Packet | None:
    """The datagram in `frame`; None when it is anything else, a fragment, or shorter than it claims.

    Checksums are not looked at: what a hypervisor's guest sends carries only a partial one (checksum offload).
    """
    if len(frame) < 34:
        return None
    ethertype = frame[12] << 8 | frame[13]
    if ethertype == ETH_IPV4:
        return _parse4(frame)
    if ethertype == ETH_IPV6 and len(frame) >= 62:
        return _parse6(frame)
    return None


def _parse4(frame: bytes) -> Packet | None:
    header = (frame[14] & 15) * 4
    total, fragment = struct.unpack_from("!HxxH", frame, 16)
    start, end = 14 + header, 14 + total
    if (
        frame[14] >> 4 != 4
        or header < 20
        or frame[23] != UDP
        or fragment & 0x3FFF
        or end > len(frame)
        or end < start + 8
    ):
        return None
    sport, dport, length = struct.unpack_from("!HHH", frame, start)
    if length < 8 or start + length > end:
        return None
    return Packet(frame[6:12], frame[:6], frame[26:30], frame[30:34], sport, dport, frame[start + 8 : start + length])


def _parse6(frame: bytes) -> Packet | None:
    length, protocol = struct.unpack_from("!HB", frame, 18)
    end = 54 + length
    if frame[14] >> 4 != 6 or end > len(frame):
        return None
    macs = frame[6:12], frame[:6]
    if protocol == ICMPV6 and length >= 8:
        # RFC 4861, 6.1.1 and 7.1: neighbour discovery that passed a router is forged
        return Packet(*macs, frame[22:38], frame[38:54], 0, 0, frame[54:end]) if frame[21] == 255 else None
    if protocol == UDP and length >= 8:
        sport, dport, size = struct.unpack_from("!HHH", frame, 54)
        if 8 <= size <= length:
            return Packet(*macs, frame[22:38], frame[38:54], sport, dport, frame[62 : 54 + size])
    return None


def udp4(packet: Packet) -> bytes:
    """The frame that carries an IPv4 datagram."""
    length = 8 + len(packet.payload)
    segment = struct.pack("!HHHH", packet.sport, packet.dport, length, 0) + packet.payload
    check = _transport_checksum(packet.src, packet.dst, UDP, segment) or 0xFFFF
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0xC0, 20 + length, 0, 0, 64, UDP, 0, packet.src, packet.dst)
    header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    return b"".join(
        (packet.dst_mac, packet.src_mac, b"\x08\x00", header, segment[:6], struct.pack("!H", check), packet.payload)
    )


def udp6(packet: Packet) -> bytes:
    """The frame that carries an IPv6 datagram."""
    segment = struct.pack("!HHHH", packet.sport, packet.dport, 8 + len(packet.payload), 0) + packet.payload
    check = _transport_checksum(packet.src, packet.dst, UDP, segment) or 0xFFFF
    return _ipv6(packet, UDP, 64, segment[:6] + struct.pack("!H", check) + packet.payload)


def icmp6(packet: Packet) -> bytes:
    """The frame that carries a neighbour discovery message (hop limit 255); its checksum field is filled in."""
    message = packet.payload[:2] + b"\0\0" + packet.payload[4:]
    check = _transport_checksum(packet.src, packet.dst, ICMPV6, message)
    return _ipv6(packet, ICMPV6, 255, message[:2] + struct.pack("!H", check) + message[4:])


def _ipv6(packet: Packet, protocol: int, hops: int, segment: bytes) -> bytes:
    header = struct.pack("!IHBB16s16s", 0x6C000000, len(segment), protocol, hops, packet.src, packet.dst)
    return packet.dst_mac + packet.src_mac + b"\x86\xdd" + header + segment


def pack4(address: str) -> bytes:
    """IPv4 text as four bytes; raises OSError for what is none."""
    return inet_pton(AF_INET, address)


def pack6(address: str) -> bytes:
    """IPv6 text as sixteen bytes; raises OSError for what is none."""
    return inet_pton(AF_INET6, address)
