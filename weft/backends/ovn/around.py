"""What the row of one object says of others, and so which others change with it: kept by what changed. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from weft.backends.ovn.paired import Paired
from weft.backends.ovn.port import Around, outside
from weft.backends.ovn.render import EVERYWHERE
from weft.logical.model import HostView, Key, LogicalPort, LogicalRouter, LogicalSwitch, PortGroup, Value

_Place = tuple[str, str]  # (network, address)


class Neighbours:
    """Who refers to whom. `move` is told of every value that comes, changes or goes."""

    def __init__(self) -> None:
        self._on: dict[str, set[str]] = {}  # network -> ports
        self._takers: dict[_Place, set[str]] = {}  # address -> ports that may take it
        self._takable: dict[_Place, str] = {}  # address -> the unbound port that has it
        self._fips: dict[str, str] = {}  # port -> floating IP
        self.outside: set[str] = set()
        """Ports that no chassis has a device for."""
        self._elsewhere: set[str] = set()  # ports of other dataplanes' hosts
        self.paired = Paired()

    @classmethod
    def of(cls, view: HostView) -> Neighbours:
        found = cls()
        for group in view.groups.values():
            found.paired.refer(group.id, group)
        for port in view.ports.values():
            found._put(port)
            found.paired.put(port.id, port)
        for router in view.routers.values():
            found._fips.update(_fips(router))
        return found

    def around(self, port: LogicalPort, chassis: Sequence[str] = ()) -> Around:
        parents: tuple[str, ...] = ()
        if not port.host and port.addresses and self._takers:
            parents = tuple(sorted(self._takers.get((port.switch, port.addresses[0].ip), set()) - {port.id}))
        return Around(self._fips.get(port.id, ""), parents, tuple(chassis))

    def move(self, old: Value | None, new: Value | None) -> set[Key]:
        """Take the change in; returns what else may have different rows now."""
        value = new or old
        if isinstance(value, LogicalPort):
            groups = self.paired.put(value.id, new if isinstance(new, LogicalPort) else None)
            return self._move_port(old, new) | {Key("group", id) for id in groups}
        if isinstance(value, PortGroup):
            self.paired.refer(value.id, new if isinstance(new, PortGroup) else None)
        if isinstance(value, LogicalRouter):
            return self._move_router(old, new)
        if isinstance(value, LogicalSwitch):
            return self._move_switch(old, new)
        return set()

    def _move_port(self, old: Value | None, new: Value | None) -> set[Key]:
        touched: set[_Place] = set()
        alone = not self._elsewhere
        if isinstance(old, LogicalPort):
            self._take(old)
            touched |= set(_pairs(old))
        if isinstance(new, LogicalPort):
            self._put(new)
            touched |= set(_pairs(new))
        found = {Key("port", self._takable[place]) for place in touched if place in self._takable}
        return found if alone == (not self._elsewhere) else found | {EVERYWHERE}

    def _move_router(self, old: Value | None, new: Value | None) -> set[Key]:
        before = _fips(old) if isinstance(old, LogicalRouter) else {}
        after = _fips(new) if isinstance(new, LogicalRouter) else {}
        for port in before:
            self._fips.pop(port, None)
        self._fips.update(after)
        return {Key("port", id) for id in before.keys() | after.keys() if before.get(id) != after.get(id)}

    def _move_switch(self, old: Value | None, new: Value | None) -> set[Key]:
        if isinstance(old, LogicalSwitch) and isinstance(new, LogicalSwitch) and _seen(old) != _seen(new):
            return {Key("port", id) for id in self._on.get(new.id, ())}
        return set()

    def _put(self, port: LogicalPort) -> None:
        self._on.setdefault(port.switch, set()).add(port.id)
        if outside(port):
            self.outside.add(port.id)
        if port.elsewhere:
            self._elsewhere.add(port.id)
        for place in _pairs(port):
            self._takers.setdefault(place, set()).add(port.id)
        if not port.host and port.addresses:
            self._takable[port.switch, port.addresses[0].ip] = port.id

    def _take(self, port: LogicalPort) -> None:
        on = self._on.get(port.switch, set())
        on.discard(port.id)
        self.outside.discard(port.id)
        self._elsewhere.discard(port.id)
        if not on:
            self._on.pop(port.switch, None)
        for place in _pairs(port):
            takers = self._takers.get(place, set())
            takers.discard(port.id)
            if not takers:
                self._takers.pop(place, None)
        if not port.host and port.addresses:
            self._takable.pop((port.switch, port.addresses[0].ip), None)


def _pairs(port: LogicalPort) -> Iterator[_Place]:
    for pair in port.pairs:
        yield port.switch, pair.ip.removesuffix("/32").removesuffix("/128")


def _fips(router: LogicalRouter) -> dict[str, str]:
    return {nat.logical_port: nat.external_ip for nat in router.nats if nat.logical_port}


def _seen(switch: LogicalSwitch) -> object:
    """What rows of its ports say of a network."""
    return switch.enabled, switch.mtu, switch.subnets
