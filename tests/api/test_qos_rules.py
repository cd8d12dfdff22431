"""QoS rules: what they say, which go together, their two addresses, their types."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.api.conftest import Answer, Api

POLICIES = "qos/policies"
KINDS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "bandwidth_limit": (
        "bandwidth_limit_rules",
        {"max_kbps": 1000},
        {"max_kbps": 1000, "max_burst_kbps": 0, "direction": "egress"},
    ),
    "dscp_marking": ("dscp_marking_rules", {"dscp_mark": 26}, {"dscp_mark": 26}),
    "minimum_bandwidth": ("minimum_bandwidth_rules", {"min_kbps": 500}, {"min_kbps": 500, "direction": "egress"}),
    "minimum_packet_rate": ("minimum-packet-rate-rules", {"min_kpps": 5}, {"min_kpps": 5, "direction": "egress"}),
    "packet_rate_limit": (
        "packet_rate_limit_rules",
        {"max_kpps": 10},
        {"max_kpps": 10, "max_burst_kpps": 0, "direction": "egress"},
    ),
}
ALIASED = [kind for kind in KINDS if kind != "packet_rate_limit"]


@pytest.fixture
def policy(api: Api) -> str:
    return str(api.admin.make(POLICIES, project_id="p1")["id"])


def add(api: Api, policy: str, kind: str, **values: Any) -> Answer:
    return api.post(f"{POLICIES}/{policy}/{KINDS[kind][0]}", {f"{kind}_rule": values or KINDS[kind][1]})


def added(api: Api, policy: str, kind: str, **values: Any) -> dict[str, Any]:
    status, body = add(api, policy, kind, **values)
    assert status == 201, body
    return dict(body[f"{kind}_rule"])


@pytest.mark.parametrize("kind", KINDS)
def test_the_life_of_a_rule(api: Api, policy: str, kind: str) -> None:
    path, _, whole = KINDS[kind]
    made = added(api.admin, policy, kind)
    assert made == {"id": made["id"], **whole}
    collection = f"{POLICIES}/{policy}/{path}"
    assert api.get(f"{collection}/{made['id']}") == (200, {f"{kind}_rule": made})
    assert api.list(collection) == [made]
    assert api.show(POLICIES, policy)["rules"] == [{**made, "qos_policy_id": policy, "type": kind}]
    field = next(iter(whole))
    changed = api.admin.put(f"{collection}/{made['id']}", {f"{kind}_rule": {field: 8}})
    assert changed == (200, {f"{kind}_rule": {**made, field: 8}})
    assert api.admin.delete(f"{collection}/{made['id']}") == (204, None)
    gone = api.get(f"{collection}/{made['id']}")
    assert api.fault(gone) == (404, "QosRuleNotFound")
    assert gone[1]["NeutronError"]["message"] == f"QoS rule {made['id']} for policy {policy} could not be found."
    assert api.show(POLICIES, policy)["rules"] == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_spelling_of_the_path(api: Api, policy: str, kind: str) -> None:
    made = added(api.admin, policy, kind)
    path = KINDS[kind][0]
    for prefix in ("qos/policies", "policies"):
        for collection in (path.replace("_", "-"), path.replace("-", "_")):
            assert api.list(f"{prefix}/{policy}/{collection}") == [made]
            assert api.get(f"{prefix}/{policy}/{collection}/{made['id']}")[0] == 200


def test_a_policy_is_revised_with_its_rules(api: Api, policy: str) -> None:
    rule = added(api.admin, policy, "dscp_marking")
    assert api.show(POLICIES, policy)["revision_number"] == 1
    path = f"{POLICIES}/{policy}/dscp_marking_rules/{rule['id']}"
    assert api.admin.put(path, {"dscp_marking_rule": {"dscp_mark": 0}})[0] == 200
    assert api.admin.delete(path)[0] == 204
    assert api.show(POLICIES, policy)["revision_number"] == 3


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("bandwidth_limit", {"max_kbps": -1}),
        ("bandwidth_limit", {"max_kbps": 2**31}),
        ("bandwidth_limit", {"max_burst_kbps": 1}),
        ("bandwidth_limit", {"max_kbps": 1, "direction": "any"}),
        ("bandwidth_limit", {"max_kbps": 1, "qos_policy_id": "x"}),
        ("dscp_marking", {"dscp_mark": 27}),
        ("dscp_marking", {"dscp_mark": 42}),
        ("dscp_marking", {"dscp_mark": 64}),
        ("minimum_bandwidth", {"direction": "egress"}),
        ("minimum_packet_rate", {"min_kpps": 1, "direction": "both"}),
        ("packet_rate_limit", {"max_kpps": 1, "max_burst_kpps": -1}),
    ],
)
def test_what_a_rule_may_not_say(api: Api, policy: str, kind: str, values: dict[str, Any]) -> None:
    assert api.fault(add(api.admin, policy, kind, **values)) == (400, "HTTPBadRequest")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "dscp_marking"])
def test_one_rule_for_each_type_and_direction(api: Api, policy: str, kind: str) -> None:
    first = added(api.admin, policy, kind)
    again = add(api.admin, policy, kind)
    assert api.fault(again) == (409, "QoSRulesConflict")
    assert first["id"] in again[1]["NeutronError"]["message"]
    other = added(api.admin, policy, kind, **KINDS[kind][1], direction="ingress")
    turned = api.admin.put(
        f"{POLICIES}/{policy}/{KINDS[kind][0]}/{other['id']}", {f"{kind}_rule": {"direction": "egress"}}
    )
    assert api.fault(turned) == (409, "QoSRulesConflict")


def test_one_mark_for_each_policy(api: Api, policy: str) -> None:
    added(api.admin, policy, "dscp_marking")
    assert api.fault(add(api.admin, policy, "dscp_marking", dscp_mark=8)) == (409, "QoSRulesConflict")


def test_rules_of_one_bulk_request_must_go_together(api: Api, policy: str) -> None:
    path = f"{POLICIES}/{policy}/bandwidth_limit_rules"
    both = {"bandwidth_limit_rules": [{"max_kbps": 1}, {"max_kbps": 2}]}
    assert api.fault(api.admin.post(path, both)) == (409, "QoSRulesConflict")
    assert api.list(path) == []
    both["bandwidth_limit_rules"][1]["direction"] = "ingress"  # type: ignore[assignment]
    assert api.admin.post(path, both)[0] == 201


@pytest.mark.parametrize("first", ["bandwidth_limit", "minimum_bandwidth"])
def test_a_minimum_is_not_above_the_maximum(api: Api, policy: str, first: str) -> None:
    second = "minimum_bandwidth" if first == "bandwidth_limit" else "bandwidth_limit"
    values = {"bandwidth_limit": {"max_kbps": 1000}, "minimum_bandwidth": {"min_kbps": 1001}}
    added(api.admin, policy, first, **values[first])
    assert api.fault(add(api.admin, policy, second, **values[second])) == (409, "QoSRuleParameterConflict")
    other = added(api.admin, policy, second, **values[second], direction="ingress")
    path = f"{POLICIES}/{policy}/{KINDS[second][0]}/{other['id']}"
    turned = api.admin.put(path, {f"{second}_rule": {"direction": "egress"}})
    assert api.fault(turned) == (409, "QoSRuleParameterConflict")
    equal = {"direction": "egress", "min_kbps": 1000} if first == "bandwidth_limit" else {"max_kbps": 1001}
    assert api.admin.put(path, {f"{second}_rule": {"direction": "egress", **equal}})[0] == 200


def test_any_direction_stands_alone(api: Api, policy: str) -> None:
    kind = "minimum_packet_rate"
    egress = added(api.admin, policy, kind, min_kpps=1)
    assert api.fault(add(api.admin, policy, kind, min_kpps=1, direction="any")) == (409, "QoSRuleParameterConflict")
    ingress = added(api.admin, policy, kind, min_kpps=1, direction="ingress")
    path = f"{POLICIES}/{policy}/{KINDS[kind][0]}"
    turned = api.admin.put(f"{path}/{ingress['id']}", {f"{kind}_rule": {"direction": "any"}})
    assert api.fault(turned) == (409, "QoSRuleParameterConflict")
    assert api.admin.delete(f"{path}/{egress['id']}")[0] == 204
    assert api.admin.put(f"{path}/{ingress['id']}", {f"{kind}_rule": {"direction": "any"}})[0] == 200
    assert api.fault(add(api.admin, policy, kind, min_kpps=1)) == (409, "QoSRuleParameterConflict")


# Who may.


@pytest.mark.parametrize("kind", KINDS)
def test_administrators_and_managers_make_rules(api: Api, policy: str, kind: str) -> None:
    assert api.fault(add(api, policy, kind)) == (403, "PolicyNotAuthorized")
    made = added(api.as_("p1", "manager,member,reader"), policy, kind)
    path = f"{POLICIES}/{policy}/{KINDS[kind][0]}/{made['id']}"
    assert api.fault(api.put(path, {f"{kind}_rule": {}})) == (403, "PolicyNotAuthorized")
    assert api.fault(api.delete(path)) == (403, "PolicyNotAuthorized")


@pytest.mark.parametrize("kind", KINDS)
def test_rules_of_others_policies(api: Api, policy: str, kind: str) -> None:
    """To make one is forbidden; to find one is impossible: the public suites tell these apart."""
    other = api.as_("p2", "manager,member,reader")
    assert other.fault(add(other, policy, kind)) == (403, "PolicyNotAuthorized")
    made = added(api.admin, policy, kind)
    path = f"{POLICIES}/{policy}/{KINDS[kind][0]}"
    assert other.fault(other.get(path)) == (404, "QosPolicyNotFound")
    assert other.fault(other.put(f"{path}/{made['id']}", {f"{kind}_rule": {}})) == (404, "QosPolicyNotFound")


@pytest.mark.parametrize("kind", KINDS)
def test_rules_need_their_policy(api: Api, policy: str, kind: str) -> None:
    assert api.fault(add(api.admin, str(uuid4()), kind)) == (404, "QosPolicyNotFound")
    assert api.fault(add(api.admin, "policy", kind)) == (404, "QosPolicyNotFound")
    made = added(api.admin, policy, kind)
    other = api.admin.make(POLICIES)["id"]
    path, key = KINDS[kind][0], f"{kind}_rule"
    assert api.fault(api.admin.get(f"{POLICIES}/{other}/{path}/{made['id']}")) == (404, "QosRuleNotFound")
    assert api.fault(api.admin.put(f"{POLICIES}/{policy}/{path}/x", {key: {}})) == (404, "QosRuleNotFound")
    assert api.fault(api.admin.delete(f"{POLICIES}/{other}/{path}/{made['id']}")) == (404, "QosRuleNotFound")


def test_rules_go_with_their_policy(api: Api, policy: str) -> None:
    made = {kind: added(api.admin, policy, kind) for kind in KINDS}
    assert api.admin.delete(f"{POLICIES}/{policy}")[0] == 204
    gone = api.admin.get(f"qos/alias-bandwidth-limit-rules/{made['bandwidth_limit']['id']}")
    assert api.fault(gone) == (404, "QosRuleNotFound")


# The alias.


def alias(kind: str) -> str:
    return f"alias-{KINDS[kind][0].replace('_', '-')}"


@pytest.mark.parametrize("kind", ALIASED)
def test_a_rule_by_its_alias(api: Api, policy: str, kind: str) -> None:
    made = added(api.admin, policy, kind)
    key, own = f"alias_{kind}_rule", f"{POLICIES}/{policy}/{KINDS[kind][0]}/{made['id']}"
    for path in (f"qos/{alias(kind)}", f"qos/{alias(kind).replace('-', '_')}", alias(kind).replace("-", "_")):
        assert api.get(f"{path}/{made['id']}") == (200, {key: made})
    path = f"qos/{alias(kind)}/{made['id']}"
    field = next(iter(KINDS[kind][2]))
    assert api.admin.put(path, {key: {field: 8}}) == (200, {key: {**made, field: 8}})
    assert api.get(own)[1][f"{kind}_rule"][field] == 8
    assert api.show(POLICIES, policy)["revision_number"] == 2
    assert api.admin.delete(path) == (204, None)
    assert api.fault(api.get(own)) == (404, "QosRuleNotFound")


@pytest.mark.parametrize("kind", ALIASED)
def test_who_may_use_an_alias(api: Api, policy: str, kind: str) -> None:
    path = f"qos/{alias(kind)}/{added(api.admin, policy, kind)['id']}"
    key = f"alias_{kind}_rule"
    assert api.fault(api.put(path, {key: {}})) == (403, "PolicyNotAuthorized")
    assert api.fault(api.delete(path)) == (403, "PolicyNotAuthorized")
    other = api.as_("p2")
    assert other.fault(other.get(path)) == (404, "QosRuleNotFound")
    assert api.as_("p1", "manager,member,reader").put(path, {key: {}})[0] == 200


def test_aliases_keep_the_rules_of_the_policy(api: Api, policy: str) -> None:
    added(api.admin, policy, "bandwidth_limit")
    other = added(api.admin, policy, "bandwidth_limit", max_kbps=5, direction="ingress")
    path = f"qos/alias-bandwidth-limit-rules/{other['id']}"
    turned = api.admin.put(path, {"alias_bandwidth_limit_rule": {"direction": "egress"}})
    assert api.fault(turned) == (409, "QoSRulesConflict")


def test_aliases_are_not_listed_nor_made(api: Api) -> None:
    assert api.get("qos/alias-bandwidth-limit-rules")[0] == 405
    assert api.post("qos/alias-bandwidth-limit-rules", {"alias_bandwidth_limit_rule": {}})[0] == 405
    assert api.get(f"qos/alias-packet-rate-limit-rules/{uuid4()}")[0] == 404


# Rule types.


def test_without_hosts_every_type_is_there(api: Api) -> None:
    for path in ("qos/rule-types", "qos/rule_types", "rule_types"):
        assert sorted(one["type"] for one in api.list(path)) == sorted(KINDS)
    assert all(list(one) == ["type"] for one in api.list("qos/rule-types"))
    assert (
        len(api.list("qos/rule-types", "all_supported=true")) == len(api.list("qos/rule-types", "all_rules=true")) == 5
    )


def test_the_details_of_a_type(api: Api) -> None:
    status, body = api.admin.get("qos/rule-types/bandwidth_limit")
    assert (status, body["rule_type"]["type"]) == (200, "bandwidth_limit")
    (driver,) = body["rule_type"]["drivers"]
    assert {"parameter_name": "direction", "parameter_type": "choices", "parameter_values": ["ingress", "egress"]} in (
        driver["supported_parameters"]
    )
    number = {"parameter_type": "range", "parameter_values": {"start": 0, "end": 2147483647}}
    assert {"parameter_name": "max_kbps", **number} in driver["supported_parameters"]
    (driver,) = api.admin.get("qos/rule-types/dscp_marking")[1]["rule_type"]["drivers"]
    (marks,) = driver["supported_parameters"]
    assert marks["parameter_values"][:4] == [0, 8, 10, 12] and len(marks["parameter_values"]) == 22


def test_details_are_for_administrators(api: Api) -> None:
    assert api.fault(api.get("qos/rule-types/bandwidth_limit")) == (403, "NotAuthorized")
    assert api.fault(api.admin.get("qos/rule-types/colour")) == (404, "NotFound")
    assert api.admin.post("qos/rule-types", {"rule_type": {}})[0] == 405
