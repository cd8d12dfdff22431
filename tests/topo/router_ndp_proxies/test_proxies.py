"""NDP proxies with packets: an outside that knows no way inside finds single addresses as its neighbours."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.topo.router_lab import TCP, Lab, gateway, leg, router
from weft.logical.model import LogicalRouter

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs("ping", "nsenter", "ip", "tcpdump")]

ONE, TWO, OUT = "2001:db8:0:a::11", "2001:db8:0:a::12", "2001:db8:0:e::1"
GATE = gateway("r", "ext", "2001:db8:0:e::10/64", nexthops=(OUT,))


@pytest.fixture
def hosts(lab: Lab) -> tuple[str, str, str]:
    """Two workloads, and a neighbour outside which takes all of 2001:db8::/48 for its link."""
    lab.network("a")
    lab.network("ext")
    inside = [lab.host(f"a{ip[-1]}", "a", f"{ip}/64", via="2001:db8:0:a::1") for ip in (ONE, TWO)]
    return inside[0], inside[1], lab.host("out", "ext", f"{OUT}/48")


def edge(*proxies: str) -> LogicalRouter:
    return replace(router("r", leg("r", "a", "2001:db8:0:a::1/64"), gateway=GATE), ndp_proxies=proxies)


def test_with_a_proxy_and_without(lab: Lab, hosts: tuple[str, str, str]) -> None:
    one, _, outside = hosts
    lab.set(edge())
    assert not lab.reaches(outside, ONE)
    lab.set(edge(ONE))
    assert lab.talk(one, ONE, 8000, outside, ONE, kind=TCP) == OUT
    assert lab.talk(outside, OUT, 8001, one, OUT, kind=TCP) == ONE
    assert not lab.reaches(outside, TWO)
    lab.set(edge(TWO))
    lab.sh(outside, "ip -6 neigh flush all")
    assert lab.reaches(outside, TWO)
    assert not lab.reaches(outside, ONE)


def test_the_answer_comes_at_once(lab: Lab, hosts: tuple[str, str, str]) -> None:
    """RFC 4861 lets proxies wait; nobody else will answer."""
    *_, outside = hosts
    lab.set(edge(ONE))
    assert lab.ping(outside, ONE, 1, "-W 0.3").received == 1


def test_who_knows_a_way_is_let_in_to_nothing_else(lab: Lab, hosts: tuple[str, str, str]) -> None:
    *_, two, outside = hosts
    lab.sh(outside, "ip -6 route add 2001:db8:0:a::/64 via 2001:db8:0:e::10")
    lab.set(edge(ONE))
    assert lab.reaches(outside, ONE)
    assert not lab.reaches(outside, TWO)
    assert lab.reaches(two, OUT)  # whose answers are let in
    lab.set(edge())
    assert not lab.reaches(outside, ONE)
    lab.set(replace(edge(), ndp_proxies=None))
    assert lab.reaches(outside, ONE)
    assert lab.reaches(outside, TWO)


def test_drift_is_mended_and_strays_go(lab: Lab, hosts: tuple[str, str, str]) -> None:
    *_, outside = hosts
    lab.set(edge(ONE))
    namespace, device = (
        lab.namespace("r"),
        next(iter(lab.sh(lab.namespace("r"), "ls /proc/sys/net/ipv6/conf").split("qg-")[1:])),
    )
    device = f"qg-{device.split()[0]}"
    lab.sh(namespace, f"ip -6 neigh del proxy {ONE} dev {device}; ip -6 neigh add proxy {TWO} dev {device} protocol 87")
    lab.sh(namespace, "sysctl -qw net.ipv6.conf.all.proxy_ndp=0")
    found = lab.audit()
    assert len(found) == 3, found
    assert lab.audit() == []
    assert lab.reaches(outside, ONE)
    assert TWO not in lab.sh(namespace, "ip -6 neigh show proxy")


def test_a_restart_adopts(lab: Lab, hosts: tuple[str, str, str]) -> None:
    *_, outside = hosts
    lab.set(edge(ONE, TWO))
    flood = lab.flood(outside, ONE)
    lab.restart()
    lab.set(edge(ONE), full=True)
    assert flood.stop().lost == 0
    assert TWO not in lab.sh(lab.namespace("r"), "ip -6 neigh show proxy")


def test_down_and_up(lab: Lab, hosts: tuple[str, str, str]) -> None:
    *_, outside = hosts
    lab.set(edge(ONE))
    lab.set(replace(edge(ONE), enabled=False))
    assert not lab.reaches(outside, ONE)
    lab.set(edge(ONE))
    assert lab.reaches(outside, ONE)
    assert lab.audit() == []


def test_every_gateway_answers(lab: Lab, hosts: tuple[str, str, str]) -> None:
    lab.network("other")
    other = lab.host("far", "other", "2001:db8:0:f::1/48")
    second = gateway("r", "other", "2001:db8:0:f::10/64", nexthops=("2001:db8:0:f::1",))
    lab.set(replace(edge(ONE), extra_gateways=(second,)))
    assert lab.reaches(other, ONE)
    assert lab.reaches(hosts[2], ONE)
