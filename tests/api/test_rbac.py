"""RBAC policies: who shares what with whom, what that lets them do, and when it cannot be taken back."""

from __future__ import annotations

from typing import Any

import pytest

POLICIES = "rbac-policies"
UNKNOWN = "6f3d1c3e-0000-4000-8000-000000000000"
MINE, OTHER, THIRD = "1" * 32, "2" * 32, "3" * 32


@pytest.fixture
def mine(api: Any) -> Any:
    return api.as_(MINE)


@pytest.fixture
def other(api: Any) -> Any:
    return api.as_(OTHER)


def body(object_id: str, target: str, object_type: str = "network", action: str = "access_as_shared") -> dict[str, Any]:
    values = {"object_type": object_type, "object_id": object_id, "action": action, "target_tenant": target}
    return {"rbac_policy": values}


def share(api: Any, object_id: str, target: str, *more: str) -> dict[str, Any]:
    status, answer = api.post(POLICIES, body(object_id, target, *more))
    assert status == 201, answer
    return dict(answer["rbac_policy"])


def retarget(api: Any, policy: dict[str, Any], target: str) -> tuple[int, Any]:
    return api.put(f"{POLICIES}/{policy['id']}", {"rbac_policy": {"target_tenant": target}})  # type: ignore[no-any-return]


def drop(api: Any, policy: dict[str, Any]) -> tuple[int, Any]:
    return api.delete(f"{POLICIES}/{policy['id']}")  # type: ignore[no-any-return]


def used(api: Any) -> int:
    return int(api.get(f"quotas/{api.project}/details")[1]["quota"]["rbac_policy"]["used"])


# What a policy is.


def test_a_policy(mine: Any) -> None:
    on = mine.make("networks")
    made = share(mine, on["id"], OTHER)
    assert made == {
        "id": made["id"],
        "object_type": "network",
        "object_id": on["id"],
        "target_tenant": OTHER,
        "action": "access_as_shared",
        "project_id": MINE,
        "tenant_id": MINE,
    }
    assert mine.get(f"{POLICIES}/{made['id']}")[1] == {"rbac_policy": made}
    assert mine.list(POLICIES) == [made]
    assert drop(mine, made)[0] == 204
    status, answer = mine.get(f"{POLICIES}/{made['id']}")
    assert (status, answer["NeutronError"]["type"]) == (404, "RbacPolicyNotFound")
    assert "of type unknown" in answer["NeutronError"]["message"]


def test_fields_and_filters(mine: Any) -> None:
    on = mine.make("networks")["id"]
    one, two = share(mine, on, OTHER), share(mine, on, THIRD)
    assert mine.list(POLICIES, f"id={two['id']}") == [two]
    assert mine.list(POLICIES, f"target_tenant={OTHER}&object_type=network") == [one]
    (first, _) = mine.list(POLICIES, "fields=object_type&fields=object_id")
    assert first == {"object_type": "network", "object_id": on}


def test_lists_have_no_pages(mine: Any) -> None:
    on = mine.make("networks")["id"]
    share(mine, on, OTHER)
    share(mine, on, THIRD)
    status, answer = mine.get(f"{POLICIES}?limit=1")
    assert (status, list(answer), len(answer["rbac_policies"])) == (200, ["rbac_policies"], 2)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"object_type": "router"}, "InvalidInput"),
        ({"object_type": None}, "InvalidInput"),
        ({"action": "access_as_owner"}, "InvalidActionForType"),
        ({"target_tenant": "p2"}, "InvalidInput"),
        ({"target_tenant": None}, "HTTPBadRequest"),
        ({"target_tenant": "1234" * 100}, "HTTPBadRequest"),
        ({"object_id": "x"}, "HTTPBadRequest"),
        ({"object_id": UNKNOWN}, "InvalidInput"),
    ],
)
def test_what_a_policy_may_not_be(mine: Any, change: dict[str, Any], fault: str) -> None:
    values = {**body(mine.make("networks")["id"], OTHER)["rbac_policy"], **change}
    assert mine.fault(mine.post(POLICIES, {"rbac_policy": values})) == (400, fault)


