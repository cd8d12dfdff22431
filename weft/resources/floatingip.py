"""Floating IPs: addresses of an external network that lead to a port inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    Column,
    ColumnElement,
    CompoundSelect,
    ForeignKey,
    String,
    Table,
    UniqueConstraint,
    bindparam,
    literal,
    select,
    union_all,
)

from weft import errors
from weft.ipam import allocate
from weft.registry import types as t
from weft.registry import types_address as addresses
from weft.registry import types_dns
from weft.registry.attributes import REQUIRED, Attribute, read_only
from weft.registry.resource import Resource, Row
from weft.registry.strategy import Strategy
from weft.resources import dns, network, port, qos_attachment, router, standard, subnet
from weft.resources.port import PORT, PORTS
from weft.store.schema import ID, METADATA, identity, json_array, json_object
from weft.store.schema import standard as standard_columns
from weft.store.transaction import Transaction

FLOATINGIPS = Table(
    "floatingips",
    METADATA,
    *identity(),
    Column("floating_network_id", ID, ForeignKey("networks.id"), nullable=False, index=True),
    Column("floating_ip_address", String(45), nullable=False, index=True),
    Column("floating_port_id", ID, ForeignKey("ports.id"), nullable=False, unique=True),
    Column("port_id", ID, ForeignKey("ports.id"), index=True),
    Column("fixed_ip_address", String(45)),
    Column("router_id", ID, ForeignKey("routers.id"), index=True),
    # The way to the fixed port: neither port can go while a floating IP needs it.
    Column("gateway_port_id", ID, ForeignKey("ports.id"), index=True),
    Column("interface_port_id", ID, ForeignKey("ports.id"), index=True),
    Column("status", String(16), nullable=False, default="DOWN"),
    Column("status_reason", String(255), nullable=False, default="", server_default=""),
    Column("dns_name", String(255), nullable=False, default=""),
    Column("dns_domain", String(255), nullable=False, default=""),
    Column("dns_published", String(510), nullable=False, default="", server_default=""),
    Column("qos_policy_id", ID, ForeignKey("qos_policies.id"), index=True),
    *standard_columns(),
    UniqueConstraint("port_id", "fixed_ip_address", "floating_network_id"),
)

OWNER = "network:floatingip"

ATTRIBUTES = (
    read_only("id", t.uuid, sort=True, primary_key=True),
    Attribute("floating_ip_address", addresses.ip_or_none, default=None, put=False, sort=True, policy=True),
    Attribute("subnet_id", t.uuid_or_none, default=None, put=False, visible=False, filter=False),
    Attribute("floating_network_id", t.uuid, default=REQUIRED, put=False, sort=True),
    read_only("router_id", t.uuid_or_none, sort=True),
    Attribute("port_id", t.uuid_or_none, default=None, required_by_policy=True),
    Attribute("fixed_ip_address", addresses.ip_or_none, default=None, sort=True),
    *standard.project(),
    read_only("status", t.string(16), sort=True),
    read_only("status_reason", t.string(255), filter=False, extension="status-reason"),
    Attribute(
        "dns_name", types_dns.relative_dns_name, default="", put=False, filter=False, extension="dns-integration"
    ),
    Attribute("dns_domain", types_dns.dns_domain, default="", put=False, filter=False, extension="dns-integration"),
    read_only("port_details", t.anything, filter=False, extension="fip-port-details"),
    read_only("port_forwardings", t.anything, filter=False, extension="expose-port-forwarding-in-fip"),
    Attribute("qos_policy_id", t.uuid_or_none, default=None, filter=False, policy=True, extension="qos-fip"),
    read_only("qos_network_policy_id", t.uuid_or_none, filter=False, extension="qos-fip-network-policy"),
    *standard.stamps(),
)


NOWHERE: Mapping[str, Any] = {
    "port_id": None,
    "fixed_ip_address": None,
    "router_id": None,
    "gateway_port_id": None,
    "interface_port_id": None,
    "port_details": None,
    "status": "DOWN",
    "status_reason": "",
}
"""A floating IP that leads to no port."""

DETAILS = ("name", "network_id", "mac_address", "admin_state_up", "status", "device_id", "device_owner")
"""Of the fixed port, what port_details shows."""


class FloatingIPStrategy(Strategy):
    """Floating IPs; see behaviours section 11 of the API's facts."""

    def columns(self) -> Mapping[str, ColumnElement[Any]]:
        from weft.resources.port_forwarding import brief

        details = json_array(json_object(*(part for name in DETAILS for part in (name, PORTS.c[name]))))
        of_port = PORTS.c.id == FLOATINGIPS.c.port_id
        return {
            "port_details": select(details).where(of_port).correlate(FLOATINGIPS).scalar_subquery(),
            "port_forwardings": brief(FLOATINGIPS),
            "qos_network_policy_id": _network_policy(),
        }

    def view(self, tx: Transaction, row: Row) -> None:
        row["port_details"] = _details(row["port_details"][0]) if row["port_details"] else None
        row["port_forwardings"] = [_without_null(one) for one in row["port_forwardings"]]

    def facts(self, old: Row | None, new: Row) -> Mapping[str, Any]:
        return {"port_id": new["port_id"], "was_port_id": old["port_id"] if old else None}

    def prepare(self, tx: Transaction, values: Row) -> None:
        port_id, fixed = values["port_id"], values["fixed_ip_address"]
        if fixed and not port_id:
            raise _refused("fixed_ip_address cannot be specified without a port_id")
        on = network.load(tx, values["floating_network_id"])
        if not on["router:external"]:
            raise _refused(f"Network {on['id']} is not a valid external network")
        dns.prepare_floatingip(tx, values)
        qos_attachment.check(tx, values["qos_policy_id"])
        values["qos_network_policy_id"] = on["qos_policy_id"]
        values["id"] = str(uuid4())
        backing = _take_address(tx, values)
        values["floating_port_id"] = backing["id"]
        values["floating_ip_address"] = next(one for one in map(_address, backing["fixed_ips"]) if ":" not in one)
        values.update({**NOWHERE, "port_details": [], "port_forwardings": []})
        self.view(tx, values)
        if port_id:
            _lead_to(tx, values, port_id, fixed)

    def prepare_update(self, tx: Transaction, old: Row, changes: Row, new: Row) -> None:
        if changes.get("fixed_ip_address") and not changes.get("port_id"):
            raise _refused("fixed_ip_address cannot be specified without a port_id")
        qos_attachment.check(tx, new["qos_policy_id"], old["qos_policy_id"])
        new["fixed_ip_address"] = old["fixed_ip_address"]
        # Saying nothing has meant "lead nowhere" since a floating IP had nothing else to say; clients rely on it.
        if changes and "port_id" not in changes:
            return
        if changes.get("port_id"):
            if old["port_forwardings"]:
                raise errors.FipInUseByPortForwarding(id=old["id"])
            _lead_to(tx, new, changes["port_id"], changes.get("fixed_ip_address"))
        elif not old["port_forwardings"]:
            new.update(NOWHERE)
            dns.follow_target(tx, new, None)
        if any(new[name] != old[name] for name in ("port_id", "fixed_ip_address", "router_id")):
            new["status"], new["status_reason"] = "DOWN", ""

    def validate_delete(self, tx: Transaction, row: Row) -> None:
        if row["port_forwardings"]:
            raise errors.FipInUseByPortForwarding(id=row["id"])

    def write_delete(self, tx: Transaction, row: Row) -> None:
        tx.delete(self.resource, row)
        tx.delete(PORT, tx.get(PORT, row["floating_port_id"], everybody=True))


