"""Pure: what the namespace of one router holds (links, addresses, routes, nft table), from its LogicalRouter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_interface, ip_network

from weft.backends.linux import names, qos
from weft.logical.model import ConntrackHelper, Gateway, LogicalRouter, PortForwarding, RouterPort

METADATA_IP = "169.254.169.254"
METADATA_PORT, DNS_PORT = 9697, 9653
"""Where the metadata listener and the name server wait inside a router's namespace: for workloads that have no route on
link to 169.254.169.254, since they ignore option 121."""

PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "dccp": 33, "ipv6-icmp": 58, "sctp": 132, "udplite": 136}
KERNEL_HELPERS = {
    ("amanda", "udp"): "amanda",
    ("ftp", "tcp"): "ftp",
    ("h323", "tcp"): "Q.931",
    ("h323", "udp"): "RAS",
    ("irc", "tcp"): "irc",
    ("netbios-ns", "udp"): "netbios-ns",
    ("pptp", "tcp"): "pptp",
    ("sane", "tcp"): "sane",
    ("sip", "tcp"): "sip",
    ("sip", "udp"): "sip",
    ("snmp", "udp"): "snmp",
    ("tftp", "udp"): "tftp",
}
"""Conntrack helper of the API and protocol -> what the kernel calls it, where it has it (net/netfilter/nf_conntrack_*)."""
WITH_PORTS = frozenset({6, 17, 33, 132, 136})

SYSCTLS: Mapping[str, int] = {
    "net/ipv4/ip_forward": 1,
    "net/ipv4/conf/all/rp_filter": 0,
    "net/ipv4/conf/default/rp_filter": 0,
    # a leg answers ARP for its own addresses only: a tenant's 10.0.0.1 must not be claimed on the external network
    "net/ipv4/conf/all/arp_ignore": 1,
    "net/ipv4/conf/all/arp_announce": 2,
    # hairpin traffic leaves where it came in; a redirect would tell the workload to go round the translation
    "net/ipv4/conf/all/send_redirects": 0,
    "net/ipv4/conf/default/send_redirects": 0,
    # and a workload does not tell the router where to send things
    "net/ipv4/conf/all/accept_redirects": 0,
    "net/ipv6/conf/all/accept_redirects": 0,
    "net/ipv6/conf/default/accept_redirects": 0,
    "net/ipv4/fib_multipath_hash_policy": 1,
    "net/ipv6/conf/all/forwarding": 1,
    "net/ipv6/conf/default/forwarding": 1,
    "net/ipv6/conf/default/accept_dad": 0,
    "net/ipv6/conf/default/accept_ra": 0,
    "net/ipv6/conf/default/ndisc_notify": 1,
    "net/ipv6/fib_multipath_hash_policy": 1,
}
"""Settings of a router's namespace by path below /proc/sys; legs inherit `default` when they are made."""


@dataclass(frozen=True, slots=True)
class Leg:
    """One veth of a router: `name` in its namespace, `tap` as a port of `bridge` in the host namespace.

    `addresses` are "ip/prefix length"; `floating` those (of /32) that are answered for but belong to workloads. `mtu` in
    bytes.
    """

    name: str
    tap: str
    bridge: str
    mac: str
    mtu: int
    up: bool
    addresses: tuple[str, ...]
    floating: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, order=True)
class Hop:
    """One way of a route: the next router's address and the leg that leads there. `onlink`: in none of its subnets."""

    via: str
    leg: str
    onlink: bool = False


@dataclass(frozen=True, slots=True)
class Translation:
    """Which address is which: `snat_ip` is the gateway's IPv4 address, `inward` external -> internal address of each
    floating IP, `outward` the same the other way round, `forwardings` those of each external address."""

    snat_ip: str | None = None
    inward: Mapping[str, str] = field(default_factory=dict)
    outward: Mapping[str, str] = field(default_factory=dict)
    forwardings: Mapping[str, tuple[PortForwarding, ...]] = field(default_factory=dict)

    @property
    def external(self) -> frozenset[str]:
        """The addresses that stand for workloads."""
        return frozenset(self.inward) | frozenset(self.forwardings)


