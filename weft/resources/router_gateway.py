"""The outer sides of routers: the ports on external networks through which their default routes lead.

The first gateway stands in the router's own row: it is what external_gateway_info shows. Further ones, which the
extension external-gateway-multihoming brings, have a table of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    ForeignKey,
    Integer,
    Select,
    Table,
    UniqueConstraint,
    delete,
    select,
    update,
)

from weft import errors
from weft.ipam.allocate import ALLOCATIONS
from weft.registry.resource import Row
from weft.resources import network, port, qos_attachment, router_interface, subnet
from weft.store.schema import ID, METADATA, json_array, json_object
from weft.store.transaction import Transaction

OWNER = "network:router_gateway"

EXTRA_GATEWAYS = Table(
    "router_extra_gateways",
    METADATA,
    Column("port_id", ID, ForeignKey("ports.id"), primary_key=True),
    Column("router_id", ID, ForeignKey("routers.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("enable_snat", Boolean, nullable=False),
    UniqueConstraint("router_id", "position"),
)
"""The gateways of routers after the first. (A port may claim by its device_id to be one; this table says which are.)"""

Gateway = Mapping[str, Any]
"""One gateway of a router: port_id, network_id, fixed_ips, enable_snat; of extra ones their position, which orders them."""


# What the API shows.


def info(row: Row) -> dict[str, Any] | None:
    """external_gateway_info of a router as the API shows it."""
    if not row["_gateway_network"]:
        return None
    policy = {"qos_policy_id": row["gateway_qos_policy_id"]} if row["gateway_qos_policy_id"] else {}
    return {**_shown(held(row)[0]), **policy}


def infos(row: Row) -> list[dict[str, Any]]:
    """external_gateways of a router as the API shows them; clients may send them back as they are."""
    return [_shown(one) for one in held(row)]


def _shown(one: Gateway) -> dict[str, Any]:
    fixed = sorted(one["fixed_ips"], key=lambda fixed: (":" in fixed["ip_address"], str(fixed["ip_address"])))
    return {"network_id": one["network_id"], "external_fixed_ips": fixed, "enable_snat": bool(one["enable_snat"])}


def held(row: Row) -> list[Gateway]:
    """All gateways of the router `row`, the first one first."""
    if not row["gw_port_id"]:
        return []
    first = {
        "port_id": row["gw_port_id"],
        "network_id": row["_gateway_network"],
        "fixed_ips": row["_gateway_ips"],
        "enable_snat": row["enable_snat"],
    }
    return [first, *row["_extra_gateways"]]


def network_policy(gateway: ColumnElement[bool]) -> Select[Any]:
    """SELECT of the QoS policy of the network that the port, for which `gateway` is true, is on."""
    on = network.NETWORKS.c
    return select(on.qos_policy_id).join(port.PORTS, port.PORTS.c.network_id == on.id).where(gateway)


def extra(routers: Table) -> ColumnElement[Any]:
    """The extra gateways of routers as JSON, in no order."""
    extras, ports = EXTRA_GATEWAYS.c, port.PORTS.alias()
    fixed = json_object("subnet_id", ALLOCATIONS.c.subnet_id, "ip_address", ALLOCATIONS.c.ip_address)
    of_port = ALLOCATIONS.c.port_id == extras.port_id
    policy = select(network.NETWORKS.c.qos_policy_id).where(network.NETWORKS.c.id == ports.c.network_id)
    one = json_object(
        "port_id", extras.port_id,
        "network_id", ports.c.network_id,
        "enable_snat", extras.enable_snat,
        "position", extras.position,
        "network_qos", policy.correlate(ports).scalar_subquery(),
        "fixed_ips", select(json_array(fixed)).where(of_port).correlate(EXTRA_GATEWAYS).scalar_subquery(),
    )  # fmt: skip
    return (
        select(json_array(one))
        .select_from(EXTRA_GATEWAYS.join(ports, ports.c.id == extras.port_id))
        .where(extras.router_id == routers.c.id)
        .correlate(routers)
        .scalar_subquery()
    )


def in_order(extras: Iterable[Mapping[str, Any]]) -> list[Gateway]:
    """Extra gateways as the database told them."""
    made = ({**one, "enable_snat": bool(one["enable_snat"])} for one in extras)
    return sorted(made, key=lambda one: int(one["position"]))


# Changes. They are made to the router's row in memory; `write` brings them to the database.


def change(tx: Transaction, row: Row, wanted: Mapping[str, Any] | None) -> None:
    """Make the first gateway of the router `row` as `wanted` (external_gateway_info as given), in place.

    None and {} take all gateways away: who knows of one only means to have none. Ports that are no longer needed stay
    until the router's own row has let go of them: see `write`.
    Raises BadRequest, NetworkNotFound, RouterExternalGatewayInUseByFloatingIp and the faults of addresses.
    """
    default = tx.config.api.enable_snat_by_default
    now = held(row)
    if not wanted:
        refuse_leaving(tx, row, now)
        hold(row, [])
        row["enable_snat"], row["gateway_qos_policy_id"] = default, None
        return
    _set_policy(tx, row, wanted)
    addresses = list(wanted.get("external_fixed_ips") or [])
    if now and wanted["network_id"] == now[0]["network_id"]:
        first = move(tx, now[0], addresses)
    else:
        refuse_leaving(tx, row, now[:1])
        first = make(tx, row, wanted["network_id"], addresses, now[1:])
    hold(row, [{**first, "enable_snat": wanted.get("enable_snat", default)}, *now[1:]])


def hold(row: Row, gateways: Sequence[Gateway]) -> None:
    """Let these be the gateways of the router `row`, the first one first."""
    first = gateways[0] if gateways else None
    row["gw_port_id"] = first["port_id"] if first else None
    row["_gateway_network"] = first["network_id"] if first else None
    row["_gateway_ips"] = first["fixed_ips"] if first else []
    if first:
        row["enable_snat"] = first["enable_snat"]
    position = 0
    row["_extra_gateways"] = []
    for one in gateways[1:]:
        position = max(position + 1, one.get("position", 0))
        row["_extra_gateways"].append({**one, "position": position})


def make(
    tx: Transaction, row: Row, network_id: str, addresses: list[dict[str, str]], others: Sequence[Gateway]
) -> Gateway:
    """A new gateway beside the `others`. Its port belongs to no project, so that users don't see it among theirs."""
    _check_network(tx, row, network_id, others)
    _check_addresses(tx, network_id, addresses)
    values = {"fixed_ips": addresses} if addresses else {}
    made = port.create(tx, project_id="", network_id=network_id, device_id=row["id"], device_owner=OWNER, **values)
    return {"port_id": made["id"], "network_id": network_id, "fixed_ips": made["fixed_ips"]}