def test_only_networks_are_shared_as_external(mine: Any) -> None:
    group = mine.make("security-groups", name="web")["id"]
    answer = mine.post(POLICIES, body(group, OTHER, "security_group", "access_as_external"))
    assert mine.fault(answer) == (400, "InvalidActionForType")
    assert "('access_as_shared',)" in answer[1]["NeutronError"]["message"]


def test_a_policy_exists_once(mine: Any) -> None:
    on = mine.make("networks")["id"]
    first, second = share(mine, on, OTHER), share(mine, on, THIRD)
    assert mine.fault(mine.post(POLICIES, body(on, OTHER))) == (409, "DuplicateRbacPolicy")
    assert mine.fault(retarget(mine, second, OTHER)) == (409, "DuplicateRbacPolicy")
    assert retarget(mine, first, OTHER) == (200, {"rbac_policy": first})


def test_only_the_target_changes(mine: Any) -> None:
    made = share(mine, mine.make("networks")["id"], OTHER)
    assert retarget(mine, made, THIRD) == (200, {"rbac_policy": {**made, "target_tenant": THIRD}})
    answer = mine.put(f"{POLICIES}/{made['id']}", {"rbac_policy": {"action": "access_as_external"}})
    assert mine.fault(answer) == (400, "HTTPBadRequest")


def test_policies_are_their_owners(mine: Any, other: Any) -> None:
    made = share(mine, mine.make("networks")["id"], OTHER)
    assert other.list(POLICIES) == []
    assert other.fault(other.get(f"{POLICIES}/{made['id']}")) == (404, "RbacPolicyNotFound")
    assert other.fault(drop(other, made)) == (404, "RbacPolicyNotFound")


# Who may share.


def test_only_owners_share(mine: Any, other: Any) -> None:
    on = mine.make("networks")["id"]
    assert other.fault(other.post(POLICIES, body(on, OTHER))) == (400, "InvalidInput")
    share(mine, on, OTHER)
    status, answer = other.post(POLICIES, body(on, THIRD))
    assert (status, answer["NeutronError"]["type"]) == (400, "InvalidInput")
    assert "Only admins can manipulate policies" in answer["NeutronError"]["message"]
    assert share(mine.admin, on, THIRD)["project_id"] == "admin"


def test_only_administrators_share_with_everybody(mine: Any) -> None:
    on = mine.make("networks")["id"]
    assert mine.fault(mine.post(POLICIES, body(on, "*"))) == (403, "PolicyNotAuthorized")
    assert mine.fault(retarget(mine, share(mine, on, OTHER), "*")) == (403, "PolicyNotAuthorized")
    assert share(mine.admin, on, "*")["target_tenant"] == "*"


def test_policies_are_counted_and_limited(mine: Any) -> None:
    on = mine.make("networks")["id"]
    for number in range(10):
        share(mine, on, f"{number:032}")
    assert mine.fault(mine.post(POLICIES, body(on, OTHER))) == (409, "OverQuota")
    assert used(mine) == 10


@pytest.mark.parametrize(
    ("object_type", "collection", "values"),
    [
        ("network", "networks", {}),
        ("security_group", "security-groups", {"name": "web"}),
        ("address_group", "address-groups", {"name": "web"}),
        ("address_scope", "address-scopes", {"name": "web", "ip_version": 4}),
        ("subnetpool", "subnetpools", {"name": "web", "prefixes": ["198.18.0.0/16"]}),
    ],
)
def test_sharing_shows_an_object_to_its_target(
    mine: Any, other: Any, api: Any, object_type: str, collection: str, values: dict[str, Any]
) -> None:
    made = mine.make(collection, **values)
    path = f"{collection}/{made['id']}"
    assert other.get(path)[0] == 404
    policy = share(mine, made["id"], OTHER, object_type)
    assert other.get(path)[0] == 200
    assert api.as_(THIRD).get(path)[0] == 404
    assert retarget(mine, policy, THIRD)[0] == 200
    assert other.get(path)[0] == 404
    assert api.as_(THIRD).get(path)[0] == 200
    assert drop(mine, policy)[0] == 204
    assert api.as_(THIRD).get(path)[0] == 404


