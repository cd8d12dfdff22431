"""Pure: what the namespace of one router holds (links, addresses, routes, nft table), from its LogicalRouter."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_interface, ip_network

from weft.backends.linux import names, qos, uplinks
from weft.backends.linux.uplinks import Hop, Uplink
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
    # of several ways none is taken whose next hop does not answer ARP
    "net/ipv4/fib_multipath_use_neigh": 1,
    "net/ipv6/conf/all/forwarding": 1,
    "net/ipv6/conf/default/forwarding": 1,
    "net/ipv6/conf/default/accept_dad": 0,
    "net/ipv6/conf/default/accept_ra": 0,
    "net/ipv6/conf/default/ndisc_notify": 1,
    # for the addresses that legs have been told of, and no others
    "net/ipv6/conf/all/proxy_ndp": 1,
    "net/ipv6/fib_multipath_hash_policy": 1,
}
"""Settings of a router's namespace by path below /proc/sys; legs inherit `default` when they are made."""


EQUAL_COST: Mapping[str, int] = {"base_reachable_time_ms": 5000, "delay_first_probe_time": 1}
"""Settings of the legs to several next hops: one that dies is asked no later than 8 s after it was last heard, and given up
3 s later."""


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


@dataclass(frozen=True, slots=True)
class Translation:
    """Which address is which: `snat_ips` are the gateways' IPv4 addresses, the first one first, `inward` external -> internal
    address of each floating IP, `outward` the same the other way round, `forwardings` those of each external address."""

    snat_ips: tuple[str, ...] = ()
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

    `routes`: destination CIDR -> its ways (several: equal cost); "CIDR table N" is in another table than the main one.
    `rules` say which table is asked (see `uplinks.rules`), `proxied` the addresses that each leg answers Neighbor
    Solicitations for, `sessions` the next hops that BFD is spoken with and from where. `chains`: text of the nft table without the elements
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
    rules: frozenset[tuple[int, int]] = frozenset()
    sessions: Mapping[Hop, str] = field(default_factory=dict)
    proxied: frozenset[tuple[str, str]] = frozenset()
    problems: tuple[str, ...] = ()


def render(router: LogicalRouter, host_namespace: str, dead: Collection[Hop] = ()) -> RouterState:
    """The state of `router`'s namespace below the host namespace of that name. `dead`: next hops that are known to be."""
    ups = uplinks.uplinks(router.gateways, {one.id: names.gateway_leg(one.id) for one in router.gateways})
    translation = _translation(router, ups)
    legs = {leg.name: leg for leg in (_tenant_leg(port, router.enabled) for port in router.ports)}
    for gateway in router.gateways:
        leg = _gateway_leg(gateway, _floating(router, gateway), router.enabled)
        legs[leg.name] = leg
    routes, problems = _routes(router, legs, ups, dead)
    several = ups if len(ups) > 1 else ()
    return RouterState(
        namespace=names.router_namespace(host_namespace, router.id),
        enabled=router.enabled,
        legs=legs,
        routes=routes | (uplinks.own_tables(several, routes) if router.enabled else {}),
        chains=_chains(ups, router),
        elements=_elements(translation) | (uplinks.elements(several, _by_gateway(router)) if several else {}),
        translation=translation,
        rules=uplinks.rules(several),
        sessions=uplinks.sessions(ups) if router.bfd and router.enabled else {},
        proxied=frozenset(
            (names.gateway_leg(gateway.id), ip)
            for ip in router.ndp_proxies or ()
            for gateway in router.gateways
            if router.enabled and any(address.version == 6 for address in gateway.addresses)
        ),
        problems=(*problems, *_unknown_protocols(router), *(f"next hop {hop.via} is dead" for hop in sorted(dead))),
    )


