"""Allowed address pairs of the members of security groups, which ovn-northd does not count among a group's addresses. Pure.

Where a group has such members, the pairs' addresses are in sets of ours, and each rule that names the group as its remote has
a second row for them. Groups without, which is nearly all, have the set that northd keeps and no more: a rule that named two
sets at once would be worked out anew by ovn-controller with every member that comes or goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network

from weft.logical.model import LogicalPort, PortGroup

Said = Mapping[tuple[str, int], frozenset[str]]
"""(group, IP version) -> addresses and CIDRs of its members' pairs, of those that have any."""
NONE: Said = {}


class Paired:
    """Which pairs' addresses each group has, by which ports, and whose rules name the group; kept by what changed."""

    def __init__(self) -> None:
        self._of_port: dict[str, frozenset[tuple[str, str]]] = {}  # port -> (group, address)
        self._users: dict[str, dict[str, set[str]]] = {}  # group -> address -> ports
        self._names: dict[str, frozenset[str]] = {}  # group -> groups that its rules name
        self._named: dict[str, set[str]] = {}  # group -> groups whose rules name it

    def put(self, id: str, port: LogicalPort | None) -> set[str]:
        """The port is this now; returns the groups whose rows are different."""
        was, now = self._of_port.pop(id, frozenset()), _pairs(port) if port else frozenset()
        if now:
            self._of_port[id] = now
        groups = {group for group, _ in was ^ now}
        before = {group: self._sets(group) for group in groups}
        for group, address in was - now:
            users = self._users[group]
            users[address].discard(id)
            if not users[address]:
                del users[address]
            if not users:
                del self._users[group]
        for group, address in now - was:
            self._users.setdefault(group, {}).setdefault(address, set()).add(id)
        touched = set()
        for group in groups:
            after = self._sets(group)
            if before[group] != after:
                touched.add(group)
            if before[group].keys() != after.keys():
                touched |= self._named.get(group, set())
        return touched

    def refer(self, id: str, group: PortGroup | None) -> None:
        """The rules of the group are these now."""
        now = frozenset(rule.remote_group for rule in group.acls if rule.remote_group) if group else frozenset()
        for remote in self._names.pop(id, frozenset()) - now:
            self._named[remote].discard(id)
            if not self._named[remote]:
                del self._named[remote]
        for remote in now:
            self._named.setdefault(remote, set()).add(id)
        if now:
            self._names[id] = now

    def around(self, group: PortGroup) -> Said:
        """What the rows of the group depend on: its own members' pairs, and those of the groups that its rules name."""
        concerned = {group.id} | self._names.get(group.id, frozenset())
        return {(id, version): found for id in concerned for version, found in self._sets(id).items()}

    def _sets(self, group: str) -> dict[int, frozenset[str]]:
        found: dict[int, set[str]] = {}
        for address in self._users.get(group, ()):
            found.setdefault(6 if ":" in address else 4, set()).add(address)
        return {version: frozenset(addresses) for version, addresses in found.items()}


def _pairs(port: LogicalPort) -> frozenset[tuple[str, str]]:
    groups = port.groups if port.port_security else ()
    return frozenset((group, one) for group in groups for pair in port.pairs for one in _plain(pair.ip))


def _plain(address: str) -> list[str]:
    """As an address set takes it: without bits of the host, everything as two halves."""
    network = ip_network(address, strict=False)
    if not network.prefixlen:
        return [str(half) for half in network.subnets()]
    return [str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)]
