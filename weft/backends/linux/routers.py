"""The routers of this host: reads their namespaces, compares with what `router.render` wants, changes the difference."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from weft.backends.interface import Report, Status
from weft.backends.linux import conntrack, names, neighbours, netlink, netns, nft, router, routes, rules
from weft.backends.linux.announce import Announcement, Announcer
from weft.backends.linux.bfd import Bfd
from weft.backends.linux.links import Address, Change, Create, Delete, Link, Links, diff
from weft.backends.linux.nft import ElementChange, Nft, SetType
from weft.backends.linux.router import Leg, RouterState, Translation
from weft.backends.linux.router_watch import RouterWatch
from weft.logical.model import HostView, Key, LogicalRouter

LOG = logging.getLogger(__name__)

LEG_PREFIXES = ("qr-", "qg-")
_HANDLES = 32
"""Namespaces whose nft handles are open at once (two file descriptors each)."""
_FEW = 256
"""Up to so many elements go to the kernel one by one in one batch; its socket takes no batch of any size."""
_FLOATING = SetType(("ipv4_addr",), "ipv4_addr")


@dataclass(frozen=True, slots=True)
class Made:
    """What this process left in a router's namespace: which namespace that was (inode), and the number of the last nft
    transaction there. While both are the same, nobody has changed a rule."""

    identity: int
    generation: int
    state: RouterState


@dataclass(slots=True)
class Outcome:
    """One router, one pass. `changes`: what had to be changed, in words; drift, where nobody had asked for a change.

    `fresh`: legs that were made or switched on."""

    changes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    announcements: list[Announcement] = field(default_factory=list)
    withdrawn: list[str] = field(default_factory=list)
    fresh: frozenset[str] = frozenset()


class Routers:
    """All routers below one host namespace. Remembers only what saves work: a new one over existing routers adopts them."""

    def __init__(self, host_namespace: str) -> None:
        self._host_namespace = host_namespace
        self._made: dict[str, Made] = {}
        self._owners: dict[str, Key] = {}
        self._announcer = Announcer()
        self._bfd = Bfd()
        self._busy = threading.RLock()
        self._watch: RouterWatch | None = None

    def set(self, desired: HostView, scope: Iterable[Key] | None) -> Report:
        """Make the routers as `desired` says; see `interface.Backend.set`. A router is affected by its own key and by
        those of switches that its legs are on."""
        with self._busy:
            return self._set(desired, None if scope is None else frozenset(scope))

    def _set(self, desired: HostView, scope: frozenset[Key] | None) -> Report:
        report = Report()
        host, tables = Links(self._host_namespace), _Tables()
        try:
            for router_id in sorted(self._unwanted(desired, scope)):
                self._remove(router_id, host, report)
            for one in desired.routers.values():
                if scope is None or not scope.isdisjoint(_touches(one)):
                    self._converge(one, host, tables, report)
        finally:
            host.close()
            tables.close()
        return report

    def names(self) -> Iterable[str]:
        """The links in the host namespace that are ours."""
        return tuple(self._owners)

    def owner(self, link: str) -> Key | None:
        """The router whose leg the link of that name is."""
        return self._owners.get(link)

    def watch(self, report: Callable[[Iterable[Key]], None]) -> None:
        """Report, from a thread, routers in whose namespaces somebody else changed something, or took the name away."""
        with self._busy:
            if self._watch is None:
                self._bfd.watch(lambda id_: report([Key("router", id_)]))
                self._watch = RouterWatch(self._busy, lambda ids: report([Key("router", id_) for id_ in ids]))
                for router_id, made in self._made.items():
                    self._listen(router_id, made.state.namespace)

    def _listen(self, router_id: str, namespace: str) -> None:
        """What has changed there so far is known, and done by us."""
        if self._watch and netns.exists(namespace):
            try:
                self._watch.settle(router_id, namespace)
            except OSError as error:
                LOG.warning("what others change in %s is only found by full passes: %s", namespace, error)

    def transacted(self, router_id: str, before: int, after: int) -> None:
        """A part of ours other than this one ran a transaction of nft in the router's namespace: nobody else did."""
        with self._busy:
            made = self._made.get(router_id)
            if made is not None and (made.generation, after) == (before, before + 1):
                self._made[router_id] = replace(made, generation=after)

    def close(self) -> None:
        """Stop threads; namespaces, links and rules stay."""
        self._announcer.close()
        self._bfd.close()
        if self._watch:
            self._watch.close()

    def _unwanted(self, desired: HostView, scope: frozenset[Key] | None) -> frozenset[str]:
        if scope is not None:
            return frozenset(key.id for key in scope if key.kind == "router").difference(desired.routers)
        prefix = names.router_prefix(self._host_namespace)
        found = [name.removeprefix(prefix) for name in netns.names() if name.startswith(prefix)]
        return frozenset([*found, *self._made]).difference(desired.routers)

    def _remove(self, router_id: str, host: Links, report: Report) -> None:
        """The host's ends of the legs go first: a socket that is still open inside would keep the namespace and them."""
        name = names.router_namespace(self._host_namespace, router_id)
        made = self._made.pop(router_id, None)
        self._bfd.set(router_id, name, {})
        if self._watch:
            self._watch.drop(router_id)
        taps = {leg.tap for leg in made.state.legs.values()} if made else set()
        try:
            if netns.exists(name):
                taps |= {names.TAP_PREFIX + leg[3:] for leg in _dump(name) if leg.startswith(LEG_PREFIXES)}
            failed = host.apply([Delete(tap) for tap in sorted(taps)])
            if failed:
                raise OSError("; ".join(f"{tap}: {reason}" for tap, reason in failed.items()))
            netns.delete(name)
        except OSError as error:
            report.failed[Key("router", router_id)] = f"cannot be removed: {error}"
        self._announcer.withdraw(name)
        self._own(router_id, ())

    def _own(self, router_id: str, taps: Iterable[str]) -> None:
        key = Key("router", router_id)
        self._owners = {tap: owner for tap, owner in self._owners.items() if owner != key} | dict.fromkeys(taps, key)

    def _converge(self, wanted: LogicalRouter, host: Links, tables: _Tables, report: Report) -> None:
        before = self._made.pop(wanted.id, None)
        outcome = Outcome()
        try:
            state = router.render(wanted, self._host_namespace, self._bfd.dead(wanted.id))
            self._own(wanted.id, (leg.tap for leg in state.legs.values()))
            if self._watch and self._watch.restore(wanted.id):
                outcome.changes.append("its namespace had lost its name")
            self._made[wanted.id] = _make(state, before, host, tables, outcome)
        except (OSError, ValueError, nft.NftError) as error:
            outcome.failures.append(str(error))
        else:
            if outcome.fresh:  # sockets of a leg that is gone hear nothing
                self._bfd.set(wanted.id, state.namespace, {})
            self._bfd.set(wanted.id, state.namespace, state.sessions)
            self._announcer.announce(state.namespace, outcome.announcements, outcome.withdrawn)
            report.status[wanted.key] = _status(state)
            if before is not None and before.state == state:
                report.drift += [f"router {wanted.id}: {change}" for change in outcome.changes]
        self._listen(wanted.id, names.router_namespace(self._host_namespace, wanted.id))
        if outcome.failures:
            report.failed[wanted.key] = "; ".join(outcome.failures)
            report.status[wanted.key] = Status(False, report.failed[wanted.key])


