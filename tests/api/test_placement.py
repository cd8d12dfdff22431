"""What Placement and Nova hear of routed networks; the rules stand in behaviours section 26 of the API's facts."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.api.conftest import Api
from tests.api.placement_server import PlacementServer
from weft.backends.ovn import chassis
from weft.events import bandwidths, placement
from weft.events import consumer as consumers
from weft.events.consumer import Consumer
from weft.events.main import recipients
from weft.reconcile.chassis import Reporter
from weft.reconcile.doorbell import Doorbell
from weft.resources import agent
from weft.store.leader import Lease


@pytest.fixture
def server() -> Iterator[PlacementServer]:
    made = PlacementServer()
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def options(server: PlacementServer) -> dict[str, dict[str, Any]]:
    section = {"auth_url": f"{server.url}/v3", "username": "weft", "password": "secret", "timeout": 5}
    return {
        "placement": section,
        "nova": section,
        "ml2": {"network_vlan_ranges": ("rack1", "rack2"), "project_network_types": ("vxlan",)},
    }


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of the tests runs faster."""
    monkeypatch.setattr(consumers, "FIRST_RETRY", 0.05)
    monkeypatch.setattr(consumers, "LAST_RETRY", 0.2)
    monkeypatch.setattr(placement, "GATHER", 0.0)


