"""A network of two segments, one in each rack, and a router of the data centre between them.

h1: a --- eth1 === rack1 === campus === rack2 === eth1 --- b :h2
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.topo.lab import Lab, ingress, uid
from weft.backends.linux import names, netns
from weft.logical.model import Segment

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs("ip")]

RACKS = (Segment("flat", "rack1"), Segment("flat", "rack2"))


def ip(namespace: str, *words: str) -> None:
    subprocess.run(["ip", "-n", namespace, *words], check=True)


def cable(lab: Lab, interface: str, namespace: str, other: str) -> None:
    """Connect an interface of a host to the data centre's router."""
    ip(lab.host, "link", "add", interface, "type", "veth", "peer", "name", other, "netns", namespace)
    ip(namespace, "link", "set", other, "up")


def host(prefix: str, **mappings: str) -> Lab:
    lab = Lab(prefix, bridge_mappings=mappings)
    netns.create(lab.host, netns.HOST_SYSCTLS)
    lab.network("campus")
    network = uid("campus")
    lab.view.switches[network] = replace(lab.view.switches[network], segments=RACKS)
    lab.group("web", ingress("icmp"))
    return lab


def workload(lab: Lab, name: str, cidr: str) -> None:
    lab.port(name, "campus", cidr, groups=("out", "web"))
    lab.plug(name)
    lab.full()


@pytest.fixture
def campus(prefix: str) -> Iterator[str]:
    name = f"{prefix}-campus"
    netns.create(name, {"net/ipv4/ip_forward": 1})
    yield name
    netns.delete(name)


def test_servers_reach_each_other_through_their_gateways(prefix: str, campus: str) -> None:
    with contextlib.closing(host(prefix, rack1="eth1")) as one, contextlib.closing(host(prefix, rack2="eth1")) as two:
        for lab, rack, name in ((one, 1, "a"), (two, 2, "b")):
            cable(lab, "eth1", campus, f"rack{rack}")
            ip(campus, "address", "add", f"10.{rack}.0.1/24", "dev", f"rack{rack}")
            workload(lab, name, f"10.{rack}.0.9/24")
        assert not one.pings("a", "10.2.0.9"), "no route yet"
        # what DHCP tells them: the host routes of their subnets
        ip(one.workloads["a"].namespace, "route", "add", "10.2.0.0/24", "via", "10.1.0.1")
        ip(two.workloads["b"].namespace, "route", "add", "10.1.0.0/24", "via", "10.2.0.1")
        assert one.pings("a", "10.2.0.9", 2)
        assert two.pings("b", "10.1.0.9", 2)


def test_a_host_in_both_racks_joins_nothing(prefix: str, campus: str) -> None:
    """It takes part by the first one. Were both on its bridge, a second such host would make a loop of them."""
    with contextlib.closing(host(prefix, rack1="eth1", rack2="eth2")) as lab:
        for rack in (1, 2):
            cable(lab, f"eth{rack}", campus, f"rack{rack}")
            ip(campus, "address", "add", f"10.0.{rack}.1/16", "dev", f"rack{rack}")
        ip(campus, "route", "del", "10.0.0.0/16", "dev", "rack2")
        workload(lab, "a", "10.0.7.9/16")
        found = lab.links(lambda links: links.dump())
        bridge = names.bridge(uid("campus"))
        assert [found[name].master for name in ("eth1", "eth2")] == [bridge, ""]
        assert lab.pings("a", "10.0.1.1", 2)
        before = int(_received(campus, "rack2"))
        assert not lab.pings("a", "10.0.3.3"), "asked for by broadcast, which stays in rack1"
        assert int(_received(campus, "rack2")) == before


def _received(namespace: str, interface: str) -> str:
    command = ["ip", "netns", "exec", namespace, "cat", f"/sys/class/net/{interface}/statistics/rx_packets"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
