"""Leases: of all processes that could do a piece of work, one at a time does it.

A lease is a row with a holder and an end, moved by compare-and-set on the database's clock. The holder renews it; when
it stops it gives it back, and when it dies the lease ends. Nobody's correctness hangs on it: a process that was stopped
for longer than its lease goes on for a moment beside its successor, so what it does must be idempotent, or guarded by
the lease's `term`, which grows with every change of holder.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import (
    Column,
    Connection,
    Double,
    Integer,
    String,
    Table,
    bindparam,
    case,
    insert,
    or_,
    select,
    update,
)

from weft import errors
from weft.store import clock
from weft.store.engine import Store
from weft.store.schema import METADATA

LEASES = Table(
    "leases",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("holder", String(255), nullable=False),
    Column("term", Integer, nullable=False),
    Column("until", Double, nullable=False),  # seconds since 1970; 0: given back
)

SECONDS = 15.0
"""How long a lease lasts that nobody renews."""

_mine = LEASES.c.holder == bindparam("me")
_TAKE = (
    update(LEASES)
    .where(LEASES.c.name == bindparam("lease"), or_(_mine, LEASES.c.until < clock.seconds()))
    .values(
        holder=bindparam("me"),
        term=case((_mine, LEASES.c.term), else_=LEASES.c.term + 1),
        until=clock.seconds() + bindparam("seconds"),
    )
    .returning(LEASES.c.term)
)
_RELEASE = update(LEASES).where(LEASES.c.name == bindparam("lease"), _mine).values(until=0.0)
_TAKEN = select(LEASES.c.name).where(
    LEASES.c.name == bindparam("lease"), LEASES.c.until >= clock.seconds(), LEASES.c.holder != bindparam("me")
)


@dataclass(frozen=True, slots=True)
class Held:
    """Who holds a lease. `seconds`: until it ends if nobody renews it; negative: it has ended."""

    name: str
    holder: str
    term: int
    seconds: float


class Lease:
    """One process's wish for a lease. `holder` names the process: no other may use that name."""

    def __init__(
        self,
        store: Store,
        name: str,
        holder: str,
        seconds: float = SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.holder = holder
        self.term = 0
        self._store = store
        self._seconds = seconds
        self._monotonic = monotonic
        self._until = 0.0

    @property
    def held(self) -> bool:
        """Whether it is surely still ours. By our own clock, from before the renewal was sent: never longer than the row."""
        return self._monotonic() < self._until

    def take(self) -> bool:
        """Take the lease, or renew it; False: somebody else has it. A database that does not answer keeps what we have."""
        asked = self._monotonic()
        with suppress(errors.ServiceUnavailable, errors.Conflict):
            term = self._store.write(self._take) if not self._store.read(self._taken) else None
            self._until = asked + self._seconds if term is not None else 0.0
            self.term = term or self.term
        return self.held

    def release(self) -> None:
        """Give it back, so that the next one need not wait for its end."""
        if self._until:
            self._until = 0.0
            with suppress(errors.ServiceUnavailable):
                self._store.write(lambda connection: connection.execute(_RELEASE, self._values))

    @property
    def _values(self) -> dict[str, object]:
        return {"lease": self.name, "me": self.holder}

    def _taken(self, connection: Connection) -> bool:
        """Somebody else has it: asked without writing, since most who ask are those who wait."""
        return connection.execute(_TAKEN, self._values).first() is not None

    def _take(self, connection: Connection) -> int | None:
        term = connection.execute(_TAKE, {**self._values, "seconds": self._seconds}).scalar()
        if term is not None:
            return int(term)
        if connection.execute(select(LEASES.c.name).where(LEASES.c.name == self.name)).first():
            return None
        row = {"name": self.name, "holder": self.holder, "term": 1, "until": clock.seconds() + self._seconds}
        connection.execute(insert(LEASES).values(row))
        return 1


def held(connection: Connection) -> list[Held]:
    """All leases, for people to look at."""
    left = (LEASES.c.until - clock.seconds()).label("seconds")
    statement = select(LEASES.c.name, LEASES.c.holder, LEASES.c.term, left).order_by(LEASES.c.name)
    return [Held(**row) for row in connection.execute(statement).mappings()]
