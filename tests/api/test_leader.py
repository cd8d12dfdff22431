"""Leases: one holder at a time, handed over at once when given back and after its end when not."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from sqlalchemy import update

from weft import config
from weft.store import clock, leader
from weft.store.engine import Store
from weft.store.leader import LEASES, Lease

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30.0
WHO = """\
import sys, time
from weft import config
from weft.store.engine import Store
from weft.store.leader import Lease
url, name, seconds = sys.argv[1:]
lease = Lease(Store(config.load(database={"connection": url})), "work", name, float(seconds))
while not lease.take():
    time.sleep(0.02)
print("holds", flush=True)
for line in sys.stdin:
    print("released" if lease.release() is None else "", flush=True)
    break
time.sleep(60)
"""


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    made = Store(config.load(database={"connection": database}))
    yield made
    made.close()


def end(store: Store) -> None:
    """Let the time of all leases pass."""
    store.write(lambda connection: connection.execute(update(LEASES).values(until=clock.seconds() - 1)))


def holder(store: Store) -> str:
    return store.read(leader.held)[0].holder


def test_one_at_a_time(store: Store) -> None:
    one, two = Lease(store, "work", "one"), Lease(store, "work", "two")
    assert one.take() and one.held
    assert not two.take() and not two.held
    assert one.take(), "renewed"
    assert (holder(store), one.term) == ("one", 1)
    assert Lease(store, "other work", "two").take()


def test_given_back(store: Store) -> None:
    one, two = Lease(store, "work", "one"), Lease(store, "work", "two")
    one.take()
    one.release()
    assert not one.held
    assert two.take()
    assert (holder(store), two.term) == ("two", 2)
    one.release()
    assert two.take(), "who no longer holds it cannot give it back"


def test_ended(store: Store) -> None:
    one, two = Lease(store, "work", "one"), Lease(store, "work", "two")
    one.take()
    end(store)
    assert two.take()
    assert not one.take() and not one.held
    assert two.term == 2


def test_the_holder_doubts_before_anybody_else_can_have_it(store: Store) -> None:
    now = [100.0]
    one = Lease(store, "work", "one", seconds=10, monotonic=lambda: now[0])
    assert one.take()
    now[0] += 9.9
    assert one.held
    now[0] += 0.2
    assert not one.held
    assert one.take() and one.held


def test_a_database_that_does_not_answer_ends_it_in_time(store: Store) -> None:
    now = [100.0]
    lost = Store(config.load(database={"connection": "postgresql+psycopg://weft@127.0.0.1:9/weft"}))
    one = Lease(store, "work", "one", seconds=10, monotonic=lambda: now[0])
    assert one.take()
    one._store = lost
    now[0] += 5
    assert one.take(), "still ours"
    now[0] += 5.1
    assert not one.take()
    one.release()
    lost.close()


def test_many_who_want_it_at_once(store: Store) -> None:
    start = Barrier(8)

    def want(number: int) -> bool:
        lease = Lease(store, "work", f"number {number}")
        start.wait()
        return lease.take()

    with ThreadPoolExecutor(8) as threads:
        for _ in range(5):
            assert sum(threads.map(want, range(8))) == 1
            end(store)


@pytest.fixture
def process(database: str) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    running: list[subprocess.Popen[str]] = []

    def start(name: str, seconds: float) -> subprocess.Popen[str]:
        words = [sys.executable, "-c", WHO, database, name, str(seconds)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        running.append(subprocess.Popen(words, cwd=ROOT, **pipes))  # type: ignore[call-overload]
        return running[-1]

    yield start
    for one in running:
        one.kill()
        one.communicate()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_two_processes_hand_over(store: Store, process: Callable[..., subprocess.Popen[str]]) -> None:
    one = process("one", 3600)
    assert said(one) == "holds"
    two = process("two", 1)
    time.sleep(0.5)
    assert holder(store) == "one"
    assert one.stdin is not None
    one.stdin.write("stop\n")
    one.stdin.flush()
    assert said(one) == "released"
    assert said(two) == "holds"
    assert holder(store) == "two"
    # and one that is killed gives nothing back: its lease ends
    two.kill()
    three = process("three", 3600)
    assert said(three) == "holds"
    assert store.read(leader.held)[0].term == 3
