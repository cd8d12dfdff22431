"""Routers: what connects networks with each other and with the outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ColumnElement,
    ForeignKey,
    FromClause,
    Integer,
    String,
    Table,
    or_,
    select,
    union_all,
)

from weft import errors
from weft.ipam import ranges
from weft.ipam.allocate import ALLOCATIONS
from weft.registry import types as t
from weft.registry import types_address as addresses
from weft.registry import types_network as net
from weft.registry.attributes import UNSET, Attribute, read_only
from weft.registry.resource import Action, Resource, Row
from weft.registry.strategy import Strategy
from weft.resources import (
    agent_bindings,
    evpn,
    flavor,
    l3_agents,
    ndp_proxy,
    port,
    router_gateway,
    router_gateways,
    router_ha,
    router_interface,
    router_kind,
    router_routes,
    standard,
    subnet,
)
from weft.store.schema import ID, METADATA, identity, json_array, json_object
from weft.store.schema import standard as standard_columns
from weft.store.transaction import Transaction

ROUTERS = Table(
    "routers",
    METADATA,
    *identity(),
    Column("name", String(255), nullable=False, default=""),
    Column("admin_state_up", Boolean, nullable=False, default=True),
    Column("status", String(16), nullable=False, default="ACTIVE"),
    Column("gw_port_id", ID, ForeignKey("ports.id"), unique=True),
    Column("enable_snat", Boolean, nullable=False, default=True),
    Column("gateway_qos_policy_id", ID, ForeignKey("qos_policies.id"), index=True),
    Column("distributed", Boolean, nullable=False, default=False),
    Column("ha", Boolean, nullable=False, default=False),
    Column("flavor_id", ID, ForeignKey("flavors.id"), index=True),
    Column("service_type_id", ID),
    Column("routes", JSON, nullable=False),
    Column("enable_default_route_ecmp", Boolean, nullable=False, default=False),
    Column("enable_default_route_bfd", Boolean, nullable=False, default=False),
    Column("enable_ndp_proxy", Boolean, nullable=False, default=False),
    Column("evpn_vni", Integer, unique=True),
    Column("availability_zone_hints", JSON, nullable=False),
    *standard_columns(),
)

_LEGS = router_interface.ROUTER_PORTS
_EXTRA = router_gateway.EXTRA_GATEWAYS

MULTIHOMING = "external-gateway-multihoming"

ATTRIBUTES = (
    read_only("id", t.uuid, sort=True, primary_key=True),
    Attribute("name", t.name_string, default="", sort=True),
    Attribute("admin_state_up", t.boolean, default=True, sort=True),
    read_only("status", t.string(16), filter=False, sort=True),
    *standard.project(),
    Attribute("external_gateway_info", net.external_gateway_info, default=None, filter=False, policy=True),
    Attribute("distributed", t.boolean_or_none, default=UNSET, filter=False, policy=True, extension="dvr"),
    Attribute("ha", t.boolean_or_none, default=UNSET, filter=False, policy=True, extension="l3-ha"),
    read_only("enable_snat", t.boolean, sort=True, required_by_policy=True, extension="router-enable-snat"),
    Attribute(
        "service_type_id", t.uuid_or_none, default=None, put=False, filter=False, extension="router-service-type"
    ),
    Attribute(
        "flavor_id",
        t.uuid_or_none,
        default=UNSET,
        put=False,
        filter=False,
        sort=True,
        policy=True,
        extension="l3-flavors",
    ),
    Attribute("routes", addresses.routes, post=False, filter=False, extension="extraroute"),
    read_only("availability_zones", t.anything, filter=False, extension="router_availability_zone"),
    Attribute(
        "availability_zone_hints",
        net.availability_zone_hints,
        default=[],
        put=False,
        filter=False,
        extension="router_availability_zone",
    ),
    read_only(
        "external_gateways",
        net.external_gateways,
        filter=False,
        policy=True,
        extension=MULTIHOMING,
    ),
    Attribute(
        "enable_default_route_ecmp",
        t.boolean_or_none,
        default=None,
        filter=False,
        policy=True,
        extension="enable-default-route-ecmp",
    ),
    Attribute(
        "enable_default_route_bfd",
        t.boolean_or_none,
        default=None,
        filter=False,
        policy=True,
        extension="enable-default-route-bfd",
    ),
    Attribute("enable_ndp_proxy", t.boolean_or_none, default=UNSET, extension="l3-ext-ndp-proxy"),
    Attribute("evpn_vni", evpn.vni, default=UNSET, put=False, sort=True, policy=True, extension="evpn"),
    read_only("conntrack_helpers", t.anything, filter=False, extension="expose-l3-conntrack-helper"),
    *standard.stamps(),
)


class RouterStrategy(Strategy):
    """Routers; see behaviours section 10 of the API's facts."""

    moves_counters = True

    def columns(self) -> Mapping[str, ColumnElement[Any]]:
        from weft.resources import conntrack_helper

        gateway = port.PORTS.c.id == ROUTERS.c.gw_port_id
        fixed = json_object("subnet_id", ALLOCATIONS.c.subnet_id, "ip_address", ALLOCATIONS.c.ip_address)
        return {
            "_agents": agent_bindings.of_router(ROUTERS),
            "conntrack_helpers": conntrack_helper.brief(ROUTERS),
            "_gateway_network": select(port.PORTS.c.network_id).where(gateway).correlate(ROUTERS).scalar_subquery(),
            "_gateway_ips": select(json_array(fixed))
            .where(ALLOCATIONS.c.port_id == ROUTERS.c.gw_port_id)
            .correlate(ROUTERS)
            .scalar_subquery(),
            "_extra_gateways": router_gateway.extra(ROUTERS),
            "_gateway_network_qos": router_gateway.network_policy(gateway).correlate(ROUTERS).scalar_subquery(),
        }

    def view(self, tx: Transaction, row: Row) -> None:
        row["_extra_gateways"] = router_gateway.in_order(row["_extra_gateways"])
        row["external_gateway_info"] = router_gateway.info(row)
        row["external_gateways"] = router_gateway.infos(row)
        row["availability_zones"] = agent_bindings.zones(row)

    def prepare(self, tx: Transaction, values: Row) -> None:
        values["id"] = str(uuid4())
        values["status"] = "ACTIVE"
        values["routes"] = []
        values["conntrack_helpers"] = []
        values["_agents"] = []
        asked = {flag: values.get(flag) for flag in ("distributed", "ha")}
        api = tx.config.api
        for flag, default in (
            ("distributed", api.router_distributed),
            ("ha", api.l3_ha),
            ("enable_default_route_ecmp", api.enable_default_route_ecmp),
            ("enable_default_route_bfd", api.enable_default_route_bfd),
        ):
            values[flag] = default if values.get(flag) is None else values[flag]
        values["gw_port_id"] = values["_gateway_network"] = values["gateway_qos_policy_id"] = None
        values["_gateway_ips"], values["_extra_gateways"] = [], []
        values.setdefault("flavor_id", None)
        values.setdefault("service_type_id", None)
        if values["flavor_id"]:
            values.update(flavor.check_router(tx, values["flavor_id"], asked))
        standard.check_zone_hints(tx, "router", values["availability_zone_hints"])
        values["evpn_vni"] = evpn.choose(tx, values)
        router_gateway.change(tx, values, values["external_gateway_info"])
        ndp_proxy.settle_new_router(tx, values)
        self.view(tx, values)

    def prepare_update(self, tx: Transaction, old: Row, changes: Row, new: Row) -> None:
        for flag in FLAGS:
            new[flag] = old[flag] if new[flag] is None else new[flag]
        _refuse_conversion(old, new)
        if "external_gateway_info" in changes:
            router_gateway.change(tx, new, changes["external_gateway_info"])
        self.prepare_gateways(tx, old, new, bool(changes.get("enable_ndp_proxy")), "routes" in changes)

    def prepare_gateways(
        self, tx: Transaction, old: Row, new: Row, proxies_asked: bool = False, routes_asked: bool = False
    ) -> None:
        """Raise what does not go together with the gateways that `new` has, and complete it."""
        self.view(tx, new)
        moved = _gateways_differ(old, new)
        if moved or proxies_asked:
            ndp_proxy.settle_router(tx, old, new, proxies_asked)
        if moved or routes_asked:
            router_routes.check(tx, new, new["routes"])

    def write_update(self, tx: Transaction, old: Row, new: Row) -> None:
        tx.update(self.resource, old, new)
        if _gateways_differ(old, new):
            tx.touch(self.resource, new)
            router_gateway.write(tx, old, new)

    def settle(self, tx: Transaction, new: Row, old: Row | None) -> None:
        if old is not None and (new["ha"], new["distributed"]) != (old["ha"], old["distributed"]):
            router_kind.rename(tx, new)
            l3_agents.convert(tx, new)
        if new["gw_port_id"] or router_ha.is_ha(tx, new) or new["_agents"]:
            l3_agents.schedule(tx, new)
        if new["distributed"] or (old is not None and old["distributed"]):
            router_kind.follow(tx, new)
        self.view(tx, new)

    def validate_delete(self, tx: Transaction, row: Row) -> None:
        attached = sorted(leg["id"] for leg in router_interface.interfaces(tx, row["id"]))
        if attached:
            raise errors.RouterInUse(id=row["id"], reason=f"has ports still attached: {', '.join(attached)}")
        router_gateway.refuse_leaving(tx, row, router_gateway.held(row))

    def write_delete(self, tx: Transaction, row: Row) -> None:
        if row["ha"]:
            router_ha.drop_ports(tx, [one["ha_port_id"] for one in row["_agents"]])
            router_ha.leave(tx, row)
        if row["distributed"]:
            router_kind.follow(tx, {**row, "gw_port_id": None})
        router_gateway.drop(tx, row)
        tx.delete(self.resource, row)
        router_gateway.drop_ports(tx, row)


