"""The process that forgets what is old: one at a time, of all that serve a database."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from uuid import uuid4

from weft import errors
from weft.config import Config
from weft.store import changes, repetitions
from weft.store.engine import Store
from weft.store.leader import Lease
from weft.store.transaction import now

LOG = logging.getLogger(__name__)

EVERY = 3600.0
"""Seconds between two times."""
LEASE, SECONDS = "keeper", 60.0


def prune(store: Store, config: Config) -> None:
    """Forget entries of the change log that are older than change_log_hours and that nobody waits for, and old answers."""
    at = now(ago=config.database.change_log_hours * 3600)
    forgotten = store.write(lambda connection: changes.prune(connection, at, config.consumers))
    forgotten += store.write(lambda connection: repetitions.prune(connection, at))
    if forgotten:
        LOG.info("forgot %d entries from before %s", forgotten, at)


def run(config: Config, ready: Callable[[], None] = lambda: None) -> None:
    """Keep the lease, or wait for it, until SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    store = Store(config)
    lease = Lease(store, LEASE, f"{config.api.host}:{os.getpid()}:{uuid4().hex[:8]}", SECONDS)
    ready()
    due = 0.0
    while not stop.is_set():
        if lease.take() and time.monotonic() >= due:
            due = time.monotonic() + EVERY
            _patiently(store, config)
        stop.wait(SECONDS / 3)
    lease.release()
    store.close()


def _patiently(store: Store, config: Config) -> None:
    try:
        prune(store, config)
    except (errors.ServiceUnavailable, errors.Conflict) as error:
        LOG.warning("what is old is kept for now: %s", error)
