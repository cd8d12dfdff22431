"""The change log under transactions that commit in another order than they began, and the rings that tell of it."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, text

from weft import config
from weft.reconcile.doorbell import Bell, Doorbell
from weft.store import changes
from weft.store.additions import Additions
from weft.store.changes import CHANGES, ENTRIES
from weft.store.engine import Store

PATIENCE = 30.0


def entry(id: str) -> dict[str, Any]:
    return {
        "kind": "network",
        "id": id,
        "revision": 0,
        "project_id": "p1",
        "operation": "create",
        "request_id": "req",
        "at": "2026-01-01T00:00:00Z",
        "facts": None,
    }


def open_store(database: str, folder: Path) -> Store:
    return Store(config.load(api={"state_path": str(folder)}, database={"connection": database}))


@pytest.fixture
def store(database: str, tmp_path: Path) -> Iterator[Store]:
    made = open_store(database, tmp_path)
    yield made
    made.close()


at_once = pytest.mark.on_postgresql
"""Transactions run at the same time there; SQLite has one writer."""


class Reader:
    """Follows the log from its start."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.cursor = 0
        self.seen: list[str] = []

    def read(self) -> list[str]:
        """What is new."""
        found = self.store.read(lambda connection: changes.after(connection, self.cursor, 3))
        self.cursor = found[-1].sequence if found else self.cursor
        self.seen += [one.id for one in found]
        return [one.id for one in found]


class Naive(Reader):
    """Takes what it sees beyond the highest number it has seen."""

    def read(self) -> list[str]:
        statement = select(CHANGES).where(CHANGES.c.sequence > self.cursor).order_by(CHANGES.c.sequence)
        found = self.store.read(lambda connection: connection.execute(statement).all())
        self.cursor = found[-1].sequence if found else self.cursor
        self.seen += [one.id for one in found]
        return [one.id for one in found]


def put(connection: Connection, *ids: str) -> None:
    added = Additions()
    added.add(CHANGES, [entry(id) for id in ids])
    added.send(connection)


def test_numbers_grow_and_nothing_comes_twice(store: Store) -> None:
    reader = Reader(store)
    start = store.read(changes.last)
    for ids in (["a"], ["b", "c"], ["d", "e", "f", "g"]):
        store.write(lambda connection, ids=ids: put(connection, *ids))
    assert [reader.read(), reader.read(), reader.read(), reader.read()] == [["a", "b", "c"], ["d", "e", "f"], ["g"], []]
    assert reader.cursor > start
    assert [one.id for one in store.read(lambda connection: changes.after(connection, start))] == list("abcdefg")
    assert store.read(lambda connection: changes.after(connection, changes.last(connection))) == []
    assert store.read(lambda connection: changes.behind(connection, start)) == 7


@at_once
@pytest.mark.parametrize("first", ["earlier", "later"])
def test_transactions_that_commit_in_another_order(store: Store, first: str) -> None:
    """Whoever of the two writes first, the reader comes between their commits."""
    reader, naive = Reader(store), Naive(store)
    with store.engine.connect() as earlier, store.engine.connect() as later:
        earlier.execute(text("SELECT pg_current_xact_id()"))
        later.execute(text("SELECT pg_current_xact_id()"))
        if first == "earlier":
            put(earlier, "earlier")
            put(later, "later")
        else:
            put(later, "later")
            put(earlier, "earlier")
        later.commit()
        assert naive.read() == ["later"]
        assert reader.read() == []
        earlier.commit()
    assert naive.read() == [], "it missed one: that is why `after` stays below the oldest transaction"
    assert reader.read() == ["earlier", "later"]


@at_once
def test_who_begins_to_read_in_between_misses_nothing(store: Store) -> None:
    with store.engine.connect() as running:
        put(running, "running")
        store.write(lambda connection: put(connection, "done"))
        start = store.read(changes.last)
        running.commit()
    found = store.read(lambda connection: changes.after(connection, start))
    assert [one.id for one in found] == ["running", "done"]


