"""Established connections that the rules of today would not let begin: found, and forgotten by conntrack (ctnetlink).

A packet of an established connection is not asked for permission again; so when a permission goes, those connections that
lived by it must go too, and no others.
"""

from __future__ import annotations

import errno
import ipaddress
import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from weft.backends.linux import acl, firewall, names, netlink
from weft.backends.linux.acl import Flow, IPAddress, Network
from weft.backends.linux.firewall import Firewall
from weft.backends.linux.netlink import Message, attr, be16, nest, unpack
from weft.backends.linux.pipeline import METADATA
from weft.backends.linux.sources import sources
from weft.logical.model import Acl, HostView, Key, LogicalPort

_GET, _DELETE = (1 << 8) | 1, (1 << 8) | 2
_TUPLE_ORIG, _ID, _ZONE = 1, 12, 18
_WHAT = {1: (5, 6), 58: (8, 9)}  # attributes of type and code of ICMP; other protocols have ports, or nothing
_DHCP_PORTS = {(68, 67), (546, 547)}


@dataclass(frozen=True, slots=True)
class Connection:
    """One conntrack entry, as its first packet went. `a`, `b`: ports, or ICMP type and code. `handle`: how the kernel knows it."""

    zone: int
    protocol: int
    source: IPAddress
    destination: IPAddress
    a: int
    b: int
    handle: bytes = b""


@dataclass(slots=True)
class _Addresses:
    """Answers whether an address is in a group, at the cost of its CIDRs only."""

    single: set[IPAddress] = field(default_factory=set)
    networks: list[Network] = field(default_factory=list)

    def add(self, network: Network) -> None:
        if network.prefixlen == network.max_prefixlen:
            self.single.add(network.network_address)
        else:
            self.networks.append(network)

    def __contains__(self, address: object) -> bool:
        return address in self.single or any(address in network for network in self.networks)


def _addresses(texts: Iterable[str]) -> _Addresses:
    found = _Addresses()
    for text in texts:
        found.add(ipaddress.ip_network(text, strict=False))
    return found


def _networks(port: LogicalPort) -> list[Network]:
    return [network for _, networks in sources(port) for network in networks]


def _affected(view: HostView, scope: Collection[Key]) -> set[str]:
    """The ports that a change of these keys concerns, also those that are gone."""
    of: dict[str, set[str]] = {}
    for key in scope:
        of.setdefault(key.kind, set()).add(key.id)
    remotes = of.get("addresses", set())
    groups = of.get("group", set()) | {
        group.id for group in view.groups.values() if any(firewall.remote_of(rule) in remotes for rule in group.acls)
    }
    switches = of.get("switch", set())
    return of.get("port", set()) | {
        port.id for port in view.ports.values() if port.switch in switches or not groups.isdisjoint(port.groups)
    }


