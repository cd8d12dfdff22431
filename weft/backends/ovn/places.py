"""Where the gateways of all routers live: what placement.py decides, from what the databases say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from weft.backends.ovn import lives, placement, router, rows
from weft.backends.ovn.chassis import Chassis
from weft.backends.ovn.delta import Replica
from weft.backends.ovn.rows import Ref
from weft.config import Config
from weft.logical.model import HostView, LogicalRouter

Places = Mapping[str, Sequence[str]]


class Hosts(Protocol):
    """Who knows the chassis."""

    def wait(self, seconds: float) -> bool:
        """Whether they are known."""

    def chassis(self) -> Iterable[Chassis]:
        """All of them."""


def decide(
    view: HostView, outside: Iterable[str], hosts: Hosts, replica: Replica, before: Places, config: Config
) -> Places:
    """For every gateway, and every port of `outside` (those that no chassis has a device for), its chassis, first the one
    that it is to live on. Of what is not remembered the database tells; as long as no chassis is known, nothing is changed.
    """
    outside = [id for id in outside if id in view.ports]
    tied = _tied(view, outside, config)
    wishes = {
        gateway.id: _wish(gateway.switch, view, value.zone_hints)
        for value in view.routers.values()
        for gateway in value.gateways
    }
    wishes |= {lives.EXTERNAL + id: _wish(view.ports[id].switch, view, ()) for id in outside if id not in tied}
    found: Places = {id: before.get(id) or _there(id, replica) for id in wishes}
    if wishes and hosts.wait(0.0 if before else 5.0):
        chassis = list(hosts.chassis())
        led = _led(view, wishes, chassis)
        alone = {id: wish for id, wish in wishes.items() if id not in led}
        found = placement.place(alone, chassis, found)
        found = {**found, **{id: found[first] for id, first in led.items()}}
    return {**found, **{lives.EXTERNAL + id: found[gateway] for id, gateway in tied.items()}}


def _tied(view: HostView, outside: Iterable[str], config: Config) -> dict[str, str]:
    """Port -> the gateway that it has to live with: where a leg answers at the place of its router's gateway alone, that host
    hears only those whom it serves itself."""
    at: dict[str, str] = {}
    for _, value in sorted(view.routers.items()):
        for leg in value.ports:
            if value.gateway and router.resides(value, view.switches.get(leg.switch), config):
                at.setdefault(leg.switch, value.gateway.id)
    return {id: at[view.ports[id].switch] for id in outside if view.ports[id].switch in at}


def _led(view: HostView, wishes: dict[str, placement.Wish], chassis: Sequence[Chassis]) -> dict[str, str]:
    """Gateway -> the one that it lives with: of a router that forwards ports by several, all with the first.

    ovn-northd 23.03 lets a router's load balancers act where one of its gateways lives (`lead`). Where no chassis has all of
    their networks, each lives by itself, and what another one forwards is lost. Has the first ask for what all need, in
    `wishes`.
    """
    found: dict[str, str] = {}
    for value in view.routers.values():
        if not value.forwardings or len(value.gateways) < 2:
            continue
        first, *others = (gateway.id for gateway in value.gateways)
        together = placement.together([wishes[id] for id in (first, *others)])
        if placement.candidates(together, chassis):
            wishes[first] = together
            found |= dict.fromkeys(others, first)
    return found


def lead(router: LogicalRouter, replica: Replica) -> str:
    """The gateway where ovn-northd (23.03) has the router's ports forwarded: of several the one whose row has the lowest
    UUID, since it takes the first of the router's ports. '' where all are alike, or not all have a row."""
    if not router.forwardings or len(router.gateways) < 2:
        return ""
    found = {one.id: replica.find(Ref("Logical_Router_Port", rows.leg(one.id))) for one in router.gateways}
    uuids = {one.uuid: id for id, one in found.items() if one is not None}
    return uuids[min(uuids)] if len(uuids) == len(found) else ""


def _wish(switch: str, view: HostView, zones: tuple[str, ...]) -> placement.Wish:
    on = view.switches.get(switch)
    physical = [one.physical_network for one in on.segments if one.physical_network] if on else []
    return placement.Wish(physical[0] if physical else "", zones)


def _there(id: str, replica: Replica) -> list[str]:
    """What the database says, the highest priority first."""
    group = replica.find(lives.group(id))
    refs = group.value("ha_chassis") if group else ()
    found = [replica.find(ref) for ref in refs if isinstance(ref, Ref)]
    ordered = sorted((one for one in found if one), key=lambda one: -int(one.value("priority")))
    return [str(one.value("chassis_name")) for one in ordered]