@dataclass(frozen=True, slots=True)
class RouterState:
    """All that a router's namespace should hold.

    `routes`: destination CIDR -> its ways (several: equal cost). `chains`: text of the nft table without the elements
    of its maps, which are in `elements`: map -> key -> value. `problems`: what was asked for and can't be, for
    the owner.
    """

    namespace: str
    enabled: bool
    legs: Mapping[str, Leg]
    routes: Mapping[str, frozenset[Hop]]
    chains: str
    elements: Mapping[str, Mapping[str, str]]
    translation: Translation
    problems: tuple[str, ...] = ()


def render(router: LogicalRouter, host_namespace: str) -> RouterState:
    """The state of `router`'s namespace below the host namespace of that name."""
    translation = _translation(router)
    legs = {leg.name: leg for leg in (_tenant_leg(port, router.enabled) for port in router.ports)}
    gateway = None
    if router.gateway is not None:
        gateway = _gateway_leg(router.gateway, translation, router.enabled)
        legs[gateway.name] = gateway
    routes, problems = _routes(router, legs, gateway)
    snat = router.gateway is not None and router.gateway.enable_snat
    return RouterState(
        namespace=names.router_namespace(host_namespace, router.id),
        enabled=router.enabled,
        legs=legs,
        routes=routes,
        chains=_chains(gateway.name if gateway else None, translation.snat_ip, snat, router),
        elements=_elements(translation),
        translation=translation,
        problems=(*problems, *_unknown_protocols(router)),
    )


def _translation(router: LogicalRouter) -> Translation:
    if router.gateway is None:
        return Translation()
    first = next((a.ip for a in router.gateway.addresses if a.version == 4), None)
    nats = sorted((n for n in router.nats if ":" not in n.external_ip), key=lambda n: n.external_ip)
    forwardings: dict[str, tuple[PortForwarding, ...]] = {}
    for forwarding in sorted(router.forwardings, key=lambda f: f.id):
        if ":" not in forwarding.external_ip and protocol_number(forwarding) is not None:
            forwardings[forwarding.external_ip] = (*forwardings.get(forwarding.external_ip, ()), forwarding)
    return Translation(
        snat_ip=first,
        inward={nat.external_ip: nat.logical_ip for nat in nats},
        outward={nat.logical_ip: nat.external_ip for nat in nats},
        forwardings=forwardings,
    )


def _tenant_leg(port: RouterPort, enabled: bool) -> Leg:
    return Leg(
        name=names.router_leg(port.id),
        tap=names.tap(port.id),
        bridge=names.bridge(port.switch),
        mac=port.mac,
        mtu=port.mtu,
        up=enabled and port.enabled,
        addresses=tuple(f"{a.ip}/{a.prefixlen}" for a in port.addresses),
    )


def _gateway_leg(gateway: Gateway, translation: Translation, enabled: bool) -> Leg:
    own = {a.ip for a in gateway.addresses}
    return Leg(
        name=names.gateway_leg(gateway.id),
        tap=names.tap(gateway.id),
        bridge=names.bridge(gateway.switch),
        mac=gateway.mac,
        mtu=gateway.mtu,
        up=enabled,
        addresses=tuple(f"{a.ip}/{a.prefixlen}" for a in gateway.addresses),
        floating=frozenset(f"{ip}/32" for ip in translation.external - own),
    )


def _routes(
    router: LogicalRouter, legs: Mapping[str, Leg], gateway: Leg | None
) -> tuple[dict[str, frozenset[Hop]], tuple[str, ...]]:
    """The routes that the kernel does not make by itself. A leg that is down has none, as in the kernel."""
    nets = [(leg, ip_interface(text).network) for leg in legs.values() for text in leg.addresses]
    connected = {str(net) for _, net in nets}
    routes: dict[str, frozenset[Hop]] = {}
    if gateway is not None and router.gateway is not None and gateway.up:
        routes = _default_routes(router.gateway.nexthops, gateway)
    extra: dict[str, set[Hop]] = {}
    problems = []
    for route in router.routes:
        via = ip_address(route.nexthop)
        leg = next((leg for leg, net in nets if via in net), None)
        if leg is None:
            problems.append(f"route to {route.destination}: no leg of the router reaches {route.nexthop}")
        elif leg.up:
            extra.setdefault(str(ip_network(route.destination, strict=False)), set()).add(Hop(str(via), leg.name))
    # a static route does not replace what is connected: it would cut the leg off its own subnet
    routes |= {to: frozenset(hops) for to, hops in extra.items() if to not in connected}
    return routes, tuple(problems)


