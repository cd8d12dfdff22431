"""Follows the change log for all watchers of one process: one thread reads, each watcher has a queue."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from pathlib import Path

from weft import errors
from weft.reconcile.doorbell import Doorbell
from weft.store import changes
from weft.store.changes import NOTIFICATION, Change
from weft.store.engine import Store

LOG = logging.getLogger(__name__)

BATCH = 500
"""Entries read at once."""
MOST_WAITING = 1000
"""Entries that may wait for a watcher to take them; one more, and it is let go."""
LOOK_EVERY = 2.0
"""Seconds after which the log is read though nobody rang."""


class Watcher:
    """One client's place in the feed. `ended`: nothing follows, whatever waits in the queue."""

    def __init__(self, matches: Callable[[Change], bool]) -> None:
        self.matches = matches
        self.ended = False
        self._queue: queue.SimpleQueue[Change | None] = queue.SimpleQueue()

    def offer(self, change: Change) -> None:
        """Put an entry into the queue, or end where the client takes too little."""
        if self.ended or not self.matches(change):
            return
        if self._queue.qsize() >= MOST_WAITING:
            self.end()
        else:
            self._queue.put(change)

    def take(self, seconds: float) -> Change | None:
        """The next entry; None when none comes in time, or no more ever."""
        try:
            return self._queue.get(timeout=seconds)
        except queue.Empty:
            return None

    def end(self) -> None:
        self.ended = True
        self._queue.put(None)

    @property
    def empty(self) -> bool:
        return self._queue.empty()


class Feed:
    """The watchers of one process. Its thread runs while there are any."""

    def __init__(self, store: Store, state_path: Path, most: int) -> None:
        self._store = store
        self._state_path = state_path
        self._most = most
        self._lock = threading.Lock()
        self._watchers: set[Watcher] = set()
        self._position = 0
        self._bell: Doorbell | None = None
        self.closed = False

    def join(self, watcher: Watcher) -> int:
        """From now on `watcher` is offered what comes after the number returned. Raises ServiceUnavailable beyond the limit."""
        with self._lock:
            if self.closed or len(self._watchers) >= self._most:
                fault = errors.ServiceUnavailable(
                    f"At most {self._most} clients may watch at the same time; come later."
                )
                fault.headers = {"Retry-After": "5"}
                raise fault
            if self._bell is None:
                self._bell = Doorbell(self._state_path, "watch", self._store)
                self._position = self._store.read(changes.last)
                threading.Thread(target=self._run, args=(self._bell,), name="feed", daemon=True).start()
            self._watchers.add(watcher)
            return self._position

    def leave(self, watcher: Watcher) -> None:
        with self._lock:
            self._watchers.discard(watcher)
            if not self._watchers and self._bell:
                self._bell.wake()

    def quiet(self, watcher: Watcher) -> int | None:
        """The number up to which `watcher` has missed nothing; None while something waits for it."""
        with self._lock:
            return self._position if watcher.empty and not watcher.ended else None

    def close(self) -> None:
        """End all watchers: the process is about to end."""
        with self._lock:
            self.closed = True
            for watcher in self._watchers:
                watcher.end()

    def _run(self, bell: Doorbell) -> None:
        while True:
            try:
                if not self._step():
                    bell.wait(LOOK_EVERY)
            except Exception:
                LOG.exception("the change log cannot be read; tried again in %.0f s", LOOK_EVERY)
                bell.wait(LOOK_EVERY)
            with self._lock:
                if not self._watchers:
                    self._bell = None
                    bell.close()
                    return

    def _step(self) -> bool:
        """Offer the next entries to everybody; False when there were none."""
        batch = self._store.read(lambda connection: changes.after(connection, self._position, BATCH))
        with self._lock:
            for change in batch:
                self._position = change.sequence
                if change.kind != NOTIFICATION:
                    for watcher in self._watchers:
                        watcher.offer(change)
        return bool(batch)