def _translation(router: LogicalRouter, ups: Sequence[Uplink]) -> Translation:
    if not ups:
        return Translation()
    place = {up.id: number for number, up in enumerate(ups)}
    nats = sorted((n for n in router.nats if ":" not in n.external_ip), key=lambda n: n.external_ip)
    by_gateway = sorted(nats, key=lambda nat: -place.get(nat.gateway_port, 0))
    forwardings: dict[str, tuple[PortForwarding, ...]] = {}
    for forwarding in sorted(router.forwardings, key=lambda f: f.id):
        if ":" not in forwarding.external_ip and protocol_number(forwarding) is not None:
            forwardings[forwarding.external_ip] = (*forwardings.get(forwarding.external_ip, ()), forwarding)
    return Translation(
        snat_ips=tuple(up.snat_ip for up in ups if up.snat_ip),
        inward={nat.external_ip: nat.logical_ip for nat in nats},
        outward={nat.logical_ip: nat.external_ip for nat in by_gateway},
        forwardings=forwardings,
    )


def _by_gateway(router: LogicalRouter) -> Iterable[tuple[str, str, str]]:
    """(gateway, external, inner address) of each floating IP."""
    return ((nat.gateway_port, nat.external_ip, nat.logical_ip) for nat in router.nats if ":" not in nat.external_ip)


def _floating(router: LogicalRouter, gateway: Gateway) -> frozenset[str]:
    """The external addresses of workloads that this gateway answers for; the first one also for those that do not say."""
    known = {one.id for one in router.gateways}
    first = gateway == router.gateways[0]
    answered = [(nat.external_ip, nat.gateway_port) for nat in router.nats]
    answered += [(one.external_ip, one.gateway_port) for one in router.forwardings if protocol_number(one) is not None]
    return frozenset(ip for ip, by in answered if ":" not in ip and (by == gateway.id or (first and by not in known)))


def neighbour_settings(state: RouterState) -> dict[str, int]:
    """How the legs of a router deal with their neighbours, by path below /proc/sys."""
    found = {f"net/ipv6/neigh/{leg}/proxy_delay": 0 for leg, _ in sorted(state.proxied)}
    for hop in sorted(state.routes.get(uplinks.DEFAULTS[4], ())) if state.rules else ():
        found |= {f"net/ipv4/neigh/{hop.leg}/{name}": value for name, value in EQUAL_COST.items()}
    return found


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


def _gateway_leg(gateway: Gateway, floating: frozenset[str], enabled: bool) -> Leg:
    own = {a.ip for a in gateway.addresses}
    return Leg(
        name=names.gateway_leg(gateway.id),
        tap=names.tap(gateway.id),
        bridge=names.bridge(gateway.switch),
        mac=gateway.mac,
        mtu=gateway.mtu,
        up=enabled,
        addresses=tuple(f"{a.ip}/{a.prefixlen}" for a in gateway.addresses),
        floating=frozenset(f"{ip}/32" for ip in floating - own),
    )


def _routes(
    router: LogicalRouter, legs: Mapping[str, Leg], ups: Sequence[Uplink], dead: Collection[Hop]
) -> tuple[dict[str, frozenset[Hop]], tuple[str, ...]]:
    """The routes that the kernel does not make by itself. A leg that is down has none, as in the kernel."""
    nets = [(leg, ip_interface(text).network) for leg in legs.values() for text in leg.addresses]
    connected = {str(net) for _, net in nets}
    routes = uplinks.defaults(ups, router.ecmp, dead) if router.enabled else {}
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


