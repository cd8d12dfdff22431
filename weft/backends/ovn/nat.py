"""A router's address translation as OVN's rows: SNAT, floating IPs, port forwardings, and what limits them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_network

from weft.backends.ovn import port, rows
from weft.backends.ovn.capabilities import FORWARDED
from weft.backends.ovn.rows import MARK, Hold, Ref, Row
from weft.config import Config
from weft.logical.model import Gateway, HostView, LogicalRouter, Nat, PortForwarding

QOS_PRIORITY = 2003
"""Above that of a port: the address is the more special."""
NUMBERS = {"6": "tcp", "17": "udp", "132": "sctp"}
NOBODY = "255.255.255.255"
"""An address that no packet comes from."""


def render(router: LogicalRouter, view: HostView, config: Config) -> Iterator[Row]:
    """Everything that needs a gateway."""
    if not router.gateways:
        return
    held = Hold(Ref("Logical_Router", rows.name(router.id)), "nat")
    by_id = {one.id: one for one in router.gateways}
    for gateway in router.gateways:
        yield from _snat(router, gateway, view, held)
    for one in router.nats:
        yield _floating(router, one, by_id.get(one.gateway_port, router.gateways[0]), view, held, config)
    yield from _forwardings(router, held)
    yield from _limits(router, view)


def _snat(router: LogicalRouter, gateway: Gateway, view: HostView, held: Hold) -> Iterator[Row]:
    """One row for each IPv4 subnet inside: what leaves it has the gateway's address."""
    own = next((one.ip for one in gateway.addresses if one.version == 4), None)
    if not gateway.enable_snat or own is None:
        return
    cidrs = {
        str(ip_network(f"{one.ip}/{one.prefixlen}", strict=False))
        for leg in router.ports
        for one in leg.addresses
        if one.version == 4
    }
    for cidr in sorted(cidrs):
        id = f"{gateway.id}/{cidr}"
        columns = {
            "type": "snat",
            "external_ip": own,
            "logical_ip": cidr,
            "gateway_port": _port(router, gateway),
            "external_ids": {MARK: id},
        }
        yield Row(Ref("NAT", id), columns, held)


def _port(router: LogicalRouter, gateway: Gateway) -> Ref | None:
    """Which of several gateways it is about; OVN finds an only one itself."""
    return Ref("Logical_Router_Port", rows.leg(gateway.id)) if len(router.gateways) > 1 else None


def _floating(router: LogicalRouter, one: Nat, gateway: Gateway, view: HostView, held: Hold, config: Config) -> Row:
    """A floating IP. With a MAC of its own it is translated on the host of its port, else where the gateway lives."""
    spread = config.ovn.enable_distributed_floating_ip and bool(one.mac) and _may_spread(router, one, view)
    ids = {
        "neutron:fip_id": one.id,
        "neutron:fip_port_id": one.logical_port,
        "neutron:fip_external_mac": one.mac,
        "neutron:fip_network_id": gateway.switch,
        "neutron:router_name": rows.name(router.id),
    }
    columns = {
        "type": "dnat_and_snat",
        "external_ip": one.external_ip,
        "logical_ip": one.logical_ip,
        "external_mac": one.mac if spread else None,
        "logical_port": one.logical_port if spread else None,
        "gateway_port": _port(router, gateway),
        "external_ids": ids,
    }
    return Row(Ref("NAT", one.id), columns, held)


def _may_spread(router: LogicalRouter, one: Nat, view: HostView) -> bool:
    """Only to a workload with a device of its own; and port forwardings to an address that has a floating IP elsewhere than
    where the gateway lives get no answers out of OVN."""
    inside = view.ports.get(one.logical_port)
    forwarded = any(other.internal_ip == one.logical_ip for other in router.forwardings)
    return inside is not None and not inside.parent and not forwarded


