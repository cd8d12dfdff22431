"""Hosts of OVN as agents: they appear, change, die and return by what the Southbound database says; ports are bound to them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from tests.api.conftest import Api
from tests.api.test_qos_attachment import policy
from weft.backends.ovn.chassis import Chassis, parse
from weft.reconcile.chassis import Reporter
from weft.resources.agent import AGENTS, report
from weft.store import changes

ID = "5f3c0000-0000-4000-8000-00000000000a"
H1 = Chassis(ID, "h1", bridge_mappings={"physnet1": "br-ex"}, zones=("az1",), ip="198.18.0.1")
H2 = Chassis("no uuid", "h2")


class Cloud:
    """The chassis of a test."""

    def __init__(self, api: Api, *chassis: Chassis) -> None:
        self.api, self.chassis = api, list(chassis)
        self.reporter = Reporter(api.config, api.store, lambda: self.chassis)

    def agents(self) -> dict[str, Any]:
        return {row["host"]: row for row in self.api.admin.list("agents")}


@pytest.fixture
def options() -> dict[str, dict[str, Any]]:
    """A heartbeat whenever it is looked."""
    return {"api": {"report_interval": 0}}


@pytest.fixture
def cloud(api: Api) -> Cloud:
    return Cloud(api, H1, H2)


def test_they_appear(cloud: Cloud) -> None:
    assert cloud.reporter.write() == 2
    row = cloud.agents()["h1"]
    assert row["id"] == ID
    assert (row["agent_type"], row["binary"]) == ("OVN Controller agent", "ovn-controller")
    assert (row["alive"], row["admin_state_up"], row["availability_zone"]) == (True, True, "az1")
    assert row["configurations"]["bridge_mappings"] == {"physnet1": "br-ex"}
    assert len(cloud.agents()["h2"]["id"]) == 36


def test_they_say_which_qos_rules_ovn_makes_something_of(cloud: Cloud) -> None:
    cloud.reporter.write()
    api = cloud.api
    assert sorted(one["type"] for one in api.list("qos/rule-types")) == [
        "bandwidth_limit", "dscp_marking", "minimum_bandwidth"
    ]  # fmt: skip
    net = api.make("networks")["id"]
    for kind, values, status in (
        ("packet_rate_limit", {}, 409),
        ("minimum_packet_rate", {}, 409),
        ("minimum_bandwidth", {"direction": "ingress", "min_kbps": 10}, 409),
        ("minimum_bandwidth", {"direction": "egress", "min_kbps": 10}, 201),
        ("bandwidth_limit", {}, 201),
    ):
        held = policy(api, **{kind: values})
        answer = api.post("ports", {"port": {"network_id": net, "qos_policy_id": held}})
        assert answer[0] == status, (kind, values)
        if status == 409:
            assert api.fault(answer) == (409, "QosRuleNotSupported")


def test_minimums_of_what_comes_in_are_for_hosts_that_say_what_they_have(cloud: Cloud) -> None:
    """Placement keeps them then: nothing of OVN would."""
    api = cloud.api
    room = {"ovn-cms-options": "resource_provider_bandwidths=br-ex:1000:1000", "ovn-bridge-mappings": "physnet1:br-ex"}
    cloud.chassis[:] = [parse(ID, "h1", room), replace(H2, bridge_mappings={"physnet1": "br-ex"})]
    cloud.reporter.write()
    held = policy(api, minimum_bandwidth={"direction": "ingress", "min_kbps": 10})
    flat = {"provider:network_type": "flat", "provider:physical_network": "physnet1", "shared": True}
    net = api.admin.make("networks", **flat)["id"]
    found = {}
    for host in ("h1", "h2"):
        port = api.admin.make("ports", network_id=net, qos_policy_id=held, project_id="p1", **{"binding:host_id": host})
        found[host] = (port["binding:vif_type"], port["status_reason"])
    details = api.admin.show("qos/rule-types", "minimum_bandwidth")["drivers"]
    ways = {one["parameter_name"]: one["parameter_values"] for one in details[0]["supported_parameters"]}["direction"]
    assert sorted(ways) == ["egress", "ingress"]
    assert found["h1"] == ("ovs", "")
    assert found["h2"][0] == "binding_failed" and "minimum_bandwidth" in found["h2"][1]


def test_one_that_becomes_a_gateway_stays_the_same_agent(cloud: Cloud) -> None:
    cloud.reporter.write()
    cloud.api.admin.put(f"agents/{ID}", {"agent": {"description": "mine"}})
    cloud.chassis[0] = replace(H1, gateway=True)
    assert cloud.reporter.write() == 1
    row = cloud.agents()["h1"]
    assert (row["id"], row["agent_type"], row["description"]) == (ID, "OVN Controller Gateway agent", "mine")


def test_one_that_dies_and_returns(cloud: Cloud) -> None:
    cloud.reporter.write()
    cloud.chassis[0] = replace(H1, alive=False)
    cloud.reporter.write()
    assert {host: row["alive"] for host, row in cloud.agents().items()} == {"h1": False, "h2": True}
    cloud.chassis[0] = H1
    cloud.reporter.write()
    assert cloud.agents()["h1"]["alive"]


def test_where_nothing_changes_one_statement_says_that_all_live(cloud: Cloud) -> None:
    cloud.chassis = [Chassis(f"c{n}", f"h{n}") for n in range(200)]
    cloud.reporter.write()
    before = [row["heartbeat_timestamp"] for row in cloud.agents().values()]
    with cloud.api.statements() as statements:
        assert cloud.reporter.write() == 0
    assert len(statements) == 1
    assert min(row["heartbeat_timestamp"] for row in cloud.agents().values()) > max(before)


def test_one_that_was_deleted_and_lives_comes_back(cloud: Cloud) -> None:
    cloud.reporter.write()
    assert cloud.api.admin.delete(f"agents/{ID}")[0] == 204
    cloud.reporter.write()
    cloud.reporter.write()
    assert set(cloud.agents()) == {"h1", "h2"}


def test_another_process_takes_over(cloud: Cloud) -> None:
    cloud.reporter.write()
    Cloud(cloud.api, H1, H2).reporter.write()
    assert len(cloud.agents()) == 2
    found = cloud.api.inside(lambda tx: tx.all(select(AGENTS.c.id).where(AGENTS.c.host == "h1")))
    assert [row.id for row in found] == [ID]


def test_what_is_new_of_them_is_news(cloud: Cloud) -> None:
    """Not that they live, and not that another process tells the same of them."""
    last = 0

    def told() -> list[tuple[str, str]]:
        nonlocal last
        found = cloud.api.inside(lambda tx: changes.after(tx.connection, last))
        last = found[-1].sequence if found else last
        return [(one.kind, one.operation) for one in found]

    cloud.reporter.write()
    assert told() == [("agent", "create")] * 2
    cloud.chassis[0] = replace(H1, alive=False)
    cloud.reporter.write()
    Cloud(cloud.api, H1, H2).reporter.write()
    assert told() == []
    cloud.chassis[0] = replace(H1, bridge_mappings={"physnet2": "br-ex"})
    cloud.reporter.write()
    assert told() == [("agent", "update")]


def test_hosts_of_two_backends_side_by_side(cloud: Cloud) -> None:
    cloud.reporter.write()
    said = {"backend": "linux", "tunnel_types": ["vxlan"], "bridge_mappings": {}}
    cloud.api.inside(
        lambda tx: report(tx, agent_type="Linux bridge agent", binary="w", topic="N/A", host="old", configurations=said)
    )
    bound = {}
    for host in ("h1", "old", "nowhere"):
        net = cloud.api.make("networks", name="n")
        port = cloud.api.admin.make("ports", network_id=net["id"], **{"binding:host_id": host})
        bound[host] = port["binding:vif_type"]
    assert bound == {"h1": "ovs", "old": "bridge", "nowhere": "binding_failed"}
    flat = {"provider:network_type": "flat", "provider:physical_network": "physnet9"}
    other = cloud.api.admin.make("networks", name="flat", **flat)
    port = cloud.api.admin.make("ports", network_id=other["id"], **{"binding:host_id": "h1"})
    assert port["binding:vif_type"] == "binding_failed"
    assert port["status_reason"] == "host h1 has no physical network physnet9"


def test_their_zones_can_be_asked_for(cloud: Cloud) -> None:
    """Also those in which a host is besides its first; networks are everywhere, routers where gateways are."""
    cloud.chassis = [replace(H1, gateway=True, zones=("az1", "az2")), replace(H2, zones=("az3",))]
    cloud.reporter.write()
    zones = cloud.api.list("availability_zones")
    assert {(one["resource"], one["name"]) for one in zones} == {
        ("network", "az1"),
        ("network", "az3"),
        ("router", "az1"),
    }
    for zone, status in (("az1", 201), ("az2", 201), ("az3", 404)):
        body = {"router": {"name": zone, "availability_zone_hints": [zone]}}
        assert cloud.api.post("routers", body)[0] == status
