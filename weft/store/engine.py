"""SQLite or PostgreSQL behind one helper that runs a function in a transaction and is the only place that retries."""

from __future__ import annotations

import logging
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError
from sqlalchemy.pool import QueuePool

from weft import errors
from weft.config import Config

T = TypeVar("T")
Begin = Callable[[], AbstractContextManager[Connection]]

LOG = logging.getLogger(__name__)

SERIALIZATION_FAILURE, DEADLOCK, READ_ONLY = "40001", "40P01", "25006"
"""SQLSTATE of PostgreSQL."""
COLLISIONS = 8
"""How often a violated constraint is taken for a race. Each time somebody else won, e.g. one of the last addresses."""
PATIENCE = 10.0
"""Seconds that a transaction waits for the one that writes: of this process, and then of others."""
READERS = 2
"""Reads of SQLite at the same time in a process. It answers in microseconds from memory, so more threads only take the
interpreter's lock from each other: with eight, a request cost twice the time of the processor."""
PREPARED = 500
"""Statements that PostgreSQL keeps prepared for a connection at most."""
RETRY_AFTER = "5"
"""Seconds after which a client may try again while the database is out of order."""
COMPLAIN_EVERY = 10.0
"""Seconds between two lines of the log about one trouble of the database."""
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class TryAgain(Exception):
    """The transaction met a state that another one is about to change or that a new draw of lots avoids; run it anew."""


class _SecondStatement(Exception):
    """What was thought to be one statement is not."""


class _OneStatement:
    """A connection without a transaction, for work that runs one statement."""

    def __init__(self, connection: Connection) -> None:
        self._connection: Connection | None = connection

    def execute(self, statement: Any, parameters: Any = None) -> Any:
        """Raises _SecondStatement when called again."""
        connection, self._connection = self._connection, None
        if connection is None:
            raise _SecondStatement
        return connection.execute(statement, parameters)


