"""Two networks and a router between them: reachability, MTU, being switched off."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.topo.router_lab import Lab, address, floating, gateway, leg, router
from weft.logical.model import LogicalRouter

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.dataplanes("linux", "ovn"),
    pytest.mark.needs_programs("ping", "tcpdump", "nsenter", "ip"),
]


@pytest.fixture
def hosts(lab: Lab) -> tuple[str, str]:
    """One workload in network a (10.0.0.11, fd00:a::11), one in network b (10.0.1.11, fd00:b::11)."""
    lab.network("a")
    lab.network("b")
    return (
        lab.host("a1", "a", "10.0.0.11/24", "fd00:a::11/64", via=("10.0.0.1", "fd00:a::1")),
        lab.host("b1", "b", "10.0.1.11/24", "fd00:b::11/64", via=("10.0.1.1", "fd00:b::1")),
    )


def between() -> LogicalRouter:
    return router("r", leg("r", "a", "10.0.0.1/24", "fd00:a::1/64"), leg("r", "b", "10.0.1.1/24", "fd00:b::1/64"))


def test_both_families_pass(lab: Lab, hosts: tuple[str, str]) -> None:
    a, b = hosts
    assert not lab.reaches(a, "10.0.1.11")
    assert lab.set(between()).status[between().key].up
    assert lab.ping(a, "10.0.1.11").lost == 0
    assert lab.ping(b, "10.0.0.11").lost == 0
    assert lab.ping(a, "fd00:b::11").lost == 0
    assert lab.ping(b, "fd00:a::11").lost == 0
    assert lab.ping(a, "10.0.0.1").lost == 0
    assert lab.ping(a, "10.0.1.1").lost == 0


def test_workloads_see_each_other_untranslated(lab: Lab, hosts: tuple[str, str]) -> None:
    """Also where the router translates towards the outside and the workload has a floating IP."""
    a, b = hosts
    lab.network("ext")
    gate = gateway("r", "ext", "203.0.113.10/24")
    lab.set(replace(between(), gateway=gate, nats=(floating("203.0.113.111", "10.0.0.11"),)))
    seen = lab.sniff(b, "eth0", "icmp[0]==8")
    lab.ping(a, "10.0.1.11")
    assert "10.0.0.11 > 10.0.1.11" in seen.lines()[0]


def test_router_sends_no_redirects(lab: Lab, hosts: tuple[str, str]) -> None:
    """Two subnets on one wire: what goes in and out by one leg does so silently."""
    a, _ = hosts
    lab.host("a2", "a", "10.0.7.11/24", via="10.0.7.1")
    lab.set(router("r", leg("r", "a", "10.0.0.1/24", "10.0.7.1/24")))
    redirects = lab.sniff(a, "eth0", "icmp[0]==5")
    assert lab.ping(a, "10.0.7.11", 5).lost == 0
    assert redirects.lines(wait=1) == []


def test_a_network_is_attached_and_detached_under_traffic(lab: Lab, hosts: tuple[str, str]) -> None:
    a, _ = hosts
    lab.network("c")
    c = lab.host("c1", "c", "10.0.2.11/24", via="10.0.2.1")
    lab.set(between())
    flood = lab.flood(a, "10.0.1.11")
    third = leg("r", "c", "10.0.2.1/24")
    lab.set(replace(between(), ports=(*between().ports, third)))
    assert lab.reaches(c, "10.0.0.11")
    lab.set(between())
    assert not lab.reaches(c, "10.0.0.11")
    pings = flood.stop()
    assert pings.sent > 50
    assert pings.lost <= lab.underway


def test_address_of_a_leg_changes(lab: Lab, hosts: tuple[str, str]) -> None:
    a, _ = hosts
    lab.set(between())
    first, second = between().ports
    changed = replace(first, addresses=(address("10.0.0.254/24"), address("fd00:a::1/64")))
    lab.set(replace(between(), ports=(changed, second)))
    assert not lab.reaches(a, "10.0.0.1")
    assert lab.reaches(a, "10.0.0.254")
    assert lab.reaches(a, "fd00:b::11")


def test_router_is_switched_off_and_on(lab: Lab, hosts: tuple[str, str]) -> None:
    a, _ = hosts
    lab.set(between())
    assert lab.reaches(a, "10.0.1.11")
    off = replace(between(), enabled=False)
    report = lab.set(off)
    assert report.status[off.key].up is False
    assert "administratively down" in report.status[off.key].reason
    assert not lab.reaches(a, "10.0.1.11")
    assert not lab.reaches(a, "10.0.0.1")
    assert lab.audit() == []
    report = lab.set(between())
    assert report.status[off.key].up
    assert lab.ping(a, "10.0.1.11").lost == 0
    assert lab.ping(a, "fd00:b::11").lost == 0


def test_one_leg_is_switched_off(lab: Lab, hosts: tuple[str, str]) -> None:
    a, b = hosts
    first, second = between().ports
    lab.set(replace(between(), ports=(replace(first, enabled=False), second)))
    assert not lab.reaches(a, "10.0.0.1")
    assert lab.reaches(b, "10.0.1.1")


def test_router_goes(lab: Lab, hosts: tuple[str, str]) -> None:
    a, _ = hosts
    lab.set(between())
    assert lab.reaches(a, "10.0.1.11")
    lab.remove(between())
    assert not lab.reaches(a, "10.0.1.11")
    assert lab.remains("10.0.0.1") == []
    lab.set(between())
    assert lab.reaches(a, "10.0.1.11")


@pytest.mark.dataplanes("linux", because="a switch is a row, which is made before its routers")
def test_missing_bridge_is_a_failure_that_heals(lab: Lab, hosts: tuple[str, str]) -> None:
    a, _ = hosts
    one = replace(between(), ports=(*between().ports, leg("r", "nowhere", "10.0.9.1/24")))
    lab.view.routers[one.id] = one
    report = lab.routers.set(lab.view, [one.key])
    assert "brq" in report.failed[one.key]
    assert report.status[one.key].up is False
    assert lab.reaches(a, "10.0.1.11"), "the rest of the router works"
    lab.network("nowhere")
    assert lab.set(one).status[one.key].up
    c = lab.host("c1", "nowhere", "10.0.9.11/24", via="10.0.9.1")
    assert lab.reaches(c, "10.0.1.11")
