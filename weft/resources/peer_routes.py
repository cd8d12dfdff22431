"""Host routes between the subnets of a routed network: each leads to its peers on other segments by its own gateway.

They are computed when a subnet is read, so that they are in step with the subnets that there are; what the owner of a subnet
wrote himself is stored, and goes before. Rules: facts of the API, behaviours section 16.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Table, select

from weft.registry.resource import Row
from weft.store.schema import json_array

Route = dict[str, str]
"""{"destination": CIDR, "nexthop": address}"""


def peers(subnets: Table) -> ColumnElement[Any]:
    """SQL: the CIDRs of the peers of a subnet, as a JSON array."""
    peer = subnets.alias("peers")
    return (
        select(json_array(peer.c.cidr))
        .where(
            subnets.c.segment_id.is_not(None),
            peer.c.network_id == subnets.c.network_id,
            peer.c.segment_id != subnets.c.segment_id,
            peer.c.ip_version == subnets.c.ip_version,
        )
        .correlate(subnets)
        .scalar_subquery()
    )


def peers_of(row: Row, others: Iterable[Row]) -> list[Row]:
    """Those of the other subnets of its network that are peers of `row`."""
    return [
        one
        for one in others
        if one["segment_id"] not in (None, row["segment_id"])
        and row["segment_id"]
        and one["ip_version"] == row["ip_version"]
    ]


def cidrs(row: Row, others: Iterable[Row]) -> list[str]:
    """What `peers` would find for a subnet that is not stored yet."""
    return [one["cidr"] for one in peers_of(row, others)]


def _computed(row: Row) -> list[Route]:
    gateway = row["gateway_ip"]
    return [{"destination": cidr, "nexthop": gateway} for cidr in sorted(row["_peers"])] if gateway else []


def complete(row: Row) -> list[Route]:
    """The host routes of a subnet: its own, and those to its peers that have none among them."""
    own = row["own_routes"]
    if not row["_peers"]:
        return list(own)
    known = {route["destination"] for route in own}
    return [*own, *(route for route in _computed(row) if route["destination"] not in known)]


def without(row: Row, given: Sequence[Route] | None) -> list[Route]:
    """Of the routes that a client wrote those that are his: clients read all of them and write them back."""
    computed = _computed(row)
    return [route for route in given or () if route not in computed]
