"""`weft check` on a machine with OVN: what it sees of edits by hand, and that it mends them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import Any

import pytest

from tests.topo.whole import Installation
from tests.topo.whole_on_ovn.test_survival import machine
from tests.topo.whole_one_machine.conftest import Pair
from tests.waiting import wait_until
from weft.backends.ovn import daemons
from weft.backends.ovn.daemons import PACKAGES

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs(*PACKAGES), pytest.mark.slow]


def nbctl(weft: Installation, *line: str) -> str:
    command = ["ovn-nbctl", f"--db=unix:{weft.folder}/ovn/ovnnb_db.sock", "--timeout=10", *line]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def check(weft: Installation, *options: str) -> tuple[int, dict[str, list[dict[str, str]]], dict[str, Any]]:
    """(exit code, findings by what was examined, all that was said)."""
    run = weft.weft("check", "--json", *options, check=False)
    told = json.loads(run.stdout)
    found: dict[str, list[dict[str, str]]] = {}
    for one in told["findings"]:
        found.setdefault(one["what"], []).append(one)
    return run.returncode, found, told


def test_all_is_well(pair: Pair) -> None:
    code, found, _ = check(pair.weft)
    assert code == 0, found
    assert "schema" in found["Northbound database"][0]["found"]
    assert "ovn-northd" in found["Northbound database"][0]["found"]
    assert "schema" in found["Southbound database"][0]["found"]
    assert found["hosts"][0]["found"] == "1 of 1 chassis live"
    assert found["OVN's daemons"][0]["found"] == "all 6 run"
    assert [one["state"] for one in found["drift"]] == ["ok"]
    assert found["process ovn"][0]["state"] == "ok"


def test_an_edit_by_hand_is_mended_and_told(pair: Pair) -> None:
    weft = pair.weft
    addresses = nbctl(weft, "lsp-get-addresses", pair.b)
    nbctl(weft, "lsp-set-addresses", pair.b, "02:00:00:00:00:01 10.0.0.99")
    wait_until(lambda: nbctl(weft, "lsp-get-addresses", pair.b) == addresses)
    wait_until(lambda: any("mended" in one["found"] and pair.b in one["found"] for one in check(weft)[1]["drift"]))
    with weft.flood("a", pair.ip_b) as flood:
        wait_until(lambda: len(flood.answered) > 3)


def test_what_was_edited_while_weft_was_stopped(pair: Pair) -> None:
    """Each object that differs is named and nothing is touched; --repair mends it, also without a Weft that runs."""
    weft = pair.weft
    addresses, stray = nbctl(weft, "lsp-get-addresses", pair.b), "02:00:00:00:00:01 10.0.0.99"
    weft.stop()
    nbctl(weft, "lsp-set-addresses", pair.b, stray)
    nbctl(weft, "lsp-del", pair.a)
    code, found, _ = check(weft)
    assert code == 1
    lines = [one["found"] for one in found["drift"]]
    assert any(line.startswith(f"port {pair.b}: ") and "addresses was 02:00:00:00:00:01" in line for line in lines)
    assert any(line.startswith(f"port {pair.a}: ") and "was missing" in line for line in lines)
    assert nbctl(weft, "lsp-get-addresses", pair.b) == stray, "looking changes nothing"
    _, found, told = check(weft, "--repair")
    assert any(pair.b in line for line in told["repaired"])
    assert [one["state"] for one in found["drift"]] == ["ok"]
    assert nbctl(weft, "lsp-get-addresses", pair.b) == addresses
    with weft.flood("a", pair.ip_b) as flood:
        wait_until(lambda: len(flood.answered) > 3)


def test_repair_by_the_process_that_runs(pair: Pair) -> None:
    weft = pair.weft
    assert check(weft, "--repair")[2]["repaired"] == []


def test_what_does_not_run(pair: Pair) -> None:
    weft = pair.weft
    weft.stop()
    os.kill(daemons.running(machine(weft))["ovnnb_db"], signal.SIGKILL)
    wait_until(lambda: "ovnnb_db" not in daemons.running(machine(weft)))
    code, found, _ = check(weft)
    assert code == 1
    assert found["OVN's daemons"][0]["found"] == "ovnnb_db does not run"
    assert found["Northbound database"][0]["state"] == "failed"
    assert found["Southbound database"][0]["state"] == "ok"
