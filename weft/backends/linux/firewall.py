"""Security groups and anti-spoofing of a host as an nft rule set (tables `bridge weft` and `inet weft`). Pure.

How a packet between two workloads of this host goes (design: docs/design/linux.md):

    bridge prerouting -300  is the source its port's own? mark := the port's number
    inet prerouting -300    conntrack zone := that of the network
    inet prerouting -150    egress rules of the port with this mark
    bridge forward -200     mark := number of the port where it leaves, with the top bit
    inet forward 0          ingress rules of the port with this mark

The inet hooks see bridged frames through br_netfilter, with the bridge as interface; the mark says which port. A tap that
no rule knows passes nothing in either direction. A port costs elements only: ports with the same groups share a policy chain.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from weft.backends.linux import acl, names
from weft.backends.linux.acl import Network, remote_set
from weft.backends.linux.nft import SetType
from weft.backends.linux.ruleset import Chain, Fragment, Name, Owner, Ruleset
from weft.logical.model import Acl, Address, AddressPair, AddressSet, HostView, LogicalPort, LogicalRouter, PortGroup

METADATA = {4: "169.254.169.254", 6: "fe80::a9fe:a9fe"}

_OUT_BIT = 1 << 31
_LARGEST_MARK = _OUT_BIT - 1
_LARGEST_ZONE = 65535

_SOURCE4, _SOURCE6 = ("ifname", "ether_addr", "ipv4_addr"), ("ifname", "ether_addr", "ipv6_addr")
_TARGET = ("ifname", "ether_addr", "target")

FROM, TO = Name("bridge", "ports_from"), Name("bridge", "ports_to")
MARKS_IN, MARKS_OUT = Name("bridge", "marks_in"), Name("bridge", "marks_out")
MACS = Name("bridge", "macs")
EGRESS, INGRESS, ZONES = Name("inet", "egress"), Name("inet", "ingress"), Name("inet", "zones")

SETS: Mapping[Name, SetType] = {
    FROM: SetType(("ifname",), "verdict"),
    TO: SetType(("ifname",), "verdict"),
    MARKS_IN: SetType(("ifname",), "mark"),
    MARKS_OUT: SetType(("ifname",), "mark"),
    MACS: SetType(("ifname", "ether_addr")),
    Name("bridge", "v4"): SetType(_SOURCE4),
    Name("bridge", "v4_nets"): SetType(_SOURCE4, interval=True),
    Name("bridge", "v6"): SetType(_SOURCE6),
    Name("bridge", "v6_nets"): SetType(_SOURCE6, interval=True),
    Name("bridge", "na"): SetType(_TARGET),
    Name("bridge", "na_nets"): SetType(_TARGET, interval=True),
    EGRESS: SetType(("mark",), "verdict"),
    INGRESS: SetType(("mark",), "verdict"),
    ZONES: SetType(("ifname",), "zone"),
}

_MACHINE = f'{{ "{names.TAP_PREFIX}*", "{names.SERVICE_PREFIX}*", "{names.VXLAN_PREFIX}*" }}'
_OURS = f'"{names.BRIDGE_PREFIX}*"'

CHAINS: Mapping[Name, Chain] = {
    Name("bridge", "prerouting"): Chain(
        ("iifname vmap @ports_from", f'iifname "{names.TAP_PREFIX}*" drop'),
        "prerouting priority -300",
    ),
    # the host itself is nobody's neighbour, whatever address its bridges might have
    Name("bridge", "input"): Chain((f"iifname {_MACHINE} drop",), "input priority -300"),
    Name("bridge", "forward"): Chain(
        ("oifname vmap @ports_to", f'oifname "{names.TAP_PREFIX}*" drop'),
        "forward priority -200",
    ),
    Name("bridge", "from_secured"): Chain(
        (
            "meta mark set iifname map @marks_in",
            # read from the frame: `meta protocol` would see through a VLAN tag that the inet hooks are not shown
            "ether type vmap { ip : goto from_ip4, arp : goto from_arp, ip6 : goto from_ip6 }",
            "drop",
        )
    ),
    Name("bridge", "from_ip4"): Chain(
        (
            "iifname . ether saddr . ip saddr @v4 accept",
            "iifname . ether saddr . ip saddr @v4_nets accept",
            "ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 iifname . ether saddr @macs accept",
            "drop",
        )
    ),
    Name("bridge", "from_arp"): Chain(
        (
            "iifname . ether saddr != @macs drop",
            "iifname . arp saddr ether . arp saddr ip @v4 accept",
            "iifname . arp saddr ether . arp saddr ip @v4_nets accept",
            "arp saddr ip 0.0.0.0 iifname . arp saddr ether @macs accept",  # RFC 5227 probe
            "drop",
        )
    ),
    Name("bridge", "from_ip6"): Chain(
        (
            "icmpv6 type nd-neighbor-advert goto from_na",
            "iifname . ether saddr . ip6 saddr @v6 accept",
            "iifname . ether saddr . ip6 saddr @v6_nets accept",
            # RFC 4861, 4862, 3810: before a host has an address
            "ip6 saddr :: icmpv6 type { nd-router-solicit, nd-neighbor-solicit, mld2-listener-report, "
            "mld-listener-report, mld-listener-done } iifname . ether saddr @macs accept",
            "drop",
        )
    ),
    Name("bridge", "from_na"): Chain(
        (
            "iifname . ether saddr . @th,64,128 @na goto from_na_source",
            "iifname . ether saddr . @th,64,128 @na_nets goto from_na_source",
            "drop",
        )
    ),
    Name("bridge", "from_na_source"): Chain(
        (
            "iifname . ether saddr . ip6 saddr @v6 accept",
            "iifname . ether saddr . ip6 saddr @v6_nets accept",
            "drop",
        )
    ),
    Name("bridge", "to_secured"): Chain(
        (
            "ether type != { ip, arp, ip6 } drop",
            # answers of our own DNS and metadata service; nothing else is on that port
            f'iifname "{names.SERVICE_PREFIX}*" meta mark set 0 accept',
            "meta mark set oifname map @marks_out",
        )
    ),
    Name("inet", "zone"): Chain((f"iifname {_OURS} ct zone set iifname map @zones",), "prerouting priority -300"),
    Name("inet", "from_port"): Chain((f"iifname {_OURS} meta mark vmap @egress",), "prerouting priority -150"),
    Name("inet", "to_port"): Chain((f"oifname {_OURS} meta mark vmap @ingress",), "forward priority 0"),
    Name("inet", "always_out"): Chain(
        (
            "icmpv6 type { nd-router-advert, nd-redirect } drop",
            "icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, "
            "mld-listener-report, mld-listener-done, mld2-listener-report } accept",
            "udp sport 67 udp dport 68 drop",
            "udp sport 547 udp dport 546 drop",
            "udp sport 68 udp dport 67 accept",
            "udp sport 546 udp dport 547 accept",
            f"ip daddr {METADATA[4]} meta l4proto {{ tcp, udp }} th dport 53 accept",
            f"ip daddr {METADATA[4]} tcp dport 80 accept",
            f"ip6 daddr {METADATA[6]} meta l4proto {{ tcp, udp }} th dport 53 accept",
            f"ip6 daddr {METADATA[6]} tcp dport 80 accept",
        )
    ),
    Name("inet", "always_in"): Chain(
        (
            "icmpv6 type { nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, mld-listener-query } accept",
            "udp sport 67 udp dport 68 accept",
            "udp sport 547 udp dport 546 accept",
        )
    ),
}

STATIC = Owner("static", "")


@dataclass(slots=True)
class Numbers:
    """Numbers from 1 to `largest` by id: nearly always the same one for an id, whatever else there is."""

    largest: int
    of: dict[str, int] = field(default_factory=dict)
    taken: set[int] = field(default_factory=set)

    def keep(self, id: str, number: int) -> None:
        """Give `id` this number, unless another has it."""
        if number not in self.taken:
            self.of[id] = number
            self.taken.add(number)

    def take(self, id: str) -> int:
        if id not in self.of:
            number = int.from_bytes(hashlib.sha256(id.encode()).digest()[:8], "big") % self.largest + 1
            while number in self.taken:
                number = number % self.largest + 1
            self.keep(id, number)
        return self.of[id]

    def release(self, id: str) -> None:
        self.taken.discard(self.of.pop(id, 0))

    def copy(self) -> Numbers:
        return Numbers(self.largest, dict(self.of), set(self.taken))


@dataclass(slots=True)
class Firewall:
    """A rendered rule set and what was decided on the way.

    `marks`: number of each secured port by id; `zones`: conntrack zone of each network by bridge; `policies`: the groups
    that each secured port follows; `problems`: what could not be rendered as asked, by owner.
    """

    rules: Ruleset = field(default_factory=dict)
    marks: Numbers = field(default_factory=lambda: Numbers(_LARGEST_MARK))
    zones: Numbers = field(default_factory=lambda: Numbers(_LARGEST_ZONE))
    policies: dict[str, tuple[str, ...]] = field(default_factory=dict)
    problems: dict[Owner, str] = field(default_factory=dict)

    def copy(self) -> Firewall:
        return Firewall(
            dict(self.rules), self.marks.copy(), self.zones.copy(), dict(self.policies), dict(self.problems)
        )


def render(view: HostView, zones: Mapping[str, int]) -> Firewall:
    """The rule set of a whole view. `zones`: those in use already, which networks keep (a flow would not survive a change)."""
    firewall = Firewall(rules={STATIC: Fragment(chains=dict(CHAINS), sets=dict(SETS))})
    bridges = {names.bridge(id) for id in view.switches}
    for bridge in sorted(bridges & zones.keys()):
        firewall.zones.keep(bridge, zones[bridge])
    everything = [
        *(Owner("switch", id) for id in sorted(view.switches)),
        *(Owner("router", id) for id in sorted(view.routers)),
        *(Owner("port", id) for id in sorted(view.ports)),
    ]
    return _update(firewall, view, everything)


def update(firewall: Firewall, view: HostView, owners: Iterable[Owner]) -> tuple[Firewall, list[Owner]]:
    """The rule set after these owners ("switch", "port", "router", "group", "addresses") changed, and the owners of every
    fragment that may differ from before."""
    new = firewall.copy()
    asked = list(owners)
    changed_switches = {owner.id for owner in asked if owner.kind == "switch"}
    if changed_switches:
        asked += [Owner("port", port.id) for port in view.ports.values() if port.switch in changed_switches]
        asked += [Owner("router", id) for id, router in view.routers.items() if changed_switches & touched_by(router)]
    asked = list(dict.fromkeys(asked))
    _update(new, view, asked)
    touched = {
        owner
        for owner in firewall.rules.keys() | new.rules.keys()
        if firewall.rules.get(owner) is not new.rules.get(owner)
    }
    return new, sorted(touched)


def _update(firewall: Firewall, view: HostView, owners: Iterable[Owner]) -> Firewall:
    shared: set[str] = set()
    for owner in owners:
        firewall.problems.pop(owner, None)
        if owner.kind == "switch":
            _put(firewall, owner, _switch(firewall, view, owner.id))
        elif owner.kind == "router":
            _put(firewall, owner, _legs(view, owner.id))
        elif owner.kind == "port":
            _put(firewall, owner, _port(firewall, view, owner.id))
        elif owner in firewall.rules:
            shared.add(owner.id)
    _share(firewall, view, shared)
    return firewall


def _put(firewall: Firewall, owner: Owner, fragment: Fragment | None) -> None:
    if fragment is None:
        firewall.rules.pop(owner, None)
    elif firewall.rules.get(owner) != fragment:
        firewall.rules[owner] = fragment


def _switch(firewall: Firewall, view: HostView, id: str) -> Fragment | None:
    bridge = names.bridge(id)
    if id not in view.switches:
        firewall.zones.release(bridge)
        return None
    fragment = Fragment()
    fragment.add(ZONES, bridge, data=str(firewall.zones.take(bridge)))
    return fragment


def _legs(view: HostView, id: str) -> Fragment | None:
    router = view.routers.get(id)
    if router is None:
        return None
    fragment = Fragment()
    legs = [(leg.id, leg.switch) for leg in router.ports if leg.enabled]
    if router.gateway:
        legs.append((router.gateway.id, router.gateway.switch))
    for leg, switch in legs:
        if switch in view.switches and view.switches[switch].enabled:
            _trust(fragment, names.tap(leg))
    return fragment


def touched_by(router: LogicalRouter) -> set[str]:
    """The switches in which a router has a leg."""
    legs = {leg.switch for leg in router.ports}
    return legs | {router.gateway.switch} if router.gateway else legs


def _trust(fragment: Fragment, tap: str) -> None:
    fragment.add(FROM, tap, data="accept")
    fragment.add(TO, tap, data="accept")


def passes(view: HostView, port: LogicalPort) -> bool:
    """Whether anything at all may pass: it and its network are administratively up."""
    switch = view.switches.get(port.switch)
    return port.enabled and switch is not None and switch.enabled


def _port(firewall: Firewall, view: HostView, id: str) -> Fragment | None:
    port = view.ports.get(id)
    if port is None or not (passes(view, port) and port.port_security):
        firewall.marks.release(id)
        firewall.policies.pop(id, None)
        if port is None or not passes(view, port):
            return None
        fragment = Fragment()
        _trust(fragment, names.tap(id))
        return fragment
    groups = tuple(sorted(port.groups))
    firewall.policies[id] = groups
    return _secured(port, firewall.marks.take(id), policy_name(groups))


def _secured(port: LogicalPort, mark: int, policy: str) -> Fragment:
    tap = names.tap(port.id)
    fragment = Fragment()
    fragment.add(FROM, tap, data="goto from_secured")
    fragment.add(TO, tap, data="goto to_secured")
    fragment.add(MARKS_IN, tap, data=str(mark))
    fragment.add(MARKS_OUT, tap, data=str(mark | _OUT_BIT))
    fragment.add(EGRESS, str(mark), data=f"goto out-{policy}")
    fragment.add(INGRESS, str(mark | _OUT_BIT), data=f"goto in-{policy}")
    for mac, networks in sources(port):
        fragment.add(MACS, tap, mac)
        for network in networks:
            single = network.prefixlen == network.max_prefixlen
            address = str(network.network_address) if single else str(network)
            sets = ["v4"] if network.version == 4 else ["v6", "na"]
            for name in sets:
                fragment.add(Name("bridge", name if single else f"{name}_nets"), tap, mac, address)
    return fragment


def link_local(mac: str) -> str:
    """The address that a host derives from its MAC (RFC 4291, appendix A)."""
    octets = bytearray.fromhex(mac.replace(":", ""))
    octets[0] ^= 2
    return str(
        ipaddress.IPv6Address(bytes.fromhex("fe80000000000000") + bytes(octets[:3]) + b"\xff\xfe" + bytes(octets[3:]))
    )


def sources(port: LogicalPort) -> tuple[tuple[str, tuple[Network, ...]], ...]:
    """What a port may send from: by MAC, the addresses of either family, none within another."""
    return _sources(port.mac, port.addresses, port.pairs)


@lru_cache(maxsize=8192)  # asked anew in every pass, for every port, and reading addresses is slow
def _sources(
    mac: str, addresses: tuple[Address, ...], pairs: tuple[AddressPair, ...]
) -> tuple[tuple[str, tuple[Network, ...]], ...]:
    found: dict[str, set[Network]] = {mac: {ipaddress.ip_network(address.ip) for address in addresses}}
    for pair in pairs:
        found.setdefault(pair.mac or mac, set()).add(ipaddress.ip_network(pair.ip, strict=False))
    for own, networks in found.items():
        networks.add(ipaddress.ip_network(link_local(own)))
    return tuple((own, tuple(collapsed(networks))) for own, networks in found.items())


def collapsed(networks: Iterable[Network]) -> list[Network]:
    """The same addresses without overlaps: interval sets refuse them. Networks of both families."""
    networks = list(networks)
    four = [n for n in networks if isinstance(n, ipaddress.IPv4Network)]
    six = [n for n in networks if isinstance(n, ipaddress.IPv6Network)]
    return [*_without_contained(four), *_without_contained(six)]


def _without_contained(networks: Sequence[Network]) -> list[Network]:
    # unlike ipaddress.collapse_addresses this joins no neighbours, so one address coming or going stays one element
    kept: list[Network] = []
    for network in sorted(set(networks), key=lambda n: (int(n.network_address), n.prefixlen)):
        if not kept or int(network.network_address) > int(kept[-1].broadcast_address):
            kept.append(network)
    return kept


# what ports share: policies (a list of groups), groups, addresses behind remotes


def policy_name(groups: tuple[str, ...]) -> str:
    """The name that the chains of ports with these groups share."""
    return "p-" + hashlib.sha256(",".join(groups).encode()).hexdigest()[:16]


def stateful(view: HostView, groups: Iterable[str]) -> bool:
    """Whether answers to what is allowed are allowed too. Not so when a port's groups are all stateless."""
    known = [view.groups[id].stateful for id in groups if id in view.groups]
    return any(known) or not known


