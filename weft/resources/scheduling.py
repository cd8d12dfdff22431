"""What agents are to serve follows them: when they come, die, are switched off or are forgotten."""

from __future__ import annotations

from datetime import datetime, timedelta

from weft.registry.resource import Row
from weft.resources import agent, dhcp_agents, l3_agents
from weft.store.transaction import Transaction

SYNC = 2
"""Seconds that a DHCP agent is given for each of its networks after its start, before it counts as dead."""


def fill(tx: Transaction) -> None:
    """Agents are there that were not: schedule what lacks some."""
    if tx.config.api.network_auto_schedule:
        dhcp_agents.fill(tx)
    if tx.config.api.router_auto_schedule:
        l3_agents.fill(tx)


def lost(tx: Transaction) -> list[str]:
    """Agents that are dead and should serve something."""
    return sorted({*_dead_dhcp(tx), *_dead_l3(tx)})


def move(tx: Transaction) -> None:
    """Give what dead agents should serve to others."""
    networks, routers = _dead_dhcp(tx), _dead_l3(tx)
    if networks:
        dhcp_agents.move(tx, networks)
    if routers:
        l3_agents.move(tx, routers, failover=tx.config.api.allow_automatic_l3agent_failover)


def _dead_dhcp(tx: Transaction) -> list[str]:
    if not tx.config.api.allow_automatic_dhcp_failover:
        return []
    found = agent.dead(tx, dhcp_agents.KIND)
    serving = dhcp_agents.counts(tx, [one.id for one in found])
    return [one.id for one in found if one.id in serving and not _starting(tx, one.started_at, serving[one.id])]


def _dead_l3(tx: Transaction) -> list[str]:
    found = agent.dead(tx, l3_agents.KIND)
    return sorted(l3_agents.serving(tx, [one.id for one in found]))


def _starting(tx: Transaction, started_at: str, networks: int) -> bool:
    """An agent that was started with many networks is silent for a while."""
    patience = timedelta(seconds=2 * tx.config.api.agent_down_time + SYNC * networks)
    return agent.now() < datetime.strptime(started_at, agent.TIME) + patience


def follow(tx: Transaction, row: Row) -> None:
    """An agent was switched on, and may serve what nobody does, or off, and others take over what it serves."""
    api = tx.config.api
    if row["admin_state_up"]:
        fill(tx)
    elif api.enable_services_on_agents_with_admin_state_down:
        return
    elif row["agent_type"] == dhcp_agents.KIND and api.allow_automatic_dhcp_failover:
        dhcp_agents.move(tx, {row["id"]})
    elif row["agent_type"] == l3_agents.KIND:
        l3_agents.move(tx, {row["id"]}, failover=api.allow_automatic_l3agent_failover)
        l3_agents.rest(tx, {row["id"]})


def leave(tx: Transaction, row: Row) -> None:
    """An agent is forgotten: others take over what it serves; what none can take is served by nobody."""
    if row["agent_type"] == dhcp_agents.KIND:
        dhcp_agents.move(tx, {row["id"]}, leaving=True)
    elif row["agent_type"] == l3_agents.KIND:
        l3_agents.move(tx, {row["id"]}, leaving=True)