def _forwardings(router: LogicalRouter, held: Hold) -> Iterator[Row]:
    """Load balancers of one member: one for each floating IP and protocol. And for each floating IP, who answers for it."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    leads: dict[str, PortForwarding] = {}
    for one in router.forwardings:
        protocol = NUMBERS.get(one.protocol, one.protocol)
        if protocol in FORWARDED:
            found.setdefault((one.floating_ip, protocol), {}).update(_vips(one))
            leads.setdefault(one.floating_ip, one)
    for (fip, protocol), vips in sorted(found.items()):
        yield _balancer(router, leads[fip], protocol, vips)
    for _, one in sorted(leads.items()):
        yield _announced(router, one, held)


def _balancer(router: LogicalRouter, lead: PortForwarding, protocol: str, vips: Mapping[str, str]) -> Row:
    """On the router for clients outside. For those inside on their switches: they would be translated by the router only if
    they live where its gateway does, and get their answers past it. Who goes to itself has the gateway's address there."""
    name = f"pf-floatingip-{lead.floating_ip}-{protocol}"
    own = next((one.ip for one in _gateway(router, lead).addresses if one.version == 4), None)
    ids = {
        "neutron:device_owner": "port_forwarding_plugin",
        "neutron:fip_id": lead.floating_ip,
        "neutron:router_name": rows.name(router.id),
    }
    columns = {
        "name": name,
        "protocol": protocol,
        "vips": vips,
        "options": {"ct_flush": "true"} | ({"hairpin_snat_ip": own} if own else {}),
        "external_ids": ids,
    }
    on = [Ref("Logical_Router", rows.name(router.id))]
    on += [Ref("Logical_Switch", rows.name(id)) for id in sorted({leg.switch for leg in router.ports})]
    return Row(Ref("Load_Balancer", name), columns, members=tuple(Hold(one, "load_balancer") for one in on))


def _announced(router: LogicalRouter, lead: PortForwarding, held: Hold) -> Row:
    """A row that translates what nobody sends: the addresses of NAT rows are announced by the gateway (ovn-nb(5):
    nat-addresses), those of load balancers are not."""
    id = f"{lead.floating_ip}/announced"
    columns = {
        "type": "snat",
        "external_ip": lead.external_ip,
        "logical_ip": NOBODY,
        "gateway_port": _port(router, _gateway(router, lead)),
        "external_ids": {MARK: id},
    }
    return Row(Ref("NAT", id), columns, held)


def _gateway(router: LogicalRouter, lead: PortForwarding) -> Gateway:
    return next((one for one in router.gateways if one.id == lead.gateway_port), router.gateways[0])


def _vips(one: PortForwarding) -> dict[str, str]:
    """Each external port with what it leads to; a range that leads to one port, or to a range of equal length."""
    first, last = one.external_ports
    inner_first, inner_last = one.internal_ports
    step = 1 if inner_last > inner_first else 0
    return {
        f"{one.external_ip}:{number}": f"{one.internal_ip}:{inner_first + step * (number - first)}"
        for number in range(first, last + 1)
    }


def _limits(router: LogicalRouter, view: HostView) -> Iterator[Row]:
    """What external addresses are held to: rules of the external switch, at the leg that leads there."""
    fips = {one.external_ip: one for one in router.nats}
    own = {one.ip: gateway for gateway in router.gateways for one in gateway.addresses}
    for held in router.qos:
        nat = fips.get(held.ip)
        gateway = own.get(held.ip) or router.gateways[0]
        if nat is not None:
            gateway = next((one for one in router.gateways if one.id == nat.gateway_port), gateway)
        ids = {"neutron:fip_id": nat.id} if nat else {"neutron:gw_port_id": gateway.id}
        ids["neutron:router_name"] = rows.name(router.id)
        id = f"{gateway.id}/{held.ip}"
        family = "ip6" if ":" in held.ip else "ip4"
        if held.qos.egress or held.qos.dscp is not None:
            match = f'inport == "{gateway.id}" && {family}.src == {held.ip}'
            yield port.qos(f"{id}/egress", gateway.switch, "from-lport", match, held.qos.egress, held.qos.dscp, ids,
                           QOS_PRIORITY)  # fmt: skip
        if held.qos.ingress:
            match = f'outport == "{gateway.id}" && {family}.dst == {held.ip}'
            yield port.qos(f"{id}/ingress", gateway.switch, "to-lport", match, held.qos.ingress, None, ids,
                           QOS_PRIORITY)  # fmt: skip
