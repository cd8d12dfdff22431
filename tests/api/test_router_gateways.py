"""Several gateways of one router by the API: the list of them, and the three actions that change it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Answer, Api
from weft.registry.resource import Row


def outside(api: Api, cidr: str, name: str = "outside") -> tuple[Row, Row]:
    net = api.admin.make("networks", name=name, **{"router:external": True})
    return net, api.admin.make("subnets", network_id=net["id"], ip_version=6 if ":" in cidr else 4, cidr=cidr)


def act(api: Api, verb: str, router: Row, *gateways: Any) -> Answer:
    path = f"routers/{router['id']}/{verb}_external_gateways"
    return api.put(path, {"router": {"external_gateways": list(gateways)}})


def acted(api: Api, verb: str, router: Row, *gateways: Any) -> Row:
    status, body = act(api, verb, router, *gateways)
    assert status == 200, body
    assert api.show("routers", router["id"]) == body["router"]
    return dict(body["router"])


def ips(gateway: Row) -> list[str]:
    return [fixed["ip_address"] for fixed in gateway["external_fixed_ips"]]


def on(net: Row, *addresses: str, **more: Any) -> Row:
    fixed = {"external_fixed_ips": [{"ip_address": ip} for ip in addresses]} if addresses else {}
    return {"network_id": net["id"], **fixed, **more}


@pytest.fixture
def red(api: Api) -> Row:
    return outside(api, "203.0.113.0/24", "red")[0]


@pytest.fixture
def blue(api: Api) -> Row:
    return outside(api, "198.18.0.0/24", "blue")[0]


@pytest.fixture
def router(api: Api) -> Row:
    return api.make("routers", name="r")


# What is shown.


def test_a_router_without_gateways(router: Row) -> None:
    assert (router["external_gateways"], router["external_gateway_info"]) == ([], None)
    assert (router["enable_default_route_ecmp"], router["enable_default_route_bfd"]) == (False, False)


def test_the_only_gateway_is_shown_both_ways(api: Api, red: Row) -> None:
    router = api.make("routers", external_gateway_info={"network_id": red["id"]})
    assert router["external_gateways"] == [router["external_gateway_info"]]


def test_the_list_is_changed_by_the_actions_only(api: Api, red: Row, router: Row) -> None:
    body = {"router": {"external_gateways": [on(red)]}}
    assert api.fault(api.post("routers", body)) == (400, "HTTPBadRequest")
    assert api.fault(api.put(f"routers/{router['id']}", body)) == (400, "HTTPBadRequest")


# Adding.


def test_the_first_one_that_is_added_is_the_first(api: Api, red: Row, blue: Row, router: Row) -> None:
    found = acted(api, "add", router, on(red), on(blue))
    assert [one["network_id"] for one in found["external_gateways"]] == [red["id"], blue["id"]]
    assert found["external_gateway_info"] == found["external_gateways"][0]
    assert found["revision_number"] == router["revision_number"] + 1


def test_those_that_are_there_stay_in_front(api: Api, red: Row, blue: Row) -> None:
    router = api.make("routers", external_gateway_info={"network_id": blue["id"]})
    found = acted(api, "add", router, on(red))
    assert found["external_gateways"][0] == router["external_gateway_info"]
    again = acted(api, "add", router, on(red))
    assert again["external_gateways"][:2] == found["external_gateways"]
    assert len({ip for one in again["external_gateways"] for ip in ips(one)}) == 3


def test_addresses_and_snat_are_an_administrators_to_choose(api: Api, red: Row, router: Row) -> None:
    wanted = on(red, "203.0.113.77", enable_snat=False)
    assert api.fault(act(api, "add", router, wanted)) == (403, "PolicyNotAuthorized")
    (found,) = acted(api.admin, "add", router, wanted)["external_gateways"]
    assert (ips(found), found["enable_snat"]) == (["203.0.113.77"], False)


def test_gateways_belong_to_no_project(api: Api, red: Row, router: Row) -> None:
    acted(api, "add", router, on(red), on(red))
    assert api.list("ports") == []
    ports = api.admin.list("ports", f"device_id={router['id']}")
    assert [(one["project_id"], one["device_owner"]) for one in ports] == [("", "network:router_gateway")] * 2


def test_a_gateway_port_is_in_service(api: Api, red: Row, router: Row) -> None:
    acted(api, "add", router, on(red), on(red))
    for one in api.admin.list("ports", f"device_id={router['id']}"):
        assert api.fault(api.admin.delete(f"ports/{one['id']}")) == (409, "ServicePortInUse")


@pytest.mark.parametrize(
    ("gateway", "fault"),
    [
        ({}, (400, "HTTPBadRequest")),
        ({"network_id": "x"}, (400, "HTTPBadRequest")),
        ({"network_id": "6f3d1c3e-0000-4000-8000-000000000000"}, (404, "NetworkNotFound")),
        ({"network_id": "6f3d1c3e-0000-4000-8000-000000000000", "other": 1}, (400, "HTTPBadRequest")),
        ("x", (400, "HTTPBadRequest")),
    ],
)
def test_bad_gateways(api: Api, router: Row, gateway: Any, fault: tuple[int, str]) -> None:
    assert api.fault(act(api.admin, "add", router, gateway)) == fault
    assert api.show("routers", router["id"]) == router


@pytest.mark.parametrize("verb", ["add", "update", "remove"])
def test_bad_bodies(api: Api, router: Row, verb: str) -> None:
    path = f"routers/{router['id']}/{verb}_external_gateways"
    for body in (
        {},
        {"router": []},
        {"router": {}},
        {"router": {"external_gateways": {}}},
        {"router": {"name": "x"}},
        [],
    ):
        assert api.fault(api.put(path, body)) == (400, "HTTPBadRequest"), body
    assert acted(api, verb, router) == router


def test_an_inner_network_leads_nowhere(api: Api, red: Row, router: Row) -> None:
    inner = api.make("networks")
    assert api.fault(act(api, "add", router, on(red), on(inner))) == (400, "BadRequest")
    assert api.show("routers", router["id"]) == router
    assert api.admin.list("ports", f"device_id={router['id']}") == []


def test_an_external_network_without_addresses(api: Api, router: Row) -> None:
    bare = api.admin.make("networks", **{"router:external": True})
    assert api.fault(act(api, "add", router, on(bare))) == (409, "UnableToAddExtraGateways")


def test_networks_outside_do_not_overlap(api: Api, red: Row, router: Row) -> None:
    same, _ = outside(api, "203.0.113.128/25", "same")
    assert api.fault(act(api, "add", router, on(red), on(same))) == (400, "BadRequest")


def test_networks_inside_do_not_overlap_with_any(api: Api, red: Row, blue: Row, router: Row) -> None:
    acted(api, "add", router, on(red), on(blue))
    net = api.make("networks")
    subnet = api.make("subnets", network_id=net["id"], ip_version=4, cidr="198.18.0.0/25")
    status = api.put(f"routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})
    assert api.fault(status) == (400, "BadRequest")


# Changing.


def test_the_one_on_the_network_is_meant(api: Api, red: Row, blue: Row, router: Row) -> None:
    acted(api, "add", router, on(red), on(blue))
    found = acted(api.admin, "update", router, on(blue, "198.18.0.77", enable_snat=False))["external_gateways"]
    assert (ips(found[1]), found[1]["enable_snat"], found[0]["enable_snat"]) == (["198.18.0.77"], False, True)
    found = acted(api.admin, "update", router, on(blue, enable_snat=True))["external_gateways"]
    assert (ips(found[1]), found[1]["enable_snat"]) == (["198.18.0.77"], True)


def test_the_first_is_changed_as_others_are(api: Api, red: Row, router: Row) -> None:
    acted(api, "add", router, on(red))
    found = acted(api.admin, "update", router, on(red, "203.0.113.9", enable_snat=False))
    assert ips(found["external_gateway_info"]) == ["203.0.113.9"]
    assert found["external_gateway_info"]["enable_snat"] is False


def test_of_several_on_a_network_an_address_says_which(api: Api, red: Row, router: Row) -> None:
    acted(api.admin, "add", router, on(red, "203.0.113.11"), on(red, "203.0.113.12"))
    answer = act(api.admin, "update", router, on(red, enable_snat=False))
    assert api.fault(answer) == (400, "UnableToMatchGateways")
    assert f"it has 2 on network {red['id']}, and one of their addresses" in answer[1]["NeutronError"]["message"]
    assert api.fault(act(api.admin, "update", router, on(red, "203.0.113.13"))) == (400, "UnableToMatchGateways")
    found = acted(api.admin, "update", router, on(red, "203.0.113.12", enable_snat=False))["external_gateways"]
    assert [(ips(one), one["enable_snat"]) for one in found] == [(["203.0.113.11"], True), (["203.0.113.12"], False)]


def test_what_is_left_of_a_whole_list_is_meant(api: Api, red: Row, router: Row) -> None:
    acted(api.admin, "add", router, on(red, "203.0.113.11"), on(red, "203.0.113.12"))
    found = acted(api.admin, "update", router, on(red, "203.0.113.13"), on(red, "203.0.113.11"))["external_gateways"]
    assert [ips(one) for one in found] == [["203.0.113.11"], ["203.0.113.13"]]


def test_none_is_meant_twice(api: Api, red: Row, router: Row) -> None:
    acted(api.admin, "add", router, on(red, "203.0.113.11"))
    both = (on(red, "203.0.113.11"), on(red, "203.0.113.12"))
    assert api.fault(act(api.admin, "update", router, *both)) == (400, "UnableToMatchGateways")


def test_the_gateway_is_set_as_clients_do(api: Api, red: Row, blue: Row, router: Row) -> None:
    """`openstack router set --external-gateway` updates a router that has none, or one elsewhere."""
    (first,) = acted(api, "update", router, on(red))["external_gateways"]
    assert first["network_id"] == red["id"]
    (second,) = acted(api, "update", router, on(blue))["external_gateways"]
    assert second["network_id"] == blue["id"]
    assert len(api.admin.list("ports", f"device_id={router['id']}")) == 1


def test_a_network_without_a_gateway_of_the_router(api: Api, red: Row, blue: Row, router: Row) -> None:
    acted(api, "add", router, on(red))
    assert api.fault(act(api, "update", router, on(red), on(blue))) == (400, "UnableToMatchGateways")
    assert api.fault(act(api, "remove", router, on(blue))) == (400, "UnableToMatchGateways")


# Removing.


def test_what_was_shown_may_be_sent_back(api: Api, red: Row, blue: Row, router: Row) -> None:
    whole = acted(api, "add", router, on(red), on(blue), on(red))["external_gateways"]
    left = acted(api, "remove", router, whole[2])["external_gateways"]
    assert left == whole[:2]
    assert len(api.admin.list("ports", f"device_id={router['id']}")) == 2


def test_when_the_first_goes_the_next_is_first(api: Api, red: Row, blue: Row, router: Row) -> None:
    acted(api, "add", router, on(red), on(blue))
    acted(api.admin, "update", router, on(blue, enable_snat=False))
    found = acted(api, "remove", router, on(red))
    assert found["external_gateways"] == [found["external_gateway_info"]]
    assert (found["external_gateway_info"]["network_id"], found["external_gateway_info"]["enable_snat"]) == (
        blue["id"],
        False,
    )
    assert acted(api, "remove", router, on(blue))["external_gateway_info"] is None
    assert api.fault(act(api, "remove", router, on(blue))) == (409, "UnableToRemoveGateways")


def test_removal_takes_an_address_at_its_word(api: Api, red: Row, router: Row) -> None:
    acted(api.admin, "add", router, on(red, "203.0.113.11"))
    answer = act(api.admin, "remove", router, on(red, "203.0.113.12"))
    assert api.fault(answer) == (400, "UnableToMatchGateways")
    assert "with such an address" in answer[1]["NeutronError"]["message"]


def test_whoever_knows_of_one_gateway_takes_all_away(api: Api, red: Row, blue: Row, router: Row) -> None:
    acted(api, "add", router, on(red), on(blue))
    status, body = api.put(f"routers/{router['id']}", {"router": {"external_gateway_info": None}})
    assert (status, body["router"]["external_gateways"]) == (200, [])
    assert api.admin.list("ports", f"device_id={router['id']}") == []


def test_whoever_knows_of_one_gateway_moves_the_first(api: Api, red: Row, blue: Row, router: Row) -> None:
    green, _ = outside(api, "198.18.1.0/24", "green")
    acted(api, "add", router, on(red), on(blue))
    status, body = api.put(
        f"routers/{router['id']}", {"router": {"external_gateway_info": {"network_id": green["id"]}}}
    )
    assert (status, [one["network_id"] for one in body["router"]["external_gateways"]]) == (
        200,
        [green["id"], blue["id"]],
    )
    assert api.show("routers", router["id"]) == body["router"]


def test_gateways_go_with_their_router(api: Api, red: Row, blue: Row, router: Row) -> None:
    acted(api, "add", router, on(red), on(blue), on(blue))
    assert api.delete(f"routers/{router['id']}")[0] == 204
    assert api.admin.list("ports", "device_owner=network:router_gateway") == []


# What depends on gateways.


def inside(api: Api, router: Row) -> Row:
    net = api.make("networks")
    subnet = api.make("subnets", network_id=net["id"], ip_version=4, cidr="10.0.0.0/24")
    assert api.put(f"routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})[0] == 200
    return api.make("ports", network_id=net["id"])


def test_floating_ips_hold_the_gateway_that_they_are_reached_by(api: Api, red: Row, blue: Row, router: Row) -> None:
    acted(api, "add", router, on(red), on(blue))
    port = inside(api, router)
    fips = [api.make("floatingips", floating_network_id=net["id"], port_id=port["id"]) for net in (red, blue)]
    assert [one["router_id"] for one in fips] == [router["id"]] * 2
    for net, fip in zip((blue, red), reversed(fips), strict=True):
        assert api.fault(act(api, "remove", router, on(net))) == (409, "RouterExternalGatewayInUseByFloatingIp")
        assert api.delete(f"floatingips/{fip['id']}")[0] == 204
        acted(api, "remove", router, on(net))


def test_nor_does_it_go_otherwise(api: Api, red: Row, blue: Row, router: Row) -> None:
    acted(api, "add", router, on(red), on(blue))
    port = inside(api, router)
    api.make("floatingips", floating_network_id=blue["id"], port_id=port["id"])
    clear = api.put(f"routers/{router['id']}", {"router": {"external_gateway_info": {}}})
    assert api.fault(clear) == (409, "RouterExternalGatewayInUseByFloatingIp")
    acted(api, "remove", router, on(red))


def test_next_hops_may_be_behind_any_gateway(api: Api, red: Row, blue: Row, router: Row) -> None:
    acted(api, "add", router, on(red), on(blue))
    routes = [{"destination": "192.0.2.0/24", "nexthop": "198.18.0.99"}]
    assert api.put(f"routers/{router['id']}", {"router": {"routes": routes}})[0] == 200
    assert api.fault(act(api, "remove", router, on(blue))) == (400, "InvalidRoutes")
    acted(api, "remove", router, on(red))


def test_a_new_subnet_outside_reaches_every_gateway(api: Api, red: Row, blue: Row, router: Row) -> None:
    acted(api, "add", router, on(red), on(blue), on(blue))
    api.admin.make("subnets", network_id=blue["id"], ip_version=6, cidr="2001:db8:b::/64")
    found = api.show("routers", router["id"])["external_gateways"]
    assert [[":" in ip for ip in ips(one)] for one in found] == [[False], [False, True], [False, True]]


def test_a_network_outside_stays_shared_with_who_uses_it(api: Api, red: Row) -> None:
    project = "0123456789abcdef0123456789abcdef"
    theirs = api.as_(project)
    lent = api.admin.make("networks")
    api.admin.make("subnets", network_id=lent["id"], ip_version=4, cidr="198.18.2.0/24")
    values = {"object_type": "network", "object_id": lent["id"], "action": "access_as_external"}
    policy = api.admin.make("rbac-policies", target_tenant=project, **values)
    router = theirs.make("routers")
    acted(theirs, "add", router, on(red), on(lent))
    assert api.fault(api.admin.delete(f"rbac-policies/{policy['id']}")) == (409, "RbacPolicyInUse")
    acted(theirs, "remove", router, on(lent))
    assert api.admin.delete(f"rbac-policies/{policy['id']}")[0] == 204


def test_a_gateways_policy_goes_with_it(api: Api, red: Row, blue: Row, router: Row) -> None:
    policy = api.admin.make("qos/policies", name="q")
    info = {"network_id": red["id"], "qos_policy_id": policy["id"]}
    assert api.admin.put(f"routers/{router['id']}", {"router": {"external_gateway_info": info}})[0] == 200
    found = acted(api.admin, "add", router, on(blue))
    assert found["external_gateway_info"]["qos_policy_id"] == policy["id"]
    assert "qos_policy_id" not in acted(api.admin, "remove", router, on(red))["external_gateway_info"]


def test_others_may_not(api: Api, red: Row, router: Row) -> None:
    assert api.fault(act(api.as_("p2"), "add", router, on(red))) == (404, "RouterNotFound")
    assert api.fault(act(api.as_("p1", "reader"), "add", router, on(red))) == (403, "PolicyNotAuthorized")


def test_lists_cost_the_same_with_more_gateways(api: Api, red: Row, blue: Row, router: Row) -> None:
    acted(api, "add", router, on(red))
    with api.statements() as few:
        api.list("routers")
    acted(api, "add", router, on(blue), on(blue))
    with api.statements() as many:
        assert len(api.list("routers")[0]["external_gateways"]) == 3
    assert len(many) == len(few)


# Equal cost.


def test_equal_cost_is_an_administrators_choice(api: Api, router: Row) -> None:
    change = {"router": {"enable_default_route_ecmp": True}}
    assert api.fault(api.put(f"routers/{router['id']}", change)) == (403, "PolicyNotAuthorized")
    status, body = api.admin.put(f"routers/{router['id']}", change)
    assert (status, body["router"]["enable_default_route_ecmp"]) == (200, True)
    unsaid = {"router": {"enable_default_route_ecmp": None, "name": "s"}}
    assert api.admin.put(f"routers/{router['id']}", unsaid)[1]["router"]["enable_default_route_ecmp"] is True
    assert api.admin.make("routers", enable_default_route_ecmp=True)["enable_default_route_ecmp"] is True


class TestDefaults:
    """Where the operator says otherwise, and the dataplane does not say what it can."""

    @pytest.fixture
    def options(self) -> dict[str, dict[str, Any]]:
        flags = {"enable_default_route_ecmp": True, "enable_default_route_bfd": True}
        return {"api": {"backend": "elsewhere", **flags}}

    def test_of_routers_that_do_not_say(self, api: Api) -> None:
        router = api.make("routers")
        assert (router["enable_default_route_ecmp"], router["enable_default_route_bfd"]) == (True, True)
        one = api.admin.make("routers", enable_default_route_ecmp=False, enable_default_route_bfd=False)
        assert (one["enable_default_route_ecmp"], one["enable_default_route_bfd"]) == (False, False)
