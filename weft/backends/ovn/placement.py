"""On which chassis the gateway of a router lives, and which ones stand by (ovn-nb(5): HA_Chassis). Pure.

What runs stays where it is: moving a gateway costs its connections some seconds. So a chassis that comes stands by for
those that have too few, and gets the next new ones; when one goes, the first that stood by is the gateway, as OVN itself
has decided by then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from weft.backends.ovn.chassis import Chassis

MOST = 5
"""Chassis of one gateway: each further one is one more that BFD has to watch."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a gateway needs: the `physical_network` of its external network, '' for any; one of `zones`, () for any; and the
    physical networks of those that live where it does."""

    physical_network: str = ""
    zones: tuple[str, ...] = ()
    also: frozenset[str] = frozenset()


def together(wishes: Sequence[Wish]) -> Wish:
    """What the first of them needs, and the physical networks of the others with it."""
    first, *others = wishes
    return replace(first, also=frozenset(one.physical_network for one in others) - {""})


def candidates(wish: Wish, chassis: Iterable[Chassis]) -> list[Chassis]:
    """Those that could be its gateway. Where no chassis at all is meant for gateways, every one is."""
    chassis = list(chassis)
    meant = [one for one in chassis if one.gateway] or chassis
    return [one for one in meant if _reaches(one, wish) and _in(one, wish)]


def why_none(wish: Wish, chassis: Iterable[Chassis]) -> str:
    """Why there is no candidate, in words for the router's owner; '' where there is one."""
    chassis = list(chassis)
    if candidates(wish, chassis):
        return ""
    if not chassis:
        return "there is no chassis"
    needed = sorted(_needed(wish))
    network = f"physical network{'s' * (len(needed) > 1)} {' and '.join(needed)}"
    if not any(_reaches(one, wish) for one in chassis):
        return f"no chassis has {network}"
    if not any(_reaches(one, wish) and _in(one, wish) for one in chassis):
        where = f"in availability zone {', '.join(wish.zones)}"
        return f"no chassis {where} has {network}" if needed else f"no chassis {where}"
    return f"no chassis with {network} is meant for gateways" if needed else "no chassis is meant for gateways"


def place(
    wishes: Mapping[str, Wish], chassis: Iterable[Chassis], now: Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    """For each gateway the ids of its chassis, first the one it is to live on. `now` is what is, as far as it was decided
    before; what of it still holds is kept in its order."""
    chassis = sorted(chassis, key=lambda one: one.id)
    able = {id: candidates(wish, chassis) for id, wish in wishes.items()}
    kept = {id: _kept(now.get(id, ()), able[id]) for id in wishes}
    load = [Counter(order[rank] for order in kept.values() if len(order) > rank) for rank in range(MOST)]
    for id in sorted(wishes):
        order = kept[id]
        while len(order) < min(MOST, len(able[id])):
            rank = len(order)
            free = [one for one in able[id] if one.id not in order]
            best = min(free, key=lambda one: (not one.alive, load[rank][one.id], _total(load, one.id), one.id))
            order.append(best.id)
            load[rank][best.id] += 1
    return {id: tuple(order) for id, order in kept.items()}


def _kept(order: Sequence[str], able: Sequence[Chassis]) -> list[str]:
    ids = {one.id for one in able}
    return [id for id in dict.fromkeys(order) if id in ids][:MOST]


def _total(load: Sequence[Counter[str]], id: str) -> int:
    return sum(counter[id] for counter in load)


def _reaches(one: Chassis, wish: Wish) -> bool:
    return _needed(wish) <= one.bridge_mappings.keys()


def _needed(wish: Wish) -> frozenset[str]:
    return wish.also | {wish.physical_network} - {""}


def _in(one: Chassis, wish: Wish) -> bool:
    return not wish.zones or bool(set(wish.zones) & set(one.zones))
