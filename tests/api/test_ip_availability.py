"""IP availability: addresses that networks have, and that ports hold."""

from __future__ import annotations

from typing import Any

PATH = "network-ip-availabilities"
UNKNOWN = "6f3d1c3e-0000-4000-8000-000000000000"


def shown(api: Any, network_id: str, query: str = "") -> dict[str, Any]:
    status, body = api.admin.get(f"{PATH}/{network_id}{query}")
    assert status == 200, body
    return dict(body["network_ip_availability"])


def network(api: Any, *cidrs: str, **values: Any) -> str:
    made = str(api.make("networks", name="net")["id"])
    for cidr in cidrs:
        version = 6 if ":" in cidr else 4
        api.make("subnets", network_id=made, ip_version=version, cidr=cidr, name=cidr, **values)
    return made


def ports(api: Any, on: str, number: int) -> None:
    status, body = api.post("ports", {"ports": [{"network_id": on}] * number})
    assert status == 201, body


def details(row: dict[str, Any]) -> tuple[int, int, int, int]:
    found = row["ip_availability_details"]
    return (
        found["total_ips_in_subnet"],
        found["total_ips_in_allocation_pool"],
        found["used_ips_in_subnet"],
        found["used_ips_in_allocation_pool"],
    )


def test_a_network_without_subnets(api: Any) -> None:
    on = network(api)
    assert shown(api, on) == {
        "network_id": on,
        "network_name": "net",
        "project_id": "p1",
        "tenant_id": "p1",
        "total_ips": 0,
        "used_ips": 0,
        "subnet_ip_availability": [],
        "ip_availability_details": {
            "total_ips_in_subnet": 0,
            "total_ips_in_allocation_pool": 0,
            "used_ips_in_subnet": 0,
            "used_ips_in_allocation_pool": 0,
        },
    }


def test_a_network_with_ports(api: Any) -> None:
    on = network(api, "198.18.0.0/24")
    ports(api, on, 6)
    found = shown(api, on)
    (subnet,) = found["subnet_ip_availability"]
    (made,) = api.list("subnets")
    assert subnet.items() >= {"subnet_id": made["id"], "subnet_name": "198.18.0.0/24", "ip_version": 4}.items()
    assert subnet["cidr"] == "198.18.0.0/24"
    for one in (found, subnet):
        assert (one["total_ips"], one["used_ips"]) == (253, 6)
        assert details(one) == (254, 253, 6, 6)


def test_a_deleted_port_gives_its_address_back(api: Any) -> None:
    on = network(api, "198.18.0.0/24")
    port = api.make("ports", network_id=on)
    assert shown(api, on)["used_ips"] == 1
    api.delete(f"ports/{port['id']}")
    assert shown(api, on)["used_ips"] == 0


def test_a_network_sums_its_subnets_up(api: Any) -> None:
    on = network(api, "198.18.0.0/24", "198.18.1.0/24", "2001:db8::/64")
    ports(api, on, 3)
    found = shown(api, on)
    assert [one["cidr"] for one in found["subnet_ip_availability"]] == [
        "198.18.0.0/24",
        "198.18.1.0/24",
        "2001:db8::/64",
    ]
    assert found["used_ips"] == 6
    assert found["total_ips"] == 253 * 2 + 2**64 - 1


def test_numbers_are_as_large_as_ipv6(api: Any) -> None:
    on = network(api, "2001:db8::/32", gateway_ip="2001:db8::1")
    found = shown(api, on)
    assert found["total_ips"] == 2**96 - 2
    assert details(found) == (2**96, 2**96 - 2, 0, 0)


def test_addresses_outside_the_pools(api: Any) -> None:
    pools = [{"start": "198.18.0.10", "end": "198.18.0.19"}, {"start": "198.18.0.30", "end": "198.18.0.39"}]
    on = network(api, "198.18.0.0/24", allocation_pools=pools)
    ports(api, on, 4)
    for address in ("198.18.0.1", "198.18.0.200"):
        api.make("ports", network_id=on, fixed_ips=[{"ip_address": address}])
    found = shown(api, on)
    assert (found["total_ips"], found["used_ips"]) == (20, 6)
    assert details(found) == (254, 20, 6, 4)


