"""SQLite or PostgreSQL behind one helper that runs a function in a transaction and is the only place that retries."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.pool import QueuePool

from weft import errors
from weft.config import Config

T = TypeVar("T")

SERIALIZATION_FAILURE, DEADLOCK = "40001", "40P01"
COLLISIONS = 3
"""How often a violated constraint is taken for a race."""
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class TryAgain(Exception):
    """The transaction met a state that another one is about to change or that a new draw of lots avoids; run it anew."""


def _sqlite_connect(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",  # 201 means committed, also after a power loss
        "foreign_keys=ON",
        "busy_timeout=10000",
        "cache_size=-8000",
        "mmap_size=268435456",
        "temp_store=MEMORY",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def make_engine(config: Config) -> Engine:
    """An engine for `config.database_url`, with JSON by msgspec and the settings that durability asks for."""
    url = make_url(config.database_url)
    json = {"json_serializer": lambda value: _encode(value).decode(), "json_deserializer": _decode}
    if url.get_backend_name() == "sqlite":
        if url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(
            url,
            poolclass=QueuePool,
            pool_size=16,
            max_overflow=16,
            pool_reset_on_return=None,
            connect_args={"check_same_thread": False, "cached_statements": 512},
            query_cache_size=1500,
            **json,
        )
        event.listen(engine, "connect", _sqlite_connect)
        return engine
    return create_engine(
        url,
        pool_size=config.database.pool_size,
        isolation_level="REPEATABLE READ",
        pool_pre_ping=True,
        query_cache_size=1500,
        **json,
    )


class Store:
    """The database of one process."""

    def __init__(self, config: Config) -> None:
        self.engine = make_engine(config)
        self.sqlite = self.engine.dialect.name == "sqlite"
        self._retries = config.database.max_retries
        # SQLite has one writer; waiting here is fair and wakes at once, its own busy handler sleeps.
        self._writer = threading.Lock()

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a read-write transaction; commit; return its result. Tries again where the database says so."""
        for attempt in range(self._retries + 1):
            try:
                with self._begin(writing=True) as connection:
                    return work(connection)
            except (TryAgain, DBAPIError) as error:
                if not self._may_retry(error, attempt) or attempt == self._retries:
                    raise self._explain(error) from error
                time.sleep(random.uniform(0, min(0.01 * 2**attempt, 1.0)))
        raise AssertionError("unreachable")

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on one consistent snapshot; it must not write."""
        try:
            with self._begin(writing=False) as connection:
                return work(connection)
        except DBAPIError as error:
            raise self._explain(error) from error

    def close(self) -> None:
        self.engine.dispose()

    @contextmanager
    def _begin(self, *, writing: bool) -> Iterator[Connection]:
        if not self.sqlite:
            with self.engine.begin() as connection:
                yield connection
            return
        if writing:
            with self._writer:
                yield from self._sqlite_transaction("BEGIN IMMEDIATE")
        else:
            yield from self._sqlite_transaction("BEGIN")

    def _sqlite_transaction(self, begin: str) -> Iterator[Connection]:
        with self.engine.connect() as connection:
            raw: Any = connection.connection.dbapi_connection
            raw.execute(begin).close()
            try:
                yield connection
            except BaseException:
                if raw.in_transaction:
                    raw.execute("ROLLBACK").close()
                raise
            raw.execute("COMMIT").close()

    @staticmethod
    def _may_retry(error: Exception, attempt: int) -> bool:
        if isinstance(error, TryAgain):
            return True
        if isinstance(error, IntegrityError):
            # somebody else committed what collides after we had looked: looking again finds it and names it
            return attempt < COLLISIONS
        if isinstance(error, DBAPIError):
            state = getattr(error.orig, "sqlstate", None)
            return state in (SERIALIZATION_FAILURE, DEADLOCK) or "database is locked" in str(error.orig)
        return False

    @staticmethod
    def _explain(error: Exception) -> Exception:
        """What the client may know of a database that fails: 503, try again later; constraint violations stay as they are."""
        if isinstance(error, TryAgain):
            return errors.ServiceUnavailable("The database is too busy; try again.")
        if isinstance(error, IntegrityError):
            return errors.Conflict("The request collides with another one that changes the same objects; try again.")
        if isinstance(error, OperationalError) or (isinstance(error, DBAPIError) and error.connection_invalidated):
            return errors.ServiceUnavailable("The database does not answer or cannot be written; try again later.")
        return error
