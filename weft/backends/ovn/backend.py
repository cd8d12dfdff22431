"""The dataplane of a whole cloud: the Northbound database made equal to the desired network, by what changed or altogether."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from weft.backends.interface import Binding, HostFacts, Report, Status, Unbound
from weft.backends.ovn import bind as rules
from weft.backends.ovn import lives, places, render
from weft.backends.ovn.around import Neighbours
from weft.backends.ovn.capabilities import CAPABILITIES, QOS
from weft.backends.ovn.chassis import Chassis
from weft.backends.ovn.delta import MISSING, Batch
from weft.backends.ovn.idl import Again, Northbound, Refused
from weft.backends.ovn.paired import NONE
from weft.backends.ovn.rows import BELONGING, HOLDERS, ROOTS, Hold, Ref, Row
from weft.backends.ovn.sb import Southbound
from weft.config import Config
from weft.logical.model import HostView, Key, LogicalPort, PortGroup, Segment, Value

LOG = logging.getLogger(__name__)

Keys = set[Key]

AT_ONCE = 1000
"""Objects in one transaction, at most: a server that works on one answers nobody meanwhile."""
SOON = 5.0
"""Seconds in which the database has to answer who only looks."""
MOST_WORDS = 100
"""Differences that a report names one by one."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What was written of one row, as far as it must be known to take it back."""

    ref: Ref
    parent: Hold | None
    members: tuple[Hold, ...]
    entries: Mapping[Hold, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Made:
    """What was written of one object."""

    value: Value | None
    traces: tuple[Trace, ...]


@dataclass(slots=True)
class Picture:
    """All that should be in the database: for what should not."""

    refs: set[Ref] = field(default_factory=set)
    links: dict[Hold, set[Ref]] = field(default_factory=dict)
    entries: dict[Hold, dict[str, str]] = field(default_factory=dict)

    def add(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self.refs.add(row.ref)
            for hold in (row.parent, *row.members):
                if hold is not None:
                    self.links.setdefault(hold, set()).add(row.ref)
            for hold, entries in row.entries.items():
                self.entries.setdefault(hold, {}).update(entries)


class OvnBackend:
    """OVN. `resync` is called, from a thread, when only a full pass can tell what is there."""

    name = "ovn"
    capabilities = CAPABILITIES
    qos = QOS

    def __init__(self, config: Config) -> None:
        self._config = config
        self._northbound = Northbound(config.ovn)
        self._southbound = Southbound(config)
        self._made: dict[Key, Made] = {}
        self._owners: dict[Ref, Key] = {}
        self._others: Keys = set()
        """Objects whose rows somebody else has moved since they were looked at; under the lock of the replica."""
        self._neighbours = Neighbours()
        self._places: places.Places = {}
        self._view = HostView("")
        self.resync: Callable[[], None] = lambda: None

    def bind(self, port: Mapping[str, Any], segments: Sequence[Segment], facts: HostFacts) -> Binding | Unbound:
        return rules.bind(port, segments, facts)

    def watch(self, report: Callable[[Iterable[Key]], None]) -> None:
        def moved(refs: set[Ref]) -> None:
            keys = [self._owners[ref] for ref in refs if ref in self._owners]
            self._others.update(keys)
            report(keys)

        def hosts_moved() -> None:
            report([value.key for value in list(self._view.routers.values()) if value.gateways])
            report([Key("port", id) for id in list(self._neighbours.outside)])

        self._northbound.watch(moved, lambda: self.resync())
        self._southbound.watch(report, hosts_moved)

    def close(self) -> None:
        self._northbound.close()
        self._southbound.close()

    def set(self, desired: HostView, scope: Iterable[Key] | None) -> Report:
        """As Backend.set; raises Unreachable while there is no database to write to."""
        self._northbound.wait()
        self._view = desired
        report = Report()
        with self._northbound.lock:
            if scope is None:
                looked_at = self._everything(desired, report)
            else:
                looked_at = self._some(desired, set(scope), report)
            leads = self._leads(desired, looked_at)
        found = self._southbound.status(desired, looked_at, leads)
        for key in [key for key, status in found.items() if not status.up and self._unbound(desired, key)]:
            if scope is None:
                del found[key]  # there may be thousands of them, and none that was up
            else:
                found[key] = Status(False)
        report.status = found
        return report

    def _leads(self, view: HostView, keys: Iterable[Key]) -> dict[str, str]:
        """Router -> the gateway at whose place its ports are forwarded, as far as it matters."""
        routers = (view.routers[key.id] for key in keys if key.kind == "router" and key.id in view.routers)
        return {value.id: places.lead(value, self._northbound) for value in routers}

    def _unbound(self, view: HostView, key: Key) -> bool:
        """A port that nobody wants to be anywhere: that it is down needs no reason."""
        port = view.ports.get(key.id) if key.kind == "port" else None
        return port is not None and not port.host and not self._neighbours.around(port).parents

    def ping(self) -> None:
        """Let every host show that it lives: one number for all. Raises Unreachable."""
        self._northbound.wait()
        self._northbound.ping()

    def chassis(self) -> list[Chassis]:
        """The hosts that there are, as far as it is known."""
        return self._southbound.chassis()

    # -- what changed

    def _some(self, desired: HostView, scope: Keys, report: Report) -> list[Key]:
        for key in list(scope):
            made = self._made.get(key)
            scope |= self._neighbours.move(made.value if made else None, _value(desired, key))
        if any(key.kind == "router" or key.id in self._neighbours.outside for key in scope):
            scope |= self._place(desired)
        keys = sorted(scope, key=lambda key: (render.ORDER.get(key.kind, 9), key.id))
        for start in range(0, len(keys), AT_ONCE):
            self._send(desired, keys[start : start + AT_ONCE], report, None)
        self._others.difference_update(keys)
        return keys

    def _place(self, desired: HostView) -> Keys:
        """Decide where gateways live, and who answers for ports outside; returns what moves."""
        before, outside = self._places, self._neighbours.outside
        self._places = places.decide(desired, outside, self._southbound, self._northbound, before, self._config)
        moved = {id for id in before.keys() | self._places.keys() if before.get(id) != self._places.get(id)}
        routers = (value for value in desired.routers.values() if any(one.id in moved for one in value.gateways))
        return {value.key for value in routers} | {Key("port", id) for id in outside if lives.EXTERNAL + id in moved}

    # -- everything

    def _everything(self, desired: HostView, report: Report) -> list[Key]:
        self._northbound.sync()
        self._neighbours = Neighbours.of(desired)
        self._place(desired)
        keys = render.keys(desired)
        keys += sorted(self._made.keys() - set(keys))
        picture = Picture()
        for start in range(0, len(keys), AT_ONCE):
            self._send(desired, keys[start : start + AT_ONCE], report, picture)
        self._owners = {trace.ref: key for key, made in self._made.items() for trace in made.traces}
        self._prune(picture, report)
        self._others.clear()
        if len(report.drift) > MOST_WORDS:
            report.drift[MOST_WORDS:] = [f"and {len(report.drift) - MOST_WORDS} more differences"]
        return keys

    def _prune(self, picture: Picture, report: Report) -> None:
        """Take away what is ours and should not be, and put things where they belong."""
        batch = self._stray(picture)
        if len(batch):
            try:
                self._northbound.commit(batch.operations(), batch.touched)
            except Again:
                return self._prune(picture, report)
            report.drift += batch.words

    def _stray(self, picture: Picture) -> Batch:
        """What takes away what is ours and should not be, and puts things where they belong."""
        batch = Batch(self._northbound)
        for ref, row in self._northbound.all():
            if ref not in picture.refs:
                batch.release(ref, row)
                if ref.table in ROOTS:
                    batch.drop(ref, None)
                    continue
            for column in (*HOLDERS.get(ref.table, ()), *BELONGING.get(ref.table, ())):
                self._compare_links(Hold(ref, column), row.value(column), picture, batch)
            if ref.table == "DNS":
                self._compare_entries(Hold(ref, "records"), row.value("records"), picture, batch)
        for ref, row in self._northbound.twins():
            batch.drop_row(ref, row, self._northbound.holder(row))
        return batch

    def _compare_links(self, hold: Hold, actual: frozenset[Any], picture: Picture, batch: Batch) -> None:
        wanted = picture.links.get(hold, set())
        for ref in actual - wanted:
            if not isinstance(ref, Ref):
                continue
            if hold.column in HOLDERS.get(hold.row.table, ()) and ref not in picture.refs:
                batch.drop(ref, hold)
            else:
                batch.unlink(hold, ref)
                batch.words.append(f"{ref.table} {ref.id} was in {hold.row.table} {hold.row.id}")
        for ref in wanted - actual:
            if self._northbound.find(ref):
                batch.link(hold, ref)
                batch.words.append(f"{ref.table} {ref.id} was not in {hold.row.table} {hold.row.id}")

    @staticmethod
    def _compare_entries(hold: Hold, actual: Mapping[str, str], picture: Picture, batch: Batch) -> None:
        wanted = picture.entries.get(hold, {})
        if gone := actual.keys() - wanted.keys():
            batch.take(hold, sorted(gone))
        if come := {key: value for key, value in wanted.items() if actual.get(key) != value}:
            batch.put(hold, come)
        batch.words += [f"{hold.row.table} {hold.row.id}: {key} was wrong" for key in sorted({*gone, *come})]

    # -- looking only

    def compare(self, desired: HostView) -> list[tuple[Key | None, str]]:
        """What a full pass would mend now, in words, each with the object that it is of; None for what should not be there.
        Writes nothing. Raises Unreachable."""
        self._northbound.wait(SOON)
        picture, batch = Picture(), Batch(self._northbound)
        found: list[tuple[Key | None, str]] = []
        with self._northbound.lock:
            self._northbound.sync()
            self._neighbours = Neighbours.of(desired)
            self._place(desired)
            for key in render.keys(desired):
                rows = self._rows(desired, key)
                picture.add(rows)
                before = len(batch.words)
                for row in rows:
                    self._northbound.adopt(row)
                    batch.set(row)
                found += [(key, line) for line in batch.words[before:]]
            return found + [(None, line) for line in self._stray(picture).words]

    # -- one transaction

    def _send(self, desired: HostView, keys: Sequence[Key], report: Report, picture: Picture | None) -> None:
        """Write these objects in one transaction; one that the server refuses is found and left out."""
        batch = Batch(self._northbound)
        made: dict[Key, Made] = {}
        words: dict[Key, list[str]] = {}
        for key in keys:
            rows = self._rows(desired, key)
            if picture is not None:
                picture.add(rows)
                for row in rows:
                    self._northbound.adopt(row)
            missing = batch.missing(rows)
            if missing is not None:
                report.failed[key] = f"{missing.table} {missing.id} is not there yet"
                continue
            before = len(batch.words)
            made[key] = Made(_value(desired, key), self._compare(key, rows, batch))
            words[key] = batch.words[before:]
        self._drop(made, batch, words)
        drift: list[str] = []
        for key, one in made.items():
            if picture is not None or key in self._others:
                drift += self._drift(key, one, words[key])
        try:
            if len(batch):
                self._northbound.commit(batch.operations(), batch.touched)
        except Again:
            self._send(desired, keys, report, picture)
            return
        except Refused as refusal:
            if len(keys) == 1:
                report.failed[keys[0]] = str(refusal)
                return
            middle = len(keys) // 2
            self._send(desired, keys[:middle], report, picture)
            self._send(desired, keys[middle:], report, picture)
            return
        report.drift += drift
        for key, one in made.items():
            self._remember(key, one)
            if any(self._northbound.find(trace.ref) is None for trace in one.traces):
                report.failed[key] = "somebody took it away at once"

    def _rows(self, desired: HostView, key: Key) -> list[Row]:
        value = _value(desired, key)
        if isinstance(value, LogicalPort):
            chassis = self._places.get(lives.EXTERNAL + key.id, ())
            return render.rows(desired, key, self._config, self._neighbours.around(value, chassis))
        paired = self._neighbours.paired.around(value) if isinstance(value, PortGroup) else NONE
        return render.rows(desired, key, self._config, places=self._places, paired=paired)

    def _compare(self, key: Key, rows: Sequence[Row], batch: Batch) -> tuple[Trace, ...]:
        """Add to the batch what makes the object's rows as they should be, also those that were another's so far (a floating
        IP goes from router to router)."""
        old: dict[Key, dict[Ref, Trace]] = {}
        for row in rows:
            owner = self._owners.get(row.ref, key)
            if owner not in old:
                old[owner] = {one.ref: one for one in self._made[owner].traces} if owner in self._made else {}
            was = old[owner].get(row.ref)
            batch.set(row)
            if was is not None:
                _move(was, row, batch)
        return tuple(Trace(row.ref, row.parent, row.members, row.entries) for row in rows)

    def _drop(self, made: Mapping[Key, Made], batch: Batch, words: Mapping[Key, list[str]]) -> None:
        """Add what takes away the rows that these objects had, and that are nobody's now."""
        wanted = {trace.ref for one in made.values() for trace in one.traces}
        for key in made:
            before = len(batch.words)
            for trace in self._made[key].traces if key in self._made else ():
                if trace.ref in wanted or self._owners.get(trace.ref) != key:
                    continue
                batch.drop(trace.ref, trace.parent)
                batch.touched |= {hold.row for hold in trace.members}
                for hold, entries in trace.entries.items():
                    batch.take(hold, entries)
            words[key].extend(batch.words[before:])

    def _drift(self, key: Key, made: Made, words: Sequence[str]) -> Iterable[str]:
        """Of what differs, what nobody wanted changed. A new process cannot tell what came meanwhile."""
        before = self._made.get(key)
        if before is not None:
            return words if before.value == made.value else ()
        return () if self._made else [line for line in words if not line.endswith(MISSING)]

    def _remember(self, key: Key, made: Made) -> None:
        for trace in self._made[key].traces if key in self._made else ():
            if self._owners.get(trace.ref) == key:
                del self._owners[trace.ref]
        if not made.traces:
            self._made.pop(key, None)
            return
        self._made[key] = made
        self._owners.update((trace.ref, key) for trace in made.traces)


def _value(view: HostView, key: Key) -> Value | None:
    return view.of(key.kind).get(key.id)


def _move(was: Trace, row: Row, batch: Batch) -> None:
    """Bring a row that is there from where it belonged to where it belongs."""
    before, after = ((*of.members, *((of.parent,) if of.parent else ())) for of in (was, row))
    for hold in before:
        if hold not in after:
            batch.unlink(hold, row.ref)
    for hold in after:
        if hold not in before:
            batch.link(hold, row.ref)
    for hold, entries in was.entries.items():
        batch.take(hold, entries.keys() - row.entries.get(hold, {}).keys())
    for hold, entries in row.entries.items():
        if was.entries.get(hold) != entries:
            batch.put(hold, entries)