def _status(state: RouterState) -> Status:
    if not state.enabled:
        return Status(False, "the router is administratively down")
    return Status(True, "; ".join(state.problems))


def _touches(one: LogicalRouter) -> list[Key]:
    return [one.key, *(Key("switch", leg.switch) for leg in one.legs)]


def _dump(namespace: str) -> dict[str, Link]:
    links = Links(namespace)
    try:
        return links.dump()
    finally:
        links.close()


class _Tables:
    """The nft handles of one pass. Closing one waits until the kernel has freed what its transaction replaced (some 10 ms),
    so that they are closed together, when that is done."""

    def __init__(self) -> None:
        self._open: list[Nft] = []

    def open(self, namespace: str) -> Nft:
        if len(self._open) == _HANDLES:
            self.close()
        self._open.append(Nft(namespace))
        return self._open[-1]

    def close(self) -> None:
        while self._open:
            self._open.pop().close()


def _make(state: RouterState, before: Made | None, host: Links, tables: _Tables, outcome: Outcome) -> Made:
    """Rules before links: a leg that is up without them would let tenants out untranslated. Connections last: one that
    begins meanwhile is translated by the new rules already."""
    namespace = state.namespace
    created = netns.create(namespace)
    changed = netns.set_sysctls(namespace, router.SYSCTLS)
    if created:
        outcome.changes.append("its namespace was missing")
    else:
        outcome.changes += [f"{key} was not {router.SYSCTLS[key]}" for key in changed]
    identity = netns.identity(namespace)
    if before is not None and before.identity != identity:
        before = None
    generation = _set_table(state, before, tables.open(namespace), outcome)
    inside, sock = Links(namespace), netlink.Socket(namespace, netlink.ROUTE)
    try:
        outcome.fresh = frozenset(_set_legs(state, inside, host, outcome))
        _set_addresses(state, inside, outcome.fresh, outcome)
        _set_routes(state, inside, sock, outcome)
        netns.set_sysctls(namespace, router.neighbour_settings(state))
    finally:
        inside.close()
        sock.close()
    if not created:
        changed_ips = None if before is None else changed_meaning(before.state.translation, state.translation)
        if changed_ips is None or changed_ips:
            conntrack.clean(namespace, state.translation, changed_ips)
    return Made(identity, generation, state)


