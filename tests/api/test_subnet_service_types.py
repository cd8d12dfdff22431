"""Subnets that are kept for some kinds of ports (extension subnet-service-types)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api
from weft.registry.resource import Row

KEPT, OPEN = "10.1.0.0/24", "10.2.0.0/24"


@pytest.fixture
def network(api: Api) -> Row:
    return api.make("networks", name="n")


def subnet(api: Api, network: Row, cidr: str, *types: str, **values: Any) -> Row:
    return api.make("subnets", network_id=network["id"], ip_version=4, cidr=cidr, service_types=list(types), **values)


def address(api: Api, network: Row, owner: str = "", **values: Any) -> list[str]:
    who = api.admin if owner.startswith("network:") else api
    made = who.make("ports", network_id=network["id"], device_owner=owner, **values)
    return [fixed["ip_address"].rpartition(".")[0] for fixed in made["fixed_ips"]]


def test_ports_of_that_kind_get_addresses_there_and_no_others(api: Api, network: Row) -> None:
    kept = subnet(api, network, KEPT, "compute:nova")
    subnet(api, network, OPEN)
    assert kept["service_types"] == ["compute:nova"]
    assert address(api, network, "compute:nova") == ["10.1.0"]
    assert address(api, network, "compute:other") == ["10.2.0"]
    assert address(api, network) == ["10.2.0"]


def test_with_only_subnets_for_others_there_is_no_address(api: Api, network: Row) -> None:
    subnet(api, network, KEPT, "compute:nova")
    body = {"port": {"network_id": network["id"], "device_owner": "compute:other"}}
    assert api.fault(api.post("ports", body)) == (409, "IpAddressGenerationFailureNoMatchingSubnet")


def test_who_asks_for_the_subnet_gets_it(api: Api, network: Row) -> None:
    kept = subnet(api, network, KEPT, "compute:nova")
    subnet(api, network, OPEN)
    wish = [{"subnet_id": kept["id"]}]
    assert address(api, network, "compute:nova", fixed_ips=wish) == ["10.1.0"]


def test_when_it_is_full_the_open_one_serves_too(api: Api, network: Row) -> None:
    subnet(api, network, "10.1.0.0/30", "compute:nova", gateway_ip=None)
    subnet(api, network, OPEN)
    found = [address(api, network, "compute:nova")[0] for _ in range(3)]
    assert found == ["10.1.0", "10.1.0", "10.2.0"]


def test_floating_ips_come_from_subnets_for_them(api: Api) -> None:
    outside = api.admin.make("networks", **{"router:external": True})
    for cidr, types in (("203.0.113.0/24", ["network:floatingip"]), ("198.18.0.0/24", ["network:router_gateway"])):
        values = {"network_id": outside["id"], "ip_version": 4, "cidr": cidr, "service_types": types}
        api.admin.make("subnets", **values)
    fip = api.make("floatingips", floating_network_id=outside["id"])
    assert fip["floating_ip_address"].startswith("203.0.113.")
    router = api.make("routers", external_gateway_info={"network_id": outside["id"]})
    (fixed,) = router["external_gateway_info"]["external_fixed_ips"]
    assert fixed["ip_address"].startswith("198.18.0.")


def test_they_change(api: Api, network: Row) -> None:
    kept = subnet(api, network, KEPT, "compute:nova")
    status, body = api.put(f"subnets/{kept['id']}", {"subnet": {"service_types": []}})
    assert (status, body["subnet"]["service_types"]) == (200, [])
    assert address(api, network) == ["10.1.0"]
    status, body = api.put(f"subnets/{kept['id']}", {"subnet": {"service_types": ["network:dhcp", "compute:a"]}})
    assert (status, body["subnet"]["service_types"]) == (200, ["network:dhcp", "compute:a"])


@pytest.mark.parametrize(
    ("types", "fault"),
    [
        (["foo"], "InvalidSubnetServiceType"),
        ([7], "InvalidInputSubnetServiceType"),
        ("compute:nova", "HTTPBadRequest"),
    ],
)
def test_what_is_no_service_type(api: Api, network: Row, types: Any, fault: str) -> None:
    body = {"subnet": {"network_id": network["id"], "ip_version": 4, "cidr": KEPT, "service_types": types}}
    assert api.fault(api.post("subnets", body)) == (400, fault)
