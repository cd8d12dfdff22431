"""NDP proxies: IPv6 addresses inside that a router's gateway answers for on the external network (RFC 4861, 7.2.8).

The world outside knows no way to the subnets inside; it takes such an address for a neighbour and finds the router.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, ForeignKey, Select, String, Table, UniqueConstraint, literal, select

from weft import errors
from weft.ipam.allocate import ALLOCATIONS
from weft.registry import types as t
from weft.registry import types_address as addresses
from weft.registry.attributes import REQUIRED, Attribute, read_only
from weft.registry.resource import Resource, Row
from weft.registry.strategy import Strategy
from weft.resources import network, router_gateway, router_interface, standard
from weft.resources.port import PORT
from weft.store.schema import ID, METADATA, identity
from weft.store.schema import standard as standard_columns
from weft.store.transaction import Transaction

NDP_PROXIES = Table(
    "ndp_proxies",
    METADATA,
    *identity(),
    Column("name", String(255), nullable=False, default=""),
    Column("router_id", ID, ForeignKey("routers.id"), nullable=False),
    Column("port_id", ID, ForeignKey("ports.id"), nullable=False, index=True),
    Column("ip_address", String(45), nullable=False),
    *(column for column in standard_columns() if column.name != "tags"),
    UniqueConstraint("router_id", "ip_address"),
)

ALIAS = "l3-ndp-proxy"

ATTRIBUTES = (
    read_only("id", t.uuid, filter=False, sort=True, primary_key=True),
    Attribute("name", t.name_string, default="", sort=True),
    Attribute(
        "project_id", t.project_id, default=REQUIRED, put=False, filter=False, sort=True, required_by_policy=True
    ),
    read_only("tenant_id", t.project_id, filter=False, sort=True, required_by_policy=True),
    Attribute("router_id", t.uuid, default=REQUIRED, put=False, filter=False, sort=True),
    Attribute("port_id", t.uuid, default=REQUIRED, put=False, filter=False, sort=True),
    Attribute("ip_address", addresses.ip_or_none, default=None, put=False, filter=False, sort=True),
    Attribute("description", t.description, default=""),
    *standard.versions(),
)


class NDPProxyStrategy(Strategy):
    """NDP proxies; see behaviours section 15 of the API's facts."""

    def prepare(self, tx: Transaction, values: Row) -> None:
        from weft.resources.router import ROUTER

        row = tx.get(ROUTER, values["router_id"])
        if not row["enable_ndp_proxy"]:
            raise errors.RouterNDPProxyNotEnable(router_id=row["id"])
        outside = scopes(tx, row)
        if not outside:
            raise errors.RouterGatewayNotValid(router_id=row["id"], reason=INVALID)
        target = tx.get(PORT, values["port_id"])
        values["ip_address"] = _address(tx, row, target, values["ip_address"])
        inside = network.load(tx, target["network_id"])["ipv6_address_scope"]
        if inside not in outside:
            raise errors.AddressScopeConflict(external=", ".join(sorted(outside)), internal=inside)
        _refuse_duplicate(tx, values)

    def settle(self, tx: Transaction, new: Row, old: Row | None) -> None:
        from weft.resources.router import ROUTER

        if old is None:
            tx.touch(ROUTER, tx.get(ROUTER, new["router_id"], everybody=True))

    def settle_delete(self, tx: Transaction, row: Row) -> None:
        self.settle(tx, row, None)


INVALID = "its gateway has no IPv6 address in a network with an IPv6 address scope"


def _address(tx: Transaction, row: Row, target: Row, wanted: str | None) -> str:
    """The port's address that is meant: `wanted`, or its first one on an IPv6 subnet that the router is attached to."""
    own = [fixed for fixed in target["fixed_ips"] if ":" in fixed["ip_address"]]
    if wanted:
        if ":" not in wanted:
            raise errors.InvalidAddress(address=wanted, reason="it is not an IPv6 address")
        own = [fixed for fixed in own if fixed["ip_address"] == wanted]
        if not own:
            raise errors.InvalidAddress(address=wanted, reason=f"it does not belong to port {target['id']}")
    legs = router_interface.interfaces(tx, row["id"])
    near = {fixed["subnet_id"] for leg in legs for fixed in leg["fixed_ips"]}
    reachable = [str(fixed["ip_address"]) for fixed in own if fixed["subnet_id"] in near]
    if not reachable:
        raise errors.PortUnreachableRouter(port_id=target["id"], router_id=row["id"])
    return reachable[0]


def _refuse_duplicate(tx: Transaction, values: Row) -> None:
    same = {name: values[name] for name in ("router_id", "ip_address")}
    if tx.first(select(NDP_PROXIES.c.id).where(*(NDP_PROXIES.c[name] == value for name, value in same.items()))):
        raise errors.NeutronDbObjectDuplicateEntry(
            resource="NDPProxy", attributes=", ".join(same), values=", ".join(map(str, same.values()))
        )