def test_an_object_takes_its_policies_along(mine: Any) -> None:
    for object_type, collection, values in (
        ("network", "networks", {}),
        ("security_group", "security-groups", {"name": "web"}),
        ("address_group", "address-groups", {"name": "web"}),
        ("address_scope", "address-scopes", {"name": "web", "ip_version": 4}),
        ("subnetpool", "subnetpools", {"name": "web", "prefixes": ["198.18.0.0/16"]}),
    ):
        made = mine.make(collection, **values)
        share(mine, made["id"], OTHER, object_type)
        share(mine, made["id"], THIRD, object_type)
        assert used(mine) == 2
        assert mine.delete(f"{collection}/{made['id']}")[0] == 204
        assert (mine.list(POLICIES), used(mine)) == ([], 0)


# Networks.


def test_a_target_uses_a_network_and_does_not_own_it(mine: Any, other: Any) -> None:
    on = mine.make("networks")["id"]
    mine.make("subnets", network_id=on, ip_version=4, cidr="198.18.0.0/24")
    share(mine, on, OTHER)
    assert other.show("networks", on)["shared"]
    assert not mine.show("networks", on)["shared"]
    assert [one["id"] for one in other.list("networks", "shared=true")] == [on]
    assert len(other.list("subnets")) == 1
    made = other.make("ports", network_id=on)
    assert other.fault(other.put(f"networks/{on}", {"network": {"name": "x"}})) == (403, "PolicyNotAuthorized")
    assert other.fault(other.delete(f"networks/{on}")) == (403, "PolicyNotAuthorized")
    assert mine.delete(f"ports/{made['id']}")[0] == 204


def test_policies_bump_the_revision_of_their_network(mine: Any) -> None:
    on = mine.make("networks")["id"]
    revisions = [mine.show("networks", on)["revision_number"]]
    made = share(mine, on, OTHER)
    revisions.append(mine.show("networks", on)["revision_number"])
    retarget(mine, made, THIRD)
    revisions.append(mine.show("networks", on)["revision_number"])
    drop(mine, made)
    revisions.append(mine.show("networks", on)["revision_number"])
    assert revisions == sorted(set(revisions))


def test_a_shared_network_is_one_with_a_policy_for_everybody(mine: Any) -> None:
    on = mine.admin.make("networks", shared=True)
    (policy,) = mine.admin.list(POLICIES)
    assert (policy["object_id"], policy["target_tenant"], policy["action"]) == (on["id"], "*", "access_as_shared")
    assert used(mine.admin) == 1
    assert mine.admin.put(f"networks/{on['id']}", {"network": {"shared": False}})[0] == 200
    assert (mine.admin.list(POLICIES), used(mine.admin)) == ([], 0)
    share(mine.admin, on["id"], "*")
    assert mine.show("networks", on["id"])["shared"]


def test_ports_hold_the_policy_that_they_need(mine: Any, other: Any) -> None:
    on = mine.make("networks")["id"]
    policy = share(mine, on, OTHER)
    port = other.make("ports", network_id=on)
    assert mine.fault(drop(mine, policy)) == (409, "RbacPolicyInUse")
    assert mine.fault(retarget(mine, policy, THIRD)) == (409, "RbacPolicyInUse")
    assert other.delete(f"ports/{port['id']}")[0] == 204
    assert drop(mine, policy)[0] == 204


def test_subnets_hold_the_policy_that_they_need(mine: Any) -> None:
    on = mine.make("networks")["id"]
    policy = share(mine, on, OTHER)
    mine.admin.make("subnets", network_id=on, ip_version=4, cidr="198.18.0.0/24", project_id=OTHER)
    assert mine.fault(drop(mine, policy)) == (409, "RbacPolicyInUse")