def move(tx: Transaction, one: Gateway, addresses: list[dict[str, str]]) -> Gateway:
    """Give a gateway other addresses of its network; without any it keeps those that it has."""
    if not addresses:
        return one
    _check_addresses(tx, one["network_id"], addresses)
    changed = port.change(tx, tx.get(port.PORT, one["port_id"], everybody=True), {"fixed_ips": addresses})
    return {**one, "fixed_ips": changed["fixed_ips"]}


def write(tx: Transaction, old: Row, new: Row) -> None:
    """Write the extra gateways that a router has now and delete the ports of all that it has no longer.

    The router's own row is written already. `new` is `old` without gateways where the router goes.
    """
    extras = EXTRA_GATEWAYS
    before = {one["port_id"]: one for one in old["_extra_gateways"]}
    after = {one["port_id"]: one for one in new["_extra_gateways"]}
    for id in before.keys() - after.keys():
        tx.execute(delete(extras).where(extras.c.port_id == id))
    for id, one in after.items():
        values = {name: one[name] for name in ("position", "enable_snat")}
        if id not in before:
            tx.add(extras, [{"port_id": id, "router_id": new["id"], **values}])
        elif values != {name: before[id][name] for name in values}:
            tx.execute(update(extras).where(extras.c.port_id == id).values(**values))
    staying = {one["port_id"] for one in held(new)}
    for one in held(old):
        if one["port_id"] not in staying:
            port.PORT.strategy.write_delete(tx, tx.get(port.PORT, one["port_id"], everybody=True))


def drop(tx: Transaction, row: Row) -> None:
    """The router's row is about to go: no table holds on to it or to its gateways' ports. See `drop_ports`."""
    if row["_extra_gateways"]:
        tx.execute(delete(EXTRA_GATEWAYS).where(EXTRA_GATEWAYS.c.router_id == row["id"]))


def drop_ports(tx: Transaction, row: Row) -> None:
    """The router's row is gone: so go the ports of its gateways."""
    for one in held(row):
        port.PORT.strategy.write_delete(tx, tx.get(port.PORT, one["port_id"], everybody=True))


def give_address(tx: Transaction, row: Row, of: Row) -> bool:
    """Give the router's gateways an address in a new subnet of their network, if they have none of that IP version."""
    given = False
    for one in held(row):
        version = (":" in fixed["ip_address"] for fixed in one["fixed_ips"])
        if one["network_id"] != of["network_id"] or (of["ip_version"] == 6) in version:
            continue
        held_port = tx.get(port.PORT, one["port_id"], everybody=True)
        try:
            port.change(tx, held_port, {"fixed_ips": [*held_port["fixed_ips"], {"subnet_id": of["id"]}]})
        except errors.IpAddressGenerationFailure:
            continue
        given = True
    return given


# Refusals.


def refuse_leaving(tx: Transaction, row: Row, gone: Iterable[Gateway]) -> None:
    """Floating IPs need the gateway through which they are reached."""
    from weft.resources import floatingip

    for one in gone:
        if floatingip.uses_gateway(tx, one["port_id"]):
            raise errors.RouterExternalGatewayInUseByFloatingIp(router_id=row["id"], network_id=one["network_id"])


def _set_policy(tx: Transaction, row: Row, wanted: Mapping[str, Any]) -> None:
    """Where nothing is said of it, the policy stays as long as the gateway stays on its network."""
    old = row["gateway_qos_policy_id"]
    kept = old if wanted["network_id"] == row["_gateway_network"] else None
    row["gateway_qos_policy_id"] = wanted.get("qos_policy_id", kept)
    qos_attachment.check(tx, row["gateway_qos_policy_id"], old)


def _check_network(tx: Transaction, row: Row, network_id: str, others: Iterable[Gateway]) -> None:
    """The network leads outside, and none of its subnets is one of those inside, or overlaps with another outside."""
    on = network.load(tx, network_id)
    if not on["router:external"]:
        raise errors.BadRequest(resource="router", reason=f"Network {network_id} is not an external network")
    legs = router_interface.interfaces(tx, row["id"])
    legs += [dict(one) for one in others if one["network_id"] != network_id]
    if legs:
        router_interface.refuse_overlap(tx, legs, subnet.of_network(tx, network_id))


def _check_addresses(tx: Transaction, network_id: str, addresses: list[dict[str, str]]) -> None:
    taken = {one["gateway_ip"] for one in subnet.of_network(tx, network_id)}
    for one in addresses:
        ip = one.get("ip_address")
        if ip and ip in taken:
            raise errors.BadRequest(resource="router", reason=f"External IP {ip} is the same as the gateway IP")
