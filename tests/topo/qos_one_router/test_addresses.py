"""QoS of external addresses: floating IPs and the address that workloads share, both ways, with packets."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from tests.topo import meter
from tests.topo.router_lab import UDP, Lab, floating, forwarding, gateway, leg, router
from weft.logical.model import AddressQos, Limit, LogicalRouter, PortForwarding, Qos

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.needs_programs("ping", "nsenter", "ip", "nft"),
    pytest.mark.dataplanes("linux", "ovn"),
]

INTERNET = "198.51.100.1"
FIP, OWN, SHARED = "203.0.113.111", "203.0.113.10", "203.0.113.120"
LIMIT, MUCH = 5000, 40_000


@pytest.fixture
def hosts(lab: Lab) -> dict[str, str]:
    """Workloads 10.0.0.11, which has a floating IP, and 10.0.0.12 in network a; the outside."""
    for name in ("a", "ext"):
        lab.network(name)
    hosts = {f"a{n}": lab.host(f"a{n}", "a", f"10.0.0.{n}/24", via="10.0.0.1") for n in (11, 12)}
    hosts["out"] = lab.host("out", "ext", "203.0.113.1/24", lo=f"{INTERNET}/32")
    return hosts


def edge(*held: tuple[str, Qos], forwardings: tuple[PortForwarding, ...] = ()) -> LogicalRouter:
    made = router(
        "r",
        leg("r", "a", "10.0.0.1/24"),
        gateway=gateway("r", "ext", f"{OWN}/24", nexthops=("203.0.113.1",)),
        nats=[floating(FIP, "10.0.0.11")],
        forwardings=forwardings,
    )
    return replace(made, qos=tuple(AddressQos(*one) for one in held))


def out(lab: Lab, hosts: dict[str, str], source: str, seconds: float = 2) -> float:
    """kbit/s from a workload to the outside, once the first second, which passes at once, is over."""
    ear = lab.listen(hosts["out"], INTERNET, 4000, UDP)
    with ear, lab.connect(hosts[source], INTERNET, 4000, UDP) as mouth:
        passed = meter.datagrams(mouth, ear, (INTERNET, 4000), seconds, MUCH, warm_up=1.2)
    assert passed.kbps_offered > 3 * LIMIT, "this machine is too busy to offer enough"
    return passed.kbps


def into(lab: Lab, hosts: dict[str, str], target: str, ip: str, address: str, seconds: float = 2) -> float:
    """kbit/s from the outside to an external address behind which a workload is."""
    ear = lab.listen(hosts[target], ip, 4000, UDP)
    with ear, lab.connect(hosts["out"], address, 4000, UDP) as mouth:
        passed = meter.datagrams(mouth, ear, (address, 4000), seconds, MUCH, warm_up=1.2)
    assert passed.kbps_offered > 3 * LIMIT, "this machine is too busy to offer enough"
    return passed.kbps


def back(lab: Lab, hosts: dict[str, str], client: str) -> float:
    """kbit/s from the outside, in answer to a workload that has the address of the router."""
    ear = lab.listen(hosts["out"], INTERNET, 4000, UDP)
    with ear, lab.connect(hosts[client], INTERNET, 4000, UDP) as mouth:
        mouth.send(b"hello")
        _, peer = ear.recvfrom(100)
        assert peer[0] == OWN
        passed = meter.datagrams(ear, mouth, peer, 2, MUCH, warm_up=1.2)
    return passed.kbps


def is_about(kbps: float) -> bool:
    return 0.8 * LIMIT <= kbps <= 1.2 * LIMIT


def test_a_floating_ip_is_limited_both_ways(lab: Lab, hosts: dict[str, str]) -> None:
    lab.set(edge((FIP, Qos(egress=Limit(LIMIT), ingress=Limit(LIMIT)))))
    assert is_about(out(lab, hosts, "a11"))
    assert is_about(into(lab, hosts, "a11", "10.0.0.11", FIP))
    assert out(lab, hosts, "a12", 0.5) > 2 * LIMIT, "not others"


def test_one_direction_alone(lab: Lab, hosts: dict[str, str]) -> None:
    lab.set(edge((FIP, Qos(egress=Limit(LIMIT)))))
    assert is_about(out(lab, hosts, "a11"))
    assert into(lab, hosts, "a11", "10.0.0.11", FIP, 0.5) > 2 * LIMIT


def test_the_address_that_is_shared(lab: Lab, hosts: dict[str, str]) -> None:
    lab.set(edge((OWN, Qos(egress=Limit(LIMIT), ingress=Limit(LIMIT)))))
    assert is_about(out(lab, hosts, "a12"))
    assert is_about(back(lab, hosts, "a12"))
    assert out(lab, hosts, "a11", 0.5) > 2 * LIMIT, "not floating IPs"


def test_what_is_forwarded_counts_for_its_address(lab: Lab, hosts: dict[str, str]) -> None:
    forward = forwarding("udp", SHARED, (4000, 4000), "10.0.0.12", (4000, 4000))
    lab.set(edge((SHARED, Qos(ingress=Limit(LIMIT))), forwardings=(forward,)))
    assert is_about(into(lab, hosts, "a12", "10.0.0.12", SHARED))


def test_east_west_is_not_limited(lab: Lab, hosts: dict[str, str]) -> None:
    lab.set(edge((FIP, Qos(egress=Limit(100), ingress=Limit(100)))))
    ear = lab.listen(hosts["a12"], "10.0.0.12", 4000, UDP)
    with ear, lab.connect(hosts["a11"], "10.0.0.12", 4000, UDP) as mouth:
        assert meter.datagrams(mouth, ear, ("10.0.0.12", 4000), 0.5, MUCH).kbps > 2 * LIMIT


@pytest.mark.dataplanes("linux", because="OVN counts no packets, and such rules are refused")
def test_packets_a_second(lab: Lab, hosts: dict[str, str]) -> None:
    """A thousand a second, and a hundred at once."""
    lab.set(edge((FIP, Qos(egress_packets=Limit(1)))))
    ear = lab.listen(hosts["out"], INTERNET, 4000, UDP)
    with ear, lab.connect(hosts["a11"], INTERNET, 4000, UDP) as mouth:
        passed = meter.datagrams(mouth, ear, (INTERNET, 4000), 1, MUCH)
    assert passed.offered > 3000
    assert 900 * passed.seconds <= passed.arrived <= 1100 * passed.seconds + 100


def test_dscp_is_seen_outside(lab: Lab, hosts: dict[str, str]) -> None:
    lab.set(edge((FIP, Qos(dscp=34))))
    assert (_mark(lab, hosts, "a11"), _mark(lab, hosts, "a12")) == (34, 0)


def _mark(lab: Lab, hosts: dict[str, str], source: str) -> int:
    ear = lab.listen(hosts["out"], INTERNET, 4000, UDP)
    ear.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
    with ear, lab.connect(hosts[source], INTERNET, 4000, UDP) as mouth:
        mouth.send(b"marked")
        _, beside, _, _ = ear.recvmsg(100, 64)
    return int(beside[0][2][0]) >> 2


def test_a_limit_comes_changes_and_goes_without_a_packet_lost(lab: Lab, hosts: dict[str, str]) -> None:
    lab.set(edge())
    flood = lab.flood(hosts["a11"], INTERNET)
    for kbps in (LIMIT, 2 * LIMIT, 3 * LIMIT, 4 * LIMIT):
        lab.set(edge((FIP, Qos(egress=Limit(kbps), ingress=Limit(kbps)))))
    lab.set(edge())
    assert flood.stop().lost == 0
    assert not lab.limits()
    assert out(lab, hosts, "a11", 0.5) > 2 * LIMIT


def test_a_new_process_adopts(lab: Lab, hosts: dict[str, str]) -> None:
    held = edge((FIP, Qos(egress=Limit(LIMIT))))
    lab.set(held)
    flood = lab.flood(hosts["a11"], INTERNET)
    lab.restart()
    assert lab.audit() == []
    assert flood.stop().lost == 0
    assert is_about(out(lab, hosts, "a11"))


@pytest.mark.dataplanes("linux", because="looks at the kernel's rules of a router")
def test_a_full_pass_mends(lab: Lab, hosts: dict[str, str]) -> None:
    lab.set(edge((FIP, Qos(egress=Limit(LIMIT)))))
    lab.sh(lab.namespace("r"), f"nft flush chain inet weft qos_out_{FIP}")
    assert any("nft" in words for words in lab.audit())
    assert is_about(out(lab, hosts, "a11"))
