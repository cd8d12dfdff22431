"""Extra routes of routers: which may be, and how sets of them are added and removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any

from weft import errors
from weft.registry import types_address as addresses
from weft.registry.resource import Row
from weft.resources import router_gateway, router_interface, subnet
from weft.store import quota
from weft.store.transaction import Transaction

Route = Mapping[str, str]
LIMIT = "router_route"
"""The quota of routes, which each router has for itself."""


def check(tx: Transaction, row: Row, routes: Sequence[Route]) -> None:
    """Raise InvalidRoutes unless the router can reach all next hops, OverQuota for too many routes."""
    if not routes:
        return
    limit = _limit(tx, row["project_id"])
    if 0 <= limit < len(routes):
        raise errors.OverQuota(resources=[LIMIT])
    legs = router_interface.interfaces(tx, row["id"])
    fixed = [one for leg in (*legs, *router_gateway.held(row)) for one in leg["fixed_ips"]]
    own = {ip_address(one["ip_address"]) for one in fixed}
    near = [ip_network(of["cidr"]) for of in subnet.by_ids(tx, sorted({one["subnet_id"] for one in fixed})).values()]
    for route in routes:
        hop = ip_address(route["nexthop"])
        if not any(hop in net for net in near):
            raise _refused(routes, "the nexthop is not connected with router")
        if hop in own:
            raise _refused(routes, "the nexthop is used by router")
        if hop.version != ip_network(route["destination"]).version:
            raise _refused(routes, "the destination and the nexthop are of different IP versions")


def given(body: Any) -> list[Route]:
    """The routes of the body of add_extraroutes or remove_extraroutes: {"router": {"routes": [...]}}."""
    inner = body.get("router") if isinstance(body, dict) else None
    if not isinstance(inner, dict):
        raise errors.HTTPBadRequest("Unable to find 'router' in request body")
    if unknown := sorted({*body, *inner} - {"router", "routes"}):
        raise errors.HTTPBadRequest(f"Unrecognized attribute(s) '{', '.join(unknown)}'")
    if "routes" not in inner:
        raise errors.HTTPBadRequest("Failed to parse request. Required attribute 'routes' not specified")
    routes = addresses.routes.convert(inner.get("routes"))
    fault = addresses.routes.validate(routes)
    if fault:
        raise _refused(inner.get("routes"), fault)
    return list(routes)


def with_more(routes: Sequence[Route], more: Sequence[Route]) -> list[Route]:
    """`routes` and those of `more` that are not among them."""
    return [*routes, *(route for route in more if route not in routes)]


def without(routes: Sequence[Route], fewer: Sequence[Route]) -> list[Route]:
    """`routes` but those of `fewer`."""
    return [route for route in routes if route not in fewer]


def _refused(routes: Any, reason: str) -> errors.InvalidRoutes:
    return errors.InvalidRoutes(routes=routes, reason=reason)


def _limit(tx: Transaction, project_id: str) -> int:
    own = quota.usage(tx.connection, project_id).get(LIMIT, (0, None))[1]
    return tx.default_limit(LIMIT) if own is None else own
