"""Composition: the one file that imports every room and wires them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import falcon
from sqlalchemy import Connection, Table

from weft import hooks
from weft.api import faults, offer, routes
from weft.api.door import Authenticate, Door
from weft.api.handler import Controller
from weft.api.metrics import Metrics, Scrape
from weft.api.policy import Policy
from weft.backends.interface import Binding, HostFacts, Unbound, apart
from weft.backends.linux import capabilities as linux
from weft.backends.linux.bind import bind as bind_linux
from weft.backends.ovn import capabilities as ovn
from weft.backends.ovn.bind import bind as bind_ovn
from weft.config import Config
from weft.logical.model import Segment
from weft.reconcile.doorbell import Bell
from weft.registry.resource import Resource, Row
from weft.resources import RESOURCES, agent, binding
from weft.store import changes, leader, processes, versions  # noqa: F401 - leader: its table
from weft.store.engine import Store
from weft.store.migrations import HEADS
from weft.store.transaction import Differences, Environment, Transaction


def make_api(
    config: Config,
    authenticate: Authenticate | None = None,
    store: Store | None = None,
    resources: tuple[Resource, ...] | None = None,
) -> falcon.App[Any, Any]:
    """The Networking API as a WSGI application over the database of `config`; by default it asks Keystone who calls."""
    store = store or Store(config)
    policy = Policy(config)
    resources = (*RESOURCES, *hooks.every_resource()) if resources is None else resources
    if authenticate is None:
        from weft.api.auth import KeystoneAuthenticator

        authenticate = KeystoneAuthenticator(config, policy)
    able = capabilities(config)
    resources = offer.offered(resources, offer.absent(config, able))
    environment = Environment(
        config,
        bind=Binder(config),
        zones=agent.zones,
        honours=lambda alias: able is None or alias in able,
        unforwardable=partial(unforwardable, dataplanes(config)),
        unloggable=partial(unloggable, dataplanes(config)),
        reallocate=reallocate(config),
    )
    controller = Controller(store, policy, environment, Bell(config.state_path, store=store).ring)
    metrics = Metrics(store, resources)
    app: falcon.App[Any, Any] = falcon.App(middleware=[metrics, Door(config, authenticate)])
    for kind in (Exception, falcon.HTTPError):
        app.add_error_handler(kind, faults.handle)
    app.add_route("/metrics", Scrape(metrics, authenticate))
    routes.add(app, controller, resources)
    return app


CAPABILITIES: Mapping[str, frozenset[str]] = {"linux": linux.CAPABILITIES, "ovn": ovn.CAPABILITIES}
"""Backend of ours -> the extensions of the API that it can honour."""
DEFAULT_BACKEND = Config().api.backend


def capabilities(config: Config) -> frozenset[str] | None:
    """What the dataplanes of this installation's hosts can honour, one or another; None: one does not say, and is taken at
    our word.

    These are `backends`, or the one that `backend` names, if it is not the default. Where nobody said, an API without a
    dataplane of its own cannot know what hosts there will be, and expects all that there are: what a host cannot do it refuses
    when a port is to be bound.
    """
    plugins = hooks.every_backend()
    found: set[str] = set()
    for name in dataplanes(config):
        able = CAPABILITIES.get(name, getattr(plugins.get(name), "capabilities", None))
        if able is None:
            return None
        found |= able
    return frozenset(found)


def dataplanes(config: Config) -> tuple[str, ...]:
    """The backends of this installation's hosts; where nobody said, all that there are."""
    said = config.api.backends or ((config.api.backend,) if config.api.backend != DEFAULT_BACKEND else ())
    return tuple(said) or (*CAPABILITIES, *hooks.every_backend())


def unforwardable(backends: Sequence[str], protocol: str, ports: int) -> str:
    """Why none of the backends can forward so many ports; '' if one can, or does not say."""
    return _if_all(UNFORWARDABLE[name](protocol, ports) if name in UNFORWARDABLE else "" for name in backends)


def unloggable(backends: Sequence[str], port: Row) -> str:
    """Why none of the backends can log what a port's groups do; '' if one can, or does not say."""
    return _if_all(UNLOGGABLE[name](port) if name in UNLOGGABLE else "" for name in backends)