@contextlib.contextmanager
def running(api: Api) -> Iterator[None]:
    """The consumer of `weft up`, in a thread of this process."""
    (found,) = [one for one in recipients(api.config, api.store) if one.name == "placement"]
    found.gather = 0.0
    bell = Doorbell(api.config.state_path, "events-placement")
    made = Consumer(api.store, Lease(api.store, "events placement", f"test {uuid4()}"), bell, found)
    made.begin()
    thread = threading.Thread(target=made.run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        made.stop()
        thread.join()
        bell.close()


def report(api: Api, host: str, *racks: str) -> None:
    facts: Any = {"agent_type": "Linux bridge agent", "binary": "weft", "topic": "N/A", "host": host, "starting": True}
    said = {"backend": "linux", "bridge_mappings": dict.fromkeys(racks, "eth1")}
    api.inside(lambda tx: agent.report(tx, configurations=said, **facts))


@pytest.fixture
def network(api: Api) -> tuple[str, dict[str, str]]:
    """A network, and its segments by physical network. h1 is in rack1, h2 in rack2, h3 in both and unknown to Nova."""
    report(api, "h1", "rack1")
    report(api, "h2", "rack2")
    report(api, "h3", "rack1", "rack2")
    kind = {"provider:network_type": "vlan", "provider:segmentation_id": 10}
    segments = [{**kind, "provider:physical_network": rack} for rack in ("rack1", "rack2")]
    made = api.admin.make("networks", segments=segments)
    found = api.admin.list("segments", f"network_id={made['id']}")
    return made["id"], {row["physical_network"]: row["id"] for row in found}


def subnet(api: Api, network: str, cidr: str, segment: str, **more: Any) -> str:
    version = 6 if ":" in cidr else 4
    of = {"network_id": network, "segment_id": segment, "ip_version": version}
    return str(api.admin.make("subnets", cidr=cidr, **of, **more)["id"])


def inventory(server: PlacementServer, segment: str) -> tuple[int, int] | None:
    """(total, reserved) of a segment's provider."""
    found = server.providers.get(segment, {}).get("inventories", {}).get("IPV4_ADDRESS")
    return (found["total"], found["reserved"]) if found else None


def hosts(server: PlacementServer, segment: str) -> list[str] | None:
    name = f"Neutron segment id {segment}"
    return next((sorted(one["hosts"]) for one in server.aggregates.values() if one["name"] == name), None)


def test_from_the_first_subnet_to_the_last(api: Api, server: PlacementServer, network: Any) -> None:
    id, segments = network
    one, two = segments["rack1"], segments["rack2"]
    with running(api):
        first = subnet(api, id, "10.1.0.0/24", one)
        subnet(api, id, "10.2.0.0/24", two, enable_dhcp=False, gateway_ip=None)
        server.wait(lambda: inventory(server, one) == (254, 2) and inventory(server, two) == (254, 0))
        server.wait(lambda: hosts(server, one) == ["h1"] and hosts(server, two) == ["h2"])
        provider = server.providers[one]
        assert provider["name"] == f"Neutron segment id {one}"
        (aggregate,) = [row for row in server.aggregates.values() if row["name"] == provider["name"]]
        server.wait(lambda: provider["aggregates"] == [aggregate["uuid"]])
        assert provider["inventories"]["IPV4_ADDRESS"] == {
            "total": 254,
            "reserved": 2,
            "min_unit": 1,
            "max_unit": 1,
            "step_size": 1,
            "allocation_ratio": 1.0,
        }
        second = subnet(api, id, "10.3.0.0/24", one)
        server.wait(lambda: inventory(server, one) == (508, 4))
        pools = [{"start": "10.3.0.10", "end": "10.3.0.19"}]
        assert api.admin.put(f"subnets/{second}", {"subnet": {"allocation_pools": pools}})[0] == 200
        server.wait(lambda: inventory(server, one) == (265, 4))
        subnet(api, id, "fd00:1::/64", one)
        for gone in (first, second):
            assert api.admin.delete(f"subnets/{gone}")[0] == 204
        server.wait(lambda: one not in server.providers and hosts(server, one) is None)
        assert inventory(server, two) == (254, 0)


def test_ports_that_are_no_server_s_are_reserved(api: Api, server: PlacementServer, network: Any) -> None:
    id, segments = network
    one = segments["rack1"]
    of = subnet(api, id, "10.1.0.0/24", one)
    with running(api):
        fixed = {"network_id": id, "fixed_ips": [{"subnet_id": of}]}
        api.admin.make("ports", device_owner="compute:nova", **fixed)
        port = api.admin.make("ports", device_owner="network:router_interface", **fixed)["id"]
        server.wait(lambda: inventory(server, one) == (254, 3))
        assert api.admin.delete(f"ports/{port}")[0] == 204
        server.wait(lambda: inventory(server, one) == (254, 2))
        api.admin.make("networks")
        api.admin.make("ports", network_id=api.make("networks")["id"])
        api.admin.make("ports", device_owner="neutron:LOADBALANCERV2", **fixed)
        server.wait(lambda: inventory(server, one) == (254, 3))
        assert list(server.providers) == [one]


def test_hosts_come_and_go(api: Api, server: PlacementServer, network: Any) -> None:
    id, segments = network
    one, two = segments["rack1"], segments["rack2"]
    subnet(api, id, "10.1.0.0/24", one)
    subnet(api, id, "10.2.0.0/24", two)
    with running(api):
        report(api, "h2", "rack1")
        server.wait(lambda: hosts(server, one) == ["h1", "h2"] and hosts(server, two) == [])


def test_what_was_missed_is_made_up_for(api: Api, server: PlacementServer, network: Any) -> None:
    id, segments = network
    one, two = segments["rack1"], segments["rack2"]
    server.refuse = True
    with running(api):
        of = subnet(api, id, "10.1.0.0/24", one)
    subnet(api, id, "10.2.0.0/24", two)
    server.refuse = False
    with running(api):
        server.wait(lambda: inventory(server, one) == inventory(server, two) == (254, 2))
    server.providers[one]["generation"] = 17
    server.in_use.add(two)
    with running(api):
        assert api.admin.delete(f"networks/{id}")[0] == 204
        server.wait(lambda: one not in server.providers and hosts(server, two) is None)
    assert two in server.providers, "servers still have addresses of it there"
    assert of not in server.providers


# Bandwidth of hosts of OVN.

ROOM = "resource_provider_bandwidths=br-ex:10000:20000;rp_tunnelled:5000:"
UNITS = {"allocation_ratio": 1.0, "min_unit": 1, "step_size": 1, "reserved": 0}


class Chassis:
    """A host of OVN that reports itself; `says` are its ovn-cms-options."""

    def __init__(self, api: Api, host: str = "h1") -> None:
        self.host, self.found = host, [chassis.parse(str(uuid4()), host, {})]
        self.reporter, self.api = Reporter(api.config, api.store, lambda: self.found), api

    def says(self, options: str, mappings: str = "physnet-1:br-ex") -> None:
        settings = {"ovn-cms-options": options, "ovn-bridge-mappings": mappings}
        self.found[:] = [chassis.parse(self.found[0].id, self.host, settings)]
        self.reporter.write()

    def gone(self) -> None:
        self.found.clear()
        (row,) = self.api.admin.list("agents", f"host={self.host}&binary=ovn-controller")
        assert self.api.admin.delete(f"agents/{row['id']}")[0] == 204

    def synced(self) -> bool | None:
        (row,) = self.api.admin.list("agents", f"host={self.host}&binary=ovn-controller")
        return row["resources_synced"]  # type: ignore[no-any-return]

    def wait(self, synced: bool | None) -> None:
        """Until its agent shows that."""
        deadline = time.monotonic() + 20
        while self.synced() is not synced:
            assert time.monotonic() < deadline, self.synced()
            time.sleep(0.02)


def tree(server: PlacementServer) -> dict[str, tuple[str | None, dict[str, int]]]:
    """Provider -> its parent, by their names, and the totals of what it has."""
    names = {id: one["name"] for id, one in server.providers.items()}
    return {
        one["name"]: (
            names.get(one["parent_provider_uuid"]),
            {name: said["total"] for name, said in one["inventories"].items()},
        )
        for one in server.providers.values()
    }


AGENT = "h1:OVN Controller agent"
WHOLE: dict[str, tuple[str | None, dict[str, int]]] = {
    "h1": (None, {}),
    AGENT: ("h1", {}),
    f"{AGENT}:br-ex": (AGENT, {"NET_BW_EGR_KILOBIT_PER_SEC": 10000, "NET_BW_IGR_KILOBIT_PER_SEC": 20000}),
    f"{AGENT}:rp_tunnelled": (AGENT, {"NET_BW_EGR_KILOBIT_PER_SEC": 5000}),
}


def by_name(server: PlacementServer, name: str) -> dict[str, Any]:
    return next(one for one in server.providers.values() if one["name"] == name)


def test_the_bandwidth_of_a_host(api: Api, server: PlacementServer) -> None:
    host = Chassis(api)
    server.add("h1")
    with running(api):
        host.says("")
        assert host.synced() is None
        host.says(f"enable-chassis-as-gw,{ROOM},resource_provider_inventory_defaults=allocation_ratio:2;reserved:100")
        server.wait(lambda: tree(server) == WHOLE)
        device = by_name(server, f"{AGENT}:br-ex")
        wanted = {**UNITS, "allocation_ratio": 2.0, "reserved": 100, "total": 10000}
        assert device["inventories"]["NET_BW_EGR_KILOBIT_PER_SEC"] == wanted
        assert {"CUSTOM_PHYSNET_PHYSNET_1", "CUSTOM_VNIC_TYPE_NORMAL"} < set(device["traits"])
        assert {"CUSTOM_NETWORK_TUNNEL_PROVIDER"} < set(by_name(server, f"{AGENT}:rp_tunnelled")["traits"])
        host.wait(True)
        host.says("resource_provider_bandwidths=br-ex:7000:")
        one = ("h1", {}), (AGENT, {"NET_BW_EGR_KILOBIT_PER_SEC": 7000})
        server.wait(lambda: tree(server) == {"h1": (None, {}), AGENT: one[0], f"{AGENT}:br-ex": one[1]})
        host.says("")
        server.wait(lambda: tree(server) == {"h1": (None, {})})
        host.wait(None)
        host.says(ROOM)
        server.wait(lambda: tree(server) == WHOLE)
        host.gone()
        server.wait(lambda: tree(server) == {"h1": (None, {})})


def test_an_agent_that_was_deleted_and_lives(api: Api, server: PlacementServer) -> None:
    host = Chassis(api)
    server.add("h1")
    with running(api):
        host.says(ROOM)
        host.wait(True)
        (row,) = api.admin.list("agents")
        assert api.admin.delete(f"agents/{row['id']}")[0] == 204
        host.reporter.write()
        host.says(f"enable-chassis-as-gw,{ROOM}")
        host.wait(True)
        server.wait(lambda: tree(server) == WHOLE)


def test_what_a_port_asks_for_is_what_a_device_has(api: Api, server: PlacementServer) -> None:
    """By the traits and resource classes that both name, Placement finds the one for the other."""
    policy = api.admin.make("qos/policies", name="q")["id"]
    rule = {"minimum_bandwidth_rule": {"min_kbps": 100}}
    assert api.admin.post(f"qos/policies/{policy}/minimum_bandwidth_rules", rule)[0] == 201
    flat = {"provider:network_type": "flat", "provider:physical_network": "physnet-1"}
    asked = {}
    for device, kind in (("br-ex", flat), ("rp_tunnelled", {"provider:network_type": "vxlan"})):
        network = api.admin.make("networks", **kind)["id"]
        port = api.admin.make("ports", network_id=network, qos_policy_id=policy)
        (asked[device],) = port["resource_request"]["request_groups"]
    server.add("h1")
    with running(api):
        Chassis(api).says(ROOM)
        server.wait(lambda: tree(server) == WHOLE)
    for device, group in asked.items():
        takes = [
            one["name"]
            for one in server.providers.values()
            if set(group["required"]) <= set(one["traits"]) and set(group["resources"]) <= set(one["inventories"])
        ]
        assert takes == [f"{AGENT}:{device}"]


def test_a_hypervisor_that_nova_has_not_made_yet(
    api: Api, server: PlacementServer, network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else waits for it, and what could not be told is told later, though nothing changes here."""
    monkeypatch.setattr(bandwidths, "AGAIN", 0.0)
    monkeypatch.setattr(consumers, "LOOK_EVERY", 0.05)
    host = Chassis(api, "h9")
    with running(api):
        host.says(f"{ROOM},resource_provider_hypervisors=br-ex:h1;rp_tunnelled:h1")
        host.wait(False)
        subnet(api, network[0], "10.1.0.0/24", network[1]["rack1"])
        server.wait(lambda: inventory(server, network[1]["rack1"]) == (254, 2))
        with server.heard:
            server.add("h1")
        server.wait(lambda: WHOLE.items() <= tree(server).items())
        host.wait(True)


def test_bandwidth_that_servers_use_stays(api: Api, server: PlacementServer) -> None:
    host = Chassis(api)
    server.add("h1")
    with running(api):
        host.says(ROOM)
        host.wait(True)
        used = by_name(server, f"{AGENT}:br-ex")["uuid"]
        server.in_use.add(used)
    with running(api):
        host.says("resource_provider_bandwidths=rp_tunnelled:5000:")
        server.wait(lambda: used in server.kept)
        host.wait(True)
    assert used in server.providers


def test_it_is_configured_apart(api: Api) -> None:
    assert api.config.consumers == ("nova", "placement")
