"""Subnets: a CIDR on a network, how hosts learn their addresses in it, and which addresses are given out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address, ip_network
from itertools import pairwise
from typing import Any
from uuid import uuid4

from sqlalchemy import JSON, Boolean, Column, ForeignKey, Integer, String, Table, bindparam, select

from weft import errors
from weft.ipam import allocate, ranges
from weft.registry import types as t
from weft.registry import types_address as addresses
from weft.registry import types_network as net
from weft.registry.attributes import REQUIRED, Attribute, read_only
from weft.registry.resource import Resource, Row
from weft.registry.strategy import Strategy
from weft.resources import dhcp_agents, network, peer_routes, standard, subnet_checks, subnet_segment, subnetpool
from weft.resources.subnet_checks import PREFIX_DELEGATION, PROVISIONAL, SLAAC_MODES
from weft.store import access
from weft.store.schema import ID, METADATA, identity
from weft.store.schema import standard as standard_columns
from weft.store.transaction import Transaction

SUBNETS = Table(
    "subnets",
    METADATA,
    *identity(),
    Column("name", String(255), nullable=False, default=""),
    Column("network_id", ID, ForeignKey("networks.id"), nullable=False, index=True),
    Column("ip_version", Integer, nullable=False),
    Column("cidr", String(64), nullable=False),
    Column("gateway_ip", String(45)),
    Column("subnetpool_id", ID, index=True),
    Column("enable_dhcp", Boolean, nullable=False, default=True),
    Column("ipv6_ra_mode", String(20)),
    Column("ipv6_address_mode", String(20)),
    Column("allocation_pools", JSON, nullable=False),
    Column("dns_nameservers", JSON, nullable=False),
    Column("own_routes", JSON, nullable=False),
    Column("service_types", JSON, nullable=False),
    Column("dns_publish_fixed_ip", Boolean, nullable=False, default=False),
    Column("segment_id", ID, ForeignKey("network_segments.id"), index=True),
    *standard_columns(),
)
"""`own_routes` are those that its owner wrote; host_routes shows them with those to its peers on other segments."""

IPV6_MODE = t.enum("dhcpv6-stateful", "dhcpv6-stateless", "slaac")

ATTRIBUTES = (
    read_only("id", t.uuid, sort=True, primary_key=True),
    Attribute("name", t.name_string, default="", sort=True),
    Attribute("ip_version", t.enum(4, 6), default=REQUIRED, put=False, sort=True),
    Attribute("network_id", t.uuid, default=REQUIRED, put=False, sort=True, required_by_policy=True),
    Attribute("subnetpool_id", net.subnetpool_id_or_none, put=False, sort=True),
    Attribute("prefixlen", t.non_negative, put=False, visible=False, filter=False),
    Attribute("cidr", addresses.cidr_or_none, put=False, sort=True),
    Attribute("gateway_ip", addresses.ip_or_none, sort=True),
    Attribute("allocation_pools", addresses.allocation_pools, filter=False),
    Attribute("dns_nameservers", addresses.nameservers, filter=False),
    Attribute("host_routes", addresses.routes, filter=False),
    *standard.project(),
    Attribute("enable_dhcp", t.boolean, default=True, sort=True),
    Attribute("ipv6_ra_mode", IPV6_MODE, put=False, sort=True),
    Attribute("ipv6_address_mode", IPV6_MODE, put=False, sort=True),
    read_only("shared", t.boolean, visible=False, policy=True, required_by_policy=True),
    Attribute("service_types", net.service_types, filter=False, extension="subnet-service-types"),
    Attribute(
        "use_default_subnetpool", t.boolean, default=False, put=False, visible=False, filter=False,
        extension="default-subnetpools",
    ),
    Attribute("dns_publish_fixed_ip", t.boolean, default=False, filter=False, extension="subnet-dns-publish-fixed-ip"),
    read_only("router:external", t.boolean, policy=True, extension="subnet-external-network"),
    Attribute("segment_id", t.uuid_or_none, default=None, sort=True, extension="segment"),
    *standard.stamps(),
)  # fmt: skip


class SubnetStrategy(Strategy):
    """Subnets; see behaviours section 2 of the API's facts."""

    patient = True
    locked = True

    def columns(self) -> Any:
        of_network = network.NETWORKS.c.id == SUBNETS.c.network_id
        return {
            "shared": access.shared(SUBNETS.c.network_id),
            "router:external": select(network.NETWORKS.c.router_external).where(of_network).scalar_subquery(),
            "network:project_id": select(network.NETWORKS.c.project_id).where(of_network).scalar_subquery(),
            "_peers": peer_routes.peers(SUBNETS),
        }

    def view(self, tx: Transaction, row: Row) -> None:
        row["host_routes"] = peer_routes.complete(row) if row["_peers"] else list(row["own_routes"])

    def visible(self) -> Any:
        return access.granted(SUBNETS.c.network_id, (access.SHARED, access.EXTERNAL))

    def was_visible(self, tx: Transaction, row: Row) -> bool:
        return tx.find(network.NETWORK, row["network_id"]) is not None

    def related(self) -> Any:
        return {
            "network:project_id": lambda tx, row: network.hold(tx, row["network_id"])["project_id"],
            "shared": lambda tx, row: _network(tx, row)["shared"],
            "router:external": lambda tx, row: _network(tx, row)["router:external"],
        }

    def prepare(self, tx: Transaction, values: Row) -> None:
        on = network.hold(tx, values["network_id"])
        if values["enable_dhcp"]:
            dhcp_agents.look(tx, on)
        _choose_cidr(tx, values, on)
        _refuse_overlap(tx, values)
        gateway_given = "gateway_ip" in values and values["gateway_ip"] is not None
        if "gateway_ip" not in values:
            values["gateway_ip"] = default_gateway(values["cidr"])
        values.setdefault("dns_nameservers", [])
        values.setdefault("host_routes", [])
        values.setdefault("service_types", [])
        values.setdefault("segment_id", None)
        values.setdefault("ipv6_ra_mode", None)
        values.setdefault("ipv6_address_mode", None)
        values["id"] = str(uuid4())
        values.pop("use_default_subnetpool", None)
        values.pop("prefixlen", None)
        _check_network(tx, values, on)
        subnet_checks.check_shape(values)
        pools = values.get("allocation_pools")
        if pools is None:
            if values["gateway_ip"] is not None and not gateway_given:
                subnet_checks.check_default_gateway(values)
            values["allocation_pools"] = ranges.default_pools(values["cidr"], values["gateway_ip"])
        else:
            values["allocation_pools"] = _checked_pools(values)
        values["shared"], values["router:external"] = on["shared"], on["router:external"]
        values["own_routes"] = values["host_routes"]
        subnet_segment.check_new(tx, values, of_network(tx, on["id"]))
        values["_peers"] = peer_routes.cidrs(values, of_network(tx, on["id"]))
        values["host_routes"] = peer_routes.complete(values)

    def validate(self, tx: Transaction, new: Row, old: Row | None) -> None:
        subnet_checks.check_bounds(tx, new)
        if old is None or new["gateway_ip"] != old["gateway_ip"]:
            subnet_checks.check_gateway(new)
        subnet_checks.check_versions(new)

    def settle(self, tx: Transaction, new: Row, old: Row | None) -> None:
        from weft.resources import port_subnets

        on = network.load(tx, new["network_id"])
        _forget(tx, new)
        tx.touch(network.NETWORK, on)
        if old is None:
            _touch_peers(tx, new)
        if new["enable_dhcp"] and (old is None or not old["enable_dhcp"]):
            dhcp_agents.schedule(tx, on)
        if old is None and allocate.is_auto(new):
            port_subnets.give_auto_addresses(tx, new)
        # On which segments of a routed network routers are is not known here.
        if old is None and new["router:external"] and not new["segment_id"]:
            from weft.resources import router

            router.give_gateways_addresses(tx, new)

    def prepare_update(self, tx: Transaction, old: Row, changes: Row, new: Row) -> None:
        if not new["enable_dhcp"] and (old["ipv6_ra_mode"] or old["ipv6_address_mode"]):
            raise errors.InvalidInput(
                reason="ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False"
            )
        if changes.get("dns_nameservers", ()) is None:
            new["dns_nameservers"] = []
        if new["gateway_ip"] != old["gateway_ip"] and old["gateway_ip"]:
            _refuse_gateway_in_use(tx, old)
        if "allocation_pools" in changes:
            new["allocation_pools"] = _checked_pools(new)
        elif new["gateway_ip"] != old["gateway_ip"] and new["gateway_ip"]:
            _refuse_gateway_in_pools(new["gateway_ip"], new["allocation_pools"])
        if new["segment_id"] != old["segment_id"]:
            subnet_segment.check_change(tx, old, new, of_network(tx, old["network_id"]))
        if "host_routes" in changes:
            new["own_routes"] = peer_routes.without(new, peer_routes.without(old, changes["host_routes"]))
        new["host_routes"] = peer_routes.complete(new)

    def validate_delete(self, tx: Transaction, row: Row) -> None:
        from weft.resources import port_subnets

        tx.lock(self.resource, row["id"])
        if port_subnets.uses_subnet(tx, row, ignore_auto=allocate.is_auto(row)):
            raise errors.SubnetInUse(id=row["id"], reason="One or more ports have an IP allocation from this subnet")

    def write_delete(self, tx: Transaction, row: Row) -> None:
        from weft.resources import port_subnets

        port_subnets.forget_subnet(tx, row)
        tx.delete(self.resource, row)

    def settle_delete(self, tx: Transaction, row: Row) -> None:
        on = tx.find(network.NETWORK, row["network_id"], everybody=True)
        if on is not None:
            tx.touch(network.NETWORK, on, read=False)
        _forget(tx, row)
        _touch_peers(tx, row)


