"""A whole installation that things happen to."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.topo.whole import Installation


@pytest.fixture
def start(tmp_path: Path, prefix: str) -> Iterator[Callable[..., Installation]]:
    """Start an installation with options of `weft up`; it is gone after the test."""
    made: list[Installation] = []

    def begin(*options: str) -> Installation:
        folder = tmp_path / "state"
        folder.mkdir(mode=0o700, exist_ok=True)
        one = Installation(folder, prefix, *options)
        made.append(one)
        one.start()
        return one

    yield begin
    for one in made:
        one.close()


COUNTED = {"network": "networks", "subnet": "subnets", "port": "ports", "security_group": "security_groups"}
"""What quotas count -> its table."""


def broken(database: Path) -> list[str]:
    """What does not hold of a database: pages, foreign keys, counters, ports without the address that they were given."""
    connection = sqlite3.connect(database)
    try:
        found = [str(row) for row in connection.execute("PRAGMA integrity_check") if row != ("ok",)]
        found += [f"foreign key {row}" for row in connection.execute("PRAGMA foreign_key_check")]
        for name, table in COUNTED.items():
            there = connection.execute(
                f"SELECT project_id, count(*) FROM {table} WHERE project_id != '' GROUP BY project_id"
            )
            counted = connection.execute(
                "SELECT project_id, used FROM quota_usage WHERE resource = ? AND used > 0", (name,)
            )
            if sorted(there) != sorted(counted):
                found.append(f"the counters of {table} are not the number of rows")
        bare = "SELECT count(*) FROM ports WHERE id NOT IN (SELECT port_id FROM ip_allocations)"
        if connection.execute(bare).fetchone() != (0,):
            found.append("ports without the address that they were given")
    finally:
        connection.close()
    return found
