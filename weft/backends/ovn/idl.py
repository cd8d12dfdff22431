"""The Northbound database: a replica of what we may have written there, and the one place that writes.

A thread keeps the replica; whoever reads or writes holds `lock`. Rows are found by the identities of rows.py. What somebody
else does to a row of ours is told at once, what happened while there was no connection by the full pass that follows.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any
from uuid import UUID

import ovs.db.idl
import ovs.poller
from ovs.stream import Stream

from weft.backends.ovn.delta import Operation
from weft.backends.ovn.rows import (
    BELONGING,
    COLUMNS,
    HOLDERS,
    IDENTIFYING,
    NATURAL,
    ROOTS,
    Hold,
    Ref,
    Row,
    Value,
    identity,
)
from weft.config import Ovn

LOG = logging.getLogger(__name__)

BACKOFF = (100, 1000)
"""Milliseconds between attempts to connect, at first and at most."""
CLUSTER = "cluster error"
"""What servers say that have just lost, or not yet found, their leader."""
PATIENCE = 30.0
"""Seconds that a transaction may take: with a cluster whose leader has just died, too."""


class Unreachable(Exception):
    """No server of the database answers, or none that may write."""


class Refused(Exception):
    """The server did not take a transaction; its words."""


class Again(Exception):
    """A transaction may or may not have been done: look at what is there, and compute it anew."""


class Found:
    """A row of the replica (delta.Actual)."""

    __slots__ = ("_northbound", "row", "uuid")

    def __init__(self, northbound: Northbound, row: Any) -> None:
        self._northbound, self.row = northbound, row
        self.uuid = str(row.uuid)

    def value(self, column: str) -> Value:
        return self._northbound.value(self.row, column)


class _Replica(ovs.db.idl.Idl):  # type: ignore[misc]
    """Notes which rows move, and that everything may have after the connection was lost."""

    def __init__(self, remotes: str, schema: ovs.db.idl.SchemaHelper, probe: int) -> None:
        self.moved: list[tuple[str, Any, Any]] = []
        self.whole = False
        super().__init__(remotes, schema, probe_interval=probe, leader_only=True)
        # Of a cluster's servers one leads, and it takes some tries to find out which.
        patience = self._session.reconnect
        patience.min_backoff, patience.max_backoff = BACKOFF  # set_backoff allows no less than a second

    def restart_fsm(self) -> None:
        self.whole = False
        self.moved.clear()
        super().restart_fsm()

    def notify(self, event: str, row: Any, updates: Any = None) -> None:
        self.moved.append((event, row, updates))


class Northbound:
    """The database that says what OVN should make. Safe to share between threads; `close` ends its own."""

    def __init__(self, options: Ovn) -> None:
        if options.ovn_nb_private_key:
            Stream.ssl_set_private_key_file(options.ovn_nb_private_key)
            Stream.ssl_set_certificate_file(options.ovn_nb_certificate)
            Stream.ssl_set_ca_cert_file(options.ovn_nb_ca_cert)
        self.lock = threading.RLock()
        self._idl = _Replica(",".join(options.ovn_nb_connection), _schema(), options.ovsdb_probe_interval)
        self._kinds = {
            (table.name, column.name): _kind(column.type)
            for table in self._idl.tables.values()
            for column in table.columns.values()
        }
        self._found: dict[Ref, Found] = {}
        self._refs: dict[Any, Ref] = {}
        self._twins: dict[Ref, list[Found]] = {}
        self._writing = False
        self._touched: Collection[Ref] | None = None
        self._moved: Callable[[set[Ref]], None] = lambda refs: None
        self._again: Callable[[], None] = lambda: None
        self._ready, self._stop = threading.Event(), threading.Event()
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="northbound", daemon=True)
        self._thread.start()

    def watch(self, moved: Callable[[set[Ref]], None], again: Callable[[], None]) -> None:
        """Call `moved` from a thread with rows of ours that others have changed, made or deleted; `again` when the whole
        database was read anew, or what belongs where was changed."""
        self._moved, self._again = moved, again

    def wait(self, seconds: float = PATIENCE) -> None:
        """Until the database has been read. Raises Unreachable when that takes longer."""
        if not self._ready.wait(seconds):
            raise Unreachable("the Northbound database does not answer")

    def close(self) -> None:
        if self._stop.is_set():
            return  # its descriptors may be somebody else's by now
        self._stop.set()
        os.write(self._write, b"!")
        self._thread.join(5)
        if not self._thread.is_alive():
            self._idl.close()
            os.close(self._read)
            os.close(self._write)

    # -- what is there; the caller holds the lock

    def find(self, ref: Ref) -> Found | None:
        return self._found.get(ref)

    def all(self) -> Iterator[tuple[Ref, Found]]:
        """Every row that is ours; of two with the same identity only one."""
        yield from list(self._found.items())

    def twins(self) -> Iterator[tuple[Ref, Found]]:
        """Rows with an identity that another has too."""
        for ref, rows in list(self._twins.items()):
            for one in rows:
                yield ref, one

    def holder(self, of: Found) -> Hold | None:
        """The row that holds that one."""
        for ref, found in self._found.items():
            for column in HOLDERS.get(ref.table, ()):
                if any(one.uuid == of.row.uuid for one in getattr(found.row, column)):
                    return Hold(ref, column)
        return None

    def adopt(self, row: Row) -> None:
        """Take what another driver made in the same place for that row, so that it is not there twice."""
        holder = self.find(row.parent.row) if row.parent else None
        natural = NATURAL.get(row.ref.table, ())
        if holder is None or row.parent is None or not natural or row.ref in self._found:
            return
        for one in getattr(holder.row, row.parent.column):
            if one.uuid not in self._refs and all(self.value(one, name) == row.columns[name] for name in natural):
                self._refs[one.uuid], self._found[row.ref] = row.ref, Found(self, one)
                return

    def value(self, row: Any, column: str) -> Value:
        """A column as rows.Row has it.

        Read where the library keeps it: its own way makes three copies, for transactions that change rows, as none of ours
        does, and would be most of the work of a full pass.
        """
        values = row._data[column].values
        kind = self._kinds[row._table.name, column]
        if kind == "map":
            return {key.value: value.value for key, value in values.items()}
        plain = [self._plain(one.value) for one in values]
        if kind == "set":
            return frozenset(plain)
        return plain[0] if plain else None

    def _plain(self, value: Any) -> Value:
        if isinstance(value, UUID):
            return self._refs.get(value) or str(value)
        return value

    # -- writing

    def sync(self) -> None:
        """Have everything that was written until now, by whomever. Raises Unreachable."""
        look = {"op": "select", "table": "Logical_Switch", "where": [["name", "==", ""]], "columns": ["name"]}
        while True:
            try:
                return self.commit([look])
            except Again:
                continue

    def ping(self) -> None:
        """Give out the next number of a sequence; every chassis that lives confirms it in the Southbound database."""
        count = {"op": "mutate", "table": "NB_Global", "where": [], "mutations": [["nb_cfg", "+=", 1]]}
        with contextlib.suppress(Again):  # the next time, then
            self.commit([count])

    def commit(self, operations: Iterable[Operation], touched: Collection[Ref] | None = None) -> None:
        """Send them as one transaction and wait until the replica has it. Raises Refused, Unreachable, or Again: then the
        replica is that of the server that answers now.

        `touched`: the rows that are meant; of others that move meanwhile is told as ever. None: of none, all will be looked at.
        """
        with self.lock:
            self._writing, self._touched = True, touched
            try:
                self._commit(list(operations))
            finally:
                self._writing = False
                os.write(self._write, b"!")

    def _commit(self, operations: list[Operation]) -> None:
        end = time.monotonic() + PATIENCE
        transaction = ovs.db.idl.Transaction(self._idl)
        for one in operations:
            transaction.add_op(one)
        status = self._finish(transaction, end)
        if status in (transaction.SUCCESS, transaction.UNCHANGED):
            self._follow()
            return
        words = transaction.get_error()
        if status != transaction.TRY_AGAIN and CLUSTER not in words:
            raise Refused(words)
        if self._idl.state == ovs.db.idl.Idl.IDL_S_MONITORING:
            self._step(end)
        while self._idl.state != ovs.db.idl.Idl.IDL_S_MONITORING:
            if time.monotonic() > end:
                raise Unreachable("no server of the Northbound database takes a transaction")
            self._step(end)
        self._follow()
        raise Again

    def _finish(self, transaction: Any, end: float) -> Any:
        while (status := transaction.commit()) == transaction.INCOMPLETE:
            if time.monotonic() > end:
                transaction.abort()
                raise Unreachable("the Northbound database does not answer")
            self._step(end, transaction)
        return status

    def _step(self, end: float, transaction: Any = None) -> None:
        """Sleep until the server says something, and take it in."""
        before = self._idl.change_seqno
        self._idl.run()
        if self._idl.change_seqno != before:
            return
        poller = ovs.poller.Poller()
        self._idl.wait(poller)
        if transaction is not None:
            transaction.wait(poller)
        poller.timer_wait(max(1, int(min(1.0, end - time.monotonic()) * 1000)))
        poller.block()

    # -- the thread

    def _run(self) -> None:
        while not self._stop.is_set():
            poller = ovs.poller.Poller()
            with self.lock:
                try:
                    self._idl.run()
                    self._follow()
                except Exception:
                    LOG.exception("the Northbound database is read anew")
                    self._idl.force_reconnect()
                self._idl.wait(poller)
            poller.fd_wait(self._read, ovs.poller.POLLIN)
            poller.block()
            try:
                os.read(self._read, 4096)
            except BlockingIOError:
                continue

    def _follow(self) -> None:
        """Bring the index along, and tell what others did."""
        if self._idl.state != ovs.db.idl.Idl.IDL_S_MONITORING:
            return
        if not self._idl.whole:
            self._begin()
            return
        moved, self._idl.moved = self._idl.moved, []
        touched: set[Ref] = set()
        torn = False
        for event, row, updates in moved:
            torn = torn or (not self._meant(self._refs.get(row.uuid)) and self._tears(event, row, updates))
            touched |= {ref for ref in self._take(event, row, updates) if not self._meant(ref)}
        if touched:
            self._moved(touched)
        if torn:
            self._again()

    def _meant(self, ref: Ref | None) -> bool:
        """Whether the row moves because we write it."""
        return self._writing and (self._touched is None or ref in self._touched)

    def _begin(self) -> None:
        self._idl.moved = []
        self._found.clear()
        self._refs.clear()
        self._twins.clear()
        for table in self._idl.tables.values():
            for row in list(table.rows.values()):
                self._add(row)
        self._idl.whole = True
        again = self._ready.is_set()
        self._ready.set()
        if again:
            self._again()

    def _tears(self, event: str, row: Any, updates: Any) -> bool:
        """Whether somebody took rows of ours out of sets, or put them into some: only a full pass looks at these."""
        ref = self._refs.get(row.uuid)
        columns = BELONGING.get(row._table.name, ())
        if ref is None or event == ovs.db.idl.ROW_CREATE:
            return False
        if event == ovs.db.idl.ROW_DELETE:
            return bool(columns) or ref.table == "DNS"
        for column in columns:
            if hasattr(updates, column):
                old, new = getattr(updates, column), getattr(row, column)
                if any(one.uuid in self._refs for one in set(old) ^ set(new)):
                    return True
        return ref.table == "DNS" and hasattr(updates, "records")

    def _take(self, event: str, row: Any, updates: Any) -> set[Ref]:
        """One change; returns whom it concerns."""
        table = row._table.name
        known = self._refs.get(row.uuid)
        if event == ovs.db.idl.ROW_DELETE:
            self._remove(row)
            return {known} if known else set()
        marks = IDENTIFYING.get(table, _MARKS)
        if (
            known is not None
            and event == ovs.db.idl.ROW_UPDATE
            and not any(hasattr(updates, column) for column in marks)
        ):
            return {known}
        now = identity(table, lambda column: self.value(row, column))
        if now != (known.id if known else None):
            self._remove(row)
            self._add(row)
        return {ref for ref in (known, self._refs.get(row.uuid)) if ref}

    def _add(self, row: Any) -> None:
        table = row._table.name
        id = identity(table, lambda column: self.value(row, column))
        if id is None:
            return
        ref = self._refs[row.uuid] = Ref(table, id)
        if ref in self._found:
            self._twins.setdefault(ref, []).append(Found(self, row))
        else:
            self._found[ref] = Found(self, row)

    def _remove(self, row: Any) -> None:
        ref = self._refs.pop(row.uuid, None)
        if ref is None:
            return
        uuid = str(row.uuid)
        rows = [one for one in (self._found.pop(ref), *self._twins.pop(ref, ())) if one.uuid != uuid]
        if rows:
            self._found[ref] = rows[0]
        if rows[1:]:
            self._twins[ref] = rows[1:]


_MARKS = frozenset({"name", "external_ids"})


def _kind(type: Any) -> str:
    if type.is_map():
        return "map"
    if type.is_optional():
        return "optional"
    return "plain" if type.n_max == 1 else "set"


def _schema() -> ovs.db.idl.SchemaHelper:
    tables = {
        table: {"columns": {name: {"type": kind} for name, kind in columns.items()}, "isRoot": table in ROOTS}
        for table, columns in COLUMNS.items()
    }
    helper = ovs.db.idl.SchemaHelper(schema_json={"name": "OVN_Northbound", "version": "7.0.0", "tables": tables})
    helper.register_all()
    return helper
