"""Which L3 agents host which routers; the rules stand in behaviours section 20 of the API's facts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from tests.api import hosts
from tests.api.conftest import Api
from tests.api.hosts import DHCP, L3, alive
from tests.api.test_races import apis, outcomes, race  # noqa: F401 - fixture
from tests.api.test_routers_interfaces import added, internal, outside
from weft.reconcile.load import HostLoader
from weft.registry.resource import Row
from weft.resources import scheduling


def inner(api: Api, **values: Any) -> Row:
    """A router with an interface."""
    made = api.admin.make("routers", project_id=api.project, **values)
    added(api, made, subnet_id=internal(api)["id"])
    return made


def agents(api: Api, router: Row) -> list[str]:
    return hosts.serving(api, f"routers/{router['id']}/l3-agents")


def hosted(api: Api, agent: str) -> set[str]:
    return hosts.ids(api.admin.list(f"agents/{agent}/l3-routers"))


def limited(api: Api, **options: Any) -> Api:
    return replace(api, config=replace(api.config, api=replace(api.config.api, **options)))


# By itself.


def test_a_router_is_hosted_from_its_first_leg_on(api: Api) -> None:
    agent = alive(api, L3, "h1")
    bare = api.make("routers")
    assert (agents(api, bare), bare["availability_zones"]) == ([], [])
    one = inner(api)
    assert agents(api, one) == ["h1"]
    other = api.make("routers")
    outside(api, other)
    assert agents(api, other) == ["h1"]
    assert hosted(api, agent) == {one["id"], other["id"]}
    assert api.show("routers", one["id"])["availability_zones"] == ["nova"]


def test_a_router_that_begins_with_a_gateway_is_hosted_at_once(api: Api) -> None:
    alive(api, L3, "h1")
    net = api.admin.make("networks", **{"router:external": True})
    api.admin.make("subnets", network_id=net["id"], ip_version=4, cidr="203.0.113.0/24")
    made = api.make("routers", external_gateway_info={"network_id": net["id"]})
    assert made["availability_zones"] == ["nova"]
    assert api.show("routers", made["id"]) == made
    assert agents(api, made) == ["h1"]


def test_the_answer_is_whole_routers_and_agents(api: Api) -> None:
    agent = alive(api, L3, "h1", agent_mode="legacy")
    made = inner(api)
    assert api.admin.get(f"agents/{agent}/l3-routers") == (200, {"routers": [api.admin.show("routers", made["id"])]})
    assert api.admin.get(f"routers/{made['id']}/l3-agents") == (200, {"agents": [api.admin.show("agents", agent)]})


def test_the_least_loaded_is_given_the_next(api: Api) -> None:
    for host in ("h1", "h2"):
        alive(api, L3, host)
    assert [agents(api, inner(api)) for _ in range(4)] == [["h1"], ["h2"]] * 2


def test_who_hosts_none(api: Api) -> None:
    hosts.switch(api, alive(api, L3, "stopped"), False)
    alive(api, L3, "dead")
    hosts.silent(api, "dead", 80)
    for mode in ("dvr", "dvr_no_external"):
        alive(api, L3, mode, agent_mode=mode)
    alive(api, DHCP, "h1")
    assert agents(api, inner(api)) == []
    alive(api, L3, "snat", agent_mode="dvr_snat")
    assert agents(api, inner(api)) == ["snat"]


def test_zones(api: Api) -> None:
    alive(api, L3, "a1", "a")
    alive(api, L3, "b1", "b")
    made = inner(api, availability_zone_hints=["b"])
    assert (agents(api, made), api.show("routers", made["id"])["availability_zones"]) == (["b1"], ["b"])
    answer = api.post("routers", {"router": {"availability_zone_hints": ["c"]}})
    assert api.fault(answer) == (404, "AvailabilityZoneNotFound")


def test_agents_that_come_are_given_what_nobody_hosts(api: Api) -> None:
    routers = [api.make("routers"), inner(api)]
    alive(api, L3, "h1")
    api.inside(scheduling.fill)
    assert [agents(api, made) for made in routers] == [["h1"], ["h1"]]


def test_unless_the_operator_does_not_want_it(api: Api) -> None:
    made = inner(api)
    alive(api, L3, "h1")
    limited(api, router_auto_schedule=False).inside(scheduling.fill)
    assert agents(api, made) == []


def test_interfaces_at_the_same_time_make_one_agent(api: Api, apis: Any) -> None:  # noqa: F811
    for number in range(4):
        alive(api, L3, f"h{number}")
    made = api.make("routers")
    subnets = [internal(api, f"10.0.{number}.0/24")["id"] for number in range(5)]
    asks = [
        lambda one, id=id: one.put(f"routers/{made['id']}/add_router_interface", {"subnet_id": id}) for id in subnets
    ]
    assert outcomes(race(apis, asks)) == {200: 5}
    assert len(agents(api, made)) == 1


# Agents that go.


def test_routers_of_the_dead_move_if_the_operator_wants_it(api: Api) -> None:
    alive(api, L3, "h1")
    made = inner(api)
    alive(api, L3, "h2")
    hosts.silent(api, "h1", 160)
    assert api.inside(scheduling.lost) == []
    api.inside(scheduling.move)
    assert agents(api, made) == ["h1"]
    moving = limited(api, allow_automatic_l3agent_failover=True)
    assert moving.inside(scheduling.lost) == [hosts.by_host(api, L3)["h1"]]
    moving.inside(scheduling.move)
    assert agents(api, made) == ["h2"]


def _states(api: Api, *collections: str) -> set[str]:
    return {row["status"] for name in collections for row in api.admin.list(name)}


def _up(api: Api) -> None:
    """As if the dataplane had reported everything."""
    from sqlalchemy import update

    from weft.resources.floatingip import FLOATINGIPS
    from weft.resources.port import PORTS

    for table in (PORTS, FLOATINGIPS):
        api.inside(lambda tx, table=table: tx.execute(update(table).values(status="ACTIVE")))


@pytest.mark.parametrize("way", ["taken", "stopped", "forgotten"])
def test_what_nobody_hosts_is_down(api: Api, way: str) -> None:
    agent = alive(api, L3, "h1")
    made = inner(api)
    net, _ = outside(api, made)
    (leg,) = api.list("ports")
    workload = api.make("ports", network_id=leg["network_id"])
    api.make("floatingips", floating_network_id=net["id"], port_id=workload["id"])
    _up(api)
    if way == "taken":
        assert api.admin.delete(f"agents/{agent}/l3-routers/{made['id']}")[0] == 204
    elif way == "stopped":
        hosts.switch(api, agent, False)
    else:
        assert api.admin.delete(f"agents/{agent}")[0] == 204
    assert agents(api, made) == (["h1"] if way == "stopped" else [])
    assert _states(api, "floatingips") == {"DOWN"}
    assert [row["status_reason"] for row in api.list("floatingips")] == ["The router is on no L3 agent that may work."]
    legs = api.admin.list("ports", f"device_id={made['id']}")
    assert [(row["status"], bool(row["status_reason"])) for row in legs] == [("DOWN", True)] * 2
    assert api.show("ports", workload["id"])["status"] == "ACTIVE"


# By hand.


def test_routers_are_moved_by_hand(api: Api) -> None:
    one, other = alive(api, L3, "h1"), alive(api, L3, "h2")
    made = inner(api)
    ask = {"router_id": made["id"]}
    assert api.fault(api.admin.post(f"agents/{other}/l3-routers", ask)) == (409, "RouterHostedByL3Agent")
    assert api.admin.delete(f"agents/{one}/l3-routers/{made['id']}") == (204, None)
    assert agents(api, made) == []
    assert api.admin.post(f"agents/{other}/l3-routers", ask) == (201, None)
    assert api.admin.post(f"agents/{other}/l3-routers", ask) == (201, None)
    assert agents(api, made) == ["h2"]


def test_faults(api: Api) -> None:
    agent, stopped, dhcp = alive(api, L3, "h1"), alive(api, L3, "h2"), alive(api, DHCP, "h1")
    distributed = alive(api, L3, "h3", agent_mode="dvr")
    hosts.switch(api, stopped, False)
    made, nobody = api.make("routers"), str(uuid4())
    ask = {"router_id": made["id"]}

    def post(id: str, body: Any = ask) -> tuple[int, str]:
        return api.fault(api.admin.post(f"agents/{id}/l3-routers", body))

    assert post(dhcp) == post(stopped) == (404, "InvalidL3Agent")
    assert post(distributed) == (409, "DVRL3CannotAssignToDvrAgent")
    assert post(nobody) == (404, "AgentNotFound")
    assert post(agent, {"router_id": nobody}) == (404, "RouterNotFound")
    for body in (
        {},
        {"router_id": None},
        {"router_id": ["x"]},
        [],
        {"router_id": made["id"], "ha_chassis_priority": 1},
    ):
        assert post(agent, body)[0] == 400, body
    path = f"agents/{agent}/l3-routers/{made['id']}"
    assert api.admin.delete(path)[0] == 204
    assert api.fault(api.admin.delete(f"agents/{distributed}/l3-routers/{made['id']}")) == (
        409,
        "DVRL3CannotRemoveFromDvrAgent",
    )
    assert api.fault(api.admin.delete(f"agents/{agent}/l3-routers/{nobody}")) == (404, "RouterNotFound")
    assert api.fault(api.admin.delete(f"agents/{nobody}/l3-routers/{made['id']}")) == (404, "AgentNotFound")
    status, body = api.admin.put(path, {"ha_chassis_priority": 1})
    assert (status, body["NotImplementedError"]["type"]) == (501, "NotImplementedError")
    assert api.fault(api.admin.get(f"routers/{nobody}/l3-agents")) == (404, "RouterNotFound")
    assert api.fault(api.admin.get(path))[0] == 405


def test_only_administrators(api: Api) -> None:
    agent, made = alive(api, L3, "h1"), inner(api)
    answers = [
        api.get(f"agents/{agent}/l3-routers"),
        api.get(f"routers/{made['id']}/l3-agents"),
        api.post(f"agents/{agent}/l3-routers", {"router_id": made["id"]}),
        api.put(f"agents/{agent}/l3-routers/{made['id']}", {}),
        api.delete(f"agents/{agent}/l3-routers/{made['id']}"),
    ]
    assert [api.fault(answer) for answer in answers] == [(403, "PolicyNotAuthorized")] * 5


def test_two_administrators_at_once_make_one_agent(api: Api, apis: Any) -> None:  # noqa: F811
    ids = [alive(api, L3, f"h{number}") for number in range(4)]
    made = api.make("routers")
    asks = [lambda one, id=id: one.admin.post(f"agents/{id}/l3-routers", {"router_id": made["id"]}) for id in ids]
    assert outcomes(race(apis, asks)) == {201: 1, "RouterHostedByL3Agent": 3}
    assert len(agents(api, made)) == 1


class TestPriorities:
    """Where the dataplane knows priorities of chassis."""

    @pytest.fixture
    def options(self) -> dict[str, dict[str, Any]]:
        return {"api": {"backend": "elsewhere", "l3_ha": True}}

    def test_they_are_given_changed_and_shown(self, api: Api) -> None:
        one, other = alive(api, L3, "h1"), alive(api, L3, "h2")
        made = api.make("routers")
        for id in (one, other):
            api.admin.delete(f"agents/{id}/l3-routers/{made['id']}")
        ask = {"router_id": made["id"], "ha_chassis_priority": 7}
        assert api.admin.post(f"agents/{one}/l3-routers", ask)[0] == 201
        taken = (409, "HAChassisPriorityAlreadyAssigned")
        assert api.fault(api.admin.post(f"agents/{other}/l3-routers", ask)) == taken
        assert api.admin.post(f"agents/{other}/l3-routers", {**ask, "ha_chassis_priority": 8})[0] == 201
        path = f"agents/{other}/l3-routers/{made['id']}"
        assert api.fault(api.admin.put(path, {"ha_chassis_priority": 7})) == taken
        for bad in (-1, 32768, "x", None, True):
            assert api.fault(api.admin.put(path, {"ha_chassis_priority": bad})) == (400, "InvalidHAChassisPriority")
        assert api.admin.put(path, {"ha_chassis_priority": 32767}) == (200, None)
        found = api.admin.list(f"routers/{made['id']}/l3-agents")
        assert {row["host"]: row["ha_chassis_priority"] for row in found} == {"h1": 7, "h2": 32767}
        assert "ha_chassis_priority" not in api.admin.show("agents", one)

    def test_only_where_the_router_is(self, api: Api) -> None:
        agent = alive(api, L3, "h1")
        made = api.admin.make("routers", ha=False)
        answer = api.admin.put(f"agents/{agent}/l3-routers/{made['id']}", {"ha_chassis_priority": 7})
        assert api.fault(answer) == (409, "RouterNotHostedByL3Agent")


# What a host makes of it.


def test_a_router_is_on_the_host_of_its_agent(api: Api) -> None:
    one, other = alive(api, L3, "h1"), alive(api, L3, "h2")
    made = inner(api)

    def where() -> list[str]:
        found = []
        for host in ("h1", "h2"):
            loader = HostLoader(host)
            api.inside(loader.load)
            found += [host] * (made["id"] in loader.view.routers)
        return found

    assert where() == ["h1"]
    api.admin.delete(f"agents/{one}/l3-routers/{made['id']}")
    assert where() == []
    api.admin.post(f"agents/{other}/l3-routers", {"router_id": made["id"]})
    assert where() == ["h2"]
    hosts.switch(api, other, False)
    assert where() == []