def changed_meaning(old: Translation, new: Translation) -> frozenset[str]:
    """The external addresses that stand for something else than before. Pure."""
    inward = {ip for ip in {*old.inward, *new.inward} if old.inward.get(ip) != new.inward.get(ip)}
    forwardings = {
        ip for ip in {*old.forwardings, *new.forwardings} if old.forwardings.get(ip) != new.forwardings.get(ip)
    }
    gateways = set(old.snat_ips) - set(new.snat_ips)
    return frozenset(inward | forwardings | gateways)


def _set_table(state: RouterState, before: Made | None, tables: Nft, outcome: Outcome) -> int:
    """One transaction at most. Without knowing exactly what is there, the whole table is put in place at once."""
    if before is None or tables.generation() != before.generation:
        if before is not None:
            outcome.changes.append("somebody changed its nft rules")
        tables.run(router.table(state))
    else:
        floating = _floating_changes(before.state, state)
        if floating is not None and len(floating) <= _FEW:
            tables.elements(floating)
        else:
            tables.run(router.table_changes(before.state, state))
    return tables.generation()


def _floating_changes(old: RouterState, new: RouterState) -> list[ElementChange] | None:
    """The difference, if it is in the maps of floating IPs only; None otherwise."""
    simple = ("floating_in", "floating_out")
    if old.chains != new.chains or any(old.elements[m] != new.elements[m] for m in new.elements if m not in simple):
        return None
    pairs = [(name, old.elements[name], new.elements[name]) for name in simple]
    gone = [(n, k, was[k], False) for n, was, now in pairs for k in was if now.get(k) != was[k]]
    come = [(n, k, now[k], True) for n, was, now in pairs for k in now if was.get(k) != now[k]]
    return [ElementChange("inet", "weft", n, _FLOATING, (key,), value, add) for n, key, value, add in gone + come]