def _forget(tx: Transaction, row: Row) -> None:
    """What is remembered of the subnets of the network is no longer so."""
    tx.forget(("subnets", row["network_id"]))
    tx.forget(("segments", row["network_id"]))


def _touch_peers(tx: Transaction, row: Row) -> None:
    """The subnets of other segments have a host route to this one more, or less."""
    if row["segment_id"]:
        for peer in peer_routes.peers_of(row, of_network(tx, row["network_id"])):
            tx.touch(SUBNET, peer)


def ids_of_segment(tx: Transaction, segment_id: str) -> list[str]:
    """The subnets that belong to a segment."""
    return [row[0] for row in tx.all(select(SUBNETS.c.id).where(SUBNETS.c.segment_id == segment_id))]


def _network(tx: Transaction, row: Row) -> Row:
    found = tx.once(("network", row["network_id"]), lambda: tx.find(network.NETWORK, row["network_id"], everybody=True))
    return found or {"shared": False, "router:external": False}


_OF_NETWORK = SUBNETS.c.network_id == bindparam("of_network")


def of_network(tx: Transaction, network_id: str) -> list[Row]:
    """All subnets of a network, whoever owns them; remembered for the transaction."""
    values = {"of_network": network_id}
    return tx.once(("subnets", network_id), lambda: tx.list(SUBNET, _OF_NETWORK, values=values))