def test_a_router_at_the_gateway_is_outside_the_pools(api: Any) -> None:
    on = network(api, "198.18.0.0/24")
    (subnet,) = api.list("subnets")
    router = api.make("routers")["id"]
    assert api.put(f"routers/{router}/add_router_interface", {"subnet_id": subnet["id"]})[0] == 200
    ports(api, on, 2)
    assert details(shown(api, on)) == (254, 253, 3, 2)


def test_an_ipv6_router_at_the_subnets_own_address(api: Any) -> None:
    on = network(api, "2001:db8::/64", gateway_ip="2001:db8::1")
    port = api.admin.make(
        "ports", network_id=on, device_owner="network:router_interface", fixed_ips=[{"ip_address": "2001:db8::"}]
    )
    assert port["fixed_ips"][0]["ip_address"] == "2001:db8::"
    ports(api, on, 2)
    assert details(shown(api, on))[2:] == (3, 2)


def test_tiny_subnets(api: Any) -> None:
    on = network(api, "198.18.0.0/31", enable_dhcp=False, gateway_ip=None)
    ports(api, on, 2)
    assert details(shown(api, on)) == (2, 2, 2, 2)


def test_a_subnet_without_pools_counts_whole(api: Any) -> None:
    on = network(api, "198.18.0.0/24", allocation_pools=[])
    found = shown(api, on)
    assert found["total_ips"] == 256
    assert details(found) == (254, 0, 0, 0)


def test_filters(api: Any) -> None:
    on = network(api, "198.18.0.0/24", "2001:db8::/64")
    other = str(api.as_("p2").make("networks", name="other")["id"])
    ids = {query: {one["network_id"] for one in api.admin.list(PATH, query)} for query in QUERIES}
    assert list(ids.values()) == [{on, other}, {on}, {other}, {other}, {other}, {on}]
    assert api.admin.list(PATH, f"network_id={other}")[0]["network_name"] == "other"
    for version, cidr in ((4, "198.18.0.0/24"), (6, "2001:db8::/64")):
        (found,) = api.admin.list(PATH, f"ip_version={version}")
        assert [one["cidr"] for one in found["subnet_ip_availability"]] == [cidr]
        assert found["total_ips"] == found["subnet_ip_availability"][0]["total_ips"]


QUERIES = ("", "network_name=net", "network_name=other", "project_id=p2", "tenant_id=p2", "ip_version=4&ip_version=6")


def test_only_administrators_see_it(api: Any) -> None:
    on = network(api)
    assert api.get(PATH) == (200, {"network_ip_availabilities": []})
    assert api.get(f"{PATH}/{on}")[0] == 404
    assert len(api.as_("services", "service").list(PATH)) == 1


def test_unknown_networks(api: Any) -> None:
    assert api.fault(api.admin.get(f"{PATH}/{UNKNOWN}")) == (404, "NetworkNotFound")


def test_it_is_only_read(api: Any) -> None:
    on = network(api)
    for answer in (api.admin.delete(f"{PATH}/{on}"), api.admin.put(f"{PATH}/{on}", {}), api.admin.post(PATH, {})):
        assert api.fault(answer)[0] == 405


def test_pages(api: Any) -> None:
    made = sorted(network(api) for _ in range(3))
    status, body = api.admin.get(f"{PATH}?limit=2&sort_key=network_id&sort_dir=asc")
    assert (status, [one["network_id"] for one in body["network_ip_availabilities"]]) == (200, made[:2])
    (link,) = [one["href"] for one in body["network_ip_availabilities_links"] if one["rel"] == "next"]
    rest = api.admin.list(PATH, link.partition("?")[2])
    assert [one["network_id"] for one in rest] == made[2:]


def test_fields(api: Any) -> None:
    network(api, "198.18.0.0/24")
    assert api.admin.list(PATH, "fields=total_ips") == [{"total_ips": 253}]


def test_a_list_costs_the_same_for_10_and_200(api: Any) -> None:
    api.admin.put("quotas/p1", {"quota": {"network": -1, "subnet": -1}})
    pools = [{"start": "198.18.0.10", "end": "198.18.0.19"}]
    costs = []
    for upto in (10, 200):
        while len(api.list("networks")) < upto:
            network(api, "198.18.0.0/24", allocation_pools=pools)
            network(api, "198.18.0.0/24")
        with api.statements() as seen:
            assert len(api.admin.list(PATH)) == upto
        costs.append(len(seen))
    assert costs[0] == costs[1] <= 3