def _if_all(reasons: Iterable[str]) -> str:
    found = list(reasons)
    return "; ".join(found) if all(found) else ""


def reallocate(config: Config) -> Callable[[Differences], None] | None:
    """What has Placement change allocations of servers; None where there is none to tell."""
    if not config.placement.auth_url:
        return None
    from weft.events.allocations import Allocations

    return Allocations(config.placement).change


UNFORWARDABLE: Mapping[str, Callable[[str, int], str]] = {"ovn": ovn.unforwardable}
"""Backend of ours -> what it cannot forward, of those that cannot forward everything."""
UNLOGGABLE: Mapping[str, Callable[[Row], str]] = {"linux": linux.unloggable, "ovn": ovn.unloggable}
"""Backend of ours -> ports whose groups it cannot log."""

BINDS: Mapping[str, Callable[[Row, Sequence[Segment], HostFacts], Binding | Unbound]] = {
    "linux": bind_linux,
    "ovn": bind_ovn,
}
"""Backend of a host -> its rules. Hosts of several backends may stand side by side."""


class Binder:
    """Decides how a port is attached to its host, from what that host's agent last reported and its backend's rules."""

    def __init__(self, config: Config) -> None:
        self._down_time = config.api.agent_down_time
        self._several = len(config.api.backends) > 1

    def __call__(self, tx: Transaction, port: Row, segments: Sequence[Row]) -> Binding | Unbound:
        host = port["binding:host_id"]
        reported = agent.facts(tx, host)
        if reported is None:
            return Unbound(f"no agent on host {host}")
        facts = HostFacts(
            host=host,
            backend=reported["configurations"].get("backend", "linux"),
            alive=reported["alive"],
            bridge_mappings=reported["configurations"].get("bridge_mappings", {}),
            tunnel_types=reported["configurations"].get("tunnel_types", ()),
        )
        kinds = [Segment(one["network_type"], one["physical_network"], one["segmentation_id"]) for one in segments]
        made = BINDS.get(facts.backend, bind_linux)(port, kinds, facts)
        other = self._carrier(tx, port, kinds, facts.backend) if isinstance(made, Binding) else facts.backend
        if other == facts.backend:
            return made
        return Unbound(f"host {host} has {apart(facts.backend, other)}")

    def _carrier(self, tx: Transaction, port: Row, segments: Sequence[Segment], backend: str) -> str:
        """The backend whose tunnels carry the network: that of its ports, or `backend` where it is the first to ask."""
        if not self._several or any(one.physical_network or one.network_type == "local" for one in segments):
            return backend
        known: dict[str, str] = tx.once("carriers of networks", dict)
        network = port["network_id"]
        if network not in known:
            found = binding.carriers(tx, [network], but=port["id"]) or binding.claim(tx, network, but=port["id"])
            there = found.get(network, {backend})
            known[network] = backend if backend in there else min(there)
        return known[network]


def prepare(config: Config) -> None:
    """Bring the database up to date: a fresh one is made, an older one expanded. Raises versions.SchemaError.

    What only older versions of Weft use is removed when no process of one has reported lately.
    """
    store = Store(config)
    try:
        create_schema(store)
        store.write(changes.continue_numbers)
        if store.read(versions.state).contract:
            with versions.alone(store) as connection:
                if not older(connection, config.api.agent_down_time):
                    versions.upgrade(connection, versions.CONTRACT)
    finally:
        store.close()


def create_schema(store: Store) -> None:
    """Make what is missing, with the rows that belong in the tables from the start; removes nothing."""
    stored = [one for one in (*RESOURCES, *hooks.every_resource()) if isinstance(one.table, Table)]

    def complete(connection: Connection) -> bool:
        state = versions.state(connection)
        return not (state.fresh or state.expand or versions.missing(connection, stored))

    if store.read(complete):
        return
    with versions.alone(store) as connection:
        new = versions.missing(connection, stored)
        versions.expand(connection)
        for resource in versions.missing(connection, stored):
            resource.table.create(connection)  # a plugin's
        for resource in new:
            resource.strategy.install(connection)


def older(connection: Connection, seconds: float) -> list[processes.Process]:
    """Processes written for another schema than ours that have reported during the last `seconds`."""
    return [one for one in processes.alive(connection, seconds) if one.schema != HEADS.text]
