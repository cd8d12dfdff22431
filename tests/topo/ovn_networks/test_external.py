"""Machines without a port of br-int (SR-IOV, bare metal): OVN's hosts serve them by the provider's wire."""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.ovn_lab import PROGRAMS
from tests.topo import frames
from tests.topo.lab import _whole
from tests.topo.ovn_lab import OvnRouterLab
from tests.topo.router_lab import gateway, leg, mac, router, uid
from weft.backends.linux import netns
from weft.logical.model import Address, DhcpOptions, LogicalPort, LogicalRouter, Segment

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs(*PROGRAMS, "ip"), pytest.mark.dataplanes("ovn")]

OWN, GATEWAY, FAR = "10.0.0.77", "10.0.0.1", "10.1.0.5"


class Machine:
    """It speaks with the address of the port `card`, in the VLAN `tag` (0: untagged)."""

    def __init__(self, namespace: str, tag: int) -> None:
        self.namespace, self.tag = namespace, tag
        subprocess.run(["ip", "-n", namespace, "link", "set", "eth0", "address", mac("card")], check=True)

    def asks(self, frame: bytes, answered: bytes) -> bytes:
        """The first frame that comes back and has this in it; nothing if none does."""
        sock = netns.open_socket(self.namespace, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        with sock:
            sock.setsockopt(263, 8, 1)
            sock.bind(("eth0", 3))
            sock.settimeout(2)
            sock.send(frames.tagged(frame, self.tag) if self.tag else frame)
            with contextlib.suppress(TimeoutError):
                while True:
                    found = _whole(sock)
                    if answered in found and found[6:12] != frames.octets(mac("card")):
                        return found
        return b""

    def who_has(self, ip: str) -> str:
        """The MAC that answers ARP for it, in the machine's VLAN."""
        question = frames.arp(1, mac("card"), OWN, ip)
        reply = struct.pack(">HHBBH", 1, frames.IPV4, 6, 4, 2)
        found = self.asks(frames.ethernet(mac("card"), frames.BROADCAST, frames.ARP, question), reply)
        at = found.find(reply) + len(reply)
        return found[at : at + 6].hex(":") if found else ""

    def offered(self) -> str:
        """The address that DHCP offers (RFC 2131)."""
        asked = struct.pack(">BBBBIHH16x", 1, 1, 6, 0, 7, 0, 0x8000) + frames.octets(mac("card")) + bytes(10 + 192)
        message = asked + bytes.fromhex("63825363 350101 ff")
        packet = frames.udp("0.0.0.0", "255.255.255.255", 68, 67, message)
        head = struct.pack(">BBBBI", 2, 1, 6, 0, 7)
        found = self.asks(frames.ethernet(mac("card"), frames.BROADCAST, frames.IPV4, packet), head)
        at = found.find(head) + 16
        return ".".join(map(str, found[at : at + 4])) if found else ""

    def leads(self, lab: OvnRouterLab, by: str) -> bool:
        """Whether a datagram to the workload `far` arrives there by that MAC."""
        heard = lab.sniff(f"{lab.prefix}-far", "eth0", f"udp and src {OWN}", 1)
        packet = frames.udp(OWN, FAR, 5, 7)
        self.asks(frames.ethernet(mac("card"), by, frames.IPV4, packet), b"nothing")
        return bool(heard.lines(wait=1))


def build(lab: OvnRouterLab, segment: Segment, outward: bool) -> LogicalRouter:
    """Network a of that kind with the machine's port, network b with a workload, and a router between them."""
    for name in ("a", "b", "ext"):
        lab.network(name)
    subnet = DhcpOptions(uid("sub"), 4, "10.0.0.0/24", GATEWAY, True)
    lab.view.switches[uid("a")] = replace(lab.view.switches[uid("a")], segments=(segment,), subnets=(subnet,))
    beyond = (Segment("vlan", "physnet1", 300, uid("seg ext")),)
    lab.view.switches[uid("ext")] = replace(lab.view.switches[uid("ext")], segments=beyond)
    lab.host("far", "b", f"{FAR}/24", via="10.1.0.1")
    card = LogicalPort(
        uid("card"), uid("a"), mac("card"), "card", addresses=(Address(OWN, 24, uid("sub")),), host="h1",
        vnic_type="direct", port_security=False,
    )  # fmt: skip
    lab.view.ports[card.id] = card
    legs = (leg("r", "a", f"{GATEWAY}/24"), leg("r", "b", "10.1.0.1/24"))
    gate = gateway("r", "ext", "203.0.113.10/24", nexthops=("203.0.113.1",)) if outward else None
    made = router("r", *legs, gateway=gate)
    lab.set(made)
    return made


@pytest.fixture(params=["flat", "vlan"])
def segment(request: pytest.FixtureRequest) -> Segment:
    return (
        Segment("flat", "physnet1", None, uid("seg a"))
        if request.param == "flat"
        else Segment("vlan", "physnet1", 100, uid("seg a"))
    )


@pytest.fixture
def lab(router_lab: OvnRouterLab) -> OvnRouterLab:
    return router_lab


@pytest.fixture
def machine(lab: OvnRouterLab, segment: Segment) -> Iterator[Machine]:
    namespace = lab.cloud.outsider(f"{lab.prefix}-card")
    yield Machine(namespace, segment.segmentation_id or 0)
    netns.delete(namespace)


@pytest.mark.parametrize("outward", [False, True])
def test_it_is_served_and_routed(lab: OvnRouterLab, machine: Machine, segment: Segment, outward: bool) -> None:
    made = build(lab, segment, outward)
    inner = made.ports[0]
    assert machine.offered() == OWN
    assert machine.who_has(GATEWAY) == inner.mac
    assert machine.leads(lab, inner.mac)


def test_it_follows_the_gateway_of_its_router(lab: OvnRouterLab, machine: Machine, segment: Segment) -> None:
    """Which comes and goes: where a leg in a VLAN answers, the machine must be served, else it is not heard there."""
    made = build(lab, segment, outward=False)
    inner = made.ports[0].mac
    gate = gateway("r", "ext", "203.0.113.10/24", nexthops=("203.0.113.1",))
    for one in (replace(made, gateway=gate), made, replace(made, gateway=gate)):
        lab.set(one)
        assert machine.who_has(GATEWAY) == inner
        assert machine.leads(lab, inner)
