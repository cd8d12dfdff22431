"""How a network is carried: segments, and the ids (VLAN tags, VNIs) that they take out of configured ranges.

A segment's `slot` is what no two may share: (type, physical network, id). Rules: facts of the API, behaviours section 1.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    Column,
    ForeignKey,
    Integer,
    String,
    Table,
    UniqueConstraint,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from weft import errors
from weft.config import Config
from weft.registry.resource import Row
from weft.store.schema import ID, METADATA
from weft.store.transaction import Transaction

SEGMENTS = Table(
    "network_segments",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("network_id", ID, ForeignKey("networks.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("network_type", String(32), nullable=False),
    Column("physical_network", String(64)),
    Column("segmentation_id", Integer),
    Column("position", Integer, nullable=False, default=0),
    Column("slot", String(128)),
    UniqueConstraint("slot"),
)

TUNNELS: Mapping[str, str] = {"vxlan": "vni_ranges", "geneve": "geneve_vni_ranges", "gre": "tunnel_id_ranges"}
"""Tunnel type -> option with its ranges."""
TYPES = ("local", "flat", "vlan", *TUNNELS)
VLAN_IDS = (1, 4094)
HIGHEST = {"vxlan": 2**24 - 1, "geneve": 2**24 - 1, "gre": 2**32 - 1}
IPV4_HEADER, IPV6_HEADER = 20, 40
OVERHEAD = {"vxlan": 30, "gre": 22}

PROVIDER = ("provider:network_type", "provider:physical_network", "provider:segmentation_id")

_draw = random.SystemRandom()
_TAKEN = select(SEGMENTS.c.segmentation_id).where(
    SEGMENTS.c.network_type == bindparam("type"),
    SEGMENTS.c.slot.in_(bindparam("slots", expanding=True)),
)
_ALL_TAKEN = select(SEGMENTS.c.segmentation_id, SEGMENTS.c.physical_network).where(
    SEGMENTS.c.network_type == bindparam("type")
)
_SLOT = select(SEGMENTS.c.id).where(SEGMENTS.c.slot == bindparam("slot"))


def slot(network_type: str, physical_network: str | None, segmentation_id: int | None) -> str | None:
    """The thing that is taken; None for local networks, of which any number may exist."""
    if network_type == "local":
        return None
    return f"{network_type}:{physical_network or ''}:{'' if segmentation_id is None else segmentation_id}"


def overhead(config: Config, network_type: str) -> int:
    """Bytes that the encapsulation adds to an IP packet."""
    outer = IPV4_HEADER if config.ml2.overlay_ip_version == 4 else IPV6_HEADER
    if network_type == "geneve":
        return config.ml2.geneve_max_header_size + outer
    return OVERHEAD[network_type] + outer if network_type in OVERHEAD else 0


def mtu(config: Config, segment: Mapping[str, Any]) -> int:
    """The largest IP packet in bytes that fits the segment."""
    network_type, physical = segment["network_type"], segment["physical_network"]
    if network_type in TUNNELS:
        underlay = min(filter(None, (config.ml2.path_mtu, config.api.global_physnet_mtu)), default=1500)
        return underlay - overhead(config, network_type)
    known = {name: int(value) for name, value in config.ml2.physical_network_mtus.items()}
    return min(filter(None, (known.get(physical), config.api.global_physnet_mtu)), default=1500)


def vlan_ranges(config: Config) -> dict[str | None, Sequence[tuple[int, int]]]:
    """physical network -> ranges of VLAN tags that tenants may get; configured without a range: administrators only."""
    found: dict[str | None, list[tuple[int, int]]] = {}
    for entry in config.ml2.network_vlan_ranges:
        name, *numbers = entry.strip().split(":")
        ranges = found.setdefault(name, [])
        if len(numbers) == 2:
            ranges.append((int(numbers[0]), int(numbers[1])))
    return dict(found)


def tunnel_ranges(config: Config, network_type: str) -> list[tuple[int, int]]:
    return [
        (int(first), int(last))
        for first, _, last in (entry.strip().partition(":") for entry in getattr(config.ml2, TUNNELS[network_type]))
    ]


def reserve_provider(
    tx: Transaction, network_type: str | None, physical: str | None, number: int | None, project: str = ""
) -> Row:
    """A segment as an administrator wants it (provider attributes), of a network of `project`. Raises InvalidInput or
    ...InUse."""
    if network_type is None:
        raise errors.InvalidInput(reason="network_type required")
    if network_type not in TYPES:
        raise errors.InvalidInput(reason=f"network_type value '{network_type}' not supported")
    _check_provider(tx.config, network_type, physical, number)
    if network_type == "local" or network_type == "flat" or number is not None:
        return _take(tx, network_type, physical, number)
    if network_type == "vlan":
        known = vlan_ranges(tx.config)
        return _any(tx, "vlan", {physical: known[physical]} if physical else known, project)
    return _any(tx, network_type, {None: tunnel_ranges(tx.config, network_type)}, project)


def _check_provider(config: Config, network_type: str, physical: str | None, number: int | None) -> None:
    def refuse(reason: str) -> None:
        raise errors.InvalidInput(reason=reason)

    if network_type in ("local", "flat") and number is not None:
        refuse(f"segmentation_id prohibited for {network_type} provider network")
    if network_type == "local" and physical:
        refuse("physical_network prohibited for local provider network")
    if network_type == "flat":
        if not physical:
            refuse("physical_network required for flat provider network")
        if "*" not in config.ml2.flat_networks and physical not in config.ml2.flat_networks:
            refuse(f"physical_network '{physical}' unknown for flat provider network")
    if network_type == "vlan":
        if physical and physical not in vlan_ranges(config):
            refuse(f"physical_network '{physical}' unknown for VLAN provider network")
        if number is not None and not physical:
            refuse("segmentation_id requires physical_network for VLAN provider network")
        if number is not None and not VLAN_IDS[0] <= number <= VLAN_IDS[1]:
            refuse(f"segmentation_id out of range ({VLAN_IDS[0]} through {VLAN_IDS[1]})")
    if network_type in TUNNELS:
        if physical:
            refuse(f"provider:physical_network specified for {network_type} network")
        if number is not None and not 1 <= number <= HIGHEST[network_type]:
            refuse(f"segmentation_id out of range (1 through {HIGHEST[network_type]})")


def reserve_for_project(tx: Transaction, types: Sequence[str], project: str = "") -> Row:
    """A segment for a network that does not say how it wants to be carried: the first type with something free."""
    for network_type in types:
        try:
            if network_type == "local":
                return _take(tx, "local", None, None)
            if network_type == "vlan":
                return _any(tx, "vlan", vlan_ranges(tx.config), project)
            if network_type in TUNNELS:
                return _any(tx, network_type, {None: tunnel_ranges(tx.config, network_type)}, project)
        except errors.NoNetworkAvailable:
            continue
    raise errors.NoNetworkAvailable()


def _take(tx: Transaction, network_type: str, physical: str | None, number: int | None) -> Row:
    wanted = slot(network_type, physical, number)
    if wanted is not None and tx.first(_SLOT, {"slot": wanted}):
        if network_type == "flat":
            raise errors.FlatNetworkInUse(physical_network=physical)
        if network_type == "vlan":
            raise errors.VlanIdInUse(vlan_id=number, physical_network=physical)
        raise errors.TunnelIdInUse(tunnel_id=number)
    return {
        "id": str(uuid4()),
        "network_type": network_type,
        "physical_network": physical,
        "segmentation_id": number,
        "slot": wanted,
    }


Spans = Mapping[str | None, Sequence[tuple[int, int]]]
"""Physical network (None for tunnels) -> ranges of ids."""


def _any(tx: Transaction, network_type: str, ranges: Spans, project: str) -> Row:
    """A free id by lot: out of the ranges kept for the project, else out of `ranges` and what is everybody's besides,
    without what is kept for others."""
    for spans in _in_order(tx, network_type, ranges, project):
        for physical, number in _candidates(tx, network_type, spans):
            return _take(tx, network_type, physical, number)
    raise errors.NoNetworkAvailable()


def _in_order(tx: Transaction, network_type: str, ranges: Spans, project: str) -> tuple[Spans, Spans]:
    from weft.resources import network_segment_range

    own: dict[str | None, list[tuple[int, int]]] = {}
    shared = {physical: list(spans) for physical, spans in ranges.items()}
    kept: dict[str | None, list[tuple[int, int]]] = {}
    for one in network_segment_range.of_type(tx, network_type):
        physical = one.physical_network or None
        if physical in ranges:
            spans = shared if one.project_id is None else own if one.project_id == project else kept
            spans.setdefault(physical, []).append((one.minimum, one.maximum))
    return own, {physical: _without(spans, kept.get(physical, ())) for physical, spans in shared.items()}


def _without(spans: Sequence[tuple[int, int]], holes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans less what lies in holes."""
    left = list(spans)
    for start, end in holes:
        pieces = [((first, min(last, start - 1)), (max(first, end + 1), last)) for first, last in left]
        left = sorted({piece for pair in pieces for piece in pair if piece[0] <= piece[1]})
    return left


