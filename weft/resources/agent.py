"""Agents: what runs on hosts and makes the network real, as it last reported itself. Also the zones that they form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ColumnElement,
    String,
    Table,
    UniqueConstraint,
    and_,
    bindparam,
    false,
    or_,
    select,
    update,
)

from weft import errors
from weft.registry import types as t
from weft.registry.attributes import Attribute, read_only
from weft.registry.resource import Resource, Row
from weft.registry.strategy import Strategy
from weft.resources.placing import Candidate
from weft.store.schema import ID, METADATA
from weft.store.transaction import Transaction

AGENTS = Table(
    "agents",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("agent_type", String(255), nullable=False),
    Column("binary", String(255), nullable=False),
    Column("topic", String(255), nullable=False),
    Column("host", String(255), nullable=False),
    Column("availability_zone", String(255)),
    Column("admin_state_up", Boolean, nullable=False, default=True),
    Column("description", String(255)),
    Column("configurations", JSON, nullable=False),
    Column("resources_synced", Boolean),
    Column("created_at", String(26), nullable=False),
    Column("started_at", String(26), nullable=False),
    Column("heartbeat_timestamp", String(26), nullable=False),
    UniqueConstraint("agent_type", "host"),
)

DEFAULT_ZONE = "nova"
ZONED = {
    "network": ("DHCP agent", "OVN Controller agent", "OVN Controller Gateway agent"),
    "router": ("L3 agent", "OVN Controller Gateway agent"),
}
"""What a zone serves -> the agents that make it serve that."""
IN_A_ZONE = ("DHCP agent", "L3 agent")
"""Agents that are in DEFAULT_ZONE where they do not say."""
MAPPINGS = ("bridge_mappings", "interface_mappings", "device_mappings")
"""Configurations of agents of several kinds whose keys are the physical networks that their host is on."""
LOCAL = "local"
"""The type of networks that need nothing but the host itself."""

ATTRIBUTES = (
    read_only("id", t.uuid, sort=True, primary_key=True, extension="agent"),
    read_only("agent_type", t.string(255), sort=True, extension="agent"),
    read_only("binary", t.string(255), sort=True, extension="agent"),
    read_only("topic", t.string(255), sort=True, extension="agent"),
    read_only("host", t.string(255), sort=True, extension="agent"),
    Attribute("admin_state_up", t.boolean, post=False, sort=True, extension="agent"),
    read_only("created_at", t.anything, filter=False, sort=True, extension="agent"),
    read_only("started_at", t.anything, filter=False, sort=True, extension="agent"),
    read_only("heartbeat_timestamp", t.anything, filter=False, sort=True, extension="agent"),
    read_only("alive", t.boolean, sort=True, extension="agent"),
    read_only("configurations", t.anything, filter=False, extension="agent"),
    Attribute("description", t.string_or_none(255), post=False, sort=True, extension="agent"),
    read_only("availability_zone", t.string(255), extension="availability_zone"),
    read_only("resources_synced", t.anything, filter=False, extension="agent-resources-synced"),
    # Of an agent alone it says nothing: routers/{id}/l3-agents shows it, agents/{id}/l3-routers sets it.
    Attribute(
        "ha_chassis_priority",
        t.integer_or_none,
        filter=False,
        policy=True,
        extension="l3-agent-scheduler-ha-chassis-priority",
    ),
)


TIME = "%Y-%m-%d %H:%M:%S.%f"
"""As /agents writes times: UTC without zone, microseconds."""


def _time(moment: datetime) -> str:
    return moment.strftime(TIME)


def now() -> datetime:
    """UTC without zone."""
    return datetime.now(UTC).replace(tzinfo=None)


def _oldest_heartbeat(tx: Transaction) -> str:
    """An agent that was last heard of before this moment counts as dead."""
    return _time(now() - timedelta(seconds=tx.config.api.agent_down_time))


class AgentStrategy(Strategy):
    """Agents exist by reporting themselves; the API shows them, and lets operators stop, describe and forget them."""

    def filters(self) -> Mapping[str, Any]:
        return {"alive": _alive_filter}

    def view_many(self, tx: Transaction, rows: list[Row]) -> None:
        oldest = _oldest_heartbeat(tx)
        for row in rows:
            row["alive"] = row["heartbeat_timestamp"] >= oldest

    def create(self, tx: Transaction, values: Row) -> Row:
        raise errors.BadRequest("Agent creation using API is not supported.")

    def prepare_update(self, tx: Transaction, old: Row, changes: Row, new: Row) -> None:
        if "ha_chassis_priority" in changes:
            raise errors.BadRequest(resource="agent", reason="ha_chassis_priority is set for one router: l3-routers")

    def settle(self, tx: Transaction, new: Row, old: Row | None) -> None:
        from weft.resources import scheduling

        if old is not None and new["admin_state_up"] != old["admin_state_up"]:
            scheduling.follow(tx, new)

    def delete(self, tx: Transaction, row: Row) -> None:
        from weft.resources import scheduling

        scheduling.leave(tx, row)
        tx.delete(self.resource, row)


def _alive_filter(tx: Transaction, values: Sequence[Any]) -> ColumnElement[bool]:
    heard = AGENTS.c.heartbeat_timestamp >= _oldest_heartbeat(tx)
    return or_(false(), *(heard if value else ~heard for value in values))


def report(
    tx: Transaction,
    *,
    agent_type: str,
    binary: str,
    topic: str,
    host: str,
    configurations: Mapping[str, Any],
    availability_zone: str | None = None,
    starting: bool = False,
) -> bool:
    """A heartbeat: the agent lives and says what it can. The first one makes it appear.

    True where it counted as dead before, or was unknown: there may be something for it to serve.
    """
    moment = _time(now())
    zone = availability_zone or (DEFAULT_ZONE if agent_type in IN_A_ZONE else None)
    values = {
        "binary": binary,
        "topic": topic,
        "availability_zone": zone,
        "configurations": dict(configurations),
        "heartbeat_timestamp": moment,
        **({"started_at": moment} if starting else {}),
    }
    statement = update(AGENTS).where(AGENTS.c.agent_type == bindparam("kind"), AGENTS.c.host == bindparam("on"))
    living = statement.where(AGENTS.c.heartbeat_timestamp >= bindparam("oldest"))
    given = {"kind": agent_type, "on": host, **values}
    if tx.execute(living, {**given, "oldest": _oldest_heartbeat(tx)}).rowcount:
        if starting:
            _log(tx, agent_type, host)
        return False
    if tx.execute(statement, given).rowcount:
        _log(tx, agent_type, host)
        return True
    row = {
        "id": str(uuid4()),
        "agent_type": agent_type,
        "host": host,
        "created_at": moment,
        "started_at": moment,
        **values,
    }
    tx.add(AGENTS, [{"admin_state_up": tx.config.api.enable_new_agents, **row}])
    tx.record(AGENT, row, "create")
    return True


def _log(tx: Transaction, agent_type: str, host: str) -> None:
    """Tell the change log of an agent that has started, with another configuration maybe. It hears of no heartbeat else."""
    found = tx.all(select(AGENTS.c.id).where(AGENTS.c.agent_type == agent_type, AGENTS.c.host == host))
    tx.record(AGENT, {"id": found[0].id}, "update")


_CANDIDATES = select(AGENTS.c.id, AGENTS.c.host, AGENTS.c.availability_zone, AGENTS.c.configurations).where(
    AGENTS.c.agent_type == bindparam("of_type"),
    AGENTS.c.admin_state_up,
    AGENTS.c.heartbeat_timestamp >= bindparam("oldest"),
)


def candidates(tx: Transaction, agent_type: str) -> list[Candidate]:
    """The agents of a type that are alive and switched on, whatever they serve already."""
    found = tx.all(_CANDIDATES, {"of_type": agent_type, "oldest": _oldest_heartbeat(tx)})
    return [Candidate(one.id, one.host, one.availability_zone, mode=mode(one)) for one in found]


def mode(one: Any) -> str:
    """agent_mode of an L3 agent: legacy, dvr, dvr_snat, dvr_no_external."""
    return str(one.configurations.get("agent_mode", "legacy"))


def dead(tx: Transaction, agent_type: str) -> list[Any]:
    """Agents of a type that are switched on, and were last heard of two agent_down_times ago."""
    long_ago = _time(now() - timedelta(seconds=2 * tx.config.api.agent_down_time))
    statement = select(AGENTS.c.id, AGENTS.c.started_at).where(
        AGENTS.c.agent_type == agent_type, AGENTS.c.admin_state_up, AGENTS.c.heartbeat_timestamp < long_ago
    )
    return list(tx.all(statement))


def mappings(tx: Transaction) -> dict[str, frozenset[str]]:
    """The physical networks that hosts say they are connected to; hosts that do not say are not named."""

    def load() -> dict[str, frozenset[str]]:
        found = tx.all(select(AGENTS.c.host, AGENTS.c.configurations))
        return {
            one.host: frozenset(one.configurations["bridge_mappings"])
            for one in found
            if "bridge_mappings" in one.configurations
        }

    return tx.once(("bridge mappings",), load)


def facts(tx: Transaction, host: str) -> Row | None:
    """The agent that wires ports on `host`: its configurations and whether it is alive; None where there is none."""
    found = tx.all(select(AGENTS).where(AGENTS.c.host == host))
    wiring = [row for row in found if "backend" in row.configurations]
    if not wiring:
        return None
    row = dict(wiring[0]._mapping)
    row["alive"] = row["heartbeat_timestamp"] >= _oldest_heartbeat(tx) and row["admin_state_up"]
    return row


def carries(tx: Transaction, host: str) -> frozenset[str]:
    """Physical networks and tunnel types that the agents of `host` have reported, dead ones too; empty: it has no agent."""

    def load() -> frozenset[str]:
        rows = tx.all(select(AGENTS.c.configurations).where(AGENTS.c.host == host))
        return frozenset(name for row in rows for name in carried_by(row.configurations))

    return tx.once(("carries", host), load)


def carried_by(configurations: Mapping[str, Any]) -> set[str]:
    """Physical networks and tunnel types that an agent has reported."""
    mapped = (name for kind in MAPPINGS for name in configurations.get(kind) or ())
    return {LOCAL, *mapped, *(configurations.get("tunnel_types") or ())}


def zones(tx: Transaction, kind: str) -> frozenset[str]:
    """Names of the availability zones with agents for networks (`network`) or routers (`router`). A host of OVN may be in
    several."""

    def load() -> frozenset[str]:
        clause = and_(AGENTS.c.agent_type.in_(ZONED[kind]), AGENTS.c.availability_zone.is_not(None))
        rows = tx.all(select(AGENTS.c.availability_zone, AGENTS.c.configurations).where(clause))
        return frozenset(
            name for row in rows for name in (row.availability_zone, *row.configurations.get("availability_zones", ()))
        )

    return tx.once(("zones", kind), load)


AGENT = Resource(
    member="agent",
    collection="agents",
    attributes=ATTRIBUTES,
    table=AGENTS,
    strategy=AgentStrategy(),
    not_found=errors.AgentNotFound,
    extension="agent",
    shims=("agent_sort_key", "dhcp_agent_scheduler", "l3_agent_scheduler"),
)
