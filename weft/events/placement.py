"""Placement hears how many IPv4 addresses the segments of routed networks have, and Nova which hosts are on them, so that
servers are scheduled where there is an address for them.

A segment with IPv4 subnets is a resource provider with the segment's id, and an aggregate of hosts; both are named
"Neutron segment id <id>". What they should be is read from the database whenever something has changed, and what differs
from what was told last is told. Rules: facts of the API, behaviours section 26.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keystoneauth1 import exceptions
from sqlalchemy import Connection, func, not_, select

from weft.config import Config
from weft.events import nova
from weft.events.bandwidths import Bandwidths
from weft.events.providers import Providers, checked, done
from weft.ipam import ranges
from weft.ipam.allocate import ALLOCATIONS
from weft.resources import agent
from weft.resources.port import PORTS
from weft.resources.segment import SEGMENTS
from weft.resources.subnet import SUBNETS
from weft.store.changes import Change

LOG = logging.getLogger(__name__)

NAME = "placement"
RESOURCE_CLASS = "IPV4_ADDRESS"
GATHER = 1.0
"""Seconds for which changes are gathered."""


@dataclass(frozen=True)
class Place:
    """A segment as others should know it: IPv4 addresses, how many of them are not for servers, and the hosts on it."""

    total: int
    reserved: int
    hosts: frozenset[str] = frozenset()

    @property
    def inventory(self) -> dict[str, Any]:
        units = {"min_unit": 1, "max_unit": 1, "step_size": 1, "allocation_ratio": 1.0}
        return {RESOURCE_CLASS: {"total": self.total, "reserved": self.reserved, **units}}


Places = Mapping[str, Place]
"""Segment -> what others should know of it."""


def read(connection: Connection) -> Places:
    """The segments with IPv4 subnets. Three statements, however many."""
    four = (SUBNETS.c.segment_id.is_not(None), SUBNETS.c.ip_version == 4)
    columns = (SUBNETS.c.segment_id, SUBNETS.c.gateway_ip, SUBNETS.c.enable_dhcp, SUBNETS.c.allocation_pools)
    place = (SEGMENTS.c.network_type, SEGMENTS.c.physical_network)
    subnets = select(*columns, *place).join(SEGMENTS, SEGMENTS.c.id == SUBNETS.c.segment_id)
    used = (
        select(SUBNETS.c.segment_id, func.count())
        .join(ALLOCATIONS, ALLOCATIONS.c.subnet_id == SUBNETS.c.id)
        .join(PORTS, PORTS.c.id == ALLOCATIONS.c.port_id)
        .where(*four, not_(PORTS.c.device_owner.startswith("compute:")), PORTS.c.device_owner != "network:dhcp")
        .group_by(SUBNETS.c.segment_id)
    )
    taken: dict[str, int] = {row[0]: row[1] for row in connection.execute(used)}
    hosts = _hosts(connection)
    found: dict[str, Place] = {}
    for row in connection.execute(subnets.where(*four)):
        before = found.get(row.segment_id) or Place(0, taken.get(row.segment_id, 0))
        gateway = 1 if row.gateway_ip else 0
        found[row.segment_id] = Place(
            before.total + ranges.size(ranges.as_ranges(row.allocation_pools)) + gateway,
            before.reserved + gateway + (1 if row.enable_dhcp else 0),
            hosts.get(row.physical_network or row.network_type, frozenset()),
        )
    return found


def _hosts(connection: Connection) -> Mapping[str, frozenset[str]]:
    """Physical network or type of tunnel -> hosts that carry it."""
    found: dict[str, set[str]] = {}
    for host, said in connection.execute(select(agent.AGENTS.c.host, agent.AGENTS.c.configurations)):
        for name in agent.carried_by(said):
            found.setdefault(name, set()).add(host)
    return {name: frozenset(hosts) for name, hosts in found.items()}


class Placement:
    """The recipient. What it has told is forgotten with the process: the next one tells all of it once more."""

    name = NAME
    gather = GATHER

    def __init__(
        self, config: Config, places: Callable[[], Places], providers: Providers, bandwidths: Bandwidths
    ) -> None:
        self._places = places
        self._told: dict[str, Place] | None = None
        self._providers, self._bandwidths = providers, bandwidths
        self._compute = nova.client(config.nova, "compute", "2.41") if config.nova.auth_url else None

    def due(self) -> bool:
        """After a start: something may have been missed."""
        return self._told is None or self._bandwidths.due()

    def wants(self, change: Change) -> bool:
        if change.kind in ("segment", "subnet", "agent"):
            return True
        owner = str((change.facts or {}).get("device_owner") or "")
        return change.kind == "port" and change.operation != "status" and not owner.startswith("compute:")

    def deliver(self, batch: Sequence[Change]) -> None:
        """Tell what is different, or raise for what may go better later."""
        told = {} if self._told is None else self._told
        now = self._places()
        gone = {id for id in (*told, *(_left(change) for change in batch)) if id and id not in now}
        changed = {id: place for id, place in now.items() if told.get(id) != place}
        aggregates = self._aggregates() if gone or changed else {}
        self._told = told
        for id in sorted(gone):
            self._forget(id, aggregates)
            told.pop(id, None)
        for id, place in sorted(changed.items()):
            try:
                self._tell(id, place, aggregates)
            except exceptions.BadRequest as error:
                LOG.warning("placement: what was told of segment %s is refused: %s", id, error)
            told[id] = place
        self._bandwidths.tell()

    def _tell(self, id: str, place: Place, aggregates: Mapping[str, Any]) -> None:
        generation = self._providers.ensure(id, title(id))
        generation = self._providers.set_inventories(id, generation, place.inventory)
        if self._compute is None:
            return
        own = aggregates.get(title(id)) or self._create_aggregate(id)
        self._providers.set_aggregates(id, generation, [own["uuid"]])
        before = set(own.get("hosts") or ())
        for host in sorted(place.hosts - before):
            self._act(own, "add_host", host)
        for host in sorted(before - place.hosts):
            self._act(own, "remove_host", host)

    def _forget(self, id: str, aggregates: Mapping[str, Any]) -> None:
        own = aggregates.get(title(id))
        if own is not None and self._compute is not None:
            for host in own.get("hosts") or ():
                self._act(own, "remove_host", host)
            done(self._compute.delete(f"/os-aggregates/{own['id']}", raise_exc=False), 404)
        if why := self._providers.delete(id):
            LOG.warning("placement: provider %s stays, it is in use: %s", id, why)

    # Aggregates of Nova, by name.

    def _aggregates(self) -> Mapping[str, Any]:
        if self._compute is None:
            return {}
        found = checked(self._compute.get("/os-aggregates", raise_exc=False))["aggregates"]
        return {one["name"]: one for one in found}

    def _create_aggregate(self, id: str) -> Any:
        assert self._compute is not None
        body = {"aggregate": {"name": title(id), "availability_zone": None}}
        return checked(self._compute.post("/os-aggregates", json=body, raise_exc=False))["aggregate"]

    def _act(self, own: Any, action: str, host: str) -> None:
        """Nova may not know the host, or have moved it already: that is said and no reason to stop."""
        assert self._compute is not None
        url = f"/os-aggregates/{own['id']}/action"
        answer = self._compute.post(url, json={action: {"host": host}}, raise_exc=False)
        if answer.status_code in (404, 409):
            LOG.info("nova: %s %s of aggregate %s: %d", action, host, own["name"], answer.status_code)
            return
        done(answer)


def title(id: str) -> str:
    """The name of a segment's provider and aggregate; tools know it."""
    return f"Neutron segment id {id}"


def _left(change: Change) -> str | None:
    """The segment that a deleted segment or subnet was, or was of."""
    if change.operation != "delete" or change.kind not in ("segment", "subnet"):
        return None
    return change.id if change.kind == "segment" else (change.facts or {}).get("row", {}).get("segment_id")
