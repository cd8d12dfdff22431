"""The change log: every commit appends what it did; reconcilers, watchers and notifications read on from a number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Connection, Index, Integer, String, Table, delete, func, insert, select

from weft.store import cursors
from weft.store.schema import ID, METADATA, PROJECT

CHANGES = Table(
    "changes",
    METADATA,
    Column("sequence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
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


_INSERT = insert(CHANGES)


def append(connection: Connection, changes: list[dict[str, Any]]) -> None:
    """Write the entries of one transaction; the last statement before its commit."""
    if changes:
        connection.execute(_INSERT, changes)


def last(connection: Connection) -> int:
    """The newest number."""
    return int(connection.execute(select(func.coalesce(func.max(CHANGES.c.sequence), 0))).scalar_one())


def after(connection: Connection, sequence: int, limit: int = 1000) -> list[Change]:
    """The next entries after `sequence`, oldest first."""
    statement = select(CHANGES).where(CHANGES.c.sequence > sequence).order_by(CHANGES.c.sequence).limit(limit)
    return [Change(**row) for row in connection.execute(statement).mappings()]


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
