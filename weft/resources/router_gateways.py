"""Member actions of routers on several gateways: adding, changing and removing those that a list describes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from weft import errors
from weft.registry import types_network as net
from weft.registry.resource import Row
from weft.resources import router_gateway
from weft.resources.router_gateway import Gateway
from weft.store.transaction import Transaction

Wanted = dict[str, Any]
"""network_id, and maybe external_fixed_ips and enable_snat."""

Change = Callable[[Transaction, Row, Sequence[Wanted]], None]
"""Changes the gateways of a router's row, in place, as `router_gateway.change` does."""


def given(body: Any) -> list[Wanted]:
    """The gateways of an action's body: {"router": {"external_gateways": [...]}}."""
    inner = body.get("router") if isinstance(body, dict) else None
    if not isinstance(inner, dict):
        raise errors.HTTPBadRequest("Unable to find 'router' in request body")
    if unknown := sorted(str(name) for name in inner if name != "external_gateways"):
        raise errors.HTTPBadRequest(f"Unrecognized attribute(s) '{', '.join(unknown)}'")
    if "external_gateways" not in inner:
        raise errors.HTTPBadRequest("Failed to parse request. Required attribute 'external_gateways' not specified")
    gateways = net.external_gateways.convert(inner["external_gateways"])
    fault = net.external_gateways.validate(gateways)
    if fault:
        raise errors.HTTPBadRequest(f"Invalid input for external_gateways. Reason: {fault}.")
    return list(gateways or [])


def add(tx: Transaction, row: Row, wanted: Sequence[Wanted]) -> None:
    """Further gateways, also several on one network. On a router without any the first of them is the first.

    Raises BadRequest, NetworkNotFound, UnableToAddExtraGateways and the faults of addresses.
    """
    now = router_gateway.held(row)
    for one in wanted:
        made = router_gateway.make(tx, row, one["network_id"], list(one.get("external_fixed_ips") or []), now)
        if not made["fixed_ips"]:
            raise errors.UnableToAddExtraGateways(
                router_id=row["id"], reason=f"network {one['network_id']} has no subnet that gives it an address"
            )
        now.append({**made, "enable_snat": one.get("enable_snat", tx.config.api.enable_snat_by_default)})
    router_gateway.hold(row, now)


def update(tx: Transaction, row: Row, wanted: Sequence[Wanted]) -> None:
    """Give gateways other addresses of their networks, or another enable_snat. What is not said stays.

    A router without any gets these, and the only gateway goes when the only one of the request is on another network: so
    clients set the gateway of a router (`openstack router set --external-gateway`).

    Raises UnableToMatchGateways, BadRequest and the faults of addresses.
    """
    now = router_gateway.held(row)
    if len(now) == len(wanted) == 1 and now[0]["network_id"] != wanted[0]["network_id"]:
        remove(tx, row, [{"network_id": now[0]["network_id"]}])
        now = []
    if not now:
        add(tx, row, wanted)
        return
    for one, place in zip(wanted, _match(row, now, wanted, loosely=True), strict=True):
        moved = router_gateway.move(tx, now[place], list(one.get("external_fixed_ips") or []))
        now[place] = {**moved, "enable_snat": one.get("enable_snat", now[place]["enable_snat"])}
    router_gateway.hold(row, now)


def remove(tx: Transaction, row: Row, wanted: Sequence[Wanted]) -> None:
    """Without these gateways. When the first goes, the next one is the first.

    Raises UnableToMatchGateways, UnableToRemoveGateways and RouterExternalGatewayInUseByFloatingIp.
    """
    now = router_gateway.held(row)
    if wanted and not now:
        raise errors.UnableToRemoveGateways(router_id=row["id"], reason="it has none")
    gone = set(_match(row, now, wanted, loosely=False))
    router_gateway.refuse_leaving(tx, row, [now[place] for place in sorted(gone)])
    network_id = row["_gateway_network"]
    router_gateway.hold(row, [one for place, one in enumerate(now) if place not in gone])
    if row["_gateway_network"] != network_id:
        row["gateway_qos_policy_id"] = None
    if not row["gw_port_id"]:
        row["enable_snat"] = tx.config.api.enable_snat_by_default


def _unmatched(network_id: str, left: int) -> str:
    """Why an entry means no gateway, of which `left` on its network are meant by no other entry."""
    if left > 1:
        return f"it has {left} on network {network_id}, and one of their addresses has to say which is meant"
    return (
        f"it has none on network {network_id} with such an address" if left else f"it has none on network {network_id}"
    )


def _match(row: Row, now: Sequence[Gateway], wanted: Sequence[Wanted], loosely: bool) -> list[int]:
    """Which gateway each entry means: the one on its network that has one of its addresses, else the only one there.

    That one need not have the addresses given if the entry is to change them (`loosely`). No gateway is meant twice.
    """
    places: dict[int, int] = {}
    for number, one in enumerate(wanted):
        ips = _addresses(one)
        for place, gateway in enumerate(now):
            same = gateway["network_id"] == one["network_id"] and place not in places.values()
            if same and ips & {fixed["ip_address"] for fixed in gateway["fixed_ips"]}:
                places[number] = place
                break
    for number, one in enumerate(wanted):
        if number in places:
            continue
        left = [
            place
            for place, gateway in enumerate(now)
            if gateway["network_id"] == one["network_id"] and place not in places.values()
        ]
        if len(left) != 1 or (_addresses(one) and not loosely):
            raise errors.UnableToMatchGateways(router_id=row["id"], reason=_unmatched(one["network_id"], len(left)))
        places[number] = left[0]
    return [places[number] for number in range(len(wanted))]


def _addresses(one: Wanted) -> set[str]:
    return {fixed["ip_address"] for fixed in one.get("external_fixed_ips") or [] if fixed.get("ip_address")}