def default_gateway(cidr: str) -> str:
    """The first address after the network's (IPv4); the network's own, the subnet-router anycast address (IPv6)."""
    net_ = ip_network(cidr)
    return str(net_.network_address + 1 if net_.version == 4 else net_.network_address)


def _choose_cidr(tx: Transaction, values: Row, on: Row) -> None:
    """Settle cidr and subnetpool_id from what the client said: a CIDR, a pool, the default pool."""
    cidr, prefixlen = values.get("cidr"), values.get("prefixlen")
    pool_id, version = values.get("subnetpool_id"), values["ip_version"]

    def refuse(reason: str) -> None:
        raise errors.BadRequest(resource="subnets", reason=reason)

    if cidr and prefixlen is not None:
        refuse("cidr and prefixlen must not be supplied together")
    if values.get("use_default_subnetpool"):
        if pool_id:
            refuse("subnetpool_id and use_default_subnetpool cannot both be specified")
        pool_id = subnetpool.default(tx, version, tx.config.api.ipv6_pd_enabled)
    if pool_id == PREFIX_DELEGATION:
        _delegated(values, cidr)
        return
    if not cidr and not pool_id:
        refuse("a subnetpool must be specified in the absence of a cidr")
    if cidr and ip_network(cidr, strict=False).version != version:
        raise errors.InvalidInput(reason=f"cidr '{cidr}' does not match the ip_version '{version}'")
    if pool_id:
        if values.get("allocation_pools") and not cidr:
            refuse("allocation_pools allowed only when a cidr is specified")
        cidr = subnetpool.take(tx, pool_id, values, on)
    values["cidr"] = str(ip_network(str(cidr), strict=False))
    values["subnetpool_id"] = pool_id or None
    _check_pool_affinity(tx, values, on)


def _delegated(values: Row, cidr: str | None) -> None:
    def refuse(reason: str) -> None:
        raise errors.BadRequest(resource="subnets", reason=reason)

    if values["ip_version"] != 6:
        refuse("Prefix Delegation can only be used with IPv6 subnets.")
    for name in ("ipv6_ra_mode", "ipv6_address_mode"):
        if values.get(name) not in SLAAC_MODES:
            refuse("IPv6 RA Mode and Address Mode must be SLAAC or DHCPv6 Stateless for Prefix Delegation.")
    values["subnetpool_id"] = None if cidr else PREFIX_DELEGATION
    values["cidr"] = cidr or PROVISIONAL


