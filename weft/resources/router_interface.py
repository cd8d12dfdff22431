"""The inner sides of routers: adding and removing ports on the networks that they connect."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address, ip_network
from typing import Any

from sqlalchemy import Boolean, Column, ForeignKey, Table, select, update

from weft import errors
from weft.ipam import ranges
from weft.registry import types as t
from weft.registry.resource import Row
from weft.resources import port, subnet, subnet_checks
from weft.store import access
from weft.store.schema import ID, METADATA
from weft.store.transaction import Transaction

ROUTER_PORTS = Table(
    "router_ports",
    METADATA,
    Column("port_id", ID, ForeignKey("ports.id", ondelete="CASCADE"), primary_key=True),
    Column("router_id", ID, ForeignKey("routers.id"), nullable=False, index=True),
    Column("advertise_host", Boolean, nullable=False, default=False),
)
"""The interfaces of routers. (A port may claim by its device_id to belong to a router; this table says which do.)"""

OWNER = "network:router_interface"

NOT_OURS = {"security_groups": [], "allowed_address_pairs": [], "port_security_enabled": False}
"""What a user's port loses when a router takes it: routers forward what is not addressed to them."""


def add(tx: Transaction, row: Row, body: Any, advertise_host: bool = False) -> Row:
    """Attach the router `row` to a subnet, or by a port that exists; returns the API's answer.

    `advertise_host`: to EVPN's other sites each host of it by itself.

    Raises BadRequest, PortInUse, SubnetNotFound, PortNotFound and the faults of addresses.
    """
    port_id, subnet_id = _asked(body)
    if port_id and subnet_id:
        raise _refused("Cannot specify both subnet-id and port-id")
    legs = [*interfaces(tx, row["id"]), *_gateways(row)]
    if port_id:
        leg, subnets = _take(tx, row, legs, port_id)
    else:
        leg, subnets = _reach(tx, row, legs, str(subnet_id))
    if advertise_host:
        tx.execute(update(ROUTER_PORTS).where(ROUTER_PORTS.c.port_id == leg["id"]).values(advertise_host=True))
    return _answer(row, leg, subnets)


def remove(tx: Transaction, row: Row, body: Any) -> Row:
    """Detach the router from the subnet, or take the port away; returns the API's answer.

    Raises BadRequest, RouterInterfaceNotFound, RouterInterfaceNotFoundForSubnet, SubnetMismatchForPort,
    RouterInterfaceInUseByFloatingIP and RouterInterfaceInUseByRoute.
    """
    port_id, subnet_id = _asked(body)
    legs = interfaces(tx, row["id"])
    if port_id:
        leg = next((one for one in legs if one["id"] == port_id), None)
        if leg is None:
            raise errors.RouterInterfaceNotFound(router_id=row["id"], port_id=port_id)
        if subnet_id and subnet_id not in _subnet_ids([leg]):
            raise errors.SubnetMismatchForPort(port_id=port_id, subnet_id=subnet_id)
        gone = _subnet_ids([leg])
    else:
        leg = next((one for one in legs if subnet_id in _subnet_ids([one])), None)
        if leg is None:
            raise errors.RouterInterfaceNotFoundForSubnet(router_id=row["id"], subnet_id=subnet_id)
        gone = [str(subnet_id)]
    by_id = subnet.by_ids(tx, gone)
    subnets = [by_id[id] for id in gone]
    _refuse_needed(tx, row, leg, subnets)
    left = [fixed for fixed in leg["fixed_ips"] if fixed["subnet_id"] not in gone]
    if left:
        port.change(tx, leg, {"fixed_ips": left})
    else:
        port.PORT.strategy.write_delete(tx, leg)
    return _answer(row, leg, subnets)


def interfaces(tx: Transaction, router_id: str) -> list[Row]:
    """The ports by which a router is attached to networks inside."""
    mine = select(ROUTER_PORTS.c.port_id).where(ROUTER_PORTS.c.router_id == router_id)
    return tx.list(port.PORT, port.PORTS.c.id.in_(mine))


