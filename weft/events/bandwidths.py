"""Placement hears how much bandwidth the devices of hosts have to give, so that Nova puts servers with ports that ask for a
minimum where there is some left.

Below the provider that Nova has for a hypervisor stands one of its agent, and below that one of each device, with the traits
by which ports ask for it (resource_request). Whether all of it has been told is `resources_synced` of the agent. Rules: facts of
the API, behaviours section 19.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid5

from keystoneauth1 import exceptions
from sqlalchemy import Connection, bindparam, select, update

from weft.backends.ovn.bandwidths import BANDWIDTHS, DEFAULTS, HYPERVISORS, NAMESPACE
from weft.backends.ovn.bind import KNOWN
from weft.backends.ovn.chassis import CONTROLLER
from weft.events.providers import Providers
from weft.resources.agent import AGENTS
from weft.resources.resource_request import BANDWIDTH, TUNNELLED, physnet_trait, vnic_trait

LOG = logging.getLogger(__name__)

AGAIN = 30.0
"""Seconds after which what could not be told is told again."""
UNITS = {"allocation_ratio": 1.0, "min_unit": 1, "step_size": 1, "reserved": 0}
"""Of inventories, where the host says nothing else."""
VNIC_TRAITS = frozenset(vnic_trait(kind) for kind in KNOWN)


@dataclass(frozen=True)
class Device:
    """A provider of bandwidth: what ports leave a host by."""

    id: str
    name: str
    traits: frozenset[str]
    inventories: Mapping[str, Any] = field(hash=False)


@dataclass(frozen=True)
class Tree:
    """What stands below the provider of one hypervisor: its agent, and the devices below that."""

    hypervisor: str
    devices: tuple[Device, ...]

    @property
    def id(self) -> str:
        """The agent's provider."""
        return str(uuid5(NAMESPACE, self.hypervisor))

    @property
    def name(self) -> str:
        return f"{self.hypervisor}:{CONTROLLER}"


@dataclass(frozen=True)
class Agent:
    """A host that says what bandwidth it has, or did. `synced`: its `resources_synced`."""

    id: str
    host: str
    synced: bool | None
    trees: tuple[Tree, ...]


def read(connection: Connection, tunnelled: str) -> list[Agent]:
    """All of them. `tunnelled`: the device by which tunnels leave. One statement."""
    columns = (AGENTS.c.id, AGENTS.c.host, AGENTS.c.resources_synced, AGENTS.c.configurations)
    return [
        Agent(row.id, row.host, row.resources_synced, trees(row.configurations, tunnelled))
        for row in connection.execute(select(*columns).order_by(AGENTS.c.id))
        if BANDWIDTHS in row.configurations or row.resources_synced is not None
    ]


def note(connection: Connection, outcomes: Mapping[str, bool | None]) -> None:
    """Write down of which agents all has been told. It is news to nobody but who asks."""
    statement = update(AGENTS).where(AGENTS.c.id == bindparam("agent")).values(resources_synced=bindparam("told"))
    connection.execute(statement, [{"agent": id, "told": told} for id, told in sorted(outcomes.items())])


def trees(said: Mapping[str, Any], tunnelled: str) -> tuple[Tree, ...]:
    """What an agent with these configurations has to give, by hypervisor. Pure."""
    networks: dict[str, set[str]] = {}
    for network, bridge in (said.get("bridge_mappings") or {}).items():
        networks.setdefault(bridge, set()).add(network)
    found: dict[str, list[Device]] = {}
    for device, rates in (said.get(BANDWIDTHS) or {}).items():
        hypervisor = said[HYPERVISORS][device]
        traits = {physnet_trait(network) for network in networks.get(device, ())}
        if device == tunnelled:
            traits.add(TUNNELLED)
        inventories = {
            BANDWIDTH[direction]: {**UNITS, **(said.get(DEFAULTS) or {}), "total": total}
            for direction, total in rates.items()
            if total
        }
        id = str(uuid5(NAMESPACE, f"{hypervisor}:{device}"))
        name = f"{hypervisor}:{CONTROLLER}:{device}"
        found.setdefault(hypervisor, []).append(Device(id, name, VNIC_TRAITS | traits, inventories))
    return tuple(Tree(hypervisor, tuple(devices)) for hypervisor, devices in sorted(found.items()))


class Bandwidths:
    """Tells Placement of the agents that `agents` reads, and `note`s of which it could. Called whenever something of an agent
    has changed, and again where it failed: a hypervisor is known there only once Nova's compute has started on it."""

    def __init__(
        self,
        providers: Providers,
        agents: Callable[[], Sequence[Agent]],
        note: Callable[[Mapping[str, bool | None]], None],
    ) -> None:
        self._providers, self._agents, self._note = providers, agents, note
        self._told: dict[str, tuple[Tree, ...]] = {}
        self._again: float | None = None

    def due(self) -> bool:
        """Something failed some time ago."""
        return self._again is not None and time.monotonic() > self._again

    def tell(self) -> None:
        """Tell what is different from what was told last."""
        agents = self._agents()
        outcomes: dict[str, bool | None] = {}
        for agent in agents:
            if self._told.get(agent.id) != agent.trees or (agent.trees and not agent.synced):
                outcomes[agent.id] = self._agent(agent)
        there = {agent.id for agent in agents}
        left = [id for id in self._told if id not in there and not self._forget(id, ())]
        self._again = time.monotonic() + AGAIN if left or False in outcomes.values() else None
        different = {
            agent.id: outcomes[agent.id] for agent in agents if outcomes.get(agent.id, agent.synced) != agent.synced
        }
        if different:
            self._note(different)

    def _agent(self, agent: Agent) -> bool | None:
        """What its `resources_synced` is now."""
        try:
            for tree in agent.trees:
                self._make(tree)
        except (exceptions.ClientException, LookupError) as error:
            LOG.warning("placement: the bandwidth of host %s is not told: %s", agent.host, error)
            return False
        if not self._forget(agent.id, agent.trees):
            return False
        self._told[agent.id] = agent.trees
        return True if agent.trees else None

    def _make(self, tree: Tree) -> None:
        root = self._providers.named(tree.hypervisor)
        if root is None:
            raise LookupError(
                f"there is no provider of hypervisor {tree.hypervisor}: Nova makes it when it starts there"
            )
        generation = self._providers.ensure(tree.id, tree.name, root)
        self._providers.set_traits(tree.id, generation, VNIC_TRAITS)
        for device in tree.devices:
            generation = self._providers.ensure(device.id, device.name, tree.id)
            generation = self._providers.set_traits(device.id, generation, device.traits)
            self._providers.set_inventories(device.id, generation, device.inventories)
        for id in sorted(self._providers.below(tree.id) - {device.id for device in tree.devices}):
            self._delete(id)

    def _forget(self, id: str, still: Sequence[Tree]) -> bool:
        """Delete what was told of that agent below hypervisors that it is no longer in. False where it could not be asked."""
        kept = {tree.id for tree in still}
        try:
            for tree in self._told.get(id, ()):
                if tree.id not in kept:
                    for one in (*sorted(self._providers.below(tree.id)), tree.id):
                        self._delete(one)
        except exceptions.ClientException as error:
            LOG.warning("placement: the bandwidth of hypervisor %s is not taken back: %s", tree.hypervisor, error)
            return False
        self._told.pop(id, None)
        return True

    def _delete(self, id: str) -> None:
        if why := self._providers.delete(id):
            LOG.warning("placement: provider %s stays, it is in use: %s", id, why)
