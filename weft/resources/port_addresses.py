"""The addresses of a port: chosen when it is made, matched with wishes when it changes, reserved in the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from weft.ipam import allocate
from weft.ipam.allocate import ALLOCATIONS
from weft.registry.resource import Row
from weft.resources import routed, subnet
from weft.store.transaction import Transaction


def first(tx: Transaction, values: Row, expected: int) -> list[allocate.Fixed]:
    """What a new port gets: what it asks for, or an address of each IP version. `expected`: how many ports come at once."""
    wanted = values.get("fixed_ips")
    subnets = subnet.of_network(tx, values["network_id"])
    _known_subnets(tx, subnets, wanted or [])
    usable = _usable(tx, subnets, values, wanted)
    values["ip_allocation"] = DEFERRED if usable is None else _state(wanted)
    if usable is None:
        return []
    return allocate.choose(tx, values["network_id"], usable, values, wanted, expected)


def _usable(
    tx: Transaction, subnets: Sequence[Row], port: Row, wanted: Sequence[Mapping[str, Any]] | None
) -> Sequence[Row] | None:
    """The subnets in which the port may have addresses; None: that is not known before it has a host."""
    if any(one["segment_id"] for one in subnets):
        return routed.candidates(tx, subnets, port, wanted)
    return subnets


DEFERRED = "deferred"
"""ip_allocation of a port of a routed network that waits for its host."""


def _state(wanted: Sequence[Mapping[str, Any]] | None) -> str:
    """ip_allocation of a port that need not wait."""
    return "none" if wanted is not None and not wanted else "immediate"


def _known_subnets(tx: Transaction, subnets: Sequence[Row], wanted: Sequence[Mapping[str, Any]]) -> None:
    """Tell a subnet that does not exist (404) from one of another network (400)."""
    here = {one["id"] for one in subnets}
    for wish in wanted:
        if wish.get("subnet_id") and wish["subnet_id"] not in here:
            tx.get(subnet.SUBNET, wish["subnet_id"], everybody=True)


def changed(tx: Transaction, old: Row, changes: Row, new: Row) -> list[allocate.Fixed]:
    """What the port has after a PUT: entries that match keep their address, the rest is released and chosen anew."""
    subnets = subnet.of_network(tx, old["network_id"])
    by_id = {one["id"]: one for one in subnets}
    auto = [f for f in old["fixed_ips"] if f["subnet_id"] in by_id and allocate.is_auto(by_id[f["subnet_id"]])]
    wanted = list(changes["fixed_ips"] or []) if "fixed_ips" in changes else list(old["fixed_ips"])
    _known_subnets(tx, subnets, wanted)
    dropped = {w["subnet_id"] for w in wanted if w.get("delete_subnet")}
    wanted = [w for w in wanted if not w.get("delete_subnet")]
    router = new["device_owner"] in allocate.ROUTER_OWNERS
    if new["mac_address"] != old["mac_address"] and not router:
        moved = {f["subnet_id"] for f in auto}
        wanted = [{"subnet_id": w["subnet_id"]} if w.get("subnet_id") in moved else w for w in wanted]
    kept, asked = _match(old["fixed_ips"], wanted, [] if router else auto, new["mac_address"] != old["mac_address"])
    if not router:
        settled = {f["subnet_id"] for f in kept} | {w.get("subnet_id") for w in asked} | dropped
        asked += [{"subnet_id": f["subnet_id"]} for f in auto if f["subnet_id"] not in settled]
    _refuse_lost_floating(tx, old, kept, asked)
    if "fixed_ips" in changes:
        new["ip_allocation"] = _state(wanted)
    if not asked:
        return kept
    usable = _usable(tx, subnets, new, asked if new["binding:host_id"] else [*kept, *asked])
    return kept + allocate.choose(tx, old["network_id"], usable or [], new, asked)


def follow_host(tx: Transaction, old: Row, changes: Row, new: Row) -> None:
    """The port goes to another host: on a routed network it gets the addresses that waited for one, or has to have such
    as work there. Changes `new` in place."""
    if not new["binding:host_id"]:
        return
    if old["ip_allocation"] == DEFERRED and "fixed_ips" not in changes:
        new["fixed_ips"] = first(tx, {**new, "fixed_ips": None}, 1)
        new["ip_allocation"] = "immediate"
    elif new["fixed_ips"]:
        routed.check_move(tx, new)


def _match(
    old: Sequence[dict[str, str]],
    wanted: Sequence[Mapping[str, Any]],
    auto: Sequence[dict[str, str]],
    mac_changed: bool,
) -> tuple[list[dict[str, str]], list[dict[str, Any]]]:
    """(addresses that stay, entries that need a new one): an entry by address keeps that, an entry by subnet alone keeps an
    old address of that subnet, unless it is one that the host makes from its MAC and the MAC has changed."""
    left = [fixed for fixed in old if not (mac_changed and fixed in auto)]
    kept: list[dict[str, str]] = []
    asked: list[dict[str, Any]] = []

    def take(matching: Any) -> bool:
        for fixed in left:
            if matching(fixed):
                left.remove(fixed)
                kept.append(fixed)
                return True
        return False

    by_address = [wish for wish in wanted if wish.get("ip_address")]
    by_subnet = [wish for wish in wanted if not wish.get("ip_address")]
    for wish in by_address:
        ip, subnet_id = wish["ip_address"], wish.get("subnet_id")
        if not take(lambda f, ip=ip, s=subnet_id: f["ip_address"] == ip and s in (None, f["subnet_id"])):
            asked.append(dict(wish))
    for wish in by_subnet:
        wanted_in = wish.get("subnet_id")
        if not take(lambda f, s=wanted_in: f["subnet_id"] == s):
            asked.append(dict(wish))
    return kept, asked


def _refuse_lost_floating(
    tx: Transaction, old: Row, kept: Sequence[Mapping[str, str]], asked: Sequence[Mapping[str, Any]]
) -> None:
    """A floating IP holds the address that it points at."""
    from weft.resources import floatingip

    stay = {fixed["ip_address"] for fixed in kept} | {wish.get("ip_address") for wish in asked}
    gone = [fixed["ip_address"] for fixed in old["fixed_ips"] if fixed["ip_address"] not in stay]
    if gone:
        floatingip.refuse_loss(tx, old["id"], gone)


def as_set(fixed_ips: Sequence[Mapping[str, str]]) -> set[tuple[str, str]]:
    """{(subnet, address)}: fixed IPs have no order."""
    return {(fixed["subnet_id"], fixed["ip_address"]) for fixed in fixed_ips}


def insert_many(tx: Transaction, many: Sequence[tuple[str, str, str]]) -> None:
    """Reserve addresses: (port, subnet, address) each."""
    if many:
        tx.add(ALLOCATIONS, [{"port_id": p, "subnet_id": s, "ip_address": a} for p, s, a in many])
