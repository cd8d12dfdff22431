"""DNS as dig sees it: names of ports, and the rest from the machine's resolvers."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest

from tests.topo.dns_one_network.conftest import V4
from tests.topo.dns_one_network.resolver import ANSWER, Resolver
from tests.topo.services_lab import Lab, leg, subnet, uid
from weft.logical.model import Nat

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs("nsenter", "ip", "dig")]


@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
def test_names_of_ports(lab: Lab, resolver: Resolver, transport: str) -> None:
    assert lab.dig("vm", transport, "db.example.org") == ["10.0.0.6"]
    assert lab.dig("vm", transport, "db.example.org", "AAAA") == ["fd00:1::6"]
    assert lab.dig("vm", transport, "db.") == ["10.0.0.6"]
    assert lab.dig("vm", transport, "-x", "10.0.0.6") == ["db.example.org."]
    assert lab.dig("vm", transport, "-x", "fd00:1::6") == ["db.example.org."]
    assert resolver.asked == []


def test_port_on_another_host(lab: Lab) -> None:
    assert lab.dig("vm", "far.example.org") == ["10.0.0.7"]
    assert lab.dig("vm", "-x", "10.0.0.7") == ["far.example.org."]


def test_by_ipv6(lab: Lab) -> None:
    said = lab.sh("vm", "dig @fe80::a9fe:a9fe%eth0 +short +tries=1 +time=5 db.example.org AAAA")
    assert said.split() == ["fd00:1::6"]


def test_names_follow_the_ports(lab: Lab) -> None:
    port = lab.view.ports[uid("db")]
    lab.view.ports[port.id] = replace(port, dns=(("10.0.0.6", "new", "new.example.org."),))
    lab.set()
    assert lab.dig("vm", "new.example.org") == ["10.0.0.6"]
    assert lab.dig("vm", "-x", "10.0.0.6") == ["new.example.org."]
    assert lab.dig("vm", "far.example.org") == ["10.0.0.7"]


@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
def test_the_rest_is_forwarded(lab: Lab, resolver: Resolver, transport: str) -> None:
    assert lab.dig("vm", transport, "www.example.com") == [ANSWER]
    assert resolver.asked == ["www.example.com."]


def test_long_answers_go_over_tcp(lab: Lab, resolver: Resolver) -> None:
    assert len("".join(lab.dig("vm", "long.example.com", "TXT"))) > 4000
    assert resolver.asked == ["long.example.com."] * 2


def test_forged_answers_are_not_believed(lab: Lab, resolver: Resolver) -> None:
    resolver.forged = True
    assert lab.dig("vm", "www.example.com") == [ANSWER]


def test_what_is_private_is_not_told_outside(lab: Lab, resolver: Resolver) -> None:
    assert "NXDOMAIN" in lab.sh("vm", "dig @169.254.169.254 +tries=1 +time=5 -x 10.0.0.200")
    assert "NXDOMAIN" in lab.sh("vm", "dig @169.254.169.254 +tries=1 +time=5 nobody.")
    assert resolver.asked == []


def test_same_question_is_asked_once_and_a_loop_ends(lab: Lab, resolver: Resolver) -> None:
    """A resolver that never answers stands for one that asks us back."""
    resolver.silent = True
    ask = "dig @169.254.169.254 +noedns +nocookie +tries=1 +time=8 loop.example.com"
    programs = [
        subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{lab.at(name)}", "sh", "-c", ask], stdout=subprocess.PIPE, text=True
        )
        for name in ("vm", "vm", "db", "db")
    ]
    assert all("SERVFAIL" in program.communicate()[0] for program in programs)
    assert resolver.asked == ["loop.example.com."]


def test_no_resolver(lab: Lab, resolver: Resolver) -> None:
    resolver.close()
    assert "SERVFAIL" in lab.sh("vm", "dig @169.254.169.254 +tries=1 +time=8 www.example.com")
    assert lab.dig("vm", "db.example.org") == ["10.0.0.6"]


def test_other_networks_have_other_names(lab: Lab) -> None:
    v4 = subnet("other", "10.0.0.0/24", "10.0.0.1")
    port = lab.port("db2", lab.switch("other", v4), (v4, "10.0.0.6"))
    lab.configure(port)
    lab.set()
    assert lab.dig("db2", "-x", "10.0.0.6") == ["db2.example.org."]
    assert lab.dig("db2", "db.example.org") == [ANSWER]
    assert lab.dig("vm", "-x", "10.0.0.6") == ["db.example.org."]


def test_a_published_floating_ip_to_those_who_share_its_router(lab: Lab) -> None:
    """To nobody else: a name outside belongs to whoever comes first, and no network may be told lies by another."""
    other = lab.switch("other", subnet("o", "10.9.0.0/24"))
    own = subnet("o", "10.9.0.0/24")
    lab.configure(lab.port("stranger", other, (own, "10.9.0.5")))
    named = Nat("f", "203.0.113.7", "10.0.0.6", uid("db"), fqdn="www.example.org.")
    router = lab.router("r", leg("r", lab.view.switches[uid("net")], (V4, "10.0.0.1")))
    lab.view.routers[router.id] = replace(router, nats=(named,))
    lab.set()
    assert lab.dig("vm", "www.example.org") == ["203.0.113.7"]
    assert lab.dig("stranger", "www.example.org") != ["203.0.113.7"]