def _unknown_protocols(router: LogicalRouter) -> Iterable[str]:
    for forwarding in router.forwardings:
        if protocol_number(forwarding) is None:
            yield f"port forwarding {forwarding.id}: protocol {forwarding.protocol} is not known here"
    for helper in router.helpers:
        if (helper.name, helper.protocol) not in KERNEL_HELPERS:
            yield f"conntrack helper {helper.name}: not known here for {helper.protocol}"


def _default_routes(nexthops: Iterable[str], gateway: Leg) -> dict[str, frozenset[Hop]]:
    """One for each IP version. Of several next hops the one in the subnet of the first address, which is also the SNAT
    address: another might refuse packets from there."""
    nets = [ip_interface(text).network for text in gateway.addresses]
    routes = {}
    for destination, version in (("0.0.0.0/0", 4), ("::/0", 6)):
        ways = [via for via in map(ip_address, nexthops) if via.version == version]
        if ways:
            via = next((via for net in nets for via in ways if via in net), ways[0])
            onlink = not via.is_link_local and not any(via in net for net in nets)
            routes[destination] = frozenset({Hop(str(via), gateway.name, onlink)})
    return routes


def protocol_number(forwarding: PortForwarding) -> int | None:
    """The IANA number of what is forwarded; the API has names and numbers. None for a name that we don't know."""
    if forwarding.protocol.isdecimal():
        return int(forwarding.protocol)
    return PROTOCOLS.get(forwarding.protocol)


def _elements(translation: Translation) -> dict[str, dict[str, str]]:
    maps: dict[str, dict[str, str]] = {name: {} for name in MAPS}
    maps["floating_in"].update(translation.inward)
    maps["floating_out"].update(translation.outward)
    for forwardings in translation.forwardings.values():
        for forwarding in forwardings:
            for name, key, value in _forwarding_elements(forwarding):
                maps[name][key] = value
    return maps


def _forwarding_elements(forwarding: PortForwarding) -> Iterable[tuple[str, str, str]]:
    protocol = protocol_number(forwarding)
    outside, inside = f"{forwarding.external_ip} . {protocol}", forwarding.internal_ip
    (first, last), (to_first, to_last) = forwarding.external_ports, forwarding.internal_ports
    if protocol not in WITH_PORTS:
        yield "forward_protocol", outside, inside
    elif first != last and first == to_first and last == to_last:
        yield "forward_same", f"{outside} . {first}-{last}", inside
    elif first != last and to_first == to_last:
        yield "forward_many", f"{outside} . {first}-{last}", f"{inside} . {to_first}"
    else:  # nft can't add: a shifted range is spelled out
        for offset in range(last - first + 1):
            yield "forward_port", f"{outside} . {first + offset}", f"{inside} . {to_first + offset}"


MAPS: Mapping[str, str] = {
    "floating_in": "type ipv4_addr : ipv4_addr",
    "floating_out": "type ipv4_addr : ipv4_addr",
    "forward_port": "type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service",
    "forward_many": "type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; flags interval",
    "forward_same": "type ipv4_addr . inet_proto . inet_service : ipv4_addr; flags interval",
    "forward_protocol": "type ipv4_addr . inet_proto : ipv4_addr",
}
"""The maps of the table: everything that grows with the number of floating IPs is looked up, never walked through."""


