"""A network of two segments, each of which some hosts reach: its workloads speak by that of their host, and no other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.ovn_lab import PROGRAMS, Ovn
from tests.topo.lab import ingress, uid
from tests.topo.ovn_lab import OvnLab
from tests.topo.ovn_networks.test_external import Machine
from weft.backends.linux import netns
from weft.logical.model import Key, Segment

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs(*PROGRAMS, "ip", "tcpdump")]

RACKS = tuple(Segment("vlan", f"physnet{n}", 100 + n, uid(f"rack {n}")) for n in (1, 2))


@pytest.fixture
def racks(prefix: str) -> Iterator[OvnLab]:
    """a on h1, in the first rack; b on h2, in the second."""
    cloud = Ovn(prefix, 2)
    cloud.chassis["h2"].identify(ovn_bridge_mappings="physnet2:br-ex")
    made = OvnLab(prefix, cloud)
    made.network("campus")
    made.view.switches[uid("campus")] = replace(made.view.switches[uid("campus")], segments=RACKS)
    made.group("in", ingress())
    for number, name in enumerate("ab", 1):
        made.port(name, "campus", f"10.0.0.{number}/24", groups=("out", "in"), host=f"h{number}")
    try:
        made.up()
        yield made
    finally:
        made.close()
        cloud.close()


def test_each_by_the_segment_of_its_host(racks: OvnLab) -> None:
    for name in "ab":
        assert racks.full().status[Key("port", uid(name))].up
    namespace = racks.cloud.outsider("campus")
    try:
        for number, name in enumerate("ab", 1):
            here, there = Machine(namespace, 100 + number), Machine(namespace, 103 - number)
            assert here.who_has(f"10.0.0.{number}") == racks.workloads[name].mac
            assert there.who_has(f"10.0.0.{number}") == ""
    finally:
        netns.delete(namespace)
    with racks.sniff("h1", "ul0", "udp port 6081 and greater 120") as tunnel:
        assert not racks.pings("a", "10.0.0.2"), "racks are joined by a router of the data centre, which is not here"
    assert tunnel.lines() == []


def test_a_segment_that_no_host_reaches(racks: OvnLab) -> None:
    network = racks.view.switches[uid("campus")]
    lost = (Segment("vlan", "physnet8", 108, uid("rack 8")), Segment("vlan", "physnet9", 109, uid("rack 9")))
    racks.view.switches[network.id] = replace(network, segments=lost)
    report = racks.full()
    assert report.status[Key("port", uid("a"))].reason == "no chassis has physical network physnet8"
