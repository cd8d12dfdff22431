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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from weft.backends.linux import acl, local_ips, logs, names, pvlan, qos
from weft.backends.linux.acl import remote_set
from weft.backends.linux.nft import SetType
from weft.backends.linux.pipeline import (
    CHAINS,
    EGRESS,
    FROM,
    INGRESS,
    LARGEST_MARK,
    LARGEST_ZONE,
    MACS,
    MARKS_IN,
    MARKS_OUT,
    OUT_BIT,
    SETS,
    TO,
    ZONES,
)
from weft.backends.linux.ruleset import Chain, Fragment, Name, Owner, Ruleset
from weft.backends.linux.sources import sources, without_overlap
from weft.config import NetworkLog
from weft.logical.model import Acl, AddressSet, HostView, Log, LogicalPort, LogicalRouter, PortGroup

STATIC = Owner("static", "")
LOCAL_IPS, PVLAN = Owner("local_ips", ""), Owner("pvlan", "")


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
    that each secured port follows; `local`: ports that local IPs lead to; `problems`: what could not be rendered as asked,
    by owner. `limits` of what is logged; None: nothing is.
    """

    rules: Ruleset = field(default_factory=dict)
    marks: Numbers = field(default_factory=lambda: Numbers(LARGEST_MARK))
    zones: Numbers = field(default_factory=lambda: Numbers(LARGEST_ZONE))
    policies: dict[str, tuple[str, ...]] = field(default_factory=dict)
    local: set[str] = field(default_factory=set)
    problems: dict[Owner, str] = field(default_factory=dict)
    limits: NetworkLog | None = None

    def copy(self) -> Firewall:
        return Firewall(
            dict(self.rules),
            self.marks.copy(),
            self.zones.copy(),
            dict(self.policies),
            set(self.local),
            dict(self.problems),
            self.limits,
        )


def render(view: HostView, zones: Mapping[str, int], limits: NetworkLog | None = None) -> Firewall:
    """The rule set of a whole view. `zones`: those in use already, which networks keep (a flow would not survive a change)."""
    firewall = Firewall(rules={STATIC: Fragment(chains=dict(CHAINS), sets=dict(SETS))}, limits=limits)
    bridges = {names.bridge(id) for id in view.switches}
    for bridge in sorted(bridges & zones.keys()):
        firewall.zones.keep(bridge, zones[bridge])
    everything = [
        *(Owner("switch", id) for id in sorted(view.switches)),
        *(Owner("router", id) for id in sorted(view.routers)),
        *(Owner("port", id) for id in sorted(view.ports)),
    ]
    return _update(firewall, view, everything)


def update(
    firewall: Firewall, view: HostView, owners: Iterable[Owner], limits: NetworkLog | None = None
) -> tuple[Firewall, list[Owner]]:
    """The rule set after these owners ("switch", "port", "router", "group", "addresses") changed, and the owners of every
    fragment that may differ from before."""
    new = firewall.copy()
    new.limits = limits
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
    if firewall.local or LOCAL_IPS in firewall.rules:
        _put(firewall, LOCAL_IPS, local_ips.render(view))
    if PVLAN in firewall.rules or any(switch.private for switch in view.switches.values()):
        _put(firewall, PVLAN, pvlan.render(view))
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
    legs += [(one.id, one.switch) for one in router.gateways]
    for leg, switch in legs:
        if switch in view.switches and view.switches[switch].enabled:
            _trust(fragment, names.tap(leg))
    return fragment


def touched_by(router: LogicalRouter) -> set[str]:
    """The switches in which a router has a leg."""
    return {leg.switch for leg in router.legs}


def _trust(fragment: Fragment, tap: str) -> None:
    fragment.add(FROM, tap, data="accept")
    fragment.add(TO, tap, data="accept")


def passes(view: HostView, port: LogicalPort) -> bool:
    """Whether anything at all may pass: it and its network are administratively up."""
    switch = view.switches.get(port.switch)
    return port.enabled and switch is not None and switch.enabled


def _port(firewall: Firewall, view: HostView, id: str) -> Fragment | None:
    port = view.ports.get(id)
    firewall.local.discard(id)
    if port is not None and port.local_ips:
        firewall.local.add(id)
    if port is None or not (passes(view, port) and port.port_security):
        firewall.marks.release(id)
        firewall.policies.pop(id, None)
        if port is None or not passes(view, port):
            return None
        fragment = Fragment()
        _trust(fragment, names.tap(id))
        qos.add_rules(fragment, port)
        return fragment
    groups = tuple(sorted(port.groups))
    firewall.policies[id] = groups
    return _secured(port, firewall.marks.take(id), policy_name(groups))


def _secured(port: LogicalPort, mark: int, policy: str) -> Fragment:
    tap = names.tap(port.id)
    fragment = Fragment()
    qos.add_rules(fragment, port)
    fragment.add(FROM, tap, data="goto from_secured")
    fragment.add(TO, tap, data="goto to_secured")
    fragment.add(MARKS_IN, tap, data=str(mark))
    fragment.add(MARKS_OUT, tap, data=str(mark | OUT_BIT))
    fragment.add(EGRESS, str(mark), data=f"goto out-{policy}")
    fragment.add(INGRESS, str(mark | OUT_BIT), data=f"goto in-{policy}")
    for mac, networks in sources(port):
        fragment.add(MACS, tap, mac)
        for network in networks:
            single = network.prefixlen == network.max_prefixlen
            address = str(network.network_address) if single else str(network)
            sets = ["v4"] if network.version == 4 else ["v6", "na"]
            for name in sets:
                fragment.add(Name("bridge", name if single else f"{name}_nets"), tap, mac, address)
    return fragment


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
    # of a port that is logged alone the mark may be new
    changed |= {id for id in groups if id in view.groups and any(one.port for one in view.groups[id].logs)}
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
            _put(firewall, Owner("policy", name), _policy(firewall, view, name, members))
    for owner in [o for o in rules if o.kind in ("policy", "group", "addresses") and o not in needed]:
        del rules[owner]
        firewall.problems.pop(owner, None)


def remote_of(acl: Acl) -> str | None:
    return acl.remote_group or acl.remote_addresses


def _policy(firewall: Firewall, view: HostView, name: str, groups: tuple[str, ...]) -> Fragment:
    known = ("ct state vmap { established : accept, related : accept, invalid : drop }",)
    fragment = Fragment()
    of = {id: view.groups[id].logs for id in groups if id in view.groups}
    wanted = [one for id in groups for one in of.get(id, ())]
    groups = tuple(sorted(groups, key=lambda id: not of.get(id)))  # who logs is asked before who accepts without a word
    for short in ("out", "in"):
        rules = (*(known if stateful(view, groups) else ()), f"jump always_{short}")
        rules += tuple(f"jump {short}-g-{id}" for id in groups)
        fragment.chains[Name("inet", f"{short}-{name}")] = Chain(
            (*rules, *_logged(firewall, wanted, "DROP", short), "drop")
        )
    return fragment


def _logged(firewall: Firewall, wanted: Iterable[Log], event: str, way: str) -> tuple[str, ...]:
    return tuple(logs.rules(wanted, event, way, firewall.limits, firewall.marks.of)) if firewall.limits else ()


def _group(firewall: Firewall, group: PortGroup) -> Fragment:
    fragment = Fragment()
    problems = []
    for direction, short in (("ingress", "in"), ("egress", "out")):
        verdict, said = "accept", _logged(firewall, group.logs, "ACCEPT", short)
        if said:
            verdict = f"goto {short}-a-{group.id}"
            fragment.chains[Name("inet", f"{short}-a-{group.id}")] = Chain((*said, "accept"))
        rules = []
        for one in sorted((one for one in group.acls if one.direction == direction), key=lambda a: a.id):
            try:
                rules.append(acl.rule(one, verdict))
            except ValueError as error:
                problems.append(f"rule {one.id}: {error}")
        fragment.chains[Name("inet", f"{short}-g-{group.id}")] = Chain(tuple(dict.fromkeys(rules)))
    if problems:
        firewall.problems[Owner("group", group.id)] = "; ".join(problems)
    return fragment


def _addresses(addresses: AddressSet) -> Fragment:
    fragment = Fragment()
    for version, kind in ((4, "ipv4_addr"), (6, "ipv6_addr")):
        fragment.sets[remote_set(addresses.id, version)] = SetType((kind,), interval=True)
    for text in without_overlap(addresses.addresses):
        fragment.add(remote_set(addresses.id, 6 if ":" in text else 4), text)
    return fragment
