"""Subnets: a CIDR on a network, how hosts learn their addresses in it, and which addresses are given out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address, ip_network
from itertools import pairwise
from typing import Any
from uuid import uuid4

from sqlalchemy import JSON, Boolean, Column, ForeignKey, Integer, String, Table, select

from weft import errors
from weft.ipam import allocate, ranges
from weft.registry import types as t
from weft.registry import types_address as addresses
from weft.registry import types_network as net
from weft.registry.attributes import REQUIRED, Attribute, read_only
from weft.registry.resource import Resource, Row
from weft.registry.strategy import Strategy
from weft.resources import network, standard, subnetpool
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
    Column("host_routes", JSON, nullable=False),
    Column("service_types", JSON, nullable=False),
    Column("dns_publish_fixed_ip", Boolean, nullable=False, default=False),
    *standard_columns(),
)

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
    *standard.stamps(),
)  # fmt: skip

PREFIX_DELEGATION = "prefix_delegation"
PROVISIONAL = "::/64"
"""The CIDR of a subnet whose prefix is yet to be delegated (RFC 8415)."""
SLAAC_MODES = ("slaac", "dhcpv6-stateless")


class SubnetStrategy(Strategy):
    """Subnets; see behaviours section 2 of the API's facts."""

    def columns(self) -> Any:
        of_network = network.NETWORKS.c.id == SUBNETS.c.network_id
        return {
            "shared": access.shared(SUBNETS.c.network_id),
            "router:external": select(network.NETWORKS.c.router_external).where(of_network).scalar_subquery(),
            "network:project_id": select(network.NETWORKS.c.project_id).where(of_network).scalar_subquery(),
        }

    def visible(self) -> Any:
        return access.granted(SUBNETS.c.network_id, (access.SHARED, access.EXTERNAL))

    def was_visible(self, tx: Transaction, row: Row) -> bool:
        return tx.find(network.NETWORK, row["network_id"]) is not None

    def related(self) -> Any:
        return {
            "network:project_id": lambda tx, row: network.load(tx, row["network_id"])["project_id"],
            "shared": lambda tx, row: _network(tx, row)["shared"],
            "router:external": lambda tx, row: _network(tx, row)["router:external"],
        }

    def prepare(self, tx: Transaction, values: Row) -> None:
        on = network.load(tx, values["network_id"])
        _choose_cidr(tx, values, on)
        _refuse_overlap(tx, values)
        gateway_given = "gateway_ip" in values and values["gateway_ip"] is not None
        if "gateway_ip" not in values:
            values["gateway_ip"] = default_gateway(values["cidr"])
        values.setdefault("dns_nameservers", [])
        values.setdefault("host_routes", [])
        values.setdefault("service_types", [])
        values.setdefault("ipv6_ra_mode", None)
        values.setdefault("ipv6_address_mode", None)
        values["id"] = str(uuid4())
        values.pop("use_default_subnetpool", None)
        values.pop("prefixlen", None)
        _check_network(tx, values, on)
        _check_shape(values)
        pools = values.get("allocation_pools")
        if pools is None:
            if values["gateway_ip"] is not None and not gateway_given:
                _check_default_gateway(values)
            values["allocation_pools"] = ranges.default_pools(values["cidr"], values["gateway_ip"])
        else:
            values["allocation_pools"] = _checked_pools(values)
        values["shared"], values["router:external"] = on["shared"], on["router:external"]

    def validate(self, tx: Transaction, new: Row, old: Row | None) -> None:
        _check_bounds(tx, new)
        if old is None or new["gateway_ip"] != old["gateway_ip"]:
            _check_gateway(new)
        _check_versions(new)

    def settle(self, tx: Transaction, new: Row, old: Row | None) -> None:
        from weft.resources import port

        on = network.load(tx, new["network_id"])
        tx.forget(("subnets", new["network_id"]))
        tx.touch(network.NETWORK, on)
        if old is None and allocate.is_auto(new):
            port.give_auto_addresses(tx, new)
        if old is None and new["router:external"]:
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

    def validate_delete(self, tx: Transaction, row: Row) -> None:
        from weft.resources import port

        if port.uses_subnet(tx, row, ignore_auto=allocate.is_auto(row)):
            raise errors.SubnetInUse(id=row["id"], reason="One or more ports have an IP allocation from this subnet")

    def write_delete(self, tx: Transaction, row: Row) -> None:
        from weft.resources import port

        port.forget_subnet(tx, row)
        tx.delete(self.resource, row)

    def settle_delete(self, tx: Transaction, row: Row) -> None:
        on = tx.find(network.NETWORK, row["network_id"], everybody=True)
        if on is not None:
            tx.touch(network.NETWORK, on)


def _network(tx: Transaction, row: Row) -> Row:
    found = tx.once(("network", row["network_id"]), lambda: tx.find(network.NETWORK, row["network_id"], everybody=True))
    return found or {"shared": False, "router:external": False}


