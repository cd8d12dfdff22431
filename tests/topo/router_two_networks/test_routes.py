"""Extra routes: by way of a workload, over several ways at once, and what cannot be."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from tests.topo.router_lab import Lab, gateway, leg, router
from weft.logical.model import LogicalRouter, Route

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.dataplanes("linux", "ovn"),
    pytest.mark.needs_programs("ping", "nsenter", "ip", "tcpdump"),
]


@pytest.fixture
def hosts(lab: Lab) -> tuple[str, str, str]:
    """A client in network a; in network b two next hops, 11 and 12, that both are 172.20.0.1 and fd00:20::1."""
    lab.network("a")
    lab.network("b")
    client = lab.host("a1", "a", "10.0.0.11/24", "fd00:a::11/64", via=("10.0.0.1", "fd00:a::1"))
    hops = [
        lab.host(f"b{n}", "b", f"10.0.1.{n}/24", f"fd00:b::{n}/64", via=("10.0.1.1", "fd00:b::1"), lo="172.20.0.1/32")
        for n in (11, 12)
    ]
    for hop in hops:
        lab.sh(hop, "ip addr add fd00:20::1/128 dev lo nodad")
    return (client, *hops)


def with_routes(*routes: tuple[str, str]) -> LogicalRouter:
    legs = (leg("r", "a", "10.0.0.1/24", "fd00:a::1/64"), leg("r", "b", "10.0.1.1/24", "fd00:b::1/64"))
    return router("r", *legs, routes=routes)


def spread(lab: Lab, client: str, hops: tuple[str, ...], to: str) -> list[int]:
    """How many of 64 flows to `to` each hop received."""
    sockets = [lab.listen(hop, to, 7000, socket.SOCK_DGRAM) for hop in hops]
    for _ in range(64):
        lab.connect(client, to, 7000, socket.SOCK_DGRAM).send(b"x")
    counts = []
    for sock in sockets:
        sock.settimeout(0.3)
        received = 0
        try:
            while sock.recv(10):
                received += 1
        except TimeoutError:
            counts.append(received)
        sock.close()
    return counts


@pytest.mark.dataplanes("linux", because="the userspace datapath takes both ports of UDP for the same")
@pytest.mark.parametrize(
    ("destination", "host", "first", "second"),
    [
        ("172.20.0.0/16", "172.20.0.1", "10.0.1.11", "10.0.1.12"),
        ("fd00:20::/64", "fd00:20::1", "fd00:b::11", "fd00:b::12"),
    ],
)
def test_one_way_two_ways_other_way_none(
    lab: Lab, hosts: tuple[str, str, str], destination: str, host: str, first: str, second: str
) -> None:
    client, *hops = hosts
    lab.set(with_routes((destination, first)))
    assert spread(lab, client, tuple(hops), host) == [64, 0]
    lab.set(with_routes((destination, second), (destination, first)))
    both = spread(lab, client, tuple(hops), host)
    assert sum(both) == 64
    assert min(both) > 8
    assert lab.audit() == []
    lab.set(with_routes((destination, second)))
    assert spread(lab, client, tuple(hops), host) == [0, 64]
    lab.set(with_routes())
    assert not lab.reaches(client, host)


def test_a_route_changes_under_traffic(lab: Lab, hosts: tuple[str, str, str]) -> None:
    client, *_ = hosts
    lab.set(with_routes(("172.20.0.0/16", "10.0.1.11"), ("fd00:20::/64", "fd00:b::11")))
    floods = [lab.flood(client, "172.20.0.1"), lab.flood(client, "fd00:20::1")]
    for one, two in (("12", "12"), ("11", "12"), ("12", "11"), ("11", "11")) * 3:
        ways = {one, two}
        routes = [("172.20.0.0/16", f"10.0.1.{way}") for way in ways] + [
            ("fd00:20::/64", f"fd00:b::{way}") for way in ways
        ]
        lab.set(with_routes(*routes))
    lost = [flood.stop().lost for flood in floods]
    assert lost == [0, 0]


@pytest.mark.dataplanes("linux", because="looks at the kernel's routes")
def test_default_route_of_ones_own_beats_the_gateways(lab: Lab, hosts: tuple[str, str, str]) -> None:
    client, *_ = hosts
    lab.network("ext")
    gate = gateway("r", "ext", "203.0.113.10/24", nexthops=("203.0.113.1",))
    one = replace(with_routes(), gateway=gate)
    lab.set(one)
    assert not lab.reaches(client, "172.20.0.1")
    lab.set(replace(one, routes=(Route("0.0.0.0/0", "10.0.1.11"),)))
    assert lab.reaches(client, "172.20.0.1")
    lab.set(one)
    assert "default via 203.0.113.1 " in lab.sh(lab.namespace("r"), "ip route")


def test_route_does_not_cut_off_a_connected_subnet(lab: Lab, hosts: tuple[str, str, str]) -> None:
    client, *_ = hosts
    lab.set(with_routes(("10.0.0.0/24", "10.0.1.11"), ("fd00:a::/64", "fd00:b::11")))
    assert lab.reaches(client, "10.0.1.11")
    assert lab.reaches(client, "fd00:b::11")


@pytest.mark.dataplanes("linux", because="ovn-northd leaves such a route out without a word")
def test_owner_learns_why_a_route_is_not_there(lab: Lab, hosts: tuple[str, str, str]) -> None:
    client, *_ = hosts
    one = with_routes(("172.21.0.0/16", "192.0.2.1"), ("172.20.0.0/16", "10.0.1.11"))
    status = lab.set(one).status[one.key]
    assert status.up
    assert status.reason == "route to 172.21.0.0/16: no leg of the router reaches 192.0.2.1"
    assert lab.reaches(client, "172.20.0.1")


@pytest.mark.dataplanes("linux", because="looks at the kernel's routes")
def test_routes_of_others_stay(lab: Lab, hosts: tuple[str, str, str]) -> None:
    lab.set(with_routes())
    name = lab.namespace("r")
    lab.sh(name, "ip route add 192.0.2.0/24 via 10.0.1.11 proto static")
    lab.set(with_routes(("172.20.0.0/16", "10.0.1.11")))
    lab.audit()
    assert "192.0.2.0/24 via 10.0.1.11" in lab.sh(name, "ip route")
