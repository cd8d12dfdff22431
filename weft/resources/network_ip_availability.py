"""IP availability: how many addresses a network has, and how many of them ports hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network
from typing import Any

from sqlalchemy import ColumnElement, case, exists, func, or_, select

from weft import errors
from weft.ipam import ranges
from weft.ipam.allocate import ALLOCATIONS
from weft.registry import types as t
from weft.registry.attributes import read_only
from weft.registry.resource import Resource, Row
from weft.registry.strategy import Filter, Strategy
from weft.resources.network import NETWORKS
from weft.resources.subnet import SUBNETS
from weft.store.rows import PIECE
from weft.store.transaction import Transaction

ALIAS, DETAILS = "network-ip-availability", "network-ip-availability-details"

ATTRIBUTES = (
    read_only("network_id", t.uuid, sort=True, primary_key=True, extension=ALIAS, column="id"),
    read_only("network_name", t.name_string, extension=ALIAS, column="name"),
    read_only("project_id", t.project_id, extension=ALIAS),
    read_only("tenant_id", t.project_id, extension=ALIAS),
    read_only("total_ips", t.integer, filter=False, extension=ALIAS),
    read_only("used_ips", t.integer, filter=False, extension=ALIAS),
    read_only("subnet_ip_availability", t.anything, filter=False, extension=ALIAS),
    read_only("ip_version", t.enum(4, 6), visible=False, extension=ALIAS),
    read_only("ip_availability_details", t.anything, filter=False, extension=DETAILS),
)

COUNTS = ("used_ips", "total_ips")
FINER_COUNTS = (
    "total_ips_in_subnet",
    "total_ips_in_allocation_pool",
    "used_ips_in_subnet",
    "used_ips_in_allocation_pool",
)
MOST_IDS = 5000
"""Ids in one statement; databases limit its parameters."""

_VERSIONS = "ip versions of availability"
_EVERY = "availability of every network"
_used = func.count(ALLOCATIONS.c.ip_address)
_edge = or_(
    ALLOCATIONS.c.ip_address == SUBNETS.c.gateway_ip,
    SUBNETS.c.cidr.like(ALLOCATIONS.c.ip_address + "/%"),
)
_edges_used = func.count(case((_edge, 1)))
"""Ports at the gateway's address and at the network's own: what pools that nobody asked for leave out."""

_COUNTED = (
    select(
        SUBNETS.c.network_id,
        SUBNETS.c.id,
        SUBNETS.c.name,
        SUBNETS.c.ip_version,
        SUBNETS.c.cidr,
        SUBNETS.c.gateway_ip,
        SUBNETS.c.allocation_pools,
        _used.label("used"),
        _edges_used.label("edges_used"),
    )
    .outerjoin(ALLOCATIONS, ALLOCATIONS.c.subnet_id == SUBNETS.c.id)
    .group_by(SUBNETS.c.id)
    .order_by(SUBNETS.c.ip_version, SUBNETS.c.cidr)
)


class AvailabilityStrategy(Strategy):
    """A view of networks; see behaviours section 23 of the API's facts."""

    def columns(self) -> Mapping[str, ColumnElement[Any]]:
        return {"id": NETWORKS.c.id}

    def filters(self) -> Mapping[str, Filter]:
        return {"ip_version": _with_version}

    def view_many(self, tx: Transaction, rows: list[Row]) -> None:
        versions: frozenset[int] = tx.once(_VERSIONS, frozenset)
        every: dict[str, list[Row]] = tx.once(_EVERY, dict)
        if len(rows) >= PIECE and not every:
            every.update(_subnets(tx, None, versions))  # a long list: its other pieces need them too
        found = every or _subnets(tx, [row["id"] for row in rows], versions)
        for row in rows:
            row["subnet_ip_availability"] = subnets = found.get(row["id"], [])
            row.update({name: sum(one[name] for one in subnets) for name in COUNTS})
            details = [one["ip_availability_details"] for one in subnets]
            row["ip_availability_details"] = {name: sum(one[name] for one in details) for name in FINER_COUNTS}


