"""Reads the change log on from a cursor and hands it over: at least once, in order, whatever dies in between."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from weft.reconcile.doorbell import Doorbell
from weft.store import changes, cursors
from weft.store.changes import Change
from weft.store.engine import Store
from weft.store.leader import SECONDS, Lease

LOG = logging.getLogger(__name__)

MOST = 500
"""Entries handed over at once."""
LOOK_EVERY = 2.0
"""Seconds after which the log is read though nobody rang: another machine's changes are heard of in this way."""
RENEW_EVERY = SECONDS / 3
REMEMBER_EVERY = 30.0
"""Seconds after which what interested nobody is noted as done with; not each time, since it costs a write."""
FIRST_RETRY, LAST_RETRY = 1.0, 60.0
"""Seconds until a hand-over that failed is tried again: doubling from the first to the last."""


class Recipient(Protocol):
    """The other side."""

    name: str
    gather: float
    """Seconds for which entries are gathered before they are handed over."""

    def due(self) -> bool:
        """Whether to deliver now though nothing has changed: `deliver` may then be called with nothing."""
        ...

    def wants(self, change: Change) -> bool:
        """Whether an entry is of interest at all; asked without any I/O."""
        ...

    def deliver(self, batch: Sequence[Change]) -> None:
        """Hand over in order, and return when the other side has answered. Raises anything to be called again with the same."""
        ...


class Consumer:
    """One recipient's way through the change log. `run` is a thread's work."""

    def __init__(self, store: Store, lease: Lease, bell: Doorbell, recipient: Recipient) -> None:
        self._store = store
        self._lease = lease
        self._bell = bell
        self._recipient = recipient
        self._stop = threading.Event()
        self._cursor = 0
        self._unstored = 0
        self._renewed = 0.0
        self._remembered = 0.0

    @property
    def name(self) -> str:
        return self._recipient.name

    def stop(self) -> None:
        """End soon; what was not answered is handed over again by whoever comes next."""
        self._stop.set()
        self._bell.wake()

    def run(self) -> None:
        """Hand over until `stop`. A database or recipient that fails is tried again, for ever."""
        pause = FIRST_RETRY
        leading = False
        while not self._stop.is_set():
            try:
                leading = self._lead(leading)
                more = leading and self._step()
                pause = FIRST_RETRY
            except Exception as error:
                LOG.warning("%s: %s; tried again in %.0f s", self.name, _words(error), pause)
                LOG.debug("%s", self.name, exc_info=True)
                self._rest(pause)
                pause = min(pause * 2, LAST_RETRY)
                continue
            if not more:
                self._bell.wait(LOOK_EVERY)
        if leading:
            self._lease.release()

    def begin(self) -> None:
        """A consumer that is new here starts at the end of the log."""

        def start(connection: object) -> None:
            if cursors.read(connection, self.name) is None:  # type: ignore[arg-type]
                cursors.advance(connection, self.name, changes.last(connection))  # type: ignore[arg-type]

        self._store.write(start)

    def _lead(self, before: bool) -> bool:
        """Keep the lease, or take it and go on where the last holder was."""
        if before and self._lease.held and time.monotonic() < self._renewed + RENEW_EVERY:
            return True
        self._renewed = time.monotonic()
        if not self._lease.take():
            return False
        if not before:
            self._cursor = self._store.read(lambda connection: cursors.read(connection, self.name)) or 0
            self._unstored = 0
            LOG.info("%s: handed over from number %d of the change log", self.name, self._cursor)
        return True

    def _step(self) -> bool:
        """Hand over what there is; True when there may be more at once."""
        if time.monotonic() > self._remembered + REMEMBER_EVERY:
            self._remembered = time.monotonic()
            self._remember()
        batch = self._read()
        wanted = [change for change in batch if self._recipient.wants(change)]
        if not wanted and self._recipient.due():
            self._deliver([])
        if not batch:
            return False
        if wanted and self._recipient.gather:
            batch, wanted = self._gather(batch, wanted)
        if wanted:
            self._deliver(wanted)
        self._cursor = batch[-1].sequence
        self._unstored += len(batch)
        if wanted or self._unstored >= MOST:
            self._remember()
        return True

    def _remember(self) -> None:
        """Everything up to here is done with, also for whoever comes after us."""
        if self._unstored:
            self._store.write(lambda connection: cursors.advance(connection, self.name, self._cursor))
            self._unstored = 0

    def _gather(self, batch: list[Change], wanted: list[Change]) -> tuple[list[Change], list[Change]]:
        """Wait for what comes soon after the first entry, so that it goes along."""
        until = time.monotonic() + self._recipient.gather
        while len(wanted) < MOST and not self._stop.is_set() and (left := until - time.monotonic()) > 0:
            self._bell.wait(left)
            found = self._read(batch[-1].sequence)
            batch = batch + found
            wanted = wanted + [change for change in found if self._recipient.wants(change)]
        return batch, wanted

    def _deliver(self, wanted: list[Change]) -> None:
        with _Renewing(self._lease.take):
            self._recipient.deliver(wanted)

    def _read(self, after: int = 0) -> list[Change]:
        return self._store.read(lambda connection: changes.after(connection, after or self._cursor, MOST))

    def _rest(self, seconds: float) -> None:
        """Pause, but keep the lease: nobody else would be luckier."""
        until = time.monotonic() + seconds
        while not self._stop.wait(min(LOOK_EVERY, max(0.0, until - time.monotonic()))) and time.monotonic() < until:
            self._lease.take()


class _Renewing:
    """Renews a lease from another thread while this one waits for an answer."""

    def __init__(self, renew: Callable[[], object]) -> None:
        self._renew = renew
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._done.wait(RENEW_EVERY):
            self._renew()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]
