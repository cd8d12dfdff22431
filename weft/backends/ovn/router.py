"""A router as OVN's rows: legs, gateways and where they live, routes (ovn-nb(5): Logical_Router). Pure.

Every router is distributed: only what needs one place, a gateway, has one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from weft.backends.ovn import lives, nat, rows
from weft.backends.ovn.rows import MARK, Hold, Ref, Row
from weft.backends.ovn.switch import hold, physical
from weft.config import Config
from weft.logical.model import Address, Gateway, HostView, LogicalRouter, LogicalSwitch, RouterPort

OWNERS = {False: "network:router_interface", True: "network:router_gateway"}
ANY = {4: "0.0.0.0/0", 6: "::/0"}
RA_MODES = {"slaac": "slaac", "dhcpv6-stateful": "dhcpv6_stateful", "dhcpv6-stateless": "dhcpv6_stateless"}


def render(router: LogicalRouter, view: HostView, config: Config, places: Mapping[str, Sequence[str]]) -> list[Row]:
    """The router and what is its alone, the legs' other ends in the switches included."""
    ref = Ref("Logical_Router", rows.name(router.id))
    found = [_router(router, ref, config)]
    for leg in router.ports:
        found.append(_leg(router, leg, view, Hold(ref, "ports"), config))
        found.append(_other_end(router, leg.id, leg.switch, leg.addresses, leg.enabled, False, config))
    for gateway in router.gateways:
        found += lives.render(gateway.id, places.get(gateway.id, ()), {"neutron:gw_port_id": gateway.id})
        found.append(_gateway(router, gateway, view, Hold(ref, "ports"), config))
        found.append(_other_end(router, gateway.id, gateway.switch, gateway.addresses, True, True, config))
        found += _default_routes(router, gateway, view, Hold(ref, "static_routes"), config)
    found += _routes(router, Hold(ref, "static_routes"))
    found += nat.render(router, view, config)
    return found


def _router(router: LogicalRouter, ref: Ref, config: Config) -> Row:
    options = {
        "always_learn_from_arp_request": "false",
        "dynamic_neigh_routers": "true",
        "mac_binding_age_threshold": str(config.ovn.mac_binding_age_threshold),
        "mcast_relay": "true" if config.ovn.igmp_snooping_enable else "false",
    }
    ids = {
        "neutron:router_name": router.name,
        "neutron:gw_port_id": router.gateway.id if router.gateway else "",
        "neutron:availability_zone_hints": ",".join(router.zone_hints),
        rows.REVISION: str(router.revision),
    }
    columns = {"name": ref.id, "enabled": router.enabled, "options": options, "external_ids": ids}
    return Row(ref, columns)


# -- legs


def _leg(router: LogicalRouter, leg: RouterPort, view: HostView, held: Hold, config: Config) -> Row:
    on = view.switches.get(leg.switch)
    columns = {
        "name": rows.leg(leg.id),
        "mac": leg.mac,
        "networks": _networks(leg.addresses),
        "enabled": leg.enabled,
        "options": {
            **({"reside-on-redirect-chassis": "true"} if resides(router, on, config) else {}),
            **_narrow(router, leg.switch, leg.mtu, view),
        },
        "ipv6_ra_configs": _advertised(leg, on),
        "ha_chassis_group": None,
        "external_ids": _ids(router, leg.switch, leg.addresses),
    }
    return Row(Ref("Logical_Router_Port", rows.leg(leg.id)), columns, held)


def _gateway(router: LogicalRouter, gateway: Gateway, view: HostView, held: Hold, config: Config) -> Row:
    options = _narrow(router, gateway.switch, gateway.mtu, view)
    if _bridged(router, view) and config.ovn.enable_distributed_floating_ip:
        options["redirect-type"] = "bridged"
    columns = {
        "name": rows.leg(gateway.id),
        "mac": gateway.mac,
        "networks": _networks(gateway.addresses),
        "enabled": True,
        "options": options,
        "ipv6_ra_configs": {},
        "ha_chassis_group": lives.group(gateway.id),
        "external_ids": {**_ids(router, gateway.switch, gateway.addresses), "neutron:is_ext_gw": "True"},
    }
    return Row(Ref("Logical_Router_Port", rows.leg(gateway.id)), columns, held)


def _narrow(router: LogicalRouter, switch: str, mtu: int, view: HostView) -> dict[str, str]:
    """Where networks inside let larger packets pass, who sends such ones from there into this one is told. From outside nobody
    is: OVN says nothing to whom a floating IP is for, and each packet that comes in would be measured for it."""
    others = (view.switches.get(leg.switch) for leg in router.ports if leg.switch != switch)
    return {"gateway_mtu": str(mtu)} if any(one is not None and one.mtu > mtu for one in others) else {}


def _bridged(router: LogicalRouter, view: HostView) -> bool:
    """All tenant networks are physical VLANs: packets need no tunnel to the gateway."""
    on = [view.switches.get(leg.switch) for leg in router.ports]
    return bool(on) and all(one is not None and _vlan(one) for one in on)


def _vlan(switch: LogicalSwitch) -> bool:
    return physical(switch) and all(one.network_type == "vlan" for one in switch.segments)


