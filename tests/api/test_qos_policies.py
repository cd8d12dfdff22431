"""QoS policies: who has them, who sees them, which is the default, what holds them."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.api.conftest import Api

POLICIES = "qos/policies"


@pytest.fixture
def policy(api: Api) -> dict[str, Any]:
    return api.admin.make(POLICIES, name="gold", project_id="p1")


def test_a_new_policy(api: Api) -> None:
    made = api.admin.make(POLICIES, name="gold", description="fast")
    assert made.pop("id") and made.pop("created_at") and made.pop("updated_at")
    assert made == {
        "name": "gold",
        "description": "fast",
        "project_id": "admin",
        "tenant_id": "admin",
        "shared": False,
        "is_default": False,
        "rules": [],
        "tags": [],
        "revision_number": 0,
    }


def test_administrators_and_managers_make_policies(api: Api) -> None:
    body = {"policy": {"name": "gold"}}
    assert api.fault(api.post(POLICIES, body)) == (403, "PolicyNotAuthorized")
    assert api.as_("p1", "manager,member,reader").post(POLICIES, body)[0] == 201
    made = api.admin.make(POLICIES, project_id="p1")
    change = {"policy": {"name": "silver"}}
    assert api.fault(api.put(f"{POLICIES}/{made['id']}", change)) == (403, "PolicyNotAuthorized")
    assert api.fault(api.delete(f"{POLICIES}/{made['id']}")) == (403, "PolicyNotAuthorized")


def test_policies_are_seen_by_their_project(api: Api, policy: dict[str, Any]) -> None:
    assert api.show(POLICIES, policy["id"]) == policy
    assert [one["id"] for one in api.list(POLICIES)] == [policy["id"]]
    other = api.as_("p2")
    assert other.list(POLICIES) == []
    assert other.fault(other.get(f"{POLICIES}/{policy['id']}")) == (404, "QosPolicyNotFound")
    assert other.fault(other.put(f"{POLICIES}/{policy['id']}", {"policy": {}})) == (404, "QosPolicyNotFound")


def test_both_paths_lead_to_a_policy(api: Api, policy: dict[str, Any]) -> None:
    assert api.show("policies", policy["id"]) == policy
    assert api.admin.put(f"policies/{policy['id']}/tags/a", None)[0] == 201
    assert api.get(f"qos/policies/{policy['id']}/tags") == (200, {"tags": ["a"]})
    assert api.show(POLICIES, policy["id"])["revision_number"] == 1


def test_several_at_once(api: Api) -> None:
    status, body = api.admin.post(POLICIES, {"policies": [{"name": "a"}, {"name": "b"}]})
    assert (status, [one["name"] for one in body["policies"]]) == (201, ["a", "b"])


# Sharing.


def test_a_policy_shared_with_everybody(api: Api) -> None:
    made = api.admin.make(POLICIES, name="gold", shared=True)
    other = api.as_("p2")
    assert other.show(POLICIES, made["id"]) == made
    assert [one["id"] for one in other.list(POLICIES, "shared=true")] == [made["id"]]
    (grant,) = api.admin.list("rbac-policies", "object_type=qos_policy")
    assert (grant["object_id"], grant["target_tenant"], grant["action"]) == (made["id"], "*", "access_as_shared")
    assert api.admin.put(f"{POLICIES}/{made['id']}", {"policy": {"shared": False}})[1]["policy"]["shared"] is False
    assert other.fault(other.get(f"{POLICIES}/{made['id']}")) == (404, "QosPolicyNotFound")
    assert api.admin.list("rbac-policies") == []


def test_a_policy_shared_with_one_project(api: Api) -> None:
    made, target = api.admin.make(POLICIES), uuid4().hex
    grant = api.admin.make(
        "rbac-policies",
        object_type="qos_policy",
        object_id=made["id"],
        action="access_as_shared",
        target_tenant=target,
    )
    friend = api.as_(target)
    assert friend.show(POLICIES, made["id"])["shared"] is True
    assert api.as_("p2").list(POLICIES) == []
    friend.make("networks", qos_policy_id=made["id"])
    used = api.admin.delete(f"rbac-policies/{grant['id']}")
    assert api.fault(used) == (409, "RbacPolicyInUse")


def test_a_policy_in_use_stays_shared_even_for_its_owner(api: Api) -> None:
    """The public suites count on it."""
    made = api.admin.make(POLICIES, shared=True)
    net = api.admin.make("networks", qos_policy_id=made["id"])
    unshare = {"policy": {"shared": False}}
    assert api.fault(api.admin.put(f"{POLICIES}/{made['id']}", unshare)) == (409, "RbacPolicyInUse")
    assert api.admin.put(f"{POLICIES}/{made['id']}", {"policy": {"shared": True, "name": "x"}})[0] == 200
    assert api.admin.delete(f"networks/{net['id']}")[0] == 204
    assert api.admin.put(f"{POLICIES}/{made['id']}", unshare)[0] == 200


def test_not_sharing_what_never_was_shared_is_no_change(api: Api) -> None:
    made = api.admin.make(POLICIES)
    api.admin.make("networks", qos_policy_id=made["id"])
    assert api.admin.put(f"{POLICIES}/{made['id']}", {"policy": {"shared": False}})[0] == 200


# The default policy.


def test_new_networks_have_their_projects_default_policy(api: Api, policy: dict[str, Any]) -> None:
    default = api.admin.make(POLICIES, project_id="p1", is_default=True)
    assert api.make("networks")["qos_policy_id"] == default["id"]
    assert api.make("networks", qos_policy_id=None)["qos_policy_id"] is None
    assert api.make("networks", qos_policy_id=policy["id"])["qos_policy_id"] == policy["id"]
    assert api.as_("p2").make("networks")["qos_policy_id"] is None


def test_a_project_has_one_default_policy(api: Api, policy: dict[str, Any]) -> None:
    default = api.admin.make(POLICIES, project_id="p1", is_default=True)
    second = api.admin.post(POLICIES, {"policy": {"project_id": "p1", "is_default": True}})
    assert api.fault(second) == (409, "QoSPolicyDefaultAlreadyExists")
    change = {"policy": {"is_default": True}}
    assert api.fault(api.admin.put(f"{POLICIES}/{policy['id']}", change)) == (409, "QoSPolicyDefaultAlreadyExists")
    assert api.admin.put(f"{POLICIES}/{default['id']}", change)[0] == 200
    assert api.admin.make(POLICIES, project_id="p2", is_default=True)["is_default"] is True
    assert api.admin.put(f"{POLICIES}/{default['id']}", {"policy": {"is_default": False}})[0] == 200
    assert api.admin.put(f"{POLICIES}/{policy['id']}", change)[0] == 200


# Use.


def test_networks_and_ports_have_policies(api: Api, policy: dict[str, Any]) -> None:
    net = api.make("networks", qos_policy_id=policy["id"])
    port = api.make("ports", network_id=net["id"])
    assert (port["qos_policy_id"], port["qos_network_policy_id"]) == (None, policy["id"])
    own = api.admin.make(POLICIES, project_id="p1")
    status, body = api.put(f"ports/{port['id']}", {"port": {"qos_policy_id": own["id"]}})
    assert (status, body["port"]["qos_policy_id"], body["port"]["qos_network_policy_id"]) == (
        200,
        own["id"],
        policy["id"],
    )
    assert body["port"]["revision_number"] == port["revision_number"] + 1
    assert api.show("ports", port["id"]) == body["port"]
    assert api.put(f"networks/{net['id']}", {"network": {"qos_policy_id": None}})[1]["network"]["qos_policy_id"] is None
    assert api.show("ports", port["id"])["qos_network_policy_id"] is None


@pytest.mark.parametrize("kind", ["networks", "ports"])
def test_a_policy_must_be_seen_to_be_used(api: Api, kind: str) -> None:
    hidden = api.admin.make(POLICIES)["id"]
    net = api.make("networks")["id"]
    values = {} if kind == "networks" else {"network_id": net}
    for id in (hidden, str(uuid4())):
        asked = api.post(kind, {kind[:-1]: {**values, "qos_policy_id": id}})
        assert api.fault(asked) == (404, "QosPolicyNotFound")
        made = api.make(kind, **values)
        assert api.fault(api.put(f"{kind}/{made['id']}", {kind[:-1]: {"qos_policy_id": id}})) == (
            404,
            "QosPolicyNotFound",
        )


@pytest.mark.parametrize("kind", ["networks", "ports"])
def test_what_an_administrator_attached_stays(api: Api, policy: dict[str, Any], kind: str) -> None:
    hidden = api.admin.make(POLICIES)["id"]
    made = api.make(kind, **({} if kind == "networks" else {"network_id": api.make("networks")["id"]}))
    path, one = f"{kind}/{made['id']}", kind[:-1]
    assert api.admin.put(path, {one: {"qos_policy_id": hidden}})[0] == 200
    for other in (None, policy["id"]):
        assert api.fault(api.put(path, {one: {"qos_policy_id": other}})) == (403, "PolicyRemoveAuthorizationError")
    assert api.put(path, {one: {"qos_policy_id": hidden, "name": "x"}})[0] == 200
    assert api.admin.put(f"{POLICIES}/{hidden}", {"policy": {"shared": True}})[0] == 200
    assert api.put(path, {one: {"qos_policy_id": None}})[0] == 200


def test_ports_come_to_be_on_networks_whose_policy_is_hidden(api: Api) -> None:
    hidden = api.admin.make(POLICIES)["id"]
    net = api.admin.make("networks", project_id="p1", qos_policy_id=hidden)
    assert api.make("ports", network_id=net["id"])["qos_network_policy_id"] == hidden


def test_a_policy_in_use_cannot_go(api: Api, policy: dict[str, Any]) -> None:
    gone = f"{POLICIES}/{policy['id']}"
    net = api.make("networks", qos_policy_id=policy["id"])
    used = api.admin.delete(gone)
    assert api.fault(used) == (409, "QosPolicyInUse")
    assert used[1]["NeutronError"]["message"] == f"QoS Policy {policy['id']} is used by network {net['id']}."
    port = api.make("ports", network_id=net["id"], qos_policy_id=policy["id"])
    assert api.put(f"networks/{net['id']}", {"network": {"qos_policy_id": None}})[0] == 200
    assert f"port {port['id']}" in api.admin.delete(gone)[1]["NeutronError"]["message"]
    assert api.delete(f"ports/{port['id']}")[0] == 204
    assert api.admin.delete(gone)[0] == 204


def test_a_list_of_policies_is_a_constant_number_of_statements(api: Api) -> None:
    def cost() -> int:
        with api.statements() as seen:
            api.list(POLICIES)
        return len(seen)

    def more(count: int) -> None:
        for _ in range(count):
            made = api.admin.make(POLICIES, project_id="p1")
            rule = {"bandwidth_limit_rule": {"max_kbps": 1000}}
            assert api.admin.post(f"{POLICIES}/{made['id']}/bandwidth_limit_rules", rule)[0] == 201

    more(1)
    few = cost()
    more(9)
    assert cost() == few
