"""From the database to what is logged of which security groups. Logs are an administrator's and few: all are known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlalchemy import select

from weft.logical.model import Log
from weft.registry.resource import Row
from weft.resources.log import LOGS
from weft.resources.security_group import PORT_BINDINGS, SECURITY_GROUPS
from weft.store.transaction import Transaction


class Logs:
    """The logs that are switched on, by the security groups that they are about.

    One that names neither a group nor a port is about all groups of its project, one that names a port alone is about all
    groups of that port.
    """

    def __init__(self) -> None:
        self._of: dict[str, tuple[Log, ...]] = {}
        self._projects: set[str] = set()  # logged with all of their groups, those that come as well
        self._ports: set[str] = set()  # logged alone

    def of(self, group: str) -> tuple[Log, ...]:
        return self._of.get(group, ())

    def read(self, tx: Transaction) -> None:
        """Read all of them."""
        rows = [row._asdict() for row in tx.all(select(LOGS).where(LOGS.c.enabled).order_by(LOGS.c.id))]
        self._ports = {row["target_id"] for row in rows if row["target_id"]}
        self._projects = {row["project_id"] for row in rows if not row["target_id"] and not row["resource_id"]}
        groups_of = self._groups_of(tx)
        found: dict[str, list[Log]] = {}
        for row in rows:
            for group in _about(row, groups_of):
                found.setdefault(group, []).append(Log(row["id"], row["event"], row["target_id"] or ""))
        self._of = {group: tuple(logs) for group, logs in found.items()}

    def _groups_of(self, tx: Transaction) -> dict[str, list[str]]:
        """Port or project -> its groups, for those that are logged."""
        found: dict[str, list[str]] = {}
        of_port, of_project = PORT_BINDINGS.c.port_id, SECURITY_GROUPS.c.project_id
        if self._ports:
            statement = select(of_port, PORT_BINDINGS.c.security_group_id).where(of_port.in_(sorted(self._ports)))
            for port, group in map(tuple, tx.all(statement)):
                found.setdefault(port, []).append(group)
        if self._projects:
            statement = select(of_project, SECURITY_GROUPS.c.id).where(of_project.in_(sorted(self._projects)))
            for project, group in map(tuple, tx.all(statement)):
                found.setdefault(project, []).append(group)
        return found

    def refresh(self, tx: Transaction, dirty: Mapping[str, set[str]]) -> set[str]:
        """Follow what has changed (kind -> ids); returns the groups of which something else is logged now."""
        of_ports = not self._ports.isdisjoint(dirty.get("port", ()))
        of_groups = bool(self._projects and dirty.get("security_group"))
        if not (dirty.get("log") or of_ports or of_groups):
            return set()
        before = self._of
        self.read(tx)
        return {id for id in before.keys() | self._of.keys() if before.get(id) != self._of.get(id)}


def _about(row: Row, groups_of: Mapping[str, list[str]]) -> Iterator[str]:
    if row["resource_id"]:
        yield row["resource_id"]
    else:
        yield from groups_of.get(row["target_id"] or row["project_id"], ())