FLAGS = ("distributed", "ha", "enable_default_route_ecmp", "enable_default_route_bfd", "enable_ndp_proxy")
"""What a null in an update leaves as it is."""


def _gateways_differ(old: Row, new: Row) -> bool:
    return any(old[name] != new[name] for name in ("external_gateway_info", "external_gateways"))


def _refuse_conversion(old: Row, new: Row) -> None:
    """A router changes its kind while it forwards nothing; `distributed` asks that it was so before."""
    if old["flavor_id"] and (new["ha"], new["distributed"]) != (old["ha"], old["distributed"]):
        raise errors.InvalidInput(reason="ha and distributed of a router are those of its flavor")
    if new["ha"] != old["ha"] and new["admin_state_up"]:
        what = "HA"
    elif new["distributed"] != old["distributed"] and (old["admin_state_up"] or new["admin_state_up"]):
        what = "distributed"
    else:
        return
    raise errors.BadRequest(
        resource="router",
        reason=f"Cannot change {what} attribute of active routers. Please set router admin_state_up to False prior to upgrade",
    )


# Member actions.


def _add_interface(tx: Transaction, row: Row, body: Any) -> Row:
    answer = router_interface.add(tx, row, body, evpn.advertised(tx, row, body))
    tx.touch(ROUTER, row)
    l3_agents.schedule(tx, row)
    _follow_legs(tx, row)
    return answer


