"""How far each reader of the change log is that must miss nothing, and which process reads on for it."""

from __future__ import annotations

import time
from collections.abc import Iterable

from sqlalchemy import BigInteger, Column, Connection, Integer, String, Table, bindparam, func, insert, or_, select, update

from weft.store.schema import METADATA

CURSORS = Table(
    "cursors",
    METADATA,
    Column("consumer", String(64), primary_key=True),
    Column("sequence", BigInteger().with_variant(Integer, "sqlite"), nullable=False),
    Column("holder", String(64), nullable=False, default="", server_default=""),
    Column("until", BigInteger, nullable=False, default=0, server_default="0"),
)
"""`sequence`: the last entry that the consumer is done with. `holder` delivers for it `until` then (Unix time)."""

PRUNED = "pruned"
"""The row whose number is the highest that the log has forgotten."""


def read(connection: Connection, consumer: str) -> int | None:
    """Where the consumer is; None: it has never been anywhere."""
    found = connection.execute(select(CURSORS.c.sequence).where(CURSORS.c.consumer == consumer)).scalar()
    return None if found is None else int(found)


def pruned(connection: Connection) -> int:
    """The highest number that the log has forgotten; 0: none."""
    return read(connection, PRUNED) or 0


def behind(connection: Connection, consumers: Iterable[str]) -> int | None:
    """Where the slowest of `consumers` is; None when none of them has a cursor."""
    names = sorted(consumers)
    if not names:
        return None
    found = connection.execute(select(func.min(CURSORS.c.sequence)).where(CURSORS.c.consumer.in_(names))).scalar()
    return None if found is None else int(found)


def put(connection: Connection, consumer: str, sequence: int) -> None:
    """Set the cursor, whoever holds it."""
    statement = update(CURSORS).where(CURSORS.c.consumer == bindparam("name")).values(sequence=sequence)
    if not connection.execute(statement, {"name": consumer}).rowcount:
        connection.execute(insert(CURSORS), {"consumer": consumer, "sequence": sequence})


def hold(connection: Connection, consumer: str, holder: str, seconds: int) -> int | None:
    """Take or keep the lease for so many seconds; the cursor, or None while somebody else holds it."""
    now = int(time.time())
    statement = update(CURSORS).where(
        CURSORS.c.consumer == bindparam("name"), or_(CURSORS.c.holder == holder, CURSORS.c.until < now)
    )
    taken = connection.execute(statement.values(holder=holder, until=now + seconds), {"name": consumer}).rowcount
    return read(connection, consumer) if taken else None


def move(connection: Connection, consumer: str, holder: str, sequence: int) -> bool:
    """Everything up to `sequence` is done with. False, and nothing moved, when the lease is somebody else's by now."""
    statement = update(CURSORS).where(CURSORS.c.consumer == bindparam("name"), CURSORS.c.holder == holder)
    return bool(connection.execute(statement.values(sequence=sequence), {"name": consumer}).rowcount)


def release(connection: Connection, consumer: str, holder: str) -> None:
    """Let the next process take over at once."""
    statement = update(CURSORS).where(CURSORS.c.consumer == bindparam("name"), CURSORS.c.holder == holder)
    connection.execute(statement.values(holder="", until=0), {"name": consumer})
