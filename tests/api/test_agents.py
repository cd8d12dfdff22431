"""Agents; the rules stand in behaviours section 20 of the API's facts. And ports bound by what agents say."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from tests.api.conftest import Api
from weft.resources import agent

LONG_AGO = "2020-01-01 00:00:00.000000"


def _report(api: Api, agent_type: str = "Linux bridge agent", host: str = "h1", **configurations: Any) -> None:
    api.inside(
        lambda tx: agent.report(
            tx,
            agent_type=agent_type,
            binary="weft",
            topic="N/A",
            host=host,
            configurations=configurations,
            starting=True,
        )
    )


def _forget(api: Api, host: str) -> None:
    """The host was last heard of long ago."""
    statement = update(agent.AGENTS).where(agent.AGENTS.c.host == host).values(heartbeat_timestamp=LONG_AGO)
    api.inside(lambda tx: tx.execute(statement))


def test_life_of_an_agent(api: Api) -> None:
    _report(api, "DHCP agent", networks=0)
    _report(api, "DHCP agent", networks=3)
    (row,) = api.admin.list("agents")
    assert row == api.admin.show("agents", row["id"])
    assert (row["agent_type"], row["host"], row["alive"], row["admin_state_up"]) == ("DHCP agent", "h1", True, True)
    assert row["configurations"] == {"networks": 3}
    assert row["availability_zone"] == "nova"
    assert "T" not in row["heartbeat_timestamp"]
    changed = api.admin.put(f"/agents/{row['id']}", {"agent": {"admin_state_up": False, "description": "tired"}})
    assert changed[0] == 200
    assert api.admin.show("agents", row["id"])["description"] == "tired"
    assert api.fault(api.admin.put(f"/agents/{row['id']}", {"agent": {"host": "x"}})) == (400, "HTTPBadRequest")
    assert api.admin.delete(f"/agents/{row['id']}")[0] == 204
    assert api.fault(api.admin.get(f"/agents/{row['id']}")) == (404, "AgentNotFound")


def test_agents_are_not_made_by_clients(api: Api) -> None:
    assert api.fault(api.admin.post("/agents", {"agent": {}})) == (400, "BadRequest")


def test_members_see_none(api: Api) -> None:
    _report(api)
    (row,) = api.admin.list("agents")
    assert api.list("agents") == []
    assert api.fault(api.get(f"/agents/{row['id']}")) == (404, "HTTPNotFound")


def test_filters(api: Api) -> None:
    _report(api, host="h1")
    _report(api, host="h2")
    _report(api, "L3 agent", host="h2")
    _forget(api, "h1")

    def hosts(query: str) -> list[str]:
        return sorted(row["host"] for row in api.admin.list("agents", query))

    assert hosts("alive=true") == ["h2", "h2"]
    assert hosts("alive=false") == ["h1"]
    assert hosts("agent_type=L3%20agent") == ["h2"]
    assert hosts("host=h1") == ["h1"]
    assert api.admin.list("agents", "host=h1")[0]["alive"] is False


def _bound(api: Api, host: str = "h1", **network: Any) -> dict[str, Any]:
    made = api.admin.make("networks", **network)
    return api.admin.make("ports", network_id=made["id"], **{"binding:host_id": host})


FLAT = {"provider:network_type": "flat", "provider:physical_network": "physnet9"}


@pytest.mark.parametrize(
    ("network", "mappings", "vif_type"),
    [
        ({}, {}, "bridge"),
        ({"provider:network_type": "local"}, {}, "bridge"),
        (FLAT, {"physnet9": "ext0"}, "bridge"),
        (FLAT, {}, "binding_failed"),
    ],
)
def test_ports_are_bound_by_what_the_agent_can(
    api: Api, network: dict[str, Any], mappings: dict[str, str], vif_type: str
) -> None:
    _report(api, backend="linux", bridge_mappings=mappings, tunnel_types=["vxlan"])
    port = _bound(api, **network)
    assert port["binding:vif_type"] == vif_type
    if vif_type == "bridge":
        assert port["binding:vif_details"]["port_filter"] is True
        assert port["binding:vif_details"]["bridge_name"] == f"brq{port['network_id'][:11]}"
    else:
        assert port["binding:vif_details"] == {}


def test_dead_or_stopped_agents_bind_nothing(api: Api) -> None:
    _report(api, backend="linux", tunnel_types=["vxlan"])
    (row,) = api.admin.list("agents")
    api.admin.put(f"/agents/{row['id']}", {"agent": {"admin_state_up": False}})
    assert _bound(api)["binding:vif_type"] == "binding_failed"
    api.admin.put(f"/agents/{row['id']}", {"agent": {"admin_state_up": True}})
    port = _bound(api)
    assert port["binding:vif_type"] == "bridge"
    _forget(api, "h1")
    assert _bound(api)["binding:vif_type"] == "binding_failed"
    assert _bound(api, host="elsewhere")["binding:vif_type"] == "binding_failed"
    bound = api.admin.put(f"/ports/{port['id']}", {"port": {"mac_address": "fa:16:3e:00:00:01"}})
    assert api.fault(bound) == (409, "PortBound")
    again = api.admin.put(f"/ports/{port['id']}", {"port": {"binding:vnic_type": "direct"}})
    assert api.fault(again) == (409, "PortInUse")


def test_the_reason_is_kept_for_the_owner(api: Api) -> None:
    network = api.make("networks")["id"]
    port = api.make("ports", network_id=network)
    assert port["status_reason"] == ""
    api.admin.put(f"/ports/{port['id']}", {"port": {"binding:host_id": "nowhere"}})
    assert api.show("ports", port["id"])["status_reason"] == "no agent on host nowhere"
