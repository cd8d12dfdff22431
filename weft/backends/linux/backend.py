"""The Linux backend: reads what is, compares, applies. The only file that decides order."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from weft.backends.interface import Binding, HostFacts, Report, Status, Unbound
from weft.backends.linux import bind, firewall, flows, judge, links, names, netns, qos, switches, trunks
from weft.backends.linux.capabilities import CAPABILITIES
from weft.backends.linux.host import Host, Open
from weft.backends.linux.links import Delete, Link
from weft.backends.linux.metering import Meters
from weft.backends.linux.monitor import Monitor
from weft.backends.linux.nft import NftError
from weft.backends.linux.parts import Responder, Routers
from weft.backends.linux.ruleset import Owner
from weft.backends.linux.switches import Switch
from weft.backends.linux.tables import Tables
from weft.config import Config, NetworkLog
from weft.logical.model import HostView, Key, Kind, LogicalPort, Segment

_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class _Pass:
    """One call of `set` on its way: what it looks at, what it found, what it will report."""

    desired: HostView
    scope: frozenset[Key] | None
    report: Report = field(default_factory=Report)
    switches: dict[str, Switch] = field(default_factory=dict)
    ports: dict[str, LogicalPort] = field(default_factory=dict)
    actual: dict[str, Link] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)  # by name of link
    limits: NetworkLog | None = None  # of what is logged
    unfiltered: str = ""  # why the firewall could not be loaded
    parents: set[str] = field(default_factory=set)  # ports whose trunks this pass looks at
    unsplit: dict[str, str] = field(default_factory=dict)  # by device, why a trunk's tags do not come and go
    unshaped: dict[str, str] = field(default_factory=dict)  # by tap, why its bandwidth is not limited

    @property
    def full(self) -> bool:
        return self.scope is None


class LinuxBackend:
    """Networks, ports and security groups of this host by bridges and nftables; routers and DHCP by what is plugged in."""

    name = "linux"
    capabilities = CAPABILITIES
    qos = qos.RULES

    def __init__(self, config: Config, routers: Routers | None = None, responder: Responder | None = None) -> None:
        self._config = config.linux
        self._namespace = config.linux.namespace
        self._routers = routers
        self._responder = responder
        self._lock = threading.RLock()
        self._host = Host(config.linux.namespace, config.network_log)
        self._monitor: Monitor | None = None
        self._report: Callable[[Iterable[Key]], None] | None = None
        self._keys: frozenset[Key] = frozenset()  # all that is wanted; the view itself is its owner's to change
        self._made: dict[str, Link] = {}  # what links were made to be
        self._seen: dict[str, Link] = {}  # what they were after the last look
        self._owners: dict[str, Key] = {}  # link -> what it is of
        self._ports: dict[str, LogicalPort] = {}  # as of the last call
        self._complete = False  # one full pass was made

    def bind(self, port: Mapping[str, Any], segments: Sequence[Segment], facts: HostFacts) -> Binding | Unbound:
        """A bridge port, or why not."""
        return bind.bind(port, segments, facts)

    def meters(self) -> Meters:
        """What counts in the routers of this host."""
        return Meters(self._namespace, self._routers.transacted if self._routers else lambda *_: None)

    def close(self) -> None:
        """Stop threads and close sockets; packets go on."""
        if self._monitor:
            self._monitor.close()
        with self._lock:
            self._monitor = None
            for part in (self._routers, self._responder):
                if part:
                    part.close()
            self._host.close()

    def watch(self, report: Callable[[Iterable[Key]], None]) -> None:
        """Report keys whose links changed by themselves; and all of them when the firewall or namespace was touched."""
        with self._lock:
            self._report = report
            if self._routers:
                self._routers.watch(report)
            self._listen()
            if self._routers:
                self._routers.watch(report)

    def _listen(self) -> None:
        if self._report and self._host.open and not self._monitor:
            self._monitor = Monitor(self._namespace, self._links_changed, self._look)

    # converge

    def set(self, desired: HostView, scope: Iterable[Key] | None) -> Report:
        """See Backend.set. A scoped call becomes a full pass when somebody else touched the firewall or the namespace."""
        with self._lock:
            this = _Pass(desired, None if scope is None else frozenset(scope))
            try:
                self._converge(this, self._enter(this))
            except (OSError, NftError) as error:
                _LOG.warning("namespace %s: %s", self._namespace, error)
                self._fail_all(this, str(error))
            return this.report

    def _fail_all(self, this: _Pass, reason: str) -> None:
        keys = this.scope if this.scope is not None else _keys(this.desired)
        for key in keys:
            this.report.failed.setdefault(key, reason)
            if key.kind in ("port", "router"):
                this.report.status[key] = Status(False, reason)

    def _enter(self, this: _Pass) -> Open:
        """Have the namespace; make `this` a full pass if there is reason to doubt what we know of it."""
        before = self._host.open
        kernel, drift = self._host.enter(settle=this.full)
        if kernel is not before:
            self._made, self._seen, self._complete = {}, {}, False
            if self._monitor:
                self._monitor.close(wait=False)  # it may be waiting for our lock
                self._monitor = None
        self._listen()
        this.report.drift += drift
        if drift or not self._complete or kernel.tables.disturbed():
            this.scope = None
        return kernel

    def _converge(self, this: _Pass, kernel: Open) -> None:
        tables = kernel.tables
        self._choose(this)
        this.actual = kernel.links.dump() if this.full else kernel.links.get(_names(this, self._owners))
        self._switch(this, kernel)
        this.limits = kernel.packets.limits(this.desired)
        judged = self._filter(this, tables)
        if kernel.packets.problem:
            this.report.failed |= judge.unlogged(this.desired, this.scope, kernel.packets.problem)
        if self._routers:
            _merge(this.report, self._routers.set(this.desired, this.scope))
        if tables.loaded:
            self._split(this, kernel)
            self._attach(this, kernel)
            self._shape(this, kernel)
        if self._responder:
            _merge(this.report, self._responder.update(this.desired, this.scope))
        if judged is not None:
            flows.end(kernel.conntrack, judged.zones, judged.may_go_on)
        self._prune(this, kernel)
        self._remember(this, kernel)
        self._judge_ports(this)
        if this.full and not this.unfiltered:
            self._complete = True

    def _choose(self, this: _Pass) -> None:
        """Which switches and ports this pass looks at."""
        view, scope = this.desired, this.scope
        if scope is None:
            chosen, this.ports = set(view.switches), dict(view.ports)
        else:
            chosen = {key.id for key in scope if key.kind == "switch" and key.id in view.switches}
            asked = {key.id for key in scope if key.kind == "port"}
            this.parents = trunks.parents(asked, self._ports, view.ports)
            asked |= this.parents | {id for id, port in view.ports.items() if port.parent in this.parents}
            this.ports = {id: view.ports[id] for id in asked if id in view.ports}
            if chosen:
                this.ports |= {id: port for id, port in view.ports.items() if port.switch in chosen}
            chosen |= {port.switch for port in this.ports.values()}
            routers = (view.routers[key.id] for key in scope if key.kind == "router" and key.id in view.routers)
            chosen |= {switch for router in routers for switch in firewall.touched_by(router)}
        for id in sorted(chosen & view.switches.keys()):
            this.switches[id] = switches.render(view.switches[id], self._config)

    def _switch(self, this: _Pass, kernel: Open) -> None:
        """Bridges and what carries them elsewhere."""
        wanted = []
        for switch in this.switches.values():
            for link in switch.links:
                if not link.kind and link.name not in this.actual:
                    this.failed[link.name] = f"interface {link.name} is not in namespace {self._namespace or '(own)'}"
                else:
                    wanted.append(link)
        self._apply(this, kernel, wanted)
        for id, switch in this.switches.items():
            reasons = [switch.problem, *(judge.network_link(link, this.failed) for link in switch.links)]
            if any(reasons):
                this.report.failed[Key("switch", id)] = "; ".join(reason for reason in reasons if reason)

    def _split(self, this: _Pass, kernel: Open) -> None:
        """Devices of trunks' sub-ports: these are ours to make, and lead to their parents'."""
        parts = trunks.parts(this.ports.values(), this.desired)
        devices = {names.tap(id) for id in this.parents}
        devices |= {names.sub(key.id) for key in this.scope or () if key.kind == "port"} & this.actual.keys()
        if this.full or parts or devices:
            outcome = kernel.trunks.set(parts, devices, this.actual, kernel.links, this.full)
            this.unsplit = outcome.failed
            this.report.drift += outcome.drift

    def _attach(self, this: _Pass, kernel: Open) -> None:
        """Workloads' devices onto their bridges."""
        wanted = [
            link
            for port in this.ports.values()
            if port.switch in this.switches
            and (link := switches.attached(port, this.desired.switches[port.switch])).name in this.actual
        ]
        self._apply(this, kernel, wanted)

    def _shape(self, this: _Pass, kernel: Open) -> None:
        """The bandwidth of workloads, and the devices that their packets are sent round by."""
        nothing: qos.Shape = {}
        wanted = {names.tap(key.id): nothing for key in this.scope or () if key.kind == "port"}
        if this.full:
            taps = {name for name in this.actual if name.startswith(names.TAP_PREFIX)}
            devices = (link.name for link in this.actual.values() if link.kind == "ifb")
            wanted |= dict.fromkeys(taps | {tap for name in devices if (tap := names.tap_beside(name))}, nothing)
        beside = []
        for port in this.ports.values():
            tap, switch = names.tap(port.id), this.desired.switches.get(port.switch)
            if switch and tap in this.actual:
                wanted[tap] = qos.shape(port, switch.mtu)
                beside += [Link(names.beside(tap, way), kind="ifb", mtu=switch.mtu, up=True) for way in wanted[tap]]
        if not this.full and not any(wanted.values()) and not kernel.shaper.knows(wanted):
            return
        self._apply(this, kernel, beside)
        actual = this.actual | kernel.links.get(link.name for link in beside)
        outcome = kernel.shaper.set(wanted, actual, kernel.links, this.full)
        unmade = {names.tap_beside(link.name): this.failed[link.name] for link in beside if link.name in this.failed}
        this.unshaped = outcome.failed | unmade
        this.report.drift += outcome.drift
        for name in outcome.removed:
            self._made.pop(name, None)

    def _apply(self, this: _Pass, kernel: Open, wanted: Sequence[Link]) -> None:
        changes = links.diff(this.actual, wanted)
        if self._complete and this.full:
            by_name = {link.name: link for link in wanted}
            kept = [change for change in changes if self._made.get(change.name) == by_name[change.name]]
            this.report.drift += [judge.drift(change, this.actual) for change in kept if not isinstance(change, Delete)]
        this.failed |= kernel.links.apply(changes)
        self._made |= {link.name: link for link in wanted if link.name not in this.failed}
        if not self._namespace:
            self._without_ipv6({link.name for link in wanted} - this.failed.keys())

    def _without_ipv6(self, devices: Iterable[str]) -> None:
        """Only in a namespace that is not ours alone: in ours it is the default of new devices."""
        for device in devices:
            if device.startswith((names.BRIDGE_PREFIX, names.TAP_PREFIX, names.VXLAN_PREFIX)):
                with contextlib.suppress(FileNotFoundError):  # one of less than 1280 octets has none
                    netns.set_sysctls(self._namespace, {f"net/ipv6/conf/{device}/disable_ipv6": 1})

    def _filter(self, this: _Pass, tables: Tables) -> flows.Judge | None:
        """The firewall; returns who is to judge established connections, if any may have lost their permission."""
        try:
            if this.scope is None:
                return self._filter_all(this, tables)
            owners = [Owner(key.kind, key.id) for key in this.scope]
            owners += [Owner("switch", id) for id in this.switches if Owner("switch", id) not in _rules(tables)]
            new, touched = firewall.update(_loaded(tables), this.desired, owners, this.limits)
            old = _loaded(tables)
            removes = tables.change(new, touched).removes
            self._note_problems(this, new)
            return flows.Judge.after(this.desired, old, new, self._ports, this.scope) if removes else None
        except NftError as error:
            return self._filter_failed(this, tables, error)

    def _filter_all(self, this: _Pass, tables: Tables) -> flows.Judge:
        new = firewall.render(this.desired, tables.zones(), this.limits)
        old = tables.loaded
        if old is not None and not tables.disturbed():
            tables.change(new, [o for o in old.rules.keys() | new.rules.keys() if old.rules.get(o) != new.rules.get(o)])
        else:
            if old is not None:
                this.report.drift += tables.drift()
            tables.load(new)
        self._note_problems(this, new)
        return flows.Judge.after(this.desired, old or new, new, self._ports, None)

    def _filter_failed(self, this: _Pass, tables: Tables, error: NftError) -> flows.Judge | None:
        """A change that the kernel refuses may still be part of a rule set that it takes whole."""
        if this.scope is not None:
            _LOG.warning("firewall: %s; loading all of it", error)
            try:
                return self._filter_all(this, tables)
            except NftError as second:
                error = second
        this.unfiltered = f"its filter could not be loaded: {error}"
        for key in this.scope if this.scope is not None else _keys(this.desired):
            if key.kind != "router":
                this.report.failed[key] = str(error)
        return None

    def _note_problems(self, this: _Pass, rules: firewall.Firewall) -> None:
        for owner, problem in rules.problems.items():
            key = Key("group", owner.id)
            if this.scope is None or key in this.scope:
                this.report.failed[key] = problem

    def _prune(self, this: _Pass, kernel: Open) -> None:
        """Remove what networks were made of that this host does not need any more."""
        gone = {key for key in this.scope or () if key.kind == "switch" and key.id not in this.desired.switches}
        if not this.full and not gone:
            return
        known = [name for name, owner in self._owners.items() if owner in gone]
        actual = this.actual if this.full else kernel.links.get(known)
        wanted = {link.name for switch in this.switches.values() for link in switch.links}
        unwanted = switches.made_here(actual, self._config.bridge_mappings) - wanted
        for name, reason in kernel.links.apply([Delete(name) for name in sorted(unwanted)]).items():
            _LOG.warning("%s cannot be removed: %s", name, reason)
        for name in unwanted:
            for remembered in (self._made, self._seen, self._owners):
                remembered.pop(name, None)

    def _remember(self, this: _Pass, kernel: Open) -> None:
        """Look again, and keep it, so that the monitor can tell our own changes from others'."""
        looked_at = _names(this, self._owners)
        # one by one: that has the kernel finish what it delays for up to a second, bridge ports that start to forward
        found = kernel.links.get(looked_at)
        if this.full:
            self._seen, self._owners, self._ports = {}, {}, {}
        for name in looked_at:
            self._seen.pop(name, None)
        self._seen |= {name: found[name] for name in looked_at if name in found}
        for id, switch in this.switches.items():
            self._owners |= {link.name: Key("switch", id) for link in switch.links}
        for key in this.scope or ():
            if key.kind == "port":
                self._ports.pop(key.id, None)
                for name in (names.tap(key.id), *_beside(key.id)):
                    self._owners.pop(name, None)
        for id, port in this.ports.items():
            self._owners |= dict.fromkeys((names.tap(id), *_beside(id, port)), Key("port", id))
        self._ports |= this.ports
        if this.scope is None:
            self._keys = _keys(this.desired)
        else:
            self._keys = self._keys - this.scope | {key for key in this.scope if key.id in this.desired.of(key.kind)}

    def _judge_ports(self, this: _Pass) -> None:
        for id, port in this.ports.items():
            key, tap = Key("port", id), names.tap(id)
            this.report.status[key] = status = self._status(this, port)
            if status.up and tap in this.unshaped:
                reason = f"its bandwidth is not limited as its QoS policy says: {this.unshaped[tap]}"
                this.report.status[key], this.report.failed[key] = Status(True, reason), reason
            if tap in this.failed:
                this.report.failed[key] = this.failed[tap]
            elif not status.up and tap in self._seen and tap not in this.actual:
                this.report.failed[key] = f"device {tap} came while this pass was on its way"
            elif port.parent and this.unsplit.keys() & {names.tap(port.parent), names.sub(id), tap}:
                this.report.failed[key] = status.reason

    def _status(self, this: _Pass, port: LogicalPort) -> Status:
        tap, switch = names.tap(port.id), this.desired.switches.get(port.switch)
        incomplete = this.report.failed.get(Key("switch", port.switch))
        troubles = (
            this.unfiltered,
            f"device {tap} cannot be attached: {this.failed[tap]}" if tap in this.failed else "",
            f"its network is not complete on this host: {incomplete}" if incomplete else "",
            judge.part(port, this.desired.ports.get(port.parent), this.actual, this.unsplit),
        )
        reason = judge.port(port, switch, self._seen.get(tap), self._namespace, next(filter(None, troubles), ""))
        return Status(not reason, reason)

    # hear

    def _links_changed(self, heard: frozenset[str] | None) -> None:
        with self._lock:
            kernel, report = self._host.open, self._report
            if not kernel or not report:
                return
            known = [name for name in self._owners if heard is None or name in heard]
            now = kernel.links.get(known)
            keys = {self._owners[name] for name in known if now.get(name) != self._seen.get(name)}
            for name in self._routers.names() if self._routers else ():
                owner = self._routers.owner(name) if self._routers and (heard is None or name in heard) else None
                if owner is not None:
                    keys.add(owner)
        if keys:
            report(keys)

    def _look(self) -> None:
        if not self._lock.acquire(blocking=False):
            return  # a pass is on its way; it looks by itself
        try:
            kernel, report = self._host.open, self._report
            if not kernel or not report or not self._complete:
                return
            if not self._host.lost() and not kernel.tables.disturbed():
                return
            keys = self._keys
        finally:
            self._lock.release()
        report(keys)


