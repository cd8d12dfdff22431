"""Whether a packet between two workloads arrives, judged by the logical model alone: switches, routers, port security, groups.

Small and written apart from the renderers, so that what these tell OVN can be held against it. What lies outside (gateways,
translated addresses) is not judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from weft.logical.model import Acl, HostView, LogicalPort, LogicalRouter, RouterPort

NUMBERS = {"icmp": "icmp", "1": "icmp", "58": "icmp", "icmpv6": "icmp", "ipv6-icmp": "icmp", "6": "tcp", "17": "udp"}
"""Other names of the protocols of packets."""


@dataclass(frozen=True)
class Packet:
    """The first one of a connection. `protocol`: icmp (an echo request), tcp or udp; `number`: its port there."""

    source: str
    target: str
    protocol: str
    number: int = 0

    @property
    def version(self) -> int:
        return 6 if ":" in self.target else 4


def way(view: HostView, source: LogicalPort, target: LogicalPort, packet: Packet) -> str | None:
    """The MAC address that `source` sends to: its neighbour's, or its router's; None where no way leads to `target`."""
    if source.switch == target.switch:
        return target.mac
    for router in view.routers.values():
        near, far = (_leg(router, one.switch, ip) for one, ip in ((source, packet.source), (target, packet.target)))
        if near and far and router.enabled and near.enabled and far.enabled:
            return near.mac
    return None


def _leg(router: LogicalRouter, switch: str, ip: str) -> RouterPort | None:
    """The router's leg on a switch, and in the subnet of that address."""
    for leg in router.ports:
        if leg.switch == switch and any(_within(ip, f"{one.ip}/{one.prefixlen}") for one in leg.addresses):
            return leg
    return None


def arrives(view: HostView, source: LogicalPort, target: LogicalPort, packet: Packet) -> bool:
    """Whether `target` gets what `source` sends on its way. The way is there."""
    return (
        all(one.enabled and view.switches[one.switch].enabled for one in (source, target))
        and _may_claim(source, packet.source)
        and _lets(view, source, "egress", packet)
        and _lets(view, target, "ingress", packet)
    )


def _may_claim(port: LogicalPort, ip: str) -> bool:
    """Whether port security takes that source address, with the port's own MAC address."""
    own = [one.ip for one in port.addresses] + [one.ip for one in port.pairs if one.mac == port.mac]
    return not port.port_security or any(_within(ip, one) for one in own)


def _lets(view: HostView, port: LogicalPort, direction: str, packet: Packet) -> bool:
    """Whether a rule of one of the port's groups allows the packet."""
    if not port.port_security:
        return True
    rules = (rule for group in port.groups for rule in view.groups[group].acls if rule.direction == direction)
    return any(_matches(view, rule, packet) for rule in rules)


def _matches(view: HostView, rule: Acl, packet: Packet) -> bool:
    protocol = NUMBERS.get(rule.protocol or "", rule.protocol)
    first, last = (rule.port_min, rule.port_max)
    if rule.ethertype != f"IPv{packet.version}" or protocol not in (None, packet.protocol):
        return False
    if protocol == "icmp":
        echo = (8 if packet.version == 4 else 128, 0)
        if first not in (None, echo[0]) or last not in (None, echo[1]):
            return False
    elif protocol and first is not None and last is not None and not first <= packet.number <= last:
        return False
    far = packet.source if rule.direction == "ingress" else packet.target
    return any(_within(far, one) for one in _remotes(view, rule))


def _remotes(view: HostView, rule: Acl) -> Iterator[str]:
    if rule.remote_group:
        for port in view.ports.values():
            if rule.remote_group in port.groups:
                yield from (one.ip for one in (*port.addresses, *port.pairs))
    elif rule.remote_addresses:
        yield from view.addresses[rule.remote_addresses].addresses
    else:
        yield rule.remote_prefix or ("0.0.0.0/0" if rule.ethertype == "IPv4" else "::/0")


def _within(ip: str, cidr: str) -> bool:
    network = ip_network(cidr, strict=False)
    return network.version == ip_address(ip).version and ip_address(ip) in network
