"""The inner sides of routers by the API: add_router_interface, remove_router_interface and what holds them."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.api.conftest import Answer, Api
from weft.reconcile.load import HostLoader
from weft.registry.resource import Row

OWNER = "network:router_interface"


def internal(api: Api, cidr: str = "10.0.0.0/24", network: Row | None = None, **more: Any) -> Row:
    """A subnet of the caller, on a network of its own unless told."""
    on = network or api.make("networks", name="inside")
    return api.make("subnets", network_id=on["id"], ip_version=6 if ":" in cidr else 4, cidr=cidr, **more)


def add(api: Api, router: Row, **what: str) -> Answer:
    return api.put(f"routers/{router['id']}/add_router_interface", what)


def remove(api: Api, router: Row, **what: str) -> Answer:
    return api.put(f"routers/{router['id']}/remove_router_interface", what)


def added(api: Api, router: Row, **what: str) -> Row:
    status, body = add(api, router, **what)
    assert status == 200, body
    return dict(body)


def refused(answer: Answer) -> str:
    """The message of a BadRequest about routers."""
    status, body = answer
    assert (status, body["NeutronError"]["type"]) == (400, "BadRequest"), body
    return str(body["NeutronError"]["message"]).removeprefix("Bad router request: ")


def outside(api: Api, router: Row) -> tuple[Row, Row]:
    """An external network with the router's gateway on it."""
    net = api.admin.make("networks", **{"router:external": True})
    subnet = api.admin.make("subnets", network_id=net["id"], ip_version=4, cidr="203.0.113.0/24")
    info = {"network_id": net["id"]}
    assert api.put(f"routers/{router['id']}", {"router": {"external_gateway_info": info}})[0] == 200
    return net, subnet


@pytest.fixture
def router(api: Api) -> Row:
    return api.make("routers", name="r")


# What the body says.


def test_subnet_or_port_must_be_named(api: Api, router: Row) -> None:
    for answer in (add(api, router), remove(api, router)):
        assert refused(answer) == "Either subnet_id or port_id must be specified."


def test_subnet_and_port_together_are_refused(api: Api, router: Row) -> None:
    answer = add(api, router, subnet_id=str(uuid4()), port_id=str(uuid4()))
    assert refused(answer) == "Cannot specify both subnet-id and port-id."


@pytest.mark.parametrize("name", ["subnet_id", "port_id"])
def test_ids_must_be_uuids(api: Api, router: Row, name: str) -> None:
    assert refused(add(api, router, **{name: "x"})) == "'x' is not a valid UUID."
    assert refused(remove(api, router, **{name: "x"})) == "'x' is not a valid UUID."


def test_what_does_not_exist_is_not_found(api: Api, router: Row) -> None:
    assert api.fault(add(api, router, subnet_id=str(uuid4()))) == (404, "SubnetNotFound")
    assert api.fault(add(api, router, port_id=str(uuid4()))) == (404, "PortNotFound")
    assert api.fault(add(api, {"id": str(uuid4())}, subnet_id=str(uuid4()))) == (404, "RouterNotFound")


def test_routers_of_others_are_left_alone(api: Api, router: Row) -> None:
    subnet = internal(api.as_("p2"))
    assert api.fault(add(api.as_("p2"), router, subnet_id=subnet["id"])) == (404, "RouterNotFound")
    reader = api.as_("p1", "reader")
    assert api.fault(add(reader, router, subnet_id=internal(api)["id"])) == (403, "PolicyNotAuthorized")


# By subnet.


def test_an_interface_by_subnet_has_the_gateway_address(api: Api, router: Row) -> None:
    subnet = internal(api)
    answer = added(api, router, subnet_id=subnet["id"])
    assert answer == {
        "id": router["id"],
        "project_id": "p1",
        "tenant_id": "p1",
        "port_id": answer["port_id"],
        "network_id": subnet["network_id"],
        "subnet_id": subnet["id"],
        "subnet_ids": [subnet["id"]],
    }
    port = api.show("ports", answer["port_id"])
    assert (port["device_id"], port["device_owner"], port["project_id"]) == (router["id"], OWNER, "p1")
    assert port["fixed_ips"] == [{"subnet_id": subnet["id"], "ip_address": "10.0.0.1"}]
    assert (port["name"], port["security_groups"], port["port_security_enabled"]) == ("", [], False)


