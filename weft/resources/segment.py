"""Segments: the pieces that a network is made of, each a VLAN, a tunnel id, a whole physical network; one, mostly.

A segment's `slot` is what no two may share: (type, physical network, id). Rules: facts of the API, behaviours sections
1 and 16. Which hosts reach a segment follows from what their agents report: see routed.py.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Integer,
    Select,
    String,
    Table,
    UniqueConstraint,
    bindparam,
    exists,
    false,
    select,
)

from weft import errors
from weft.registry import types as t
from weft.registry.attributes import REQUIRED, UNSET, Attribute, read_only
from weft.registry.resource import Resource, Row
from weft.registry.strategy import Strategy
from weft.resources import segment_types as kinds
from weft.resources import standard
from weft.store.schema import ID, METADATA, Texts, among
from weft.store.transaction import Transaction

SEGMENTS = Table(
    "network_segments",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("network_id", ID, ForeignKey("networks.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", String(255)),
    Column("network_type", String(32), nullable=False),
    Column("physical_network", String(64)),
    Column("segmentation_id", BigInteger),
    Column("position", Integer, nullable=False, default=0),
    Column("slot", String(128)),
    Column("is_dynamic", Boolean, nullable=False, default=False, server_default=false()),
    Column("description", String(1024), nullable=False, default="", server_default=""),
    Column("revision_number", Integer, nullable=False, default=0, server_default="0"),
    Column("created_at", String(20), nullable=False),
    Column("updated_at", String(20), nullable=False),
    UniqueConstraint("slot"),
)
"""`position` orders the segments of a network. `is_dynamic`: a dataplane took it for a port binding of its own (a VLAN
between a host and its switch, say); the network is not made of it."""

ATTRIBUTES = (
    read_only("id", t.uuid, sort=True, primary_key=True),
    Attribute("name", t.name_string_or_none, default=UNSET, sort=True),
    Attribute("network_id", t.uuid, default=REQUIRED, put=False, sort=True),
    Attribute("network_type", t.string(32), default=REQUIRED, put=False, sort=True),
    Attribute("physical_network", t.string(64), default=UNSET, put=False, sort=True),
    Attribute("segmentation_id", t.integer, default=UNSET, put=False, filter=False, sort=True),
    Attribute("project_id", t.project_id, default=REQUIRED, put=False, visible=False, filter=False),
    read_only("tenant_id", t.project_id, visible=False, filter=False),
    *standard.described(),
    *standard.versions(),
)

_draw = random.SystemRandom()
_TAKEN = select(SEGMENTS.c.segmentation_id).where(
    SEGMENTS.c.network_type == bindparam("type"),
    among(SEGMENTS.c.slot, bindparam("slots", type_=Texts)),
)
_ALL_TAKEN = select(SEGMENTS.c.segmentation_id, SEGMENTS.c.physical_network).where(
    SEGMENTS.c.network_type == bindparam("type")
)
_SLOT = select(SEGMENTS.c.id).where(SEGMENTS.c.slot == bindparam("slot"))


class SegmentStrategy(Strategy):
    """Segments. They come with their network, and to it and from it one by one."""

    def prepare(self, tx: Transaction, values: Row) -> None:
        from weft.resources import network

        on = network.load(tx, values["network_id"])
        place = (values.get("physical_network"), values.get("segmentation_id"))
        found = reserve_provider(tx, values["network_type"], *place, on["project_id"])
        most = kinds.mtu(tx.config, found)
        if on["mtu"] > most:
            reason = f"Requested MTU is too big, maximum is {most}; that of the network is {on['mtu']}"
            raise errors.InvalidInput(reason=reason)
        last = max((one["position"] for one in on["_segments"]), default=-1)
        given = {"name": values.get("name"), "description": values["description"], "position": last + 1}
        values.update({**found, **given})

    def settle(self, tx: Transaction, new: Row, old: Row | None) -> None:
        from weft.resources import network

        if old is None:
            tx.touch(network.NETWORK, network.load(tx, new["network_id"]))

    def validate_delete(self, tx: Transaction, row: Row) -> None:
        from weft.resources import port, subnet

        subnets = subnet.ids_of_segment(tx, row["id"])
        if subnets:
            reason = "The segment is still associated with subnet(s) " + ", ".join(subnets)
            raise errors.SegmentInUse(id=row["id"], reason=reason)
        ports = port.ids_bound_to(tx, row)
        if ports:
            raise errors.SegmentInUse(
                id=row["id"], reason="The segment is still bound with port(s) " + ", ".join(ports)
            )

    def settle_delete(self, tx: Transaction, row: Row) -> None:
        from weft.resources import network

        on = tx.find(network.NETWORK, row["network_id"], everybody=True)
        if on is not None:
            tx.touch(network.NETWORK, on)


# Which segments there are to have.


def reserve_provider(
    tx: Transaction, network_type: str | None, physical: str | None, number: int | None, project: str = ""
) -> Row:
    """A segment as an administrator wants it (provider attributes), of a network of `project`. Raises InvalidInput or
    ...InUse."""
    network_type = kinds.checked(tx.config, network_type, physical, number)
    if network_type == "local" or network_type == "flat" or number is not None:
        return _take(tx, network_type, physical, number)
    if network_type == "vlan":
        known = kinds.vlan_ranges(tx.config)
        return _any(tx, "vlan", {physical: known[physical]} if physical else known, project)
    return _any(tx, network_type, {None: kinds.tunnel_ranges(tx.config, network_type)}, project)


def reserve_for_project(tx: Transaction, types: Sequence[str], project: str = "") -> Row:
    """A segment for a network that does not say how it wants to be carried: the first type with something free."""
    for network_type in types:
        try:
            if network_type == "local":
                return _take(tx, "local", None, None)
            if network_type == "vlan":
                return _any(tx, "vlan", kinds.vlan_ranges(tx.config), project)
            if network_type in kinds.TUNNELS:
                return _any(tx, network_type, {None: kinds.tunnel_ranges(tx.config, network_type)}, project)
        except errors.NoNetworkAvailable:
            continue
    raise errors.NoNetworkAvailable()


def _take(tx: Transaction, network_type: str, physical: str | None, number: int | None) -> Row:
    """The segment that was asked for. Raises FlatNetworkInUse, VlanIdInUse, TunnelIdInUse."""
    wanted = kinds.slot(network_type, physical, number)
    if wanted is not None and (wanted in _promised(tx) or tx.first(_SLOT, {"slot": wanted})):
        if network_type == "flat":
            raise errors.FlatNetworkInUse(physical_network=physical)
        if network_type == "vlan":
            raise errors.VlanIdInUse(vlan_id=number, physical_network=physical)
        raise errors.TunnelIdInUse(tunnel_id=number)
    return _promise(tx, network_type, physical, number)


def _promise(tx: Transaction, network_type: str, physical: str | None, number: int | None) -> Row:
    """A segment that is free."""
    wanted = kinds.slot(network_type, physical, number)
    if wanted is not None:
        _promised(tx).add(wanted)
    return {
        "id": str(uuid4()),
        "name": None,
        "description": "",
        "network_type": network_type,
        "physical_network": physical,
        "segmentation_id": number,
        "slot": wanted,
        "is_dynamic": False,
    }


def _promised(tx: Transaction) -> set[str]:
    """Slots that this transaction has taken and not yet written: segments of one network do not take each other's."""
    empty: Callable[[], set[str]] = set
    return tx.once("promised slots", empty)