def _share(firewall: Firewall, view: HostView, changed: set[str]) -> None:
    """Render what policies need, if it is new or `changed` (ids of groups and addresses); drop what none needs."""
    rules = firewall.rules
    policies = {policy_name(groups): groups for groups in set(firewall.policies.values())}
    needed = {Owner("policy", name) for name in policies}
    groups = {id for members in policies.values() for id in members}
    needed |= {Owner("group", id) for id in groups}
    for id in groups:
        owner = Owner("group", id)
        if owner not in rules or id in changed:
            firewall.problems.pop(owner, None)
            _put(firewall, owner, _group(firewall, view.groups.get(id) or PortGroup(id, True)))
    remotes = {remote for id in groups if id in view.groups for a in view.groups[id].acls if (remote := remote_of(a))}
    needed |= {Owner("addresses", id) for id in remotes}
    for id in remotes:
        if Owner("addresses", id) not in rules or id in changed:
            _put(firewall, Owner("addresses", id), _addresses(view.addresses.get(id) or AddressSet(id)))
    for name, members in policies.items():
        if Owner("policy", name) not in rules or not changed.isdisjoint(members):
            _put(firewall, Owner("policy", name), _policy(name, members, stateful(view, members)))
    for owner in [o for o in rules if o.kind in ("policy", "group", "addresses") and o not in needed]:
        del rules[owner]
        firewall.problems.pop(owner, None)


