"""Processes of Weft and of OVN die, packets flow."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.topo.whole import Installation
from tests.topo.whole_one_machine.conftest import Pair
from tests.waiting import wait_until
from weft.backends.ovn import daemons
from weft.backends.ovn.daemons import PACKAGES, Machine

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs(*PACKAGES), pytest.mark.slow]


def machine(weft: Installation) -> Machine:
    return Machine(weft.folder / "ovn", weft.namespace, f"{weft.prefix}host", "nova")


def follows(weft: Installation, pair: Pair) -> bool:
    """What the API is asked for comes to be: one more workload."""
    name = f"c{time.monotonic_ns()}"
    made = weft.make("ports", network_id=pair.network, name=name)
    return str(weft.plug(made["id"], name[-6:])["status"]) == "ACTIVE"


@pytest.mark.parametrize("process", ["dataplane", "ovn", "daemons"])
def test_a_process_of_weft_is_killed(pair: Pair, process: str) -> None:
    weft = pair.weft
    before = daemons.running(machine(weft))
    with weft.flood("a", pair.ip_b) as flood:
        time.sleep(0.3)
        weft.kill(process)
        assert follows(weft, pair)
    assert len(flood.sent) > 30
    assert flood.lost == set()
    assert daemons.running(machine(weft)) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_everything_ends_and_starts_again(pair: Pair, number: signal.Signals) -> None:
    """Stopped or killed, Weft leaves packets flowing; started again it adopts the daemons that run."""
    weft = pair.weft
    before = daemons.running(machine(weft))
    assert len(before) == 6
    with weft.flood("a", pair.ip_b) as flood:
        time.sleep(0.3)
        weft.stop(number)
        time.sleep(0.5)
        weft.start()
        assert weft.port(pair.a)["status"] == "ACTIVE"
        assert follows(weft, pair)
    assert len(flood.sent) > 80
    assert flood.lost == set()
    assert daemons.running(machine(weft)) == before


@pytest.mark.parametrize("name", ["ovnnb_db", "ovnsb_db", "conf", "ovn-northd", "ovn-controller"])
def test_a_daemon_is_killed(pair: Pair, name: str) -> None:
    """It comes back, and meanwhile packets flow: they need the switch alone."""
    weft = pair.weft
    before = daemons.running(machine(weft))
    with weft.flood("a", pair.ip_b) as flood:
        time.sleep(0.3)
        os.kill(before[name], signal.SIGKILL)
        wait_until(lambda: daemons.running(machine(weft)).get(name, before[name]) != before[name])
        assert follows(weft, pair)
    assert flood.lost == set()
    after = daemons.running(machine(weft))
    assert {one: pid for one, pid in after.items() if one != name} == {
        one: pid for one, pid in before.items() if one != name
    }


def test_the_switch_is_killed(pair: Pair) -> None:
    """Packets wait until it is back."""
    weft = pair.weft
    os.kill(daemons.running(machine(weft))["ovs-vswitchd"], signal.SIGKILL)

    def answered() -> bool:
        with weft.flood("a", pair.ip_b) as flood:
            time.sleep(0.2)
        return bool(flood.answered)

    wait_until(answered)
    assert follows(weft, pair)


def test_a_number_that_another_process_has(installation: Installation) -> None:
    """A pid file tells of the past: who has that number now is left alone, and the daemon started beside it."""
    weft = installation
    where = machine(weft)
    weft.stop()
    daemon = next(one for one in where.daemons() if one.name == "ovn-northd")
    assert daemons.end(where, daemon)
    (where.folder / "ovn-northd.pid").write_text(f"{os.getpid()}\n")
    assert daemons.pid(where, daemon) is None
    weft.start()
    assert daemons.running(where)["ovn-northd"] != os.getpid()
    # nor are those of another installation ours
    assert daemons.running(replace(where, folder=Path("/nowhere"))) == {}


def test_a_log_that_is_too_long(installation: Installation) -> None:
    """It is put aside whenever the process that sees to the daemons looks, as it does when one ends."""
    where = machine(installation)
    log = where.folder / "ovn-controller.log"
    os.truncate(log, daemons.MOST_LOG + 1)
    os.kill(daemons.running(where)["ovn-northd"], signal.SIGKILL)
    wait_until(lambda: log.with_name("ovn-controller.log.1").exists() and log.exists())
    assert log.stat().st_size < daemons.MOST_LOG