def test_a_new_interface_is_a_new_revision_of_the_router(api: Api, router: Row) -> None:
    subnet = internal(api)
    added(api, router, subnet_id=subnet["id"])
    assert api.show("routers", router["id"])["revision_number"] == router["revision_number"] + 1
    assert remove(api, router, subnet_id=subnet["id"])[0] == 200
    assert api.show("routers", router["id"])["revision_number"] == router["revision_number"] + 2


def test_a_stale_if_match_adds_nothing(api: Api, router: Row) -> None:
    answer = api.put(
        f"routers/{router['id']}/add_router_interface",
        {"subnet_id": internal(api)["id"]},
        If_Match="revision_number=7",
    )
    assert api.fault(answer) == (412, "RevisionNumberConstraintFailed")
    assert api.list("ports") == []


def test_a_subnet_without_gateway_has_no_router(api: Api, router: Row) -> None:
    subnet = internal(api, gateway_ip=None)
    assert refused(add(api, router, subnet_id=subnet["id"])) == "Subnet for router interface must have a gateway IP."


def test_a_subnet_is_attached_once(api: Api, router: Row) -> None:
    subnet = internal(api)
    added(api, router, subnet_id=subnet["id"])
    assert refused(add(api, router, subnet_id=subnet["id"])) == f"Router already has a port on subnet {subnet['id']}."


def test_two_routers_do_not_share_the_gateway_address(api: Api, router: Row) -> None:
    subnet = internal(api)
    added(api, router, subnet_id=subnet["id"])
    assert api.fault(add(api, api.make("routers"), subnet_id=subnet["id"])) == (409, "IpAddressAlreadyAllocated")


def test_overlapping_subnets_are_refused(api: Api, router: Row) -> None:
    one, other = internal(api), internal(api, "10.0.0.0/25")
    added(api, router, subnet_id=one["id"])
    assert refused(add(api, router, subnet_id=other["id"])) == (
        f"Cidr 10.0.0.0/25 of subnet {other['id']} overlaps with cidr 10.0.0.0/24 of subnet {one['id']}."
    )


def test_a_subnet_that_overlaps_with_the_gateways_is_refused(api: Api, router: Row) -> None:
    outside(api, router)
    assert "overlaps with cidr 203.0.113.0/24" in refused(
        add(api, router, subnet_id=internal(api, "203.0.112.0/20")["id"])
    )


def test_the_gateways_subnet_is_no_interface(api: Api, router: Row) -> None:
    _, subnet = outside(api, router)
    answer = add(api.admin, router, subnet_id=subnet["id"])
    assert refused(answer) == f"Router already has a port on subnet {subnet['id']}."


def test_hosts_that_listen_to_another_router_get_none_of_ours(api: Api, router: Row) -> None:
    subnet = internal(api, "2001:db8::/64", ipv6_address_mode="slaac")
    assert "configured to receive RAs from an external router" in refused(add(api, router, subnet_id=subnet["id"]))


def test_ipv6_subnets_of_a_network_share_a_port(api: Api, router: Row) -> None:
    net = api.make("networks")
    four = internal(api, network=net)
    six = [internal(api, f"2001:db8:{n}::/64", net, ipv6_ra_mode="slaac", ipv6_address_mode="slaac") for n in (1, 2)]
    first = added(api, router, subnet_id=six[0]["id"])
    second = added(api, router, subnet_id=six[1]["id"])
    assert second["port_id"] == first["port_id"] and second["subnet_ids"] == [six[1]["id"]]
    assert {fixed["ip_address"] for fixed in api.show("ports", first["port_id"])["fixed_ips"]} == {
        one["gateway_ip"] for one in six
    }
    assert added(api, router, subnet_id=four["id"])["port_id"] != first["port_id"]