class Judge:
    """Which connections may go on, by the rules of a view. Pure.

    `zones`: only connections in these are asked about. `ports`: only these have a say (None: all of the view).
    `gone`: (zone, network) that a port had and has no more; `ended`: zones whose network is gone.
    """

    def __init__(
        self,
        view: HostView,
        zones: Mapping[str, int],
        ports: Collection[str] | None = None,
        gone: Iterable[tuple[int, Network]] = (),
        ended: Collection[int] = (),
    ) -> None:
        self._view = view
        self._members: dict[str, _Addresses] = {}
        self._by_address: dict[tuple[int, IPAddress], list[LogicalPort]] = {}
        self._by_network: dict[int, list[tuple[Network, LogicalPort]]] = {}
        self._gone: dict[int, _Addresses] = {}
        self._ended = frozenset(ended)
        for zone, network in gone:
            self._gone.setdefault(zone, _Addresses()).add(network)
        chosen = [port for port in view.ports.values() if ports is None or port.id in ports]
        zoned = ((port, zones.get(names.bridge(port.switch))) for port in chosen)
        self._unread = [(port, zone) for port, zone in zoned if zone is not None]
        self.zones = {*ended, *self._gone, *(zone for _, zone in self._unread)}

    @classmethod
    def after(
        cls,
        view: HostView,
        old: Firewall,
        new: Firewall,
        before: Mapping[str, LogicalPort],
        scope: Collection[Key] | None,
    ) -> Judge:
        """The judge of a change from `old` to `new`. `before`: the ports as they were; `scope`: what changed (None: all)."""
        affected = None if scope is None else _affected(view, scope)
        gone = []
        for id, port in before.items():
            if affected is not None and id not in affected:
                continue
            bridge = names.bridge(port.switch)
            kept = (
                set(_networks(view.ports[id])) if id in view.ports and view.ports[id].switch == port.switch else set()
            )
            if bridge in old.zones.of:
                gone += [(old.zones.of[bridge], network) for network in _networks(port) if network not in kept]
        ended = set(old.zones.of.values()) - set(new.zones.of.values())
        return cls(view, new.zones.of, affected, gone, ended)

    def _index(self, port: LogicalPort, zone: int) -> None:
        for network in _networks(port):
            if network.prefixlen == network.max_prefixlen:
                self._by_address.setdefault((zone, network.network_address), []).append(port)
            else:
                self._by_network.setdefault(zone, []).append((network, port))

    def may_go_on(self, connection: Connection) -> bool:
        """False if one of the ports that it begins or ends at would refuse its first packet today."""
        while self._unread:  # not before somebody asks: most changes find no connection at all
            self._index(*self._unread.pop())
        if connection.zone in self._ended:
            return False
        ends: tuple[tuple[Literal["ingress", "egress"], IPAddress, IPAddress], ...] = (
            ("egress", connection.source, connection.destination),
            ("ingress", connection.destination, connection.source),
        )
        for direction, own, remote in ends:
            flow = Flow(direction, own.version, connection.protocol, remote, connection.a, connection.b)
            ports = self._ports(connection.zone, own)
            if ports and not any(self._permits(port, flow) for port in ports):
                return False
            if not ports and own in self._gone.get(connection.zone, ()):
                return False
        return True

    def _ports(self, zone: int, address: IPAddress) -> list[LogicalPort]:
        ports = self._by_address.get((zone, address), [])
        return ports + [port for network, port in self._by_network.get(zone, ()) if address in network]

    def _permits(self, port: LogicalPort, flow: Flow) -> bool:
        if not firewall.passes(self._view, port):
            return False
        if not port.port_security or not firewall.stateful(self._view, port.groups) or _always(flow):
            return True
        groups = (self._view.groups[id] for id in port.groups if id in self._view.groups)
        return any(_says_yes(rule, flow, self._is_member) for group in groups for rule in group.acls)

    def _is_member(self, group: str, address: IPAddress) -> bool:
        if group not in self._members:
            addresses = self._view.addresses.get(group)
            self._members[group] = _addresses(addresses.addresses if addresses else ())
        return address in self._members[group]


def _says_yes(rule: Acl, flow: Flow, is_member: Callable[[str, IPAddress], bool]) -> bool:
    try:
        return acl.allows(rule, flow, is_member)
    except ValueError:
        return False  # it is not in the rule set either


def _always(flow: Flow) -> bool:
    if flow.protocol == 17 and ((flow.a, flow.b) in _DHCP_PORTS or (flow.b, flow.a) in _DHCP_PORTS):
        return True
    if str(flow.remote) != METADATA[flow.version]:
        return False
    return flow.direction == "ingress" or (flow.protocol, flow.b) in {(6, 80), (6, 53), (17, 53)}


def end(conntrack: netlink.Socket, zones: Collection[int], may_go_on: Callable[[Connection], bool]) -> int:
    """Forget the connections in these zones that may not go on; how many there were."""
    # the kernel walks its whole table for every dump, so more than one is never cheaper
    found = _dump(conntrack, next(iter(zones)) if len(zones) == 1 else None)
    doomed = [c for c in found if c.zone in zones and not may_go_on(c)]
    answers = conntrack.talk([Message(_DELETE, c.handle) for c in doomed])
    for answer in answers:
        if answer.error and answer.error.errno != errno.ENOENT:
            raise answer.error
    return len(doomed)


def _dump(conntrack: netlink.Socket, only: int | None) -> Iterator[Connection]:
    """All connections; of a kernel that can choose (from 6.8 on) those of one zone."""
    choice = b"" if only is None else be16(_ZONE, only)
    for body in conntrack.dump(Message(_GET, struct.pack(">BBH", 0, 0, 0) + choice)):
        values = unpack(body, 4)
        tuple_ = unpack(values[_TUPLE_ORIG])
        ip, proto = unpack(tuple_[1]), unpack(tuple_[2])
        source, destination = (ip[1], ip[2]) if 1 in ip else (ip[3], ip[4])
        zone, protocol = values.get(_ZONE, b"\0\0"), proto[1][0]
        a, b = (int.from_bytes(proto.get(kind, b""), "big") for kind in _WHAT.get(protocol, (2, 3)))
        yield Connection(
            int.from_bytes(zone, "big"),
            protocol,
            ipaddress.ip_address(source),
            ipaddress.ip_address(destination),
            a,
            b,
            body[:4] + nest(_TUPLE_ORIG, values[_TUPLE_ORIG]) + attr(_ZONE, zone) + attr(_ID, values[_ID]),
        )
