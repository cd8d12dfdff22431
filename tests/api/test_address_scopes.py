"""Address scopes: what they are, which pools they hold, and what networks tell of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

SCOPES, POOLS = "address-scopes", "subnetpools"
UNKNOWN = "6f3d1c3e-0000-4000-8000-000000000000"


def scope(api: Any, ip_version: int = 4, **values: Any) -> dict[str, Any]:
    return dict(api.make(SCOPES, name="scope", ip_version=ip_version, **values))


def pool(api: Any, *prefixes: str, **values: Any) -> dict[str, Any]:
    given = {"name": "pool", "prefixes": list(prefixes or ["198.18.0.0/16"]), "default_prefixlen": 24, **values}
    return dict(api.make(POOLS, **given))


def attach(api: Any, pool_id: str, scope_id: str | None) -> tuple[int, Any]:
    return api.put(f"{POOLS}/{pool_id}", {"subnetpool": {"address_scope_id": scope_id}})  # type: ignore[no-any-return]


def take(api: Any, pool_id: str | None, on: str, **values: Any) -> tuple[int, Any]:
    given = {"network_id": on, "ip_version": 4, "subnetpool_id": pool_id, **values}
    return api.post("subnets", {"subnet": given})  # type: ignore[no-any-return]


# What a scope is.


def test_a_scope(api: Any) -> None:
    made = scope(api)
    assert made == {
        "id": made["id"],
        "name": "scope",
        "project_id": "p1",
        "tenant_id": "p1",
        "shared": False,
        "ip_version": 4,
    }
    assert api.show(SCOPES, made["id"]) == made
    assert api.list(SCOPES) == [made]
    assert api.delete(f"{SCOPES}/{made['id']}")[0] == 204
    assert api.fault(api.get(f"{SCOPES}/{made['id']}")) == (404, "AddressScopeNotFound")


def test_both_spellings_of_the_path(api: Any) -> None:
    made = scope(api)
    assert api.get("address_scopes")[1] == api.get("address-scopes")[1] == {"address_scopes": [made]}


def test_the_ip_version_is_said_once(api: Any) -> None:
    answer = api.post(SCOPES, {"address_scope": {"name": "scope"}})
    assert api.fault(answer) == (400, "HTTPBadRequest")
    answer = api.post(SCOPES, {"address_scope": {"name": "scope", "ip_version": 5}})
    assert api.fault(answer) == (400, "HTTPBadRequest")
    answer = api.put(f"{SCOPES}/{scope(api)['id']}", {"address_scope": {"ip_version": 6}})
    assert api.fault(answer) == (400, "HTTPBadRequest")


def test_a_scope_of_another_project_is_not_there(api: Any) -> None:
    made = scope(api)
    stranger = api.as_("p2")
    assert stranger.list(SCOPES) == []
    for answer in (
        stranger.get(f"{SCOPES}/{made['id']}"),
        stranger.put(f"{SCOPES}/{made['id']}", {"address_scope": {"name": "x"}}),
        stranger.delete(f"{SCOPES}/{made['id']}"),
    ):
        assert api.fault(answer) == (404, "AddressScopeNotFound")


def test_administrators_share_scopes_for_good(api: Any) -> None:
    answer = api.post(SCOPES, {"address_scope": {"ip_version": 4, "shared": True}})
    assert api.fault(answer) == (403, "PolicyNotAuthorized")
    mine = scope(api)
    for shared in (True, False):
        answer = api.put(f"{SCOPES}/{mine['id']}", {"address_scope": {"shared": shared}})
        assert api.fault(answer) == (403, "PolicyNotAuthorized")
    answer = api.admin.put(f"{SCOPES}/{mine['id']}", {"address_scope": {"shared": True, "name": "all"}})
    assert answer[1]["address_scope"]["shared"]
    assert api.as_("p2").show(SCOPES, mine["id"])["name"] == "all"
    answer = api.admin.put(f"{SCOPES}/{mine['id']}", {"address_scope": {"shared": False}})
    assert api.fault(answer) == (400, "AddressScopeUpdateError")


def test_a_scope_shared_from_the_start(api: Any) -> None:
    made = scope(api.admin, shared=True)
    assert made["shared"]
    assert [one["id"] for one in api.list(SCOPES, "shared=true")] == [made["id"]]
    (policy,) = api.admin.list("rbac-policies")
    assert (policy["object_id"], policy["target_tenant"]) == (made["id"], "*")


# Pools in scopes.


def test_a_pool_joins_moves_and_leaves(api: Any) -> None:
    one, other = scope(api), scope(api)
    made = pool(api, address_scope_id=one["id"])
    assert made["address_scope_id"] == one["id"]
    assert attach(api, made["id"], other["id"])[1]["subnetpool"]["address_scope_id"] == other["id"]
    assert attach(api, made["id"], None)[1]["subnetpool"]["address_scope_id"] is None
    assert api.show(POOLS, made["id"])["address_scope_id"] is None


def test_a_scope_with_pools_stays(api: Any) -> None:
    made = scope(api)
    held = pool(api, address_scope_id=made["id"])
    assert api.fault(api.delete(f"{SCOPES}/{made['id']}")) == (409, "AddressScopeInUse")
    assert api.delete(f"{POOLS}/{held['id']}")[0] == 204
    assert api.delete(f"{SCOPES}/{made['id']}")[0] == 204


def test_a_pool_and_its_scope_speak_one_ip_version(api: Any) -> None:
    six = scope(api, 6)
    fault = (400, "IllegalSubnetPoolIpVersionAssociationToAddressScope")
    given = {"name": "pool", "prefixes": ["198.18.0.0/16"], "address_scope_id": six["id"]}
    assert api.fault(api.post(POOLS, {"subnetpool": given})) == fault
    assert api.fault(attach(api, pool(api)["id"], six["id"])) == fault


def test_prefixes_are_unique_in_a_scope(api: Any) -> None:
    made = scope(api)
    first = pool(api, "198.18.0.0/18", address_scope_id=made["id"])
    fault = (409, "AddressScopePrefixConflict")
    given = {"name": "pool", "prefixes": ["203.0.113.0/24", "198.18.1.7/24"], "address_scope_id": made["id"]}
    assert api.fault(api.post(POOLS, {"subnetpool": given})) == fault
    second = pool(api, "198.18.64.0/24", address_scope_id=made["id"])
    answer = api.put(f"{POOLS}/{first['id']}", {"subnetpool": {"prefixes": ["198.18.0.0/16"]}})
    assert api.fault(answer) == fault
    answer = api.put(f"{POOLS}/{second['id']}/add_prefixes", {"prefixes": ["198.18.0.0/24"]})
    assert api.fault(answer) == fault
    apart = pool(api, "198.18.0.0/24")
    assert api.fault(attach(api, apart["id"], made["id"])) == fault


def test_prefixes_stay_unique_against_parallel_requests(api: Any) -> None:
    made = scope(api.admin, shared=True)
    given = {"name": "pool", "prefixes": ["198.18.0.0/16"], "address_scope_id": made["id"]}
    callers = [api.as_(f"p{number}") for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(lambda one: one.post(POOLS, {"subnetpool": given})[0], callers))
    assert sorted(statuses) == [201] + [409] * 7


def test_a_scope_that_one_cannot_see(api: Any) -> None:
    hers = scope(api.admin)
    given = {"name": "pool", "prefixes": ["198.18.0.0/16"], "address_scope_id": hers["id"]}
    assert api.fault(api.post(POOLS, {"subnetpool": given})) == (404, "AddressScopeNotFound")
    assert api.fault(attach(api, pool(api)["id"], hers["id"])) == (404, "AddressScopeNotFound")
    assert api.fault(attach(api, pool(api)["id"], UNKNOWN)) == (404, "AddressScopeNotFound")


def test_a_pool_in_a_shared_scope_is_changed_by_the_owner_of_the_scope(api: Any) -> None:
    made = scope(api.admin, shared=True)
    mine = pool(api, "198.18.0.0/24", address_scope_id=made["id"])
    change = {"subnetpool": {"prefixes": ["198.18.0.0/23"]}}
    path = f"{POOLS}/{mine['id']}"
    assert api.fault(api.put(path, change)) == (400, "IllegalSubnetPoolUpdate")
    assert api.fault(api.put(f"{path}/remove_prefixes", {"prefixes": ["198.18.0.0/25"]})) == (
        400,
        "IllegalSubnetPoolUpdate",
    )
    assert api.admin.put(path, change)[1]["subnetpool"]["prefixes"] == ["198.18.0.0/23"]


# Networks in scopes.


def test_networks_tell_their_scopes(api: Any) -> None:
    four, six = scope(api), scope(api, 6)
    on = api.make("networks")
    assert (on["ipv4_address_scope"], on["ipv6_address_scope"]) == (None, None)
    assert take(api, pool(api, address_scope_id=four["id"])["id"], on["id"])[0] == 201
    of_six = pool(api, "2001:db8::/32", address_scope_id=six["id"], default_prefixlen=64)
    assert take(api, of_six["id"], on["id"], ip_version=6)[0] == 201
    shown = api.show("networks", on["id"])
    assert (shown["ipv4_address_scope"], shown["ipv6_address_scope"]) == (four["id"], six["id"])
    assert [one["ipv4_address_scope"] for one in api.list("networks")] == [four["id"]]


def test_pools_of_one_scope_share_a_network(api: Any) -> None:
    made = scope(api)
    on = api.make("networks")["id"]
    assert take(api, pool(api, address_scope_id=made["id"])["id"], on)[0] == 201
    assert take(api, pool(api, "198.19.0.0/16", address_scope_id=made["id"])["id"], on)[0] == 201


def test_a_network_is_in_one_scope(api: Any) -> None:
    on = api.make("networks")["id"]
    assert take(api, pool(api, address_scope_id=scope(api)["id"])["id"], on)[0] == 201
    fault = (400, "NetworkAddressScopeAffinityError")
    assert api.fault(take(api, pool(api, "198.19.0.0/16", address_scope_id=scope(api)["id"])["id"], on)) == fault
    assert api.fault(take(api, pool(api, "203.0.113.0/24")["id"], on)) == fault
    answer = take(api, None, on, cidr="192.0.2.0/24")
    assert api.fault(answer) == (400, "NetworkSubnetPoolAffinityError")


def test_a_pool_does_not_split_a_network_when_it_moves(api: Any) -> None:
    made, other = scope(api), scope(api)
    on = api.make("networks")["id"]
    one, two = pool(api, address_scope_id=made["id"]), pool(api, "198.19.0.0/16", address_scope_id=made["id"])
    taken = [take(api, held["id"], on)[1]["subnet"] for held in (one, two)]
    for target in (other["id"], None):
        assert api.fault(attach(api, one["id"], target)) == (400, "NetworkAddressScopeAffinityError")
    assert api.delete(f"subnets/{taken[1]['id']}")[0] == 204
    assert attach(api, one["id"], other["id"])[0] == 200
    assert api.show("networks", on)["ipv4_address_scope"] == other["id"]


def test_a_list_costs_the_same_for_10_and_200(api: Any) -> None:
    costs = []
    for upto in (10, 200):
        for _ in range(upto - len(api.list(SCOPES))):
            scope(api)
        with api.statements() as seen:
            assert len(api.list(SCOPES)) == upto
        costs.append(len(seen))
    assert costs[0] == costs[1] <= 2