def test_a_prefix_goes_and_the_port_stays_until_the_last(api: Api, router: Row) -> None:
    net = api.make("networks")
    six = [internal(api, f"2001:db8:{n}::/64", net, ipv6_ra_mode="slaac", ipv6_address_mode="slaac") for n in (1, 2)]
    port_id = added(api, router, subnet_id=six[0]["id"])["port_id"]
    added(api, router, subnet_id=six[1]["id"])
    status, body = remove(api, router, subnet_id=six[0]["id"])
    assert (status, body["port_id"], body["subnet_ids"]) == (200, port_id, [six[0]["id"]])
    assert [fixed["subnet_id"] for fixed in api.show("ports", port_id)["fixed_ips"]] == [six[1]["id"]]
    assert remove(api, router, subnet_id=six[1]["id"])[0] == 200
    assert api.list("ports") == []


def test_a_shared_network_takes_routers_of_others_only_by_name(api: Api, router: Row) -> None:
    from sqlalchemy import insert

    from weft.store.access import RBAC_ENTRIES, SHARED

    net = api.admin.make("networks", shared=True)
    subnet = internal(api.admin, network=net)
    assert "is not owned by project making the request" in refused(add(api, router, subnet_id=subnet["id"]))
    entry = {"id": str(uuid4()), "project_id": "admin", "object_type": "network", "object_id": net["id"]}
    entry.update(target_tenant="p1", action=SHARED)
    api.inside(lambda tx: tx.execute(insert(RBAC_ENTRIES), entry))
    added(api, router, subnet_id=subnet["id"])


def test_an_administrator_attaches_subnets_of_anybody(api: Api, router: Row) -> None:
    subnet = internal(api.as_("p2"))
    answer = added(api.admin, router, subnet_id=subnet["id"])
    assert api.admin.show("ports", answer["port_id"])["project_id"] == "p1"


# By port.


def test_a_port_is_taken_over(api: Api, router: Row) -> None:
    subnet = internal(api)
    port = api.make("ports", network_id=subnet["network_id"], name="mine")
    answer = added(api, router, port_id=port["id"])
    assert (answer["port_id"], answer["subnet_ids"]) == (port["id"], [subnet["id"]])
    taken = api.show("ports", port["id"])
    assert (taken["device_id"], taken["device_owner"], taken["name"]) == (router["id"], OWNER, "mine")
    assert taken["fixed_ips"] == port["fixed_ips"]
    assert (taken["security_groups"], taken["port_security_enabled"]) == ([], False)


def test_a_port_in_use_is_not_taken(api: Api, router: Row) -> None:
    port = api.make("ports", network_id=internal(api)["network_id"], device_id="vm")
    assert api.fault(add(api, router, port_id=port["id"])) == (409, "PortInUse")


def test_a_port_without_address_is_not_taken(api: Api, router: Row) -> None:
    port = api.make("ports", network_id=internal(api)["network_id"], fixed_ips=[])
    assert refused(add(api, router, port_id=port["id"])) == "Router port must have at least one fixed IP."


def test_a_port_on_two_ipv4_subnets_is_not_taken(api: Api, router: Row) -> None:
    net = api.make("networks")
    both = [internal(api, cidr, net) for cidr in ("10.0.0.0/24", "10.0.1.0/24")]
    port = api.make("ports", network_id=net["id"], fixed_ips=[{"subnet_id": one["id"]} for one in both])
    assert refused(add(api, router, port_id=port["id"])) == "Cannot have multiple IPv4 subnets on router port."
    assert api.show("ports", port["id"])["device_id"] == ""


def test_a_port_on_an_overlapping_subnet_is_not_taken(api: Api, router: Row) -> None:
    added(api, router, subnet_id=internal(api)["id"])
    port = api.make("ports", network_id=internal(api, "10.0.0.0/25")["network_id"])
    assert "overlaps with cidr" in refused(add(api, router, port_id=port["id"]))


