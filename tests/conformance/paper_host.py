"""A host on paper: the agent's own engine over a backend that makes nothing, so that ports bind and routers become active."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from weft import config
from weft.agent.main import Heartbeat
from weft.backends.interface import Binding, HostFacts, Report, Status, Unbound
from weft.backends.linux.bind import bind
from weft.logical.model import HostView, Key, Segment
from weft.reconcile.doorbell import Doorbell
from weft.reconcile.loop import Reconciler
from weft.store.engine import Store


class Paper:
    """Says that every router is as it should be. Ports of workloads stay down: nobody plugs them."""

    name = "linux"
    capabilities = frozenset({"dvr", "l3-ha"})

    def bind(self, port: Mapping[str, Any], segments: Sequence[Segment], facts: HostFacts) -> Binding | Unbound:
        return bind(port, segments, facts)

    def set(self, desired: HostView, scope: Iterable[Key] | None) -> Report:
        keys = [Key("router", id) for id in desired.routers] if scope is None else list(scope)
        routers = [key for key in keys if key.kind == "router" and key.id in desired.routers]
        return Report(status=dict.fromkeys(routers, Status(up=True)))

    def watch(self, report: Callable[[Iterable[Key]], None]) -> None:
        """Paper does not change by itself."""

    def close(self) -> None:
        """Nothing is open."""


def main(file: str) -> None:
    settings = config.load([file])
    store = Store(settings)
    backend = Paper()
    engine = Reconciler(settings, store, backend, Doorbell(settings.state_path))
    engine.every(settings.api.report_interval, Heartbeat(settings, store, backend, engine).beat)
    signal.signal(signal.SIGTERM, lambda *_: engine.stop())
    engine.run()


if __name__ == "__main__":
    main(sys.argv[1])