def _network_policy() -> ColumnElement[Any]:
    on = network.NETWORKS.c
    return select(on.qos_policy_id).where(on.id == FLOATINGIPS.c.floating_network_id).scalar_subquery()


def _refused(reason: str) -> errors.BadRequest:
    return errors.BadRequest(resource="floatingip", reason=reason)


def _address(fixed: Mapping[str, str]) -> str:
    return fixed["ip_address"]


def _details(of: Mapping[str, Any]) -> Row:
    return {name: bool(of[name]) if name == "admin_state_up" else of[name] for name in DETAILS}


def _without_null(row: Mapping[str, Any]) -> Row:
    return {name: value for name, value in row.items() if value is not None}


def _take_address(tx: Transaction, values: Row) -> Row:
    """The port that holds the floating address on the external network; it belongs to no project."""
    network_id, subnet_id = values["floating_network_id"], values.pop("subnet_id")
    wanted = values["floating_ip_address"]
    subnets = [one for one in subnet.of_network(tx, network_id) if one["ip_version"] == 4]
    if not subnets:
        raise _refused(f"Network {network_id} does not contain any IPv4 subnet")
    if wanted or subnet_id:
        wishes = [{name: value for name, value in (("subnet_id", subnet_id), ("ip_address", wanted)) if value}]
    else:
        wishes = [{"subnet_id": one["id"]} for one in allocate.eligible(subnets, OWNER)]
    for wish in wishes:
        try:
            made = port.create(
                tx,
                project_id="",
                network_id=network_id,
                device_id=values["id"],
                device_owner=OWNER,
                status="N/A",
                fixed_ips=[wish],
            )
        except errors.IpAddressGenerationFailure:
            continue
        if any(":" not in fixed["ip_address"] for fixed in made["fixed_ips"]):
            return made
    raise errors.ExternalIpAddressExhausted(network_id=network_id)


