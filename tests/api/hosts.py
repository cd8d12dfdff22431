"""Agents of hosts that are not there, for tests of what agents are given to serve."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import update

from tests.api.conftest import Api
from weft.registry.resource import Row
from weft.resources import agent

DHCP, L3 = "DHCP agent", "L3 agent"


def alive(api: Api, kind: str, host: str, zone: str | None = None, **configurations: Any) -> str:
    """An agent has just reported; its id."""
    facts = {"agent_type": kind, "binary": "weft", "topic": "none", "host": host, "configurations": configurations}
    api.inside(lambda tx: agent.report(tx, availability_zone=zone, starting=True, **facts))
    return str(by_host(api, kind)[host])


def by_host(api: Api, kind: str) -> Row:
    return {row["host"]: row["id"] for row in api.admin.list("agents", f"agent_type={kind.replace(' ', '%20')}")}


def silent(api: Api, host: str, seconds: float) -> None:
    """The host's agents started long ago and were last heard of so long ago."""
    then = (agent.now() - timedelta(seconds=seconds)).strftime(agent.TIME)
    long_ago = (agent.now() - timedelta(days=1)).strftime(agent.TIME)
    statement = update(agent.AGENTS).where(agent.AGENTS.c.host == host)
    api.inside(lambda tx: tx.execute(statement.values(heartbeat_timestamp=then, started_at=long_ago)))


def switch(api: Api, id: str, up: bool) -> None:
    status, body = api.admin.put(f"agents/{id}", {"agent": {"admin_state_up": up}})
    assert status == 200, body


def serving(api: Api, path: str) -> list[str]:
    """Hosts of the agents that serve a network or router: networks/ID/dhcp-agents."""
    return sorted(row["host"] for row in api.admin.list(path))


def ids(rows: Sequence[Row]) -> set[str]:
    return {row["id"] for row in rows}
