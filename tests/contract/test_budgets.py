"""How many doors one request passes: the budgets of the design for POST of one port."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from sqlalchemy import event

import weft
from tests.api.conftest import Api, api, options  # noqa: F401 - fixtures

HOUSE = str(Path(weft.__file__).parent)
MOST_FILES, MOST_FUNCTIONS, MOST_STATEMENTS = 34, 140, 15
"""Upstream, measured the same way: 107 files, 551 functions, 164 statements in 12 transactions."""


@pytest.fixture
def network(api: Api) -> str:  # noqa: F811
    made = api.make("networks")
    api.make("subnets", network_id=made["id"], ip_version=4, cidr="10.0.0.0/20")
    api.make("ports", network_id=made["id"])
    return str(made["id"])


def test_files_and_functions(api: Api, network: str) -> None:  # noqa: F811
    seen: set[tuple[str, str, int]] = set()

    def note(frame: FrameType, what: str, _argument: Any) -> None:
        code = frame.f_code
        if what == "call" and code.co_filename.startswith(HOUSE) and not code.co_name.startswith("<"):
            seen.add((code.co_filename, code.co_qualname, code.co_firstlineno))

    sys.setprofile(note)
    try:
        api.make("ports", network_id=network)
    finally:
        sys.setprofile(None)
    files = sorted({path.removeprefix(HOUSE) for path, _, _ in seen})
    functions = sorted(name for _, name, _ in seen)
    assert 10 < len(files) <= MOST_FILES, files
    assert 30 < len(functions) <= MOST_FUNCTIONS, functions


def test_statements_in_one_transaction(api: Api, network: str) -> None:  # noqa: F811
    begins: list[str] = []

    def trace(raw: Any, _record: Any, _proxy: Any) -> None:
        raw.set_trace_callback(lambda statement: begins.append(statement) if statement.startswith("BEGIN") else None)

    if not api.store.sqlite:
        pytest.skip("traces SQLite's own statements")
    event.listen(api.store.engine, "checkout", trace)
    with api.statements() as statements:
        api.make("ports", network_id=network)
    event.remove(api.store.engine, "checkout", trace)
    assert len(begins) == 1, begins
    assert 5 < len(statements) <= MOST_STATEMENTS, statements
