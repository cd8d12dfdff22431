"""Packets too big for the next network: fragmented if they may be, refused with the right size if not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.topo.router_lab import Lab, floating, gateway, leg, router

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.needs_programs("ping", "nsenter", "ip"),
    pytest.mark.dataplanes("linux", "ovn"),
]


@pytest.fixture
def hosts(lab: Lab) -> tuple[str, str, str]:
    """Networks a with MTU 1500 and b with 1400, and the outside with 1500; b1 has 203.0.113.111."""
    lab.network("a")
    lab.network("b", mtu=1400)
    lab.network("ext")
    gate = gateway("r", "ext", "203.0.113.10/24", nexthops=("203.0.113.1",))
    legs = (leg("r", "a", "10.0.0.1/24", "fd00:a::1/64"), leg("r", "b", "10.0.1.1/24", "fd00:b::1/64", mtu=1400))
    hosts = (
        lab.host("a1", "a", "10.0.0.11/24", "fd00:a::11/64", via=("10.0.0.1", "fd00:a::1")),
        lab.host("b1", "b", "10.0.1.11/24", "fd00:b::11/64", via=("10.0.1.1", "fd00:b::1"), mtu=1400),
        lab.host("out", "ext", "203.0.113.1/24"),
    )
    lab.set(router("r", *legs, gateway=gate, nats=[floating("203.0.113.111", "10.0.1.11")]))
    return hosts


def test_ipv4_unfragmentable(lab: Lab, hosts: tuple[str, str, str]) -> None:
    a, _, _ = hosts
    assert lab.ping(a, "10.0.1.11", 2, "-M do -s 1372").lost == 0
    refused = lab.ping(a, "10.0.1.11", 2, "-M do -s 1373")
    assert refused.received == 0
    assert "From 10.0.0.1 icmp_seq=1 Frag needed and DF set (mtu = 1400)" in refused.output


@pytest.mark.dataplanes("linux", because="OVN fragments nothing: it says the size, also where it might fragment")
def test_ipv4_fragments(lab: Lab, hosts: tuple[str, str, str]) -> None:
    a, _, _ = hosts
    assert lab.ping(a, "10.0.1.11", 2, "-M dont -s 1472").lost == 0
    assert lab.ping(a, "10.0.1.11", 2, "-M dont -s 4000").lost == 0


def test_ipv6_too_big(lab: Lab, hosts: tuple[str, str, str]) -> None:
    a, _, _ = hosts
    assert lab.ping(a, "fd00:b::11", 2, "-M do -s 1352").lost == 0
    refused = lab.ping(a, "fd00:b::11", 1, "-M do -s 1353")
    assert refused.received == 0
    assert "From fd00:a::1 icmp_seq=1 Packet too big: mtu=1400" in refused.output


@pytest.mark.dataplanes("linux", because="OVN tells nobody outside of a floating IP's network")
def test_client_of_a_floating_ip_learns_the_size(lab: Lab, hosts: tuple[str, str, str]) -> None:
    """The refusal speaks of the packet as the client had sent it, else the client ignores it."""
    _, _, outside = hosts
    assert lab.ping(outside, "203.0.113.111", 2, "-M do -s 1372").lost == 0
    refused = lab.ping(outside, "203.0.113.111", 1, "-M do -s 1400")
    assert "From 203.0.113.111 icmp_seq=1 Frag needed and DF set (mtu = 1400)" in refused.output
    assert "mtu 1400" in lab.sh(outside, "ip route get 203.0.113.111")


@pytest.mark.dataplanes("linux", because="OVN fragments nothing")
def test_fragments_through_a_floating_ip(lab: Lab, hosts: tuple[str, str, str]) -> None:
    _, b, outside = hosts
    assert lab.ping(outside, "203.0.113.111", 2, "-M dont -s 4000").lost == 0
    assert lab.ping(b, "203.0.113.1", 2, "-M dont -s 4000").lost == 0


def test_mtu_of_a_network_changes(lab: Lab, hosts: tuple[str, str, str]) -> None:
    a, _, _ = hosts
    (one,) = lab.view.routers.values()
    first, second = one.ports
    lab.set(replace(one, ports=(first, replace(second, mtu=1300))))
    assert "(mtu = 1300)" in lab.ping(a, "10.0.1.11", 1, "-M do -s 1372").output
    assert lab.audit() == []
