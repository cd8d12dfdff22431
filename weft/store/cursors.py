"""How far each reader of the change log is that must miss nothing."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import BigInteger, Column, Connection, Integer, String, Table, func, insert, select, update

from weft.store.schema import METADATA

CURSORS = Table(
    "cursors",
    METADATA,
    Column("consumer", String(64), primary_key=True),
    Column("sequence", BigInteger().with_variant(Integer, "sqlite"), nullable=False),
)
"""`sequence`: the last entry that the consumer is done with."""

PRUNED = "pruned"
"""The row whose number is the highest that the log has forgotten."""


def read(connection: Connection, consumer: str) -> int | None:
    """Where the consumer is; None: it has never been anywhere."""
    found = connection.execute(select(CURSORS.c.sequence).where(CURSORS.c.consumer == consumer)).scalar()
    return None if found is None else int(found)


def pruned(connection: Connection) -> int:
    """The highest number that the log has forgotten; 0: none."""
    return read(connection, PRUNED) or 0


def every(connection: Connection) -> dict[str, int]:
    """Where each consumer is."""
    found = connection.execute(select(CURSORS.c.consumer, CURSORS.c.sequence).where(CURSORS.c.consumer != PRUNED))
    return {row.consumer: int(row.sequence) for row in found}


def behind(connection: Connection, consumers: Iterable[str]) -> int | None:
    """Where the slowest of `consumers` is; None when none of them has a cursor."""
    found = select(func.min(CURSORS.c.sequence)).where(CURSORS.c.consumer.in_(sorted(consumers)))
    slowest = connection.execute(found).scalar()
    return None if slowest is None else int(slowest)


def advance(connection: Connection, consumer: str, sequence: int) -> None:
    """Everything up to `sequence` is done with. A cursor never goes back: of two processes the one behind moves nothing."""
    forward = update(CURSORS).where(CURSORS.c.consumer == consumer, CURSORS.c.sequence < sequence)
    if not connection.execute(forward.values(sequence=sequence)).rowcount and read(connection, consumer) is None:
        connection.execute(insert(CURSORS), {"consumer": consumer, "sequence": sequence})
