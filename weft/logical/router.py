"""Routers with their legs, floating IPs and port forwardings, rendered to logical routers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from weft.logical.model import ConntrackHelper, Gateway, LogicalRouter, Nat, PortForwarding, Route, RouterPort
from weft.logical.switch import addresses

Row = Mapping[str, Any]

GATEWAY_OWNER = "network:router_gateway"


def router(
    row: Row,
    legs: Iterable[Row],
    networks: Mapping[str, Row],
    subnets: Mapping[str, Row],
    floatingips: Iterable[Row] = (),
    forwardings: Iterable[Row] = (),
    proxies: Iterable[str] = (),
) -> LogicalRouter:
    """A router: its row, the rows of its ports, their networks and subnets by id, the floating IPs and port forwardings
    that it serves, the addresses of its NDP proxies."""
    legs = sorted(legs, key=lambda leg: str(leg["id"]))
    by_fip = {fip["id"]: fip for fip in floatingips}
    gateways = _gateways(row, {leg["id"]: leg for leg in legs}, networks, subnets)
    return LogicalRouter(
        id=row["id"],
        name=row["name"],
        project_id=row["project_id"],
        enabled=row["admin_state_up"],
        ports=tuple(_leg(leg, networks, subnets) for leg in legs if leg["device_owner"] != GATEWAY_OWNER),
        gateway=gateways[0] if gateways else None,
        extra_gateways=gateways[1:],
        ecmp=row["enable_default_route_ecmp"],
        bfd=row["enable_default_route_bfd"],
        ndp_proxies=tuple(sorted(proxies)) if row["enable_ndp_proxy"] else None,
        routes=tuple(sorted((Route(one["destination"], one["nexthop"]) for one in row["routes"]), key=_by_route)),
        nats=tuple(
            Nat(
                fip["id"],
                fip["floating_ip_address"],
                fip["fixed_ip_address"],
                fip["port_id"],
                fip["gateway_port_id"] or "",
                fip["dns_published"],
            )
            for fip in sorted(by_fip.values(), key=lambda fip: str(fip["id"]))
            if fip["fixed_ip_address"]
        ),
        forwardings=tuple(
            _forwarding(one, by_fip[one["floatingip_id"]])
            for one in sorted(forwardings, key=lambda one: str(one["id"]))
            if one["floatingip_id"] in by_fip
        ),
        helpers=tuple(
            ConntrackHelper(*one)
            for one in sorted((one["helper"], one["protocol"], one["port"]) for one in row["conntrack_helpers"])
        ),
        zone_hints=tuple(row["availability_zone_hints"]),
        revision=row["revision_number"],
    )


def _by_route(route: Route) -> tuple[str, str]:
    return route.destination, route.nexthop


def _leg(leg: Row, networks: Mapping[str, Row], subnets: Mapping[str, Row]) -> RouterPort:
    return RouterPort(
        id=leg["id"],
        switch=leg["network_id"],
        mac=leg["mac_address"],
        mtu=networks[leg["network_id"]]["mtu"],
        addresses=addresses(leg, subnets),
        enabled=leg["admin_state_up"],
    )


def _gateways(
    row: Row, legs: Mapping[str, Row], networks: Mapping[str, Row], subnets: Mapping[str, Row]
) -> tuple[Gateway, ...]:
    """The first gateway, and the extra ones in the order in which the API shows them."""
    snat = {row["gw_port_id"]: row["enable_snat"]}
    snat |= {one["port_id"]: one["enable_snat"] for one in row["_extra_gateways"]}
    return tuple(_gateway(legs[id], bool(on), networks, subnets) for id, on in snat.items() if id in legs)


def _gateway(leg: Row, snat: bool, networks: Mapping[str, Row], subnets: Mapping[str, Row]) -> Gateway:
    own = [subnets[fixed["subnet_id"]] for fixed in leg["fixed_ips"] if fixed["subnet_id"] in subnets]
    return Gateway(
        id=leg["id"],
        switch=leg["network_id"],
        mac=leg["mac_address"],
        mtu=networks[leg["network_id"]]["mtu"],
        addresses=addresses(leg, subnets),
        nexthops=tuple(sorted({one["gateway_ip"] for one in own if one["gateway_ip"]})),
        enable_snat=snat,
    )


def _forwarding(row: Row, fip: Row) -> PortForwarding:
    return PortForwarding(
        id=row["id"],
        protocol=row["protocol"],
        external_ip=fip["floating_ip_address"],
        external_ports=_span(row["external_port"], row["external_port_range"]),
        internal_ip=row["internal_ip_address"],
        internal_ports=_span(row["internal_port"], row["internal_port_range"]),
        gateway_port=fip["gateway_port_id"] or "",
        floating_ip=fip["id"],
    )


def _span(single: int | None, span: str | None) -> tuple[int, int]:
    """The ports of `single`, or of a range like 80:90; (0, 0) for protocols without ports."""
    if single is not None:
        return single, single
    if not span:
        return 0, 0
    first, _, last = span.partition(":")
    return int(first), int(last or first)