def test_a_network_has_one_ipv6_port_per_router(api: Api, router: Row) -> None:
    net = api.make("networks")
    six = [internal(api, f"2001:db8:{n}::/64", net) for n in (1, 2)]
    added(api, router, subnet_id=six[0]["id"])
    port = api.make("ports", network_id=net["id"], fixed_ips=[{"subnet_id": six[1]["id"]}])
    assert "Router already contains IPv6 port" in refused(add(api, router, port_id=port["id"]))


def test_on_subnets_of_others_a_port_has_an_address_of_the_pools(api: Api, router: Row) -> None:
    net = api.admin.make("networks", shared=True)
    pools = [{"start": "10.0.0.10", "end": "10.0.0.20"}]
    internal(api.admin, network=net, allocation_pools=pools)
    inside = api.make("ports", network_id=net["id"])
    away = api.admin.make("ports", network_id=net["id"], project_id="p1", fixed_ips=[{"ip_address": "10.0.0.77"}])
    assert "out of the allocation pool" in refused(add(api, router, port_id=away["id"]))
    added(api, router, port_id=inside["id"])
    assert remove(api, router, port_id=inside["id"])[0] == 200
    added(api.admin, router, port_id=away["id"])


# What holds an interface, and what it holds.


def test_an_interface_holds_router_subnet_and_itself(api: Api, router: Row) -> None:
    subnet = internal(api)
    port_id = added(api, router, subnet_id=subnet["id"])["port_id"]
    answer = api.delete(f"routers/{router['id']}")
    assert api.fault(answer) == (409, "RouterInUse")
    assert answer[1]["NeutronError"]["message"] == f"Router {router['id']} has ports still attached: {port_id}"
    assert api.fault(api.delete(f"ports/{port_id}")) == (409, "ServicePortInUse")
    assert api.fault(api.delete(f"subnets/{subnet['id']}")) == (409, "SubnetInUse")
    assert api.fault(api.delete(f"networks/{subnet['network_id']}")) == (409, "NetworkInUse")
    answer = api.put(f"subnets/{subnet['id']}", {"subnet": {"gateway_ip": "10.0.0.254"}})
    assert api.fault(answer) == (409, "GatewayIpInUse")


def test_an_interface_keeps_its_ipv4_address_against_the_port_api(api: Api, router: Row) -> None:
    port_id = added(api, router, subnet_id=internal(api)["id"])["port_id"]
    answer = api.put(f"ports/{port_id}", {"port": {"fixed_ips": [{"ip_address": "10.0.0.99"}]}})
    assert api.fault(answer) == (400, "BadRequest")
    assert api.put(f"ports/{port_id}", {"port": {"name": "leg"}})[0] == 200
    assert api.show("ports", port_id)["fixed_ips"][0]["ip_address"] == "10.0.0.1"


@pytest.mark.parametrize("change", [{"device_id": ""}, {"device_owner": ""}])
def test_an_interface_stays_its_routers(api: Api, router: Row, change: Row) -> None:
    port_id = added(api, router, subnet_id=internal(api)["id"])["port_id"]
    assert api.fault(api.admin.put(f"ports/{port_id}", {"port": change})) == (409, "PortInUse")
    port = api.show("ports", port_id)
    assert (port["device_id"], port["device_owner"]) == (router["id"], OWNER)


def test_a_port_that_only_claims_to_be_an_interface_is_none(api: Api, router: Row) -> None:
    net = internal(api)["network_id"]
    port = api.make("ports", network_id=net, device_id=router["id"], device_owner=OWNER)
    answer = remove(api, router, port_id=port["id"])
    assert api.fault(answer) == (404, "RouterInterfaceNotFound")
    assert api.delete(f"routers/{router['id']}")[0] == 204
    assert api.put(f"ports/{port['id']}", {"port": {"device_owner": "", "device_id": ""}})[0] == 200