def _set_legs(state: RouterState, inside: Links, host: Links, outcome: Outcome) -> set[str]:
    """Make both ends of each leg. Returns the legs whose neighbours have to hear where its addresses are."""
    here = inside.dump()
    taps = host.get(leg.tap for leg in state.legs.values())
    strays = [name for name in here if name.startswith(LEG_PREFIXES) and name not in state.legs]
    half = [leg for leg in state.legs.values() if leg.name in here and not _whole(leg, here, taps)]
    torn = [leg for leg in state.legs.values() if leg.name not in here and leg.tap in taps]
    missing = [leg for leg in state.legs.values() if leg.name not in here or leg in half]
    outcome.changes += [f"{name} was there" for name in strays] + [f"{leg.name} was missing" for leg in missing]
    _apply(inside, [Delete(name) for name in strays] + [Delete(leg.name) for leg in half], outcome)
    gone = {leg.tap for leg in half + torn}
    _apply(host, [Delete(leg.tap) for leg in torn], outcome)
    known = {name: link for name, link in taps.items() if name not in gone}
    outer = diff(known, (_outer(leg, state.namespace) for leg in state.legs.values()))
    outcome.changes += [f"{change.name} was not as it should be" for change in outer if not isinstance(change, Create)]
    _apply(host, outer, outcome)
    if missing:
        here = inside.dump()
    present = [leg for leg in state.legs.values() if leg.name in here]
    inner = diff(here, (Link(leg.name, mtu=leg.mtu, up=leg.up) for leg in present))
    outcome.changes += [f"{c.name} was not as it should be" for c in inner if c.name not in {m.name for m in missing}]
    _apply(inside, inner, outcome)
    return {leg.name for leg in missing} | {leg.name for leg in present if leg.up and not here[leg.name].up}


def _whole(leg: Leg, here: Mapping[str, Link], taps: Mapping[str, Link]) -> bool:
    """Whether both ends are there, with the right MAC (a change would leave the old link-local address behind)."""
    return leg.tap in taps and here[leg.name].kind == "veth" and here[leg.name].mac == leg.mac


def _outer(leg: Leg, namespace: str) -> Link:
    return Link(
        leg.tap,
        kind="veth",
        mtu=leg.mtu,
        up=True,
        master=leg.bridge,
        peer=(namespace, leg.name),
        peer_mac=leg.mac,
    )


def _apply(links: Links, changes: Iterable[Change], outcome: Outcome) -> None:
    outcome.failures += [f"{name}: {reason}" for name, reason in links.apply(list(changes)).items()]


def _set_addresses(state: RouterState, inside: Links, fresh: frozenset[str], outcome: Outcome) -> None:
    wanted = [
        Address(leg.name, cidr) for leg in state.legs.values() for cidr in (*leg.addresses, *sorted(leg.floating))
    ]
    actual = {a for a in inside.addresses() if a.link in state.legs and not a.cidr.startswith("fe80:")}
    add = [address for address in wanted if address not in actual]
    remove = actual - set(wanted)
    outcome.changes += [f"{a.link} had no address {a.cidr}" for a in add if a.link not in fresh]
    outcome.changes += [f"{a.link} had the address {a.cidr}" for a in remove]
    failed = inside.change_addresses(add, remove)
    outcome.failures += [f"{address.cidr} on {address.link}: {reason}" for address, reason in failed.items()]
    new = set(add)
    outcome.withdrawn = [a.cidr.partition("/")[0] for a in remove]
    outcome.announcements += [
        Announcement(a.link, state.legs[a.link].mac, a.cidr.partition("/")[0])
        for a in wanted
        if ":" not in a.cidr and state.legs[a.link].up and (a in new or a.link in fresh)
    ]


def _set_routes(state: RouterState, inside: Links, sock: netlink.Socket, outcome: Outcome) -> None:
    indexes = {name: link.index for name, link in inside.dump().items()}
    legs = {index: name for name, index in indexes.items()}
    actual = routes.read(sock, legs)
    replace = {to: hops for to, hops in state.routes.items() if actual.get(to) != hops}
    remove = [to for to in actual if to not in state.routes]
    outcome.changes += [f"the route to {to} was not as it should be" for to in [*replace, *remove]]
    outcome.failures += routes.change(sock, replace, remove, indexes)
    ruled = rules.read(sock)
    outcome.changes += [f"a routing rule of IPv{version} was not as it should be" for version, _ in ruled ^ state.rules]
    outcome.failures += rules.change(sock, state.rules - ruled, ruled - state.rules)
    proxied = neighbours.read(sock, legs)
    outcome.changes += [f"{leg} did not answer for {ip}" for leg, ip in state.proxied - proxied]
    outcome.changes += [f"{leg} answered for {ip}" for leg, ip in proxied - state.proxied]
    outcome.failures += neighbours.change(sock, state.proxied - proxied, proxied - state.proxied, indexes)
