"""BFD with next hops: one that is silent gets nothing new within seconds, by IPv6 as well; the other ends are our own code."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.topo.router_lab import Lab
from tests.topo.router_two_gateways.test_gateways import INTERNET, INTERNET6, edge, hosts, spread
from tests.waiting import wait_until
from weft.backends.linux.bfd import Bfd
from weft.backends.linux.uplinks import Hop

__all__ = ["hosts"]

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs("nsenter", "ip", "tcpdump")]

EDGE = edge(ecmp=True, bfd=True)
PEERS = {
    "red": ("203.0.113.1", "203.0.113.10", "2001:db8:1::1", "2001:db8:1::10"),
    "blue": ("198.18.0.1", "198.18.0.10", "2001:db8:2::1", "2001:db8:2::10"),
}


@pytest.fixture
def providers() -> Iterator[Bfd]:
    """The providers' ends of the sessions."""
    made = Bfd()
    try:
        yield made
    finally:
        made.close()


def speak(providers: Bfd, name: str, host: str) -> None:
    four, ours, six, ours6 = PEERS[name]
    providers.set(name, host, {Hop(ours, "eth0"): four, Hop(ours6, "eth0"): six})


def dead(lab: Lab) -> set[str]:
    return {hop.via for hop in lab.routers._bfd.dead(EDGE.id)}


def test_a_dead_next_hop_gets_nothing_new(lab: Lab, hosts: tuple[str, str, str], providers: Bfd) -> None:
    inside, red, blue = hosts
    reported: list[object] = []
    lab.routers.watch(reported.extend)
    for name, host in (("red", red), ("blue", blue)):
        speak(providers, name, host)
    lab.set(EDGE)
    wait_until(lambda: not providers.dead("red") | providers.dead("blue") and not dead(lab))
    time.sleep(6)  # the time that new sessions are given
    assert dead(lab) == set()
    reported.clear()
    lab.sh(blue, "ip link set eth0 down")
    wait_until(lambda: dead(lab) == {"198.18.0.1", "2001:db8:2::1"})
    wait_until(lambda: EDGE.key in reported)
    report = lab.set(EDGE)
    assert "next hop 198.18.0.1 is dead" in report.status[EDGE.key].reason
    assert spread(lab, inside, (red,)) == [{"203.0.113.10"}]
    assert spread(lab, inside, (red,), INTERNET6) == [{"2001:db8:a::11"}]
    lab.sh(blue, "ip link set eth0 up; ip -6 addr add 2001:db8:2::1/64 dev eth0 nodad")
    lab.sh(blue, "ip -6 route add 2001:db8:a::/64 via 2001:db8:2::10")
    speak(providers, "blue", blue)
    wait_until(lambda: "198.18.0.1" not in dead(lab))
    lab.set(EDGE)
    assert spread(lab, inside, (red, blue)) == [{"203.0.113.10"}, {"198.18.0.10"}]


def test_without_equal_cost_the_next_one_takes_over(lab: Lab, hosts: tuple[str, str, str], providers: Bfd) -> None:
    inside, red, blue = hosts
    one = replace(EDGE, ecmp=False)
    speak(providers, "blue", blue)  # and red is mute
    lab.set(one)
    assert spread(lab, inside, (red, blue)) == [{"203.0.113.10"}, set()]
    wait_until(lambda: {"203.0.113.1", "2001:db8:1::1"} == dead(lab))
    lab.set(one)
    assert spread(lab, inside, (red, blue)) == [set(), {"198.18.0.10"}]


def test_where_nobody_answers_all_are_used(lab: Lab, hosts: tuple[str, str, str]) -> None:
    inside, red, blue = hosts
    lab.set(EDGE)
    wait_until(lambda: len(dead(lab)) == 4)
    lab.set(EDGE)
    assert spread(lab, inside, (red, blue)) == [{"203.0.113.10"}, {"198.18.0.10"}]
    assert lab.audit() == []


def test_what_is_on_the_wire(lab: Lab, hosts: tuple[str, str, str]) -> None:
    """RFC 5880, section 4.1, and RFC 5881, sections 4 and 5."""
    *_, blue = hosts
    seen = lab.sniff(blue, "eth0", "udp port 3784 and ip")
    lab.set(EDGE)
    line = seen.lines()[0]
    assert "198.18.0.10." in line
    assert "> 198.18.0.1.3784: BFDv1, Control, State Down" in line
    assert 49152 <= int(line.partition("198.18.0.10.")[2].split()[0]) <= 65535
    assert INTERNET not in line


def test_sessions_end_with_what_wanted_them(lab: Lab, hosts: tuple[str, str, str]) -> None:
    lab.set(EDGE)
    namespace = lab.namespace("r")
    assert lab.sh(namespace, "ss -Hlun 'sport = 3784'").count("3784") == 4
    lab.set(replace(EDGE, bfd=False))
    assert lab.sh(namespace, "ss -Hlun 'sport = 3784'") == ""
    lab.set(EDGE)
    lab.remove(EDGE)
    assert lab.routers._bfd._peers == {}