def test_the_dataplane_does_not_believe_ports_that_claim_to_be_legs(api: Api, router: Row) -> None:
    leg = added(api, router, subnet_id=internal(api)["id"])["port_id"]
    outside(api, router)
    other = api.as_("p2")
    net = internal(other, "10.0.9.0/24")["network_id"]
    for owner in ("network:router_gateway", OWNER):
        other.post("ports", {"port": {"network_id": net, "device_id": router["id"], "device_owner": owner}})
    loader = HostLoader("here", scheduled=False)
    api.inside(loader.load)
    found = loader.view.routers[router["id"]]
    assert [one.id for one in found.ports] == [leg]
    assert found.gateway and found.gateway.addresses[0].ip.startswith("203.0.113.")


# Removal.


def test_an_interface_goes_by_subnet(api: Api, router: Row) -> None:
    subnet = internal(api)
    answer = added(api, router, subnet_id=subnet["id"])
    assert remove(api, router, subnet_id=subnet["id"]) == (200, answer)
    assert api.list("ports") == []


def test_an_interface_goes_by_port_also_when_it_was_the_users(api: Api, router: Row) -> None:
    port = api.make("ports", network_id=internal(api)["network_id"])
    answer = added(api, router, port_id=port["id"])
    assert remove(api, router, port_id=port["id"]) == (200, answer)
    assert api.fault(api.get(f"ports/{port['id']}")) == (404, "PortNotFound")


def test_an_interface_that_is_not_there_does_not_go(api: Api, router: Row) -> None:
    subnet = internal(api)
    port = api.make("ports", network_id=subnet["network_id"])
    assert api.fault(remove(api, router, port_id=port["id"])) == (404, "RouterInterfaceNotFound")
    assert api.fault(remove(api, router, subnet_id=subnet["id"])) == (404, "RouterInterfaceNotFoundForSubnet")
    assert api.fault(remove(api, router, subnet_id=str(uuid4()))) == (404, "RouterInterfaceNotFoundForSubnet")


def test_port_and_subnet_must_belong_together(api: Api, router: Row) -> None:
    one, other = internal(api), internal(api, "10.0.1.0/24")
    port_id = added(api, router, subnet_id=one["id"])["port_id"]
    answer = remove(api, router, port_id=port_id, subnet_id=other["id"])
    assert api.fault(answer) == (400, "SubnetMismatchForPort")
    assert remove(api, router, port_id=port_id, subnet_id=one["id"])[0] == 200


def test_the_gateway_is_no_interface_to_remove(api: Api, router: Row) -> None:
    outside(api, router)
    port = api.admin.list("ports")[0]
    assert api.fault(remove(api.admin, router, port_id=port["id"])) == (404, "RouterInterfaceNotFound")


def test_routes_hold_their_interface(api: Api, router: Row) -> None:
    subnet = internal(api)
    added(api, router, subnet_id=subnet["id"])
    routes = [{"destination": "198.18.0.0/24", "nexthop": "10.0.0.9"}]
    assert api.put(f"routers/{router['id']}", {"router": {"routes": routes}})[0] == 200
    assert api.fault(remove(api, router, subnet_id=subnet["id"])) == (409, "RouterInterfaceInUseByRoute")
    assert api.put(f"routers/{router['id']}", {"router": {"routes": []}})[0] == 200
    assert remove(api, router, subnet_id=subnet["id"])[0] == 200


def test_adding_and_removing_an_interface_cost_few_statements(api: Api, router: Row) -> None:
    subnet = internal(api)
    api.make("ports", network_id=subnet["network_id"])
    with api.statements() as adding:
        added(api, router, subnet_id=subnet["id"])
    with api.statements() as removing:
        assert remove(api, router, subnet_id=subnet["id"])[0] == 200
    assert len(adding) <= 17, "\n".join(adding)
    assert len(removing) <= 15, "\n".join(removing)
