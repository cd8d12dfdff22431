"""Floating IPs of one router: both directions, round the corner, given, moved and taken away."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.topo.router_lab import TCP, UDP, Lab, floating, gateway, leg, router
from weft.backends.linux import conntrack, netlink
from weft.logical.model import LogicalRouter, Nat

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.dataplanes("linux", "ovn"),
    pytest.mark.needs_programs("ping", "nsenter", "ip", "tcpdump", "nft"),
]

INTERNET = "198.51.100.1"
FIRST, SECOND, THIRD = (floating(f"203.0.113.11{n}", f"10.0.0.1{n}") for n in (1, 2, 3))


@pytest.fixture
def hosts(lab: Lab) -> dict[str, str]:
    """Workloads 10.0.0.11 to .13 in network a, 10.0.1.21 in network b, and the outside."""
    for name in ("a", "b", "ext"):
        lab.network(name)
    hosts = {f"a{n}": lab.host(f"a{n}", "a", f"10.0.0.{n}/24", via="10.0.0.1") for n in (11, 12, 13)}
    hosts["b21"] = lab.host("b21", "b", "10.0.1.21/24", via="10.0.1.1")
    hosts["out"] = lab.host("out", "ext", "203.0.113.1/24", lo=f"{INTERNET}/32")
    return hosts


def edge(*nats: Nat, snat: bool = True) -> LogicalRouter:
    gate = gateway("r", "ext", "203.0.113.10/24", nexthops=("203.0.113.1",), snat=snat)
    return router("r", leg("r", "a", "10.0.0.1/24"), leg("r", "b", "10.0.1.1/24"), gateway=gate, nats=nats)


@pytest.mark.parametrize("snat", [True, False])
@pytest.mark.parametrize("kind", [TCP, UDP])
def test_out_and_in(lab: Lab, hosts: dict[str, str], kind: int, snat: bool) -> None:
    lab.set(edge(FIRST, snat=snat))
    assert lab.talk(hosts["out"], INTERNET, 80, hosts["a11"], INTERNET, kind=kind) == "203.0.113.111"
    assert lab.talk(hosts["a11"], "10.0.0.11", 80, hosts["out"], "203.0.113.111", kind=kind) == "203.0.113.1"


def test_who_has_none_leaves_by_the_gateway(lab: Lab, hosts: dict[str, str]) -> None:
    lab.set(edge(FIRST))
    assert lab.talk(hosts["out"], INTERNET, 80, hosts["a12"], INTERNET) == "203.0.113.10"


@pytest.mark.parametrize("snat", [True, False])
@pytest.mark.parametrize(
    ("client", "server", "seen"),
    [
        ("a11", "a12", "203.0.113.111"),  # neighbours, both with one
        ("a12", "a11", "203.0.113.112"),
        ("b21", "a11", "203.0.113.121"),  # of two networks
        ("a11", "a11", "203.0.113.111"),  # its own
        ("a13", "a11", "203.0.113.10"),  # a neighbour without one
    ],
)
def test_from_inside_to_a_floating_ip(
    lab: Lab, hosts: dict[str, str], client: str, server: str, seen: str, snat: bool
) -> None:
    if not (snat or client != "a13" or lab.hides_neighbours):
        pytest.skip("not on ovn: without SNAT the answer to a neighbour goes past the router")
    lab.set(edge(FIRST, SECOND, floating("203.0.113.121", "10.0.1.21"), snat=snat))
    to, at = f"203.0.113.1{server[1:]}", f"10.0.0.{server[1:]}"
    assert lab.ping(hosts[client], to).lost == 0
    assert lab.talk(hosts[server], at, 80, hosts[client], to) == seen


@pytest.mark.dataplanes("linux", because="OVN announces by requests, and again after growing pauses")
def test_it_is_announced_when_it_appears(lab: Lab, hosts: dict[str, str]) -> None:
    lab.set(edge())
    heard = lab.sniff(hosts["out"], "eth0", "arp and src host 203.0.113.111", 4)
    lab.set(edge(FIRST))
    lines = heard.lines()
    assert [("Request" in line, "Reply" in line) for line in lines] == [(True, False), (False, True)] * 2
    assert edge().gateway is not None
    assert all(edge().gateway.mac in line for line in lines)  # type: ignore[union-attr]


@pytest.mark.dataplanes("linux", because="OVN announces by requests, and again after growing pauses")
def test_it_is_not_announced_again_without_need(lab: Lab, hosts: dict[str, str]) -> None:
    lab.set(edge(FIRST))
    heard = lab.sniff(hosts["out"], "eth0", "arp and src host 203.0.113.111", 3)
    assert len(heard.lines(wait=1.5)) == 2, "the second of the first pass"
    heard = lab.sniff(hosts["out"], "eth0", "arp and src host 203.0.113.111", 1)
    lab.audit()
    lab.set(edge(FIRST))
    lab.restart()
    lab.audit()
    assert heard.lines(wait=1.5) == []


@pytest.mark.dataplanes("linux", because="OVN leaves connections as they began when an address moves")
def test_moved_while_pinging(lab: Lab, hosts: dict[str, str]) -> None:
    lab.set(edge(FIRST))
    flood = lab.flood(hosts["out"], "203.0.113.111")
    for internal in ("10.0.0.12", "10.0.1.21", "10.0.0.11") * 2:
        receiver = {"10.0.0.11": "a11", "10.0.0.12": "a12", "10.0.1.21": "b21"}[internal]
        seen = lab.sniff(hosts[receiver], "eth0", "icmp[0]==8", 3)
        lab.set(edge(floating("203.0.113.111", internal)))
        assert all(f"203.0.113.1 > {internal}" in line for line in seen.lines()), "the running ping goes to the new one"
    pings = flood.stop()
    assert pings.sent > 30
    assert pings.lost <= 12, "two for each move: those in flight"


@pytest.mark.dataplanes("linux", because="OVN leaves connections as they began when an address moves")
def test_outgoing_connections_follow_the_move(lab: Lab, hosts: dict[str, str]) -> None:
    """A ping that left with the address must not go on to use it when it belongs to somebody else."""
    lab.set(edge(FIRST))
    flood = lab.flood(hosts["a11"], INTERNET)
    lab.set(edge(floating("203.0.113.111", "10.0.0.12")))
    seen = lab.sniff(hosts["out"], "eth0", "icmp[0]==8", 3)
    assert all(f"203.0.113.10 > {INTERNET}" in line for line in seen.lines())
    assert flood.stop().lost <= 3


def test_taken_away(lab: Lab, hosts: dict[str, str]) -> None:
    """It falls silent at once, also for connections that were open; the others notice nothing."""
    lab.set(edge(FIRST, SECOND))
    other, out = lab.flood(hosts["out"], "203.0.113.112"), lab.flood(hosts["a13"], INTERNET)
    gone = lab.flood(hosts["out"], "203.0.113.111")
    lab.set(edge(SECOND))
    silent = lab.sniff(hosts["a11"], "eth0", "icmp")
    assert silent.lines(wait=0.5) == []
    assert gone.stop().lost > 20
    assert max(other.stop().lost, out.stop().lost) <= lab.underway


def test_given_to_a_workload_that_is_talking(lab: Lab, hosts: dict[str, str]) -> None:
    """What runs goes on by the gateway's address; what begins now has the new one."""
    lab.set(edge())
    flood = lab.flood(hosts["a11"], INTERNET)
    lab.set(edge(FIRST))
    assert lab.talk(hosts["out"], INTERNET, 80, hosts["a11"], INTERNET) == "203.0.113.111"
    assert flood.stop().lost <= lab.underway