def test_another_policy_may_give_what_one_takes(mine: Any, other: Any) -> None:
    on = mine.make("networks")["id"]
    own = share(mine, on, OTHER)
    everybodys = share(mine.admin, on, "*")
    other.make("ports", network_id=on)
    assert drop(mine, own)[0] == 204
    assert mine.fault(drop(mine.admin, everybodys)) == (409, "RbacPolicyInUse")
    assert mine.fault(retarget(mine.admin, everybodys, THIRD)) == (409, "RbacPolicyInUse")
    assert mine.fault(retarget(mine.admin, everybodys, OTHER)) == (409, "RbacPolicyInUse")
    share(mine, on, OTHER)
    assert drop(mine.admin, everybodys)[0] == 204


def test_a_policy_may_become_one_for_everybody_while_it_is_used(mine: Any, other: Any) -> None:
    on = mine.make("networks")["id"]
    policy = share(mine, on, OTHER)
    other.make("ports", network_id=on)
    assert retarget(mine.admin, policy, "*")[0] == 200


def test_owners_need_no_policy(mine: Any) -> None:
    on = mine.make("networks")["id"]
    one, two = share(mine, on, MINE), share(mine, on, THIRD)
    mine.make("ports", network_id=on)
    assert drop(mine, one)[0] == 204
    assert drop(mine, two)[0] == 204


def test_unsharing_a_network_in_use(mine: Any, other: Any) -> None:
    on = mine.admin.make("networks", shared=True)["id"]
    other.make("ports", network_id=on)
    unshare = {"network": {"shared": False}}
    assert mine.fault(mine.admin.put(f"networks/{on}", unshare)) == (409, "InvalidSharedSetting")
    share(mine.admin, on, OTHER)
    assert mine.admin.put(f"networks/{on}", unshare)[0] == 200


# External networks.


def test_a_policy_makes_a_network_external_and_back(mine: Any, other: Any) -> None:
    on = mine.make("networks")["id"]
    policy = share(mine, on, OTHER, "network", "access_as_external")
    assert mine.show("networks", on)["router:external"]
    shown = other.show("networks", on)
    assert (shown["router:external"], shown["shared"]) == (True, False)
    second = share(mine, on, THIRD, "network", "access_as_external")
    assert drop(mine, policy)[0] == 204
    assert mine.show("networks", on)["router:external"]
    assert drop(mine, second)[0] == 204
    assert not mine.show("networks", on)["router:external"]


def test_an_external_network_is_one_with_a_policy_for_everybody(mine: Any) -> None:
    on = mine.admin.make("networks", **{"router:external": True})["id"]
    (policy,) = mine.admin.list(POLICIES)
    assert (policy["target_tenant"], policy["action"]) == ("*", "access_as_external")
    share(mine.admin, on, OTHER, "network", "access_as_external")
    assert mine.admin.put(f"networks/{on}", {"network": {"router:external": False}})[0] == 200
    assert mine.admin.list(POLICIES) == []


def test_the_default_external_network_is_everybodys(mine: Any) -> None:
    mine.admin.make("networks", **{"router:external": True, "is_default": True})
    (policy,) = mine.admin.list(POLICIES)
    assert mine.fault(drop(mine.admin, policy)) == (409, "RbacPolicyInUse")
    assert mine.fault(retarget(mine.admin, policy, OTHER)) == (409, "RbacPolicyInUse")


def test_routers_hold_the_policy_that_they_need(mine: Any, other: Any) -> None:
    on = mine.make("networks")["id"]
    mine.make("subnets", network_id=on, ip_version=4, cidr="198.18.0.0/24")
    policy = share(mine, on, OTHER, "network", "access_as_external")
    router = other.make("routers", external_gateway_info={"network_id": on})
    assert mine.fault(drop(mine, policy)) == (409, "RbacPolicyInUse")
    assert mine.fault(retarget(mine, policy, THIRD)) == (409, "RbacPolicyInUse")
    assert retarget(mine.admin, policy, "*")[0] == 200
    assert mine.fault(retarget(mine.admin, policy, THIRD)) == (409, "RbacPolicyInUse")
    assert retarget(mine.admin, policy, OTHER)[0] == 200
    assert other.delete(f"routers/{router['id']}")[0] == 204
    assert drop(mine, policy)[0] == 204


