"""What carries a network, and how ports are bound."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.backends.linux.views import port, switch
from weft.backends.interface import Binding, HostFacts, Unbound
from weft.backends.linux import switches
from weft.backends.linux.bind import bind
from weft.backends.linux.links import Create, Delete, Link, Modify, diff
from weft.config import Linux
from weft.logical.model import Segment

BRIDGE = Link("brqnet-0000000", kind="bridge", mtu=1450, up=True)


@pytest.mark.parametrize(
    ("segment", "uplinks", "problem"),
    [
        (Segment("local"), (), ""),
        (Segment("flat", "external"), (), ""),
        (Segment("flat", "one"), (Link("eth1", up=True, master="brqnet-0000000", isolated=True),), ""),
        (Segment("flat", "two"), (), "no bridge mapping for physical network two on this host"),
        (
            Segment("vlan", "one", 7),
            (
                Link(
                    "eth1.7",
                    kind="vlan",
                    vlan=7,
                    parent="eth1",
                    mtu=1450,
                    up=True,
                    master="brqnet-0000000",
                    isolated=True,
                ),
            ),
            "",
        ),
        (
            Segment("vlan", "long", 4000),
            (),
            "the name enp130s0f1np1.4000 of the VLAN device would be longer than 15 characters",
        ),
        (
            Segment("vxlan", None, 99),
            (
                Link(
                    "vx99",
                    kind="vxlan",
                    vni=99,
                    local="192.0.2.1",
                    mtu=1450,
                    up=True,
                    master="brqnet-0000000",
                    isolated=True,
                ),
            ),
            "",
        ),
        (Segment("geneve", None, 99), (), ""),
    ],
)
def test_what_carries_a_network(segment: Segment, uplinks: tuple[Link, ...], problem: str) -> None:
    config = Linux(bridge_mappings={"one": "eth1", "long": "enp130s0f1np1"}, tunnel_address="192.0.2.1")
    made = switches.render(replace(switch(), segments=(segment,)), config)
    assert made == switches.Switch(BRIDGE, uplinks, problem)


def test_no_tunnel_without_an_address() -> None:
    assert switches.render(switch(), Linux()).uplinks == ()


def test_what_is_an_operators_is_none_of_ours() -> None:
    """Devices that carry physical networks, whatever they are, and those that are only called alike."""
    ours = [
        Link("brqnet-0000000", "bridge"),
        Link("vx7", "vxlan", master="brqnet-0000000"),
        Link("eth1.7", "vlan", master="brqnet-0000000"),
    ]
    theirs = [
        Link("br0", "bridge"),
        Link("vxlan7", "vxlan"),
        Link("vx8", "vxlan", master="brqnet-0000000"),
        Link("bond0.100", "vlan", master="brqnet-0000000"),
        Link("eth1.8", "vlan", master="br0"),
        Link("eth1", master="brqnet-0000000"),
    ]
    mappings = {"one": "eth1", "two": "bond0.100", "three": "vx8"}
    actual = {link.name: link for link in (*ours, *theirs)}
    assert switches.made_here(actual, mappings) == {link.name for link in ours}


def test_a_network_that_is_down_has_a_bridge_that_is_down() -> None:
    assert switches.render(switch(enabled=False), Linux()).bridge.up is False


def test_a_workload_s_device() -> None:
    assert switches.attached(port(), switch()) == Link("tapport-000000", mtu=1450, up=True, master="brqnet-0000000")


def test_diff_mentions_only_what_differs() -> None:
    want = Link("b", kind="bridge", mtu=1450, up=True)
    assert diff({}, [want]) == [Create(want)]
    assert diff({"b": replace(want, master="", mac="aa")}, [want]) == []
    assert diff({"b": replace(want, mtu=1500)}, [want]) == [Modify(Link("b", mtu=1450))]
    assert diff({"b": replace(want, settings=False)}, [want]) == [Modify(Link("b", kind="bridge"))]
    assert diff({"b": replace(want, kind="dummy")}, [want]) == [Delete("b"), Create(want)]
    assert diff({"t": Link("t", up=False, master="")}, [Link("t", up=True, master="b")]) == [
        Modify(Link("t", up=True, master="b"))
    ]
    assert diff({"other": want}, []) == []


PORT = {"id": "p", "network_id": "net-0000000000"}
HERE = HostFacts("h", "linux", bridge_mappings={"one": "eth1"})


@pytest.mark.parametrize(
    "segment", [Segment("vxlan", None, 5), Segment("local"), Segment("flat", "one"), Segment("flat", "external")]
)
def test_bound(segment: Segment) -> None:
    assert bind(PORT, [segment], HERE) == Binding(
        "bridge",
        {"port_filter": True, "connectivity": "l2", "bridge_name": "brqnet-0000000", "bound_drivers": {"0": "linux"}},
        segment,
    )


@pytest.mark.parametrize(
    ("port", "segments", "host", "reason"),
    [
        (
            {**PORT, "binding:vnic_type": "direct"},
            [Segment("local")],
            HERE,
            "host h has Linux bridges: vnic type direct is not supported there, only normal is",
        ),
        (PORT, [Segment("local")], replace(HERE, alive=False), "the agent of host h is dead"),
        (PORT, [Segment("vlan", "two", 5)], HERE, "no bridge mapping for physical network two on host h"),
        (
            PORT,
            [Segment("geneve", None, 5)],
            HERE,
            "host h has Linux bridges, which cannot carry networks of type geneve",
        ),
        (PORT, [], HERE, "the network has no segment"),
    ],
)
def test_not_bound(port: dict[str, str], segments: list[Segment], host: HostFacts, reason: str) -> None:
    answer = bind(port, segments, host)
    assert isinstance(answer, Unbound)
    assert reason in answer.reason


def test_the_first_segment_that_the_host_has_is_taken() -> None:
    segments = (Segment("flat", "two"), Segment("vlan", "one", 7), Segment("vxlan", None, 5))
    answer = bind(PORT, segments, HERE)
    assert isinstance(answer, Binding)
    assert answer.segment == segments[1]
    config = Linux(bridge_mappings={"one": "eth1"}, tunnel_address="192.0.2.1")
    made = switches.render(replace(switch(), segments=segments), config)
    assert ([link.name for link in made.uplinks], made.problem) == (["eth1.7"], "")


def test_no_segment_that_the_host_has() -> None:
    made = switches.render(replace(switch(), segments=(Segment("flat", "two"), Segment("flat", "three"))), Linux())
    assert made.uplinks == ()
    assert made.problem.count("no bridge mapping for physical network") == 2
