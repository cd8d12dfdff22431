"""What a request does to the database, in its one transaction: rows in, rows out, revisions, quota, the change log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import uuid4

from sqlalchemy import Connection, Delete, Executable, Update, bindparam, delete, select, update
from sqlalchemy import Row as SqlRow

from weft import errors
from weft.config import Config
from weft.context import Context
from weft.registry.resource import Resource, Row
from weft.store import access, changes, quota, rows
from weft.store.engine import TryAgain

T = TypeVar("T")


def now() -> str:
    """The time as the API writes it: UTC, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class Environment:
    """What app.py hands to everything that runs in a transaction.

    `bind(tx, port row, segments)` decides how a port is attached to its host: a Binding, or an Unbound with the reason.
    `honours(alias)`: the dataplane can make what that extension of the API promises.
    `unforwardable(protocol, ports)`: why the dataplane cannot forward so many ports; '' if it can.
    `zones(tx, kind)` names the availability zones with agents for networks (`network`) or routers (`router`).
    """

    config: Config
    bind: Callable[[Transaction, Row, Sequence[Row]], Any] | None = None
    zones: Callable[[Transaction, str], frozenset[str]] = lambda tx, kind: frozenset()
    honours: Callable[[str], bool] = lambda alias: True
    unforwardable: Callable[[str, int], str] = lambda protocol, ports: ""


def _another(resource: Resource, row: Row) -> TryAgain:
    return TryAgain(f"{resource.member} {row['id']} is another one than was read")