def _lead_to(tx: Transaction, row: Row, port_id: str, fixed: str | None) -> None:
    """Make the floating IP `row` lead to a port, in place."""
    target = tx.get(PORT, port_id)
    check_target(tx, row, target)
    one = _fixed(target, fixed)
    way = next(iter(router.ways(tx, one["subnet_id"], row["floating_network_id"])), None)
    if way is None:
        raise errors.ExternalGatewayForFloatingIPNotFound(
            subnet_id=one["subnet_id"], external_network_id=row["floating_network_id"], port_id=port_id
        )
    _refuse_used(tx, row, port_id, one["ip_address"], way)
    row.update(way.ids(), port_id=port_id, fixed_ip_address=one["ip_address"], port_details=_details(target))
    dns.follow_target(tx, row, target)


def _refuse_used(tx: Transaction, row: Row, port_id: str, fixed: str, way: router.Way) -> None:
    """The address has no floating IP on that external network yet, and no forwardings on a distributed router."""
    from weft.resources import port_forwarding

    other = select(FLOATINGIPS.c.id, literal("floatingip").label("kind")).where(
        FLOATINGIPS.c.port_id == port_id,
        FLOATINGIPS.c.fixed_ip_address == fixed,
        FLOATINGIPS.c.floating_network_id == row["floating_network_id"],
        FLOATINGIPS.c.id != row["id"],
    )
    forwarded = port_forwarding.leading_to(port_id)
    kinds = {one.kind for one in tx.all(union_all(other, forwarded) if way.distributed else other)}
    if "floatingip" in kinds:
        raise already_associated(row, port_id, fixed)
    if kinds:
        raise errors.PortHasPortForwarding(port_id=port_id)


def check_target(tx: Transaction, row: Row, target: Row) -> None:
    """Raise BadRequest if the floating IP `row` may not lead to the port."""
    if target["project_id"] != row["project_id"] and not tx.context.is_admin:
        raise _refused(
            f"Cannot process floating IP association with Port {target['id']}, since that port is owned by a different project"
        )
    if target["device_owner"] in allocate.LOWEST_FIRST:
        raise _refused(f"Cannot process floating IP association with Port {target['id']}, since that port serves DHCP")


def already_associated(row: Row, port_id: str, fixed: str) -> errors.FloatingIPPortAlreadyAssociated:
    return errors.FloatingIPPortAlreadyAssociated(
        port_id=port_id,
        id=row["id"],
        floating_ip_address=row["floating_ip_address"],
        fixed_ip=fixed,
        network_id=row["floating_network_id"],
    )


def _fixed(target: Row, wanted: str | None) -> Mapping[str, str]:
    """The address of the port that is meant: `wanted`, or its only IPv4 address."""
    if wanted and ":" in wanted:
        raise _refused(f"Cannot process floating IP association with {wanted}, since that is not an IPv4 address")
    found = [one for one in target["fixed_ips"] if ":" not in one["ip_address"]]
    if wanted:
        found = [one for one in found if one["ip_address"] == wanted]
        if not found:
            raise _refused(f"Port {target['id']} does not have fixed ip {wanted}")
    if not found:
        raise _refused(f"Cannot add floating IP to port {target['id']} that has no fixed IPv4 addresses")
    if len(found) > 1:
        raise _refused(
            f"Port {target['id']} has multiple fixed IPv4 addresses. Must provide a specific IPv4 address when assigning "
            "a floating IP"
        )
    return found[0]  # type: ignore[no-any-return]


# What other resources ask of floating IPs.


def exists(tx: Transaction, id: str) -> bool:
    """There is a floating IP with that id, whoever owns it."""
    return tx.first(select(FLOATINGIPS.c.id).where(FLOATINGIPS.c.id == id)) is not None


def has_port(tx: Transaction, port_id: str) -> bool:
    """The port holds the address of a floating IP on its external network."""
    return tx.first(select(FLOATINGIPS.c.id).where(FLOATINGIPS.c.floating_port_id == port_id)) is not None


def uses_gateway(tx: Transaction, port_id: str) -> bool:
    """A floating IP is reached through the gateway port."""
    return tx.first(select(FLOATINGIPS.c.id).where(FLOATINGIPS.c.gateway_port_id == port_id)) is not None


