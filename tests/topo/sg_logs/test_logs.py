"""What is written down of packets that security groups judged: what was asked for, of whom, and not too much."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.topo.lab import PATIENCE, Lab, ingress, uid
from tests.topo.ovn_lab import OvnLab
from tests.waiting import wait_until
from weft.config import NetworkLog
from weft.logical.model import Log

pytestmark = [pytest.mark.needs_root, pytest.mark.dataplanes("linux", "ovn")]

OPEN, SHUT = 4000, 4001
ON_LINUX = re.compile(
    r"action=(\w+) log_resource_ids=watch vm_port=(\S+) direction=(\w+) pkt=udp src=(\S+) dst=(\S+) sport=\d+ dport=(\d+)"
)
ON_OVN = re.compile(r'acl_log.*name="neutron-watch", verdict=(\w+),.*nw_dst=([\d.]+),.*tp_dst=(\d+)')


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "packets.log"


def limited(lab: Lab, file: Path, rate: int) -> None:
    """Another process takes over, with that limit."""
    options = NetworkLog(rate_limit=rate, burst_limit=rate, local_output_log_base=str(file))
    if isinstance(lab, OvnLab):
        lab.plane.config = replace(lab.plane.config, network_log=options)
    else:
        lab.backend.close()
        lab.config = replace(lab.config, network_log=options)
    lab.restart()


@pytest.fixture
def four(lab: Lab, file: Path) -> Lab:
    """a speaks to b and c, who take UDP to one port only, and to d, in another group, who takes none."""
    limited(lab, file, 100)
    lab.network("n")
    lab.group("in", ingress("udp", OPEN, OPEN))
    lab.group("too", ingress("udp", OPEN, OPEN))
    for number, (name, groups) in enumerate({"a": "", "b": "in too", "c": "in", "d": ""}.items(), 1):
        lab.port(name, "n", f"10.0.0.{number}/24", groups=("out", *groups.split()))
    lab.up()
    return lab


def log(lab: Lab, event: Literal["ACCEPT", "DROP", "ALL", ""], port: str = "") -> None:
    """Log what happens by the group `in`, and nothing else; '' : nothing at all."""
    group = lab.view.groups[uid("in")]
    logs = (Log("watch", event, uid(port) if port else ""),) if event else ()
    lab.view.groups[group.id] = replace(group, logs=logs)
    lab.set(group.key)


def lines(lab: Lab, file: Path) -> list[tuple[str, str, int]]:
    """(verdict, workload, port) of what was written down until now; the workload is the one that it was sent to."""
    names = {workload.ip: name for name, workload in lab.workloads.items()}
    if isinstance(lab, OvnLab):
        logs = [(host.folder / "ovn-controller.log").read_text() for host in lab.cloud.chassis.values()]
        found = ON_OVN.findall("\n".join(logs))
        words = {"allow": "ACCEPT", "drop": "DROP"}
        return [(words[verdict], names[ip], int(port)) for verdict, ip, port in found]
    said = []
    for verdict, id, way, source, target, port in ON_LINUX.findall(file.read_text() if file.exists() else ""):
        assert id == lab.workloads[names[source if way == "egress" else target]].port
        said.append((verdict, names[target], int(port)))
    return said


@contextlib.contextmanager
def written(lab: Lab, file: Path, *expected: tuple[str, str, int]) -> Iterator[None]:
    """What is written down meanwhile, and nothing else. Logs of other tests may be in the same file."""
    before = lines(lab, file)
    yield
    wait_until(lambda: len(lines(lab, file)) >= len(before) + len(expected), what=f"{expected}")
    time.sleep(PATIENCE)  # for those that should not be there
    now = lines(lab, file)
    for one in before:
        now.remove(one)
    assert sorted(now) == sorted(expected)


def ask(lab: Lab, *asked: tuple[str, int, bool]) -> None:
    """Datagrams from a: (who to, port, whether it arrives)."""
    for to, port, arrives in asked:
        assert lab.delivers("a", to, port, answer=False) == arrives


def test_refused(four: Lab, file: Path) -> None:
    log(four, "DROP")
    with written(four, file, ("DROP", "b", SHUT)):
        ask(four, ("b", OPEN, True), ("d", SHUT, False), ("b", SHUT, False))


def test_accepted(four: Lab, file: Path) -> None:
    """Also where another group of the port allows the same without a word."""
    log(four, "ACCEPT")
    with written(four, file, ("ACCEPT", "b", OPEN)):
        ask(four, ("b", OPEN, True), ("b", SHUT, False))


def test_leaving(four: Lab, file: Path) -> None:
    """What a workload may not send is written down of its own group."""
    four.set(four.change("c", groups=("in",)))
    log(four, "DROP", "c")
    with written(four, file, ("DROP", "b", OPEN)):
        ask(four, ("b", OPEN, True))
        assert not four.delivers("c", "b", OPEN)


def test_one_port(four: Lab, file: Path) -> None:
    log(four, "ALL", "c")
    with written(four, file, ("ACCEPT", "c", OPEN), ("DROP", "c", SHUT)):
        ask(four, *((who, *what) for who in "bc" for what in ((OPEN, True), (SHUT, False))))
    four.set(four.change("c", port_security=False))
    with written(four, file):
        ask(four, ("c", OPEN, True), ("c", SHUT, True))  # no group says anything of it any more
    four.set(four.change("c", port_security=True))
    with written(four, file, ("DROP", "c", SHUT)):
        ask(four, ("c", SHUT, False))


def test_without(four: Lab, file: Path) -> None:
    """Before there is a log, and after it has gone."""
    asked: Any = (("b", OPEN, True), ("b", SHUT, False))
    with written(four, file):
        ask(four, *asked)
    log(four, "ALL")
    with written(four, file, ("ACCEPT", "b", OPEN), ("DROP", "b", SHUT)):
        ask(four, *asked)
    log(four, "")
    with written(four, file):
        ask(four, *asked)
    assert four.full().drift == []


def test_another_process_goes_on(four: Lab, file: Path) -> None:
    log(four, "DROP")
    limited(four, file, 50)
    four.full()
    with written(four, file, ("DROP", "b", SHUT)):
        ask(four, ("b", SHUT, False))


def test_not_too_much(four: Lab, file: Path) -> None:
    limited(four, file, 1)
    four.full()
    log(four, "DROP")
    before, sent = len(lines(four, file)), 0

    def seen() -> bool:
        nonlocal sent
        with four.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as mouth:
            for _ in range(500):
                mouth.sendto(b"x", ("10.0.0.2", SHUT))
        # what went before has been judged; so many at once may crowd it out
        wait_until(lambda: four.delivers("a", "b", OPEN, answer=False))
        sent += 500
        return len(lines(four, file)) > before

    wait_until(seen, 30)  # not at once where something else has used the limit up, as a neighbour's report of IPv6
    time.sleep(PATIENCE)
    assert len(lines(four, file)) - before < sent / 4