def _remove_interface(tx: Transaction, row: Row, body: Any) -> Row:
    answer = router_interface.remove(tx, row, body)
    tx.touch(ROUTER, row)
    _follow_legs(tx, row)
    return answer


def _follow_legs(tx: Transaction, row: Row) -> None:
    if row["distributed"]:
        router_kind.follow(tx, row)


def _add_routes(tx: Transaction, row: Row, body: Any) -> Row:
    return _set_routes(tx, row, router_routes.with_more(row["routes"], router_routes.given(body)))


def _remove_routes(tx: Transaction, row: Row, body: Any) -> Row:
    return _set_routes(tx, row, router_routes.without(row["routes"], router_routes.given(body)))


def _gateways(change: router_gateways.Change) -> Callable[[Transaction, Row, Any], Row]:
    def run(tx: Transaction, row: Row, body: Any) -> Row:
        new = dict(row)
        change(tx, new, router_gateways.given(body))
        strategy = ROUTER.strategy
        assert isinstance(strategy, RouterStrategy)
        strategy.prepare_gateways(tx, row, new)
        strategy.write_update(tx, row, new)
        return {"router": new}

    return run


def _set_routes(tx: Transaction, row: Row, routes: list[router_routes.Route]) -> Row:
    return {"router": ROUTER.strategy.update(tx, row, {"routes": routes})}


# What other resources ask of routers.


def owner(tx: Transaction, id: str) -> str | None:
    """The project of a router, whoever asks; None where there is no such router."""
    found = tx.first(select(ROUTERS.c.project_id).where(ROUTERS.c.id == id))
    return str(found[0]) if found else None


def has_leg(tx: Transaction, port_id: str) -> bool:
    """The port is an interface or a gateway of a router."""
    interface = select(_LEGS.c.port_id).where(_LEGS.c.port_id == port_id)
    gateway = select(ROUTERS.c.gw_port_id).where(ROUTERS.c.gw_port_id == port_id)
    extra = select(_EXTRA.c.port_id).where(_EXTRA.c.port_id == port_id)
    return tx.first(union_all(interface, gateway, extra)) is not None


def _is_gateway(ports: FromClause) -> ColumnElement[bool]:
    """The port is a gateway of the router that it names."""
    extra = select(_EXTRA.c.port_id).where(_EXTRA.c.router_id == ROUTERS.c.id).correlate(ROUTERS)
    return or_(ports.c.id == ROUTERS.c.gw_port_id, ports.c.id.in_(extra))


