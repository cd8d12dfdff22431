"""Metering labels: this host's routers count for them, and the bus hears how much (upstream's notification `l3.meter`)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection

from weft.backends.linux.metering import Label, Meters, Rule
from weft.backends.linux.nft import NftError
from weft.config import Config
from weft.context import internal
from weft.logical.model import HostView, LogicalRouter
from weft.registry.resource import Row
from weft.resources.metering import METERING_LABEL, METERING_LABEL_RULE
from weft.store.engine import Store
from weft.store.transaction import Environment, Transaction

LOG = logging.getLogger(__name__)
EVENT = "l3.meter"


class Metering:
    """Has routers count, and tells what they counted, as its two methods are called now and then."""

    def __init__(
        self,
        config: Config,
        store: Store,
        meters: Meters,
        view: Callable[[], HostView],
        ring: Callable[[], None] = lambda: None,
    ) -> None:
        self._config, self._store, self._meters, self._view, self._ring = config, store, meters, view, ring
        self._labels: dict[str, Row] = {}
        self._since = int(time.time())

    def measure(self) -> None:
        """Let the routers count for the labels of their projects, and for those that are shared."""
        labels, rules = self._store.read(self._read)
        self._labels |= {one["id"]: one for one in labels}
        routers = list(self._view().routers.values())
        try:
            self._meters.measure(routers, wanted(labels, rules, routers))
        except (OSError, NftError) as error:
            LOG.warning("metering: %s", error)

    def report(self) -> None:
        """Tell what was counted since the last time, of every label that this host counts for."""
        if not self._config.notifications.on:
            return  # nobody hears of it: it goes on counting
        self.measure()
        counts = self._meters.take(self._view().routers.values())
        now, since = int(time.time()), self._since
        self._since = now
        told = [
            {
                "label_id": id,
                "project_id": self._labels[id]["project_id"],
                "tenant_id": self._labels[id]["project_id"],
                "pkts": count.packets,
                "bytes": count.bytes,
                "time": now - since,
                "first_update": since,
                "last_update": now,
                "host": self._config.api.host,
            }
            for id, count in sorted(counts.items())
            if id in self._labels
        ]
        if told:
            self._store.write(lambda connection: self._tell(connection, told))
            self._ring()

    def _read(self, connection: Connection) -> tuple[list[Row], list[Row]]:
        tx = Transaction(connection, internal(), Environment(self._config))
        labels = tx.list(METERING_LABEL)
        return labels, tx.list(METERING_LABEL_RULE) if labels else []

    def _tell(self, connection: Connection, told: list[dict[str, Any]]) -> None:
        tx = Transaction(connection, internal(), Environment(self._config))
        for payload in told:
            tx.tell(EVENT, payload)
        tx.finish()


def wanted(labels: Sequence[Row], rules: Sequence[Row], routers: Iterable[LogicalRouter]) -> dict[str, list[Label]]:
    """What each router counts for: the labels of its project, and those that are shared. Pure."""
    known = {
        one["id"]: label(one, (rule for rule in rules if rule["metering_label_id"] == one["id"])) for one in labels
    }
    return {
        router.id: [known[one["id"]] for one in labels if one["shared"] or one["project_id"] == router.project_id]
        for router in routers
    }


def label(row: Row, rules: Iterable[Row]) -> Label:
    """A label with its rules. The remote of what comes in is its source, of what goes out its destination."""
    found = []
    for rule in rules:
        ingress = rule["direction"] == "ingress"
        remote, source, destination = (rule[f"{name}_ip_prefix"] or "" for name in ("remote", "source", "destination"))
        found.append(
            Rule(
                ingress,
                rule["excluded"],
                source or (remote if ingress else ""),
                destination or ("" if ingress else remote),
            )
        )
    return Label(row["id"], tuple(found))
