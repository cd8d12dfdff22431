"""What the rows of a chassis mean, and how it appears in /agents."""

from __future__ import annotations

from typing import Any

from weft.backends.ovn.chassis import CONTROLLER, GATEWAY, METADATA, agents, parse

SETTINGS = {
    "ovn-bridge-mappings": "physnet1:br-ex,physnet2:br-two",
    "ovn-cms-options": "enable-chassis-as-gw,availability-zones=az2:az1,card-serial-number=XY",
    "datapath-type": "netdev",
}


def test_rows() -> None:
    one = parse("id-1", "h1", SETTINGS, [("vxlan", "198.18.0.1"), ("geneve", "198.18.0.1")])
    assert (one.id, one.host, one.gateway, one.zones) == ("id-1", "h1", True, ("az1", "az2"))
    assert one.bridge_mappings == {"physnet1": "br-ex", "physnet2": "br-two"}
    assert (one.encaps, one.ip, one.datapath, one.card_serial) == (("geneve", "vxlan"), "198.18.0.1", "netdev", "XY")


def test_a_host_that_says_little() -> None:
    one = parse("id-1", "", {"ovn-cms-options": ""})
    assert (one.host, one.bridge_mappings, one.gateway, one.zones, one.ip) == ("id-1", {}, False, (), "")


def test_agents() -> None:
    gateway = parse("id-1", "h1", SETTINGS, [("geneve", "198.18.0.1")])
    plain = parse("id-2", "h2", {}, (), {"neutron:ovn-metadata-id": "meta-2"}, alive=False)
    found = {(one.agent_type, one.host): one for one in agents([gateway, plain])}
    assert set(found) == {(GATEWAY, "h1"), (CONTROLLER, "h2"), (METADATA, "h2")}
    one = found[(GATEWAY, "h1")]
    assert (one.id, one.binary, one.availability_zone, one.alive) == ("id-1", "ovn-controller", "az1", True)
    assert one.configurations["availability_zones"] == ["az1", "az2"]
    assert one.configurations["backend"] == "ovn"
    assert sorted(one.configurations["qos"]) == ["bandwidth_limit", "dscp_marking", "minimum_bandwidth"]
    assert one.configurations["bridge-mappings"] == "physnet1:br-ex,physnet2:br-two"
    assert (found[(METADATA, "h2")].id, found[(METADATA, "h2")].alive) == ("meta-2", False)


def resources(options: str) -> dict[str, Any]:
    (one,) = agents([parse("id-1", "h1", {"ovn-cms-options": options})])
    return {
        key.removeprefix("resource_provider_"): value for key, value in one.configurations.items() if "provider" in key
    }


def test_what_a_host_says_of_its_bandwidth() -> None:
    assert resources("enable-chassis-as-gw") == {}
    assert resources(
        "resource_provider_bandwidths=br-ex:10:20;br-two::30;rp_tunnelled,"
        "resource_provider_inventory_defaults=allocation_ratio:1.5;step_size:10,"
        "resource_provider_hypervisors=br-ex:h1.example.org"
    ) == {
        "bandwidths": {
            "br-ex": {"egress": 10, "ingress": 20},
            "br-two": {"egress": None, "ingress": 30},
            "rp_tunnelled": {"egress": None, "ingress": None},
        },
        "inventory_defaults": {"allocation_ratio": 1.5, "step_size": 10},
        "hypervisors": {"br-ex": "h1.example.org", "br-two": "h1", "rp_tunnelled": "h1"},
    }


def test_what_cannot_be_read_of_it_is_told() -> None:
    found = resources(
        "resource_provider_bandwidths=br-ex:much:20;br-two:-1:;br-three:1:2:3;br-four:7:8,"
        "resource_provider_inventory_defaults=colour:1;reserved:x"
    )
    assert found["bandwidths"] == {"br-four": {"egress": 7, "ingress": 8}}
    assert found["inventory_defaults"] == {}
    assert [one.partition(" is ")[0] for one in found["problems"]] == [
        "resource_provider_bandwidths: br-ex:much:20",
        "resource_provider_bandwidths: br-two:-1:",
        "resource_provider_bandwidths: br-three:1:2:3",
        "resource_provider_inventory_defaults: colour:1",
        "resource_provider_inventory_defaults: reserved:x",
    ]