def resides(router: LogicalRouter, on: LogicalSwitch | None, config: Config) -> bool:
    """Whether the router's leg in that network is where its gateway lives, and nowhere else.

    Packets of a physical network with addresses of other hosts' routers would confuse its switches: where there is a
    gateway they are routed at its place, unless floating IPs are to be distributed.
    """
    spread = config.ovn.enable_distributed_floating_ip
    return on is not None and _vlan(on) and router.gateway is not None and not spread


def _networks(addresses: Sequence[Address]) -> frozenset[str]:
    return frozenset(f"{one.ip}/{one.prefixlen}" for one in addresses)


def _ids(router: LogicalRouter, switch: str, addresses: Sequence[Address]) -> dict[str, str]:
    return {
        "neutron:router_name": router.id,
        "neutron:network_name": rows.name(switch),
        "neutron:subnet_ids": " ".join(dict.fromkeys(one.subnet_id for one in addresses)),
    }


def _advertised(leg: RouterPort, on: LogicalSwitch | None) -> dict[str, str]:
    """Router advertisements (RFC 4861), where a subnet of the leg asks for them."""
    subnets = {one.subnet_id: one for one in on.subnets} if on else {}
    modes = [subnets[one.subnet_id].ra_mode for one in leg.addresses if one.version == 6 and one.subnet_id in subnets]
    mode = next((RA_MODES[one] for one in modes if one), None)
    if on is None or mode is None:
        return {}
    found = {"address_mode": mode, "send_periodic": "true", "mtu": str(on.mtu)}
    servers = [ip for one in on.subnets if one.ip_version == 6 for ip in one.dns_nameservers if ":" in ip]
    if servers:
        found["rdnss"] = servers[0]
    return found


def _other_end(
    router: LogicalRouter,
    id: str,
    switch: str,
    addresses: Sequence[Address],
    enabled: bool,
    outside: bool,
    config: Config,
) -> Row:
    """The leg as a port of its network's switch."""
    options = {"router-port": rows.leg(id)}
    if outside:
        options |= {"nat-addresses": "router", "exclude-lb-vips-from-garp": "true"}
    ids = {
        "neutron:device_id": router.id,
        "neutron:device_owner": OWNERS[outside],
        "neutron:project_id": router.project_id if not outside else "",
        "neutron:network_name": rows.name(switch),
        "neutron:cidrs": " ".join(f"{one.ip}/{one.prefixlen}" for one in addresses),
        "neutron:subnet_ids": " ".join(dict.fromkeys(one.subnet_id for one in addresses)),
        "neutron:port_name": "",
    }
    columns = {
        "name": id,
        "type": "router",
        "addresses": frozenset({"router"}),
        "enabled": enabled,
        "options": options,
        "external_ids": ids,
        # what the row said if the port was a workload's before it became a leg
        **dict.fromkeys(("parent_name", "tag", "dhcpv4_options", "dhcpv6_options", "ha_chassis_group")),
        "port_security": frozenset(),
    }
    return Row(Ref("Logical_Switch_Port", id), columns, hold(switch))


# -- routes


def _default_routes(
    router: LogicalRouter, gateway: Gateway, view: HostView, held: Hold, config: Config
) -> Iterator[Row]:
    """By the gateways of the external subnets; of several legs all, where the router says ECMP, else the first."""
    first = router.gateways[0].id == gateway.id
    if not first and not router.ecmp:
        return
    subnets = (
        {one.gateway_ip: one.subnet_id for one in view.switches[gateway.switch].subnets}
        if (gateway.switch in view.switches)
        else {}
    )
    for nexthop in gateway.nexthops:
        version = 6 if ":" in nexthop else 4
        if not any(one.version == version for one in gateway.addresses):
            continue
        ids = {"neutron:is_ext_gw": "true", "neutron:subnet_id": subnets.get(nexthop, "")}
        bfd = None
        if router.bfd:
            row = _bfd(gateway, nexthop, config)
            yield row
            bfd = row.ref
        yield _route(router, ANY[version], nexthop, ids, held, rows.leg(gateway.id), bfd)


def _bfd(gateway: Gateway, nexthop: str, config: Config) -> Row:
    leg = rows.leg(gateway.id)
    columns = {
        "logical_port": leg,
        "dst_ip": nexthop,
        "external_ids": {MARK: f"{leg}/{nexthop}"},
    }
    return Row(Ref("BFD", f"{leg}/{nexthop}"), columns)


def _routes(router: LogicalRouter, held: Hold) -> Iterator[Row]:
    for one in router.routes:
        yield _route(router, one.destination, one.nexthop, {}, held)


def _route(
    router: LogicalRouter,
    prefix: str,
    nexthop: str,
    ids: Mapping[str, str],
    held: Hold,
    leg: str | None = None,
    bfd: Ref | None = None,
) -> Row:
    id = f"{router.id}/{prefix}/{nexthop}" + (f"/{leg}" if leg else "")
    columns = {
        "ip_prefix": prefix,
        "nexthop": nexthop,
        "output_port": leg,
        "bfd": bfd,
        "external_ids": {**ids, "neutron:is_static_route": "true", MARK: id},
    }
    return Row(Ref("Logical_Router_Static_Route", id), columns, held)
