"""Which DHCP agents serve which networks; the rules stand in behaviours section 20 of the API's facts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from tests.api import hosts
from tests.api.conftest import Api
from tests.api.hosts import DHCP, L3, alive
from tests.api.test_races import apis, outcomes, race  # noqa: F401 - fixture
from weft.reconcile.load import HostLoader
from weft.resources import scheduling


def network(api: Api, *cidrs: str, dhcp: bool = True, **values: Any) -> str:
    made = api.admin.make("networks", project_id=api.project, **values)
    for cidr in cidrs or ("10.0.0.0/24",):
        api.make("subnets", network_id=made["id"], ip_version=4, cidr=cidr, enable_dhcp=dhcp)
    return str(made["id"])


def agents(api: Api, net: str) -> list[str]:
    return hosts.serving(api, f"networks/{net}/dhcp-agents")


def served(api: Api, agent: str) -> set[str]:
    return hosts.ids(api.admin.list(f"agents/{agent}/dhcp-networks"))


def limited(api: Api, **options: Any) -> Api:
    """The same API with other options, by whoever runs in a transaction of its own."""
    return replace(api, config=replace(api.config, api=replace(api.config.api, **options)))


# By itself.


def test_a_subnet_with_dhcp_is_served(api: Api) -> None:
    agent = alive(api, DHCP, "h1")
    silent = network(api, dhcp=False)
    assert agents(api, silent) == []
    assert api.show("networks", silent)["availability_zones"] == []
    net = network(api)
    assert agents(api, net) == ["h1"]
    assert served(api, agent) == {net}
    assert api.show("networks", net)["availability_zones"] == ["nova"]
    (subnet,) = api.list("subnets", f"network_id={silent}")
    assert api.put(f"subnets/{subnet['id']}", {"subnet": {"enable_dhcp": True}})[0] == 200
    assert agents(api, silent) == ["h1"]


def test_the_answer_is_whole_networks_and_agents(api: Api) -> None:
    agent = alive(api, DHCP, "h1", networks=3)
    net = network(api)
    assert api.admin.get(f"agents/{agent}/dhcp-networks") == (200, {"networks": [api.admin.show("networks", net)]})
    assert api.admin.get(f"networks/{net}/dhcp-agents") == (200, {"agents": [api.admin.show("agents", agent)]})


def test_more_subnets_do_not_make_more_agents(api: Api) -> None:
    alive(api, DHCP, "h1")
    alive(api, DHCP, "h2")
    assert len(agents(api, network(api, "10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"))) == 1


def test_the_least_loaded_is_given_the_next(api: Api) -> None:
    for host in ("h1", "h2", "h3"):
        alive(api, DHCP, host)
    nets = [network(api) for _ in range(6)]
    assert [agents(api, net) for net in nets] == [["h1"], ["h2"], ["h3"]] * 2
    assert api.admin.delete(f"networks/{nets[4]}")[0] == 204
    assert agents(api, network(api)) == ["h2"]


@pytest.mark.parametrize("number", [0, 2])
def test_dead_and_stopped_agents_are_given_nothing(api: Api, number: int) -> None:
    hosts.switch(api, alive(api, DHCP, "stopped"), False)
    alive(api, DHCP, "dead")
    hosts.silent(api, "dead", 80)
    alive(api, L3, "h1")
    for at in range(number):
        alive(api, DHCP, f"h{at}")
    assert agents(api, network(api)) == (["h0"] if number else [])


def test_zones(api: Api) -> None:
    for host, zone in (("a1", "a"), ("b1", "b"), ("b2", "b")):
        alive(api, DHCP, host, zone)
    assert [agents(api, network(api, availability_zone_hints=["b"])) for _ in range(3)] == [["b1"], ["b2"], ["b1"]]
    net = network(api, availability_zone_hints=["a"])
    assert (agents(api, net), api.show("networks", net)["availability_zones"]) == (["a1"], ["a"])
    answer = api.post("networks", {"network": {"availability_zone_hints": ["c"]}})
    assert api.fault(answer) == (404, "AvailabilityZoneNotFound")


def test_a_physical_network_is_served_where_it_is(api: Api) -> None:
    alive(api, DHCP, "h1")
    alive(api, "Linux bridge agent", "h1", bridge_mappings={})
    alive(api, DHCP, "h2")
    alive(api, "Linux bridge agent", "h2", bridge_mappings={"physnet1": "eth1"})
    provider = {"provider:network_type": "vlan", "provider:physical_network": "physnet1"}
    vlans = [network(api, **provider, **{"provider:segmentation_id": tag}) for tag in (11, 12)]
    assert [agents(api, net) for net in vlans] == [["h2"], ["h2"]]
    assert agents(api, network(api)) == ["h1"]


class TestSeveral:
    """dhcp_agents_per_network is 2."""

    @pytest.fixture
    def options(self) -> dict[str, dict[str, Any]]:
        return {"api": {"dhcp_agents_per_network": 2}}

    def test_zones_are_spread_over(self, api: Api) -> None:
        for host, zone in (("a1", "a"), ("a2", "a"), ("b1", "b")):
            alive(api, DHCP, host, zone)
        nets = [network(api), network(api)]
        assert [agents(api, net) for net in nets] == [["a1", "b1"], ["a2", "b1"]]
        assert api.show("networks", nets[0])["availability_zones"] == ["a", "b"]

    def test_what_lacks_one_is_given_one_when_an_agent_comes(self, api: Api) -> None:
        alive(api, DHCP, "h1")
        net = network(api)
        assert agents(api, net) == ["h1"]
        alive(api, DHCP, "h2")
        api.inside(scheduling.fill)
        assert agents(api, net) == ["h1", "h2"]

    @pytest.mark.parametrize("number", [2, 3, 5])
    def test_at_the_same_time_not_one_too_many(self, api: Api, apis: Any, number: int) -> None:  # noqa: F811
        for at in range(number):
            alive(api, DHCP, f"h{at}")
        net = api.make("networks")["id"]
        asks = [
            lambda one, at=at: one.post(
                "subnets", {"subnet": {"network_id": net, "ip_version": 4, "cidr": f"10.0.{at}.0/24"}}
            )
            for at in range(6)
        ]
        assert outcomes(race(apis, asks)) == {201: 6}
        assert len(agents(api, net)) == 2


def test_agents_that_come_are_given_what_nobody_serves(api: Api) -> None:
    net, silent = network(api), network(api, dhcp=False)
    alive(api, DHCP, "h1")
    api.inside(scheduling.fill)
    assert (agents(api, net), agents(api, silent)) == (["h1"], [])


def test_filling_costs_the_same_however_many(api: Api) -> None:
    costs = []
    for number in (3, 30):
        for _ in range(number):
            network(api)
        alive(api, DHCP, f"h{number}")
        with api.statements() as seen:
            api.inside(scheduling.fill)
        costs.append(len(seen))
    assert costs[1] <= costs[0] + 1


def test_a_subnet_costs_at_most_two_statements_more(api: Api) -> None:
    def cost(net: str) -> int:
        with api.statements() as seen:
            api.make("subnets", network_id=net, ip_version=4, cidr="10.0.9.0/24")
        return len(seen)

    bare = cost(network(api))
    alive(api, DHCP, "h1")
    first = cost(str(api.make("networks")["id"]))
    assert first <= bare + 2
    assert cost(network(api)) < first


# Agents that go.


def test_networks_of_the_dead_are_taken_over(api: Api) -> None:
    alive(api, DHCP, "h1")
    nets = [network(api), network(api)]
    alive(api, DHCP, "h2")
    hosts.silent(api, "h1", 100)
    assert api.inside(scheduling.lost) == []
    hosts.silent(api, "h1", 160)
    assert api.inside(scheduling.lost) == [hosts.by_host(api, DHCP)["h1"]]
    api.inside(scheduling.move)
    assert [agents(api, net) for net in nets] == [["h2"], ["h2"]]
    assert api.inside(scheduling.lost) == []


def test_without_others_they_stay(api: Api) -> None:
    alive(api, DHCP, "h1")
    alive(api, DHCP, "far", "far")
    net = network(api, availability_zone_hints=["nova"])
    hosts.silent(api, "h1", 1000)
    api.inside(scheduling.move)
    assert agents(api, net) == ["h1"]


def test_not_where_it_is_switched_off(api: Api) -> None:
    alive(api, DHCP, "h1")
    net = network(api)
    alive(api, DHCP, "h2")
    hosts.silent(api, "h1", 1000)
    without = limited(api, allow_automatic_dhcp_failover=False)
    assert without.inside(scheduling.lost) == []
    without.inside(scheduling.move)
    assert agents(api, net) == ["h1"]


def test_an_agent_that_is_switched_off_hands_over(api: Api) -> None:
    agent = alive(api, DHCP, "h1")
    net = network(api)
    hosts.switch(api, agent, False)
    assert agents(api, net) == ["h1"]  # there is nobody else
    hosts.switch(api, agent, True)
    alive(api, DHCP, "h2")
    hosts.switch(api, agent, False)
    assert agents(api, net) == ["h2"]


def test_an_agent_that_is_switched_on_takes_what_is_there(api: Api) -> None:
    agent = alive(api, DHCP, "h1")
    hosts.switch(api, agent, False)
    net = network(api)
    assert agents(api, net) == []
    hosts.switch(api, agent, True)
    assert agents(api, net) == ["h1"]


def test_a_forgotten_agent_serves_nothing(api: Api) -> None:
    one, other = alive(api, DHCP, "h1"), alive(api, DHCP, "h2")
    nets = [network(api), network(api)]
    assert api.admin.delete(f"agents/{one}")[0] == 204
    assert [agents(api, net) for net in nets] == [["h2"], ["h2"]]
    assert api.admin.delete(f"agents/{other}")[0] == 204
    assert [agents(api, net) for net in nets] == [[], []]


# By hand.


def test_networks_are_moved_by_hand(api: Api) -> None:
    one, other = alive(api, DHCP, "h1"), alive(api, DHCP, "h2")
    net = network(api)
    assert api.admin.delete(f"agents/{one}/dhcp-networks/{net}") == (204, None)
    assert agents(api, net) == []
    assert api.admin.post(f"agents/{other}/dhcp-networks", {"network_id": net}) == (201, None)
    assert api.admin.post(f"agents/{one}/dhcp-networks", {"network_id": net}) == (201, None)
    assert agents(api, net) == ["h1", "h2"]
    api.make("subnets", network_id=net, ip_version=4, cidr="10.0.7.0/24")
    assert agents(api, net) == ["h1", "h2"]


def test_faults(api: Api) -> None:
    agent, stopped, router = alive(api, DHCP, "h1"), alive(api, DHCP, "h2"), alive(api, L3, "h1")
    hosts.switch(api, stopped, False)
    net, nobody = network(api), str(uuid4())
    ask = {"network_id": net}

    def post(id: str, body: Any = ask) -> tuple[int, str]:
        return api.fault(api.admin.post(f"agents/{id}/dhcp-networks", body))

    def delete(id: str, net: str) -> tuple[int, str]:
        return api.fault(api.admin.delete(f"agents/{id}/dhcp-networks/{net}"))

    assert post(agent) == (409, "NetworkHostedByDHCPAgent")
    assert post(router) == post(stopped) == (404, "InvalidDHCPAgent")
    assert post(nobody) == (404, "AgentNotFound")
    assert post(agent, {"network_id": nobody}) == (404, "NetworkNotFound")
    for body in ({}, {"network_id": None}, {"network_id": 7}, {"network_id": "x"}, [], "x", {"network": {}}):
        assert post(agent, body)[0] == 400, body
    assert delete(agent, nobody) == delete(router, net) == (409, "NetworkNotHostedByDhcpAgent")
    assert delete(nobody, net) == (404, "AgentNotFound")
    assert api.admin.delete(f"agents/{agent}/dhcp-networks/{net}")[0] == 204
    assert delete(agent, net) == (409, "NetworkNotHostedByDhcpAgent")
    assert api.fault(api.admin.get(f"agents/{nobody}/dhcp-networks")) == (404, "AgentNotFound")
    assert api.fault(api.admin.get(f"networks/{nobody}/dhcp-agents")) == (404, "NetworkNotFound")


def test_what_there_is_not(api: Api) -> None:
    agent, net = alive(api, DHCP, "h1"), network(api)
    answers = [
        api.admin.get(f"agents/{agent}/dhcp-networks/{net}"),
        api.admin.put(f"agents/{agent}/dhcp-networks/{net}", {}),
        api.admin.post(f"networks/{net}/dhcp-agents", {}),
    ]
    assert [api.fault(answer)[0] for answer in answers] == [405, 405, 405]


def test_only_administrators(api: Api) -> None:
    agent, net = alive(api, DHCP, "h1"), network(api)
    answers = [
        api.get(f"agents/{agent}/dhcp-networks"),
        api.get(f"agents/{uuid4()}/dhcp-networks"),
        api.get(f"networks/{net}/dhcp-agents"),
        api.post(f"agents/{agent}/dhcp-networks", {"network_id": net}),
        api.delete(f"agents/{agent}/dhcp-networks/{net}"),
    ]
    assert [api.fault(answer) for answer in answers] == [(403, "PolicyNotAuthorized")] * 5


def test_a_rehearsal_moves_nothing(api: Api) -> None:
    agent, net = alive(api, DHCP, "h1"), network(api)
    status, body = api.admin.delete(f"agents/{agent}/dhcp-networks/{net}?dry_run=true")
    assert (status, body["dry_run"]["changes"]) == (200, [{"kind": "network", "id": net, "operation": "update"}])
    assert agents(api, net) == ["h1"]


def test_one_agent_added_by_many_at_once(api: Api, apis: Any) -> None:  # noqa: F811
    agent = alive(api, DHCP, "h1")
    net = network(api, dhcp=False)
    asks = [lambda one: one.admin.post(f"agents/{agent}/dhcp-networks", {"network_id": net})] * 6
    assert outcomes(race(apis, asks)) == {201: 1, "NetworkHostedByDHCPAgent": 5}


# What a host makes of it.


def test_hosts_answer_where_somebody_serves(api: Api) -> None:
    agent = alive(api, DHCP, "h1")
    alive(api, "Linux bridge agent", "h2", backend="linux", tunnel_types=["vxlan"])
    net = network(api)
    api.admin.make("ports", network_id=net, **{"binding:host_id": "h2"})

    def answers() -> bool:
        loader = HostLoader("h2")
        api.inside(loader.load)
        return loader.view.switches[net].serves_dhcp

    assert answers()
    hosts.switch(api, agent, False)
    assert not answers()
    hosts.switch(api, agent, True)
    assert answers()
    api.admin.delete(f"agents/{agent}/dhcp-networks/{net}")
    assert not answers()
