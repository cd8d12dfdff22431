"""A floating IP that moves between workloads of two routers on the same external network."""

from __future__ import annotations

import pytest

from tests.topo.router_lab import Lab, floating, gateway, leg, router
from weft.logical.model import LogicalRouter, Nat

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.needs_programs("ping", "nsenter", "ip", "tcpdump"),
    pytest.mark.dataplanes("linux", "ovn"),
]

IP = "203.0.113.111"


@pytest.fixture
def hosts(lab: Lab) -> dict[str, str]:
    for name in ("a", "b", "ext"):
        lab.network(name)
    return {
        "a": lab.host("a1", "a", "10.0.0.11/24", via="10.0.0.1"),
        "b": lab.host("b1", "b", "10.0.1.11/24", via="10.0.1.1"),
        "out": lab.host("out", "ext", "203.0.113.1/24", lo="198.51.100.1/32"),
    }


def one(name: str, *nats: Nat) -> LogicalRouter:
    number = {"a": 0, "b": 1}[name]
    gate = gateway(f"r{name}", "ext", f"203.0.113.{10 + number}/24", nexthops=("203.0.113.1",))
    return router(f"r{name}", leg(f"r{name}", name, f"10.0.{number}.1/24"), gateway=gate, nats=nats)


@pytest.mark.parametrize("first", ["a", "b"])
def test_moved_while_pinging(lab: Lab, hosts: dict[str, str], first: str) -> None:
    """In one pass over both routers, whichever of them is looked at first."""
    here, there = one("a", floating(IP, "10.0.0.11")), one("b", floating(IP, "10.0.1.11"))
    lab.set(here, one("b")) if first == "a" else lab.set(one("b"), here)
    flood = lab.flood(hosts["out"], IP)
    seen = lab.sniff(hosts["b"], "eth0", "icmp[0]==8", 3)
    lab.set(one("a"), there)
    assert len(seen.lines()) == 3
    seen = lab.sniff(hosts["a"], "eth0", "icmp[0]==8", 3)
    lab.set(here, one("b"))
    assert len(seen.lines()) == 3
    pings = flood.stop()
    assert pings.sent > 10
    assert pings.lost < 100, "10 ms apart: nobody waits a second until a neighbour is looked for again"


def test_late_announcement_of_the_old_router_does_not_call_it_back(lab: Lab, hosts: dict[str, str]) -> None:
    lab.set(one("a", floating(IP, "10.0.0.11")), one("b"))
    lab.set(one("a"), one("b", floating(IP, "10.0.1.11")))
    heard = lab.sniff(hosts["out"], "eth0", f"arp and src host {IP}", 5)
    old, new = one("a").gateway, one("b").gateway
    assert old
    assert new
    lines = heard.lines(wait=1.5)
    assert lines
    assert all(new.mac in line and old.mac not in line for line in lines)
    assert lab.ping(hosts["out"], IP).lost == 0


def test_from_one_tenant_to_the_other(lab: Lab, hosts: dict[str, str]) -> None:
    lab.set(one("a", floating(IP, "10.0.0.11")), one("b", floating("203.0.113.112", "10.0.1.11")))
    assert lab.talk(hosts["b"], "10.0.1.11", 80, hosts["a"], "203.0.113.112") == IP
    assert lab.talk(hosts["a"], "10.0.0.11", 80, hosts["b"], IP) == "203.0.113.112"
    lab.set(one("a"))
    assert lab.talk(hosts["b"], "10.0.1.11", 80, hosts["a"], "203.0.113.112") == "203.0.113.10"