def _chains(ups: Sequence[Uplink], router: LogicalRouter) -> str:
    """The table's maps, empty, and chains. Without an IPv4 address outside nothing of IPv4 is translated."""
    maps = {**MAPS, **uplinks.MAPS} if len(ups) > 1 else MAPS
    lines = [f"map {name} {{ {kind}; }}" for name, kind in maps.items()]
    helpers = [one for one in router.helpers if (one.name, one.protocol) in KERNEL_HELPERS]
    lines += sorted({_helper_object(helper) for helper in helpers})
    ours = f"{{ {DNS_PORT}, {METADATA_PORT} }}"
    translating = [up for up in ups if up.snat_ip]
    chains = {
        "prerouting": [
            "type nat hook prerouting priority dstnat; policy accept;",
            *_prerouting(uplinks.names(ups) if ups else "", bool(translating)),
        ],
        "postrouting": [
            "type nat hook postrouting priority srcnat; policy accept;",
            *(_postrouting(ups, translating) if translating else ()),
        ],
        "forward": [
            "type filter hook forward priority filter; policy accept;",
            "ct state established,related accept",
            *(rule for up in translating if up.enable_snat for rule in _refused(up.leg)),
            *_proxied_only(ups, router.ndp_proxies),
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
    if len(ups) > 1:
        chains |= uplinks.chains(ups)
    chains |= qos.address_chains(uplinks.names(ups) if ups else "", router.qos)
    for name, rules in chains.items():
        lines += [f"chain {name} {{", *(f"  {rule}" for rule in rules), "}"]
    return "\n".join(lines)


def _helper_name(helper: ConntrackHelper) -> str:
    return f"{helper.name}_{helper.protocol}".replace("-", "_")


def _helper_object(helper: ConntrackHelper) -> str:
    kind = KERNEL_HELPERS[helper.name, helper.protocol]
    return f'ct helper {_helper_name(helper)} {{ type "{kind}" protocol {helper.protocol}; }}'


def _prerouting(outside: str, translating: bool) -> Iterable[str]:
    away = f"iifname != {outside} " if outside else ""
    yield f"{away}ip daddr {METADATA_IP} tcp dport 80 redirect to :{METADATA_PORT}"
    yield f"{away}ip daddr {METADATA_IP} meta l4proto {{ tcp, udp }} th dport 53 redirect to :{DNS_PORT}"
    if translating:
        ports = f"meta l4proto {{ {', '.join(str(p) for p in sorted(WITH_PORTS))} }}"
        for name in ("forward_port", "forward_many", "forward_same"):
            yield f"{ports} dnat ip to ip daddr . meta l4proto . th dport map @{name}"
        yield "dnat ip to ip daddr . meta l4proto map @forward_protocol"
        yield "dnat ip to ip daddr map @floating_in"


def _postrouting(ups: Sequence[Uplink], translating: Sequence[Uplink]) -> Iterable[str]:
    outside = uplinks.names(ups)
    yield "meta nfproto != ipv4 accept"
    yield f'iifname {outside} accept comment "a client outside keeps its address"'
    yield f'oifname != {outside} ct status & dnat == 0 accept comment "east-west"'
    # from here on: to the outside, or from a workload to a floating address of this same router, where the answer must
    # come back through the router even between neighbours
    if len(ups) > 1:
        yield from uplinks.source_translation(ups)
        return
    (only,) = translating
    yield "snat ip to ip saddr map @floating_out"
    yield ("" if only.enable_snat else f"oifname != {outside} ") + f"snat ip to {only.snat_ip} fully-random"


def _refused(outside: str) -> Iterable[str]:
    yield f'iifname "{outside}" meta nfproto ipv4 ct status & dnat == 0 drop comment "not by the inner address"'
    yield f'oifname "{outside}" meta nfproto ipv4 ct state invalid drop comment "would leave untranslated"'


def _proxied_only(ups: Sequence[Uplink], proxies: Sequence[str] | None) -> Iterable[str]:
    """With NDP proxies the world outside reaches those addresses, and no others although it may know a way."""
    if proxies is None or not ups:
        return
    others = f"ip6 daddr != {{ {', '.join(proxies)} }}" if proxies else "meta nfproto ipv6"
    yield f'iifname {uplinks.names(ups)} {others} drop comment "not answered for"'


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
    gone = {name: _without(old.elements[name], new.elements[name]) for name in new.elements}
    come = {name: _without(new.elements[name], old.elements[name]) for name in new.elements}
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
