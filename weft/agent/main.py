"""The agent of this host: runs its backend's loop and tells the database that it is alive."""

from __future__ import annotations

import logging
import resource
import signal
from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import Connection

from weft import hooks
from weft.agent.health import HealthFile
from weft.backends.interface import Backend
from weft.backends.linux.switches import EXTERNAL
from weft.config import Config
from weft.context import internal
from weft.reconcile.doorbell import Bell, Doorbell
from weft.reconcile.load import HostLoader
from weft.reconcile.loop import Reconciler
from weft.resources import agent as agents
from weft.resources import scheduling
from weft.store.engine import Store
from weft.store.transaction import Environment, Transaction

LOG = logging.getLogger(__name__)

ROLES = (
    ("Linux bridge agent", "neutron-linuxbridge-agent", "N/A"),
    ("DHCP agent", "neutron-dhcp-agent", "dhcp_agent"),
    ("L3 agent", "neutron-l3-agent", "l3_agent"),
    ("Metadata agent", "neutron-metadata-agent", "N/A"),
)
"""(agent_type, binary, topic) under which one process of ours appears in /agents, so that operators' tools find what they
look for."""
OVN_ROLES = (("OVN Metadata agent", "neutron-ovn-metadata-agent", "n/a"),)
"""The same on a host of OVN: what ovn-controller does, that says itself."""


class Heartbeat:
    """Keeps this host's rows in /agents alive, with the facts that bindings are decided on."""

    def __init__(
        self,
        config: Config,
        store: Store,
        backend: Backend,
        engine: Reconciler,
        ring: Callable[[], None] = lambda: None,
    ) -> None:
        """`ring` wakes others who follow the change log."""
        self._config, self._store, self._backend, self._engine = config, store, backend, engine
        self._ring = ring
        self._roles = OVN_ROLES if backend.name == "ovn" else ROLES
        self._starting = True

    def beat(self) -> None:
        """One statement-light transaction: a heartbeat for each role. Who was away is given what nobody serves."""
        self._write(self._report)
        self._starting = False

    def stand_in(self) -> None:
        """Let others serve what dead agents should; asked first, since mostly there is nothing to write."""
        if self._store.read(lambda connection: scheduling.lost(self._transaction(connection))):
            self._write(scheduling.move)

    def _report(self, tx: Transaction) -> None:
        back = [
            agents.report(
                tx,
                agent_type=agent_type,
                binary=binary,
                topic=topic,
                host=self._config.api.host,
                configurations=self._configurations(agent_type),
                availability_zone=self._config.api.availability_zone,
                starting=self._starting,
            )
            for agent_type, binary, topic in self._roles
        ]
        if self._starting or any(back):
            scheduling.fill(tx)

    def _write(self, work: Callable[[Transaction], None]) -> None:
        changed = False

        def run(connection: Connection) -> None:
            nonlocal changed
            tx = self._transaction(connection)
            work(tx)
            changed = tx.finish()

        self._store.write(run)
        if changed:
            self._ring()
            self._engine.report(())  # wakes it, to follow what was just written

    def _transaction(self, connection: Connection) -> Transaction:
        able = self._backend.capabilities
        return Transaction(connection, internal(), Environment(self._config, honours=lambda alias: alias in able))

    def _configurations(self, agent_type: str) -> dict[str, object]:
        view = self._engine.view
        if agent_type == "L3 agent":
            return {
                "agent_mode": "legacy",
                "routers": len(view.routers),
                "ex_gw_ports": sum(len(router.gateways) for router in view.routers.values()),
                "floating_ips": sum(len(router.nats) for router in view.routers.values()),
            }
        if agent_type == "DHCP agent":
            subnets = [s for switch in view.switches.values() for s in switch.subnets if s.enable_dhcp]
            return {"networks": len(view.switches), "subnets": len(subnets), "ports": len(view.ports)}
        if agent_type == "Linux bridge agent":
            return {
                "backend": self._backend.name,
                "bridge_mappings": {EXTERNAL: "", **self._config.linux.bridge_mappings},
                "tunnel_types": ["vxlan"],
                **({"qos": self._backend.qos} if hasattr(self._backend, "qos") else {}),
                "tunneling_ip": self._config.linux.tunnel_address,
                "devices": len(view.ports),
                "failing": len(self._engine.health.failing),
            }
        return {"metadata_host": self._config.nova.metadata_host}