def _with_version(tx: Transaction, values: Sequence[Any]) -> ColumnElement[bool]:
    """Networks with subnets of these IP versions; no others of their subnets count."""
    tx.once(_VERSIONS, lambda: frozenset(values))
    return exists().where(SUBNETS.c.network_id == NETWORKS.c.id, SUBNETS.c.ip_version.in_(list(values)))


def _portions(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), MOST_IDS):
        yield ids[start : start + MOST_IDS]


def _subnets(tx: Transaction, networks: Sequence[str] | None, versions: frozenset[int]) -> dict[str, list[Row]]:
    """Network -> its subnets as the API shows them here; None: of all networks."""
    found = [one for one in _counted(tx, networks) if not versions or one.ip_version in versions]
    inside = _used_inside(tx, found)
    result: dict[str, list[Row]] = {}
    for one in found:
        result.setdefault(one.network_id, []).append(_subnet(one, inside[one.id]))
    return result


def _counted(tx: Transaction, networks: Sequence[str] | None) -> Sequence[Any]:
    """The subnets of the networks, with how many of their addresses are used."""
    if networks is None:
        return tx.all(_COUNTED)
    return [one for ids in _portions(networks) for one in tx.all(_COUNTED.where(SUBNETS.c.network_id.in_(ids)))]


def _used_inside(tx: Transaction, subnets: Sequence[Any]) -> dict[str, int]:
    """Subnet -> used addresses in its allocation pools.

    The pools that a subnet has by default hold everything but its edges. Of others the addresses themselves are read.
    """
    inside: dict[str, int] = {}
    pools: dict[str, list[ranges.Range]] = {}
    for one in subnets:
        if _has_default_pools(one):
            inside[one.id] = one.used - one.edges_used
        else:
            inside[one.id] = 0
            pools[one.id] = ranges.as_ranges(one.allocation_pools)
    columns = (ALLOCATIONS.c.subnet_id, ALLOCATIONS.c.ip_address)
    for ids in _portions(list(pools)):
        for row in tx.all(select(*columns).where(ALLOCATIONS.c.subnet_id.in_(ids))):
            value = ranges.number(row.ip_address)
            inside[row.subnet_id] += any(first <= value <= last for first, last in pools[row.subnet_id])
    return inside


def _has_default_pools(one: Any) -> bool:
    has_edges = ip_network(one.cidr).num_addresses > 2
    return has_edges and one.allocation_pools == ranges.default_pools(one.cidr, one.gateway_ip)


def _subnet(one: Any, used_inside: int) -> Row:
    in_pools = ranges.size(ranges.as_ranges(one.allocation_pools))
    return {
        "subnet_id": one.id,
        "subnet_name": one.name,
        "ip_version": one.ip_version,
        "cidr": one.cidr,
        "used_ips": one.used,
        "total_ips": in_pools or ip_network(one.cidr).num_addresses,
        "ip_availability_details": {
            "total_ips_in_subnet": _hosts(one.cidr),
            "total_ips_in_allocation_pool": in_pools,
            "used_ips_in_subnet": one.used,
            "used_ips_in_allocation_pool": used_inside,
        },
    }


def _hosts(cidr: str) -> int:
    """Addresses in the subnet, without those of an IPv4 network and its broadcast."""
    network = ip_network(cidr)
    return network.num_addresses - (2 if network.version == 4 and network.prefixlen <= 30 else 0)


NETWORK_IP_AVAILABILITY: Resource = Resource(
    member="network_ip_availability",
    collection="network-ip-availabilities",
    attributes=ATTRIBUTES,
    table=NETWORKS,
    strategy=AvailabilityStrategy(),
    not_found=errors.NetworkNotFound,
    operations=frozenset({"list", "show"}),
    extension=ALIAS,
)