def of_network(tx: Transaction, network_id: str) -> list[Row]:
    """All subnets of a network, whoever owns them; remembered for the transaction."""
    where = SUBNETS.c.network_id == network_id
    return tx.once(("subnets", network_id), lambda: tx.list(SUBNET, where, everybody=True))


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


def _check_shape(values: Row) -> None:
    """What the CIDR and the IPv6 modes must be like."""
    net_ = ip_network(values["cidr"])

    def refuse(reason: str) -> None:
        raise errors.InvalidInput(reason=reason)

    if net_.prefixlen == 0:
        refuse(f"0 is not allowed as CIDR prefix length: {net_}")
    if net_.version == 6 and int(net_.network_address) == 0 and values["subnetpool_id"] != PREFIX_DELEGATION:
        refuse("IPv6 network '::' is not allowed")
    if values["enable_dhcp"]:
        limit = 30 if net_.version == 4 else 126
        if net_.prefixlen > limit:
            refuse(f"Subnet has a prefix length that is incompatible with DHCP service enabled: {net_}")
        if net_.is_multicast:
            refuse("Multicast IP subnet is not supported if enable_dhcp is True.")
        if net_.is_loopback:
            refuse("Loopback IP subnet is not supported if enable_dhcp is True.")
        if net_.version == 4 and int(net_.network_address) == 0:
            refuse("First IP '0.0.0.0' of network is not supported if enable_dhcp is True.")
    _check_modes(values, net_.prefixlen, refuse)


def _check_modes(values: Row, prefixlen: int, refuse: Any) -> None:
    ra_mode, address_mode = values["ipv6_ra_mode"], values["ipv6_address_mode"]
    if not ra_mode and not address_mode:
        return
    if values["ip_version"] == 4:
        refuse("ipv6_ra_mode and ipv6_address_mode are not valid when ip_version is 4")
    if not values["enable_dhcp"]:
        refuse("ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False")
    if ra_mode and address_mode and ra_mode != address_mode:
        refuse(f"ipv6_ra_mode set to '{ra_mode}' with ipv6_address_mode set to '{address_mode}' is not valid. "
               "If both attributes are set, they must be the same value")  # fmt: skip
    if (ra_mode in SLAAC_MODES or address_mode in SLAAC_MODES) and prefixlen != 64:
        refuse(f"Invalid CIDR {values['cidr']} for IPv6 address mode. "
               "OpenStack uses the EUI-64 address format, which requires the prefix to be /64")  # fmt: skip


def _check_default_gateway(values: Row) -> None:
    """A gateway that nobody asked for must still leave room: IPv4 /31 has none."""
    net_ = ip_network(values["cidr"])
    if net_.version == 4 and net_.prefixlen == 31:
        raise errors.IpamValueInvalid("The subnet is too small for a gateway address.")


def _check_gateway(values: Row) -> None:
    gateway = values["gateway_ip"]
    if gateway is None:
        return
    net_, ip = ip_network(values["cidr"]), ip_address(gateway)
    if ip.version != values["ip_version"]:
        raise errors.InvalidInput(
            reason=f"gateway_ip '{gateway}' does not match the ip_version '{values['ip_version']}'"
        )
    if net_.version == 4 and net_.prefixlen < 31 and ip in (net_.network_address, net_.broadcast_address):
        raise errors.InvalidInput(reason=f"Gateway IP {gateway} is not valid on subnet {net_}")


def _check_versions(values: Row) -> None:
    """Name servers and routes speak the subnet's IP version."""
    version = values["ip_version"]

    def refuse(what: str, address: str) -> None:
        raise errors.InvalidInput(reason=f"{what} '{address}' does not match the ip_version '{version}'")

    for server in values["dns_nameservers"]:
        if ip_address(server).version != version:
            refuse("dns_nameserver", server)
    for route in values["host_routes"]:
        if ip_network(route["destination"], strict=False).version != version:
            refuse("host_routes destination", route["destination"])
        if ip_address(route["nexthop"]).version != version:
            refuse("host_routes nexthop", route["nexthop"])


def _check_bounds(tx: Transaction, values: Row) -> None:
    api = tx.config.api
    if len(values["dns_nameservers"]) > api.max_dns_nameservers:
        raise errors.DNSNameServersExhausted(subnet_id=values["id"], limit=api.max_dns_nameservers)
    if len(values["host_routes"]) > api.max_subnet_host_routes:
        raise errors.HostRoutesExhausted(subnet_id=values["id"], limit=api.max_subnet_host_routes)


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
    from weft.resources import port

    holder = port.router_port_with(tx, old["id"], old["gateway_ip"])
    if holder:
        raise errors.GatewayIpInUse(ip=old["gateway_ip"], port_id=holder)


def delete_all_of(tx: Transaction, network_id: str) -> None:
    """Delete the subnets of a network that is being deleted."""
    for row in tx.list(SUBNET, SUBNETS.c.network_id == network_id, everybody=True):
        SUBNET.strategy.validate_delete(tx, row)
        SUBNET.strategy.write_delete(tx, row)


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
    shims=("subnet_allocation",),
)
