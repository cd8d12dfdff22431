"""Chassis of OVN in /agents. OVN itself knows which of them live; nobody on a host has to report to us."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import NAMESPACE_OID, UUID, uuid5

from sqlalchemy import bindparam, select, update

from weft.backends.ovn.chassis import AgentFacts, Chassis, agents
from weft.config import Config
from weft.context import internal
from weft.resources.agent import AGENT, AGENTS
from weft.store.engine import Store
from weft.store.transaction import Environment, Transaction

TOPIC = "n/a"
MANY = 500
"""Rows in one statement."""


class Reporter:
    """Writes rows of agents where something of a chassis has changed, and for all that live one statement now and then:
    that they do. Only who has the lease calls it."""

    def __init__(self, config: Config, store: Store, chassis: Callable[[], Iterable[Chassis]]) -> None:
        self._config, self._store, self._chassis = config, store, chassis
        self._written: dict[tuple[str, str], AgentFacts] = {}
        self._due = 0.0

    def write(self) -> int:
        """Call it often: it writes when something is different, and every report_interval; returns how many agents are."""
        found = {(one.binary, one.host): one for one in agents(self._chassis())}
        changed = [one for name, one in found.items() if self._written.get(name) != one]
        same = [one for name, one in found.items() if self._written.get(name) == one]
        if not changed and time.monotonic() < self._due:
            return 0
        self._due = time.monotonic() + self._config.api.report_interval

        def work(connection: object) -> bool:
            tx = Transaction(connection, internal(), Environment(self._config))  # type: ignore[arg-type]
            for one in changed:
                _write(tx, one)
            complete = _renew(tx, [one for one in same if one.alive])
            tx.finish()
            return complete

        complete = self._store.write(work)
        self._written = found if complete else {}  # somebody deleted one that lives: it appears again the next time
        return len(changed)


def identity(given: str) -> str:
    """The id of the agent's row: the one that OVN has for it, where this is a UUID."""
    try:
        return str(UUID(given))
    except ValueError:
        return str(uuid5(NAMESPACE_OID, given))


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")


def _heard(tx: Transaction, alive: bool) -> str:
    """When such an agent was last heard of, as far as this matters: now, or just too long ago."""
    now = datetime.now(UTC).replace(tzinfo=None)
    return _time(now if alive else now - timedelta(seconds=tx.config.api.agent_down_time + 1))


def _write(tx: Transaction, one: AgentFacts) -> None:
    """Make the row say it. The change log hears of what is different, not of each death and return: those show in `alive`."""
    columns = (AGENTS.c.id, AGENTS.c.agent_type, AGENTS.c.availability_zone, AGENTS.c.configurations)
    mine = select(*columns).where(AGENTS.c.host == one.host, AGENTS.c.agent_type.in_(one.kinds))
    row = tx.first(mine.order_by(AGENTS.c.agent_type != one.agent_type))
    values = {
        "agent_type": one.agent_type,
        "binary": one.binary,
        "topic": TOPIC,
        "host": one.host,
        "availability_zone": one.availability_zone or None,
        "configurations": json.loads(json.dumps(dict(one.configurations))),  # as it is read again: without tuples
        "heartbeat_timestamp": _heard(tx, one.alive),
    }
    if row is not None:
        if any(getattr(row, name) != values[name] for name in ("agent_type", "availability_zone", "configurations")):
            tx.record(AGENT, {"id": row.id}, "update")
        tx.execute(update(AGENTS).where(AGENTS.c.id == bindparam("row_id")), {"row_id": row.id, **values})
        return
    now = _heard(tx, True)
    new = {"id": identity(one.id), "created_at": now, "started_at": now, **values}
    tx.add(AGENTS, [{"admin_state_up": tx.config.api.enable_new_agents, **new}])
    tx.record(AGENT, new, "create")


def _renew(tx: Transaction, living: Sequence[AgentFacts]) -> bool:
    """Whether all of them were there."""
    found = 0
    by_type: dict[str, list[str]] = {}
    for one in living:
        by_type.setdefault(one.agent_type, []).append(one.host)
    for kind, hosts in by_type.items():
        for start in range(0, len(hosts), MANY):
            some = AGENTS.c.host.in_(hosts[start : start + MANY])
            heard = update(AGENTS).where(AGENTS.c.agent_type == kind, some).values(heartbeat_timestamp=_heard(tx, True))
            found += tx.execute(heard).rowcount
    return found == len(living)