def refuse_overlap(tx: Transaction, legs: Iterable[Row], new: Sequence[Row]) -> None:
    """A router cannot tell networks apart whose addresses are the same."""
    attached = subnet.by_ids(tx, _subnet_ids(legs)).values()
    for one in new:
        for other in attached:
            if one["id"] == other["id"]:
                raise _refused(f"Router already has a port on subnet {one['id']}")
            if subnet_checks.PROVISIONAL in (one["cidr"], other["cidr"]):
                continue
            if ranges.overlaps(one["cidr"], other["cidr"]):
                raise _refused(
                    f"Cidr {one['cidr']} of subnet {one['id']} overlaps with cidr {other['cidr']} of subnet {other['id']}"
                )


def _asked(body: Any) -> tuple[str | None, str | None]:
    """(port id, subnet id) of a request body."""
    if not isinstance(body, dict):
        raise errors.HTTPBadRequest("Body contains invalid data")
    port_id, subnet_id = body.get("port_id"), body.get("subnet_id")
    if not port_id and not subnet_id:
        raise _refused("Either subnet_id or port_id must be specified")
    for value in (port_id, subnet_id):
        fault = t.uuid_fault(value) if value is not None else None
        if fault:
            raise _refused(fault)
    return port_id, subnet_id


def _refused(reason: str) -> errors.BadRequest:
    return errors.BadRequest(resource="router", reason=reason)


def _answer(row: Row, leg: Row, subnets: Sequence[Row]) -> Row:
    ids = [one["id"] for one in subnets]
    return {
        "id": row["id"],
        "project_id": row["project_id"],
        "tenant_id": row["project_id"],
        "port_id": leg["id"],
        "network_id": leg["network_id"],
        "subnet_id": ids[-1],
        "subnet_ids": ids,
    }


def _gateways(row: Row) -> list[Row]:
    """The gateways as legs like the others, as far as addresses go."""
    first = {"id": row["gw_port_id"], "network_id": row["_gateway_network"], "fixed_ips": row["_gateway_ips"]}
    extra = [{**one, "id": one["port_id"]} for one in row["_extra_gateways"]]
    return [first, *extra] if row["gw_port_id"] else []


def _subnet_ids(legs: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(fixed["subnet_id"] for leg in legs for fixed in leg["fixed_ips"]))


# By subnet.


def _reach(tx: Transaction, row: Row, legs: Sequence[Row], subnet_id: str) -> tuple[Row, list[Row]]:
    """A port with the subnet's gateway address, or that address on the port that serves the network's IPv6 already."""
    of = tx.get(subnet.SUBNET, subnet_id)
    if not of["gateway_ip"]:
        raise _refused("Subnet for router interface must have a gateway IP")
    _refuse_foreign_router(of)
    refuse_overlap(tx, legs, [of])
    _check_lent(tx, of)
    fixed = {"subnet_id": subnet_id, "ip_address": of["gateway_ip"]}
    if of["ip_version"] == 6:
        same = _ipv6_leg(row, legs, of["network_id"])
        if same is not None:
            return port.change(tx, same, {"fixed_ips": [*same["fixed_ips"], fixed]}), [of]
    leg = port.create(
        tx,
        project_id=row["project_id"],
        network_id=of["network_id"],
        device_id=row["id"],
        device_owner=_owner(tx, row),
        fixed_ips=[fixed],
    )
    tx.add(ROUTER_PORTS, [{"port_id": leg["id"], "router_id": row["id"]}])
    return leg, [of]


def _owner(tx: Transaction, row: Row) -> str:
    from weft.resources import router_kind

    return router_kind.owner(tx, row)


def _refuse_foreign_router(of: Row) -> None:
    """Hosts of a subnet with an address mode but no RA mode listen to a router that is not ours."""
    if of["ip_version"] == 6 and of["ipv6_address_mode"] and not of["ipv6_ra_mode"]:
        raise _refused(
            f"IPv6 subnet {of['id']} configured to receive RAs from an external router cannot be added to a router"
        )


