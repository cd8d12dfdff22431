"""A request costs the same statements however much there is: every operation of every collection, among 10 and among 1,000."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import caller
from tests.contract.everything import KINDS, MADE_OTHERWISE, MEMBERS, OPERATIONS, OWNER, Everything, build, plain
from weft.api.routes import paths
from weft.resources import RESOURCES, agent

FEW, MANY = 10, 1000
FRESH = 3000
"""Number of the object that is made to be measured."""


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everything]:
    e = build(tmp_path_factory.mktemp("flat"), caller)
    yield e
    e.api.store.close()


class Meter:
    """Statements of requests, by operation."""

    def __init__(self, e: Everything) -> None:
        self.e = e
        self.costs: dict[str, int] = {}

    def ask(self, operation: str, method: str, path: str, body: Any = None) -> Any:
        with self.e.api.statements() as seen:
            status, answer = self.e.owner.request(method, path, body)
        assert status < 300, (operation, method, path, status, answer)
        self.costs[operation] = len(seen)
        return answer


def life(e: Everything, path: str) -> dict[str, int]:
    """What the operations of a collection cost, with one object more than there are."""
    kind, member, operations = KINDS[path], MEMBERS[path], OPERATIONS[path]["operations"]
    base = path.replace("{}", kind.above(e, FRESH), 1)
    values = e.values(path, FRESH)
    meter = Meter(e)
    bare = kind.body == "-"
    answer = meter.ask("create", "POST", base, values if bare else {member: values})
    made = values if bare else answer[member]
    one = f"{base}/{made.get(kind.key, values.get(kind.key))}"
    if "list" in operations:
        meter.ask("list", "GET", base)
    if "show" in operations:
        meter.ask("show", "GET", one)
    if "update" in operations and path != "/agents/{}/l3-routers":
        meter.ask("update", "PUT", one, {member: dict(kind.change)})
    meter.ask("delete", "DELETE", one)
    return meter.costs


@pytest.mark.parametrize("path", KINDS)
def test_operations_cost_the_same_among_many(everything: Everything, path: str) -> None:
    everything.fill(path, range(1, FEW))
    life(everything, path)  # what is read once by each process
    few = life(everything, path)
    everything.fill(path, range(FEW, MANY))
    assert life(everything, path) == few


@pytest.mark.on_postgresql
def test_so_it_is_on_postgresql(database: str, tmp_path: Path) -> None:
    e = build(tmp_path, caller, database)
    dearer = {}
    for path in KINDS:
        e.fill(path, range(1, FEW))
        life(e, path)
        few = life(e, path)
        e.fill(path, range(FEW, 5 * FEW))
        many = life(e, path)
        if many != few:
            dearer[path] = (few, many)
    e.api.store.close()
    assert dearer == {}


def looks(e: Everything) -> dict[str, int]:
    """What the lists cost that nobody fills by requests, and their members."""
    meter = Meter(e)
    for path in MADE_OTHERWISE:
        operations = OPERATIONS[path]["operations"]
        if path in ("/auto-allocated-topology", "/flavors/{}/next-providers") or not e.served(path):
            continue
        if "list" in operations:
            meter.ask(f"list {path}", "GET", e.path(path))
        if "show" in operations:
            meter.ask(f"show {path}", "GET", e.path(f"{path}/{{}}"))
    meter.ask("usage", "GET", f"quotas/{OWNER}/details")
    return meter.costs


def test_what_is_computed_costs_the_same_among_many(tmp_path_factory: pytest.TempPathFactory) -> None:
    e = build(tmp_path_factory.mktemp("looks"), caller)
    looks(e)
    few = looks(e)
    for i in range(MANY):
        facts = {"agent_type": "L3 agent", "host": f"host{i}", "binary": "weft", "topic": "N/A", "configurations": {}}
        e.api.inside(lambda tx, f=facts: agent.report(tx, **f))
    for path in ("/networks", "/subnets", "/ports", "/routers"):
        e.fill(path, range(1, MANY))
    external = {"router:external": True}
    for i in range(FEW):
        outside = e.owner.make("networks", **external)["id"]
        e.owner.make("subnets", network_id=outside, ip_version=4, cidr=f"10.{i}.0.0/24")
    assert looks(e) == few
    e.api.store.close()


def test_every_collection_is_measured() -> None:
    known = KINDS.keys() | MADE_OTHERWISE.keys()
    missing = {one.member for one in RESOURCES if not known & {plain(path) for path in paths(one)}}
    assert missing == set()
    assert KINDS.keys() | MADE_OTHERWISE.keys() == {path for path in OPERATIONS if "/tags" not in path}