def _check_pool_affinity(tx: Transaction, values: Row, on: Row) -> None:
    """All subnets of one IP version on a network come from one pool (of one address scope), or none does."""
    same = [s for s in of_network(tx, on["id"]) if s["ip_version"] == values["ip_version"]]
    pools = [s["subnetpool_id"] for s in same]
    differ = any(pool != values["subnetpool_id"] for pool in pools)
    if differ and not subnetpool.same_scope(tx, pools, values["subnetpool_id"]):
        raise errors.NetworkSubnetPoolAffinityError()


def _refuse_overlap(tx: Transaction, values: Row) -> None:
    if values["cidr"] == PROVISIONAL:
        return
    for other in of_network(tx, values["network_id"]):
        if other["cidr"] != PROVISIONAL and ranges.overlaps(values["cidr"], other["cidr"]):
            raise errors.InvalidInput(
                reason=f"Requested subnet with cidr: {values['cidr']} for network: {values['network_id']} overlaps with "
                "another subnet"
            )


def _check_network(tx: Transaction, values: Row, on: Row) -> None:
    least = network.LEAST_MTU[values["ip_version"]]
    if on["mtu"] < least:
        raise errors.NetworkMTUSubnetConflict(id=on["id"], minimum=least)


def _checked_pools(values: Row) -> list[dict[str, str]]:
    """The allocation pools, sorted; raises what is wrong with them."""
    version = values["ip_version"]
    first, last = ranges.usable(values["cidr"])
    spans: list[ranges.Range] = []
    for pool in values["allocation_pools"]:
        start, end = ip_address(pool["start"]), ip_address(pool["end"])
        if start.version != version or end.version != version or int(start) > int(end):
            raise errors.InvalidAllocationPool(pool=f"{start}-{end}")
        if int(start) < first or int(end) > last:
            raise errors.OutOfBoundsAllocationPool(pool=f"{start}-{end}", cidr=values["cidr"])
        spans.append((int(start), int(end)))
    spans.sort()
    for (start_a, end_a), (start_b, end_b) in pairwise(spans):
        if start_b <= end_a:
            one, other = (
                ranges.as_pools([(start_a, end_a)], version)[0],
                ranges.as_pools([(start_b, end_b)], version)[0],
            )
            raise errors.OverlappingAllocationPools(
                pool=f"{one['start']}-{one['end']}", other=f"{other['start']}-{other['end']}", cidr=values["cidr"]
            )
    pools = ranges.as_pools(spans, version)
    if values["gateway_ip"]:
        _refuse_gateway_in_pools(values["gateway_ip"], pools)
    return pools


def _refuse_gateway_in_pools(gateway: str, pools: Iterable[dict[str, str]]) -> None:
    value = ranges.number(gateway)
    for pool in pools:
        if ranges.number(pool["start"]) <= value <= ranges.number(pool["end"]):
            raise errors.GatewayConflictWithAllocationPools(pool=f"{pool['start']}-{pool['end']}", ip=gateway)


def _refuse_gateway_in_use(tx: Transaction, old: Row) -> None:
    from weft.resources import port_subnets

    holder = port_subnets.router_port_with(tx, old["id"], old["gateway_ip"])
    if holder:
        raise errors.GatewayIpInUse(ip=old["gateway_ip"], port_id=holder)


def delete_all_of(tx: Transaction, network_id: str, *, ports: bool) -> None:
    """Delete the subnets of a network that is being deleted, which has `ports` or none."""
    for row in tx.list(SUBNET, _OF_NETWORK, values={"of_network": network_id}):
        if ports:
            SUBNET.strategy.validate_delete(tx, row)
            SUBNET.strategy.write_delete(tx, row)
        else:
            tx.delete(SUBNET, row)


def by_ids(tx: Transaction, ids: Sequence[str]) -> dict[str, Row]:
    """Subnets by id, whoever owns them."""
    return {row["id"]: row for row in tx.list(SUBNET, SUBNETS.c.id.in_(list(ids)), everybody=True)} if ids else {}


SUBNET = Resource(
    member="subnet",
    collection="subnets",
    attributes=ATTRIBUTES,
    table=SUBNETS,
    strategy=SubnetStrategy(),
    not_found=errors.SubnetNotFound,
    bulk=True,
    tags=True,
    quota="subnet",
    internal=("own_routes",),
    shims=("subnet_allocation", "subnet-segmentid-writable", "segments-peer-subnet-host-routes"),
)
