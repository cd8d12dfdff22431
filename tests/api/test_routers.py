"""Routers by the API: their life, their gateway, their routes."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.api.conftest import Api
from weft.registry.resource import Row


def external(api: Api, cidr: str = "203.0.113.0/24", **more: Any) -> tuple[Row, Row]:
    """A network that leads outside, with a subnet; they belong to the administrator."""
    net = api.admin.make("networks", name="outside", **{"router:external": True})
    return net, api.admin.make("subnets", network_id=net["id"], ip_version=4, cidr=cidr, **more)


def internal(api: Api, cidr: str = "10.0.0.0/24", **more: Any) -> tuple[Row, Row]:
    net = api.make("networks", name="inside")
    return net, api.make("subnets", network_id=net["id"], ip_version=6 if ":" in cidr else 4, cidr=cidr, **more)


def attach(api: Api, router: Row, subnet: Row) -> Row:
    status, body = api.put(f"routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})
    assert status == 200, body
    return dict(body)


def message(answer: tuple[int, Any]) -> str:
    return str(answer[1]["NeutronError"]["message"])


def set_router(api: Api, router: Row, **values: Any) -> tuple[int, Any]:
    return api.put(f"routers/{router['id']}", {"router": values})


# Life.


def test_a_new_router_has_its_defaults(api: Api) -> None:
    router = api.make("routers", name="r")
    assert router == {
        **router,
        "name": "r",
        "project_id": "p1",
        "tenant_id": "p1",
        "admin_state_up": True,
        "status": "ACTIVE",
        "external_gateway_info": None,
        "routes": [],
        "availability_zones": [],
        "availability_zone_hints": [],
        "description": "",
        "tags": [],
        "revision_number": 0,
    }
    assert api.show("routers", router["id"]) == router


def test_routers_of_others_are_not_there(api: Api) -> None:
    router = api.make("routers", name="r")
    assert api.fault(api.as_("p2").get(f"routers/{router['id']}")) == (404, "RouterNotFound")
    assert api.as_("p2").list("routers") == []
    assert [one["id"] for one in api.admin.list("routers")] == [router["id"]]


def test_a_router_is_renamed_switched_off_and_deleted(api: Api) -> None:
    router = api.make("routers", name="r")
    status, body = set_router(api, router, name="s", admin_state_up=False, description="d")
    assert (status, body["router"]["name"], body["router"]["admin_state_up"]) == (200, "s", False)
    assert body["router"]["revision_number"] == 1
    assert api.show("routers", router["id"]) == body["router"]
    assert api.delete(f"routers/{router['id']}")[0] == 204
    assert api.list("routers") == []


def test_routers_come_one_by_one(api: Api) -> None:
    assert api.fault(api.post("routers", {"routers": [{"name": "a"}, {"name": "b"}]})) == (400, "HTTPBadRequest")


def test_routes_are_not_set_on_create(api: Api) -> None:
    assert api.fault(api.post("routers", {"router": {"routes": []}})) == (400, "HTTPBadRequest")


def test_an_unknown_zone_is_refused(api: Api) -> None:
    answer = api.post("routers", {"router": {"availability_zone_hints": ["moon"]}})
    assert api.fault(answer) == (404, "AvailabilityZoneNotFound")


def test_the_quota_counts_routers(api: Api) -> None:
    for number in range(10):
        api.make("routers", name=f"r{number}")
    assert api.fault(api.post("routers", {"router": {}})) == (409, "OverQuota")
    assert api.delete(f"routers/{api.list('routers')[0]['id']}")[0] == 204
    api.make("routers")


# Gateway.


def test_a_gateway_has_an_address_and_does_snat(api: Api) -> None:
    net, subnet = external(api)
    router = api.make("routers", external_gateway_info={"network_id": net["id"]})
    info = router["external_gateway_info"]
    assert (info["network_id"], info["enable_snat"]) == (net["id"], True)
    assert [one["subnet_id"] for one in info["external_fixed_ips"]] == [subnet["id"]]
    assert api.show("routers", router["id"]) == router


def test_the_gateway_port_is_nobodys(api: Api) -> None:
    net, _ = external(api)
    router = api.make("routers", external_gateway_info={"network_id": net["id"]})
    assert api.list("ports") == []
    port = api.admin.list("ports", f"device_id={router['id']}")[0]
    assert (port["device_owner"], port["project_id"]) == ("network:router_gateway", "")
    assert (port["security_groups"], port["port_security_enabled"]) == ([], False)
    assert port["fixed_ips"] == router["external_gateway_info"]["external_fixed_ips"]
    assert api.fault(api.admin.delete(f"ports/{port['id']}")) == (409, "ServicePortInUse")


def test_a_gateway_has_one_address_per_ip_version(api: Api) -> None:
    net, four = external(api)
    api.admin.make("subnets", network_id=net["id"], ip_version=4, cidr="198.18.0.0/24")
    six = api.admin.make("subnets", network_id=net["id"], ip_version=6, cidr="2001:db8::/64")
    router = api.make("routers", external_gateway_info={"network_id": net["id"]})
    fixed = router["external_gateway_info"]["external_fixed_ips"]
    assert len(fixed) == 2 and fixed[1]["subnet_id"] == six["id"]
    assert fixed[0]["subnet_id"] != six["id"] and four


def test_the_gateway_network_must_be_external(api: Api) -> None:
    net, _ = internal(api)
    answer = api.post("routers", {"router": {"external_gateway_info": {"network_id": net["id"]}}})
    assert api.fault(answer) == (400, "BadRequest")
    assert message(answer) == f"Bad router request: Network {net['id']} is not an external network."


def test_the_gateway_network_must_exist(api: Api) -> None:
    answer = api.post("routers", {"router": {"external_gateway_info": {"network_id": str(uuid4())}}})
    assert api.fault(answer) == (404, "NetworkNotFound")
    assert api.list("routers") == []


def test_members_choose_the_network_but_neither_snat_nor_addresses(api: Api) -> None:
    net, _ = external(api)
    for key, value in (("enable_snat", False), ("external_fixed_ips", [{"ip_address": "203.0.113.9"}])):
        answer = api.post("routers", {"router": {"external_gateway_info": {"network_id": net["id"], key: value}}})
        assert api.fault(answer) == (403, "PolicyNotAuthorized")
        assert f"rule:create_router:external_gateway_info:{key}" in message(answer)
        info = {"network_id": net["id"], key: value}
        router = api.make("routers")
        assert api.fault(set_router(api, router, external_gateway_info=info)) == (403, "PolicyNotAuthorized")


def test_an_administrator_chooses_address_and_snat(api: Api) -> None:
    net, subnet = external(api)
    info = {"network_id": net["id"], "enable_snat": False, "external_fixed_ips": [{"ip_address": "203.0.113.9"}]}
    router = api.admin.make("routers", external_gateway_info=info)
    fixed = [{"subnet_id": subnet["id"], "ip_address": "203.0.113.9"}]
    assert router["external_gateway_info"] == {**info, "external_fixed_ips": fixed}


def test_the_gateway_address_of_the_subnet_is_not_for_routers(api: Api) -> None:
    net, subnet = external(api)
    info = {"network_id": net["id"], "external_fixed_ips": [{"ip_address": subnet["gateway_ip"]}]}
    answer = api.admin.post("routers", {"router": {"external_gateway_info": info}})
    assert api.fault(answer) == (400, "BadRequest")
    assert message(answer) == "Bad router request: External IP 203.0.113.1 is the same as the gateway IP."


@pytest.mark.parametrize(
    ("fixed", "fault"),
    [
        ({"ip_address": "198.18.9.9"}, (400, "InvalidIpForNetwork")),
        ({"ip_address": "203.0.113.9"}, (409, "IpAddressAlreadyAllocated")),
    ],
)
def test_gateway_addresses_must_be_there_and_free(api: Api, fixed: Row, fault: tuple[int, str]) -> None:
    net, _ = external(api)
    api.admin.make("ports", network_id=net["id"], fixed_ips=[{"ip_address": "203.0.113.9"}])
    info = {"network_id": net["id"], "external_fixed_ips": [fixed]}
    assert api.fault(api.admin.post("routers", {"router": {"external_gateway_info": info}})) == fault


def test_a_full_network_takes_no_router(api: Api) -> None:
    net, _ = external(api, "203.0.113.0/30")
    api.make("routers", external_gateway_info={"network_id": net["id"]})
    answer = api.post("routers", {"router": {"external_gateway_info": {"network_id": net["id"]}}})
    assert api.fault(answer) == (409, "IpAddressGenerationFailure")


def test_a_gateway_is_set_moved_in_place_and_cleared(api: Api) -> None:
    net, subnet = external(api)
    router = api.admin.make("routers")
    status, body = set_router(api.admin, router, external_gateway_info={"network_id": net["id"]})
    assert status == 200 and body["router"]["revision_number"] == 1
    port = api.admin.list("ports")[0]
    info = {"network_id": net["id"], "external_fixed_ips": [{"ip_address": "203.0.113.9"}]}
    status, body = set_router(api.admin, router, external_gateway_info=info)
    assert body["router"]["external_gateway_info"]["external_fixed_ips"] == [
        {"subnet_id": subnet["id"], "ip_address": "203.0.113.9"}
    ]
    assert body["router"]["revision_number"] == 2
    assert [one["id"] for one in api.admin.list("ports")] == [port["id"]]
    assert api.admin.show("routers", router["id"]) == body["router"]
    for nothing in (None, {}):
        status, body = set_router(api.admin, router, external_gateway_info=nothing)
        assert (status, body["router"]["external_gateway_info"]) == (200, None)
    assert api.admin.list("ports") == []


def test_snat_is_switched_and_falls_back_to_the_default(api: Api) -> None:
    net, _ = external(api)
    router = api.admin.make("routers", external_gateway_info={"network_id": net["id"], "enable_snat": False})
    _, body = set_router(api.admin, router, external_gateway_info={"network_id": net["id"], "enable_snat": "true"})
    assert body["router"]["external_gateway_info"]["enable_snat"] is True
    set_router(api.admin, router, external_gateway_info={"network_id": net["id"], "enable_snat": False})
    assert api.admin.show("routers", router["id"])["external_gateway_info"]["enable_snat"] is False
    set_router(api.admin, router, external_gateway_info={"network_id": net["id"]})
    assert api.admin.show("routers", router["id"])["external_gateway_info"]["enable_snat"] is True


def test_a_gateway_moves_to_another_network(api: Api) -> None:
    one, _ = external(api)
    other, subnet = external(api, "198.18.0.0/24")
    router = api.make("routers", external_gateway_info={"network_id": one["id"]})
    status, body = set_router(api, router, external_gateway_info={"network_id": other["id"]})
    assert status == 200
    assert body["router"]["external_gateway_info"]["external_fixed_ips"][0]["subnet_id"] == subnet["id"]
    assert [port["network_id"] for port in api.admin.list("ports")] == [other["id"]]


def test_the_gateway_network_may_not_overlap_with_a_network_inside(api: Api) -> None:
    net, _ = external(api, "10.0.0.0/16")
    router = api.make("routers")
    attach(api, router, internal(api)[1])
    answer = set_router(api, router, external_gateway_info={"network_id": net["id"]})
    assert api.fault(answer) == (400, "BadRequest")
    assert "overlaps with cidr" in message(answer)


def test_gateways_get_an_address_in_a_new_subnet_of_another_ip_version(api: Api) -> None:
    net, _ = external(api)
    router = api.make("routers", external_gateway_info={"network_id": net["id"]})
    before = router["external_gateway_info"]["external_fixed_ips"]
    api.admin.make("subnets", network_id=net["id"], ip_version=4, cidr="198.18.0.0/24")
    assert api.show("routers", router["id"])["external_gateway_info"]["external_fixed_ips"] == before
    six = api.admin.make("subnets", network_id=net["id"], ip_version=6, cidr="2001:db8::/64")
    after = api.show("routers", router["id"])
    assert [one["subnet_id"] for one in after["external_gateway_info"]["external_fixed_ips"]][1:] == [six["id"]]
    assert after["revision_number"] > router["revision_number"]


def test_a_gateway_without_addresses_gets_one_with_the_first_subnet(api: Api) -> None:
    net = api.admin.make("networks", **{"router:external": True})
    router = api.make("routers", external_gateway_info={"network_id": net["id"]})
    assert router["external_gateway_info"]["external_fixed_ips"] == []
    subnet = api.admin.make("subnets", network_id=net["id"], ip_version=4, cidr="203.0.113.0/24")
    fixed = api.show("routers", router["id"])["external_gateway_info"]["external_fixed_ips"]
    assert [one["subnet_id"] for one in fixed] == [subnet["id"]]


def test_a_gateway_port_keeps_its_address_against_the_port_api(api: Api) -> None:
    net, _ = external(api)
    api.make("routers", external_gateway_info={"network_id": net["id"]})
    port = api.admin.list("ports")[0]
    answer = api.admin.put(f"ports/{port['id']}", {"port": {"fixed_ips": [{"ip_address": "203.0.113.99"}]}})
    assert api.fault(answer) == (400, "BadRequest")
    assert message(answer) == f"Bad ports request: IP updates for port {port['id']} are not allowed."


def test_an_external_network_with_gateways_stays_external(api: Api) -> None:
    net, _ = external(api)
    api.make("routers", external_gateway_info={"network_id": net["id"]})
    answer = api.admin.put(f"networks/{net['id']}", {"network": {"router:external": False}})
    assert api.fault(answer) == (409, "ExternalNetworkInUse")


def test_deleting_a_router_takes_its_gateway_with_it(api: Api) -> None:
    net, _ = external(api)
    router = api.make("routers", external_gateway_info={"network_id": net["id"]})
    assert api.delete(f"routers/{router['id']}")[0] == 204
    assert api.admin.list("ports") == []
    assert api.admin.delete(f"networks/{net['id']}")[0] == 204


# Routes.


@pytest.fixture
def routed(api: Api) -> tuple[Row, Row]:
    """A router with an interface on 10.0.0.0/24."""
    router = api.make("routers")
    subnet = internal(api)[1]
    attach(api, router, subnet)
    return router, subnet


ROUTE = {"destination": "198.18.0.0/24", "nexthop": "10.0.0.9"}
OTHER = {"destination": "198.18.1.0/24", "nexthop": "10.0.0.9"}


def test_routes_replace_each_other(api: Api, routed: tuple[Row, Row]) -> None:
    router, _ = routed
    assert set_router(api, router, routes=[ROUTE])[1]["router"]["routes"] == [ROUTE]
    assert set_router(api, router, routes=[OTHER])[1]["router"]["routes"] == [OTHER]
    assert api.show("routers", router["id"])["routes"] == [OTHER]
    assert set_router(api, router, routes=None)[1]["router"]["routes"] == []


@pytest.mark.parametrize(
    ("route", "reason"),
    [
        ({"destination": "198.18.0.0/24", "nexthop": "192.0.2.9"}, "the nexthop is not connected with router"),
        ({"destination": "198.18.0.0/24", "nexthop": "10.0.0.1"}, "the nexthop is used by router"),
        ({"destination": "2001:db8::/64", "nexthop": "10.0.0.9"}, "different IP versions"),
    ],
)
def test_next_hops_are_neighbours(api: Api, routed: tuple[Row, Row], route: Row, reason: str) -> None:
    answer = set_router(api, routed[0], routes=[ROUTE, route])
    assert api.fault(answer) == (400, "InvalidRoutes")
    assert reason in message(answer)
    assert api.fault(change_routes(api, routed[0], "add", [route])) == (400, "InvalidRoutes")


def test_a_destination_without_network_address_is_refused(api: Api, routed: tuple[Row, Row]) -> None:
    answer = set_router(api, routed[0], routes=[{"destination": "198.18.0.7/24", "nexthop": "10.0.0.9"}])
    assert answer[0] == 400


def test_next_hops_may_be_on_the_gateway_network_until_it_goes(api: Api) -> None:
    net, _ = external(api)
    router = api.make("routers", external_gateway_info={"network_id": net["id"]})
    route = {"destination": "198.18.0.0/24", "nexthop": "203.0.113.254"}
    if route["nexthop"] == router["external_gateway_info"]["external_fixed_ips"][0]["ip_address"]:
        route["nexthop"] = "203.0.113.253"
    assert set_router(api, router, routes=[route])[0] == 200
    assert api.fault(set_router(api, router, external_gateway_info=None)) == (400, "InvalidRoutes")
    assert set_router(api, router, external_gateway_info=None, routes=[])[0] == 200


def test_a_router_has_at_most_thirty_routes(api: Api, routed: tuple[Row, Row]) -> None:
    many = [{"destination": f"198.18.{number}.0/24", "nexthop": "10.0.0.9"} for number in range(31)]
    assert api.fault(set_router(api, routed[0], routes=many)) == (409, "OverQuota")
    assert set_router(api, routed[0], routes=many[:30])[0] == 200
    assert api.fault(change_routes(api, routed[0], "add", many[30:])) == (409, "OverQuota")


def change_routes(api: Api, router: Row, verb: str, routes: Any) -> tuple[int, Any]:
    return api.put(f"routers/{router['id']}/{verb}_extraroutes", {"router": {"routes": routes}})


def test_sets_of_routes_are_added_and_removed(api: Api, routed: tuple[Row, Row]) -> None:
    router, _ = routed
    status, body = change_routes(api, router, "add", [ROUTE])
    assert (status, body["router"]["routes"], body["router"]["id"]) == (200, [ROUTE], router["id"])
    assert change_routes(api, router, "add", [OTHER, ROUTE])[1]["router"]["routes"] == [ROUTE, OTHER]
    elsewhere = {"destination": "198.18.0.0/24", "nexthop": "10.0.0.10"}
    assert change_routes(api, router, "remove", [ROUTE, elsewhere])[1]["router"]["routes"] == [OTHER]
    assert api.show("routers", router["id"])["routes"] == [OTHER]


def test_adding_what_is_there_changes_nothing(api: Api, routed: tuple[Row, Row]) -> None:
    change_routes(api, routed[0], "add", [ROUTE])
    before = api.show("routers", routed[0]["id"])
    assert change_routes(api, routed[0], "add", [ROUTE])[1]["router"] == before


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"routes": []},
        {"router": []},
        {"router": {}},
        {"router": {"routes": [], "name": "x"}},
        {"router": {"routes": []}, "more": 1},
    ],
)
def test_the_body_of_route_actions_names_the_router(api: Api, routed: tuple[Row, Row], body: Any) -> None:
    assert api.fault(api.put(f"routers/{routed[0]['id']}/add_extraroutes", body)) == (400, "HTTPBadRequest")


@pytest.mark.parametrize("routes", ["x", [{"destination": "198.18.0.0/24"}], [ROUTE, ROUTE]])
def test_route_actions_refuse_what_are_no_routes(api: Api, routed: tuple[Row, Row], routes: Any) -> None:
    assert api.fault(change_routes(api, routed[0], "add", routes)) == (400, "InvalidRoutes")


def test_several_next_hops_may_lead_to_one_destination(api: Api, routed: tuple[Row, Row]) -> None:
    both = [ROUTE, {**ROUTE, "nexthop": "10.0.0.10"}]
    assert set_router(api, routed[0], routes=both)[1]["router"]["routes"] == both


# Cost.


def test_a_list_costs_the_same_however_long(api: Api) -> None:
    net, _ = external(api, "198.18.0.0/16")
    api = api.as_("admin", "admin,member,reader")
    counts = []
    for number in range(200):
        api.inside(lambda tx, number=number: _insert(tx, f"q{number}", net["id"]))
        if number + 1 in (10, 200):
            with api.statements() as seen:
                assert len(api.list("routers")) == number + 1
            counts.append(len(seen))
    assert counts[0] == counts[1] <= 3


def _insert(tx: Any, project: str, network_id: str) -> None:
    from weft.resources.router import ROUTER

    values = {
        "project_id": project,
        "name": "",
        "admin_state_up": True,
        "description": "",
        "availability_zone_hints": [],
    }
    ROUTER.strategy.create(tx, {**values, "external_gateway_info": {"network_id": network_id}})


def test_creating_a_router_with_a_gateway_costs_few_statements(api: Api) -> None:
    net, _ = external(api)
    api.make("routers")
    with api.statements() as seen:
        api.make("routers", external_gateway_info={"network_id": net["id"]})
    assert len(seen) <= 12, "\n".join(seen)