def remote_of(acl: Acl) -> str | None:
    return acl.remote_group or acl.remote_addresses


def _policy(name: str, groups: tuple[str, ...], stateful: bool) -> Fragment:
    known = ("ct state vmap { established : accept, related : accept, invalid : drop }",) if stateful else ()
    return Fragment(
        chains={
            Name("inet", f"{short}-{name}"): Chain(
                (*known, f"jump always_{short}", *(f"jump {short}-g-{id}" for id in groups), "drop")
            )
            for short in ("out", "in")
        }
    )


def _group(firewall: Firewall, group: PortGroup) -> Fragment:
    rules: dict[str, list[str]] = {"ingress": [], "egress": []}
    problems = []
    for one in sorted(group.acls, key=lambda a: a.id):
        try:
            rules[one.direction].append(acl.rule(one))
        except ValueError as error:
            problems.append(f"rule {one.id}: {error}")
    if problems:
        firewall.problems[Owner("group", group.id)] = "; ".join(problems)
    return Fragment(
        chains={
            Name("inet", f"in-g-{group.id}"): Chain(tuple(dict.fromkeys(rules["ingress"]))),
            Name("inet", f"out-g-{group.id}"): Chain(tuple(dict.fromkeys(rules["egress"]))),
        }
    )


def _addresses(addresses: AddressSet) -> Fragment:
    fragment = Fragment()
    for version, kind in ((4, "ipv4_addr"), (6, "ipv6_addr")):
        fragment.sets[remote_set(addresses.id, version)] = SetType((kind,), interval=True)
    for text in without_overlap(addresses.addresses):
        fragment.add(remote_set(addresses.id, 6 if ":" in text else 4), text)
    return fragment


def without_overlap(addresses: frozenset[str]) -> Iterable[str]:
    """The same addresses, none within another; those of a group of ports are thousands, and nearly always single."""
    if not any("/" in text for text in addresses):
        return addresses
    networks = collapsed(ipaddress.ip_network(text, strict=False) for text in addresses)
    return [str(n.network_address) if n.prefixlen == n.max_prefixlen else str(n) for n in networks]
