"""How ports of every vnic type are attached to a host of OVN, and why not."""

from __future__ import annotations

from typing import Any

import pytest

from weft.backends.interface import Binding, HostFacts, Unbound
from weft.backends.ovn.bind import bind
from weft.logical.model import Segment

OVERLAY, FLAT, TAGGED = Segment("geneve", None, 7), Segment("flat", "physnet1"), Segment("vlan", "physnet1", 42)
HOST = HostFacts("h1", "ovn", bridge_mappings={"physnet1": "br-ex"}, tunnel_types=("geneve",))
CARD = {"card_serial_number": "AB", "pf_mac_address": "00:53:00:00:00:01", "vf_num": 3}


def port(vnic_type: str = "normal", **profile: Any) -> dict[str, Any]:
    return {"binding:vnic_type": vnic_type, "binding:profile": profile, "network_id": "n"}


@pytest.mark.parametrize("segment", [OVERLAY, FLAT, TAGGED, Segment("vxlan", None, 9), Segment("local")])
def test_ordinary_port(segment: Segment) -> None:
    found = bind(port(), [segment], HOST)
    assert found == Binding(
        "ovs", {"port_filter": True, "connectivity": "l2", "bridge_name": "br-int", "bound_drivers": {"0": "ovn"}}
    )


@pytest.mark.parametrize(
    ("asked", "segment", "vif_type", "vlan"),
    [
        (port("vdpa"), OVERLAY, "ovs", None),
        (port("direct", capabilities=["switchdev"]), OVERLAY, "ovs", None),
        (port("remote-managed", **CARD), OVERLAY, "ovs", None),
        (port("direct"), TAGGED, "hw_veb", "42"),
        (port("macvtap"), FLAT, "hw_veb", "0"),
        (port("direct-physical"), TAGGED, "hostdev_physical", None),
        (port("baremetal"), FLAT, "other", None),
    ],
)
def test_kinds(asked: dict[str, Any], segment: Segment, vif_type: str, vlan: str | None) -> None:
    found = bind(asked, [segment], HOST)
    assert isinstance(found, Binding)
    assert (found.vif_type, found.vif_details.get("vlan")) == (vif_type, vlan)
    assert found.vif_details["port_filter"] is (vif_type == "ovs")


def test_a_segment_that_reaches_the_host_is_enough() -> None:
    assert isinstance(bind(port(), [Segment("vlan", "physnet9", 1), TAGGED], HOST), Binding)


@pytest.mark.parametrize(
    ("asked", "segments", "host", "reason"),
    [
        (port(), [Segment("flat", "physnet9")], HOST, "host h1 has no physical network physnet9"),
        (
            port(),
            [Segment("vlan", "a", 1), Segment("vlan", "b", 2)],
            HOST,
            "host h1 has no physical network a; host h1 has no physical network b",
        ),
        (port(), [], HOST, "the network has no segment"),
        (port(), [Segment("gre", None, 3)], HOST, "host h1 has OVN, which cannot carry networks of type gre"),
        (port("direct"), [OVERLAY], HOST, "vnic type direct needs a flat or VLAN network, not geneve"),
        (port("baremetal"), [OVERLAY], HOST, "vnic type baremetal needs a flat or VLAN network, not geneve"),
        (port(), [OVERLAY], HostFacts("h1", "ovn", alive=False), "the ovn-controller of host h1 does not answer"),
        (
            port("remote-managed", card_serial_number="AB"),
            [OVERLAY],
            HOST,
            "vnic type remote-managed needs pf_mac_address, vf_num in binding:profile",
        ),
        (
            port("accelerator-direct"),
            [OVERLAY],
            HOST,
            "host h1 has OVN: vnic type accelerator-direct is not supported there, only normal, vdpa, remote-managed, direct,"
            " macvtap, direct-physical, baremetal are",
        ),
    ],
)
def test_refusals(asked: dict[str, Any], segments: list[Segment], host: HostFacts, reason: str) -> None:
    assert bind(asked, segments, host) == Unbound(reason)