# Everything else.


def test_ports_hold_the_policy_of_their_security_group(mine: Any, other: Any) -> None:
    group = mine.make("security-groups", name="web")["id"]
    policy = share(mine, group, OTHER, "security_group")
    port = other.make("ports", network_id=other.make("networks")["id"], security_groups=[group])
    assert mine.fault(drop(mine, policy)) == (409, "RbacPolicyInUse")
    assert other.put(f"ports/{port['id']}", {"port": {"security_groups": []}})[0] == 200
    assert drop(mine, policy)[0] == 204


def test_rules_hold_the_policy_of_their_address_group(mine: Any, other: Any) -> None:
    addresses = mine.make("address-groups", name="web", addresses=["198.18.0.0/24"])["id"]
    policy = share(mine, addresses, OTHER, "address_group")
    group = other.make("security-groups", name="web")["id"]
    rule = other.make(
        "security-group-rules", security_group_id=group, direction="ingress", remote_address_group_id=addresses
    )
    assert mine.fault(drop(mine, policy)) == (409, "RbacPolicyInUse")
    assert other.delete(f"security-group-rules/{rule['id']}")[0] == 204
    assert drop(mine, policy)[0] == 204


def test_pools_hold_the_policy_of_their_scope(mine: Any, other: Any) -> None:
    scope = mine.make("address-scopes", name="web", ip_version=4)["id"]
    policy = share(mine, scope, OTHER, "address_scope")
    pool = other.make("subnetpools", name="web", prefixes=["198.18.0.0/16"], address_scope_id=scope)
    assert mine.fault(drop(mine, policy)) == (409, "RbacPolicyInUse")
    assert mine.fault(retarget(mine, policy, THIRD)) == (409, "RbacPolicyInUse")
    assert other.delete(f"subnetpools/{pool['id']}")[0] == 204
    assert drop(mine, policy)[0] == 204


def test_subnets_hold_the_policy_of_their_pool(mine: Any, other: Any) -> None:
    pool = mine.make("subnetpools", name="web", prefixes=["198.18.0.0/16"], default_prefixlen=24)["id"]
    policy = share(mine, pool, OTHER, "subnetpool")
    on = other.make("networks")["id"]
    taken = other.make("subnets", network_id=on, ip_version=4, subnetpool_id=pool)
    assert mine.fault(drop(mine, policy)) == (409, "RbacPolicyInUse")
    assert other.delete(f"subnets/{taken['id']}")[0] == 204
    assert drop(mine, policy)[0] == 204


def test_a_pool_is_shared_with_whom_its_scope_is(mine: Any) -> None:
    scope = mine.make("address-scopes", name="web", ip_version=4)["id"]
    pool = mine.make("subnetpools", name="web", prefixes=["198.18.0.0/16"], address_scope_id=scope)["id"]
    assert mine.fault(mine.post(POLICIES, body(pool, OTHER, "subnetpool"))) == (400, "InvalidInput")
    share(mine, scope, OTHER, "address_scope")
    policy = share(mine, pool, OTHER, "subnetpool")
    assert mine.fault(retarget(mine, policy, THIRD)) == (400, "InvalidInput")
    share(mine.admin, scope, "*", "address_scope")
    assert retarget(mine, policy, THIRD)[0] == 200


def test_a_list_costs_the_same_for_10_and_200(mine: Any) -> None:
    on = mine.make("networks")["id"]
    mine.admin.put("quotas/admin", {"quota": {"rbac_policy": -1}})
    costs = []
    for upto in (10, 200):
        for number in range(len(mine.admin.list(POLICIES)), upto):
            share(mine.admin, on, f"{number:032}")
        with mine.admin.statements() as seen:
            assert len(mine.admin.list(POLICIES)) == upto
        costs.append(len(seen))
    assert costs[0] == costs[1] <= 2