class Transaction:
    """One transaction on behalf of `context`. Rows are API rows; everything else of the database stays below this line."""

    __slots__ = (
        "_bumped",
        "_changes",
        "_charges",
        "_fresh",
        "_limits",
        "_memo",
        "_messages",
        "_now",
        "config",
        "connection",
        "context",
        "environment",
    )

    def __init__(self, connection: Connection, context: Context, environment: Environment) -> None:
        self.connection = connection
        self.context = context
        self.environment = environment
        self.config = environment.config
        self._now = ""
        self._changes: dict[tuple[str, str], dict[str, Any]] = {}
        self._bumped: dict[tuple[str, str], int] = {}
        self._fresh: set[tuple[str, str]] = set()
        self._charges: dict[tuple[str, str], int] = {}
        self._limits: set[tuple[str, str]] = set()
        self._memo: dict[Any, Any] = {}
        self._messages: list[dict[str, Any]] = []

    @property
    def now(self) -> str:
        """The time of this transaction: of when it was first asked for."""
        self._now = self._now or now()
        return self._now

    # -- reading

    def once(self, key: Any, load: Callable[[], T]) -> T:
        """`load()`, called at most once per transaction for `key`: what several verbs of one request need."""
        if key not in self._memo:
            self._memo[key] = load()
        return self._memo[key]  # type: ignore[no-any-return]

    def forget(self, key: Any) -> None:
        """Forget what `once` remembers: it has changed."""
        self._memo.pop(key, None)

    def execute(self, statement: Executable, parameters: Any = None) -> Any:
        return self.connection.execute(statement, parameters)

    def all(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[SqlRow[Any]]:
        return self.connection.execute(statement, parameters).all()

    def first(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> SqlRow[Any] | None:
        return self.connection.execute(statement, parameters).first()

    def find(self, resource: Resource, id: str, *, everybody: bool = False, parent_id: str = "") -> Row | None:
        """The object with that id if the caller may see it (`everybody`: if it exists)."""
        return rows.find(self, resource, id, everybody=everybody, parent_id=parent_id)

    def get(self, resource: Resource, id: str, *, everybody: bool = False, parent_id: str = "") -> Row:
        """Like `find`, but raises the resource's NotFound."""
        row = self.find(resource, id, everybody=everybody, parent_id=parent_id)
        if row is None:
            raise resource.missing(id, parent_id)
        return row

    def list(self, resource: Resource, *where: Any, everybody: bool = True) -> list[Row]:
        """All objects that fulfil the clauses `where` on the resource's table."""
        return rows.select_where(self, resource, where, everybody=everybody)

    # -- writing

    def insert(self, resource: Resource, row: Row) -> None:
        """Insert `row`, completing it with id, revision and times; count it against the quota; log it."""
        self.insert_many(resource, [row])

    def insert_many(self, resource: Resource, many: Sequence[Row]) -> None:
        if not many:
            return
        for row in many:
            row.setdefault("id", str(uuid4()))
            if resource.stamped:
                row["revision_number"] = 0
                row["created_at"] = row["updated_at"] = self.now
                row.setdefault("tags", [])
            self._fresh.add((resource.member, row["id"]))
            self.record(resource, row, "create")
            if resource.quota:
                self.charge(row["project_id"], resource.quota, 1)
        stored = resource.stored
        values = [{column: row[name] for name, column in stored} for row in many]
        self.connection.execute(rows.insert_statement(resource), values if len(values) > 1 else values[0])

    def update(self, resource: Resource, old: Row, new: Row) -> None:
        """Write the stored attributes in which `new` differs from `old`; bumps the revision once per transaction.

        A concurrent change of the same row is found, as a serialization failure or by the revision, and the store tries again.
        """
        values = {column: new[name] for name, column in resource.stored if new[name] != old.get(name)}
        if not values:
            return
        guard = self._guard(resource, old)
        if resource.stamped:
            new["updated_at"] = values["updated_at"] = self.now
            new["revision_number"] = values["revision_number"] = self._next_revision(resource, new)
        self._change(resource, old, update(resource.table).values(**values), guard)
        self.record(resource, new, "update", old)

    def hold(self, resource: Resource, id: str) -> None:
        """Of all transactions that hold the object, one at a time commits: what they read to decide stays true.

        On PostgreSQL the others are serialization failures, which the store tries again; SQLite has one writer anyway.
        """
        table = resource.table
        self.connection.execute(
            update(table).where(table.c.id == bindparam("row_id")).values(id=table.c.id), {"row_id": id}
        )

    def lock(self, resource: Resource, id: str) -> None:
        """Nobody changes or deletes the object until the end, or makes what refers to it: of what does, all is there now.

        For transactions that are patient (Store.write). SQLite has one writer anyway.
        """
        if self.connection.dialect.name != "sqlite":
            table = resource.table
            self.connection.execute(select(table.c.id).where(table.c.id == id).with_for_update())

    def delete(self, resource: Resource, row: Row) -> None:
        """Delete the object and, where it has any, the RBAC policies that share it."""
        readers = []
        if resource.visible_by_rbac:
            for project, target in access.forget(self.connection, row["id"]):
                self.charge(project, access.QUOTA, -1)
                readers.append(target)
        self._change(resource, row, delete(resource.table), self._guard(resource, row))
        self.record(resource, row, "delete", readers=readers)
        if resource.quota:
            self.charge(row["project_id"], resource.quota, -1)

    def touch(self, resource: Resource, row: Row, *, read: bool = True) -> None:
        """Something that belongs to `row` but stands in another table changed: bump its revision and log an update.

        `read` False: nothing was decided by what `row` says, so it matters to nobody if it has changed since.
        """
        key = (resource.member, row["id"])
        if resource.stamped and key not in self._fresh and key not in self._bumped:
            columns = resource.table.c
            raised = update(resource.table).values(updated_at=self.now, revision_number=columns.revision_number + 1)
            raised = raised.where(columns.id == bindparam("row_id")).returning(columns.revision_number)
            values = {"row_id": row["id"]}
            if read:
                raised = raised.where(columns.revision_number == bindparam("read_revision"))
                values["read_revision"] = row["revision_number"]
            found = self.connection.execute(raised, values).first()
            if found is None:
                raise _another(resource, row)
            row["updated_at"] = self.now
            row["revision_number"] = self._bumped[key] = found[0]
        self.record(resource, row, "update")

    def _guard(self, resource: Resource, row: Row) -> int | None:
        """The revision at which a change of `row` finds it in the table, if it is as it was read; None for what this
        transaction has written itself, and for what has no revision."""
        if not resource.stamped or (key := (resource.member, row["id"])) in self._fresh or key in self._bumped:
            return None
        return int(row["revision_number"])

    def _change(self, resource: Resource, row: Row, statement: Update | Delete, guard: int | None) -> None:
        """Run `statement` on the row, unless somebody else changed or deleted it since it was read: TryAgain then.

        That can be where a transaction sees what others commit (Store.write, `patient`).
        """
        columns = resource.table.c
        statement = statement.where(columns.id == bindparam("row_id"))
        values = {"row_id": row["id"]}
        if guard is not None:
            statement = statement.where(columns.revision_number == bindparam("read_revision"))
            values["read_revision"] = guard
        if not self.connection.execute(statement, values).rowcount and guard is not None:
            raise _another(resource, row)

    def record(
        self, resource: Resource, row: Row, operation: str, old: Row | None = None, readers: Sequence[str] = ()
    ) -> None:
        """Note in the change log that `operation` happened to `row`; several on one object in one transaction become one.

        `old` is the row before, where that was different; `readers` the projects that could see what is deleted.
        """
        key = (resource.member, row["id"])
        facts = resource.strategy.facts(row if old is None and operation != "create" else old, row)
        if operation == "delete":
            facts = {**facts, "row": {name: row[name] for name in resource.shown if name in row}, "readers": readers}
        earlier = self._changes.get(key)
        if earlier is not None:
            if earlier["operation"] == "create" and operation == "delete":
                operation = "delete"
            elif earlier["operation"] in ("create", "delete") or operation == "status":
                operation = earlier["operation"]
            if facts and earlier["facts"]:
                facts = {**facts, **{name: value for name, value in earlier["facts"].items() if name.startswith("was")}}
        self._changes[key] = self._entry(
            resource.member, row["id"], row.get("revision_number") or 0, row.get("project_id") or "", operation, facts
        )

    def tell(self, event: str, payload: Any) -> None:
        """A message for the bus, sent once this transaction is committed; nothing where no bus is configured."""
        if self.config.notifications.on:
            facts = {"event": event, "payload": payload, "context": self.context.facts()}
            project = self.context.project_id
            self._messages.append(self._entry(changes.NOTIFICATION, "", 0, project, "notify", facts))

    def _entry(
        self, kind: str, id: str, revision: int, project_id: str, operation: str, facts: Mapping[str, Any]
    ) -> dict[str, Any]:
        return {
            "kind": kind,
            "id": id,
            "revision": revision,
            "project_id": project_id,
            "operation": operation,
            "request_id": self.context.request_id,
            "at": self.now,
            "facts": facts or None,
        }

    def done(self) -> Sequence[Mapping[str, Any]]:
        """What the change log will tell of this transaction: kind, id and operation of each object."""
        return [{name: entry[name] for name in ("kind", "id", "operation")} for entry in self._changes.values()]

    def _next_revision(self, resource: Resource, row: Row) -> int:
        key = (resource.member, row["id"])
        if key in self._fresh:
            return int(row["revision_number"])
        if key not in self._bumped:
            self._bumped[key] = row["revision_number"] + 1
        return self._bumped[key]

    # -- quota

    def charge(self, project_id: str, name: str, amount: int) -> None:
        """Count `amount` more (or fewer) of `name` for the project; settled in one statement each at the end."""
        if project_id:
            key = (project_id, name)
            self._charges[key] = self._charges.get(key, 0) + amount

    def hold_to_limit(self, project_id: str, name: str) -> None:
        """The limit of `name` binds this transaction. (What Weft itself creates is counted, but never refused.)"""
        self._limits.add((project_id, name))

    def refuse_beyond(self, name: str, projects: Sequence[str]) -> None:
        """Raise OverQuota for more of `name` at once than a project may have at all, before the work and not after it."""
        for project, number in Counter(projects).items():
            limit = quota.usage(self.connection, project).get(name, (0, None))[1]
            limit = self.default_limit(name) if limit is None else limit
            if 0 <= limit < number:
                raise errors.OverQuota(resources=[name])

    def finish(self) -> None:
        """The last act before commit: the change log, then quota counters, for which others of the project wait until then."""
        changes.append(self.connection, [*self._changes.values(), *self._messages])
        over = []
        for (project, name), amount in sorted(self._charges.items()):
            if amount:
                limit = self.default_limit(name) if (project, name) in self._limits else None
                if not quota.move(self.connection, project, name, amount, limit):
                    over.append(name)
        if over:
            raise errors.OverQuota(resources=sorted(set(over)))

    def default_limit(self, name: str) -> int:
        """The configured limit of a project for `name`; -1: none."""
        value = getattr(self.config.quotas, f"quota_{name}", None)
        return int(self.config.quotas.default_quota if value is None else value)

    @property
    def changed(self) -> bool:
        """True once something was written that the change log will tell."""
        return bool(self._changes or self._messages)
