"""Networks that leave the cloud: frames on the provider's wire, with the tag of their VLAN."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.ovn_lab import PROGRAMS
from tests.topo import frames
from tests.topo.lab import Lab, ingress, mac, uid
from tests.topo.ovn_lab import OvnLab
from weft.logical.model import Segment

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.needs_programs(*PROGRAMS, "tcpdump"),
    pytest.mark.dataplanes("ovn"),
]


def two(lab: Lab, segment: Segment) -> OvnLab:
    assert isinstance(lab, OvnLab)
    lab.network("n", segment=segment)
    lab.group("in", ingress())
    for number, name in enumerate("ab", 1):
        lab.port(name, "n", f"10.0.0.{number}/24", groups=("out", "in"), host=f"h{number}")
    lab.up()
    return lab


@pytest.mark.parametrize(
    ("segment", "expression"),
    [
        (Segment("vlan", "physnet1", 100), "vlan 100 and icmp"),
        (Segment("flat", "physnet1"), "icmp and not vlan"),
    ],
)
def test_frames_on_the_providers_wire(lab: Lab, segment: Segment, expression: str) -> None:
    """From host to host they go there, and not through a tunnel."""
    cloud = two(lab, segment)
    with (
        cloud.sniff("h1", "px0", expression) as wire,
        cloud.sniff("h1", "ul0", "udp port 6081 and greater 120") as tunnel,
    ):
        for _ in range(5):
            assert lab.pings("a", "10.0.0.2")
    assert len(wire.lines()) == 10
    assert tunnel.lines() == []


def test_a_machine_outside(lab: Lab) -> None:
    """It is reached where nothing is tagged, and by a workload that may talk to it only."""
    cloud = two(lab, Segment("flat", "physnet1"))
    namespace = cloud.cloud.outsider(f"{cloud.name}-x", "10.0.0.99/24")
    try:
        assert lab.pings("a", "10.0.0.99")
        assert lab.pings("b", "10.0.0.99")
    finally:
        cloud.forget(namespace)


def own_tag(lab: Lab) -> bytes:
    """What a sends to b in a VLAN of its own."""
    packet = frames.udp("10.0.0.1", "10.0.0.2", 5, 7)
    return frames.tagged(frames.ethernet(mac("a"), mac("b"), frames.IPV4, packet), 7)


@pytest.mark.parametrize(
    ("segment", "qinq"),
    [
        (Segment("vlan", "physnet1", 100), True),
        (Segment("vlan", "physnet1", 100), False),
        (Segment("geneve", None, 7), False),
    ],
)
def test_tags_of_workloads(lab: Lab, segment: Segment, qinq: bool) -> None:
    """They pass where the network is transparent for them; where it is QinQ, with a provider's tag of IEEE 802.1ad around."""
    cloud = two(lab, segment)
    assert not lab.passes("a", "b", own_tag(lab)), "not in any other network"
    network = lab.view.switches[uid("n")]
    lab.view.switches[network.id] = replace(network, vlan_passthru=True, qinq=qinq)
    lab.set(network.key, lab.change("a", port_security=False), lab.change("b", port_security=False))
    with cloud.sniff("h1", "px0", "greater 40") as wire:
        assert lab.passes("a", "b", own_tag(lab))
    seen = [line for line in wire.seen if "10.0.0.1.5 > 10.0.0.2.7" in line]
    assert len(seen) == (segment.physical_network is not None)
    assert all(("802.1Q-QinQ" in line or "0x88a8" in line) is qinq and "vlan 7" in line for line in seen), seen