def _any(tx: Transaction, network_type: str, ranges: kinds.Spans, project: str) -> Row:
    """A free id by lot: out of the ranges kept for the project, else out of `ranges` and what is everybody's besides,
    without what is kept for others."""
    for spans in _in_order(tx, network_type, ranges, project):
        for physical, number in _candidates(tx, network_type, spans):
            return _promise(tx, network_type, physical, number)
    raise errors.NoNetworkAvailable()


def _in_order(tx: Transaction, network_type: str, ranges: kinds.Spans, project: str) -> tuple[kinds.Spans, kinds.Spans]:
    from weft.resources import network_segment_range

    own: dict[str | None, list[tuple[int, int]]] = {}
    shared = {physical: list(spans) for physical, spans in ranges.items()}
    kept: dict[str | None, list[tuple[int, int]]] = {}
    for one in network_segment_range.of_type(tx, network_type):
        physical = one.physical_network or None
        if physical in ranges:
            spans = shared if one.project_id is None else own if one.project_id == project else kept
            spans.setdefault(physical, []).append((one.minimum, one.maximum))
    return own, {physical: kinds.without(spans, kept.get(physical, ())) for physical, spans in shared.items()}


def _candidates(tx: Transaction, network_type: str, ranges: kinds.Spans) -> Iterator[tuple[str | None, int]]:
    for physical, spans in ranges.items():
        if not spans:
            continue
        drawn = list({_draw.randint(*_draw.choice(spans)) for _ in range(16)})
        slots = [kinds.slot(network_type, physical, number) for number in drawn]
        used = {row[0] for row in tx.all(_TAKEN, {"type": network_type, "slots": slots})}
        used |= {number for number in drawn if kinds.slot(network_type, physical, number) in _promised(tx)}
        yield from ((physical, number) for number in drawn if number not in used)
        taken = tx.all(_ALL_TAKEN, {"type": network_type})
        gone = {row.segmentation_id for row in taken if row.physical_network == physical}
        for number in (number for first, last in spans for number in range(first, last + 1)):
            if number not in gone and kinds.slot(network_type, physical, number) not in _promised(tx):
                yield physical, number


