"""Subnet pools: their bounds, what subnets get out of them, who may share and change them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network
from itertools import combinations
from typing import Any

import pytest

POOLS = "subnetpools"
UNKNOWN = "6f3d1c3e-0000-4000-8000-000000000000"
OTHER = "2" * 32


def pool(api: Any, *prefixes: str, **values: Any) -> dict[str, Any]:
    return dict(api.make(POOLS, **{"name": "pool", "prefixes": list(prefixes or ["198.18.0.0/16"]), **values}))


def ask(api: Any, pool_id: str | None, network_id: str | None = None, **values: Any) -> tuple[int, Any]:
    """POST a subnet out of the pool, on a network of its own unless given."""
    on = network_id or api.make("networks")["id"]
    source = {"subnetpool_id": pool_id} if pool_id else {}
    return api.post("subnets", {"subnet": {"network_id": on, "ip_version": 4, **source, **values}})  # type: ignore[no-any-return]


def subnet(api: Any, pool_id: str | None, network_id: str | None = None, **values: Any) -> dict[str, Any]:
    status, body = ask(api, pool_id, network_id, **values)
    assert status == 201, body
    return dict(body["subnet"])


def refusal(api: Any, **values: Any) -> tuple[int, str]:
    given = {"name": "pool", "prefixes": ["198.18.0.0/16"], **values}
    return api.fault(api.post(POOLS, {"subnetpool": given}))  # type: ignore[no-any-return]


# What a pool is.


def test_a_pool_has_defaults(api: Any) -> None:
    made = pool(api)
    assert made["min_prefixlen"] == made["default_prefixlen"] == "8"
    assert made["max_prefixlen"] == "32"
    assert made["ip_version"] == 4
    assert made["default_quota"] is None
    assert made["address_scope_id"] is None
    assert not made["is_default"]
    assert not made["shared"]
    assert made["revision_number"] == 0
    assert made["project_id"] == made["tenant_id"] == "p1"
    six = pool(api, "2001:db8::/32")
    assert (six["ip_version"], six["min_prefixlen"], six["max_prefixlen"]) == (6, "64", "128")


def test_prefixes_are_compacted(api: Any) -> None:
    assert pool(api, "10.100.0.0/16", "10.101.0.0/16")["prefixes"] == ["10.100.0.0/15"]


def test_default_prefixlen_follows_min_prefixlen(api: Any) -> None:
    assert pool(api, min_prefixlen="29")["default_prefixlen"] == "29"


def test_lengths_are_text_wherever_they_are_shown(api: Any) -> None:
    made = pool(api, min_prefixlen=20, default_prefixlen="26")
    changed = api.put(f"{POOLS}/{made['id']}", {"subnetpool": {"max_prefixlen": 30}})[1]["subnetpool"]
    shown = api.show(POOLS, made["id"])
    (listed,) = api.list(POOLS)
    assert changed["max_prefixlen"] == shown["max_prefixlen"] == listed["max_prefixlen"] == "30"
    assert changed["default_prefixlen"] == shown["default_prefixlen"] == listed["default_prefixlen"] == "26"


def test_lengths_filter_and_sort_as_numbers(api: Any) -> None:
    for length in (9, 24, 16):
        pool(api, min_prefixlen=length)
    assert [one["min_prefixlen"] for one in api.list(POOLS, "sort_key=min_prefixlen&sort_dir=asc")] == ["9", "16", "24"]
    assert [one["min_prefixlen"] for one in api.list(POOLS, "min_prefixlen=16")] == ["16"]


def test_a_page_goes_on_after_its_marker_in_the_order_of_lengths(api: Any) -> None:
    made = {length: pool(api, min_prefixlen=length)["id"] for length in (9, 24, 16)}
    page = api.list(POOLS, f"sort_key=min_prefixlen&sort_dir=asc&limit=2&marker={made[9]}")
    assert [one["min_prefixlen"] for one in page] == ["16", "24"]


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"prefixes": []}, "EmptySubnetPoolPrefixList"),
        ({"prefixes": ["198.18.0.0/16", "2001:db8::/32"]}, "PrefixVersionMismatch"),
        ({"prefixes": ["198.18.0.1"]}, "HTTPBadRequest"),
        ({"name": ""}, "HTTPBadRequest"),
        ({"min_prefixlen": 28, "max_prefixlen": 24}, "IllegalSubnetPoolPrefixBounds"),
        ({"max_prefixlen": 33}, "IllegalSubnetPoolPrefixBounds"),
        ({"min_prefixlen": 20, "default_prefixlen": 16}, "IllegalSubnetPoolPrefixBounds"),
        ({"max_prefixlen": 20, "default_prefixlen": 24}, "IllegalSubnetPoolPrefixBounds"),
        ({"min_prefixlen": -1}, "HTTPBadRequest"),
        ({"address_scope_id": "scope"}, "HTTPBadRequest"),
    ],
)
def test_what_a_pool_may_not_be(api: Any, values: dict[str, Any], fault: str) -> None:
    assert refusal(api, **values) == (400, fault)


def test_a_pool_needs_prefixes_and_a_name(api: Any) -> None:
    for missing in ("name", "prefixes"):
        given = {"name": "pool", "prefixes": ["198.18.0.0/16"]}
        del given[missing]
        status, body = api.post(POOLS, {"subnetpool": given})
        assert status == 400
        assert missing in body["NeutronError"]["message"]


def test_only_administrators_make_defaults_and_shared_pools(api: Any) -> None:
    assert refusal(api, is_default=True) == (403, "PolicyNotAuthorized")
    assert refusal(api, shared=True) == (403, "PolicyNotAuthorized")
    assert pool(api.admin, is_default=True, shared=True)["is_default"]


def test_one_default_per_ip_version(api: Any) -> None:
    first = pool(api.admin, is_default=True)
    pool(api.admin, "2001:db8::/32", is_default=True)
    assert refusal(api.admin, is_default=True) == (400, "InvalidInput")
    second = pool(api.admin)
    answer = api.admin.put(f"{POOLS}/{second['id']}", {"subnetpool": {"is_default": True}})
    assert api.fault(answer) == (400, "InvalidInput")
    assert api.admin.put(f"{POOLS}/{first['id']}", {"subnetpool": {"is_default": False}})[0] == 200
    assert api.admin.put(f"{POOLS}/{second['id']}", {"subnetpool": {"is_default": True}})[0] == 200


def test_shared_is_said_on_create_only(api: Any) -> None:
    made = pool(api.admin, shared=True)
    assert api.show(POOLS, made["id"])["shared"]
    answer = api.admin.put(f"{POOLS}/{made['id']}", {"subnetpool": {"shared": False}})
    assert api.fault(answer) == (400, "HTTPBadRequest")


def test_another_projects_pool_is_not_there(api: Any) -> None:
    made = pool(api)
    stranger = api.as_("p2")
    assert stranger.list(POOLS) == []
    for answer in (stranger.get(f"{POOLS}/{made['id']}"), stranger.delete(f"{POOLS}/{made['id']}")):
        assert api.fault(answer) == (404, "SubnetPoolNotFound")
    assert api.fault(ask(stranger, made["id"])) == (404, "SubnetPoolNotFound")


# What subnets get.


def test_a_subnet_gets_the_lowest_free_prefix(api: Any) -> None:
    made = pool(api, default_prefixlen=24)
    first, second = subnet(api, made["id"]), subnet(api, made["id"])
    assert [first["cidr"], second["cidr"]] == ["198.18.0.0/24", "198.18.1.0/24"]
    assert first["subnetpool_id"] == made["id"]
    assert first["gateway_ip"] == "198.18.0.1"
    assert first["allocation_pools"] == [{"start": "198.18.0.2", "end": "198.18.0.254"}]


def test_small_holes_are_filled_first(api: Any) -> None:
    made = pool(api, default_prefixlen=26)
    hole = subnet(api, made["id"], cidr="198.18.0.0/26")
    subnet(api, made["id"], cidr="198.18.0.128/25")
    assert subnet(api, made["id"])["cidr"] == "198.18.0.64/26"
    assert api.delete(f"subnets/{hole['id']}")[0] == 204
    assert subnet(api, made["id"])["cidr"] == "198.18.0.0/26"


def test_a_subnet_gets_the_length_that_it_asks_for(api: Any) -> None:
    assert subnet(api, pool(api)["id"], prefixlen="30")["cidr"] == "198.18.0.0/30"


def test_a_subnet_gets_the_cidr_that_it_asks_for(api: Any) -> None:
    made = pool(api)
    assert subnet(api, made["id"], cidr="198.18.7.0/24")["cidr"] == "198.18.7.0/24"
    assert api.fault(ask(api, made["id"], cidr="198.18.7.128/25")) == (409, "SubnetAllocationError")
    assert api.fault(ask(api, made["id"], cidr="203.0.113.0/24")) == (409, "SubnetAllocationError")


def test_ipv6(api: Any) -> None:
    made = pool(api, "2001:db8::/32")
    found = subnet(api, made["id"], ip_version=6)
    assert found["cidr"] == "2001:db8::/64"
    assert subnet(api, made["id"], ip_version=6)["cidr"] == "2001:db8:0:1::/64"


def test_an_exhausted_pool_is_a_conflict(api: Any) -> None:
    made = pool(api, "198.18.0.0/24", default_prefixlen=25)
    subnet(api, made["id"])
    subnet(api, made["id"])
    status, body = ask(api, made["id"])
    assert (status, body["NeutronError"]["type"]) == (409, "SubnetAllocationError")
    assert "/25" in body["NeutronError"]["message"]


def test_lengths_keep_to_the_bounds(api: Any) -> None:
    made = pool(api, min_prefixlen=20, max_prefixlen=28)
    assert api.fault(ask(api, made["id"], prefixlen=19)) == (400, "MinPrefixSubnetAllocationError")
    assert api.fault(ask(api, made["id"], prefixlen=29)) == (400, "MaxPrefixSubnetAllocationError")
    assert api.fault(ask(api, made["id"], cidr="198.18.0.0/30")) == (400, "MaxPrefixSubnetAllocationError")


def test_a_pool_of_the_other_ip_version(api: Any) -> None:
    assert api.fault(ask(api, pool(api)["id"], ip_version=6)) == (400, "BadRequest")


def test_an_unknown_pool(api: Any) -> None:
    assert api.fault(ask(api, UNKNOWN)) == (404, "SubnetPoolNotFound")


def test_allocation_pools_need_a_cidr(api: Any) -> None:
    pools = [{"start": "198.18.0.10", "end": "198.18.0.20"}]
    assert api.fault(ask(api, pool(api)["id"], allocation_pools=pools)) == (400, "BadRequest")


def test_the_default_pool(api: Any) -> None:
    assert api.fault(ask(api, None, use_default_subnetpool=True)) == (400, "BadRequest")
    made = pool(api.admin, is_default=True, shared=True, default_prefixlen=24)
    assert subnet(api, None, use_default_subnetpool=True)["subnetpool_id"] == made["id"]


def test_a_default_pool_that_is_not_shared_is_nobody_elses_default(api: Any) -> None:
    pool(api.admin, is_default=True, default_prefixlen=24)
    assert api.fault(ask(api, None, use_default_subnetpool=True)) == (400, "BadRequest")


def test_one_network_one_pool(api: Any) -> None:
    on = api.make("networks")["id"]
    subnet(api, pool(api, default_prefixlen=24)["id"], on)
    other = pool(api, "198.19.0.0/16", default_prefixlen=24)
    assert api.fault(ask(api, other["id"], on)) == (400, "NetworkSubnetPoolAffinityError")
    assert api.fault(ask(api, None, on, cidr="203.0.113.0/24")) == (400, "NetworkSubnetPoolAffinityError")
    six = pool(api, "2001:db8::/32")
    assert subnet(api, six["id"], on, ip_version=6)["ip_version"] == 6


def test_a_pool_gives_everybody_his_quota(api: Any) -> None:
    made = pool(api.admin, shared=True, default_quota=256)
    subnet(api, made["id"], prefixlen=25)
    assert api.fault(ask(api, made["id"], prefixlen=24)) == (409, "SubnetPoolQuotaExceeded")
    subnet(api, made["id"], prefixlen=25)
    assert api.fault(ask(api, made["id"], prefixlen=30)) == (409, "SubnetPoolQuotaExceeded")
    assert subnet(api.as_("p2"), made["id"], prefixlen=24)["cidr"] == "198.18.1.0/24"


def test_ipv6_quota_counts_networks_of_64_bits(api: Any) -> None:
    made = pool(api, "2001:db8::/32", min_prefixlen=48, default_prefixlen=64, default_quota=2)
    subnet(api, made["id"], ip_version=6)
    assert api.fault(ask(api, made["id"], ip_version=6, prefixlen=62)) == (409, "SubnetPoolQuotaExceeded")
    subnet(api, made["id"], ip_version=6)
    assert api.fault(ask(api, made["id"], ip_version=6)) == (409, "SubnetPoolQuotaExceeded")


def test_a_bulk_of_subnets_does_not_overlap(api: Any) -> None:
    made = pool(api, default_prefixlen=26)
    on = api.make("networks")["id"]
    wanted = [{"network_id": on, "ip_version": 4, "subnetpool_id": made["id"]}] * 4
    status, body = api.post("subnets", {"subnets": wanted})
    assert status == 201, body
    assert len({one["cidr"] for one in body["subnets"]}) == 4


def test_parallel_allocations_do_not_overlap(api: Any) -> None:
    """Each by a project of its own: nothing but the pool brings them together."""
    made = pool(api.admin, "198.18.0.0/24", default_prefixlen=28, shared=True)
    callers = [api.as_(f"p{number}") for number in range(16)]
    networks = [(caller, caller.make("networks")["id"]) for caller in callers]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda one: ask(one[0], made["id"], one[1]), networks))
    assert [status for status, _ in answers] == [201] * 16
    cidrs = [ip_network(body["subnet"]["cidr"]) for _, body in answers]
    assert not any(one.overlaps(other) for one, other in combinations(cidrs, 2))


# Changes.


def test_prefixes_only_grow(api: Any) -> None:
    made = pool(api, "198.18.0.0/24")
    path = f"{POOLS}/{made['id']}"
    answer = api.put(path, {"subnetpool": {"prefixes": ["198.18.0.0/26"]}})
    assert api.fault(answer) == (400, "IllegalSubnetPoolPrefixUpdate")
    assert api.put(path, {"subnetpool": {"prefixes": ["198.18.0.0/16"]}})[1]["subnetpool"]["prefixes"] == [
        "198.18.0.0/16"
    ]
    assert api.fault(api.put(path, {"subnetpool": {"prefixes": []}})) == (400, "EmptySubnetPoolPrefixList")
    answer = api.put(path, {"subnetpool": {"prefixes": ["2001:db8::/32"]}})
    assert api.fault(answer) == (400, "IllegalSubnetPoolPrefixUpdate")


def test_bounds_hold_after_an_update(api: Any) -> None:
    made = pool(api)
    answer = api.put(f"{POOLS}/{made['id']}", {"subnetpool": {"min_prefixlen": 20}})
    assert api.fault(answer) == (400, "IllegalSubnetPoolPrefixBounds")


def test_an_update_bumps_the_revision(api: Any) -> None:
    made = pool(api)
    assert api.put(f"{POOLS}/{made['id']}", {"subnetpool": {"name": "b"}})[1]["subnetpool"]["revision_number"] == 1
    subnet(api, made["id"], prefixlen=24)
    assert api.show(POOLS, made["id"])["revision_number"] == 1


def test_a_pool_with_subnets_stays(api: Any) -> None:
    made = pool(api)
    found = subnet(api, made["id"], prefixlen=24)
    assert api.fault(api.delete(f"{POOLS}/{made['id']}")) == (400, "SubnetPoolDeleteError")
    assert api.delete(f"subnets/{found['id']}")[0] == 204
    assert api.delete(f"{POOLS}/{made['id']}")[0] == 204
    assert api.fault(api.get(f"{POOLS}/{made['id']}")) == (404, "SubnetPoolNotFound")


def test_add_and_remove_prefixes(api: Any) -> None:
    made = pool(api, "198.18.0.0/24")
    path = f"{POOLS}/{made['id']}"
    assert api.put(f"{path}/add_prefixes", {"prefixes": ["203.0.113.0/24"]}) == (
        200,
        {"prefixes": ["198.18.0.0/24", "203.0.113.0/24"]},
    )
    assert api.put(f"{path}/add_prefixes", {"prefixes": ["198.18.0.0/26"]})[1]["prefixes"][0] == "198.18.0.0/24"
    subnet(api, made["id"], cidr="203.0.113.0/28")
    answer = api.put(f"{path}/remove_prefixes", {"prefixes": ["203.0.113.0/27"]})
    assert api.fault(answer) == (400, "IllegalSubnetPoolPrefixUpdate")
    left = {"prefixes": ["198.18.0.0/24", "203.0.113.0/25"]}
    assert api.put(f"{path}/remove_prefixes", {"prefixes": ["203.0.113.128/25"]}) == (200, left)
    assert api.put(f"{path}/remove_prefixes", {"prefixes": ["10.0.0.0/8"]}) == (200, left)
    assert api.show(POOLS, made["id"])["prefixes"] == left["prefixes"]


@pytest.mark.parametrize("action", ["add_prefixes", "remove_prefixes"])
@pytest.mark.parametrize("body", [{}, {"prefixes": "10.0.0.0/8"}, {"prefixes": ["x"]}, [1]])
def test_prefix_operations_read_their_bodies(api: Any, action: str, body: Any) -> None:
    made = pool(api)
    assert api.fault(api.put(f"{POOLS}/{made['id']}/{action}", body)) == (400, "HTTPBadRequest")


def test_a_pool_cannot_lose_all_prefixes(api: Any) -> None:
    made = pool(api, "198.18.0.0/24")
    answer = api.put(f"{POOLS}/{made['id']}/remove_prefixes", {"prefixes": ["198.18.0.0/16"]})
    assert api.fault(answer) == (400, "EmptySubnetPoolPrefixList")


def test_onboarding_makes_subnets_the_pools_own(api: Any) -> None:
    made = pool(api)
    on = api.make("networks")["id"]
    mine = subnet(api, None, on, cidr="203.0.113.0/24")
    subnet(api, None, on, ip_version=6, cidr="2001:db8::/64")
    answer = api.put(f"{POOLS}/{made['id']}/onboard_network_subnets", {"network_id": on})
    assert answer == (200, [{"id": mine["id"], "cidr": "203.0.113.0/24"}])
    assert api.show("subnets", mine["id"])["subnetpool_id"] == made["id"]
    assert api.show(POOLS, made["id"])["prefixes"] == ["198.18.0.0/16", "203.0.113.0/24"]
    answer = api.put(f"{POOLS}/{made['id']}/onboard_network_subnets", {"network_id": on})
    assert api.fault(answer) == (400, "IllegalSubnetPoolUpdate")


def test_onboarding_takes_what_is_ones_own(api: Any) -> None:
    made = pool(api.as_("p2"))
    path = f"{POOLS}/{made['id']}/onboard_network_subnets"
    hers = api.admin.make("networks", shared=True)["id"]
    his = api.make("networks")["id"]
    stranger = api.as_("p2")
    assert api.fault(stranger.put(path, {"network_id": hers})) == (403, "NotAuthorized")
    assert api.fault(stranger.put(path, {"network_id": his})) == (404, "NetworkNotFound")
    assert api.fault(stranger.put(path, {})) == (400, "InvalidInput")


def test_a_list_costs_the_same_for_10_and_200(api: Any) -> None:
    costs = []
    for upto in (10, 200):
        while len(api.list(POOLS)) < upto:
            pool(api)
        with api.statements() as seen:
            assert len(api.list(POOLS)) == upto
        costs.append(len(seen))
    assert costs[0] == costs[1] <= 2
