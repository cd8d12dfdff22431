"""The process that hands events over: one thread for each consumer that is configured."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from uuid import uuid4

from sqlalchemy import select

from weft.config import Config
from weft.events.consumer import Consumer, Recipient
from weft.reconcile.doorbell import Doorbell
from weft.resources.port import PORTS
from weft.store.engine import Store
from weft.store.leader import Lease

LOG = logging.getLogger(__name__)


def recipients(config: Config, store: Store) -> list[Recipient]:
    """Who waits for events. Raises ImportError where weft[notifications] is wanted and not installed."""
    found: list[Recipient] = []
    for name in config.consumers:
        if name == "nova":
            from weft.events.nova import Nova

            found.append(Nova(config, lambda ids: known_ports(store, ids)))
        elif name == "placement":
            found.append(_placement(config, store))
        else:
            try:
                from weft.events.bus import Bus
            except ImportError:
                LOG.error(
                    "notifications are configured, but oslo.messaging is missing: pip install 'weft[notifications]'"
                )
                raise
            found.append(Bus(config))
    return found


def _placement(config: Config, store: Store) -> Recipient:
    from weft.events import bandwidths, placement
    from weft.events.providers import Providers

    def agents() -> list[bandwidths.Agent]:
        return store.read(lambda connection: bandwidths.read(connection, config.ml2.tunnelled_network_rp_name))

    def note(outcomes: Mapping[str, bool | None]) -> None:
        store.write(lambda connection: bandwidths.note(connection, outcomes))

    providers = Providers(config)
    told = bandwidths.Bandwidths(providers, agents, note)
    return placement.Placement(config, lambda: store.read(placement.read), providers, told)


def known_ports(store: Store, ids: Iterable[str]) -> Mapping[str, Mapping[str, Any]]:
    """Ids -> device of those ports that are there."""
    columns = (PORTS.c.id, PORTS.c.device_id, PORTS.c.device_owner)
    statement = select(*columns).where(PORTS.c.id.in_(sorted(ids)))
    found = store.read(lambda connection: connection.execute(statement).mappings().all())
    return {row["id"]: dict(row) for row in found}


def run(config: Config, ready: Callable[[], None] = lambda: None) -> None:
    """Hand over until SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    store = Store(config)
    holder = f"{config.api.host}:{os.getpid()}:{uuid4().hex[:8]}"
    bells = []
    consumers = []
    for recipient in recipients(config, store):
        bells.append(Doorbell(config.state_path, f"events-{recipient.name}", store))
        lease = Lease(store, f"events {recipient.name}", holder)
        consumers.append(Consumer(store, lease, bells[-1], recipient))
    for consumer in consumers:
        consumer.begin()
    threads = [threading.Thread(target=one.run, name=one.name, daemon=True) for one in consumers]
    for thread in threads:
        thread.start()
    ready()
    stop.wait()
    for consumer in consumers:
        consumer.stop()
    for thread in threads:
        thread.join(timeout=1.0)  # who waits for an answer is not waited for: the same is handed over again
    for bell in bells:
        bell.close()
    store.close()
