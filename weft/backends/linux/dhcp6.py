"""What a host answers to a workload's DHCPv6 (RFC 8415, 3646): a pure function of frame and port.

As in dhcp.py no lease is kept. The server's identity is that of the network, not of the host: a workload that moved to
another host renews there as if nothing had happened.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping

from weft.backends.linux import frames
from weft.backends.linux.dhcp import name_of, name_servers
from weft.backends.linux.dhcp_options import INFINITE, extras, search_list
from weft.config import Api
from weft.logical.model import Address, DhcpOptions, LogicalPort, LogicalSwitch

SERVER_PORT, CLIENT_PORT = 547, 546
SOLICIT, ADVERTISE, REQUEST, CONFIRM, RENEW, REBIND, REPLY, RELEASE, DECLINE = range(1, 10)
INFORMATION_REQUEST = 11
CLIENT_ID, SERVER_ID, IA_NA, IA_TA, IA_ADDRESS, ORO, PREFERENCE = range(1, 8)
STATUS, RAPID_COMMIT, USER_CLASS = 13, 14, 15
DNS_SERVERS, DOMAIN_LIST, IA_PD, REFRESH_TIME = 23, 24, 25, 32
SUCCESS, NO_ADDRESSES, NOT_ON_LINK, NO_PREFIX = 0, 2, 4, 6

Options = Mapping[int, list[bytes]]


def answer(frame: bytes, port: LogicalPort, switch: LogicalSwitch, api: Api) -> bytes | None:
    """The frame that answers `frame` from `port`; None when it is not for us to answer.

    Addresses are given in subnets whose address_mode is dhcpv6-stateful; other configuration also in those where it is
    dhcpv6-stateless. A port with neither gets no answer.
    """
    packet = frames.parse(frame)
    mac = frames.pack_mac(port.mac)
    if packet is None or packet.dport != SERVER_PORT or packet.src_mac != mac or len(packet.src) != 16:
        return None
    subnets = learnable(port, switch)
    asked = parse_options(packet.payload[4:])
    if not subnets or asked is None or packet.src == frames.UNSPECIFIED6:
        return None
    payload = _answer(packet.payload, asked, subnets, port, switch, api)
    if payload is None:
        return None
    source = frames.pack_mac(frames.service_mac(switch.id)), frames.pack6(frames.SERVICE6)
    return frames.udp6(frames.Packet(source[0], mac, source[1], packet.src, SERVER_PORT, CLIENT_PORT, payload))


def learnable(port: LogicalPort, switch: LogicalSwitch) -> list[tuple[Address, DhcpOptions]]:
    """The port's IPv6 addresses with their subnets, where DHCPv6 has something to say about them."""
    if not switch.serves_dhcp:
        return []
    modes = ("dhcpv6-stateful", "dhcpv6-stateless")
    subnets = {
        subnet.subnet_id: subnet
        for subnet in switch.subnets
        if subnet.ip_version == 6 and subnet.enable_dhcp and subnet.address_mode in modes
    }
    return [(address, subnets[address.subnet_id]) for address in port.addresses if address.subnet_id in subnets]


def server_id(network_id: str) -> bytes:
    """The DUID of a network's server (type 4, RFC 6355)."""
    return b"\x00\x04" + hashlib.sha256(network_id.encode()).digest()[:16]


def parse_options(raw: bytes) -> dict[int, list[bytes]] | None:
    """Options by number, each with its occurrences; None for what is cut off."""
    found: dict[int, list[bytes]] = {}
    at = 0
    while at < len(raw):
        if at + 4 > len(raw):
            return None
        number, length = struct.unpack_from("!HH", raw, at)
        if at + 4 + length > len(raw):
            return None
        found.setdefault(number, []).append(raw[at + 4 : at + 4 + length])
        at += 4 + length
    return found


def _option(number: int, value: bytes) -> bytes:
    return struct.pack("!HH", number, len(value)) + value


def _status(code: int, words: str) -> bytes:
    return _option(STATUS, struct.pack("!H", code) + words.encode())


def _is_ours(kind: int, asked: Options, ours: bytes) -> bool:
    """RFC 8415, 16: which messages must name the client, and which must, may or must not name a server."""
    servers = asked.get(SERVER_ID, [])
    if kind == INFORMATION_REQUEST:
        return servers in ([], [ours]) and not {IA_NA, IA_TA, IA_PD} & asked.keys()
    if len(asked.get(CLIENT_ID, [])) != 1:
        return False
    if kind in (REQUEST, RENEW, RELEASE, DECLINE):
        return servers == [ours]
    return kind in (SOLICIT, CONFIRM, REBIND) and not servers


