"""LISTEN and NOTIFY: on PostgreSQL, whoever commits a change wakes who follows the change log, on any machine.

The ring follows the commit instead of being part of it: a transaction with a NOTIFY holds a lock of the whole server
while it commits, so that commits queue up (500 a second at most, measured, where otherwise 3,000 were). A process that
dies between the two leaves a change that is noticed when somebody rings next, or looks by himself.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import Any

from sqlalchemy.exc import DBAPIError

from weft.store import changes
from weft.store.engine import Store

LOG = logging.getLogger(__name__)

CHANNEL = "weft_changes"
GATHER = 0.02
"""Seconds between two rings of one process: what comes meanwhile rings together."""
FIRST_RETRY, LAST_RETRY = 0.5, 15.0
"""Seconds until a connection that broke is made anew: doubling from the first to the last."""
FIRST_LOOK, LAST_LOOK = 0.02, 1.0
"""Seconds until entries that an older transaction holds back are looked for again."""


def _connect(store: Store) -> Any:
    """A connection of psycopg's own, outside of the pool and of transactions."""
    pooled = store.engine.raw_connection()
    connection: Any = pooled.driver_connection
    pooled.detach()
    connection.rollback()
    connection.autocommit = True
    return connection


def _failures(store: Store) -> tuple[type[Exception], ...]:
    return DBAPIError, store.engine.dialect.loaded_dbapi.Error


def _close(connection: Any) -> None:
    if connection is not None:
        with contextlib.suppress(Exception):
            connection.close()


class Ringer:
    """Tells other machines that there is something new; on SQLite there are none."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._due = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def ring(self) -> None:
        """Never waits and never fails. Tries again until it succeeds or the store is closed."""
        if self._store.sqlite or self._due.is_set():
            return
        self._due.set()
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._store.at_close.append(self._due.set)
                    self._thread = threading.Thread(target=self._run, name="ringer", daemon=True)
                    self._thread.start()

    def _run(self) -> None:
        pause = FIRST_RETRY
        connection = None
        while not self._store.closed.is_set():
            self._due.wait()
            try:
                if connection is None:
                    connection = _connect(self._store)
                    # nothing is lost that a restart does not repeat
                    connection.execute("SET synchronous_commit TO off")
                self._due.clear()
                connection.execute(f"NOTIFY {CHANNEL}")
                pause = FIRST_RETRY
                time.sleep(GATHER)
            except _failures(self._store) as error:
                if self._store.closed.is_set():
                    break
                LOG.warning("other machines were not told of a change: %s; tried again in %.1f s", error, pause)
                self._due.set()
                _close(connection)
                connection = None
                self._store.closed.wait(pause)
                pause = min(pause * 2, LAST_RETRY)
        _close(connection)


class Listener:
    """Hears what `Ringer`s ring. For one thread, which polls `fileno()` for at most `patience()` and then asks `heard()`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._held_back = str(changes.HELD_BACK.compile(store.engine, compile_kwargs={"literal_binds": True}))
        self._connection: Any = None
        self._retry, self._look = FIRST_RETRY, FIRST_LOOK
        self._due = 0.0
        """When to connect again, or to look again for what is held back; 0: neither."""
        self._open()

    def fileno(self) -> int | None:
        """What becomes readable when somebody rings; None while there is no connection."""
        return None if self._connection is None else int(self._connection.fileno())

    def patience(self) -> float | None:
        """Seconds after which `heard` should be asked though nobody rang; None: never."""
        return max(0.0, self._due - time.monotonic()) if self._due else None

    def heard(self) -> bool:
        """True when there may be something new. After a connection broke there always may."""
        rung = bool(self._due) and time.monotonic() >= self._due
        if self._connection is None:
            return rung and self._open()
        try:
            self._connection.pgconn.consume_input()
            while self._connection.pgconn.notifies() is not None:
                rung = True
            if rung:
                self._see_what_is_held_back()
        except _failures(self._store) as error:
            LOG.warning("rings from other machines are not heard: %s", error)
            self._break()
        return rung

    def close(self) -> None:
        _close(self._connection)
        self._connection = None

    def _open(self) -> bool:
        try:
            self._connection = _connect(self._store)
            self._connection.execute(f"LISTEN {CHANNEL}")
        except _failures(self._store) as error:
            LOG.warning("rings from other machines are not heard: %s; tried again in %.1f s", error, self._retry)
            self._break()
            return False
        self._retry, self._due = FIRST_RETRY, 0.0
        return True

    def _break(self) -> None:
        self.close()
        self._due = time.monotonic() + self._retry
        self._retry = min(self._retry * 2, LAST_RETRY)

    def _see_what_is_held_back(self) -> None:
        """Who is rung now may not yet read all: an older transaction still runs, and none rings when it is rolled back."""
        if self._connection.execute(self._held_back).fetchone()[0]:
            self._due = time.monotonic() + self._look
            self._look = min(self._look * 2, LAST_LOOK)
        else:
            self._due, self._look = 0.0, FIRST_LOOK