@at_once
def test_many_writers_and_a_reader(store: Store) -> None:
    written: list[str] = []
    over = threading.Event()

    def write(writer: int) -> None:
        lots = random.Random(writer)
        for turn in range(25):
            with store.engine.connect() as connection:
                connection.execute(text("SELECT pg_current_xact_id()"))
                time.sleep(lots.random() * 0.004)
                ids = [f"{writer}-{turn}-{n}" for n in range(lots.randint(1, 3))]
                put(connection, *ids)
                time.sleep(lots.random() * 0.004)
                if lots.random() < 0.2:
                    connection.rollback()
                    continue
                connection.commit()
                written.extend(ids)

    reader = Reader(store)

    def read() -> None:
        while not over.is_set():
            reader.read()

    with ThreadPoolExecutor(7) as threads:
        reading = threads.submit(read)
        list(threads.map(write, range(6)))
        over.set()
        reading.result()
    while reader.read():
        pass
    assert len(reader.seen) == len(set(reader.seen))
    assert set(reader.seen) == set(written)
    assert len(written) > 150


@at_once
def test_numbers_go_on_after_a_dump_was_restored(store: Store) -> None:
    """A server that has just been made counts transactions from the start again."""
    far = (1 << 40) * ENTRIES + 5
    with store.engine.begin() as connection:
        connection.execute(insert(CHANGES), {**entry("old"), "sequence": far})
    reader = Reader(store)
    store.write(changes.continue_numbers)
    store.write(lambda connection: put(connection, "new"))
    assert reader.read() == ["old", "new"]
    base = store.read(lambda connection: connection.execute(select(changes.NUMBERS.c.base)).scalar_one())
    store.write(changes.continue_numbers)
    assert store.read(lambda connection: connection.execute(select(changes.NUMBERS.c.base)).scalar_one()) == base


# -- rings


class Machine:
    """Somebody who follows the log from a machine of his own: its sockets are not ours."""

    def __init__(self, database: str, folder: Path) -> None:
        self.store = open_store(database, folder)
        self.reader = Reader(self.store)
        self.bell = Doorbell(folder, "follower", self.store)
        self.rings = 0
        self.error: BaseException | None = None
        self._over = False
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def _follow(self) -> None:
        while not self._over:
            self.bell.wait(None)
            self.rings += 1
            while self.reader.read():
                pass

    def eventually_sees(self, *ids: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not set(ids) <= set(self.reader.seen):
            assert time.monotonic() < deadline, self.reader.seen
            time.sleep(0.01)

    def close(self) -> None:
        self._over = True
        self.bell.wake()
        self._thread.join()
        self.bell.close()
        self.store.close()


@pytest.fixture
def far(database: str, tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(database, tmp_path / "far")
    yield machine
    machine.close()


@at_once
def test_other_machines_hear_of_a_change(store: Store, far: Machine, tmp_path: Path) -> None:
    bell = Bell(tmp_path / "near", store=store)
    for id in "abc":
        store.write(lambda connection, id=id: put(connection, id))
        bell.ring()
        far.eventually_sees(id)
    time.sleep(0.3)
    assert far.rings <= 3, "nobody looks without being rung"


@at_once
def test_what_an_older_transaction_holds_back_comes_though_nobody_rings_again(
    store: Store, far: Machine, tmp_path: Path
) -> None:
    bell = Bell(tmp_path / "near", store=store)
    with store.engine.connect() as older:
        older.execute(text("SELECT pg_current_xact_id()"))
        store.write(lambda connection: put(connection, "held"))
        bell.ring()
        deadline = time.monotonic() + PATIENCE
        while not far.rings:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert far.reader.seen == []
        older.rollback()
    far.eventually_sees("held")


@at_once
def test_a_connection_that_breaks_is_made_anew(store: Store, far: Machine, tmp_path: Path) -> None:
    bell = Bell(tmp_path / "near", store=store)
    bell.ring()
    everybody = text(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND query ~ '(LISTEN|NOTIFY|sequence)'"
    )
    with store.engine.connect() as connection:
        assert connection.execute(everybody).scalar_one() >= 1
        put(connection, "meanwhile")  # and nobody rings for it
        connection.commit()
    far.eventually_sees("meanwhile")
    store.engine.dispose()
    store.write(lambda connection: put(connection, "after"))
    bell.ring()
    far.eventually_sees("after")


@at_once
@pytest.mark.parametrize("name", ["{}", "{}_gone"], ids=["rings", "cannot ring"])
def test_who_rings_ends_with_its_store(database: str, tmp_path: Path, name: str) -> None:
    before = set(threading.enumerate())
    store = open_store(name.format(database), tmp_path)
    Bell(tmp_path / "near", store=store).ring()
    (ringer,) = set(threading.enumerate()) - before
    store.close()
    ringer.join(PATIENCE)
    assert not ringer.is_alive()
