"""A router with a gateway: who is seen outside as whom, and who gets in."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from tests.topo.router_lab import TCP, UDP, Lab, gateway, leg, router
from weft.logical.model import LogicalRouter

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.needs_programs("ping", "nsenter", "ip", "tcpdump"),
    pytest.mark.dataplanes("linux", "ovn"),
]

INTERNET = "198.51.100.1"
INTERNET6 = "2001:db8:9::9"


@pytest.fixture
def hosts(lab: Lab) -> tuple[str, str]:
    """A workload (10.0.0.11, 2001:db8:a::11) and the outside, which knows the way to the inner subnets."""
    lab.network("a")
    lab.network("ext")
    inside = lab.host("a1", "a", "10.0.0.11/24", "2001:db8:a::11/64", via=("10.0.0.1", "2001:db8:a::1"))
    outside = lab.host("out", "ext", "203.0.113.1/24", "2001:db8:e::1/64", lo=f"{INTERNET}/32")
    lab.sh(outside, f"ip addr add {INTERNET6}/128 dev lo nodad")
    lab.sh(outside, "ip route add 10.0.0.0/16 via 203.0.113.10; ip -6 route add 2001:db8:a::/64 via 2001:db8:e::10")
    return inside, outside


def edge(snat: bool = True) -> LogicalRouter:
    gate = gateway(
        "r",
        "ext",
        "203.0.113.10/24",
        "2001:db8:e::10/64",
        nexthops=("203.0.113.1", "2001:db8:e::1"),
        snat=snat,
    )
    return router("r", leg("r", "a", "10.0.0.1/24", "2001:db8:a::1/64"), gateway=gate)


def seen_by(lab: Lab, server: str, client: str, kind: int, ip: str = INTERNET) -> str:
    """As whom the client's TCP connection or datagram arrives."""
    return lab.talk(server, ip, 8000, client, ip, kind=kind)


@pytest.mark.parametrize("kind", [TCP, UDP])
def test_outside_sees_the_gateways_address(lab: Lab, hosts: tuple[str, str], kind: int) -> None:
    inside, outside = hosts
    lab.set(edge())
    assert seen_by(lab, outside, inside, kind) == "203.0.113.10"


def test_ping_outside(lab: Lab, hosts: tuple[str, str]) -> None:
    inside, outside = hosts
    lab.set(edge())
    seen = lab.sniff(outside, "eth0", "icmp[0]==8")
    assert lab.ping(inside, INTERNET).lost == 0
    assert f"203.0.113.10 > {INTERNET}" in seen.lines()[0]


def test_ipv6_is_routed_both_ways(lab: Lab, hosts: tuple[str, str]) -> None:
    inside, outside = hosts
    lab.set(edge())
    assert seen_by(lab, outside, inside, TCP, INTERNET6) == "2001:db8:a::11"
    assert seen_by(lab, inside, outside, TCP, "2001:db8:a::11") == "2001:db8:e::1"


@pytest.mark.dataplanes("linux", because="OVN routes in what asks for an inner address; security groups decide")
def test_nobody_comes_in_by_an_inner_address(lab: Lab, hosts: tuple[str, str]) -> None:
    inside, outside = hosts
    lab.set(edge())
    assert not lab.reaches(outside, "10.0.0.11")
    with lab.listen(inside, "10.0.0.11", 8000), pytest.raises(OSError, match="timed out"):
        lab.connect(outside, "10.0.0.11", 8000)
    assert lab.reaches(outside, "203.0.113.10"), "the router itself answers"


def test_without_snat_it_is_plain_routing(lab: Lab, hosts: tuple[str, str]) -> None:
    inside, outside = hosts
    lab.set(edge(snat=False))
    assert seen_by(lab, outside, inside, TCP) == "10.0.0.11"
    assert seen_by(lab, inside, outside, TCP, "10.0.0.11") == "203.0.113.1"
    lab.set(edge())
    assert seen_by(lab, outside, inside, TCP) == "203.0.113.10"
    lab.set(edge(snat=False))
    assert lab.reaches(outside, "10.0.0.11")


