"""The change log: every commit appends what it did; reconcilers, watchers and notifications read on from a number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    String,
    Table,
    bindparam,
    delete,
    func,
    insert,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from weft.store import cursors
from weft.store.additions import COMPUTED
from weft.store.schema import ID, METADATA, PROJECT

CHANGES = Table(
    "changes",
    METADATA,
    # counted by SQLite itself
    Column(
        "sequence",
        BigInteger().with_variant(Integer, "sqlite"),
        primary_key=True,
        autoincrement=True,
        info={COMPUTED: lambda: _numbered()},
    ),
    Column("kind", String(64), nullable=False),
    Column("id", ID, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("project_id", PROJECT, nullable=False),
    Column("operation", String(8), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("at", String(20), nullable=False),
    Column("facts", JSON(none_as_null=True)),
    Index("ix_changes_at", "at"),
    sqlite_autoincrement=True,  # numbers are never used twice, also after pruning
)
"""SQLite has one writer, so its numbers grow as transactions commit. On PostgreSQL they commit in another order than they
take numbers in, so a number is made of the transaction's own, and readers stay below the oldest that runs."""


NOTIFICATION = "notification"
"""The kind of entries that are messages for others, and no objects."""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that a committed transaction did. `operation`: create, update, delete, or status (only the status moved).

    `facts`: what readers need that may be gone when they come; Strategy.facts of the resource says what.
    """

    kind: str
    id: str
    revision: int
    project_id: str
    operation: str
    request_id: str
    at: str
    sequence: int = 0
    facts: Mapping[str, Any] | None = None


NUMBERS = Table(
    "change_numbers",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("base", BigInteger, nullable=False),
)
"""One row, on PostgreSQL: what is added to the numbers. A restored dump counts transactions anew, its log goes on."""

ENTRIES = 1 << 20
"""Numbers for the entries of one transaction, on PostgreSQL."""


class _transaction(FunctionElement[int]):
    """The number of this transaction."""

    type = BigInteger()
    inherit_cache = True


@compiles(_transaction, "postgresql")
def _transaction_postgresql(element: _transaction, compiler: Any, **kw: Any) -> str:
    return "pg_current_xact_id()::text::bigint"


class _oldest(FunctionElement[int]):
    """The number of the oldest transaction that still runs: each before it is committed and seen, or was rolled back."""

    type = BigInteger()
    inherit_cache = True


@compiles(_oldest, "postgresql")
def _oldest_postgresql(element: _oldest, compiler: Any, **kw: Any) -> str:
    return "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"


_base = func.coalesce(select(NUMBERS.c.base).scalar_subquery(), 0)
_final = _base + _oldest() * ENTRIES
"""On PostgreSQL, the number below which the log changes no more: later entries have this number or a higher one."""


def _numbered() -> ColumnElement[int]:
    return _base + _transaction() * ENTRIES + func.row_number().over() - 1


_LAST = select(
    func.coalesce(
        select(func.max(CHANGES.c.sequence)).scalar_subquery(),
        select(cursors.CURSORS.c.sequence).where(cursors.CURSORS.c.consumer == cursors.PRUNED).scalar_subquery(),
        0,
    )
)
_LAST_FINAL = select(_final - 1)
_AFTER = (
    select(CHANGES)
    .where(CHANGES.c.sequence > bindparam("cursor"))
    .order_by(CHANGES.c.sequence)
    .limit(bindparam("most", type_=Integer))
)
_AFTER_FINAL = _AFTER.where(CHANGES.c.sequence < _final)
HELD_BACK = select(select(CHANGES.c.sequence).where(CHANGES.c.sequence >= _final).exists())
"""On PostgreSQL: whether there are entries that `after` does not tell yet."""


def last(connection: Connection) -> int:
    """A reader that begins here misses nothing of what this transaction does not see."""
    return int(connection.execute(_LAST if connection.dialect.name == "sqlite" else _LAST_FINAL).scalar_one())


def after(connection: Connection, sequence: int, limit: int = 1000) -> list[Change]:
    """The next entries after `sequence`, oldest first: none that could still get a predecessor."""
    statement = _AFTER if connection.dialect.name == "sqlite" else _AFTER_FINAL
    found = connection.execute(statement, {"cursor": sequence, "most": limit})
    return [Change(**row) for row in found.mappings()]


def behind(connection: Connection, sequence: int, until: str = "") -> int:
    """How many entries a reader at `sequence` has yet to read; with `until` of those that were written by then."""
    statement = select(func.count()).select_from(CHANGES).where(CHANGES.c.sequence > sequence)
    if until:
        statement = statement.where(CHANGES.c.at <= until)
    return int(connection.execute(statement).scalar_one())


def has(connection: Connection, request_id: str) -> bool:
    """Whether a transaction of that request is committed. Looks at all of the log."""
    found = select(CHANGES.c.sequence).where(CHANGES.c.request_id == request_id).limit(1)
    return connection.execute(found).first() is not None


def continue_numbers(connection: Connection) -> None:
    """Let numbers go on where they were, should the server count its transactions anew: after a dump was restored."""
    if connection.dialect.name == "sqlite":
        return
    known = func.coalesce(func.max(CHANGES.c.sequence), 0)
    cursor = func.coalesce(select(func.max(cursors.CURSORS.c.sequence)).scalar_subquery(), 0)
    highest, next_one = connection.execute(select(func.greatest(known, cursor), _base + _transaction() * ENTRIES)).one()
    if highest < next_one:
        return
    base = connection.execute(select(_base)).scalar_one() + highest - next_one + ENTRIES
    connection.execute(delete(NUMBERS))
    connection.execute(insert(NUMBERS), {"id": 1, "base": base})


def prune(connection: Connection, before: str, consumers: Iterable[str] = ()) -> int:
    """Forget entries older than the time `before`, except what one of `consumers` has yet to read; returns how many."""
    newest = connection.execute(select(func.max(CHANGES.c.sequence)).where(CHANGES.c.at < before)).scalar()
    if newest is None:
        return 0
    done = cursors.behind(connection, consumers)
    newest = int(newest) if done is None else min(int(newest), done)
    forgotten = connection.execute(delete(CHANGES).where(CHANGES.c.sequence <= newest)).rowcount
    if forgotten:
        cursors.advance(connection, cursors.PRUNED, newest)
    return forgotten
