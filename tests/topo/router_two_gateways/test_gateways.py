"""A router with two external networks: by which connections leave, that they stay there, and when one network is silent."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Iterable
from dataclasses import replace

import pytest

from tests.topo.router_lab import Lab, floating, gateway, leg, router, uid
from weft.logical.model import LogicalRouter, Nat, Route

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.needs_programs("ping", "nsenter", "ip", "tcpdump"),
]

INTERNET, INTERNET6 = "192.0.2.1", "2001:db8:9::9"
RED = gateway("r", "red", "203.0.113.10/24", "2001:db8:1::10/64", nexthops=("203.0.113.1", "2001:db8:1::1"))
BLUE = gateway("r", "blue", "198.18.0.10/24", "2001:db8:2::10/64", nexthops=("198.18.0.1", "2001:db8:2::1"))


@pytest.fixture
def hosts(lab: Lab) -> tuple[str, str, str]:
    """A workload (10.0.0.11), and two providers, each of which says that it is the internet."""
    for name in ("a", "red", "blue"):
        lab.network(name)
    inside = lab.host("a1", "a", "10.0.0.11/24", "2001:db8:a::11/64", via=("10.0.0.1", "2001:db8:a::1"))
    providers = []
    for name, four, six in (("red", "203.0.113", "2001:db8:1"), ("blue", "198.18.0", "2001:db8:2")):
        host = lab.host(name, name, f"{four}.1/24", f"{six}::1/64", lo=f"{INTERNET}/32")
        lab.sh(host, f"ip addr add {INTERNET6}/128 dev lo nodad; ip -6 route add 2001:db8:a::/64 via {six}::10")
        providers.append(host)
    return inside, *providers  # type: ignore[return-value]


def edge(ecmp: bool = False, nats: Iterable[Nat] = (), **more: object) -> LogicalRouter:
    one = router("r", leg("r", "a", "10.0.0.1/24", "2001:db8:a::1/64"), gateway=RED, nats=nats)
    return replace(one, extra_gateways=(BLUE,), ecmp=ecmp, **more)  # type: ignore[arg-type]


def by(nat: Nat, gateway_id: str) -> Nat:
    return replace(nat, gateway_port=gateway_id)


_ports = itertools.count(7001)
"""One for each time: a flow that the router remembers goes where it went before."""


def spread(lab: Lab, client: str, servers: tuple[str, ...], to: str = INTERNET, flows: int = 64) -> list[set[str]]:
    """As whom each provider saw the flows that came to it; in all as many as there were."""
    port = next(_ports)
    sockets = [lab.listen(server, to, port, socket.SOCK_DGRAM) for server in servers]
    sources: list[list[tuple[str, int]]] = [[] for _ in servers]
    clients = [lab.connect(client, to, port, socket.SOCK_DGRAM) for _ in range(flows)]
    for one in clients:
        one.send(b"x")
    for sock, seen in zip(sockets, sources, strict=True):
        sock.settimeout(0.5)
        try:
            while True:
                seen.append(sock.recvfrom(10)[1][:2])
        except TimeoutError:
            sock.close()
    for one in clients:
        one.close()
    assert sum(map(len, sources)) == flows
    assert all(not seen or len(seen) > flows / 8 for seen in sources), [len(seen) for seen in sources]
    return [{ip for ip, _ in seen} for seen in sources]


def test_by_the_first_without_equal_cost(lab: Lab, hosts: tuple[str, str, str]) -> None:
    inside, *providers = hosts
    lab.set(edge())
    assert spread(lab, inside, tuple(providers)) == [{"203.0.113.10"}, set()]
    assert spread(lab, inside, tuple(providers), INTERNET6) == [{"2001:db8:a::11"}, set()]
    assert lab.audit() == []


def test_by_both_at_equal_cost_each_with_its_own_address(lab: Lab, hosts: tuple[str, str, str]) -> None:
    inside, *providers = hosts
    lab.set(edge(ecmp=True))
    assert spread(lab, inside, tuple(providers)) == [{"203.0.113.10"}, {"198.18.0.10"}]
    assert spread(lab, inside, tuple(providers), INTERNET6) == [{"2001:db8:a::11"}] * 2
    assert lab.audit() == []


def test_one_gateway_gone(lab: Lab, hosts: tuple[str, str, str]) -> None:
    inside, *providers = hosts
    lab.set(edge(ecmp=True))
    lab.set(replace(edge(ecmp=True), gateway=BLUE, extra_gateways=()))
    assert spread(lab, inside, tuple(providers)) == [set(), {"198.18.0.10"}]
    assert lab.audit() == []
    lab.set(edge(ecmp=True))
    assert spread(lab, inside, tuple(providers)) == [{"203.0.113.10"}, {"198.18.0.10"}]


def test_a_provider_that_is_silent_gets_nothing_new(lab: Lab, hosts: tuple[str, str, str]) -> None:
    """The next hop answers no ARP, which the kernel notices within some 10 seconds."""
    inside, red, blue = hosts
    lab.set(edge(ecmp=True))
    spread(lab, inside, (red, blue))
    lab.sh(red, "ip link set eth0 down")
    namespace = lab.namespace("r")
    end = time.monotonic() + 30
    while "203.0.113.1 " not in lab.sh(namespace, "ip neigh show nud failed"):
        assert time.monotonic() < end, "the kernel takes its next hop for alive"
        for _ in range(16):
            with lab.connect(inside, INTERNET, 7000, socket.SOCK_DGRAM) as sock:
                sock.send(b"x")
        time.sleep(0.5)
    assert spread(lab, inside, (blue,)) == [{"198.18.0.10"}]


def test_a_connection_stays_with_its_gateway(lab: Lab, hosts: tuple[str, str, str]) -> None:
    """While the ways that new ones take change."""
    inside, red, blue = hosts
    lab.set(edge())
    with lab.listen(red, INTERNET, 8000) as listener, lab.connect(inside, INTERNET, 8000) as sock:
        accepted, peer = listener.accept()
        with accepted:
            assert peer[0] == "203.0.113.10"
            lab.set(replace(edge(), gateway=BLUE, extra_gateways=(RED,)))
            assert lab.talk(blue, INTERNET, 8001, inside, INTERNET) == "198.18.0.10"
            for _ in range(3):
                accepted.settimeout(2)
                sock.send(b"x")
                assert accepted.recv(10) == b"x"
                accepted.send(b"y")
                assert sock.recv(10) == b"y"


def test_answers_leave_where_the_question_came_in(lab: Lab, hosts: tuple[str, str, str]) -> None:
    """By a floating IP of either network, and by the gateway's own addresses, whatever the default route says."""
    inside, red, blue = hosts
    nats = [by(floating("203.0.113.111", "10.0.0.11"), RED.id), by(floating("198.18.0.111", "10.0.0.11"), BLUE.id)]
    lab.set(edge(nats=nats))
    for provider, ip, own, source in (
        (red, "203.0.113.111", "203.0.113.10", "192.0.2.2"),
        (blue, "198.18.0.111", "198.18.0.10", "192.0.2.3"),
    ):
        lab.sh(provider, f"ip addr add {source}/32 dev lo; ip route replace {ip} dev eth0 src {source}")
        lab.sh(provider, f"ip route replace {own} dev eth0 src {source}")
        assert lab.talk(inside, "10.0.0.11", 9000, provider, ip) == source
        assert lab.reaches(provider, own)
    assert lab.audit() == []


