"""Router advertisements (RFC 4861, 8106): what a router says on each of its legs. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Network

from weft.backends.linux import frames
from weft.backends.linux.dhcp import name_servers
from weft.backends.linux.dhcp_options import search_list
from weft.config import Api
from weft.logical.model import DhcpOptions, LogicalRouter, LogicalSwitch, RouterPort

SOLICITATION, ADVERTISEMENT = 133, 134
MAX_INTERVAL, MIN_INTERVAL = 600, 198
"""Seconds between unsolicited advertisements (RFC 4861, 6.2.1: defaults)."""

INITIAL_COUNT, INITIAL_INTERVAL = 3, 16
"""How often, and after how many seconds, something new is repeated (RFC 4861, 10)."""

LIFETIME = 3 * MAX_INTERVAL
PREFIX_VALID, PREFIX_PREFERRED = 86400, 14400
"""Seconds; a day instead of the RFC's month, so that a subnet that was deleted is soon forgotten."""

ON_LINK, AUTONOMOUS = 0x80, 0x40
MANAGED, OTHER = 0x80, 0x40


@dataclass(frozen=True, slots=True)
class Advertisement:
    """What one leg says: its MAC, which also gives the link-local source, and the ICMPv6 message."""

    mac: str
    message: bytes

    def frame(self, to_mac: bytes | None = None, to: bytes | None = None) -> bytes:
        """To one host, or to all nodes."""
        if to_mac is None or to is None:
            to_mac, to = b"\x33\x33\x00\x00\x00\x01", frames.ALL_NODES
        source = frames.pack6(frames.link_local(self.mac))
        return frames.icmp6(frames.Packet(frames.pack_mac(self.mac), to_mac, source, to, 0, 0, self.message))

    def farewell(self) -> Advertisement:
        """The same with a router lifetime of zero: no default router any more (RFC 4861, 6.2.5)."""
        return Advertisement(self.mac, self.message[:6] + b"\0\0" + self.message[8:])


def advertisements(switch: LogicalSwitch, routers: Iterable[LogicalRouter], api: Api) -> tuple[Advertisement, ...]:
    """What is said on a network, one for each router leg that has an address in a subnet with ra_mode.

    A network without a router has none: whoever sends them must also route.
    """
    subnets = {subnet.subnet_id: subnet for subnet in switch.subnets if subnet.ip_version == 6 and subnet.ra_mode}
    legs = sorted(
        (
            leg
            for router in routers
            if router.enabled
            for leg in router.ports
            if leg.enabled and leg.switch == switch.id
        ),
        key=lambda leg: leg.mac,
    )
    said = ((leg, [subnets[a.subnet_id] for a in leg.addresses if a.subnet_id in subnets]) for leg in legs)
    return tuple(Advertisement(leg.mac, _message(leg, own, switch, api)) for leg, own in said if own)


def _message(leg: RouterPort, subnets: list[DhcpOptions], switch: LogicalSwitch, api: Api) -> bytes:
    modes = {subnet.ra_mode for subnet in subnets}
    flags = (MANAGED if "dhcpv6-stateful" in modes else 0) | (OTHER if "dhcpv6-stateless" in modes else 0)
    # only that leg offers itself as default router which its subnet names as gateway
    is_gateway = any(subnet.gateway_ip == address.ip for subnet in subnets for address in leg.addresses)
    message = struct.pack("!BBHBBHII", ADVERTISEMENT, 0, 0, 64, flags, LIFETIME if is_gateway else 0, 0, 0)
    message += b"\x01\x01" + frames.pack_mac(leg.mac)
    if switch.mtu >= frames.LEAST_IPV6_MTU:
        message += struct.pack("!BBHI", 5, 1, 0, switch.mtu)
    for subnet in {subnet.cidr: subnet for subnet in subnets}.values():
        network = IPv6Network(subnet.cidr)
        how = ON_LINK if subnet.ra_mode == "dhcpv6-stateful" else ON_LINK | AUTONOMOUS
        message += struct.pack("!BBBBIII", 3, 4, network.prefixlen, how, PREFIX_VALID, PREFIX_PREFERRED, 0)
        message += network.network_address.packed
    servers = list(dict.fromkeys(server for subnet in subnets for server in name_servers(subnet, frames.SERVICE6)))
    if servers:
        message += struct.pack("!BBHI", 25, 1 + 2 * len(servers), 0, LIFETIME)
        message += b"".join(frames.pack6(server) for server in servers)
    return message + _search(api.dns_domain)


def _search(domain: str) -> bytes:
    """The DNSSL option of the installation's domain (RFC 8106, 5.2)."""
    names = search_list(domain.strip("."))
    names += bytes(-len(names) % 8)
    return struct.pack("!BBHI", 31, 1 + len(names) // 8, 0, LIFETIME) + names if names else b""


def is_solicitation(packet: frames.Packet) -> bool:
    """Whether this is a router solicitation that must be answered (RFC 4861, 6.1.1)."""
    message = packet.payload
    if packet.sport or packet.dport or len(packet.src) != 16 or len(message) < 8 or message[:2] != b"\x85\x00":
        return False
    at = 8
    while at < len(message):
        if at + 2 > len(message) or message[at + 1] == 0:
            return False
        if packet.src == frames.UNSPECIFIED6 and message[at] == 1:
            return False
        at += message[at + 1] * 8
    return at == len(message)


def answer(frame: bytes, port_mac: str, said: Iterable[Advertisement]) -> list[bytes]:
    """The frames that answer a router solicitation from a port with this MAC; none for anything else.

    A host without an address yet is answered by multicast, any other by unicast.
    """
    packet = frames.parse(frame)
    mac = frames.pack_mac(port_mac)
    if packet is None or packet.src_mac != mac or not is_solicitation(packet):
        return []
    if packet.src == frames.UNSPECIFIED6:
        return [one.frame() for one in said]
    return [one.frame(mac, packet.src) for one in said]
