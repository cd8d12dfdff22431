"""The laboratory itself: packets between its hosts, what is plugged is up, and nothing is left behind."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path

import pytest

from tests.ovn_lab import PROGRAMS, Ovn, run
from tests.ovn_workload import Device, plug, unplug
from tests.waiting import wait_until
from weft.backends.linux import netns

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs(*PROGRAMS)]


def workloads(ovn: Ovn) -> list[Device]:
    """Two ports of one switch by ovn-nbctl, one on each host, plugged."""
    made = [
        Device(f"{ovn.name}-vm{n}", f"{n}{n}{n}{n}0000-vm", f"02:00:00:00:00:0{n}", (f"10.0.0.{n}/24",)) for n in (1, 2)
    ]
    line = ["ls-add", "net"]
    for one in made:
        addresses = f"{one.mac} {one.cidrs[0].partition('/')[0]}"
        line += ["--", "lsp-add", "net", one.port, "--", "lsp-set-addresses", one.port, addresses]
    run("ovn-nbctl", f"--db={ovn.northbound_remote}", *line)
    for one, host in zip(made, ("h1", "h2"), strict=True):
        plug(ovn.chassis[host], [one])
    return made


def test_packets_between_hosts(ovn: Ovn) -> None:
    first, second = workloads(ovn)
    wait_until(lambda: ovn.bound() == {first.port: "h1", second.port: "h2"})
    ovn.sync()
    run("nsenter", f"--net=/run/netns/{first.namespace}", "ping", "-c", "1", "-W", "1", "10.0.0.2")
    large = ("ping", "-c", "1", "-W", "1", "-M", "do", "-s", "1472", "10.0.0.1")
    run("nsenter", f"--net=/run/netns/{second.namespace}", *large)
    unplug(ovn.chassis["h1"], first.port)
    wait_until(lambda: ovn.bound() == {second.port: "h2"})


def test_hosts_that_were_idle_for_long_know_each_other(ovn: Ovn) -> None:
    hosts = list(ovn.chassis.values())
    for one in hosts:
        one.appctl("tnl/neigh/flush")
    ovn.clear()
    for one, other in itertools.permutations(hosts, 2):
        assert one.appctl("tnl/neigh/show").count(other.mac) == 1


def test_hosts_come_and_go(ovn: Ovn) -> None:
    ovn.join(7)
    assert {row["hostname"] for row in ovn.sb.rows("Chassis", "hostname")} == {"h1", "h2", "h7"}
    ovn.leave("h7")
    wait_until(lambda: len(ovn.sb.rows("Chassis", "name")) == 2)
    assert ovn.broken() == []


def test_nothing_is_left_behind(prefix: str) -> None:
    before = set(netns.names())
    made = Ovn(prefix, hosts=1)
    pids = [made.programs.pid("ovn-northd"), made.chassis["h1"].programs.pid("ovs-vswitchd")]
    made.close()
    assert {name for name in netns.names() if name.startswith(made.name)} == set() <= before
    assert not made.folder.exists()
    assert not [pid for pid in pids if _runs(pid, made.folder)]


def _runs(pid: int, folder: Path) -> bool:
    line = subprocess.run(["cat", f"/proc/{pid}/cmdline"], capture_output=True, text=True).stdout
    return str(folder) in line
