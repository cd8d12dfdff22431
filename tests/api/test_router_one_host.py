"""Routers where no dataplane can make them HA or distributed, which is with all of ours: the API does not know these words."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update

from tests.api.conftest import Api
from tests.api.hosts import L3, alive
from tests.api.test_router_kinds import LEG, router
from tests.api.test_routers_interfaces import added, internal, outside, remove
from weft.resources.router import ROUTERS


@pytest.fixture(params=["linux", "ovn", "linux,ovn"])
def options(request: pytest.FixtureRequest) -> dict[str, dict[str, Any]]:
    """As by default, and with the dataplanes named that there are."""
    return {"api": {"backends": tuple(request.param.split(","))}}


@pytest.mark.parametrize("flag", ["ha", "distributed"])
@pytest.mark.parametrize("value", [True, False, None])
def test_the_flags_are_unknown(api: Api, flag: str, value: bool | None) -> None:
    made = api.admin.make("routers")
    assert flag not in made
    for ask in (
        lambda body: api.admin.post("routers", body),
        lambda body: api.admin.put(f"routers/{made['id']}", body),
    ):
        status, body = ask({"router": {flag: value, "admin_state_up": False}})
        fault = body["NeutronError"]
        assert (status, fault["type"]) == (400, "HTTPBadRequest")
        assert fault["message"] == f"Unrecognized attribute(s) '{flag}'"
    assert api.admin.list("routers") == [made]


def test_the_extensions_are_not_promised(api: Api) -> None:
    offered = {row["alias"] for row in api.list("extensions")}
    assert not offered & {"dvr", "l3-ha", "network_ha", "router-admin-state-down-before-update"}
    assert not offered & {"l3-agent-scheduler-ha-chassis-priority"}
    assert {"dhcp_agent_scheduler", "l3_agent_scheduler"} <= offered
    assert api.fault(api.post("networks", {"network": {"ha": True}})) == (400, "HTTPBadRequest")


def test_a_router_with_both_is_on_one_host_like_others(api: Api) -> None:
    """It has them from another dataplane, that was there before."""
    for host in ("h1", "h2"):
        alive(api, L3, host)
    made = router(api)
    api.inside(lambda tx: tx.execute(update(ROUTERS).values(ha=True, distributed=True)))
    assert api.admin.show("routers", made["id"]) == made
    added(api, made, subnet_id=internal(api)["id"])
    (served,) = api.admin.list(f"routers/{made['id']}/l3-agents")
    assert served["host"] == "h1"
    assert "ha_state" not in served
    assert [leg["device_owner"] for leg in api.list("ports")] == [LEG]
    assert len(api.admin.list("networks")) == 1
    status, body = api.admin.put(f"routers/{made['id']}", {"router": {"name": "other"}})
    assert (status, body["router"]["name"]) == (200, "other")
    kept = api.inside(lambda tx: tx.all(select(ROUTERS.c.ha, ROUTERS.c.distributed)))
    assert [tuple(row) for row in kept] == [(True, True)], "a dataplane that can may come back"
    assert remove(api, made, subnet_id=api.list("subnets")[0]["id"])[0] == 200
    assert api.admin.delete(f"routers/{made['id']}")[0] == 204


def test_what_a_distributed_router_refuses(api: Api) -> None:
    """A floating IP of a port that is forwarded to: not where it is one in name only."""
    made = router(api)
    net, _ = outside(api.admin, made)
    added(api, made, subnet_id=internal(api)["id"])
    api.inside(lambda tx: tx.execute(update(ROUTERS).values(distributed=True)))
    (leg,) = api.list("ports")
    workload = api.make("ports", network_id=leg["network_id"])
    one, other = (api.make("floatingips", floating_network_id=net["id"]) for _ in range(2))
    ip = workload["fixed_ips"][0]["ip_address"]
    ssh = {"protocol": "tcp", "external_port": 22, "internal_port": 22, "internal_ip_address": ip}
    api.make(f"floatingips/{one['id']}/port_forwardings", internal_port_id=workload["id"], **ssh)
    answer = api.put(f"floatingips/{other['id']}", {"floatingip": {"port_id": workload["id"]}})
    assert answer[0] == 200, answer


def test_flavors_of_such_routers_are_not_there(api: Api) -> None:
    assert [row["name"] for row in api.list("service-providers")] == ["single_node"]
    driver = "neutron.services.l3_router.service_providers.dvr.DvrDriver"
    answer = api.admin.post("service_profiles", {"service_profile": {"driver": driver}})
    assert api.fault(answer) == (404, "ServiceProfileDriverNotFound")