def test_a_floating_ip_says_by_which_gateway_its_workload_leaves(lab: Lab, hosts: tuple[str, str, str]) -> None:
    inside, red, blue = hosts
    lab.set(edge(nats=[by(floating("198.18.0.111", "10.0.0.11"), BLUE.id)]))
    assert spread(lab, inside, (red, blue)) == [set(), {"198.18.0.111"}]
    other = lab.host("a2", "a", "10.0.0.12/24", via="10.0.0.1")
    assert spread(lab, other, (red, blue)) == [{"203.0.113.10"}, set()]
    assert lab.talk(inside, "10.0.0.11", 9000, other, "198.18.0.111") == "203.0.113.10"
    assert lab.talk(other, "10.0.0.12", 9001, inside, "10.0.0.12") == "10.0.0.11"
    assert lab.reaches(inside, "203.0.113.1")


def test_floating_addresses_are_answered_for_on_their_network_only(lab: Lab, hosts: tuple[str, str, str]) -> None:
    _, red, blue = hosts
    lab.set(edge(nats=[by(floating("198.18.0.111", "10.0.0.11"), BLUE.id)]))
    assert lab.who_has(blue, "198.18.0.111") == BLUE.mac
    assert lab.who_has(red, "198.18.0.111", 0.3) == ""


