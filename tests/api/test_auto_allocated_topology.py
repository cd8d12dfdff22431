"""Auto-allocated topologies: one GET and a project has a network that leads outside."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

PATH = "auto-allocated-topology"


@pytest.fixture
def ready(api: Any) -> Any:
    """The caller, in an installation with a default external network and a default pool for each IP version."""
    outside = api.admin.make("networks", **{"router:external": True, "is_default": True})
    api.admin.make("subnets", network_id=outside["id"], ip_version=4, cidr="203.0.113.0/24")
    for prefix, length in (("198.18.0.0/16", 26), ("2001:db8::/32", 64)):
        values = {"name": "pool", "prefixes": [prefix], "default_prefixlen": length, "is_default": True, "shared": True}
        api.admin.make("subnetpools", **values)
    return api


def get(api: Any, project: str = "None", query: str = "") -> tuple[int, Any]:
    return api.get(f"{PATH}/{project}{query}")  # type: ignore[no-any-return]


def test_the_first_get_builds(ready: Any) -> None:
    status, body = get(ready)
    assert status == 200
    (network,) = [one for one in ready.list("networks") if one["project_id"] == "p1"]
    assert body == {"auto_allocated_topology": {"id": network["id"], "project_id": "p1", "tenant_id": "p1"}}
    assert (network["name"], network["admin_state_up"]) == ("auto_allocated_network", True)
    subnets = sorted(ready.list("subnets", f"network_id={network['id']}"), key=lambda one: one["ip_version"])
    assert [one["name"] for one in subnets] == ["auto_allocated_subnet_v4", "auto_allocated_subnet_v6"]
    assert [one["cidr"] for one in subnets] == ["198.18.0.0/26", "2001:db8::/64"]
    (router,) = ready.list("routers")
    assert router["name"] == "auto_allocated_router"
    assert router["external_gateway_info"]["external_fixed_ips"]
    legs = ready.list("ports", f"device_id={router['id']}&network_id={network['id']}")
    assert {fixed["subnet_id"] for leg in legs for fixed in leg["fixed_ips"]} == {one["id"] for one in subnets}


def test_later_gets_find(ready: Any) -> None:
    first = get(ready)
    with ready.statements() as seen:
        assert get(ready) == first
    assert len(seen) == 1
    assert get(ready, "p1") == get(ready.admin, "p1") == first
    assert len([one for one in ready.list("networks") if one["project_id"] == "p1"]) == 1


def test_both_spellings_of_the_path(ready: Any) -> None:
    assert ready.get("auto_allocated_topology/p1") == get(ready)


def test_gets_at_once_build_once(ready: Any) -> None:
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: get(ready), range(4)))
    assert [status for status, _ in found] == [200] * 4
    assert len({body["auto_allocated_topology"]["id"] for _, body in found}) == 1
    assert len(ready.list("routers")) == 1


def test_a_dry_run_only_looks(ready: Any) -> None:
    expected = {"auto_allocated_topology": {"id": "dry-run=pass", "project_id": "p1"}}
    assert get(ready, query="?fields=dry-run") == (200, expected)
    assert ready.list("routers") == []
    assert ready.fault(get(ready, query="?fields=id")) == (400, "BadRequest")


def test_without_a_default_external_network(api: Any) -> None:
    for query in ("", "?fields=dry-run"):
        status, body = get(api, query=query)
        assert (status, body["NeutronError"]["type"]) == (409, "AutoAllocationFailure")
        assert "No default router:external network." in body["NeutronError"]["message"]


def test_without_a_default_pool(api: Any) -> None:
    api.admin.make("networks", **{"router:external": True, "is_default": True})
    for query in ("", "?fields=dry-run"):
        status, body = get(api, query=query)
        assert (status, body["NeutronError"]["type"]) == (409, "AutoAllocationFailure")
        assert "No default subnetpools defined" in body["NeutronError"]["message"]


def test_a_failure_leaves_nothing(ready: Any) -> None:
    (four,) = ready.list("subnetpools", "ip_version=4")
    on = ready.admin.make("networks")["id"]
    ready.admin.make("subnets", network_id=on, ip_version=4, subnetpool_id=four["id"], prefixlen=16)
    status, body = get(ready)
    assert (status, body["NeutronError"]["type"]) == (409, "AutoAllocationFailure")
    assert "Unable to provide project private network" in body["NeutronError"]["message"]
    assert [one for one in ready.list("networks") if one["project_id"] == "p1"] == []


def test_without_an_address_outside(ready: Any) -> None:
    (outside,) = ready.admin.list("subnets")
    pools = [{"start": "203.0.113.10", "end": "203.0.113.10"}]
    assert ready.admin.put(f"subnets/{outside['id']}", {"subnet": {"allocation_pools": pools}})[0] == 200
    ready.admin.make("ports", network_id=outside["network_id"])
    status, body = get(ready)
    assert (status, body["NeutronError"]["type"]) == (409, "AutoAllocationFailure")
    assert "Unable to provide external connectivity: No more IP addresses" in body["NeutronError"]["message"]
    assert ready.list("routers") == []


def test_limits_hold(ready: Any) -> None:
    ready.admin.put("quotas/p1", {"quota": {"router": 0}})
    assert ready.fault(get(ready)) == (409, "OverQuota")
    assert [one for one in ready.list("networks") if one["project_id"] == "p1"] == []


def test_another_projects_topology(ready: Any) -> None:
    assert ready.fault(get(ready, "p2")) == (403, "NotAuthorized")
    assert ready.fault(ready.delete(f"{PATH}/p2")) == (403, "NotAuthorized")
    assert get(ready.admin, "p2")[1]["auto_allocated_topology"]["project_id"] == "p2"
    assert len(ready.as_("p2").list("routers")) == 1


def test_deleting_leaves_nothing(ready: Any) -> None:
    get(ready)
    assert ready.delete(f"{PATH}/None") == (204, None)
    assert ready.list("routers") == []
    assert [one for one in ready.list("networks") if one["project_id"] == "p1"] == []
    assert ready.admin.list("ports") == []
    assert ready.delete(f"{PATH}/None") == (204, None)
    assert get(ready)[0] == 200


def test_a_topology_in_use_stays_whole(ready: Any) -> None:
    inside = get(ready)[1]["auto_allocated_topology"]["id"]
    port = ready.make("ports", network_id=inside)
    assert ready.fault(ready.delete(f"{PATH}/None"))[0] == 409
    assert len(ready.list("routers")) == 1
    assert ready.delete(f"ports/{port['id']}")[0] == 204
    assert ready.delete(f"{PATH}/None")[0] == 204


def test_a_topology_taken_apart_by_hand_is_built_anew(ready: Any) -> None:
    first = get(ready)[1]["auto_allocated_topology"]["id"]
    (router,) = ready.list("routers")
    for one in ready.list("subnets", f"network_id={first}"):
        ready.put(f"routers/{router['id']}/remove_router_interface", {"subnet_id": one["id"]})
    assert ready.delete(f"networks/{first}")[0] == 204
    assert get(ready)[1]["auto_allocated_topology"]["id"] != first


def test_the_subnets_own_router_is_gone_but_not_the_network(ready: Any) -> None:
    inside = get(ready)[1]["auto_allocated_topology"]["id"]
    (router,) = ready.list("routers")
    for one in ready.list("subnets", f"network_id={inside}"):
        ready.put(f"routers/{router['id']}/remove_router_interface", {"subnet_id": one["id"]})
    assert ready.delete(f"routers/{router['id']}")[0] == 204
    assert get(ready)[1]["auto_allocated_topology"]["id"] == inside
    assert ready.delete(f"{PATH}/None")[0] == 204
    assert [one for one in ready.list("networks") if one["project_id"] == "p1"] == []
