"""The process that keeps OVN equal to the database: one works, of all that could, the others stand by."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from uuid import uuid4

from weft.agent.health import OVN, HealthFile
from weft.backends.ovn import daemons
from weft.backends.ovn.backend import OvnBackend
from weft.config import Config
from weft.context import internal
from weft.reconcile.chassis import Reporter
from weft.reconcile.cloud import CloudLoader
from weft.reconcile.doorbell import Bell, Doorbell
from weft.reconcile.loop import Reconciler
from weft.store.engine import Store
from weft.store.leader import SECONDS, Lease
from weft.store.transaction import Environment, Transaction

LOG = logging.getLogger(__name__)

LEASE = "ovn"
LOOK = 1.0
"""Seconds after which a chassis that came or changed is seen in /agents."""


def run(config: Config, ready: Callable[[], None] = lambda: None) -> None:
    """Work while we have the lease, else wait for it, until SIGTERM or SIGINT; OVN stays as it is."""
    stop = threading.Event()
    working: list[Reconciler] = []

    def end(*_: object) -> None:
        stop.set()
        for engine in working:
            engine.stop()

    def audit(*_: object) -> None:
        for engine in working:
            engine.ask_for_audit()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    signal.signal(signal.SIGHUP, audit)
    store = Store(config)
    lease = Lease(store, LEASE, _holder(config))
    ready()
    try:
        while not stop.is_set():
            if lease.take():
                LOG.info("this process keeps OVN")
                work(config, store, lease, working)
            stop.wait(SECONDS / 3)
    finally:
        lease.release()
        store.close()


def _holder(config: Config) -> str:
    """Our name for the lease. Where OVN is this machine's own, its state folder admits one such process: the next is the
    same, and need not wait for the end of a lease whose holder was killed."""
    return config.api.host if daemons.is_own(config) else f"{config.api.host}:{os.getpid()}:{uuid4().hex[:8]}"


def work(config: Config, store: Store, lease: Lease, working: list[Reconciler]) -> None:
    """Keep OVN until told to stop, or until the lease is somebody else's."""
    bell = Doorbell(config.state_path, store=store)
    backend = OvnBackend(config)
    ring = Bell(config.state_path, store=store).ring
    tell = HealthFile(config.state_path, OVN).write
    engine = Reconciler(config, store, backend, bell, tell, ring, CloudLoader(), config.ovn.audit_interval)
    backend.resync = engine.ask_for_audit
    engine.every(SECONDS / 3, lambda: _renew(lease, engine))
    reporter = Reporter(config, store, backend.chassis)
    engine.every(config.api.report_interval, backend.ping)
    engine.every(LOOK, lambda: _show(reporter))
    working.append(engine)
    try:
        engine.run()
    finally:
        working.remove(engine)
        backend.close()
        bell.close()


def compare(config: Config) -> list[str]:
    """What of OVN differs from the database, object by object; changes nothing. Raises Unreachable."""

    def look(backend: OvnBackend, loader: CloudLoader) -> list[str]:
        return [
            f"{key.kind} {key.id}: {line}" if key and key.id else line for key, line in backend.compare(loader.view)
        ]

    return _once(config, look)


def mend_once(config: Config) -> list[str]:
    """One full pass while nobody keeps OVN; returns what differed or failed. Raises Unreachable."""

    def mend(backend: OvnBackend, loader: CloudLoader) -> list[str]:
        before = backend.compare(loader.view)
        report = backend.set(loader.view, None)
        failed = [f"still failing: {key.kind} {key.id}: {why}" for key, why in report.failed.items()]
        return [line for _, line in before] + failed

    return _once(config, mend)


def _once(config: Config, work: Callable[[OvnBackend, CloudLoader], list[str]]) -> list[str]:
    """With what the database wants, and a backend of its own."""
    store, loader = Store(config), CloudLoader()
    backend = OvnBackend(config)
    try:
        store.read(lambda connection: loader.load(Transaction(connection, internal(), Environment(config))))
        return work(backend, loader)
    finally:
        backend.close()
        store.close()


def _renew(lease: Lease, engine: Reconciler) -> None:
    if not lease.take():
        LOG.warning("another process keeps OVN now")
        engine.stop()


def _show(reporter: Reporter) -> None:
    changed = reporter.write()
    if changed:
        LOG.info("agents of OVN that are new or different: %d", changed)
