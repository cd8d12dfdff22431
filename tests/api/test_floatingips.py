"""Floating IPs by the API: addresses outside that lead to ports inside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from tests.api.conftest import Answer, Api
from weft.registry.resource import Row


@dataclass
class Site:
    """An external network, and a router of p1 between it and one subnet."""

    api: Api
    outside: Row
    router: Row
    subnet: Row

    def port(self, api: Api | None = None, **more: Any) -> Row:
        return (api or self.api).make("ports", network_id=self.subnet["network_id"], **more)

    def fip(self, **more: Any) -> Row:
        return self.api.make("floatingips", floating_network_id=self.outside["id"], **more)

    def ask(self, api: Api | None = None, **more: Any) -> Answer:
        body = {"floating_network_id": self.outside["id"], **more}
        return (api or self.api).post("floatingips", {"floatingip": body})


def outside_network(api: Api, *cidrs: str) -> Row:
    net = api.admin.make("networks", name="outside", **{"router:external": True})
    for cidr in cidrs:
        api.admin.make("subnets", network_id=net["id"], ip_version=6 if ":" in cidr else 4, cidr=cidr)
    return net


def inside_subnet(api: Api, cidr: str = "10.0.0.0/24") -> Row:
    net = api.make("networks", name="inside")
    return api.make("subnets", network_id=net["id"], ip_version=4, cidr=cidr)


def connect(api: Api, outside: Row, subnet: Row) -> Row:
    router = api.make("routers", external_gateway_info={"network_id": outside["id"]})
    assert api.put(f"routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})[0] == 200
    return router


@pytest.fixture
def site(api: Api) -> Site:
    outside, subnet = outside_network(api, "203.0.113.0/24"), inside_subnet(api)
    return Site(api, outside, connect(api, outside, subnet), subnet)


def change(api: Api, fip: Row, **values: Any) -> Answer:
    return api.put(f"floatingips/{fip['id']}", {"floatingip": values})


def changed(api: Api, fip: Row, **values: Any) -> Row:
    status, body = change(api, fip, **values)
    assert status == 200, body
    return dict(body["floatingip"])


def refused(answer: Answer) -> str:
    status, body = answer
    assert (status, body["NeutronError"]["type"]) == (400, "BadRequest"), body
    return str(body["NeutronError"]["message"]).removeprefix("Bad floatingip request: ")


# Addresses.


def test_a_new_floating_ip_leads_nowhere(site: Site) -> None:
    fip = site.fip()
    assert fip == {
        **fip,
        "project_id": "p1",
        "tenant_id": "p1",
        "floating_network_id": site.outside["id"],
        "router_id": None,
        "port_id": None,
        "fixed_ip_address": None,
        "status": "DOWN",
        "status_reason": "",
        "port_details": None,
        "port_forwardings": [],
        "dns_name": "",
        "dns_domain": "",
        "description": "",
        "tags": [],
        "revision_number": 0,
    }
    assert fip["floating_ip_address"].startswith("203.0.113.")
    assert site.api.show("floatingips", fip["id"]) == fip


def test_a_port_of_nobody_holds_the_address(site: Site) -> None:
    fip = site.fip()
    assert site.api.list("ports", f"device_id={fip['id']}") == []
    port = site.api.admin.list("ports", f"device_id={fip['id']}")[0]
    assert (port["device_owner"], port["project_id"], port["status"]) == ("network:floatingip", "", "N/A")
    assert [one["ip_address"] for one in port["fixed_ips"]] == [fip["floating_ip_address"]]
    assert site.api.fault(site.api.admin.delete(f"ports/{port['id']}")) == (409, "ServicePortInUse")
    answer = site.api.admin.put(f"ports/{port['id']}", {"port": {"fixed_ips": [{"ip_address": "203.0.113.250"}]}})
    assert site.api.fault(answer) == (400, "BadRequest")
    assert site.api.fault(site.api.admin.put(f"ports/{port['id']}", {"port": {"device_owner": ""}})) == (
        409,
        "PortInUse",
    )
    assert site.api.delete(f"floatingips/{fip['id']}")[0] == 204
    assert site.api.admin.list("ports", f"device_id={fip['id']}") == []


def test_a_floating_ip_takes_no_ipv6_address(api: Api) -> None:
    net = outside_network(api, "2001:db8::/64", "203.0.113.0/24")
    fip = api.make("floatingips", floating_network_id=net["id"])
    port = api.admin.list("ports", f"device_id={fip['id']}")[0]
    assert [one["ip_address"] for one in port["fixed_ips"]] == [fip["floating_ip_address"]]


def test_the_network_must_be_external_and_speak_ipv4(api: Api) -> None:
    net = inside_subnet(api)["network_id"]
    answer = api.post("floatingips", {"floatingip": {"floating_network_id": net}})
    assert refused(answer) == f"Network {net} is not a valid external network."
    six = outside_network(api, "2001:db8::/64")["id"]
    answer = api.post("floatingips", {"floatingip": {"floating_network_id": six}})
    assert refused(answer) == f"Network {six} does not contain any IPv4 subnet."
    answer = api.post("floatingips", {"floatingip": {"floating_network_id": str(uuid4())}})
    assert api.fault(answer) == (404, "NetworkNotFound")


def test_only_administrators_choose_the_address(site: Site) -> None:
    assert site.api.fault(site.ask(floating_ip_address="203.0.113.9")) == (403, "PolicyNotAuthorized")
    fip = site.api.admin.make("floatingips", floating_network_id=site.outside["id"], floating_ip_address="203.0.113.9")
    assert fip["floating_ip_address"] == "203.0.113.9"
    answer = site.ask(site.api.admin, floating_ip_address="203.0.113.9")
    assert site.api.fault(answer) == (409, "IpAddressAlreadyAllocated")
    answer = site.ask(site.api.admin, floating_ip_address="9.9.9.9")
    assert site.api.fault(answer) == (400, "InvalidIpForNetwork")


def test_members_choose_the_subnet(api: Api) -> None:
    net = outside_network(api, "203.0.113.0/24", "198.18.0.0/24")
    for subnet in api.list("subnets", f"network_id={net['id']}"):
        fip = api.make("floatingips", floating_network_id=net["id"], subnet_id=subnet["id"])
        assert fip["floating_ip_address"].rpartition(".")[0] == subnet["cidr"].rpartition(".")[0]
        assert "subnet_id" not in fip
    answer = api.post("floatingips", {"floatingip": {"floating_network_id": net["id"], "subnet_id": str(uuid4())}})
    assert api.fault(answer) == (404, "SubnetNotFound")


def test_the_address_must_be_of_the_subnet(api: Api) -> None:
    net = outside_network(api, "203.0.113.0/24", "198.18.0.0/24")
    subnet = api.list("subnets", "cidr=203.0.113.0/24")[0]
    values = {"floating_network_id": net["id"], "subnet_id": subnet["id"], "floating_ip_address": "198.18.0.9"}
    assert api.fault(api.admin.post("floatingips", {"floatingip": values})) == (400, "InvalidIpForSubnet")


def test_an_ipv6_subnet_has_no_floating_ips(api: Api) -> None:
    net = outside_network(api, "203.0.113.0/24", "2001:db8::/64")
    six = api.list("subnets", "ip_version=6")[0]
    answer = api.post("floatingips", {"floatingip": {"floating_network_id": net["id"], "subnet_id": six["id"]}})
    assert api.fault(answer) == (400, "ExternalIpAddressExhausted")
    assert api.admin.list("ports") == []


def test_a_full_network_gives_the_next_subnet_then_nothing(api: Api) -> None:
    net = outside_network(api, "203.0.113.0/30", "198.18.0.0/30")
    found = {api.make("floatingips", floating_network_id=net["id"])["floating_ip_address"] for _ in range(2)}
    assert found == {"203.0.113.2", "198.18.0.2"}
    answer = api.post("floatingips", {"floatingip": {"floating_network_id": net["id"]}})
    assert api.fault(answer) == (400, "ExternalIpAddressExhausted")


def test_names_are_ignored_without_a_service_for_names(site: Site) -> None:
    fip = site.fip(dns_name="www", dns_domain="example.org.")
    assert (fip["dns_name"], fip["dns_domain"]) == ("", "")


def test_the_quota_counts_floating_ips(api: Api) -> None:
    net = outside_network(api, "203.0.113.0/24")
    for _ in range(50):
        api.make("floatingips", floating_network_id=net["id"])
    answer = api.post("floatingips", {"floatingip": {"floating_network_id": net["id"]}})
    assert api.fault(answer) == (409, "OverQuota")
    assert len(api.admin.list("ports")) == 50


def test_floating_ips_of_others_are_not_there(site: Site) -> None:
    fip = site.fip()
    other = site.api.as_("p2")
    assert other.list("floatingips") == []
    assert other.fault(other.get(f"floatingips/{fip['id']}")) == (404, "FloatingIPNotFound")


# Association.


def test_a_floating_ip_leads_to_a_port(site: Site) -> None:
    fip, port = site.fip(), site.port(name="vm")
    found = changed(site.api, fip, port_id=port["id"])
    assert (found["port_id"], found["fixed_ip_address"]) == (port["id"], port["fixed_ips"][0]["ip_address"])
    assert (found["router_id"], found["status"]) == (site.router["id"], "DOWN")
    assert found["port_details"] == {
        "name": "vm",
        "network_id": port["network_id"],
        "mac_address": port["mac_address"],
        "admin_state_up": True,
        "status": "DOWN",
        "device_id": "",
        "device_owner": "",
    }
    assert found["revision_number"] == 1
    assert site.api.show("floatingips", fip["id"]) == found
    assert site.api.list("floatingips", f"port_id={port['id']}") == [found]
    assert site.api.list("floatingips", f"router_id={site.router['id']}") == [found]


def test_it_may_lead_to_a_port_from_the_start(site: Site) -> None:
    port = site.port()
    fip = site.fip(port_id=port["id"], fixed_ip_address=port["fixed_ips"][0]["ip_address"])
    assert (fip["port_id"], fip["router_id"]) == (port["id"], site.router["id"])
    assert site.api.show("floatingips", fip["id"]) == fip


def test_it_moves_to_another_port_and_away(site: Site) -> None:
    one, other = site.port(), site.port()
    fip = site.fip(port_id=one["id"])
    moved = changed(site.api, fip, port_id=other["id"])
    assert (moved["port_id"], moved["fixed_ip_address"]) == (other["id"], other["fixed_ips"][0]["ip_address"])
    gone = changed(site.api, fip, port_id=None)
    assert [gone[name] for name in ("port_id", "fixed_ip_address", "router_id", "port_details", "status")] == [
        None, None, None, None, "DOWN",
    ]  # fmt: skip
    assert site.api.show("floatingips", fip["id"]) == gone


def test_a_change_of_something_else_keeps_the_port(site: Site) -> None:
    port = site.port()
    fip = site.fip(port_id=port["id"])
    found = changed(site.api, fip, description="d")
    assert (found["port_id"], found["router_id"], found["description"]) == (port["id"], site.router["id"], "d")


def test_a_floating_ip_that_works_stays_up_while_nothing_moves(site: Site) -> None:
    from sqlalchemy import update

    from weft.resources.floatingip import FLOATINGIPS

    port = site.port()
    fip = site.fip(port_id=port["id"])
    site.api.inside(lambda tx: tx.execute(update(FLOATINGIPS).values(status="ACTIVE")))
    assert changed(site.api, fip, port_id=port["id"])["status"] == "ACTIVE"
    site.api.inside(lambda tx: tx.execute(update(FLOATINGIPS).values(status="DOWN", status_reason="so")))
    assert changed(site.api, fip, port_id=port["id"])["status_reason"] == "so"
    moved = changed(site.api, fip, port_id=site.port()["id"])
    assert (moved["status"], moved["status_reason"]) == ("DOWN", "")


def test_an_address_without_port_means_nothing(site: Site) -> None:
    sentence = "fixed_ip_address cannot be specified without a port_id."
    assert refused(site.ask(fixed_ip_address="10.0.0.9")) == sentence
    assert refused(change(site.api, site.fip(), fixed_ip_address="10.0.0.9")) == sentence


def test_one_address_has_one_floating_ip_per_external_network(site: Site) -> None:
    port = site.port()
    site.fip(port_id=port["id"])
    assert site.api.fault(site.ask(port_id=port["id"])) == (409, "FloatingIPPortAlreadyAssociated")
    fip = site.fip()
    assert site.api.fault(change(site.api, fip, port_id=port["id"])) == (409, "FloatingIPPortAlreadyAssociated")


def test_a_port_with_two_addresses_needs_the_address(site: Site) -> None:
    port = site.port(fixed_ips=[{"ip_address": "10.0.0.50"}, {"ip_address": "10.0.0.51"}])
    fip = site.fip()
    assert "has multiple fixed IPv4 addresses" in refused(change(site.api, fip, port_id=port["id"]))
    assert "does not have fixed ip" in refused(change(site.api, fip, port_id=port["id"], fixed_ip_address="10.0.0.52"))
    found = changed(site.api, fip, port_id=port["id"], fixed_ip_address="10.0.0.51")
    assert found["fixed_ip_address"] == "10.0.0.51"
    assert site.fip(port_id=port["id"], fixed_ip_address="10.0.0.50")["port_id"] == port["id"]


def test_floating_ips_are_ipv4(site: Site) -> None:
    net = site.subnet["network_id"]
    site.api.make("subnets", network_id=net, ip_version=6, cidr="2001:db8::/64")
    port = site.port(fixed_ips=[{"ip_address": "2001:db8::9"}])
    assert "no fixed IPv4 addresses" in refused(site.ask(port_id=port["id"]))
    assert "not an IPv4 address" in refused(site.ask(port_id=port["id"], fixed_ip_address="2001:db8::9"))


def test_a_port_that_no_router_reaches_is_refused(site: Site) -> None:
    subnet = inside_subnet(site.api, "10.0.1.0/24")
    port = site.api.make("ports", network_id=subnet["network_id"])
    assert site.api.fault(site.ask(port_id=port["id"])) == (404, "ExternalGatewayForFloatingIPNotFound")
    assert site.api.list("floatingips") == []
    other = outside_network(site.api, "198.18.0.0/24")
    fip = site.api.make("floatingips", floating_network_id=other["id"])
    answer = change(site.api, fip, port_id=site.port()["id"])
    assert site.api.fault(answer) == (404, "ExternalGatewayForFloatingIPNotFound")


def test_of_two_routers_that_with_the_gateway_address_is_taken(site: Site) -> None:
    first = site.port()
    routers = [site.router["id"]]
    for _ in range(3):
        made = site.api.make("routers", external_gateway_info={"network_id": site.outside["id"]})
        routers.append(made["id"])
        leg = site.port()
        assert site.api.put(f"routers/{made['id']}/add_router_interface", {"port_id": leg["id"]})[0] == 200
    assert site.fip(port_id=first["id"])["router_id"] == site.router["id"]


def test_ports_that_are_not_there_or_not_ones_own_are_refused(site: Site) -> None:
    assert site.api.fault(site.ask(port_id=str(uuid4()))) == (404, "PortNotFound")
    theirs = site.port(site.api.admin, project_id="p2")
    assert "owned by a different project" in refused(site.ask(port_id=theirs["id"]))
    assert site.ask(site.api.admin, port_id=theirs["id"], project_id="p1")[0] == 201


def test_dhcp_ports_have_no_floating_ip(site: Site) -> None:
    port = site.port(device_owner="network:dhcp")
    assert "serves DHCP" in refused(site.ask(port_id=port["id"]))


def test_a_floating_ip_may_lead_to_an_interface_of_the_router(site: Site) -> None:
    leg = site.api.list("ports", f"device_id={site.router['id']}")[0]
    assert site.fip(port_id=leg["id"])["fixed_ip_address"] == "10.0.0.1"


# What holds what.


def test_a_floating_ip_holds_the_way_it_takes(site: Site) -> None:
    fip = site.fip(port_id=site.port()["id"])
    path = f"routers/{site.router['id']}"
    way = {"subnet_id": site.subnet["id"]}
    answer = site.api.put(f"{path}/remove_router_interface", way)
    assert site.api.fault(answer) == (409, "RouterInterfaceInUseByFloatingIP")
    fault = (409, "RouterExternalGatewayInUseByFloatingIp")
    other = outside_network(site.api, "198.18.0.0/24")
    for info in (None, {"network_id": other["id"]}):
        assert site.api.fault(site.api.put(path, {"router": {"external_gateway_info": info}})) == fault
    changed(site.api, fip, port_id=None)
    assert site.api.put(f"{path}/remove_router_interface", way)[0] == 200
    assert site.api.put(path, {"router": {"external_gateway_info": None}})[0] == 200


def test_the_address_of_the_gateway_may_change_under_a_floating_ip(site: Site) -> None:
    site.fip(port_id=site.port()["id"])
    info = {"network_id": site.outside["id"], "external_fixed_ips": [{"ip_address": "203.0.113.200"}]}
    assert site.api.admin.put(f"routers/{site.router['id']}", {"router": {"external_gateway_info": info}})[0] == 200


def test_a_port_keeps_the_address_that_is_led_to(site: Site) -> None:
    port = site.port()
    site.fip(port_id=port["id"])
    answer = site.api.put(f"ports/{port['id']}", {"port": {"fixed_ips": [{"ip_address": "10.0.0.200"}]}})
    assert site.api.fault(answer) == (400, "BadRequest")
    assert "because its original fixed_ip has been associated to a floating ip" in answer[1]["NeutronError"]["message"]


def test_deleting_the_port_lets_go_of_it(site: Site) -> None:
    port = site.port()
    fip = site.fip(port_id=port["id"])
    assert site.api.delete(f"ports/{port['id']}")[0] == 204
    found = site.api.show("floatingips", fip["id"])
    assert [found[name] for name in ("port_id", "router_id", "fixed_ip_address", "status")] == [
        None,
        None,
        None,
        "DOWN",
    ]
    assert found["revision_number"] == 1


def test_a_port_with_the_floating_ip_of_another_project_is_deleted_by_administrators(site: Site) -> None:
    port = site.port()
    values = {"floating_network_id": site.outside["id"], "port_id": port["id"], "project_id": "p2"}
    fip = site.api.admin.make("floatingips", **values)
    assert site.api.fault(site.api.delete(f"ports/{port['id']}")) == (409, "FipAssociated")
    assert site.api.admin.delete(f"ports/{port['id']}")[0] == 204
    assert site.api.admin.show("floatingips", fip["id"])["port_id"] is None


def test_a_network_takes_its_idle_floating_ips_with_it(api: Api) -> None:
    net = outside_network(api, "203.0.113.0/24")
    fip = api.make("floatingips", floating_network_id=net["id"])
    assert api.admin.delete(f"networks/{net['id']}")[0] == 204
    assert api.fault(api.get(f"floatingips/{fip['id']}")) == (404, "FloatingIPNotFound")
    assert api.admin.list("ports") == []


def test_a_network_with_a_floating_ip_in_use_stays_whole(site: Site) -> None:
    site.fip(port_id=site.port()["id"])
    idle = site.fip()
    path = f"networks/{site.outside['id']}"
    assert site.api.fault(site.api.admin.delete(path)) == (409, "NetworkInUse")
    assert site.api.show("floatingips", idle["id"]) == idle


# Pools.


def test_pools_are_the_ipv4_subnets_outside(site: Site) -> None:
    net = outside_network(site.api, "2001:db8::/64", "198.18.0.0/24")
    pools = {one["cidr"]: one for one in site.api.list("floatingip_pools")}
    assert set(pools) == {"203.0.113.0/24", "198.18.0.0/24"}
    subnet = site.api.list("subnets", "cidr=198.18.0.0/24")[0]
    assert pools["198.18.0.0/24"] == {
        "subnet_id": subnet["id"],
        "subnet_name": "",
        "project_id": "p1",
        "tenant_id": "p1",
        "network_id": net["id"],
        "cidr": "198.18.0.0/24",
    }
    assert len(site.api.list("floatingip-pools")) == 2
    assert len(site.api.admin.list("floatingip-pools")) == 2
    assert site.api.get(f"floatingip-pools/{subnet['id']}")[0] == 405


# Cost.


def test_a_list_costs_the_same_however_long(site: Site) -> None:
    wide = outside_network(site.api, "198.18.0.0/16")
    counts = []
    for number in range(200):
        site.api.admin.make("floatingips", floating_network_id=wide["id"], project_id=f"q{number}")
        if number + 1 in (10, 200):
            with site.api.statements() as seen:
                assert len(site.api.admin.list("floatingips")) == number + 1
            counts.append(len(seen))
    assert counts[0] == counts[1] <= 2


def test_an_association_costs_few_statements(site: Site) -> None:
    fip, port = site.fip(), site.port()
    with site.api.statements() as moving:
        changed(site.api, fip, port_id=port["id"])
    other = site.port()
    with site.api.statements() as making:
        site.fip(port_id=other["id"])
    assert len(moving) <= 8, "\n".join(moving)
    assert len(making) <= 15, "\n".join(making)
