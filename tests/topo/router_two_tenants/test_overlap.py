"""Two tenants with the same addresses and a router each, at once."""

from __future__ import annotations

import pytest

from tests.topo.router_lab import Lab, floating, gateway, leg, router
from weft.logical.model import LogicalRouter

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.needs_programs("ping", "nsenter", "ip", "tcpdump"),
    pytest.mark.dataplanes("linux", "ovn"),
]

INTERNET = "198.51.100.1"


@pytest.fixture
def hosts(lab: Lab) -> dict[str, str]:
    for name in ("red", "blue", "ext"):
        lab.network(name)
    hosts = {
        f"{tenant}{n}": lab.host(f"{tenant}{n}", tenant, f"10.0.0.{n}/24", via="10.0.0.1")
        for tenant in ("red", "blue")
        for n in (11, 12)
    }
    hosts["out"] = lab.host("out", "ext", "203.0.113.1/24", lo=f"{INTERNET}/32")
    lab.set(tenant_router("red", 10), tenant_router("blue", 20))
    return hosts


def tenant_router(tenant: str, last: int) -> LogicalRouter:
    gate = gateway(f"r{tenant}", "ext", f"203.0.113.{last}/24", nexthops=("203.0.113.1",))
    nats = [floating(f"203.0.113.{last + 1}", "10.0.0.11")]
    return router(f"r{tenant}", leg(f"r{tenant}", tenant, "10.0.0.1/24"), gateway=gate, nats=nats)


def test_everybody_at_once(lab: Lab, hosts: dict[str, str]) -> None:
    floods = [lab.flood(hosts[name], INTERNET) for name in ("red11", "red12", "blue11", "blue12")]
    floods += [lab.flood(hosts["out"], ip) for ip in ("203.0.113.11", "203.0.113.21")]
    for tenant, last in (("red", 10), ("blue", 20)):
        assert lab.talk(hosts["out"], INTERNET, 80, hosts[f"{tenant}12"], INTERNET) == f"203.0.113.{last}"
        assert lab.talk(hosts["out"], INTERNET, 80, hosts[f"{tenant}11"], INTERNET) == f"203.0.113.{last + 1}"
        assert lab.talk(hosts[f"{tenant}11"], "10.0.0.11", 80, hosts["out"], f"203.0.113.{last + 1}") == "203.0.113.1"
    lost = [flood.stop().lost for flood in floods]
    assert all(one <= lab.underway for one in lost), lost  # a router of OVN learns its neighbours meanwhile


def test_tenants_meet_only_outside(lab: Lab, hosts: dict[str, str]) -> None:
    seen = lab.sniff(hosts["blue12"], "eth0", "icmp", 1)
    assert lab.reaches(hosts["red11"], "10.0.0.12"), "its own neighbour"
    assert seen.lines(wait=0.5) == []
    assert lab.talk(hosts["blue11"], "10.0.0.11", 80, hosts["red11"], "203.0.113.21") == "203.0.113.11"


def test_inner_addresses_are_not_claimed_outside(lab: Lab, hosts: dict[str, str]) -> None:
    """Somebody else on the external network may own 10.0.0.1."""
    red = tenant_router("red", 10).gateway
    assert red
    assert lab.who_has(hosts["out"], "203.0.113.10") == red.mac
    assert lab.who_has(hosts["out"], "203.0.113.11") == red.mac
    assert lab.who_has(hosts["out"], "10.0.0.1") == ""
    assert lab.who_has(hosts["out"], "10.0.0.11") == ""


def test_removing_one_leaves_the_other(lab: Lab, hosts: dict[str, str]) -> None:
    floods = [lab.flood(hosts["blue12"], INTERNET), lab.flood(hosts["out"], "203.0.113.21")]
    lab.remove(tenant_router("red", 10))
    assert not lab.reaches(hosts["out"], "203.0.113.11")
    assert not lab.reaches(hosts["red11"], INTERNET)
    assert [flood.stop().lost for flood in floods] == [0, 0]
