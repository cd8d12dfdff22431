"""Availability zones: the groups that agents form, which networks and routers can ask to be served by."""

from __future__ import annotations

from typing import Any

from sqlalchemy import String, case, func, literal, select, union_all

from weft import errors
from weft.registry import types as t
from weft.registry.attributes import read_only
from weft.registry.resource import Resource
from weft.registry.strategy import Strategy
from weft.resources.agent import AGENTS, ZONED


def _zones(kind: str, agent_types: tuple[str, ...]) -> Any:
    """The zones of some types of agents; one agent that may work makes its zone available."""
    able = func.max(case((AGENTS.c.admin_state_up, 1), else_=0))
    return (
        select(
            AGENTS.c.availability_zone.label("name"),
            literal(kind, String).label("resource"),
            case((able == 1, "available"), else_="unavailable").label("state"),
        )
        .where(AGENTS.c.agent_type.in_(agent_types), AGENTS.c.availability_zone.is_not(None))
        .group_by(AGENTS.c.availability_zone)
    )


ZONES: Any = union_all(*(_zones(kind, agents) for kind, agents in ZONED.items())).subquery("availability_zones")
"""A view of agents: a zone has no row of its own."""

ALIAS = "availability_zone"

AVAILABILITY_ZONE = Resource(
    member="availability_zone",
    collection="availability_zones",
    attributes=(
        read_only("name", t.string(255), extension=ALIAS),
        read_only("resource", t.enum(*ZONED), extension=ALIAS),
        read_only("state", t.enum("available", "unavailable"), extension=ALIAS),
    ),
    table=ZONES,
    strategy=Strategy(),
    not_found=errors.AvailabilityZoneNotFound,
    operations=frozenset({"list"}),
    pagination=False,
    extension=ALIAS,
    shims=("availability_zone_filter",),
)
