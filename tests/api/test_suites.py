"""What the public tempest suites insist on beyond the facts of the API: each case here once failed there."""

from __future__ import annotations

from tests.api.conftest import Api


def test_templates_from_the_start_are_described(api: Api) -> None:
    rules = api.admin.list("default-security-group-rules")
    assert sorted((rule["direction"], rule["ethertype"], rule["description"]) for rule in rules) == [
        ("egress", "IPv4", "Legacy default SG rule for egress traffic"),
        ("egress", "IPv6", "Legacy default SG rule for egress traffic"),
        ("ingress", "IPv4", "Legacy default SG rule for ingress traffic"),
        ("ingress", "IPv6", "Legacy default SG rule for ingress traffic"),
    ]


def test_a_negative_revision_is_a_stale_one(api: Api) -> None:
    path = f"/networks/{api.make('networks')['id']}"
    stale = api.put(path, {"network": {"name": "b"}}, If_Match="revision_number=-1")
    assert api.fault(stale) == (412, "RevisionNumberConstraintFailed")
    for wrong in ("--1", "-", "", "1²"):
        answer = api.put(path, {"network": {"name": "b"}}, If_Match=f"revision_number={wrong}")
        assert api.fault(answer) == (400, "BadRequest"), wrong


def test_subnets_for_device_owners_of_services_unknown(api: Api) -> None:
    network = api.make("networks")["id"]
    for number in (1, 2):
        api.make(
            "subnets",
            network_id=network,
            ip_version=4,
            cidr=f"10.0.{number}.0/24",
            service_types=[f"test:type_{number}", "network:distributed"],
        )
    port = api.make("ports", network_id=network, device_owner="test:type_2")
    assert [ip["ip_address"].rpartition(".")[0] for ip in port["fixed_ips"]] == ["10.0.2"]


def test_ports_are_tagged_as_they_are_made(api: Api) -> None:
    assert api.get("/extensions/tag-ports-during-bulk-creation")[0] == 200
    network = api.make("networks")["id"]
    bodies = [{"network_id": network, "tags": ["red", "blue"]}, {"network_id": network}]
    _, made = api.post("/ports", {"ports": bodies})
    assert [sorted(port["tags"]) for port in made["ports"]] == [["blue", "red"], []]


def test_sharing_shows_an_address_group_but_not_to_updates(api: Api) -> None:
    owner, guest = api, api.as_("2" * 32)
    group = owner.make("address-groups", name="a", addresses=["198.18.0.0/15"])["id"]
    policy = {
        "object_type": "address_group",
        "object_id": group,
        "action": "access_as_shared",
        "target_tenant": guest.project,
    }
    status, answer = owner.post("/rbac-policies", {"rbac_policy": policy})
    assert status == 201, answer
    path = f"/address-groups/{group}"
    assert guest.get(path)[0] == 200
    assert guest.fault(guest.put(path, {"address_group": {"name": "b"}})) == (404, "HTTPNotFound")
    assert guest.fault(guest.delete(path)) == (403, "PolicyNotAuthorized")
    reader = api.as_(api.project, "reader")
    assert reader.fault(reader.put(path, {"address_group": {"name": "b"}})) == (403, "PolicyNotAuthorized")


def test_a_floating_ip_of_which_nothing_is_said_leads_nowhere(api: Api) -> None:
    outside = api.admin.make("networks", **{"router:external": True})["id"]
    api.admin.make("subnets", network_id=outside, ip_version=4, cidr="203.0.113.0/24")
    inside = api.make("networks")["id"]
    subnet = api.make("subnets", network_id=inside, ip_version=4, cidr="10.0.0.0/24")["id"]
    router = api.make("routers", external_gateway_info={"network_id": outside})["id"]
    assert api.put(f"/routers/{router}/add_router_interface", {"subnet_id": subnet})[0] == 200
    port = api.make("ports", network_id=inside)["id"]
    made = api.make("floatingips", floating_network_id=outside, port_id=port)
    assert made["port_id"] == port
    kept = api.put(f"/floatingips/{made['id']}", {"floatingip": {"description": "web"}})[1]["floatingip"]
    assert (kept["port_id"], kept["router_id"]) == (port, router)
    freed = api.put(f"/floatingips/{made['id']}", {"floatingip": {}})[1]["floatingip"]
    assert [freed[name] for name in ("port_id", "fixed_ip_address", "router_id")] == [None, None, None]
