"""From rows that should be and rows that are to operations of one OVSDB transaction (RFC 7047, section 5.2). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from weft.backends.ovn.rows import MARK, REFERRING, REVISION, ROOTS, Hold, Ref, Row, Value, owns

Operation = dict[str, Any]

MISSING = "was missing"


class Missing(Exception):
    """A row refers to another that is neither there nor about to be."""


class Actual(Protocol):
    """A row that is there."""

    uuid: str

    def value(self, column: str) -> Value:
        """As in `Row.columns`; references to rows that are not ours are their UUIDs as text."""


class Replica(Protocol):
    """What is there."""

    def find(self, ref: Ref) -> Actual | None:
        """Our row of that identity."""


def differences(row: Row, actual: Actual) -> dict[str, tuple[Value, Value]]:
    """Column -> (is, should be) of what differs. Of maps only the keys that are ours, None for those that are not there.

    The revision alone is no difference: a status that moved counts it on, and no more.
    """
    found: dict[str, tuple[Value, Value]] = {}
    for column, wanted in row.columns.items():
        now = actual.value(column)
        if not isinstance(wanted, dict):
            if now != wanted:
                found[column] = (now, wanted)
            continue
        keys = [key for key in {**now, **wanted} if now.get(key) != wanted.get(key)]
        keys = [key for key in keys if key in wanted or owns(row.ref.table, column, key)]
        if keys:
            found[column] = ({key: now.get(key) for key in keys}, {key: wanted.get(key) for key in keys})
    ids = found.get("external_ids")
    if len(found) == 1 and ids and list(ids[0]) == [REVISION]:
        return {}
    return found


class Batch:
    """Operations that are sent together. `words`: what they change, for people."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._names: dict[Ref, str] = {}
        self._operations: list[Operation] = []
        self._come: dict[Hold, dict[Ref, None]] = {}
        self._go: dict[Hold, dict[str, None]] = {}
        self._put: dict[Hold, dict[str, str]] = {}
        self._take: dict[Hold, dict[str, None]] = {}
        self.words: list[str] = []
        self.touched: set[Ref] = set()
        """Rows that are different afterwards, or hold others."""

    def __len__(self) -> int:
        return len(self._operations) + len(self._come) + len(self._go) + len(self._put) + len(self._take)

    def missing(self, rows: Iterable[Row]) -> Ref | None:
        """A row that these refer to, and that is neither there nor among them or in this batch."""
        rows = list(rows)
        own = {row.ref for row in rows}
        for row in rows:
            for ref in _refers(row):
                if ref not in own and ref not in self._names and self._replica.find(ref) is None:
                    return ref
        return None

    # -- what is wanted

    def set(self, row: Row) -> None:
        """Make the row as it should be. Where it belongs is looked at only when it is new: sets may be long."""
        self.touched.add(row.ref)
        actual = self._replica.find(row.ref)
        if actual is None:
            self._insert(row)
        elif changed := differences(row, actual):
            self._change(row.ref, actual, changed)

    def link(self, hold: Hold, ref: Ref) -> None:
        self.touched.add(hold.row)
        self._come.setdefault(hold, {})[ref] = None

    def unlink(self, hold: Hold, ref: Ref) -> None:
        self.touched.add(hold.row)
        actual = self._replica.find(ref)
        if actual is not None and self._replica.find(hold.row) is not None:
            self._go.setdefault(hold, {})[actual.uuid] = None

    def put(self, hold: Hold, entries: Mapping[str, str]) -> None:
        self.touched.add(hold.row)
        self._put.setdefault(hold, {}).update(entries)

    def take(self, hold: Hold, keys: Iterable[str]) -> None:
        self.touched.add(hold.row)
        if self._replica.find(hold.row) is not None:
            self._take.setdefault(hold, {}).update(dict.fromkeys(keys))

    def drop(self, ref: Ref, parent: Hold | None) -> bool:
        """Delete the row. Whether it was there."""
        actual = self._replica.find(ref)
        if actual is None:
            return False
        self.drop_row(ref, actual, parent)
        return True

    def drop_row(self, ref: Ref, actual: Actual, parent: Hold | None) -> None:
        """Delete that row, which is one of the identity `ref`: from its table, or from the row that holds it."""
        self.words.append(f"{ref.table} {ref.id} should not be there")
        self.touched |= {ref, parent.row} if parent else {ref}
        if ref.table in ROOTS:
            self._operations.append({"op": "delete", "table": ref.table, "where": _is(actual)})
            return
        self.release(ref, actual)
        if parent is not None and self._replica.find(parent.row) is not None:
            self._go.setdefault(parent, {})[actual.uuid] = None

    def release(self, ref: Ref, actual: Actual) -> None:
        """Let a row that goes with the one that holds it refer to nothing: while it does, what it refers to cannot go in the
        same transaction (a server looks at references before it takes away what nothing holds any more)."""
        columns = [column for column in REFERRING.get(ref.table, ()) if actual.value(column)]
        if columns:
            row = {column: ["set", []] for column in columns}
            self._operations.append({"op": "update", "table": ref.table, "where": _is(actual), "row": row})

    # -- as operations

    def operations(self) -> list[Operation]:
        """All of it. Raises Missing."""
        return [*self._operations, *self._mutations()]

    def _insert(self, row: Row) -> None:
        self.words.append(f"{row.ref.table} {row.ref.id} {MISSING}")
        self._names[row.ref] = f"r{len(self._names)}"
        columns = {column: value for column, value in row.columns.items() if value not in (None, {}, frozenset(), "")}
        self._operations.append(
            {
                "op": "insert",
                "table": row.ref.table,
                "uuid-name": self._names[row.ref],
                "row": {column: self._json(value) for column, value in columns.items()},
            }
        )
        for hold in _holds(row):
            self.link(hold, row.ref)
        for hold, entries in row.entries.items():
            self.put(hold, entries)

    def _change(self, ref: Ref, actual: Actual, changed: Mapping[str, tuple[Value, Value]]) -> None:
        self.words += [f"{ref.table} {ref.id}: {line}" for line in _said(changed)]
        plain = {column: self._json(new) for column, (_, new) in changed.items() if not isinstance(new, dict)}
        if plain:
            self._operations.append({"op": "update", "table": ref.table, "where": _is(actual), "row": plain})
        mutations: list[Any] = []
        for column, (old, new) in changed.items():
            if isinstance(new, dict):
                gone = [key for key, value in old.items() if value is not None]
                come = {key: value for key, value in new.items() if value is not None}
                mutations += [[column, "delete", ["set", gone]]] if gone else []
                mutations += [[column, "insert", self._json(come)]] if come else []
        if mutations:
            self._operations.append({"op": "mutate", "table": ref.table, "where": _is(actual), "mutations": mutations})

    def _mutations(self) -> Iterator[Operation]:
        """One operation for each column that others are linked into: its size is that of the change, not of the set."""
        for hold in dict.fromkeys([*self._go, *self._come, *self._take, *self._put]):
            mutations: list[Any] = []
            if hold in self._go:
                mutations.append([hold.column, "delete", ["set", [["uuid", one] for one in self._go[hold]]]])
            if hold in self._come:
                come = [self._json(one) for one in self._come[hold]]
                mutations.append([hold.column, "insert", ["set", come]])
            gone = [*self._take.get(hold, ()), *self._put.get(hold, ())]
            if gone:
                mutations.append([hold.column, "delete", ["set", gone]])
            if hold in self._put:
                mutations.append([hold.column, "insert", self._json(self._put[hold])])
            where = [["_uuid", "==", self._json(hold.row)]]
            yield {"op": "mutate", "table": hold.row.table, "where": where, "mutations": mutations}

    def _json(self, value: Value) -> Any:
        """As RFC 7047 writes it."""
        if isinstance(value, Ref):
            if value in self._names:
                return ["named-uuid", self._names[value]]
            actual = self._replica.find(value)
            if actual is None:
                raise Missing(f"{value.table} {value.id} is not there")
            return ["uuid", actual.uuid]
        if value is None:
            return ["set", []]
        if isinstance(value, frozenset):
            return ["set", sorted((self._json(one) for one in value), key=str)]
        if isinstance(value, dict):
            return ["map", [[key, value[key]] for key in sorted(value)]]
        return value


def _holds(row: Row) -> tuple[Hold, ...]:
    return ((row.parent,) if row.parent else ()) + row.members


def _refers(row: Row) -> Iterator[Ref]:
    for hold in (*_holds(row), *row.entries):
        yield hold.row
    for value in row.columns.values():
        if isinstance(value, Ref):
            yield value
        elif isinstance(value, frozenset):
            yield from (one for one in value if isinstance(one, Ref))


def _is(actual: Actual) -> list[Any]:
    return [["_uuid", "==", ["uuid", actual.uuid]]]


def _said(changed: Mapping[str, tuple[Value, Value]]) -> Iterator[str]:
    for column, (old, new) in changed.items():
        if isinstance(new, dict):
            for key in new:
                if key not in (REVISION, MARK):
                    yield f"{column}:{key} was {_word(old[key])} instead of {_word(new[key])}"
        else:
            yield f"{column} was {_word(old)} instead of {_word(new)}"


def _word(value: Value) -> str:
    if value in (None, "", frozenset()):
        return "empty"
    if isinstance(value, frozenset):
        return ", ".join(sorted(_word(one) for one in value))
    return value.id if isinstance(value, Ref) else str(value)