# What networks and ports ask of segments.


def write(tx: Transaction, network: Row, segments: Sequence[Row]) -> None:
    """Store the segments of a new network."""
    own = {"network_id": network["id"], "project_id": network["project_id"]}
    tx.insert_many(SEGMENT, [{**one, **own, "position": at} for at, one in enumerate(segments)])


def renumber(tx: Transaction, network_id: str, found: Row) -> None:
    """Give the network's only segment the id of `found`, which `reserve_provider` has found free."""
    for old in tx.list(SEGMENT, SEGMENTS.c.network_id == network_id, SEGMENTS.c.is_dynamic.is_(False)):
        tx.update(SEGMENT, old, {**old, "segmentation_id": found["segmentation_id"], "slot": found["slot"]})


_OF_NETWORK = SEGMENTS.c.network_id == bindparam("of_network")


def all_of(tx: Transaction, network_id: str) -> list[Row]:
    """All segments of a network, dynamic ones too: the database deletes them with it."""
    return tx.list(SEGMENT, _OF_NETWORK, values={"of_network": network_id})


@cache
def _of_network() -> Select[Any]:
    from weft.resources.subnet import SUBNETS  # subnets know their segment; this is the look the other way

    routed = exists().where(SUBNETS.c.segment_id == SEGMENTS.c.id).label("routed")
    mine = select(*SEGMENTS.c, routed).where(SEGMENTS.c.network_id == bindparam("network"), ~SEGMENTS.c.is_dynamic)
    return mine.order_by(SEGMENTS.c.position)


def of_network(tx: Transaction, network_id: str) -> list[Row]:
    """The segments of a network in order, `routed` if they have subnets of their own; remembered for the transaction."""

    def load() -> list[Row]:
        return [dict(one._mapping) for one in tx.all(_of_network(), {"network": network_id})]

    return tx.once(("segments", network_id), load)


SEGMENT = Resource(
    member="segment",
    collection="segments",
    attributes=ATTRIBUTES,
    table=SEGMENTS,
    strategy=SegmentStrategy(),
    not_found=errors.SegmentNotFound,
    extension="segment",
    shims=("standard-attr-segment",),
    internal=("position", "slot", "is_dynamic"),
)