def test_swapped(lab: Lab, hosts: dict[str, str]) -> None:
    lab.set(edge(FIRST, SECOND))
    lab.set(edge(floating("203.0.113.111", "10.0.0.12"), floating("203.0.113.112", "10.0.0.11")))
    assert lab.talk(hosts["out"], INTERNET, 80, hosts["a11"], INTERNET) == "203.0.113.112"
    assert lab.talk(hosts["a12"], "10.0.0.12", 80, hosts["out"], "203.0.113.111") == "203.0.113.1"
    assert lab.audit() == []


@pytest.mark.dataplanes("linux", because="looks at the kernel's connections of a router")
def test_only_connections_of_the_moved_one_are_forgotten(lab: Lab, hosts: dict[str, str]) -> None:
    lab.set(edge(FIRST, SECOND))
    for client, to in (("out", "203.0.113.111"), ("out", "203.0.113.112"), ("a11", INTERNET), ("a13", INTERNET)):
        lab.ping(hosts[client], to, 1)
    before = flows(lab)
    lab.set(edge(replace(FIRST, logical_ip="10.0.1.21"), SECOND))
    after = flows(lab)
    assert before - after == {
        ("203.0.113.1", "203.0.113.111", "203.0.113.1"),
        ("10.0.0.11", INTERNET, "203.0.113.111"),
    }


def flows(lab: Lab) -> set[tuple[str, str, str]]:
    """(source, destination, destination of answers) of what the router's namespace tracks."""
    sock = netlink.Socket(lab.namespace("r"), netlink.NETFILTER)
    try:
        return {(flow.orig.src, flow.orig.dst, flow.reply.dst) for flow in conntrack.dump(sock)}
    finally:
        sock.close()


def test_its_address_is_of_another_subnet_than_the_gateways(lab: Lab, hosts: dict[str, str]) -> None:
    lab.sh(hosts["out"], "ip addr add 192.0.2.1/24 dev eth0")
    lab.set(edge(floating("192.0.2.77", "10.0.0.11")))
    assert lab.talk(hosts["a11"], "10.0.0.11", 80, hosts["out"], "192.0.2.77") == "192.0.2.1"
    assert lab.talk(hosts["out"], INTERNET, 80, hosts["a11"], INTERNET) == "192.0.2.77"


@pytest.mark.dataplanes("linux", because="looks at the kernel's rules of a router")
def test_one_more_of_many_is_one_more_element(lab: Lab, hosts: dict[str, str]) -> None:
    """The rules are not replaced (their handles stay), do not grow, and nothing else's connections end."""
    many = [floating(f"100.64.{n >> 8}.{n & 255}", f"10.0.{64 + (n >> 8)}.{n & 255}") for n in range(10_000)]
    lab.set(edge(*many))
    name = lab.namespace("r")
    before = lab.sh(name, "nft -a list chains; nft -a list chain inet weft prerouting")
    lab.set(edge(*many, FIRST))
    assert lab.sh(name, "nft -a list chains; nft -a list chain inet weft prerouting") == before
    assert lab.ping(hosts["out"], "203.0.113.111").lost == 0
    assert lab.audit() == []
    lab.set(edge(*many[1:], FIRST))
    assert lab.sh(name, "nft -a list chain inet weft prerouting") in before
    assert "100.64.0.0 " not in lab.sh(name, "nft list table inet weft; ip addr")
    assert lab.sh(name, "ip -o addr show to 100.64.0.0/16").count("\n") == 9999
