"""From the database to the desired network of a whole cloud: everything once, then what the change log says has moved.

Unlike a host's, this view holds whatever there is, so nothing is searched for what it refers to, and a change costs by
what it touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Column, select

from weft.logical import acl, switch
from weft.logical.model import Key, Value
from weft.reconcile.load import CHUNK, NOT_WORKLOADS, UP, HostLoader, by_kind
from weft.registry.resource import Row
from weft.resources import binding, trunk
from weft.resources.address_group import ADDRESS_GROUP, ADDRESS_GROUPS
from weft.resources.floatingip import FLOATINGIPS
from weft.resources.network import NETWORK, NETWORKS
from weft.resources.port import PORT, PORTS
from weft.resources.port_binding import INACTIVE_BINDINGS
from weft.resources.router import ROUTERS
from weft.resources.security_group import SECURITY_GROUP, SECURITY_GROUPS
from weft.resources.subnet import SUBNET, SUBNETS
from weft.store.changes import Change
from weft.store.transaction import Transaction

BACKEND = "ovn"
"""The dataplane that has such a view."""


class CloudLoader(HostLoader):
    """The desired network of all hosts. `view.host` is ''; sets of addresses are those of address groups alone.

    Hosts of other dataplanes may stand beside: their ports are there, as members of groups and as neighbours, and
    `elsewhere`; routers that an L3 agent serves are not.
    """

    def __init__(self, host: str = "") -> None:
        super().__init__("", scheduled=False)

    def load(self, tx: Transaction) -> None:
        """Read everything, some hundred rows at a time."""
        self.__init__()  # type: ignore[misc]
        self._logs.read(tx)
        for ids in _ids(tx, NETWORKS.c.id):
            self._set_networks(tx, ids)
        for ids in _ids(tx, SECURITY_GROUPS.c.id):
            self._set_groups(tx, ids)
        for ids in _ids(tx, ADDRESS_GROUPS.c.id):
            self._set_addresses(tx, ids)
        for ids in _ids(tx, ROUTERS.c.id):
            self._set_routers(tx, ids)
        for ids in _ids(tx, PORTS.c.id, PORTS.c.device_owner.not_in(sorted(NOT_WORKLOADS))):
            self._set_ports(tx, self._rows(tx, PORT, PORTS.c.id, ids))

    def refresh(self, tx: Transaction, changes: Iterable[Change]) -> set[Key]:
        """Apply `changes`; returns the keys whose values are different now, gone ones included."""
        self.unsure = set()
        dirty = by_kind(changes)
        if not dirty:
            return set()
        networks = dirty.get("network", set()) | self._networks_of_subnets(tx, dirty.get("subnet", set()))
        qos = {id: row["qos_policy_id"] for id in networks if (row := self._networks.get(id))}
        was = self._values("switch", networks)
        self._set_networks(tx, networks)
        followed = {id for id, policy in qos.items() if id in self._networks and self._policy(id) != policy}
        following = self._forget_policies(dirty.get("policy", set()))
        ports = dirty.get("port", set()) | dirty.get("port_association", set()) | (following & set(self.view.ports))
        ports |= trunk.sub_ports(tx, dirty["trunk"]) if "trunk" in dirty else set()
        ports |= self._workloads(tx, followed)
        rows = self._rows(tx, PORT, PORTS.c.id, ports)
        routers = set(dirty.get("router", ())) | self._routers_touched(tx, dirty, rows, networks)
        routers |= {id for id in following if id in self.view.routers}
        groups = dirty.get("security_group", set()) | self._logs.refresh(tx, dirty)
        sets = dirty.get("address_group", set())
        was |= self._values("router", routers) | self._values("group", groups) | self._values("addresses", sets)
        was |= self._values("port", ports)
        self._set_groups(tx, groups)
        self._set_addresses(tx, sets)
        self._set_routers(tx, routers)
        self._drop_ports(ports - {row["id"] for row in rows})
        self._set_ports(tx, rows)
        self.unsure = {Key("port", row["id"]) for row in rows if row["id"] in self.view.ports and row["status"] != UP}
        return {key for key, value in was.items() if self.view.of(key.kind).get(key.id) != value}

    def _values(self, kind: Any, ids: Iterable[str]) -> dict[Key, Value | None]:
        table = self.view.of(kind)
        return {Key(kind, id): table.get(id) for id in ids}

    def _policy(self, network: str) -> Any:
        return self._networks[network]["qos_policy_id"]

    def _workloads(self, tx: Transaction, networks: set[str]) -> set[str]:
        return (
            {row[0] for row in tx.all(select(PORTS.c.id).where(PORTS.c.network_id.in_(networks)))}
            if networks
            else set()
        )

    # -- pieces

    def _hosts(self, tx: Transaction, row: Row) -> bool:
        return not row["_agents"]

    def _is_here(self, row: Row) -> bool:
        return row["device_owner"] not in NOT_WORKLOADS

    def _set_networks(self, tx: Transaction, ids: Iterable[str]) -> None:
        wanted = set(ids)
        if not wanted:
            return
        for id in wanted:
            self._networks.pop(id, None)
            old = self.view.switches.pop(id, None)
            for subnet in old.subnets if old else ():
                self._subnets.pop(subnet.subnet_id, None)
        subnets: dict[str, list[Row]] = {}
        for row in self._rows(tx, SUBNET, SUBNETS.c.network_id, wanted):
            self._subnets[row["id"]] = row
            subnets.setdefault(row["network_id"], []).append(row)
        for row in self._rows(tx, NETWORK, NETWORKS.c.id, wanted):
            self._networks[row["id"]] = row
            self.view.switches[row["id"]] = switch.switch(row, subnets.get(row["id"], ()))

    def _set_groups(self, tx: Transaction, ids: Iterable[str]) -> None:
        wanted = set(ids)
        for id in wanted:
            self.view.groups.pop(id, None)
        for row in self._rows(tx, SECURITY_GROUP, SECURITY_GROUPS.c.id, wanted):
            self.view.groups[row["id"]] = acl.port_group(row, self._logs.of(row["id"]))

    def _set_addresses(self, tx: Transaction, ids: Iterable[str]) -> None:
        wanted = set(ids)
        for id in wanted:
            self.view.addresses.pop(id, None)
        for row in self._rows(tx, ADDRESS_GROUP, ADDRESS_GROUPS.c.id, wanted):
            self.view.addresses[row["id"]] = acl.address_set(row["id"], [row["addresses"]])

    def _set_routers(self, tx: Transaction, ids: Iterable[str]) -> None:
        """Floating IPs have a MAC here: that which the outside sees where they are distributed."""
        wanted = set(ids)
        super()._set_routers(tx, wanted)
        fips = [nat.id for id in wanted if id in self.view.routers for nat in self.view.routers[id].nats]
        macs: dict[str, str] = {}
        for start in range(0, len(fips), CHUNK):
            own = FLOATINGIPS.c.floating_port_id == PORTS.c.id
            statement = select(FLOATINGIPS.c.id, PORTS.c.mac_address).join(PORTS, own)
            macs |= dict(_pairs(tx, statement.where(FLOATINGIPS.c.id.in_(fips[start : start + CHUNK]))))
        for id in wanted & set(self.view.routers):
            router = self.view.routers[id]
            if router.nats:
                nats = tuple(replace(one, mac=macs.get(one.id, "")) for one in router.nats)
                self.view.routers[id] = replace(router, nats=nats)

    def _set_ports(self, tx: Transaction, rows: Sequence[Row]) -> None:
        """Ports that are about to move have the hosts of ours that are ready for them, too."""
        for row in rows:
            row["network_id"] = self._shared(row["network_id"])
        super()._set_ports(tx, rows)
        bound = [row for row in rows if row["id"] in self.view.ports and row["binding:host_id"]]
        for row in bound:
            if binding.attached_by(row["binding:vif_details"]) not in (BACKEND, ""):
                self.view.ports[row["id"]] = replace(self.view.ports[row["id"]], elsewhere=True)
        inactive = INACTIVE_BINDINGS.c
        for start in range(0, len(bound), CHUNK):
            mine = inactive.port_id.in_([row["id"] for row in bound[start : start + CHUNK]])
            statement = select(inactive.port_id, inactive.host, inactive.vif_details).where(mine)
            for one in tx.all(statement.order_by(inactive.host)):
                if binding.attached_by(one.vif_details) == BACKEND:
                    port = self.view.ports[one.port_id]
                    self.view.ports[one.port_id] = replace(port, also=(*port.also, one.host))

    def _shared(self, network: str) -> str:
        """The same text for all ports of a network: it is kept ten thousand times."""
        row = self._networks.get(network)
        return str(row["id"]) if row else network

    def _drop_ports(self, ids: Iterable[str]) -> None:
        for id in ids:
            self.view.ports.pop(id, None)
            self._policy_of.pop(id, None)


def _pairs(tx: Transaction, statement: Any) -> list[tuple[str, str]]:
    return [tuple(row) for row in tx.all(statement)]


def _ids(tx: Transaction, column: Column[Any], *where: Any) -> Iterator[list[str]]:
    """All ids of a table, in lots."""
    last = ""
    while True:
        statement = select(column).where(column > last, *where).order_by(column).limit(CHUNK)
        found = [row[0] for row in tx.all(statement)]
        if not found:
            return
        yield found
        last = found[-1]
