"""HA and distributed routers where the dataplane can make them; the rules stand in behaviours section 10 of the API's facts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from falcon import testing

from tests.api import hosts
from tests.api.conftest import Api, caller
from tests.api.hosts import L3, alive
from tests.api.test_l3_scheduling import agents
from tests.api.test_races import apis, outcomes, race  # noqa: F401 - fixture
from tests.api.test_routers_interfaces import added, internal, outside, remove
from weft import app
from weft.reconcile.load import HostLoader
from weft.registry.resource import Row
from weft.resources import scheduling


@pytest.fixture
def options() -> dict[str, dict[str, Any]]:
    return {"api": {"backend": "elsewhere"}}


def router(api: Api, **values: Any) -> Row:
    return api.admin.make("routers", project_id=api.project, **values)


def convert(api: Api, made: Row, **values: Any) -> None:
    for changes in ({"admin_state_up": False}, values, {"admin_state_up": True}):
        status, body = api.admin.put(f"routers/{made['id']}", {"router": changes})
        assert status == 200, body


def ports(api: Api, owner: str) -> list[Row]:
    return api.admin.list("ports", f"device_owner={owner}")


def states(api: Api, made: Row) -> dict[str, str]:
    return {row["host"]: row["ha_state"] for row in api.admin.list(f"routers/{made['id']}/l3-agents")}


HA_PORT, HA_LEG = "network:router_ha_interface", "network:ha_router_replicated_interface"
DVR_LEG, SNAT, LEG = (
    "network:router_interface_distributed",
    "network:router_centralized_snat",
    "network:router_interface",
)


def test_the_extensions(api: Api) -> None:
    offered = {row["alias"] for row in api.list("extensions")}
    assert {
        "dvr",
        "l3-ha",
        "network_ha",
        "router-admin-state-down-before-update",
        "dhcp_agent_scheduler",
        "l3_agent_scheduler",
        "agent-resources-synced",
        "l3-agent-scheduler-ha-chassis-priority",
        "router-enable-snat",
        "router-service-type",
    } <= offered


# HA.


def test_an_ha_router_is_on_several_hosts_at_once(api: Api) -> None:
    for number in range(5):
        alive(api, L3, f"h{number}")
    made = router(api, ha=True)
    assert agents(api, made) == ["h0", "h1", "h2"]
    assert states(api, made) == {"h0": "active", "h1": "standby", "h2": "standby"}
    assert "ha_state" not in api.admin.list(f"routers/{router(api)['id']}/l3-agents")


@pytest.mark.parametrize("number", [1, 2])
def test_fewer_hosts_are_no_error(api: Api, number: int) -> None:
    for at in range(number):
        alive(api, L3, f"h{at}")
    assert len(agents(api, router(api, ha=True))) == number


def test_hosts_that_come_are_added_up_to_the_most(api: Api) -> None:
    made = router(api, ha=True)
    for number in range(5):
        alive(api, L3, f"h{number}")
        api.inside(scheduling.fill)
    assert len(agents(api, made)) == 3
    assert list(states(api, made).values()).count("active") == 1


def test_the_hosts_hear_each_other_on_a_network_of_the_project(api: Api) -> None:
    for host in ("h1", "h2"):
        alive(api, L3, host)
    one, other = router(api, ha=True), router(api, ha=True)
    (net,) = api.admin.list("networks", "name=HA%20network%20project%20p1")
    (subnet,) = api.admin.list("subnets", f"network_id={net['id']}")
    assert (net["project_id"], subnet["project_id"], subnet["name"]) == ("", "", "HA subnet project p1")
    assert (subnet["cidr"], subnet["enable_dhcp"], subnet["gateway_ip"]) == ("169.254.192.0/18", False, None)
    assert api.list("networks") == []
    legs = ports(api, HA_PORT)
    assert {(leg["device_id"], leg["binding:host_id"]) for leg in legs} == {
        (made["id"], host) for made in (one, other) for host in ("h1", "h2")
    }
    assert {(leg["name"], leg["project_id"], leg["network_id"]) for leg in legs} == {
        ("HA port project p1", "", net["id"])
    }
    assert api.fault(api.admin.delete(f"ports/{legs[0]['id']}")) == (409, "ServicePortInUse")
    assert api.admin.delete(f"routers/{one['id']}")[0] == 204
    assert len(ports(api, HA_PORT)) == 2
    assert api.admin.delete(f"routers/{other['id']}")[0] == 204
    assert api.admin.list("networks") == []


def test_members_whose_routers_are_ha_by_default(api: Api) -> None:
    alive(api, L3, "h1")
    convert(api, made := api.make("routers"), ha=True)
    added(api, made, subnet_id=internal(api)["id"])
    assert api.delete(f"routers/{made['id']}")[0] == 409
    assert [leg["device_owner"] for leg in api.list("ports")] == [HA_LEG]
    (subnet,) = api.list("subnets")
    assert remove(api, made, subnet_id=subnet["id"])[0] == 200
    assert api.delete(f"routers/{made['id']}")[0] == 204
    assert [row["name"] for row in api.admin.list("networks")] == ["inside"]


def test_one_network_for_a_project_has_254_of_them(api: Api) -> None:
    from sqlalchemy import insert, select

    from weft.resources.router import ROUTER
    from weft.resources.router_ha import HA_ROUTERS

    alive(api, L3, "h1")
    first = router(api, ha=True)
    network, taken = api.inside(lambda tx: tx.first(select(HA_ROUTERS.c.network_id, HA_ROUTERS.c.vr_id)))
    full = [number for number in range(1, 255) if number != taken]

    def fill(tx: Any) -> None:
        for number in full:
            made = ROUTER.strategy.create(tx, ROUTER.reader.create({"project_id": "p1"}, tx.context))
            tx.execute(insert(HA_ROUTERS), {"router_id": made["id"], "network_id": network, "vr_id": number})

    api.inside(fill)
    answer = api.admin.post("routers", {"router": {"project_id": "p1", "ha": True}})
    assert api.fault(answer) == (409, "NoVRIDAvailable")
    assert api.admin.put("quotas/p1", {"quota": {"router": -1}})[0] == 200
    answer = api.admin.post("routers", {"router": {"project_id": "p1", "ha": True}})
    assert api.fault(answer) == (409, "NoVRIDAvailable")
    assert api.admin.delete(f"routers/{first['id']}")[0] == 204
    router(api, ha=True)


def test_at_the_same_time_one_network_and_different_numbers(api: Api, apis: Any) -> None:  # noqa: F811
    from sqlalchemy import select

    from weft.resources.router_ha import HA_ROUTERS

    alive(api, L3, "h1")
    ask = [lambda one: one.admin.post("routers", {"router": {"project_id": "p1", "ha": True}})] * 6
    assert outcomes(race(apis, ask)) == {201: 6}
    assert len(api.admin.list("networks")) == 1
    numbers = api.inside(lambda tx: [row[0] for row in tx.all(select(HA_ROUTERS.c.vr_id))])
    assert len(set(numbers)) == 6


def test_a_network_may_be_made_the_ha_network(api: Api) -> None:
    alive(api, L3, "h1")
    body = {"network": {"ha": True, "project_id": "p1", "name": "mine"}}
    status, made = api.admin.post("networks", body)
    assert status == 201
    assert "ha" not in made["network"]
    assert api.fault(api.admin.post("networks", body)) == (409, "DuplicatedHANetwork")
    subnet = {"network_id": made["network"]["id"], "ip_version": 4, "cidr": "169.254.192.0/18", "enable_dhcp": False}
    api.admin.make("subnets", **subnet)
    router(api, ha=True)
    assert {leg["network_id"] for leg in ports(api, HA_PORT)} == {made["network"]["id"]}


def test_conversion_to_ha_and_back(api: Api) -> None:
    for number in range(3):
        alive(api, L3, f"h{number}")
    made = router(api)
    added(api, made, subnet_id=internal(api)["id"])
    before = agents(api, made)
    convert(api, made, ha=True)
    assert (len(agents(api, made)), len(ports(api, HA_PORT)), len(ports(api, HA_LEG))) == (3, 3, 1)
    assert states(api, made)[before[0]] == "active"
    convert(api, made, ha=False)
    assert agents(api, made) == before
    assert (ports(api, HA_PORT), ports(api, HA_LEG), len(ports(api, LEG))) == ([], [], 1)
    assert [row["name"] for row in api.admin.list("networks")] == ["inside"]


def _hosting(api: Api, made: Row, *names: str) -> list[str]:
    found = []
    for host in names:
        loader = HostLoader(host)
        api.inside(loader.load)
        found += [host] * (made["id"] in loader.view.routers)
    return found


def test_another_host_becomes_active(api: Api) -> None:
    ids = {host: alive(api, L3, host) for host in ("h1", "h2", "h3")}
    made = router(api, ha=True)
    assert _hosting(api, made, *ids) == ["h1"]
    hosts.silent(api, "h1", 160)
    assert states(api, made)["h1"] == "unknown"
    api.inside(scheduling.move)
    assert states(api, made) == {"h1": "unknown", "h2": "active", "h3": "standby"}
    assert _hosting(api, made, *ids) == ["h2"]
    hosts.switch(api, ids["h2"], False)
    assert states(api, made)["h3"] == "active"
    assert api.admin.delete(f"agents/{ids['h3']}/l3-routers/{made['id']}")[0] == 204
    assert len(ports(api, HA_PORT)) == 2
    assert sorted(states(api, made)) == ["h1", "h2"]
    assert list(states(api, made).values()).count("active") <= 1
    assert api.admin.delete(f"agents/{ids['h2']}")[0] == 204
    assert agents(api, made) == ["h1", "h3"]
    assert {leg["binding:host_id"] for leg in ports(api, HA_PORT)} == {"h1", "h3"}


def test_an_ha_router_is_put_on_a_further_host_by_hand(api: Api) -> None:
    for number in range(3):
        alive(api, L3, f"h{number}")
    made = router(api, ha=True)
    further = alive(api, L3, "further")
    assert api.admin.post(f"agents/{further}/l3-routers", {"router_id": made["id"]})[0] == 201
    assert len(agents(api, made)) == len(ports(api, HA_PORT)) == 4


# Distributed.


def test_a_distributed_router_is_on_agents_that_can(api: Api) -> None:
    legacy = alive(api, L3, "h1")
    made = router(api, distributed=True)
    added(api, made, subnet_id=internal(api)["id"])
    assert agents(api, made) == []
    answer = api.admin.post(f"agents/{legacy}/l3-routers", {"router_id": made["id"]})
    assert api.fault(answer) == (409, "RouterL3AgentMismatch")
    alive(api, L3, "h2", agent_mode="dvr_snat")
    alive(api, L3, "h3", agent_mode="dvr")
    api.inside(scheduling.fill)
    assert agents(api, made) == ["h2"]


def test_its_ports(api: Api) -> None:
    alive(api, L3, "h1", agent_mode="dvr_snat")
    made = router(api, distributed=True)
    inside = internal(api)
    added(api, made, subnet_id=inside["id"])
    assert [leg["device_owner"] for leg in api.list("ports")] == [DVR_LEG]
    assert ports(api, SNAT) == []
    outside(api.admin, made)
    (snat,) = ports(api, SNAT)
    assert (snat["device_id"], snat["project_id"]) == (made["id"], "")
    assert [fixed["subnet_id"] for fixed in snat["fixed_ips"]] == [inside["id"]]
    assert api.fault(api.admin.delete(f"ports/{snat['id']}")) == (409, "ServicePortInUse")
    second = internal(api, "10.0.1.0/24")
    added(api, made, subnet_id=second["id"])
    assert len(ports(api, SNAT)) == 2
    assert remove(api, made, subnet_id=second["id"])[0] == 200
    assert ports(api, SNAT) == [snat]
    assert api.put(f"routers/{made['id']}", {"router": {"external_gateway_info": {}}})[0] == 200
    assert ports(api, SNAT) == []
    assert remove(api, made, subnet_id=inside["id"])[0] == 200
    assert api.delete(f"subnets/{inside['id']}")[0] == 204


def test_conversion_to_distributed_and_back(api: Api) -> None:
    alive(api, L3, "h1")
    alive(api, L3, "h2", agent_mode="dvr_snat")
    made = router(api)
    added(api, made, subnet_id=internal(api)["id"])
    outside(api.admin, made)
    assert agents(api, made) == ["h1"]
    convert(api, made, distributed=True)
    assert (agents(api, made), len(ports(api, SNAT)), len(ports(api, DVR_LEG))) == (["h2"], 1, 1)
    convert(api, made, distributed=False)
    assert (ports(api, SNAT), ports(api, DVR_LEG), len(ports(api, LEG))) == ([], [], 1)
    assert len(agents(api, made)) == 1


def test_a_distributed_router_goes_with_its_ports(api: Api) -> None:
    alive(api, L3, "h1", agent_mode="dvr_snat")
    made = router(api, distributed=True, ha=True)
    outside(api.admin, made)
    assert api.admin.delete(f"routers/{made['id']}")[0] == 204
    assert api.admin.list("ports") == []


def test_without_agents_nobody_needs_further_ports(api: Api) -> None:
    """With a dataplane that is distributed by itself."""
    made = router(api, distributed=True, ha=True)
    added(api, made, subnet_id=internal(api)["id"])
    outside(api.admin, made)
    assert {port["device_owner"] for port in api.admin.list("ports")} == {DVR_LEG, "network:router_gateway"}
    assert len(api.admin.list("networks")) == 2


# The flags themselves.


@pytest.mark.parametrize("flag", ["ha", "distributed"])
def test_only_administrators_see_and_choose_the_kind(api: Api, flag: str) -> None:
    assert api.fault(api.post("routers", {"router": {flag: True}})) == (403, "PolicyNotAuthorized")
    assert flag not in api.make("routers")
    assert api.admin.make("routers")[flag] is False
    assert api.admin.make("routers", **{flag: True})[flag] is True


@pytest.mark.parametrize("flag", ["ha", "distributed"])
def test_a_running_router_does_not_change_its_kind(api: Api, flag: str) -> None:
    path = f"routers/{api.admin.make('routers')['id']}"
    assert api.fault(api.admin.put(path, {"router": {flag: True}})) == (400, "BadRequest")
    assert api.admin.put(path, {"router": {"admin_state_up": False}})[0] == 200
    status, body = api.admin.put(path, {"router": {flag: True}})
    assert (status, body["router"][flag]) == (200, True)


def test_ha_may_change_in_the_request_that_switches_off_but_distributed_may_not(api: Api) -> None:
    path = f"routers/{api.admin.make('routers')['id']}"
    answer = api.admin.put(path, {"router": {"distributed": True, "admin_state_up": False}})
    assert api.fault(answer) == (400, "BadRequest")
    assert api.admin.put(path, {"router": {"ha": True, "admin_state_up": False}})[0] == 200


def test_a_router_outlives_the_dataplane_that_could(api: Api) -> None:
    """With another one on the same database it is a router like others, and nothing of it stays behind."""
    for host in ("h1", "h2"):
        alive(api, L3, host, agent_mode="dvr_snat")
    made = router(api, ha=True, distributed=True)
    inside = internal(api)
    added(api, made, subnet_id=inside["id"])
    external, _ = outside(api.admin, made)
    assert ports(api, SNAT)
    assert set(states(api, made)) == {"h1", "h2"}
    settings = replace(api.config, api=replace(api.config.api, backends=("linux",)))
    client = testing.TestClient(app.make_api(settings, caller, store=api.store))
    there = replace(api, client=client, config=settings)
    shown = there.admin.show("routers", made["id"])
    assert (shown["name"], shown["status"]) == (made["name"], "ACTIVE")
    assert not shown.keys() & {"ha", "distributed"}
    changes = {"admin_state_up": False, "name": "other"}
    assert there.put(f"routers/{made['id']}", {"router": changes})[0] == 200
    assert api.admin.show("routers", made["id"])["ha"] is True
    assert remove(there, made, subnet_id=inside["id"])[0] == 200
    assert there.delete(f"routers/{made['id']}")[0] == 204
    assert there.admin.list("ports") == []
    assert {one["id"] for one in there.admin.list("networks")} == {inside["network_id"], external["id"]}


# Flavors, and attributes that say something of the router as a whole.


def test_a_flavor_says_what_kind_its_routers_are(api: Api) -> None:
    assert [row["name"] for row in api.list("service-providers")] == ["dvrha", "dvr", "ha", "single_node"]
    driver = "neutron.services.l3_router.service_providers.dvr.DvrDriver"
    profile = api.admin.make("service_profiles", driver=driver)
    flavor = api.admin.make("flavors", name="f", service_type="L3_ROUTER_NAT", service_profiles=[profile["id"]])
    made = router(api, flavor_id=flavor["id"])
    assert (made["distributed"], made["ha"]) == (True, False)
    for flag, value in (("distributed", False), ("ha", True)):
        answer = api.admin.post("routers", {"router": {"flavor_id": flavor["id"], flag: value}})
        assert api.fault(answer) == (400, "InvalidInput")
    answer = api.admin.put(f"routers/{made['id']}", {"router": {"ha": True, "admin_state_up": False}})
    assert api.fault(answer) == (400, "InvalidInput")


def test_enable_snat_is_shown_and_found(api: Api) -> None:
    with_snat, without = router(api), router(api)
    assert with_snat["enable_snat"] is True
    net, _ = outside(api.admin, with_snat)
    info = {"network_id": net["id"], "enable_snat": False}
    assert api.admin.put(f"routers/{without['id']}", {"router": {"external_gateway_info": info}})[0] == 200
    assert api.show("routers", without["id"])["enable_snat"] is False
    assert hosts.ids(api.list("routers", "enable_snat=false")) == {without["id"]}
    assert [row["id"] for row in api.list("routers", "sort_key=enable_snat&sort_dir=asc")] == [
        without["id"],
        with_snat["id"],
    ]
    assert api.fault(api.put(f"routers/{without['id']}", {"router": {"enable_snat": True}})) == (400, "HTTPBadRequest")


def test_service_type_id_is_kept(api: Api) -> None:
    made = api.make("routers", service_type_id="6f3d1c3e-0000-4000-8000-000000000000")
    assert api.show("routers", made["id"])["service_type_id"] == made["service_type_id"]
    assert api.make("routers")["service_type_id"] is None
    assert api.fault(api.post("routers", {"router": {"service_type_id": "x"}})) == (400, "HTTPBadRequest")


def test_agents_say_nothing_of_placement(api: Api) -> None:
    agent = alive(api, L3, "h1")
    assert api.admin.show("agents", agent)["resources_synced"] is None


class TestByDefault:
    """Routers are distributed unless somebody says otherwise."""

    @pytest.fixture
    def options(self) -> dict[str, dict[str, Any]]:
        return {"api": {"backend": "elsewhere", "router_distributed": True}}

    def test_those_of_automatic_topologies_too(self, api: Api) -> None:
        alive(api, L3, "h1", agent_mode="dvr_snat")
        net = api.admin.make("networks", **{"router:external": True, "is_default": True})
        api.admin.make("subnets", network_id=net["id"], ip_version=4, cidr="203.0.113.0/24")
        pool = {"prefixes": ["10.0.0.0/8"], "default_prefixlen": 24, "is_default": True, "shared": True}
        api.admin.make("subnetpools", name="default", **pool)
        assert api.get(f"auto-allocated-topology/{api.project}")[0] == 200
        assert (len(ports(api, SNAT)), len(ports(api, DVR_LEG))) == (1, 1)
        assert api.delete(f"auto-allocated-topology/{api.project}")[0] == 204
        assert ports(api, SNAT) == []
