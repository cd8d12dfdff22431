"""Subnets; the rules stand in behaviours section 2 of the API's facts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api

V4 = {"ip_version": 4, "cidr": "10.0.0.0/24"}
V6 = {"ip_version": 6, "cidr": "fd00:1::/64"}


@pytest.fixture
def network(api: Api) -> str:
    return str(api.make("networks")["id"])


def _pool(start: str, end: str) -> dict[str, str]:
    return {"start": start, "end": end}


@pytest.mark.parametrize(
    ("cidr", "gateway", "expected_gateway", "pools"),
    [
        ("10.0.0.0/24", ..., "10.0.0.1", [("10.0.0.2", "10.0.0.254")]),
        ("10.0.0.7/24", ..., "10.0.0.1", [("10.0.0.2", "10.0.0.254")]),
        ("10.0.0.0/24", None, None, [("10.0.0.1", "10.0.0.254")]),
        ("10.0.0.0/24", "10.0.0.128", "10.0.0.128", [("10.0.0.1", "10.0.0.127"), ("10.0.0.129", "10.0.0.254")]),
        ("10.0.0.0/24", "10.0.0.254", "10.0.0.254", [("10.0.0.1", "10.0.0.253")]),
        ("10.0.0.0/24", "192.0.2.1", "192.0.2.1", [("10.0.0.1", "10.0.0.254")]),
        ("10.0.0.0/30", ..., "10.0.0.1", [("10.0.0.2", "10.0.0.2")]),
        ("fd00:1::/64", ..., "fd00:1::", [("fd00:1::1", "fd00:1::ffff:ffff:ffff:ffff")]),
        ("fd00:1::/64", "fd00:1::1", "fd00:1::1", [("fd00:1::2", "fd00:1::ffff:ffff:ffff:ffff")]),
    ],
)
def test_gateway_and_pools(
    api: Api, network: str, cidr: str, gateway: Any, expected_gateway: Any, pools: list[tuple[str, str]]
) -> None:
    values = {"network_id": network, "ip_version": 6 if ":" in cidr else 4, "cidr": cidr}
    if gateway is not ...:
        values["gateway_ip"] = gateway
    made = api.make("subnets", **values)
    assert made["gateway_ip"] == expected_gateway
    assert made["allocation_pools"] == [_pool(*one) for one in pools]
    assert made == api.show("subnets", made["id"])


def test_small_subnets_without_dhcp(api: Api, network: str) -> None:
    two = api.make("subnets", network_id=network, ip_version=4, cidr="10.0.1.0/31", enable_dhcp=False, gateway_ip=None)
    assert two["allocation_pools"] == [_pool("10.0.1.0", "10.0.1.1")]
    one = api.make("subnets", network_id=network, ip_version=4, cidr="10.0.2.4/32", enable_dhcp=False)
    assert one["gateway_ip"] == "10.0.2.5"
    assert one["allocation_pools"] == [_pool("10.0.2.4", "10.0.2.4")]
    values = {"network_id": network, "ip_version": 4, "cidr": "10.0.3.0/31", "enable_dhcp": False}
    assert api.fault(api.post("/subnets", {"subnet": values})) == (409, "IpamValueInvalid")


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"ip_version": 4}, (400, "BadRequest")),
        ({**V4, "prefixlen": 24}, (400, "BadRequest")),
        ({"ip_version": 6, "cidr": "10.0.0.0/24"}, (400, "InvalidInput")),
        ({"ip_version": 5, "cidr": "10.0.0.0/24"}, (400, "HTTPBadRequest")),
        ({"cidr": "10.0.0.0/24"}, (400, "HTTPBadRequest")),
        ({**V4, "cidr": "10.0.0.0/33"}, (400, "HTTPBadRequest")),
        ({**V4, "cidr": "0.0.0.0/0"}, (400, "InvalidInput")),
        ({**V6, "cidr": "::/64"}, (400, "InvalidInput")),
        ({**V4, "cidr": "10.0.0.0/31"}, (400, "InvalidInput")),
        ({**V6, "cidr": "fd00::/127"}, (400, "InvalidInput")),
        ({**V4, "cidr": "224.0.0.0/24"}, (400, "InvalidInput")),
        ({**V4, "cidr": "127.0.0.0/24"}, (400, "InvalidInput")),
        ({**V4, "cidr": "0.0.0.0/24"}, (400, "InvalidInput")),
        ({**V4, "gateway_ip": "10.0.0.0"}, (400, "InvalidInput")),
        ({**V4, "gateway_ip": "10.0.0.255"}, (400, "InvalidInput")),
        ({**V4, "gateway_ip": "fd00::1"}, (400, "InvalidInput")),
        ({**V4, "gateway_ip": "x"}, (400, "HTTPBadRequest")),
        ({**V4, "dns_nameservers": ["fd00::1"]}, (400, "InvalidInput")),
        ({**V4, "dns_nameservers": [f"10.0.0.{n}" for n in range(2, 8)]}, (400, "DNSNameServersExhausted")),
        ({**V4, "dns_nameservers": ["10.0.0.2", "10.0.0.2"]}, (400, "HTTPBadRequest")),
        ({**V4, "host_routes": [{"destination": "fd00::/64", "nexthop": "10.0.0.2"}]}, (400, "InvalidInput")),
        ({**V4, "host_routes": [{"destination": "10.1.0.1/24", "nexthop": "10.0.0.2"}]}, (400, "HTTPBadRequest")),
        (
            {**V4, "host_routes": [{"destination": f"10.1.{n}.0/24", "nexthop": "10.0.0.2"} for n in range(21)]},
            (400, "HostRoutesExhausted"),
        ),
        ({**V4, "ipv6_ra_mode": "slaac"}, (400, "InvalidInput")),
        ({**V6, "ipv6_ra_mode": "slaac", "enable_dhcp": False}, (400, "InvalidInput")),
        ({**V6, "ipv6_ra_mode": "slaac", "ipv6_address_mode": "dhcpv6-stateful"}, (400, "InvalidInput")),
        ({**V6, "cidr": "fd00::/63", "ipv6_address_mode": "slaac"}, (400, "InvalidInput")),
        ({**V6, "ipv6_ra_mode": "x"}, (400, "HTTPBadRequest")),
        ({**V4, "allocation_pools": [_pool("10.0.0.9", "10.0.0.5")]}, (400, "InvalidAllocationPool")),
        ({**V4, "allocation_pools": [_pool("10.0.1.5", "10.0.1.9")]}, (400, "OutOfBoundsAllocationPool")),
        ({**V4, "allocation_pools": [_pool("10.0.0.250", "10.0.0.255")]}, (400, "OutOfBoundsAllocationPool")),
        (
            {**V4, "allocation_pools": [_pool("10.0.0.5", "10.0.0.9"), _pool("10.0.0.9", "10.0.0.12")]},
            (409, "OverlappingAllocationPools"),
        ),
        ({**V4, "allocation_pools": [_pool("10.0.0.1", "10.0.0.9")]}, (409, "GatewayConflictWithAllocationPools")),
        ({**V4, "service_types": ["foo"]}, (400, "InvalidSubnetServiceType")),
        ({**V4, "service_types": "compute:nova"}, (400, "HTTPBadRequest")),
        ({**V4, "network_id": "6f3d1c3e-0000-4000-8000-000000000000"}, (404, "NetworkNotFound")),
    ],
)
def test_what_is_refused(api: Api, network: str, values: dict[str, Any], fault: tuple[int, str]) -> None:
    assert api.fault(api.post("/subnets", {"subnet": {"network_id": network, **values}})) == fault


def test_overlap_on_one_network_only(api: Api, network: str) -> None:
    api.make("subnets", network_id=network, **V4)
    values = {"network_id": network, "ip_version": 4, "cidr": "10.0.0.128/25"}
    assert api.fault(api.post("/subnets", {"subnet": values})) == (400, "InvalidInput")
    api.make("subnets", network_id=api.make("networks")["id"], **V4)


def test_pools_are_sorted_and_order_of_name_servers_kept(api: Api, network: str) -> None:
    pools = [_pool("10.0.0.100", "10.0.0.110"), _pool("10.0.0.10", "10.0.0.20")]
    made = api.make(
        "subnets", network_id=network, **V4, allocation_pools=pools, dns_nameservers=["10.9.9.9", "10.1.1.1"]
    )
    assert made["allocation_pools"] == sorted(pools, key=lambda pool: len(pool["start"]))
    assert made["dns_nameservers"] == ["10.9.9.9", "10.1.1.1"]


def test_update(api: Api, network: str) -> None:
    id = api.make("subnets", network_id=network, **V4)["id"]
    path = f"/subnets/{id}"

    def put(**values: Any) -> Any:
        return api.put(path, {"subnet": values})

    for name, value in (("cidr", "10.1.0.0/24"), ("network_id", network), ("ip_version", 6), ("subnetpool_id", None)):
        assert api.fault(put(**{name: value})) == (400, "HTTPBadRequest")
    assert api.fault(put(gateway_ip="10.0.0.9")) == (409, "GatewayConflictWithAllocationPools")
    assert put(allocation_pools=[_pool("10.0.0.50", "10.0.0.60")])[0] == 200
    assert put(gateway_ip="10.0.0.9")[1]["subnet"]["gateway_ip"] == "10.0.0.9"
    assert put(gateway_ip=None)[1]["subnet"]["gateway_ip"] is None
    assert api.fault(put(dns_nameservers=["fd00::1"])) == (400, "InvalidInput")
    routes = [{"destination": "10.8.0.0/16", "nexthop": "10.0.0.9"}]
    assert put(host_routes=routes, dns_nameservers=["10.0.0.53"], name="n", enable_dhcp=False)[0] == 200
    row = api.show("subnets", id)
    assert (row["host_routes"], row["dns_nameservers"], row["name"], row["enable_dhcp"]) == (
        routes,
        ["10.0.0.53"],
        "n",
        False,
    )


def test_dhcp_stays_on_while_it_has_a_mode(api: Api, network: str) -> None:
    id = api.make("subnets", network_id=network, **V6, ipv6_ra_mode="slaac", ipv6_address_mode="slaac")["id"]
    assert api.fault(api.put(f"/subnets/{id}", {"subnet": {"enable_dhcp": False}})) == (400, "InvalidInput")


def test_delete(api: Api, network: str) -> None:
    id = api.make("subnets", network_id=network, **V4)["id"]
    port = api.make("ports", network_id=network)
    assert api.fault(api.delete(f"/subnets/{id}")) == (409, "SubnetInUse")
    api.delete(f"/ports/{port['id']}")
    assert api.delete(f"/subnets/{id}")[0] == 204
    assert api.show("networks", network)["subnets"] == []


def test_automatic_addresses_go_with_their_subnet(api: Api, network: str) -> None:
    port = api.make("ports", network_id=network)
    assert port["fixed_ips"] == []
    id = api.make("subnets", network_id=network, **V6, ipv6_ra_mode="slaac", ipv6_address_mode="slaac")["id"]
    after = api.show("ports", port["id"])
    assert [fixed["subnet_id"] for fixed in after["fixed_ips"]] == [id]
    assert after["revision_number"] == port["revision_number"] + 1
    assert api.delete(f"/subnets/{id}")[0] == 204
    assert api.show("ports", port["id"])["fixed_ips"] == []


def test_who_may(api: Api) -> None:
    shared = api.admin.make("networks", shared=True)["id"]
    private = api.make("networks")["id"]
    other = api.as_("p2")
    assert api.fault(other.post("/subnets", {"subnet": {"network_id": private, **V4}})) == (404, "NetworkNotFound")
    assert api.fault(other.post("/subnets", {"subnet": {"network_id": shared, **V4}})) == (403, "PolicyNotAuthorized")
    subnet = api.admin.make("subnets", network_id=shared, **V4)
    assert other.show("subnets", subnet["id"])["cidr"] == "10.0.0.0/24"
    assert api.fault(other.delete(f"/subnets/{subnet['id']}")) == (403, "PolicyNotAuthorized")
    api.make("subnets", network_id=private, **V4)
    assert [row["id"] for row in other.list("subnets")] == [subnet["id"]]


def test_bulk_and_filters(api: Api, network: str) -> None:
    many = [{"network_id": network, "ip_version": 4, "cidr": f"10.0.{n}.0/24", "name": f"s{n}"} for n in range(3)]
    assert api.post("/subnets", {"subnets": many})[0] == 201
    assert api.fault(api.post("/subnets", {"subnets": [many[0]]})) == (400, "InvalidInput")
    assert {row["name"] for row in api.list("subnets", "cidr=10.0.1.0/24&cidr=10.0.2.0/24")} == {"s1", "s2"}
    assert [row["name"] for row in api.list("subnets", "gateway_ip=10.0.0.1")] == ["s0"]
    assert len(api.list("subnets", "enable_dhcp=true&ip_version=4")) == 3
    assert sorted(api.show("networks", network)["subnets"]) == sorted(row["id"] for row in api.list("subnets"))


def test_prefix_delegation_has_its_form(api: Api, network: str) -> None:
    values = {"network_id": network, "ip_version": 6, "subnetpool_id": "prefix_delegation"}
    assert api.fault(api.post("/subnets", {"subnet": values})) == (400, "BadRequest")
    modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
    assert api.make("subnets", **values, **modes)["cidr"] == "::/64"
    assert api.fault(api.post("/subnets", {"subnet": {**values, "ip_version": 4}})) == (400, "BadRequest")
