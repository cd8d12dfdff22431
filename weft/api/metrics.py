"""Figures for Prometheus: requests as they were served, objects and agents as the database has them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import falcon
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from sqlalchemy import Connection, Table, func, literal, select

from weft import errors
from weft.context import Context
from weft.registry.resource import Resource
from weft.store import changes, cursors
from weft.store.engine import Store

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper bounds in seconds of the latency histogram."""


class Metrics:
    """The figures of one API process, and falcon middleware that gathers them."""

    def __init__(self, store: Store, resources: tuple[Resource, ...]) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "weft_http_requests", "Requests answered.", ("method", "route", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "weft_http_request_seconds",
            "Seconds to answer.",
            ("method", "route"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.registry.register(_Database(store, resources))
        self._series: dict[tuple[str, str, str], tuple[Counter, Histogram]] = {}

    def process_request(self, request: falcon.Request, _response: falcon.Response) -> None:
        request.context.started = time.perf_counter()

    def process_response(self, request: falcon.Request, response: falcon.Response, _resource: Any, _ok: bool) -> None:
        route = request.uri_template or "none"
        # a client could fill the memory with methods of its own
        method = request.method if request.method in falcon.HTTP_METHODS else "other"
        key = (method, route, str(response.status)[:3])
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = self._requests.labels(*key), self._seconds.labels(method, route)
        requests, seconds = series
        requests.inc()
        seconds.observe(time.perf_counter() - request.context.started)

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)


class _Database:
    """Read at every scrape: how many objects there are in which status, who is alive, how long the change log is."""

    def __init__(self, store: Store, resources: tuple[Resource, ...]) -> None:
        self._store = store
        self._tables = {one.table.name: one.table for one in resources}

    def collect(self) -> Iterator[Metric]:
        objects = GaugeMetricFamily("weft_objects", "Objects by kind and status.", labels=("kind", "status"))
        agents = GaugeMetricFamily(
            "weft_agent_heartbeat", "When an agent was last heard of, in seconds of Unix time.", labels=("type", "host")
        )
        newest = GaugeMetricFamily("weft_change_log_sequence", "Number of the newest change.")
        waiting = GaugeMetricFamily(
            "weft_events_waiting", "Changes that Nova or the message bus is not done with.", labels=("consumer",)
        )

        def read(connection: Connection) -> None:
            for name, table in self._tables.items():
                for status, count in connection.execute(_counts(table)):
                    objects.add_metric((name, status), count)
            if "agents" in self._tables:
                columns = self._tables["agents"].c
                rows = connection.execute(select(columns.agent_type, columns.host, columns.heartbeat_timestamp))
                for kind, host, seen in rows:
                    agents.add_metric((kind, host), _seconds(seen))
            newest.add_metric((), changes.last(connection))
            for consumer, sequence in cursors.every(connection).items():
                waiting.add_metric((consumer,), changes.behind(connection, sequence))

        self._store.read(read)
        yield from (objects, agents, newest, waiting)


def _seconds(seen: str) -> float:
    return datetime.fromisoformat(seen).replace(tzinfo=UTC).timestamp()


def _counts(table: Table) -> Any:
    if "status" in table.c:
        return select(table.c.status, func.count()).group_by(table.c.status)
    return select(literal(""), func.count()).select_from(table)


class Scrape:
    """GET /metrics: for administrators; tenants are told nothing."""

    def __init__(self, metrics: Metrics, authenticate: Callable[[dict[str, Any]], Context]) -> None:
        self._metrics = metrics
        self._authenticate = authenticate

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        caller = self._authenticate(request.env)
        if not caller.is_admin:
            raise errors.PolicyNotAuthorized(rule="rule:context_is_admin")
        response.data = self._metrics.text()
        response.content_type = CONTENT_TYPE_LATEST
