"""What a request does to the database, in its one transaction: rows in, rows out, revisions, quota, the change log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import uuid4

from sqlalchemy import Connection, Delete, Executable, Table, Update
from sqlalchemy import Row as SqlRow

from weft import errors
from weft.config import Config
from weft.context import Context
from weft.registry.resource import Resource, Row
from weft.store import access, changes, quota, rows
from weft.store.additions import Additions
from weft.store.engine import TryAgain

T = TypeVar("T")
Differences = Mapping[tuple[str, str, str], tuple[int, int]]
"""(server, resource provider, resource class) -> how much the server's ports are granted of it, and how much they shall be."""


def now(ago: float = 0.0) -> str:
    """The time as the API writes it: UTC, whole seconds. `ago`: that of so many seconds before."""
    return (datetime.now(UTC) - timedelta(seconds=ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class Environment:
    """What app.py hands to everything that runs in a transaction.

    `bind(tx, port row, segments)` decides how a port is attached to its host: a Binding, or an Unbound with the reason.
    `honours(alias)`: the dataplane can make what that extension of the API promises.
    `unforwardable(protocol, ports)`: why the dataplane cannot forward so many ports; '' if it can.
    `unloggable(port row)`: why the dataplane cannot log what a port's groups do; '' if it can.
    `zones(tx, kind)` names the availability zones with agents for networks (`network`) or routers (`router`).
    `reallocate(differences)` has Placement change all of them or raises; it takes its time. None: there is no Placement to tell.
    """

    config: Config
    bind: Callable[[Transaction, Row, Sequence[Row]], Any] | None = None
    zones: Callable[[Transaction, str], frozenset[str]] = lambda tx, kind: frozenset()
    honours: Callable[[str], bool] = lambda alias: True
    unforwardable: Callable[[str, int], str] = lambda protocol, ports: ""
    unloggable: Callable[[Row], str] = lambda port: ""
    reallocate: Callable[[Differences], None] | None = None


def _another(resource: Resource, id: str) -> TryAgain:
    return TryAgain(f"{resource.member} {id} is another one than was read")


class Transaction:
    """One transaction on behalf of `context`. Rows are API rows; everything else of the database stays below this line."""

    __slots__ = (
        "_additions",
        "_bumped",
        "_changes",
        "_charges",
        "_connection",
        "_fresh",
        "_limits",
        "_locked",
        "_memo",
        "_messages",
        "_now",
        "config",
        "context",
        "differences",
        "environment",
        "hopeful",
    )

    def __init__(
        self, connection: Connection, context: Context, environment: Environment, *, hopeful: bool = False
    ) -> None:
        self.hopeful = hopeful
        """This is the first try: what a constraint holds need not be looked at as well. Where one objects, the next try
        looks, and names what is in the way."""
        self._connection = connection
        self._additions = Additions()
        self.context = context
        self.environment = environment
        self.config = environment.config
        self._now = ""
        self._changes: dict[tuple[str, str], dict[str, Any]] = {}
        self._bumped: dict[tuple[str, str], int] = {}
        self._fresh: set[tuple[str, str]] = set()
        self._charges: dict[tuple[str, str], int] = {}
        self._limits: set[tuple[str, str]] = set()
        self._locked: set[tuple[str, str]] = set()
        self._memo: dict[Any, Any] = {}
        self._messages: list[dict[str, Any]] = []
        self.differences: dict[tuple[str, str, str], tuple[int, int]] = {}
        """What Placement has to be told before this may be committed."""

    @property
    def connection(self) -> Connection:
        """The database as this transaction has left it."""
        self._additions.send(self._connection)
        return self._connection

    def _beside(self, table: Table) -> Connection:
        """The database for changing columns of a row in `table` that no constraint asks: what other tables get can wait."""
        return self.connection if self._additions.concern(table) else self._connection

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

    def find(
        self, resource: Resource, id: str, *, everybody: bool = False, parent_id: str = "", lock: rows.Lock = ""
    ) -> Row | None:
        """The object with that id if the caller may see it (`everybody`: if it exists)."""
        if lock == rows.ALONE:
            self._locked.add((resource.member, id))
        return rows.find(self, resource, id, everybody=everybody, parent_id=parent_id, lock=lock)

    def get(
        self, resource: Resource, id: str, *, everybody: bool = False, parent_id: str = "", lock: rows.Lock = ""
    ) -> Row:
        """Like `find`, but raises the resource's NotFound."""
        row = self.find(resource, id, everybody=everybody, parent_id=parent_id, lock=lock)
        if row is None:
            raise resource.missing(id, parent_id)
        return row

    def list(
        self, resource: Resource, *where: Any, everybody: bool = True, values: Mapping[str, Any] | None = None
    ) -> list[Row]:
        """All objects that fulfil the clauses `where` on the resource's table. `values`: of parameters in clauses that are
        made once, and not for each call."""
        return rows.select_where(self, resource, where, everybody=everybody, values=values)

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
        self.add(resource.table, [{column: row[name] for name, column in stored} for row in many])

    def add(self, table: Table, many: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows, by names of columns; into a table that is a resource's: `insert`."""
        self._additions.add(table, many)
        if self._connection.dialect.name == "sqlite":
            # one call of a function, and it wants at once what a row refers to
            self._additions.send(self._connection)

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
        statement = rows.update_statement(resource, tuple(values), guard is not None)
        self._change(resource, old, statement, {f"new_{name}": value for name, value in values.items()}, guard)
        self.record(resource, new, "update", old)

    def hold(self, resource: Resource, id: str, revision: int | None = None) -> None:
        """Of all transactions that hold the object, one at a time commits: what they read to decide stays true.

        On PostgreSQL the others are serialization failures, which the store tries again, or wait, where they are patient
        (Store.write) and name the `revision` at which they read the object. SQLite has one writer anyway.
        """
        values = {"row_id": id} if revision is None else {"row_id": id, "read_revision": revision}
        if not self.connection.execute(rows.hold_statement(resource, revision is not None), values).rowcount:
            raise _another(resource, id)

    def has_alone(self, resource: Resource, id: str) -> bool:
        """The object is locked, or this transaction's own, which nobody else sees yet."""
        return (resource.member, id) in self._locked or (resource.member, id) in self._fresh

    def lock(self, resource: Resource, id: str) -> None:
        """Have the object ALONE. For transactions that are patient (Store.write)."""
        if self._connection.dialect.name != "sqlite" and (resource.member, id) not in self._locked:
            self._locked.add((resource.member, id))
            self.connection.execute(rows.lock_statement(resource), {"row_id": id})

    def delete(self, resource: Resource, row: Row, *, granted: bool = True) -> None:
        """Delete the object and the RBAC policies that share it. `granted` False: under the lock there was none of them."""
        readers = []
        if resource.visible_by_rbac and granted:
            for project, target in access.forget(self.connection, row["id"]):
                self.charge(project, access.QUOTA, -1)
                readers.append(target)
        guard = self._guard(resource, row)
        self._change(resource, row, rows.delete_statement(resource, guard is not None), {}, guard)
        self.deleted(resource, row, readers)

    def deleted(self, resource: Resource, row: Row, readers: Sequence[str] = ()) -> None:
        """The object is deleted, here or with what it belongs to (ON DELETE CASCADE): log it, and count it no more."""
        self.record(resource, row, "delete", readers=readers)
        if resource.quota:
            self.charge(row["project_id"], resource.quota, -1)

    def touch(self, resource: Resource, row: Row, *, read: bool = True) -> None:
        """Something that belongs to `row` but stands in another table changed: bump its revision and log an update.

        `read` False: nothing was decided by what `row` says, so it matters to nobody if it has changed since.
        """
        key = (resource.member, row["id"])
        if resource.stamped and key not in self._fresh and key not in self._bumped:
            values = {"row_id": row["id"], "now": self.now}
            if read:
                values["read_revision"] = row["revision_number"]
            found = self._beside(resource.table).execute(rows.touch_statement(resource, read), values).first()
            if found is None:
                raise _another(resource, row["id"])
            row["updated_at"] = self.now
            self._bumped[key] = found[0]
        if key in self._bumped:
            row["revision_number"] = self._bumped[key]
        self.record(resource, row, "update")

    def _guard(self, resource: Resource, row: Row) -> int | None:
        """The revision at which a change of `row` finds it in the table, if it is as it was read; None for what this
        transaction has written itself, and for what has no revision."""
        if not resource.stamped or (key := (resource.member, row["id"])) in self._fresh or key in self._bumped:
            return None
        return int(row["revision_number"])

    def _change(
        self, resource: Resource, row: Row, statement: Update | Delete, values: dict[str, Any], guard: int | None
    ) -> None:
        """Run `statement` on the row, unless somebody else changed or deleted it since it was read: TryAgain then.

        That can be where a transaction sees what others commit (Store.write, `patient`).
        """
        values["row_id"] = row["id"]
        if guard is not None:
            values["read_revision"] = guard
        if not self.connection.execute(statement, values).rowcount and guard is not None:
            raise _another(resource, row["id"])

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

    def reallocate(self, server: str, provider: str, resource_class: str, was: int, now: int) -> None:
        """A port of the server asks the provider for `now` instead of `was`. Ports of one server add up."""
        key = (server, provider, resource_class)
        before = self.differences.get(key, (0, 0))
        self.differences[key] = (before[0] + was, before[1] + now)

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

    def finish(self) -> bool:
        """The last act before commit: the change log, then quota counters, for which others of the project wait until then.

        True if something was written of which the change log tells.
        """
        self.add(changes.CHANGES, [*self._changes.values(), *self._messages])
        moves = [
            quota.Move(project, name, amount, self.default_limit(name) if (project, name) in self._limits else None)
            for (project, name), amount in sorted(self._charges.items())
            if amount
        ]
        over = quota.settle(self._connection, moves, self._additions)
        if over:
            raise errors.OverQuota(resources=sorted(over))
        return bool(self._changes or self._messages)

    def default_limit(self, name: str) -> int:
        """The configured limit of a project for `name`; -1: none."""
        value = getattr(self.config.quotas, f"quota_{name}", None)
        return int(self.config.quotas.default_quota if value is None else value)
