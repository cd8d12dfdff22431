"""OVN's daemons of one machine, real ones: their logs stay within a size."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import wait_until
from weft.backends.linux import netns
from weft.backends.ovn import daemons
from weft.backends.ovn.daemons import PACKAGES, DaemonError, Machine

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs(*PACKAGES)]

NAMES = {"ovnnb_db", "ovnsb_db", "conf", "ovs-vswitchd", "ovn-northd", "ovn-controller"}
MUCH = 1 << 16


@pytest.fixture
def machine(tmp_path: Path, prefix: str) -> Iterator[Machine]:
    made = Machine(tmp_path / "ovn", f"{prefix}daemons", "machine", "nova")
    netns.create(made.namespace, netns.HOST_SYSCTLS)
    try:
        daemons.start(made)
        yield made
    finally:
        daemons.stop(made)
        netns.delete(made.namespace)


def fill(where: Machine, *names: str) -> None:
    """As if they had said so much."""
    for name in names:
        with (where.folder / f"{name}.log").open("a") as log:
            log.write("x" * MUCH + "\n")


def opened(where: Machine, name: str) -> set[str]:
    """Logs that the daemon has open. It closes and opens others meanwhile."""
    process = daemons.running(where)[name]
    links = []
    for one in os.scandir(f"/proc/{process}/fd"):
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink(one.path))
    return {Path(link).name for link in links if ".log" in link}


def test_a_long_log_is_put_aside(machine: Machine) -> None:
    """Every daemon goes on in a new one; there is one old one of each, however often."""
    before = daemons.running(machine)
    assert set(before) == NAMES
    for _ in range(3):
        fill(machine, *NAMES)
        assert set(daemons.bound_logs(machine, MUCH)) == NAMES
    for name in NAMES:
        assert opened(machine, name) == {f"{name}.log"}
        assert "opened log file" in (machine.folder / f"{name}.log").read_text()
        assert (machine.folder / f"{name}.log.1").stat().st_size > MUCH
    assert len(list(machine.folder.glob("*.log*"))) == 2 * len(NAMES)
    assert daemons.running(machine) == before, "nothing was started again"


def test_a_short_one_stays(machine: Machine) -> None:
    fill(machine, "ovn-northd")
    kept = machine.folder / "ovn-controller.log"
    before = kept.stat().st_ino
    assert daemons.bound_logs(machine, MUCH) == ["ovn-northd"]
    assert daemons.bound_logs(machine, MUCH) == []
    assert kept.stat().st_ino == before


def test_a_daemon_that_does_not_answer(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named; the others' are done, and its own when it answers again."""
    monkeypatch.setattr(daemons, "APPCTL", 1)
    process = daemons.running(machine)["ovn-northd"]
    os.kill(process, signal.SIGSTOP)
    try:
        fill(machine, "ovn-northd", "ovn-controller")
        with pytest.raises(DaemonError, match="ovn-northd takes no new log"):
            daemons.bound_logs(machine, MUCH)
        assert opened(machine, "ovn-controller") == {"ovn-controller.log"}
    finally:
        os.kill(process, signal.SIGCONT)
    wait_until(lambda: opened(machine, "ovn-northd") == {"ovn-northd.log"})


def test_a_daemon_that_does_not_run(machine: Machine) -> None:
    daemon = next(one for one in machine.daemons() if one.name == "ovn-northd")
    assert daemons.end(machine, daemon)
    fill(machine, "ovn-northd")
    assert daemons.bound_logs(machine, MUCH) == ["ovn-northd"]
    assert daemons.start(machine) == ["ovn-northd"]
    assert opened(machine, "ovn-northd") == {"ovn-northd.log"}
