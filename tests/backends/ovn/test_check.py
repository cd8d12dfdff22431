"""`weft check --config`: the OVN of a `weft serve`, by its databases alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import Api, api, options  # noqa: F401 - fixtures
from tests.ovn_server import PROGRAMS, Server

pytestmark = [pytest.mark.needs_programs(*PROGRAMS), pytest.mark.one_database, pytest.mark.slow]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "ovn").mkdir()
    made = Server(tmp_path / "ovn")
    yield made
    made.kill()


def check(api: Api, server: Server, *more: str) -> dict[str, Any]:  # noqa: F811
    """What the command says of a `weft serve` on the database of `api`."""
    state = Path(server.remote.removeprefix("unix:")).parent
    file = state / "weft.conf"
    file.write_text(
        f"[DEFAULT]\nbackend = ovn\nstate_path = {state}\n[database]\nconnection = {api.config.database_url}\n"
        f"[ovn]\novn_nb_connection = {server.remote}\novn_sb_connection = {server.remote}\n"
    )
    line = [sys.executable, "-m", "weft", "check", "--json", "--config", str(file), *more]
    run = subprocess.run(line, capture_output=True, text=True, check=False)
    assert run.stdout, run.stderr
    return dict(json.loads(run.stdout))


def found(told: dict[str, Any], what: str) -> list[str]:
    return [f"{one['state']}: {one['found']}" for one in told["findings"] if one["what"] == what]


def test_what_differs_is_named_and_mended(api: Api, server: Server) -> None:  # noqa: F811
    network = api.make("networks", name="blue")["id"]
    told = check(api, server)
    assert found(told, "Northbound database")[0].startswith("ok: 1 of 1 answer, schema ")
    assert found(told, "hosts") == ["warning: there is no chassis"]
    assert f"failed: switch {network}: Logical_Switch neutron-{network} was missing" in found(told, "drift")
    assert server.nb.rows("Logical_Switch") == [], "looking changes nothing"
    told = check(api, server, "--repair")
    assert any(network in line for line in told["repaired"])
    assert found(told, "drift") == ["ok: OVN says what the database says"]
    assert [row["name"] for row in server.nb.rows("Logical_Switch")] == [f"neutron-{network}"]
    server.nb.update("Logical_Switch", {"other_config": ["map", [["mcast_snoop", "true"]]]})
    assert any("mcast_snoop was true instead of false" in line for line in found(check(api, server), "drift"))


def test_a_database_that_does_not_answer(api: Api, server: Server) -> None:  # noqa: F811
    server.kill()
    told = check(api, server)
    assert told["state"] == "failed"
    assert found(told, "Northbound database") == [f"failed: {server.remote}: it does not answer"]
    assert found(told, "drift") == []
