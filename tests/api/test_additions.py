"""Rows that a transaction adds go to PostgreSQL together, and come to be the same there as in SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, select
from sqlalchemy.exc import IntegrityError

from weft import config
from weft.ipam.allocate import ALLOCATIONS
from weft.resources.agent_bindings import NETWORK_AGENTS
from weft.resources.network import NETWORKS
from weft.resources.port import PORTS
from weft.resources.subnet import SUBNETS
from weft.store.additions import Additions
from weft.store.changes import CHANGES
from weft.store.engine import Store

MOMENT = "2026-01-31T12:00:00Z"


@pytest.fixture
def store(database: str, tmp_path: Path) -> Iterator[Store]:
    made = Store(config.load(api={"state_path": str(tmp_path)}, database={"connection": database}))
    yield made
    made.close()


def network(id: str, **more: Any) -> dict[str, Any]:
    """What a network cannot be without."""
    return {"id": id, "project_id": "p1", "mtu": 1500, "created_at": MOMENT, "updated_at": MOMENT, **more}


def subnet(id: str, on: str) -> dict[str, Any]:
    lists: dict[str, Any] = {
        name: [] for name in ("allocation_pools", "dns_nameservers", "own_routes", "service_types")
    }
    said = {"id": id, "project_id": "p1", "name": "", "network_id": on, "ip_version": 4, "cidr": "10.0.0.0/24"}
    return {**said, **lists, "created_at": MOMENT, "updated_at": MOMENT}


def change(id: str) -> dict[str, Any]:
    said = {"kind": "network", "id": id, "revision": 0, "project_id": "p1", "operation": "create"}
    return {**said, "request_id": "req", "at": MOMENT, "facts": None}


def send(store: Store, *parts: tuple[Any, list[dict[str, Any]]]) -> None:
    """Add rows to tables in one transaction."""

    def work(connection: Connection) -> None:
        added = Additions()
        for table, rows in parts:
            added.add(table, rows)
        added.send(connection)
        assert added.take() == ((), {})

    store.write(work)


def rows(store: Store, table: Any) -> list[dict[str, Any]]:
    found = store.read(lambda connection: connection.execute(select(table)).mappings().all())
    return [dict(row) for row in found]


def test_values_come_back_as_they_were_given(store: Store) -> None:
    odd = "Grüße \\ \"quoted\" 'too' %s %(x)s {} \t\n $1 \U0001f40d"
    nested = ["a", {"b": [1, 2.5, None, True], "c": odd}]
    given = [
        network("n1", name=odd, description="", admin_state_up=False, tags=nested, vlan_transparent=None, qinq=True),
        network("n2", name="", description=odd, admin_state_up=True, tags=[], vlan_transparent=True, qinq=None),
    ]
    send(store, (NETWORKS, given))
    found = {row["id"]: row for row in rows(store, NETWORKS)}
    assert [{name: found[row["id"]][name] for name in row} for row in given] == given


def test_what_is_not_named_gets_its_default(store: Store) -> None:
    send(store, (NETWORKS, [network("n1"), network("n2", name="named")]), (SUBNETS, [subnet("s1", "n1")]))
    found = {row["id"]: row for row in rows(store, NETWORKS)}
    assert (found["n1"]["name"], found["n2"]["name"]) == ("", "named")
    for row in found.values():
        assert (row["admin_state_up"], row["status"], row["is_default"]) == (True, "ACTIVE", False)
        assert (row["tags"], row["availability_zone_hints"], row["revision_number"]) == ([], [], 0)
        assert row["qos_policy_id"] is None
    assert rows(store, SUBNETS)[0]["enable_dhcp"] is True


def test_changes_are_numbered_in_their_order(store: Store) -> None:
    ids = [f"id {number}" for number in range(50)]
    send(store, (CHANGES, [change(id) for id in ids[:30]]))
    send(store, (NETWORKS, [network("n1")]), (CHANGES, [change(id) for id in ids[30:]]))
    found = sorted(rows(store, CHANGES), key=lambda row: int(row["sequence"]))
    assert [row["id"] for row in found] == ids


def test_nothing_of_it_is_there_when_one_row_may_not_be(store: Store) -> None:
    twice = [network("n1"), network("n1")]
    with pytest.raises(Exception, match="collides") as caught:
        send(store, (CHANGES, [change("c")]), (NETWORKS, twice))
    assert isinstance(caught.value.__cause__, IntegrityError)
    with pytest.raises(Exception, match="collides"):
        send(store, (NETWORKS, [network("n2")]), (SUBNETS, [subnet("s1", "nowhere")]))
    assert rows(store, NETWORKS) == rows(store, SUBNETS) == rows(store, CHANGES) == []


@pytest.mark.on_postgresql
def test_one_statement_for_all_tables_and_any_number_of_rows(store: Store) -> None:
    """It is also the same one, so that the server prepares it once."""
    seen: list[str] = []
    event.listen(store.engine, "before_cursor_execute", lambda _c, _cursor, statement, *_rest: seen.append(statement))
    for number in (1, 3, 200):
        networks = [network(f"n{number}.{one}") for one in range(number)]
        send(store, (NETWORKS, networks), (CHANGES, [change(one["id"]) for one in networks]))
    assert len(seen) == 3
    assert len(set(seen)) == 1
    assert len(rows(store, NETWORKS)) == 204


@pytest.mark.on_postgresql
def test_a_request_writes_in_one_statement_and_counts_in_another(api: Any) -> None:
    on = api.make("networks")["id"]
    api.make("subnets", network_id=on, cidr="10.0.0.0/24", ip_version=4)
    for path, body, tables in (
        ("networks", {}, ("networks", "network_segments", "changes")),
        ("ports", {"network_id": on}, ("ports", "ip_allocations", "security_group_port_bindings", "changes")),
        ("security-groups", {}, ("security_groups", "security_group_rules", "changes")),
    ):
        api.make(path, **body)  # the project's first one brings its counter along
        with api.statements() as seen:
            api.make(path, **body)
        *others, together, counted = seen
        assert [table for table in tables if f"INSERT INTO {table} " not in together] == []
        assert "UPDATE quota_usage" in counted
        assert [one for one in others if not one.startswith("SELECT")] == []


def test_who_asks_sees_what_waits(api: Any) -> None:
    on = api.make("networks")["id"]
    api.make("subnets", network_id=on, cidr="10.0.0.0/24", ip_version=4)

    def work(tx: Any) -> tuple[int, int]:
        tx.add(NETWORK_AGENTS, [])
        before = len(tx.all(select(PORTS.c.id)))
        row = dict(tx.all(select(PORTS))[0]._mapping)
        tx.add(PORTS, [{**row, "id": "another", "mac_address": "fa:16:3e:00:00:01"}])
        return before, len(tx.all(select(PORTS.c.id)))

    api.make("ports", network_id=on)
    assert api.inside(work) == (1, 2)
    taken = api.inside(lambda tx: [row.port_id for row in tx.all(select(ALLOCATIONS.c.port_id))])
    assert len(taken) == 1
