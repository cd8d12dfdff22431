"""Network segment ranges: which VLAN tags and tunnel ids networks get, for everybody or kept for one project."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Boolean, Column, String, Table, bindparam, select

from weft import errors
from weft.config import Config
from weft.registry import types as t
from weft.registry.attributes import REQUIRED, UNSET, Attribute, read_only
from weft.registry.resource import Resource, Row
from weft.registry.strategy import Strategy
from weft.resources import segment, standard
from weft.resources import segment_types as kinds
from weft.resources.network import NETWORKS
from weft.store.schema import ID, METADATA, PROJECT
from weft.store.schema import standard as standard_columns
from weft.store.transaction import Transaction

RANGES = Table(
    "network_segment_ranges",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("project_id", PROJECT, index=True),
    Column("name", String(255), nullable=False),
    Column("default", Boolean, nullable=False),
    Column("shared", Boolean, nullable=False),
    Column("network_type", String(32), nullable=False),
    Column("physical_network", String(64), nullable=False),
    Column("minimum", BigInteger, nullable=False),
    Column("maximum", BigInteger, nullable=False),
    *standard_columns(),
)

ALIAS = "network-segment-range"
RANGED = ("vlan", "vxlan", "gre", "geneve")
_NUMBER = t.integer_between(1, 2**32 - 1)
_SEGMENTS = segment.SEGMENTS.c

ATTRIBUTES = (
    read_only("id", t.uuid, sort=True, primary_key=True),
    Attribute("name", t.name_string, default="", sort=True),
    read_only("default", t.boolean, filter=False),
    Attribute("shared", t.boolean, default=True, put=False, filter=False),
    *standard.project(),
    Attribute("network_type", t.enum(*RANGED), default=UNSET, put=False),
    Attribute("physical_network", t.string(64), default=UNSET, put=False),
    Attribute("minimum", _NUMBER, default=REQUIRED, filter=False),
    Attribute("maximum", _NUMBER, default=REQUIRED, filter=False),
    read_only("used", t.anything, filter=False),
    read_only("available", t.anything, filter=False),
    *standard.stamps(),
)


class Range(NamedTuple):
    """What the configuration gives to everybody."""

    network_type: str
    physical_network: str
    minimum: int
    maximum: int


def configured(config: Config) -> Iterator[Range]:
    """The default ranges."""
    for physical, spans in kinds.vlan_ranges(config).items():
        yield from (Range("vlan", physical or "", *span) for span in spans)
    for network_type in kinds.TUNNELS:
        yield from (Range(network_type, "", *span) for span in kinds.tunnel_ranges(config, network_type))


class RangeStrategy(Strategy):
    """Ranges; see behaviours section 16 of the API's facts. Default ones are the configuration's, noted when one asks."""

    def view_many(self, tx: Transaction, rows: list[Row]) -> None:
        if not rows:
            return
        # Of a list's later pieces nobody knows yet which types they have.
        carried = _carried(tx, {rows[0]["network_type"]} if len(rows) == 1 else set(RANGED))
        for row in rows:
            numbers = carried.get((row["network_type"], row["physical_network"]), [])
            first = bisect_left(numbers, (row["minimum"],))
            behind = bisect_left(numbers, (row["maximum"] + 1,))
            used = dict(numbers[first:behind])
            row["used"] = {str(number): project for number, project in used.items()}
            row["available"] = [number for number in range(row["minimum"], row["maximum"] + 1) if number not in used]

    def lists_write(self, tx: Transaction, query: Any) -> bool:
        return tx.context.is_admin and set(_noted(tx).values()) != set(configured(tx.config))

    def before_list(self, tx: Transaction, query: Any) -> None:
        noted, wanted = _noted(tx), set(configured(tx.config))
        for row in tx.list(NETWORK_SEGMENT_RANGE, RANGES.c.id.in_([id for id in noted if noted[id] not in wanted])):
            tx.delete(NETWORK_SEGMENT_RANGE, row)
        for one in sorted(wanted - set(noted.values())):
            values = {"name": "", "description": "", "default": True, "shared": True, "project_id": None}
            tx.insert(NETWORK_SEGMENT_RANGE, {**values, **one._asdict()})

    def prepare(self, tx: Transaction, values: Row) -> None:
        values["default"] = False
        if values["shared"]:
            values["project_id"] = None
        values.setdefault("network_type", None)
        values.setdefault("physical_network", "")

    def validate(self, tx: Transaction, new: Row, old: Row | None) -> None:
        if old is not None:
            _refuse_default(old)
        else:
            _check_place(new["network_type"], new["physical_network"])
        _check_bounds(new["network_type"], new["minimum"], new["maximum"])
        overlapping = select(RANGES.c.id).where(
            RANGES.c.network_type == new["network_type"],
            RANGES.c.physical_network == new["physical_network"],
            RANGES.c.minimum <= new["maximum"],
            RANGES.c.maximum >= new["minimum"],
            RANGES.c.default.is_(False),
            RANGES.c.id != new.get("id", ""),
        )
        others = [row[0] for row in tx.all(overlapping)]
        if others:
            raise errors.NetworkSegmentRangeOverlaps(id=", ".join(others))
        if old is not None and any(not new["minimum"] <= int(number) <= new["maximum"] for number in old["used"]):
            raise errors.NetworkSegmentRangeReferencedByProject(id=old["id"])

    def settle(self, tx: Transaction, new: Row, old: Row | None) -> None:
        self.view_many(tx, [new])

    def validate_delete(self, tx: Transaction, row: Row) -> None:
        _refuse_default(row)
        if row["used"]:
            raise errors.NetworkSegmentRangeReferencedByProject(id=row["id"])


def _carried(tx: Transaction, types: set[str]) -> Mapping[tuple[str, str], list[tuple[int, str]]]:
    """(type, physical network) -> (id, project) of the networks there, by id. Each type is read once a transaction."""
    known: dict[str, dict[tuple[str, str], list[tuple[int, str]]]] = tx.once("carried ids", dict)
    missing = types - known.keys()
    if missing:
        columns = (_SEGMENTS.network_type, _SEGMENTS.physical_network, _SEGMENTS.segmentation_id, NETWORKS.c.project_id)
        segments = select(*columns).join(NETWORKS, NETWORKS.c.id == _SEGMENTS.network_id)
        carried = segments.where(_SEGMENTS.network_type.in_(sorted(missing)), _SEGMENTS.segmentation_id.is_not(None))
        known.update({network_type: {} for network_type in missing})
        for one in tx.all(carried.order_by(_SEGMENTS.segmentation_id)):
            place = (one.network_type, one.physical_network or "")
            known[one.network_type].setdefault(place, []).append((one.segmentation_id, one.project_id))
    return {place: numbers for network_type in types for place, numbers in known[network_type].items()}


def _noted(tx: Transaction) -> dict[str, Range]:
    """id -> the default range as it stands in the table."""
    columns = [RANGES.c[name] for name in Range._fields]
    return {row[0]: Range._make(row[1:]) for row in tx.all(select(RANGES.c.id, *columns).where(RANGES.c.default))}


def _refuse_default(row: Row) -> None:
    if row["default"]:
        raise errors.NetworkSegmentRangeDefaultReadOnly(id=row["id"])


def _check_place(network_type: str | None, physical_network: str) -> None:
    if network_type not in RANGED:
        raise errors.NetworkSegmentRangeNetTypeNotSupported(network_type=network_type)
    if (network_type == "vlan") != bool(physical_network):
        reason = (
            "Network type vlan requires 'physical_network' to be specified while creating new range"
            if network_type == "vlan"
            else f"Network type {network_type} has no 'physical_network'"
        )
        raise errors.BadRequest(resource="network_segment_range", reason=reason)


def _check_bounds(network_type: str, minimum: int, maximum: int) -> None:
    vlan = network_type == "vlan"
    fault = errors.NetworkVlanRangeError if vlan else errors.NetworkTunnelRangeError
    what, highest = ("VLAN", kinds.VLAN_IDS[1]) if vlan else ("tunnel", kinds.HIGHEST[network_type])
    if minimum > maximum:
        raise fault(range=f"{minimum}:{maximum}", reason=f"End of {what} range is less than start of {what} range")
    if maximum > highest:
        raise fault(range=f"{minimum}:{maximum}", reason=f"{maximum} is not a valid {what} {'tag' if vlan else 'id'}")


NETWORK_SEGMENT_RANGE = Resource(
    member="network_segment_range",
    collection="network-segment-ranges",
    attributes=ATTRIBUTES,
    table=RANGES,
    strategy=RangeStrategy(),
    not_found=errors.NetworkSegmentRangeNotFound,
    bulk=True,
    tags=True,
    extension=ALIAS,
)


# What networks ask of ranges.


_OF_TYPE = select(RANGES.c.project_id, RANGES.c.physical_network, RANGES.c.minimum, RANGES.c.maximum).where(
    RANGES.c.network_type == bindparam("of_type"), RANGES.c.default.is_(False)
)


def of_type(tx: Transaction, network_type: str) -> Sequence[Any]:
    """(project_id, physical_network, minimum, maximum) of the ranges of a type that operators made; project None: everybody's."""
    return tx.all(_OF_TYPE, {"of_type": network_type})
