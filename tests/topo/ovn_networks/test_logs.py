"""What ovn-controller writes down of packets that security groups judged: what was asked for, of whom, and not too much."""

from __future__ import annotations

import socket
import time
from dataclasses import replace
from typing import Any, Literal

import pytest

from tests.ovn_lab import PROGRAMS, wait_until
from tests.topo.lab import PATIENCE, Lab, ingress, uid
from tests.topo.ovn_lab import OvnLab
from weft.config import NetworkLog
from weft.logical.model import Log

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs(*PROGRAMS), pytest.mark.dataplanes("ovn")]

OPEN, SHUT = 4000, 4001
NAME = 'name="neutron-watch"'


@pytest.fixture
def two(lab: Lab) -> OvnLab:
    """a on h1 speaks to b and c on h2, who take UDP to one port only, and to d, in another group, who takes none."""
    assert isinstance(lab, OvnLab)
    lab.network("n")
    lab.group("in", ingress("udp", OPEN, OPEN))
    lab.group("too", ingress("udp", OPEN, OPEN))
    lab.port("a", "n", "10.0.0.1/24", host="h1")
    lab.port("b", "n", "10.0.0.2/24", groups=("out", "in", "too"), host="h2")
    lab.port("c", "n", "10.0.0.3/24", groups=("out", "in"), host="h2")
    lab.port("d", "n", "10.0.0.4/24", host="h2")
    lab.up()
    return lab


def log(lab: OvnLab, event: Literal["ACCEPT", "DROP", "ALL", ""], port: str = "") -> None:
    """Log what happens by the group `in`, and nothing else; '' : nothing at all."""
    group = lab.view.groups[uid("in")]
    logs = (Log("watch", event, uid(port) if port else ""),) if event else ()
    lab.view.groups[group.id] = replace(group, logs=logs)
    lab.set(group.key)


def lines(lab: OvnLab, host: str = "h2") -> list[str]:
    text = (lab.cloud.chassis[host].folder / "ovn-controller.log").read_text()
    return [line for line in text.splitlines() if "acl_log" in line and NAME in line]


def written(lab: OvnLab, expected: int, *asked: Any) -> list[str]:
    """What is written down of datagrams from a: (who to, port, whether it arrives)."""
    before = len(lines(lab))
    for to, port, arrives in asked:
        assert lab.delivers("a", to, port, answer=False) == arrives
    wait_until(lambda: len(lines(lab)) >= before + expected, what=f"{expected} lines")
    time.sleep(PATIENCE)  # for those that should not be there
    found = lines(lab)[before:]
    assert len(found) == expected, found
    return [line.partition("verdict=")[2] for line in found]


def test_refused(two: OvnLab) -> None:
    log(two, "DROP")
    (line,) = written(two, 1, ("b", OPEN, True), ("d", SHUT, False), ("b", SHUT, False))
    assert line.startswith("drop, severity=info, direction=to-lport: udp")
    assert "nw_src=10.0.0.1,nw_dst=10.0.0.2" in line and f"tp_dst={SHUT}" in line
    assert lines(two, "h1") == [], "it was judged on the other host"


def test_accepted(two: OvnLab) -> None:
    """Also where another group of the port allows the same without a word."""
    log(two, "ACCEPT")
    (line,) = written(two, 1, ("b", OPEN, True), ("b", SHUT, False))
    assert line.startswith("allow, severity=info, direction=to-lport: udp")
    assert f"tp_dst={OPEN}" in line


def test_one_port(two: OvnLab) -> None:
    log(two, "ALL", "c")
    found = written(two, 2, *((who, *what) for who in "bc" for what in ((OPEN, True), (SHUT, False))))
    assert [line.partition(",")[0] for line in found] == ["allow", "drop"]
    assert all("nw_dst=10.0.0.3" in line for line in found)
    two.set(two.change("c", port_security=False))
    assert written(two, 0, ("c", OPEN, True), ("c", SHUT, True)) == [], "no group says anything of it any more"


def test_without(two: OvnLab) -> None:
    """Before there is a log, and after it has gone."""
    asked = (("b", OPEN, True), ("b", SHUT, False))
    assert written(two, 0, *asked) == []
    log(two, "ALL")
    assert len(written(two, 2, *asked)) == 2
    log(two, "")
    assert written(two, 0, *asked) == []
    assert two.full().drift == []


def test_not_too_much(two: OvnLab) -> None:
    """A connection is written down with every packet, up to the limit."""
    two.plane.config = replace(two.plane.config, network_log=NetworkLog(rate_limit=1, burst_limit=1))
    two.restart()
    two.full()
    log(two, "ALL")
    before, many = len(lines(two)), 500
    with two.socket("b", socket.AF_INET, socket.SOCK_DGRAM) as ear, two.socket("a", socket.AF_INET, 2) as mouth:
        ear.bind(("10.0.0.2", OPEN))
        for _ in range(many):
            mouth.sendto(b"x", ("10.0.0.2", OPEN))
            assert ear.recv(10) == b"x"
    wait_until(lambda: len(lines(two)) > before)
    assert len(lines(two)) - before < many / 4