def make_backend(config: Config) -> Backend:
    """The dataplane that the configuration names. ValueError, in words for the operator, for one that is not there."""
    makers: dict[str, Callable[[Config], Backend]] = {"linux": _linux, "ovn": _ovn, **hooks.every_backend()}
    try:
        return makers[config.api.backend](config)
    except KeyError:
        raise ValueError(f"backend {config.api.backend} is none of {', '.join(sorted(makers))}") from None


def _linux(config: Config) -> Backend:
    from weft.backends.linux.backend import LinuxBackend  # netlink and nftables: only where there is a dataplane
    from weft.backends.linux.responder import Responder
    from weft.backends.linux.routers import Routers

    namespace = config.linux.namespace
    return LinuxBackend(config, Routers(namespace), Responder(config, namespace))


def _ovn(config: Config) -> Backend:
    from weft.backends.ovn.metadata import MetadataHost

    return MetadataHost(config)


def _allow_many_files() -> None:
    """Raise the soft limit of open files to the hard one: each router and network has sockets of its own."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _mend_external(config: Config) -> None:
    from weft.backends.linux import external

    for change in external.set(config.linux):
        LOG.warning("drift mended: %s", change)


def mend_once(config: Config) -> list[str]:
    """One full pass while no agent runs: make the dataplane equal to the database; returns what differed or failed."""
    store = Store(config)
    backend = make_backend(config)
    try:
        loader = HostLoader(config.api.host, getattr(backend, "scheduled", True))
        store.read(lambda connection: loader.load(Transaction(connection, internal(), Environment(config))))
        report = backend.set(loader.view, None)
    finally:
        backend.close()
        store.close()
    return [*report.drift, *(f"still failing: {key.kind} {key.id}: {why}" for key, why in report.failed.items())]


def _with_host_namespace(config: Config) -> Config:
    """Make the namespace of the Linux dataplane, with the machine's own way into it."""
    from weft.backends.linux import external, netns

    config = replace(config, linux=external.mapped(config.linux))
    netns.create(config.linux.namespace, netns.HOST_SYSCTLS if config.linux.namespace else None)
    external.set(config.linux)
    return config


def _meter(config: Config, store: Store, backend: Backend, engine: Reconciler, ring: Callable[[], None]) -> None:
    from weft.agent.metering import Metering
    from weft.backends.linux.backend import LinuxBackend

    if not isinstance(backend, LinuxBackend):
        return
    metering = Metering(config, store, backend.meters(), lambda: engine.view, ring)
    engine.every(config.linux.metering_measure_interval, metering.measure)
    engine.every(config.linux.metering_report_interval, metering.report)


def run(config: Config, ready: Callable[[], None] = lambda: None) -> None:
    """Work until SIGTERM or SIGINT; the dataplane stays as it is. Calls `ready` when it first equals the database."""
    _allow_many_files()
    if config.api.backend != "ovn":
        config = _with_host_namespace(config)
    store = Store(config)
    bell = Doorbell(config.state_path, store=store)
    backend = make_backend(config)
    ring = Bell(config.state_path, store=store).ring
    engine = Reconciler(config, store, backend, bell, HealthFile(config.state_path).write, ring)
    heartbeat = Heartbeat(config, store, backend, engine, ring)
    engine.every(config.api.report_interval, heartbeat.beat)
    engine.every(max(config.api.agent_down_time / 2, 1), heartbeat.stand_in)
    _meter(config, store, backend, engine, ring)
    if config.linux.external_cidr and config.api.backend != "ovn":
        engine.every(config.api.report_interval, lambda: _mend_external(config))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: engine.stop())
    signal.signal(signal.SIGHUP, lambda *_: engine.ask_for_audit())
    try:
        engine.run(ready)
    finally:
        backend.close()
        bell.close()
        store.close()
