"""Which agents serve which networks and routers: the tables, and what networks and routers show of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Column, ColumnElement, ForeignKey, Integer, String, Table, UniqueConstraint, func, select

from weft.registry.resource import Row
from weft.resources.agent import AGENTS
from weft.resources.placing import Candidate
from weft.store.schema import ID, METADATA, json_array, json_object
from weft.store.transaction import Transaction

NETWORK_AGENTS = Table(
    "network_dhcp_agents",
    METADATA,
    Column("network_id", ID, ForeignKey("networks.id", ondelete="CASCADE"), primary_key=True),
    Column("agent_id", ID, ForeignKey("agents.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("slot", Integer, nullable=False),
    UniqueConstraint("network_id", "slot"),
)
"""Slots below dhcp_agents_per_network are what is given out by itself: the constraint is what bounds their number."""

ROUTER_AGENTS = Table(
    "router_l3_agents",
    METADATA,
    Column("router_id", ID, ForeignKey("routers.id", ondelete="CASCADE"), primary_key=True),
    Column("agent_id", ID, ForeignKey("agents.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("slot", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("priority", Integer),
    Column("ha_port_id", ID, ForeignKey("ports.id", ondelete="SET NULL"), index=True),
    UniqueConstraint("router_id", "slot"),
    UniqueConstraint("router_id", "priority"),
)
"""A router that is on one agent only has slot 0 alone. `state`: active or standby, of HA routers; `priority`: a chassis'."""

ACTIVE, STANDBY, UNKNOWN = "active", "standby", "unknown"

_AGENT = ("id", AGENTS.c.id, "host", AGENTS.c.host, "zone", AGENTS.c.availability_zone, "up", AGENTS.c.admin_state_up)


def of_network(networks: Any) -> ColumnElement[Any]:
    """SQL of the DHCP agents of a network: [{id, host, zone, up, slot}]."""
    table = NETWORK_AGENTS
    return (
        select(json_array(json_object(*_AGENT, "slot", table.c.slot)))
        .select_from(table.join(AGENTS, AGENTS.c.id == table.c.agent_id))
        .where(table.c.network_id == networks.c.id)
        .correlate(networks)
        .scalar_subquery()
    )


def of_router(routers: Any) -> ColumnElement[Any]:
    """SQL of the L3 agents of a router: [{id, host, zone, up, slot, state, ha_port_id}]."""
    table = ROUTER_AGENTS
    own = ("slot", table.c.slot, "state", table.c.state, "ha_port_id", table.c.ha_port_id)
    return (
        select(json_array(json_object(*_AGENT, *own)))
        .select_from(table.join(AGENTS, AGENTS.c.id == table.c.agent_id))
        .where(table.c.router_id == routers.c.id)
        .correlate(routers)
        .scalar_subquery()
    )


def zones(row: Row) -> list[str]:
    """availability_zones of a network or router: those of the agents that serve it."""
    return sorted({one["zone"] for one in row["_agents"] if one["zone"]})


def served(tx: Transaction, row: Row) -> list[Row]:
    """Of its agents those that may work: an agent that is switched off serves nothing unless the operator says so."""
    always = tx.config.api.enable_services_on_agents_with_admin_state_down
    return [one for one in row["_agents"] if always or one["up"]]


def weigh(tx: Transaction, table: Table, found: Iterable[Candidate]) -> None:
    """Count what each of the agents serves already, in `table`; one statement."""
    by_id = {one.id: one for one in found}
    statement = select(table.c.agent_id, func.count().label("load")).group_by(table.c.agent_id)
    for row in tx.all(statement.where(table.c.agent_id.in_(sorted(by_id)))):
        by_id[row.agent_id].load = row.load


def held(one: Candidate, slot: int, **more: Any) -> Row:
    """A binding in the shape in which `of_network` and `of_router` read it."""
    return {"id": one.id, "host": one.host, "zone": one.zone, "up": True, "slot": slot, **more}