class Way(NamedTuple):
    """How addresses of an external network reach a subnet: the router, its gateway port, its interface."""

    router_id: str
    gateway_port_id: str
    interface_port_id: str
    distributed: bool

    def ids(self) -> Row:
        return {name: value for name, value in self._asdict().items() if name.endswith("_id")}


def ways(tx: Transaction, subnet_id: str, external_network_id: str) -> list[Way]:
    """All ways from an external network to a subnet; first that by the router which has the subnet's gateway address."""
    gateway = port.PORTS.alias()
    statement = (
        select(
            ROUTERS.c.id,
            ROUTERS.c.distributed,
            gateway.c.id.label("gateway"),
            (gateway.c.id == ROUTERS.c.gw_port_id).label("by_first"),
            _LEGS.c.port_id.label("interface"),
            (ALLOCATIONS.c.ip_address == subnet.SUBNETS.c.gateway_ip).label("first"),
        )
        .select_from(_LEGS)
        .join(ALLOCATIONS, ALLOCATIONS.c.port_id == _LEGS.c.port_id)
        .join(subnet.SUBNETS, subnet.SUBNETS.c.id == ALLOCATIONS.c.subnet_id)
        .join(ROUTERS, ROUTERS.c.id == _LEGS.c.router_id)
        .join(gateway, gateway.c.device_id == ROUTERS.c.id)
        .where(subnet.SUBNETS.c.id == subnet_id, gateway.c.network_id == external_network_id, _is_gateway(gateway))
    )
    found = sorted(tx.all(statement), key=lambda one: (not one.first, one.id, not one.by_first, one.gateway))
    return [
        Way(one.id, one.gateway, one.interface, router_kind.is_distributed(tx, dict(one._mapping))) for one in found
    ]


def give_gateways_addresses(tx: Transaction, of: Row) -> None:
    """An external network got a new subnet: gateways on it that have no address of its IP version get one there.

    Not those of routers that are attached to the same addresses inside.
    """
    gateways = select(port.PORTS.c.id).where(port.PORTS.c.network_id == of["network_id"])
    further = select(_EXTRA.c.router_id).where(_EXTRA.c.port_id.in_(gateways))
    rows = tx.list(ROUTER, or_(ROUTERS.c.gw_port_id.in_(gateways), ROUTERS.c.id.in_(further)))
    if not rows:
        return
    inside = (
        select(_LEGS.c.router_id, subnet.SUBNETS.c.cidr)
        .join(ALLOCATIONS, ALLOCATIONS.c.port_id == _LEGS.c.port_id)
        .join(subnet.SUBNETS, subnet.SUBNETS.c.id == ALLOCATIONS.c.subnet_id)
        .where(_LEGS.c.router_id.in_([row["id"] for row in rows]))
    )
    blocked = {one.router_id for one in tx.all(inside) if ranges.overlaps(one.cidr, of["cidr"])}
    for row in rows:
        if row["id"] not in blocked and router_gateway.give_address(tx, row, of):
            tx.touch(ROUTER, row)


CHANGES: Mapping[str, router_gateways.Change] = {
    "add": router_gateways.add,
    "update": router_gateways.update,
    "remove": router_gateways.remove,
}

ROUTER = Resource(
    member="router",
    collection="routers",
    attributes=ATTRIBUTES,
    table=ROUTERS,
    strategy=RouterStrategy(),
    not_found=errors.RouterNotFound,
    tags=True,
    strict_marker=True,
    quota="router",
    extension="router",
    shims=(
        "ecmp_routes",
        "ext-gw-mode",
        "extraroute-atomic",
        "l3-port-ip-change-not-allowed",
        "qos-gateway-ip",
        "router-admin-state-down-before-update",
    ),
    actions=(
        Action("add_router_interface", _add_interface, policy="add_router_interface"),
        Action("remove_router_interface", _remove_interface, policy="remove_router_interface"),
        Action("add_extraroutes", _add_routes, policy="add_extraroutes"),
        Action("remove_extraroutes", _remove_routes, policy="remove_extraroutes"),
        *(
            Action(
                f"{verb}_external_gateways",
                _gateways(change),
                policy=f"{verb}_external_gateways",
                guarded=("external_gateways",),
                extension=MULTIHOMING,
            )
            for verb, change in CHANGES.items()
        ),
    ),
    internal=("gw_port_id", "gateway_qos_policy_id"),
)