def _keys(view: HostView) -> frozenset[Key]:
    kinds: tuple[Kind, ...] = ("switch", "port", "router", "group", "addresses")
    return frozenset(Key(kind, id) for kind in kinds for id in view.of(kind))


def _names(this: _Pass, known: Iterable[str]) -> set[str]:
    """The links that this pass looks at; of the devices beside taps those `known`, or wanted."""
    found = {names.tap(id) for id in this.ports}
    found |= {names.tap(key.id) for key in this.scope or () if key.kind == "port"}
    asked = (key.id for key in this.scope or () if key.kind == "port")
    found |= {name for port in this.ports.values() for name in _beside(port.id, port)}
    found |= {name for id in asked for name in _beside(id)} & set(known)
    found |= {names.tap(id) for id in this.parents}
    found |= {names.sub(key.id) for key in this.scope or () if key.kind == "port" and this.parents}
    found |= {names.sub(id) for id, port in this.ports.items() if port.parent}
    for switch in this.switches.values():
        found |= {link.name for link in switch.links}
    return found


def _beside(id: str, port: LogicalPort | None = None) -> Iterable[str]:
    """The devices beside a port's tap: all that there may be, or those that the port wants."""
    ways = names.BESIDE_PREFIX if port is None else qos.shape(port, 0)
    return (names.beside(names.tap(id), way) for way in ways)


def _rules(tables: Tables) -> Mapping[Owner, Any]:
    return _loaded(tables).rules


def _loaded(tables: Tables) -> firewall.Firewall:
    if tables.loaded is None:
        raise RuntimeError("no rule set is loaded")
    return tables.loaded


def _merge(report: Report, other: Report) -> None:
    report.status |= other.status
    report.failed |= other.failed
    report.drift += other.drift
