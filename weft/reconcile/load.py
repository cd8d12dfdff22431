"""From the database to one host's desired network: everything once, then what the change log says has moved."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import select

from weft.ipam.allocate import ROUTER_OWNERS
from weft.logical import acl, qos, router, switch
from weft.logical.model import HostView, Key, LocalIp, LogicalRouter, Private
from weft.reconcile.logs import Logs
from weft.registry.resource import Row
from weft.resources import agent_bindings, local_ip, ndp_proxy, router_gateway, trunk
from weft.resources.address_group import ADDRESS_GROUP
from weft.resources.agent import AGENTS
from weft.resources.agent_bindings import ACTIVE, ROUTER_AGENTS
from weft.resources.floatingip import FLOATINGIP, FLOATINGIPS
from weft.resources.network import NETWORK, NETWORKS
from weft.resources.port import PORT, PORTS
from weft.resources.port_forwarding import PORT_FORWARDING, PORT_FORWARDINGS
from weft.resources.qos_policy import POLICIES, POLICY
from weft.resources.router import ROUTER, ROUTERS
from weft.resources.router_interface import ROUTER_PORTS
from weft.resources.security_group import PORT_BINDINGS, SECURITY_GROUP, SECURITY_GROUPS
from weft.resources.subnet import SUBNET, SUBNETS
from weft.store.changes import Change
from weft.store.transaction import Transaction

GATEWAY = router.GATEWAY_OWNER
LEGS = frozenset({*ROUTER_OWNERS, GATEWAY})
"""device_owner of ports that are a router's legs."""
NOT_WORKLOADS = frozenset(
    {*LEGS, "network:floatingip", "network:floatingip_agent_gateway", "network:router_ha_interface"}
)
STATUS = "status"
"""The operation of changes of status alone."""
UP = "ACTIVE"
CHUNK = 500
"""Ids in one IN (...)."""