def _answer(
    message: bytes,
    asked: Options,
    subnets: list[tuple[Address, DhcpOptions]],
    port: LogicalPort,
    switch: LogicalSwitch,
    api: Api,
) -> bytes | None:
    kind = message[0]
    ours = server_id(switch.id)
    leases = [frames.pack6(address.ip) for address, subnet in subnets if subnet.address_mode == "dhcpv6-stateful"]
    if not _is_ours(kind, asked, ours) or (not leases and kind != INFORMATION_REQUEST):
        return None
    reply = REPLY
    body = _option(SERVER_ID, ours) + b"".join(_option(CLIENT_ID, client) for client in asked.get(CLIENT_ID, [])[:1])
    if kind in (RELEASE, DECLINE):
        body += _status(SUCCESS, "the address stays with the port")
    elif kind == CONFIRM:
        named = [address for association in asked.get(IA_NA, []) for address in _addresses(association)]
        if not named:
            return None
        fits = all(address in leases for address in named)
        body += _status(SUCCESS, "yours") if fits else _status(NOT_ON_LINK, "not an address of this port")
    else:
        if kind == SOLICIT and RAPID_COMMIT in asked:
            body += _option(RAPID_COMMIT, b"")
        elif kind == SOLICIT:
            reply = ADVERTISE
            body += _option(PREFERENCE, b"\xff")
        body += _associations(asked, leases, api.dhcp_lease_duration)
        body += _configuration(kind, asked, subnets, port, api)
    return bytes([reply]) + message[1:4] + body


def _addresses(association: bytes) -> list[bytes]:
    """The addresses that a client named in an IA_NA."""
    inner = parse_options(association[12:]) or {}
    return [value[:16] for value in inner.get(IA_ADDRESS, []) if len(value) >= 24]


def _associations(asked: Options, leases: list[bytes], duration: int) -> bytes:
    """An answer to each identity association: the port has one set of addresses, so the first IA_NA has it."""
    lifetime = INFINITE if duration < 0 else duration
    times = (INFINITE, INFINITE) if duration < 0 else (duration // 2, duration * 4 // 5)
    raw = b""
    for index, association in enumerate(value for value in asked.get(IA_NA, []) if len(value) >= 12):
        if index:
            inner = _status(NO_ADDRESSES, "this port has no more addresses")
        else:
            inner = b"".join(
                _option(IA_ADDRESS, address + struct.pack("!II", lifetime, lifetime)) for address in leases
            )
            gone = [address for address in _addresses(association) if address not in leases]
            # a lifetime of zero: RFC 8415, 18.3.4, take it off the interface
            inner += b"".join(_option(IA_ADDRESS, address + bytes(8)) for address in gone[:8])
        raw += _option(IA_NA, association[:4] + struct.pack("!II", *times) + inner)
    for association in asked.get(IA_TA, []):
        raw += _option(IA_TA, association[:4] + _status(NO_ADDRESSES, "no temporary addresses here"))
    for association in asked.get(IA_PD, []):
        raw += _option(IA_PD, association[:4] + bytes(8) + _status(NO_PREFIX, "no prefixes here"))
    return raw


def _configuration(
    kind: int, asked: Options, subnets: list[tuple[Address, DhcpOptions]], port: LogicalPort, api: Api
) -> bytes:
    """Name servers and the like, as far as the client asked for them, and the port's own options in any case."""
    requested = asked.get(ORO)
    wants = None if requested is None else {number for raw in requested for number in _numbers(raw)}
    servers = dict.fromkeys(server for _, subnet in subnets for server in name_servers(subnet, frames.SERVICE6))
    _, domain = name_of(port, subnets[0][0].ip, api)
    values = {
        DNS_SERVERS: b"".join(frames.pack6(server) for server in servers),
        DOMAIN_LIST: search_list(domain),
    }
    if kind == INFORMATION_REQUEST:
        duration = api.dhcp_lease_duration
        values[REFRESH_TIME] = struct.pack("!I", INFINITE if duration < 0 else max(600, duration))
    sent = {number: value for number, value in values.items() if wants is None or number in wants}
    sent |= extras(port, 6, _tags(asked))
    return b"".join(_option(number, value) for number, value in sent.items() if value)


def _tags(asked: Options) -> frozenset[str]:
    """Conditions that the client fulfils, in the spelling of boot services."""
    classes: Iterable[bytes] = asked.get(USER_CLASS, [])
    return frozenset({"ipxe", "ipxe6"}) if any(b"iPXE" in value for value in classes) else frozenset()


def _numbers(raw: bytes) -> tuple[int, ...]:
    return struct.unpack(f"!{len(raw) // 2}H", raw[: len(raw) // 2 * 2])