def _candidates(tx: Transaction, network_type: str, ranges: Spans) -> Iterator[tuple[str | None, int]]:
    for physical, spans in ranges.items():
        if not spans:
            continue
        drawn = list({_draw.randint(*_draw.choice(spans)) for _ in range(16)})
        slots = [slot(network_type, physical, number) for number in drawn]
        used = {row[0] for row in tx.all(_TAKEN, {"type": network_type, "slots": slots})}
        yield from ((physical, number) for number in drawn if number not in used)
        taken = tx.all(_ALL_TAKEN, {"type": network_type})
        gone = {row.segmentation_id for row in taken if row.physical_network == physical}
        for first, last in spans:
            yield from ((physical, number) for number in range(first, last + 1) if number not in gone)


def write(tx: Transaction, network_id: str, segments: Sequence[Row]) -> None:
    """Store the segments of a new network."""
    tx.execute(
        insert(SEGMENTS), [{**segment, "network_id": network_id, "position": i} for i, segment in enumerate(segments)]
    )


def renumber(tx: Transaction, network_id: str, segment: Row) -> None:
    """Give the network's only segment another id, which `reserve_provider` has found free."""
    statement = update(SEGMENTS).where(SEGMENTS.c.network_id == bindparam("network"))
    values = {"network": network_id, "segmentation_id": segment["segmentation_id"], "slot": segment["slot"]}
    tx.execute(statement, values)


def remove(tx: Transaction, network_id: str) -> None:
    tx.execute(delete(SEGMENTS).where(SEGMENTS.c.network_id == bindparam("network")), {"network": network_id})