@pytest.mark.dataplanes("linux", because="OVN leaves connections as they began when an address moves")
def test_gateway_moves_to_another_address(lab: Lab, hosts: tuple[str, str]) -> None:
    """A ping that goes on is seen from the new address at once."""
    inside, outside = hosts
    lab.set(edge())
    flood = lab.flood(inside, INTERNET)
    before = edge().gateway
    assert before
    moved = replace(before, addresses=(replace(before.addresses[0], ip="203.0.113.20"), before.addresses[1]))
    lab.set(replace(edge(), gateway=moved))
    seen = lab.sniff(outside, "eth0", "icmp[0]==8", 3)
    assert all("203.0.113.20 >" in line for line in seen.lines())
    assert flood.stop().lost <= 5


def test_gateway_goes_and_comes(lab: Lab, hosts: tuple[str, str]) -> None:
    inside, outside = hosts
    lab.set(edge())
    assert lab.reaches(inside, INTERNET)
    lab.set(replace(edge(), gateway=None))
    assert not lab.reaches(inside, INTERNET)
    assert lab.reaches(inside, "10.0.0.1")
    assert not lab.reaches(outside, "203.0.113.10")
    lab.set(edge())
    assert lab.ping(inside, INTERNET).lost == 0
    assert lab.ping(inside, INTERNET6).lost == 0


def test_next_hop_outside_the_subnet(lab: Lab, hosts: tuple[str, str]) -> None:
    inside, outside = hosts
    lab.sh(outside, "ip addr add 192.0.2.1/32 dev eth0; ip addr add 2001:db8:f::1/128 dev eth0 nodad")
    gate = edge().gateway
    assert gate
    lab.set(replace(edge(), gateway=replace(gate, nexthops=("192.0.2.1", "2001:db8:f::1"))))
    assert lab.ping(inside, INTERNET).lost == 0
    assert lab.ping(inside, INTERNET6).lost == 0
    assert lab.audit() == []


def test_link_local_next_hop(lab: Lab, hosts: tuple[str, str]) -> None:
    inside, outside = hosts
    lab.sh(outside, "ip addr add fe80::1/64 dev eth0 nodad")
    gate = edge().gateway
    assert gate
    lab.set(replace(edge(), gateway=replace(gate, nexthops=("203.0.113.1", "fe80::1"))))
    assert lab.ping(inside, INTERNET6).lost == 0
    assert lab.audit() == []


@pytest.mark.dataplanes("linux", because="3,000 new flows in a second are too many for the userspace datapath")
def test_no_new_connection_leaves_untranslated_while_rules_are_replaced(lab: Lab, hosts: tuple[str, str]) -> None:
    """Each datagram is a connection of its own; a new process replaces the table again and again meanwhile."""
    inside, outside = hosts
    lab.set(edge())
    leaked = lab.sniff(outside, "eth0", "udp and src net 10.0.0.0/16")
    listener = lab.listen(outside, INTERNET, 8000, UDP)
    force_receive_buffer = 33
    listener.setsockopt(socket.SOL_SOCKET, force_receive_buffer, 1 << 24)
    sender = lab.start(
        inside,
        "python3",
        "-c",
        "import socket, time\n"
        "for n in range(3000):\n"
        "    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        f"    s.sendto(b'x', ('{INTERNET}', 8000))\n"
        "    s.close()\n"
        "    time.sleep(0.0003)\n",
    )
    restarts = 0
    while sender.poll() is None:
        lab.restart()
        lab.audit()
        restarts += 1
    assert restarts > 5
    assert leaked.lines(wait=0.5) == []
    received = 0
    listener.settimeout(0.3)
    try:
        while listener.recv(10):
            received += 1
    except TimeoutError:
        assert received == 3000


@pytest.mark.dataplanes("linux", because="the metadata service is on each host's link, and no router's")
def test_metadata_reaches_its_listener_and_only_so(lab: Lab, hosts: tuple[str, str]) -> None:
    """A workload without a route of its own to 169.254.169.254 sends such packets to its router."""
    inside, outside = hosts
    lab.set(edge())
    with lab.listen(lab.namespace("r"), "0.0.0.0", 9697) as listener:
        with lab.connect(inside, "169.254.169.254", 80):
            accepted, peer = listener.accept()
            accepted.close()
            assert peer[0] == "10.0.0.11"
        for client, ip in ((inside, "10.0.0.1"), (inside, "169.254.169.254"), (outside, "203.0.113.10")):
            with pytest.raises(OSError, match=r"timed out|No route|unreachable"):
                lab.connect(client, ip, 9697)
        with pytest.raises(OSError, match=r"timed out|No route|unreachable|refused"):
            lab.connect(outside, "169.254.169.254", 80)