def _chains(gateway: str | None, snat_ip: str | None, enable_snat: bool, router: LogicalRouter) -> str:
    """The table's maps, empty, and chains. `snat_ip` None: nothing of IPv4 is translated."""
    lines = [f"map {name} {{ {kind}; }}" for name, kind in MAPS.items()]
    helpers = [one for one in router.helpers if (one.name, one.protocol) in KERNEL_HELPERS]
    lines += sorted({_helper_object(helper) for helper in helpers})
    ours = f"{{ {DNS_PORT}, {METADATA_PORT} }}"
    outside = gateway if snat_ip else None
    chains = {
        "prerouting": ["type nat hook prerouting priority dstnat; policy accept;", *_prerouting(gateway, outside)],
        "postrouting": [
            "type nat hook postrouting priority srcnat; policy accept;",
            *(_postrouting(outside, snat_ip or "", enable_snat) if outside else ()),
        ],
        "forward": [
            "type filter hook forward priority filter; policy accept;",
            "ct state established,related accept",
            *(_refused(outside) if outside and enable_snat else ()),
        ],
        "input": [
            "type filter hook input priority filter; policy accept;",
            f"meta l4proto {{ tcp, udp }} th dport {ours} ct status & dnat == 0 drop",
        ],
    }
    if helpers:
        # conntrack knows the connection by then (-200) and has not yet translated where it goes (-100)
        assign = [f'{one.protocol} dport {one.port} ct helper set "{_helper_name(one)}"' for one in helpers]
        chains["helpers"] = ["type filter hook prerouting priority mangle; policy accept;", *assign]
    chains |= qos.address_chains(gateway, router.qos)
    for name, rules in chains.items():
        lines += [f"chain {name} {{", *(f"  {rule}" for rule in rules), "}"]
    return "\n".join(lines)


def _helper_name(helper: ConntrackHelper) -> str:
    return f"{helper.name}_{helper.protocol}".replace("-", "_")


def _helper_object(helper: ConntrackHelper) -> str:
    kind = KERNEL_HELPERS[helper.name, helper.protocol]
    return f'ct helper {_helper_name(helper)} {{ type "{kind}" protocol {helper.protocol}; }}'


def _prerouting(gateway: str | None, outside: str | None) -> Iterable[str]:
    away = f'iifname != "{gateway}" ' if gateway else ""
    yield f"{away}ip daddr {METADATA_IP} tcp dport 80 redirect to :{METADATA_PORT}"
    yield f"{away}ip daddr {METADATA_IP} meta l4proto {{ tcp, udp }} th dport 53 redirect to :{DNS_PORT}"
    if outside:
        ports = f"meta l4proto {{ {', '.join(str(p) for p in sorted(WITH_PORTS))} }}"
        for name in ("forward_port", "forward_many", "forward_same"):
            yield f"{ports} dnat ip to ip daddr . meta l4proto . th dport map @{name}"
        yield "dnat ip to ip daddr . meta l4proto map @forward_protocol"
        yield "dnat ip to ip daddr map @floating_in"


def _postrouting(outside: str, snat_ip: str, enable_snat: bool) -> Iterable[str]:
    yield "meta nfproto != ipv4 accept"
    yield f'iifname "{outside}" accept comment "a client outside keeps its address"'
    yield f'oifname != "{outside}" ct status & dnat == 0 accept comment "east-west"'
    # from here on: to the outside, or from a workload to a floating address of this same router, where the answer must
    # come back through the router even between neighbours
    yield "snat ip to ip saddr map @floating_out"
    yield ("" if enable_snat else f'oifname != "{outside}" ') + f"snat ip to {snat_ip} fully-random"


def _refused(outside: str) -> Iterable[str]:
    yield f'iifname "{outside}" meta nfproto ipv4 ct status & dnat == 0 drop comment "not by the inner address"'
    yield f'oifname "{outside}" meta nfproto ipv4 ct state invalid drop comment "would leave untranslated"'


def table(state: RouterState) -> str:
    """One nft transaction that puts the router's table in place of whatever `inet weft` there was."""
    lines = ["table inet weft", "delete table inet weft", "table inet weft {", state.chains, "}"]
    return "\n".join(lines + _changes("add", state.elements)) + "\n"


def table_changes(old: RouterState, new: RouterState) -> str:
    """One nft transaction from `old` to `new`; empty without a difference.

    Only elements, when the chains are the same: one floating IP more is one element more, whatever their number.
    """
    if old.chains != new.chains:
        return table(new)
    gone = {name: _without(old.elements[name], new.elements[name]) for name in MAPS}
    come = {name: _without(new.elements[name], old.elements[name]) for name in MAPS}
    lines = _changes("delete", gone) + _changes("add", come)
    return "\n".join(lines) + "\n" if lines else ""


def _without(these: Mapping[str, str], those: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in these.items() if those.get(key) != value}


def _changes(verb: str, elements: Mapping[str, Mapping[str, str]]) -> list[str]:
    return [
        f"{verb} element inet weft {name} {{ {', '.join(f'{key} : {value}' for key, value in sorted(pairs.items()))} }}"
        for name, pairs in elements.items()
        if pairs
    ]
