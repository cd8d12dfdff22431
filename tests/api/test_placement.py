"""What Placement and Nova hear of routed networks; the rules stand in behaviours section 26 of the API's facts."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.api.conftest import Api
from tests.api.placement_server import PlacementServer
from weft.events import consumer as consumers
from weft.events import placement
from weft.events.consumer import Consumer
from weft.events.main import recipients
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


def test_it_is_configured_apart(api: Api) -> None:
    assert api.config.consumers == ("nova", "placement")
