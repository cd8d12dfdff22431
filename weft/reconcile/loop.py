"""One level-triggered engine: what changed goes in, what the backend says is true comes out, what failed is tried again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from weft.backends.interface import Backend, Report
from weft.config import Config
from weft.context import internal
from weft.logical.model import HostView, Key
from weft.reconcile import keeper, status
from weft.reconcile.doorbell import Doorbell
from weft.reconcile.load import HostLoader
from weft.store import changes
from weft.store.engine import Store
from weft.store.transaction import Environment, Transaction

LOG = logging.getLogger(__name__)
T = TypeVar("T")

FIRST_RETRY, LAST_RETRY = 0.5, 30.0
"""Seconds until what failed is tried again: doubling from the first to the last."""
PRUNE_EVERY = 3600.0
MOST_DRIFT = 100
"""Lines of drift kept for people to read."""
BATCH = 5000
"""Entries of the change log read at once."""


@dataclass(slots=True)
class Health:
    """What the engine can tell of itself: for `weft check`, metrics and /agents."""

    passes: int = 0
    audits: int = 0
    failing: dict[Key, str] = field(default_factory=dict)
    drift: list[tuple[float, str]] = field(default_factory=list)
    """What was found different from what had been made, and mended: (Unix time, in words), the newest last."""
    sequence: int = 0
    last_pass_seconds: float = 0.0


class Reconciler:
    """Keeps one host's dataplane equal to the database."""

    def __init__(
        self,
        config: Config,
        store: Store,
        backend: Backend,
        bell: Doorbell,
        tell: Callable[[Health], None] = lambda health: None,
        ring: Callable[[], None] = lambda: None,
        loader: HostLoader | None = None,
        audit_interval: int | None = None,
    ) -> None:
        """`tell` is called with the engine's health after every pass; `ring` wakes others who follow the change log.
        `loader` says what is desired: of this host, where it is None."""
        self._config = config
        self._store = store
        self._backend = backend
        self._bell = bell
        self._tell = tell
        self._ring = ring
        self._environment = Environment(config)
        self._loader = loader or HostLoader(config.api.host, getattr(backend, "scheduled", True))
        self._audit_interval = audit_interval or config.linux.audit_interval
        self._stop = threading.Event()
        self._audit = threading.Event()
        self._seen: set[Key] = set()
        self._seen_lock = threading.Lock()
        self._retry_delay = FIRST_RETRY
        self._every: list[tuple[float, Callable[[], None], float]] = []
        self.health = Health()

    @property
    def view(self) -> HostView:
        """The desired state of this host as far as the engine has read it."""
        return self._loader.view

    # -- from other threads

    def report(self, keys: Iterable[Key]) -> None:
        """The backend saw these change by themselves."""
        with self._seen_lock:
            self._seen.update(keys)
        self._bell.wake()

    def ask_for_audit(self) -> None:
        """Make the next pass a full one."""
        self._audit.set()
        self._bell.wake()

    def stop(self) -> None:
        self._stop.set()
        self._bell.wake()

    def every(self, seconds: float, work: Callable[[], None]) -> None:
        """Call `work` from the engine's thread now and then every `seconds`."""
        self._every.append((seconds, work, 0.0))

    # -- the loop

    def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Work until `stop`. The first pass is a full one; nothing is written before the whole desired state is known."""
        self.every(PRUNE_EVERY, self._prune)
        self._run_timers()
        self._backend.watch(self.report)
        self._patiently(self._begin)
        ready()
        next_audit = time.monotonic() + self._audit_interval
        while not self._stop.is_set():
            due = self._run_timers()
            retry = self._retry_delay if self.health.failing else None
            waits = [due - time.monotonic(), next_audit - time.monotonic(), retry]
            if self._bell.wait(max(0.0, min(wait for wait in waits if wait is not None))):
                self._audit.set()
            if self._stop.is_set():
                return
            if self._audit.is_set() or time.monotonic() >= next_audit:
                self._audit.clear()
                next_audit = time.monotonic() + self._audit_interval
                self._patiently(self._full_pass)
            else:
                self._patiently(self._small_pass)

    def _patiently(self, work: Callable[[], None]) -> None:
        """Run `work`; a database or kernel that fails is tried again later, by a full pass, and never ends the loop."""
        try:
            work()
        except Exception:
            LOG.exception("the pass failed; a full one follows in %.1f s", self._retry_delay)
            self._stop.wait(self._retry_delay)
            self._retry_delay = min(self._retry_delay * 2, LAST_RETRY)
            self.ask_for_audit()

    def _begin(self) -> None:
        self._full_pass()
        drift = len(self.health.drift)
        LOG.info("dataplane ready: %d ports, %d routers, %d differences mended", *self._counts(), drift)

    def _counts(self) -> tuple[int, int]:
        return len(self._loader.view.ports), len(self._loader.view.routers)

    def _full_pass(self) -> None:
        def load(tx: Transaction) -> None:
            self.health.sequence = changes.last(tx.connection)
            self._loader.load(tx)

        self._reading(load)
        report = self._backend.set(self._loader.view, None)
        self.health.audits += 1
        self.health.failing = {}
        self._settle(report)

    def _small_pass(self) -> None:
        started, before = time.monotonic(), self.health.sequence
        scope = self._reading(self._follow)
        with self._seen_lock:
            scope |= self._seen
            self._seen = set()
        scope |= set(self.health.failing)
        if not scope:
            if self.health.sequence != before:  # it was nothing to us, as what we said ourselves
                self._tell(self.health)
            return
        report = self._backend.set(self._loader.view, scope)
        for key in scope:
            self.health.failing.pop(key, None)
        self._settle(report)
        self.health.passes += 1
        self.health.last_pass_seconds = time.monotonic() - started

    def _follow(self, tx: Transaction) -> set[Key]:
        scope: set[Key] = set()
        while True:
            found = changes.after(tx.connection, self.health.sequence, BATCH)
            if not found:
                return scope
            scope |= self._loader.refresh(tx, found) | self._loader.unsure
            self.health.sequence = found[-1].sequence

    def _settle(self, report: Report) -> None:
        for line in report.drift:
            LOG.warning("drift mended: %s", line)
        for key, reason in report.failed.items():
            LOG.warning("%s %s failed: %s", key.kind, key.id, reason)
        self.health.failing.update(report.failed)
        self._retry_delay = min(self._retry_delay * 2, LAST_RETRY) if report.failed else FIRST_RETRY
        found = [(time.time(), line) for line in report.drift]
        self.health.drift = (self.health.drift + found)[-MOST_DRIFT:]
        if report.status:
            routers, host = self._loader.view.routers, self._loader.view.host
            backend = self._backend.name
            if self._writing(lambda tx: status.write(tx, report, routers, host, backend)):
                self._ring()
        self._tell(self.health)

    def _run_timers(self) -> float:
        """Call what is due; returns when the next is."""
        for index, (seconds, work, due) in enumerate(self._every):
            if time.monotonic() >= due:
                self._every[index] = (seconds, work, time.monotonic() + seconds)
                try:
                    work()
                except Exception:
                    LOG.exception("periodic work failed")
        return min(due for _, _, due in self._every)

    def _prune(self) -> None:
        keeper.prune(self._store, self._config)

    def _reading(self, work: Callable[[Transaction], T]) -> T:
        return self._store.read(lambda connection: work(Transaction(connection, internal(), self._environment)))

    def _writing(self, work: Callable[[Transaction], T]) -> T:
        def run(connection: object) -> T:
            tx = Transaction(connection, internal(), self._environment)  # type: ignore[arg-type]
            result = work(tx)
            tx.finish()
            return result

        return self._store.write(run)