# What routers ask.


def scopes(tx: Transaction, row: Row) -> frozenset[str]:
    """The IPv6 address scopes of the networks in which the router `row` has a gateway with an IPv6 address."""
    networks = {
        one["network_id"]
        for one in router_gateway.held(row)
        if any(":" in fixed["ip_address"] for fixed in one["fixed_ips"])
    }
    found = (network.load(tx, id)["ipv6_address_scope"] for id in sorted(networks))
    return frozenset(scope for scope in found if scope)


def settle_new_router(tx: Transaction, values: Row) -> None:
    """Settle enable_ndp_proxy of a new router. Raises RouterGatewayNotValid where that is asked for in vain."""
    asked = values.get("enable_ndp_proxy")
    wanted = tx.config.api.enable_ndp_proxy_by_default if asked is None else asked
    values["enable_ndp_proxy"] = bool(wanted and scopes(tx, values))
    if asked and not values["enable_ndp_proxy"]:
        raise errors.RouterGatewayNotValid(router_id=values["id"], reason=INVALID)


def settle_router(tx: Transaction, old: Row, new: Row, asked: bool) -> None:
    """The gateways of the router `new` have changed, or NDP proxies are `asked` for now.

    Raises RouterGatewayNotValid, RouterGatewayInUseByNDPProxy and RouterIPv6GatewayInUse.
    """
    if not (asked or old["enable_ndp_proxy"] or new["enable_ndp_proxy"]) and not _serves(tx, new):
        return
    left = scopes(tx, new)
    if asked and not left:
        raise errors.RouterGatewayNotValid(router_id=new["id"], reason=INVALID)
    if not scopes(tx, old) <= left and _serves(tx, new):
        networks = {one["network_id"] for one in router_gateway.held(new)}
        stays = networks >= {one["network_id"] for one in router_gateway.held(old)}
        fault = errors.RouterIPv6GatewayInUse if stays else errors.RouterGatewayInUseByNDPProxy
        raise fault(router_id=new["id"])
    new["enable_ndp_proxy"] = bool(new["enable_ndp_proxy"] and left)


def _serves(tx: Transaction, row: Row) -> bool:
    return tx.first(select(NDP_PROXIES.c.id).where(NDP_PROXIES.c.router_id == row["id"]).limit(1)) is not None


def refuse_detaching(tx: Transaction, row: Row, subnet_ids: Sequence[str]) -> None:
    """Raise RouterInterfaceInUseByNDPProxy if an address that is answered for is in one of these subnets."""
    taken = ALLOCATIONS.c
    of_port = (taken.port_id == NDP_PROXIES.c.port_id) & (taken.ip_address == NDP_PROXIES.c.ip_address)
    statement = (
        select(taken.subnet_id)
        .select_from(NDP_PROXIES.join(ALLOCATIONS, of_port))
        .where(NDP_PROXIES.c.router_id == row["id"], taken.subnet_id.in_(list(subnet_ids)))
    )
    found = tx.first(statement.limit(1))
    if found:
        raise errors.RouterInterfaceInUseByNDPProxy(router_id=row["id"], subnet_id=found[0])


# What ports ask.


def of_port(port_id: str | ColumnElement[str], gone: Sequence[str] | None = None) -> Select[Any]:
    """SELECT of (id, kind) of the proxies for a port, or for some of its addresses."""
    table = NDP_PROXIES.c
    found = select(table.id, literal(KIND).label("kind")).where(table.port_id == port_id)
    return found if gone is None else found.where(table.ip_address.in_(list(gone)))


KIND = "ndp_proxy"


def delete_all(tx: Transaction, ids: Sequence[str]) -> None:
    """Delete proxies for addresses that go."""
    for row in tx.list(NDP_PROXY, NDP_PROXIES.c.id.in_(list(ids))) if ids else []:
        NDP_PROXY.strategy.write_delete(tx, row)
        NDP_PROXY.strategy.settle_delete(tx, row)


# What reconcilers ask.


def of_routers(tx: Transaction, ids: Sequence[str]) -> dict[str, list[str]]:
    """Router -> the addresses that its gateways answer for."""
    table = NDP_PROXIES.c
    found: dict[str, list[str]] = {}
    statement = select(table.router_id, table.ip_address).where(table.router_id.in_(list(ids)))
    for row in tx.all(statement.order_by(table.ip_address)):
        found.setdefault(row.router_id, []).append(row.ip_address)
    return found


NDP_PROXY = Resource(
    member=KIND,
    collection="ndp-proxies",
    attributes=ATTRIBUTES,
    table=NDP_PROXIES,
    strategy=NDPProxyStrategy(),
    not_found=errors.NDPProxyNotFound,
    bulk=True,
    strict_marker=True,
    extension=ALIAS,
)