def uses_interface(tx: Transaction, port_id: str) -> bool:
    """A floating IP or one of its forwardings leads through the router's interface."""
    from weft.resources.port_forwarding import PORT_FORWARDINGS

    own = select(FLOATINGIPS.c.id).where(FLOATINGIPS.c.interface_port_id == port_id)
    forwarded = select(PORT_FORWARDINGS.c.id).where(PORT_FORWARDINGS.c.interface_port_id == port_id)
    return tx.first(union_all(own, forwarded)) is not None


@cache
def _holding_on() -> CompoundSelect[Any]:
    """(id, kind) of all that a port's deletion concerns."""
    from weft.resources import local_ip, ndp_proxy, port_forwarding, trunk

    port = bindparam("port", type_=ID)
    leading = select(FLOATINGIPS.c.id, literal("floatingip").label("kind")).where(FLOATINGIPS.c.port_id == port)
    others = (port_forwarding.leading_to(port), local_ip.holding(port), ndp_proxy.of_port(port), trunk.having(port))
    return union_all(leading, *others)


def release_port(tx: Transaction, row: Row) -> None:
    """The port is about to be deleted: what leads to it lets go of it.

    Raises FipAssociated where that is another project's, unless an administrator deletes; ServicePortInUse where it is a
    local IP, which needs the port's address; PortInUseAsSubPort where it is a trunk.
    """
    from weft.resources import local_ip, ndp_proxy, port_forwarding, trunk

    found = tx.all(_holding_on(), {"port": row["id"]})
    for one in found:
        if one.kind == trunk.SUB_PORT:
            raise errors.PortInUseAsSubPort(port_id=row["id"], trunk_id=one.id)
        if one.kind == local_ip.ALIAS:
            raise errors.ServicePortInUse(id=row["id"], reason=f"it has the address of local IP {one.id}")
    ids = [one.id for one in found if one.kind == "floatingip"]
    for fip in tx.list(FLOATINGIP, FLOATINGIPS.c.id.in_(ids)) if ids else []:
        if fip["project_id"] != tx.context.project_id and not tx.context.is_admin:
            raise errors.FipAssociated(port_id=row["id"])
        led_nowhere = {**fip, **NOWHERE}
        dns.follow_target(tx, led_nowhere, None)
        tx.update(FLOATINGIP, fip, led_nowhere)
    port_forwarding.delete_all(tx, [one.id for one in found if one.kind == "port_forwarding"])
    ndp_proxy.delete_all(tx, [one.id for one in found if one.kind == ndp_proxy.KIND])


def refuse_loss(tx: Transaction, port_id: str, gone: Sequence[str]) -> None:
    """The port is about to lose the addresses `gone`. A floating IP holds the one that it leads to; forwardings to an
    address, and NDP proxies for it, go with it."""
    from weft.resources import ndp_proxy, port_forwarding

    held = select(FLOATINGIPS.c.id).where(
        FLOATINGIPS.c.port_id == port_id, FLOATINGIPS.c.fixed_ip_address.in_(list(gone))
    )
    if tx.first(held):
        raise errors.BadRequest(
            resource="port",
            reason=f"Cannot update the fixed_ips of the port {port_id}, because its original fixed_ip has been associated to "
            "a floating ip",
        )
    leading = tx.all(union_all(port_forwarding.leading_to(port_id, gone), ndp_proxy.of_port(port_id, gone)))
    port_forwarding.delete_all(tx, [one.id for one in leading if one.kind != ndp_proxy.KIND])
    ndp_proxy.delete_all(tx, [one.id for one in leading if one.kind == ndp_proxy.KIND])


def _idle(network_id: str) -> tuple[ColumnElement[bool], ...]:
    """Floating IPs of the network that lead nowhere."""
    return FLOATINGIPS.c.floating_network_id == network_id, FLOATINGIPS.c.router_id.is_(None)


def idle_ports(tx: Transaction, network_id: str) -> set[str]:
    """The backing ports of floating IPs that lead nowhere: they go with their network."""
    return {one[0] for one in tx.all(select(FLOATINGIPS.c.floating_port_id).where(*_idle(network_id)))}


def delete_idle(tx: Transaction, network_id: str) -> None:
    """Delete the floating IPs that lead nowhere, of a network that is being deleted."""
    for row in tx.list(FLOATINGIP, *_idle(network_id)):
        FLOATINGIP.strategy.write_delete(tx, row)


FLOATINGIP = Resource(
    member="floatingip",
    collection="floatingips",
    attributes=ATTRIBUTES,
    table=FLOATINGIPS,
    strategy=FloatingIPStrategy(),
    not_found=errors.FloatingIPNotFound,
    tags=True,
    strict_marker=True,
    quota="floatingip",
    extension="router",
    internal=("floating_port_id", "gateway_port_id", "interface_port_id", "dns_published"),
)