def _check_lent(tx: Transaction, of: Row) -> None:
    """A subnet of another project: its network must be shared with the caller's project by name, not with everybody."""
    if tx.context.is_admin or of["project_id"] == tx.context.project_id:
        return
    entries = access.RBAC_ENTRIES
    lent = select(entries.c.id).where(
        entries.c.object_id == of["network_id"],
        entries.c.action == access.SHARED,
        entries.c.target_tenant == tx.context.project_id,
    )
    if not tx.first(lent):
        raise _refused(
            f"Cannot add interface to router because subnet {of['id']} is not owned by project making the request"
        )


def _has_ipv6(leg: Row) -> bool:
    return any(":" in fixed["ip_address"] for fixed in leg["fixed_ips"])


def _ipv6_leg(row: Row, legs: Sequence[Row], network_id: str) -> Row | None:
    """The interface that serves the network's IPv6."""
    outside = {leg["id"] for leg in _gateways(row)}
    inside = (leg for leg in legs if leg["network_id"] == network_id and leg["id"] not in outside)
    return next((leg for leg in inside if _has_ipv6(leg)), None)


# By port.


def _take(tx: Transaction, row: Row, legs: Sequence[Row], port_id: str) -> tuple[Row, list[Row]]:
    """Make a port that exists the router's own."""
    found = tx.get(port.PORT, port_id)
    if found["device_id"]:
        raise errors.PortInUse(id=port_id, network_id=found["network_id"], device_id=found["device_id"])
    ids = _subnet_ids([found])
    if not ids:
        raise _refused("Router port must have at least one fixed IP")
    by_id = subnet.by_ids(tx, ids)
    subnets = [by_id[id] for id in ids]
    for one in subnets:
        _refuse_foreign_router(one)
    refuse_overlap(tx, legs, subnets)
    if sum(one["ip_version"] == 4 for one in subnets) > 1:
        raise _refused("Cannot have multiple IPv4 subnets on router port")
    _refuse_second_ipv6(row, legs, found)
    _check_in_pools(tx, found, by_id)
    leg = port.change(tx, found, {"device_id": row["id"], "device_owner": _owner(tx, row), **NOT_OURS})
    tx.add(ROUTER_PORTS, [{"port_id": port_id, "router_id": row["id"]}])
    return leg, subnets


def _refuse_second_ipv6(row: Row, legs: Sequence[Row], found: Row) -> None:
    """Two ports of one router on one network would announce themselves as two routers."""
    leg = _ipv6_leg(row, legs, found["network_id"]) if _has_ipv6(found) else None
    if leg is not None:
        raise _refused(
            f"Router already contains IPv6 port {leg['id']} belonging to network id {leg['network_id']}. Only one IPv6 "
            "port from the same network subnet can be connected to a router"
        )


def _check_in_pools(tx: Transaction, found: Row, by_id: dict[str, Row]) -> None:
    """On subnets of others, users' routers have addresses out of the pools only."""
    if tx.context.is_admin:
        return
    for fixed in found["fixed_ips"]:
        of = by_id[fixed["subnet_id"]]
        if of["project_id"] == tx.context.project_id:
            continue
        value = ranges.number(fixed["ip_address"])
        if not any(
            ranges.number(pool["start"]) <= value <= ranges.number(pool["end"]) for pool in of["allocation_pools"]
        ):
            raise _refused(
                f"Cannot add interface to router because specified port {found['id']} has an IP address out of the "
                f"allocation pool of subnet {of['id']}, which is not owned by the project making the request"
            )


# Removal.


def _refuse_needed(tx: Transaction, row: Row, leg: Row, subnets: Sequence[Row]) -> None:
    """Floating IPs, routes and NDP proxies need the interface through which they lead."""
    from weft.resources import floatingip, ndp_proxy

    for of in subnets:
        facts = {"router_id": row["id"], "subnet_id": of["id"]}
        if of["ip_version"] == 4 and floatingip.uses_interface(tx, leg["id"]):
            raise errors.RouterInterfaceInUseByFloatingIP(**facts)
        inside = ip_network(of["cidr"])
        if any(ip_address(route["nexthop"]) in inside for route in row["routes"]):
            raise errors.RouterInterfaceInUseByRoute(**facts)
    ipv6 = [of["id"] for of in subnets if of["ip_version"] == 6]
    if ipv6:
        ndp_proxy.refuse_detaching(tx, row, ipv6)