@pytest.mark.parametrize("first", [True, False])
def test_nobody_comes_in_by_an_inner_address(lab: Lab, hosts: tuple[str, str, str], first: bool) -> None:
    """Where the gateway translates; where another does not, it is plain routing there."""
    _, red, blue = hosts
    open_, shut = (replace(RED, enable_snat=False), BLUE) if first else (RED, replace(BLUE, enable_snat=False))
    lab.set(replace(edge(), gateway=open_, extra_gateways=(shut,)))
    for provider, via in ((red, "203.0.113.10"), (blue, "198.18.0.10")):
        lab.sh(provider, f"ip route add 10.0.0.0/24 via {via}")
    assert lab.reaches(red, "10.0.0.11") is first
    assert lab.reaches(blue, "10.0.0.11") is not first


def test_a_static_default_route_comes_first(lab: Lab, hosts: tuple[str, str, str]) -> None:
    inside, *_ = hosts
    third = lab.host("third", "blue", "198.18.0.3/24", lo=f"{INTERNET}/32")
    lab.set(edge(routes=(Route("0.0.0.0/0", "198.18.0.3"),)))
    assert spread(lab, inside, (third,)) == [{"198.18.0.10"}]
    assert lab.talk(third, INTERNET, 8000, inside, INTERNET) == "198.18.0.10"


def test_drift_is_mended(lab: Lab, hosts: tuple[str, str, str]) -> None:
    inside, *providers = hosts
    lab.set(edge(ecmp=True))
    namespace = lab.namespace("r")
    lab.sh(
        namespace,
        "ip rule del pref 870; ip -6 rule del pref 870; ip rule add pref 871 fwmark 9 lookup 57009 protocol 87",
    )
    table = lab.sh(namespace, "ip rule").partition(" lookup 5")[2].split()[0]
    lab.sh(namespace, f"ip route flush table 5{table}")
    before = lab.sh(namespace, "ip rule")
    assert len(lab.audit()) >= 4
    assert lab.sh(namespace, "ip rule") != before
    assert lab.audit() == []
    assert "fwmark 0x9" not in lab.sh(namespace, "ip rule")
    assert spread(lab, inside, tuple(providers)) == [{"203.0.113.10"}, {"198.18.0.10"}]


def test_a_restart_changes_nothing(lab: Lab, hosts: tuple[str, str, str]) -> None:
    inside, *_ = hosts
    lab.set(edge(ecmp=True))
    flood = lab.flood(inside, INTERNET)
    for _ in range(3):
        lab.restart()
        lab.set(edge(ecmp=True), full=True)
    assert flood.stop().lost == 0


def test_what_several_needed_goes_with_them(lab: Lab, hosts: tuple[str, str, str]) -> None:
    lab.set(edge(ecmp=True))
    lab.set(replace(edge(), extra_gateways=()))
    namespace = lab.namespace("r")
    assert "fwmark" not in lab.sh(namespace, "ip rule; ip -6 rule")
    assert lab.sh(namespace, "ip -4 route show table all proto 87").splitlines() == [
        f"default via 203.0.113.1 dev qg-{uid('r/gateway/red')[:11]} "
    ]
