"""The process of `weft up` that sees to OVN's daemons of this machine: adopts those that run, starts those that do not, and
holds their logs to a size."""

from __future__ import annotations

import logging
import os
import select
import signal
import time
from collections.abc import Callable

from weft.backends.linux import netns
from weft.backends.ovn import daemons
from weft.backends.ovn.daemons import DaemonError, Machine
from weft.config import Config
from weft.context import internal
from weft.resources import agent
from weft.store.engine import Store
from weft.store.transaction import Environment, Transaction

LOG = logging.getLogger(__name__)

FIRST_PAUSE, LAST_PAUSE = 0.1, 10.0
"""Seconds before a daemon that died is started again: doubling while that does not help."""
HEALTHY = 20.0
"""Seconds after which nobody died and all is well again."""
KNOWN = 30.0
"""Seconds in which the API has to hear of this host's chassis."""


def prepare(config: Config) -> list[str]:
    """Make what the dataplane stands on: namespace, daemons and the machine's way in. Idempotent; returns what was
    started. Raises DaemonError."""
    netns.create(config.linux.namespace, netns.HOST_SYSCTLS if config.linux.namespace else None)
    try:
        daemons.way_in(config)
    except (OSError, ValueError) as error:
        raise DaemonError(str(error)) from error
    return daemons.start(daemons.machine(config))


def run(config: Config, ready: Callable[[], None] = lambda: None) -> None:
    """Start again what dies, until SIGTERM or SIGINT; the daemons go on. Calls `ready` when the API knows this host."""
    awake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(waker)
    where = daemons.machine(config)
    pause = FIRST_PAUSE
    _ensure(config)
    _wait_for_host(config, awake)
    ready()
    while True:
        began = time.monotonic()
        if _watch(where, awake, config.api.report_interval):
            return
        pause = FIRST_PAUSE if time.monotonic() - began > HEALTHY else pause
        if len(daemons.running(where)) < len(where.daemons()):
            if _sleep(awake, pause):
                return
            pause = min(pause * 2, LAST_PAUSE)
        _ensure(config)


def _ensure(config: Config) -> None:
    try:
        for name in prepare(config):
            LOG.warning("%s did not run and was started", name)
        daemons.bound_logs(daemons.machine(config))
    except (DaemonError, OSError) as error:
        LOG.error("OVN: %s", error)


def _watch(where: Machine, awake: int, seconds: float) -> bool:
    """Sleep until a daemon ends or is missing, or so long; True when we are to stop."""
    handles = [daemons.handle(where, daemon) for daemon in where.daemons()]
    alive = [one for one in handles if one is not None]
    try:
        poll = select.poll()
        for fd in (awake, *alive):
            poll.register(fd, select.POLLIN)
        ready = poll.poll(seconds * 1000 if len(alive) == len(handles) else 0)
        return any(fd == awake for fd, _ in ready)
    finally:
        for fd in alive:
            os.close(fd)


def _sleep(awake: int, seconds: float) -> bool:
    """True when we are to stop."""
    poll = select.poll()
    poll.register(awake, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _wait_for_host(config: Config, awake: int) -> None:
    """Until ports can be bound to this host: its chassis has come up to the API by the process that keeps OVN."""
    store = Store(config)
    until = time.monotonic() + KNOWN
    try:
        while time.monotonic() < until:
            known = store.read(
                lambda connection: agent.facts(
                    Transaction(connection, internal(), Environment(config)), config.api.host
                )
            )
            if (known and (known["alive"] or not known["admin_state_up"])) or _sleep(awake, 0.05):
                return
        LOG.warning("the chassis of host %s is not known to the API after %.0f s", config.api.host, KNOWN)
    finally:
        store.close()
