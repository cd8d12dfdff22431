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
