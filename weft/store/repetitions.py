"""Answers that were given to requests with an Idempotency-Key, so that a repetition gets the same one."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Column, Connection, Index, Integer, LargeBinary, String, Table, delete, insert, select

from weft.store.schema import METADATA, PROJECT

REPETITIONS = Table(
    "repetitions",
    METADATA,
    Column("project_id", PROJECT, primary_key=True),
    Column("user_id", String(255), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("at", String(20), nullable=False),
    Index("ix_repetitions_at", "at"),
)


@dataclass(frozen=True, slots=True)
class Key:
    """Whose key it is, and what was asked with it: a digest of the request."""

    project_id: str
    user_id: str
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Kept:
    """The answer to the first request with a key; `fingerprint` tells which request that was."""

    fingerprint: str
    status: int
    body: bytes


def find(connection: Connection, key: Key) -> Kept | None:
    """The answer that was kept; None for a key that is new."""
    c = REPETITIONS.c
    statement = select(c.fingerprint, c.status, c.body).where(
        c.project_id == key.project_id, c.user_id == key.user_id, c.key == key.key
    )
    found = connection.execute(statement).first()
    return None if found is None else Kept(*found)


def keep(connection: Connection, key: Key, status: int, body: bytes, at: str) -> None:
    """Keep an answer in the transaction of what it tells. Of two at once one violates the primary key and is tried again."""
    values = {"project_id": key.project_id, "user_id": key.user_id, "key": key.key, "fingerprint": key.fingerprint}
    connection.execute(insert(REPETITIONS), {**values, "status": status, "body": body, "at": at})


def prune(connection: Connection, before: str) -> int:
    """Forget answers older than the time `before`; returns how many."""
    return connection.execute(delete(REPETITIONS).where(REPETITIONS.c.at < before)).rowcount
