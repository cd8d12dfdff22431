"""Where the gateways of all routers live: what placement.py decides, from what the databases say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from weft.backends.ovn import lives, placement
from weft.backends.ovn.chassis import Chassis
from weft.backends.ovn.delta import Replica
from weft.backends.ovn.rows import Ref
from weft.logical.model import HostView

Places = Mapping[str, Sequence[str]]


class Hosts(Protocol):
    """Who knows the chassis."""

    def wait(self, seconds: float) -> bool:
        """Whether they are known."""

    def chassis(self) -> Iterable[Chassis]:
        """All of them."""


def decide(view: HostView, outside: Iterable[str], hosts: Hosts, replica: Replica, before: Places) -> Places:
    """For every gateway, and every port of `outside` (those that no chassis has a device for), its chassis, first the one
    that it is to live on. Of what is not remembered the database tells; as long as no chassis is known, nothing is changed.
    """
    wishes = {
        gateway.id: _wish(gateway.switch, view, value.zone_hints)
        for value in view.routers.values()
        for gateway in value.gateways
    }
    wishes |= {lives.EXTERNAL + id: _wish(view.ports[id].switch, view, ()) for id in outside if id in view.ports}
    now = {id: before.get(id) or _there(id, replica) for id in wishes}
    if not wishes or not hosts.wait(0.0 if before else 5.0):
        return now
    return placement.place(wishes, hosts.chassis(), now)


def _wish(switch: str, view: HostView, zones: tuple[str, ...]) -> placement.Wish:
    on = view.switches.get(switch)
    physical = [one.physical_network for one in on.segments if one.physical_network] if on else []
    return placement.Wish(physical[0] if physical else "", zones)


def _there(id: str, replica: Replica) -> list[str]:
    """What the database says, the highest priority first."""
    group = replica.find(lives.group(id))
    refs = group.value("ha_chassis") if group else ()
    found = [replica.find(ref) for ref in refs if isinstance(ref, Ref)]
    rows = sorted((one for one in found if one), key=lambda one: -int(one.value("priority")))
    return [str(one.value("chassis_name")) for one in rows]
