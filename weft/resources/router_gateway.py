"""The outer side of routers: the port on an external network through which their default route leads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Select, select

from weft import errors
from weft.registry.resource import Row
from weft.resources import network, port, qos_attachment, router_interface, subnet
from weft.store.transaction import Transaction

OWNER = "network:router_gateway"


def info(row: Row) -> dict[str, Any] | None:
    """external_gateway_info of a router as the API shows it."""
    if not row["_gateway_network"]:
        return None
    fixed = sorted(row["_gateway_ips"], key=lambda one: (":" in one["ip_address"], str(one["ip_address"])))
    policy = {"qos_policy_id": row["gateway_qos_policy_id"]} if row["gateway_qos_policy_id"] else {}
    return {
        "network_id": row["_gateway_network"],
        "external_fixed_ips": fixed,
        "enable_snat": bool(row["enable_snat"]),
        **policy,
    }


def network_policy(gateway: ColumnElement[bool]) -> Select[Any]:
    """SELECT of the QoS policy of the network that the port, for which `gateway` is true, is on."""
    on = network.NETWORKS.c
    return select(on.qos_policy_id).join(port.PORTS, port.PORTS.c.network_id == on.id).where(gateway)


def change(tx: Transaction, row: Row, wanted: Mapping[str, Any] | None) -> None:
    """Make the gateway of the router `row` as `wanted` (external_gateway_info as given), in place.

    A port that it no longer needs stays until the router's own row has let go of it: see `drop`.
    Raises BadRequest, NetworkNotFound, RouterExternalGatewayInUseByFloatingIp and the faults of addresses.
    """
    row["enable_snat"] = tx.config.api.enable_snat_by_default
    if not wanted:
        refuse_leaving(tx, row)
        _hold(row, None)
        row["gateway_qos_policy_id"] = None
        return
    row["enable_snat"] = wanted.get("enable_snat", row["enable_snat"])
    _set_policy(tx, row, wanted)
    addresses = list(wanted.get("external_fixed_ips") or [])
    if wanted["network_id"] == row["_gateway_network"]:
        if addresses:
            _check_addresses(tx, row["_gateway_network"], addresses)
            held = tx.get(port.PORT, row["gw_port_id"], everybody=True)
            _hold(row, port.change(tx, held, {"fixed_ips": addresses}))
        return
    refuse_leaving(tx, row)
    _check_network(tx, row, wanted["network_id"])
    _check_addresses(tx, wanted["network_id"], addresses)
    _hold(row, _make(tx, row, wanted["network_id"], addresses))


def _set_policy(tx: Transaction, row: Row, wanted: Mapping[str, Any]) -> None:
    """Where nothing is said of it, the policy stays as long as the gateway stays on its network."""
    old = row["gateway_qos_policy_id"]
    kept = old if wanted["network_id"] == row["_gateway_network"] else None
    row["gateway_qos_policy_id"] = wanted.get("qos_policy_id", kept)
    qos_attachment.check(tx, row["gateway_qos_policy_id"], old)


def drop(tx: Transaction, row: Row) -> None:
    """Delete the gateway port of the router as it was in `row`."""
    if row["gw_port_id"]:
        port.PORT.strategy.write_delete(tx, tx.get(port.PORT, row["gw_port_id"], everybody=True))


def give_address(tx: Transaction, row: Row, of: Row) -> bool:
    """Give the router's gateway an address in a new subnet of its network, if it has none of that IP version."""
    if any((":" in fixed["ip_address"]) == (of["ip_version"] == 6) for fixed in row["_gateway_ips"]):
        return False
    held = tx.get(port.PORT, row["gw_port_id"], everybody=True)
    try:
        _hold(row, port.change(tx, held, {"fixed_ips": [*held["fixed_ips"], {"subnet_id": of["id"]}]}))
    except errors.IpAddressGenerationFailure:
        return False
    return True


def _hold(row: Row, held: Row | None) -> None:
    row["gw_port_id"] = held["id"] if held else None
    row["_gateway_network"] = held["network_id"] if held else None
    row["_gateway_ips"] = held["fixed_ips"] if held else []


def _make(tx: Transaction, row: Row, network_id: str, addresses: list[dict[str, str]]) -> Row:
    """The gateway port. It belongs to no project, so that users don't see it among theirs."""
    values = {"fixed_ips": addresses} if addresses else {}
    return port.create(tx, project_id="", network_id=network_id, device_id=row["id"], device_owner=OWNER, **values)


def refuse_leaving(tx: Transaction, row: Row) -> None:
    """Floating IPs need the gateway through which they are reached."""
    from weft.resources import floatingip

    if row["gw_port_id"] and floatingip.uses_gateway(tx, row["gw_port_id"]):
        raise errors.RouterExternalGatewayInUseByFloatingIp(router_id=row["id"], network_id=row["_gateway_network"])


def _check_network(tx: Transaction, row: Row, network_id: str) -> None:
    """The network leads outside, and none of its subnets is one of those inside."""
    on = network.load(tx, network_id)
    if not on["router:external"]:
        raise errors.BadRequest(resource="router", reason=f"Network {network_id} is not an external network")
    inside = router_interface.interfaces(tx, row["id"])
    if inside:
        router_interface.refuse_overlap(tx, inside, subnet.of_network(tx, network_id))


def _check_addresses(tx: Transaction, network_id: str, addresses: list[dict[str, str]]) -> None:
    taken = {one["gateway_ip"] for one in subnet.of_network(tx, network_id)}
    for one in addresses:
        ip = one.get("ip_address")
        if ip and ip in taken:
            raise errors.BadRequest(resource="router", reason=f"External IP {ip} is the same as the gateway IP")