def _sqlite_connect(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    for pragma in (
        f"busy_timeout={round(PATIENCE * 1000)}",
        "journal_mode=WAL",
        "synchronous=FULL",  # 201 means committed, also after a power loss
        "foreign_keys=ON",
        "cache_size=-2000",  # KiB of each connection; what is read comes from the map below
        "mmap_size=268435456",
        "temp_store=MEMORY",  # a full disk must not keep anybody from reading
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _postgresql_connect(connection: Any, _record: object) -> None:
    """A statement that comes twice is prepared: there are not many, each is made once. No code is compiled for one: for a
    list of 10,000 ports that took longer than it saved."""
    connection.prepare_threshold, connection.prepared_max = 1, PREPARED
    connection.autocommit = True
    connection.execute(f"SET jit = off; SET lock_timeout = '{round(PATIENCE)}s'")
    connection.autocommit = False


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
            pool_use_lifo=True,  # few connections with warm caches, not all with cold ones
            pool_reset_on_return=None,
            connect_args={"check_same_thread": False, "cached_statements": 512},
            query_cache_size=1500,
            **json,
        )
        event.listen(engine, "connect", _sqlite_connect)
        return engine
    engine = create_engine(
        url,
        connect_args={} if "connect_timeout" in url.query else {"connect_timeout": round(PATIENCE)},
        pool_size=config.database.pool_size,
        isolation_level="REPEATABLE READ",
        query_cache_size=1500,
        **json,
    )
    event.listen(engine, "connect", _postgresql_connect)
    return engine


class DatabaseFile:
    """The file of an SQLite database, as it was when this process first opened it.

    A connection to a file that was deleted or replaced goes on working, and everything written there is lost.
    """

    def __init__(self, path: str | None) -> None:
        self._path = path if path and path != ":memory:" and not path.startswith("file:") else None
        self._known: tuple[int, int] | None = None

    def is_another(self) -> bool:
        """True, once, when the file is not the one of before. Raises ServiceUnavailable while there is none."""
        if self._path is None:
            return False
        try:
            stat = os.stat(self._path)
        except FileNotFoundError:
            if self._known is None:
                return False
            raise unavailable("The database is gone; it must be restored.") from None
        except OSError as error:
            raise unavailable("The database cannot be read; try again later.") from error
        before, self._known = self._known, (stat.st_dev, stat.st_ino)
        return before not in (None, self._known)


def unavailable(message: str) -> errors.ServiceUnavailable:
    """503, and when to come back."""
    fault = errors.ServiceUnavailable(message)
    fault.headers = {"Retry-After": RETRY_AFTER}
    return fault


class Store:
    """The database of one process."""

    def __init__(self, config: Config) -> None:
        self.engine = make_engine(config)
        self.sqlite = self.engine.dialect.name == "sqlite"
        self._retries = config.database.max_retries
        # SQLite has one writer; waiting here is fair and wakes at once, its own busy handler sleeps.
        self._writer = threading.Lock()
        self._readers = threading.BoundedSemaphore(READERS)
        self._file = DatabaseFile(self.engine.url.database if self.sqlite else None)
        self._complained: tuple[str, float] = ("", 0.0)
        self._several: set[str] = set()
        self.closed = threading.Event()
        self.at_close: list[Callable[[], object]] = []
        """What wakes those who wait for work with this store."""

    def write(self, work: Callable[[Connection], T], turn: str = "", *, patient: bool = False) -> T:
        """Run `work` in a read-write transaction; commit; return its result. Tries again where the database says so.

        Two remedies for rows that many move, e.g. a counter, where on PostgreSQL all but one transaction would fail and be
        tried again and again (SQLite has one writer anyway): those that name the same `turn` come one after the other, and
        one that is `patient` waits for such a row and sees what others have committed until then (READ COMMITTED). That is
        for work whose decisions are all held by constraints.
        """
        try:
            with self._turn("" if patient else turn, patient) as begin:
                return self._try(work, begin)
        except DBAPIError as error:
            raise self._explain(error) from error

    def _try(self, work: Callable[[Connection], T], begin: Begin) -> T:
        for attempt in range(self._retries + 1):
            worked = False
            try:
                with begin() as connection:
                    result = work(connection)
                    worked = True  # what fails from here on may be committed all the same
                return result
            except (TryAgain, DBAPIError, sqlite3.Error) as error:
                stale = not worked and attempt == 0 and _was_lost(error)
                if not (stale or self._may_retry(error, attempt)) or attempt == self._retries:
                    raise self._explain(error) from error
                time.sleep(random.uniform(0, min(0.01 * 2**attempt, 1.0)))
        raise AssertionError("unreachable")

    @contextmanager
    def _turn(self, turn: str, patient: bool) -> Iterator[Begin]:
        """Wait for the turn before there is a transaction: what began before the wait would not see what it waited for."""
        if self.sqlite or not turn:
            yield lambda: self._begin(writing=True, patient=patient)
            return
        with self.engine.connect() as connection:

            @contextmanager
            def begin() -> Iterator[Connection]:
                with connection.begin():
                    yield connection

            if not self._advise(connection, "pg_advisory_lock", turn):
                self.engine.dispose()  # it died in the pool, as the others there will have
                if not self._advise(connection, "pg_advisory_lock", turn):
                    raise unavailable("The database does not answer; try again later.")
            try:
                yield begin
            finally:
                if not connection.invalidated:  # else the lock has gone with it
                    self._advise(connection, "pg_advisory_unlock", turn)

    def _advise(self, connection: Connection, function: str, turn: str) -> bool:
        """Take or leave the lock of a turn. False where the server had ended the connection; it is a new one when used next."""
        raw: Any = connection.connection.driver_connection
        try:
            raw.autocommit = True
            raw.execute(f"SELECT {function}(hashtextextended(%s, 0))", ("weft " + turn,))
            raw.autocommit = False
        except self.engine.dialect.loaded_dbapi.Error as error:
            lost = bool(raw.closed)
            connection.invalidate()
            if not lost:
                self._complain(str(error))
                raise unavailable("The database is too busy; try again later.") from error
            return False
        return True

    def read(self, work: Callable[[Connection], T], kind: str = "") -> T:
        """Run `work` on one consistent snapshot; it must not write.

        One statement sees one snapshot by itself: on PostgreSQL it is sent without a transaction around it, one round trip and
        not three, if all work of that `kind` was one statement so far. Work that comes to a second one begins anew.
        """
        if kind and not self.sqlite and kind not in self._several:
            try:
                return self._read(work, self._alone)
            except _SecondStatement:
                self._several.add(kind)
        return self._read(work, lambda: self._begin(writing=False))

    def _read(self, work: Callable[[Connection], T], begin: Begin) -> T:
        for last in (False, True):
            try:
                with begin() as connection:
                    return work(connection)
            except (DBAPIError, sqlite3.Error) as error:
                if last or not _was_lost(error):
                    raise self._explain(error) from error
        raise AssertionError("unreachable")

    def close(self) -> None:
        self.closed.set()
        for wake in self.at_close:
            wake()
        self.engine.dispose()

    @contextmanager
    def _alone(self) -> Iterator[Connection]:
        with self.engine.connect() as connection:
            one: Any = _OneStatement(connection.execution_options(isolation_level="AUTOCOMMIT"))
            yield one

    @contextmanager
    def _begin(self, *, writing: bool, patient: bool = False) -> Iterator[Connection]:
        if not self.sqlite:
            with self.engine.connect() as connection:
                if patient:
                    connection.execution_options(isolation_level="READ COMMITTED")
                with connection.begin():
                    yield connection
            return
        if self._file.is_another():
            self.engine.dispose()
        turn, begin = (self._writer, "BEGIN IMMEDIATE") if writing else (self._readers, "BEGIN")
        if not turn.acquire(timeout=PATIENCE):
            raise unavailable("The database is too busy; try again.")
        try:
            yield from self._sqlite_transaction(begin)
        finally:
            turn.release()

    def _sqlite_transaction(self, begin: str) -> Iterator[Connection]:
        with self.engine.connect() as connection:
            raw: Any = connection.connection.dbapi_connection
            try:
                raw.execute(begin).close()
                yield connection
                raw.execute("COMMIT").close()
            except BaseException as error:
                if _out_of_order(error):
                    # SQLite remembers, e.g. that a file could not be written when it was opened
                    connection.invalidate()
                elif raw.in_transaction:
                    raw.execute("ROLLBACK").close()
                raise

    @staticmethod
    def _may_retry(error: Exception, attempt: int) -> bool:
        if isinstance(error, TryAgain):
            return True
        if isinstance(error, IntegrityError):
            # somebody else committed what collides after we had looked: looking again finds it and names it
            return attempt < COLLISIONS
        # SQLite has waited already for whoever holds the lock
        state = getattr(getattr(error, "orig", None), "sqlstate", None)
        return state in (SERIALIZATION_FAILURE, DEADLOCK)

    def _explain(self, error: Exception) -> Exception:
        """What the client may know of a database that fails; what is our own fault stays as it is."""
        if isinstance(error, TryAgain):
            return unavailable("The database is too busy; try again.")
        if isinstance(error, IntegrityError | sqlite3.IntegrityError):
            return errors.Conflict("The request collides with another one that changes the same objects; try again.")
        if isinstance(error, DataError):
            return errors.HTTPBadRequest("The request holds a value that the database cannot keep.")
        if _out_of_order(error):
            self._complain(str(getattr(error, "orig", error)))
            return unavailable("The database does not answer or cannot be written; try again later.")
        return error

    def _complain(self, trouble: str) -> None:
        """Tell the operator; a full disk is not the place for a line per request."""
        told, at = self._complained
        now = time.monotonic()
        if trouble != told or now - at > COMPLAIN_EVERY:
            self._complained = trouble, now
            LOG.error("The database is out of order: %s", trouble)


SOUND = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_RANGE)
"""Result codes of SQLite that blame the statement."""


def _was_lost(error: BaseException) -> bool:
    """The server has ended the connection, e.g. while it lay in the pool; a new one may do, and those of the pool are gone."""
    return isinstance(error, DBAPIError) and error.connection_invalidated


def _out_of_order(error: BaseException) -> bool:
    """The database fails, as opposed to a statement that is wrong."""
    cause = getattr(error, "orig", error)
    if isinstance(cause, sqlite3.Error):
        code = getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        return code not in SOUND or "no such table" in str(cause)
    if isinstance(error, OperationalError) or getattr(cause, "sqlstate", None) == READ_ONLY:
        return True
    return isinstance(error, DBAPIError) and error.connection_invalidated