class HostLoader:
    """The desired network of one host, kept up to date.

    `view` is complete after `load`; `refresh` moves it to a later point of the change log and says which keys differ.
    Rows are read through the API's own resources, so that there is one reading of what a port is.
    """

    def __init__(self, host: str, scheduled: bool = True) -> None:
        """`scheduled`: only what agents serve: routers on this host's L3 agent, DHCP where a network has a DHCP agent."""
        self.view = HostView(host)
        self._scheduled = scheduled
        self._members: dict[str, dict[str, frozenset[str]]] = {}  # security group -> port -> addresses
        self._private: dict[str, dict[str, Private]] = {}  # private VLAN -> port -> what is apart
        self._networks: dict[str, Row] = {}
        self._subnets: dict[str, Row] = {}
        self.unsure: set[Key] = set()
        """Ports here that the last changes touched and that do not count as up. One bound anew in the same way is not
        different, and has to be found up again."""
        self._router_of: dict[str, str] = {}  # leg or floating IP -> router
        self._policies: dict[str, Row] = {}
        self._policy_of: dict[str, frozenset[str]] = {}  # port or router -> QoS policies
        self._logs = Logs()

    # -- whole

    def load(self, tx: Transaction) -> None:
        """Read everything that this host needs."""
        self.__init__(self.view.host, self._scheduled)  # type: ignore[misc]
        self._logs.read(tx)
        ports = tx.list(
            PORT, PORTS.c.binding_host_id == self.view.host, PORTS.c.device_owner.not_in(sorted(NOT_WORKLOADS))
        )
        self._set_routers(tx, self._hosted(tx))
        self._set_ports(tx, ports)
        self._close(tx)

    # -- what moved

    def refresh(self, tx: Transaction, changes: Iterable[Change]) -> set[Key]:
        """Apply `changes`; returns the keys whose values are different now, gone ones included."""
        self.unsure = set()
        dirty = by_kind(changes)
        if not dirty:
            return set()
        before = self._snapshot()
        if self._scheduled and "agent" in dirty:  # switched on or off, or gone
            dirty.setdefault("network", set()).update(self._networks)
            dirty.setdefault("router", set()).update(self.view.routers, self._hosted(tx))
        networks = dirty.get("network", set()) | self._networks_of_subnets(tx, dirty.get("subnet", set()))
        self._reread_networks(tx, networks & set(self._networks))
        following = self._forget_policies(dirty.get("policy", set()))
        port_ids = dirty.get("port", set()) | dirty.get("port_association", set())  # these have their port's id
        if "trunk" in dirty:
            port_ids |= trunk.sub_ports(tx, dirty["trunk"])
        rows = self._rows(tx, PORT, PORTS.c.id, port_ids)
        routers = set(dirty.get("router", ())) | self._routers_touched(tx, dirty, rows, networks)
        self._set_routers(tx, routers | (following & set(self.view.routers)))
        moved = {id for id, port in self.view.ports.items() if port.switch in networks or id in following} - port_ids
        rows += self._rows(tx, PORT, PORTS.c.id, moved)
        self._drop_ports(port_ids - {row["id"] for row in rows})
        self._set_ports(tx, rows)
        self._set_members(rows)
        if self._private:
            self._set_private(rows, gone=port_ids - {row["id"] for row in rows})
        for id in (dirty.get("security_group", set()) | self._logs.refresh(tx, dirty)) & set(self.view.groups):
            self.view.groups.pop(id)
        for id in dirty.get("address_group", set()) & set(self.view.addresses):
            self.view.addresses.pop(id)
        self._close(tx)
        self.unsure = {Key("port", row["id"]) for row in rows if row["id"] in self.view.ports and row["status"] != UP}
        return self._differences(before)

    def _snapshot(self) -> dict[Key, Any]:
        view = self.view
        tables = (view.switches, view.ports, view.groups, view.addresses, view.routers)
        return {value.key: value for table in tables for value in table.values()}

    def _differences(self, before: dict[Key, Any]) -> set[Key]:
        after = self._snapshot()
        return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}

    def _routers_touched(
        self, tx: Transaction, dirty: dict[str, set[str]], ports: Sequence[Row], networks: set[str]
    ) -> set[str]:
        """Routers that a change of their ports, floating IPs, forwardings or networks reaches."""
        found = {
            self._router_of[id]
            for id in dirty.get("port", set()) | dirty.get("floatingip", set())
            if id in self._router_of
        }
        found |= {row["device_id"] for row in ports if row["device_owner"] in LEGS}
        fips = set(dirty.get("floatingip", ()))
        forwardings = dirty.get("port_forwarding", set())
        if forwardings:
            statement = select(PORT_FORWARDINGS.c.floatingip_id).where(PORT_FORWARDINGS.c.id.in_(sorted(forwardings)))
            fips |= {row[0] for row in tx.all(statement)}
            for id, value in self.view.routers.items():
                if any(one.id in forwardings for one in value.forwardings):
                    found.add(id)
        if fips:
            statement = select(FLOATINGIPS.c.router_id).where(FLOATINGIPS.c.id.in_(sorted(fips)))
            found |= {row[0] for row in tx.all(statement) if row[0]}
        if networks:
            found |= {id for id, value in self.view.routers.items() if networks & _switches_of(value)}
        return found

    # -- pieces

    def _answers(self, tx: Transaction, network: Row, subnets: Sequence[Row]) -> bool:
        """Whether DHCP is answered: an agent serves the network, or there is nothing to be answered about anyway."""
        asked = self._scheduled and any(one["enable_dhcp"] for one in subnets)
        return not asked or bool(agent_bindings.served(tx, network))

    def _hosted(self, tx: Transaction) -> list[str]:
        """The routers that may be on this host."""
        statement = select(ROUTERS.c.id)
        if self._scheduled:
            mine = select(AGENTS.c.id).where(AGENTS.c.host == self.view.host)
            statement = select(ROUTER_AGENTS.c.router_id).where(ROUTER_AGENTS.c.agent_id.in_(mine))
        return [row[0] for row in tx.all(statement)]

    def _hosts(self, tx: Transaction, row: Row) -> bool:
        """The router is on an agent of this host that may work; of an HA router, on the active one."""
        host = self.view.host
        return not self._scheduled or any(
            one["host"] == host and one["state"] == ACTIVE for one in agent_bindings.served(tx, row)
        )

    def _rows(self, tx: Transaction, resource: Any, column: Any, ids: Iterable[str]) -> list[Row]:
        wanted = sorted(ids)
        found: list[Row] = []
        for start in range(0, len(wanted), CHUNK):
            found += tx.list(resource, column.in_(wanted[start : start + CHUNK]))
        return found

    def _networks_of_subnets(self, tx: Transaction, subnets: set[str]) -> set[str]:
        known = {self._subnets[id]["network_id"] for id in subnets if id in self._subnets}
        unknown = sorted(id for id in subnets if id not in self._subnets)
        if unknown:
            known |= {row[0] for row in tx.all(select(SUBNETS.c.network_id).where(SUBNETS.c.id.in_(unknown)))}
        return known

    def _reread_networks(self, tx: Transaction, ids: set[str]) -> None:
        for id in ids:
            self._networks.pop(id, None)
            self._private.pop(id, None)
            self.view.switches.pop(id, None)
        for id in [id for id, row in self._subnets.items() if row["network_id"] in ids]:
            del self._subnets[id]
        self._need_networks(tx, ids)

    def _need_networks(self, tx: Transaction, ids: Iterable[str]) -> None:
        """Read the networks (with their subnets) that are not known yet."""
        missing = set(ids) - set(self._networks)
        if not missing:
            return
        for row in self._rows(tx, NETWORK, NETWORKS.c.id, missing):
            self._networks[row["id"]] = row
        for row in self._rows(tx, SUBNET, SUBNETS.c.network_id, missing):
            self._subnets[row["id"]] = row

    def _need_policies(self, tx: Transaction, followers: Iterable[str]) -> None:
        """Read the QoS policies that these ports or routers follow and that are not known yet."""
        wanted = {id for follower in followers for id in self._policy_of[follower]}
        for row in self._rows(tx, POLICY, POLICIES.c.id, wanted - set(self._policies)):
            self._policies[row["id"]] = row

    def _forget_policies(self, ids: set[str]) -> set[str]:
        """Ports and routers that follow one of these policies, which have changed."""
        for id in ids:
            self._policies.pop(id, None)
        return {id for id, policies in self._policy_of.items() if policies & ids}

    def _set_routers(self, tx: Transaction, ids: Iterable[str]) -> None:
        wanted = set(ids)
        if not wanted:
            return
        for id in wanted:
            self.view.routers.pop(id, None)
        for known in [known for known, id in self._router_of.items() if id in wanted]:
            del self._router_of[known]
        rows = [row for row in self._rows(tx, ROUTER, ROUTERS.c.id, wanted) if self._hosts(tx, row)]
        wanted = {row["id"] for row in rows}
        attached = self._attached(tx, rows)
        legs = [leg for leg in self._rows(tx, PORT, PORTS.c.device_id, wanted) if leg["id"] in attached]
        fips = self._rows(tx, FLOATINGIP, FLOATINGIPS.c.router_id, wanted)
        forwardings = self._rows(tx, PORT_FORWARDING, PORT_FORWARDINGS.c.floatingip_id, {fip["id"] for fip in fips})
        proxies = self._proxies(tx, [row["id"] for row in rows if row["enable_ndp_proxy"]])
        self._need_networks(tx, {leg["network_id"] for leg in legs})
        for row in rows:
            self._policy_of[row["id"]] = qos.followed(row, [fip for fip in fips if fip["router_id"] == row["id"]])
        self._need_policies(tx, [row["id"] for row in rows])
        for row in rows:
            id = row["id"]
            mine = [leg for leg in legs if leg["device_id"] == id]
            own_fips = [fip for fip in fips if fip["router_id"] == id]
            proxied = proxies.get(id, ())
            value = router.router(row, mine, self._networks, self._subnets, own_fips, forwardings, proxied)
            self.view.routers[id] = replace(value, qos=qos.of_addresses(row, own_fips, self._policies))
            for one in (*mine, *own_fips):
                self._router_of[one["id"]] = id

    def _proxies(self, tx: Transaction, ids: Sequence[str]) -> dict[str, list[str]]:
        """Router -> the addresses of its NDP proxies."""
        found: dict[str, list[str]] = {}
        for start in range(0, len(ids), CHUNK):
            found |= ndp_proxy.of_routers(tx, ids[start : start + CHUNK])
        return found

    def _attached(self, tx: Transaction, routers: Sequence[Row]) -> set[str]:
        """The ports that are legs of the routers. Others may claim so by their device_id, which users write."""
        found = {one["port_id"] for row in routers for one in router_gateway.held(row)}
        ids = [row["id"] for row in routers]
        for start in range(0, len(ids), CHUNK):
            mine = ROUTER_PORTS.c.router_id.in_(ids[start : start + CHUNK])
            found |= {row[0] for row in tx.all(select(ROUTER_PORTS.c.port_id).where(mine))}
        return found

    def _is_here(self, row: Row) -> bool:
        """Whether a port is a workload of this view's host."""
        return row["binding:host_id"] == self.view.host and row["device_owner"] not in NOT_WORKLOADS

    def _set_ports(self, tx: Transaction, rows: Sequence[Row]) -> None:
        here = [row for row in rows if self._is_here(row)]
        self._drop_ports({row["id"] for row in rows} - {row["id"] for row in here})
        self._need_networks(tx, {row["network_id"] for row in here})
        for row in here:
            self._policy_of[row["id"]] = frozenset({policy} if (policy := qos.effective(row)) else ())
        self._need_policies(tx, [row["id"] for row in here])
        ids = [row["id"] for row in here]
        parts, leading = self._parts(tx, ids), self._leading(tx, ids)
        for row in here:
            found = switch.port(row, self._subnets, parts.get(row["id"], switch.NO_PART))
            self.view.ports[row["id"]] = replace(
                found, qos=qos.of_port(row, self._policies), local_ips=tuple(leading.get(row["id"], ()))
            )

    def _parts(self, tx: Transaction, ids: Sequence[str]) -> dict[str, switch.Part]:
        """Which of the ports are sub-ports of trunks."""
        found: dict[str, switch.Part] = {}
        for start in range(0, len(ids), CHUNK):
            found |= {id: switch.Part(*one) for id, one in trunk.parts(tx, ids[start : start + CHUNK]).items()}
        return found

    def _leading(self, tx: Transaction, ids: Sequence[str]) -> dict[str, list[LocalIp]]:
        """Which local IPs lead to the ports."""
        found: dict[str, list[LocalIp]] = {}
        for start in range(0, len(ids), CHUNK):
            for id, fixed, ip, mode in local_ip.leading_to(tx, ids[start : start + CHUNK]):
                found.setdefault(id, []).append(LocalIp(ip, fixed, mode == local_ip.TRANSLATE))
        return found

    def _drop_ports(self, ids: Iterable[str]) -> None:
        for id in ids:
            self.view.ports.pop(id, None)
            for group, members in self._members.items():
                if members.pop(id, None) is not None:
                    self.view.addresses[group] = acl.address_set(group, members.values())

    def _set_members(self, rows: Sequence[Row]) -> None:
        """Keep the address sets of remote groups in step with their ports, wherever those are."""
        for row in rows:
            groups = set(row["security_groups"])
            for group, members in self._members.items():
                was = members.get(row["id"])
                now = acl.member_addresses(row) if group in groups else None
                if was == now:
                    continue
                if now is None:
                    members.pop(row["id"], None)
                else:
                    members[row["id"]] = now
                self.view.addresses[group] = acl.address_set(group, members.values())

    def _set_private(self, rows: Sequence[Row], gone: Iterable[str] = ()) -> None:
        """Keep what private VLANs know of their ports, wherever those are, in step."""
        for network_id, known in self._private.items():
            for id in gone:
                known.pop(id, None)
            for row in (row for row in rows if row["network_id"] == network_id):
                found = switch.private(row)
                if found is None:
                    known.pop(row["id"], None)
                else:
                    known[row["id"]] = found
            apart = tuple(known[id] for id in sorted(known))
            if network_id in self.view.switches and self.view.switches[network_id].private != apart:
                self.view.switches[network_id] = replace(self.view.switches[network_id], private=apart)

    def _close(self, tx: Transaction) -> None:
        """Bring in what the ports and routers refer to, and let go of what nothing refers to any more."""
        view = self.view
        wanted = {group for port in view.ports.values() for group in port.groups}
        for row in self._rows(tx, SECURITY_GROUP, SECURITY_GROUPS.c.id, wanted - set(view.groups)):
            view.groups[row["id"]] = acl.port_group(row, self._logs.of(row["id"]))
        _keep(view.groups, wanted)
        groups, address_groups = acl.remotes(view.groups.values())
        self._need_members(tx, groups - set(self._members))
        for row in self._rows(tx, ADDRESS_GROUP, ADDRESS_GROUP.table.c.id, address_groups - set(view.addresses)):
            view.addresses[row["id"]] = acl.address_set(row["id"], [row["addresses"]])
        _keep(self._members, groups)
        _keep(view.addresses, groups | address_groups)
        switches = {port.switch for port in view.ports.values()}
        for value in view.routers.values():
            switches |= _switches_of(value)
        self._need_networks(tx, switches)
        for id in switches & set(self._networks) - set(view.switches):
            subnets = [row for row in self._subnets.values() if row["network_id"] == id]
            found = switch.switch(self._networks[id], subnets)
            view.switches[id] = replace(found, serves_dhcp=self._answers(tx, self._networks[id], subnets))
            if self._networks[id]["pvlan"]:
                self._private[id] = {}
                self._set_private(self._rows(tx, PORT, PORTS.c.network_id, {id}))
        _keep(view.switches, switches)
        _keep(self._networks, switches)
        _keep(self._private, switches)
        self._subnets = {id: row for id, row in self._subnets.items() if row["network_id"] in switches}
        _keep(self._policy_of, set(view.ports) | set(view.routers))
        _keep(self._policies, {id for ids in self._policy_of.values() for id in ids})

    def _need_members(self, tx: Transaction, groups: set[str]) -> None:
        for group in sorted(groups):
            having = select(PORT_BINDINGS.c.port_id).where(PORT_BINDINGS.c.security_group_id == group)
            rows = tx.list(PORT, PORTS.c.id.in_(having))
            self._members[group] = {row["id"]: acl.member_addresses(row) for row in rows}
            self.view.addresses[group] = acl.address_set(group, self._members[group].values())


def by_kind(changes: Iterable[Change]) -> dict[str, set[str]]:
    """Kind of object -> ids of those that changed, not in their status alone: that is the reconciler's own."""
    found: dict[str, set[str]] = {}
    for change in changes:
        if change.operation != STATUS:
            found.setdefault(change.kind, set()).add(change.id)
    return found


def _switches_of(value: LogicalRouter) -> set[str]:
    return {leg.switch for leg in value.legs}


def _keep(table: dict[str, Any], wanted: set[str]) -> None:
    for id in [id for id in table if id not in wanted]:
        del table[id]
