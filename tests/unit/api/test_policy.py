"""What the API asks of policy: actions, the attributes set, the attributes shown, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from weft import errors
from weft.api.policy import Policy, defaults
from weft.config import Config, OsloPolicy
from weft.context import Context

MINE, OTHER = "1" * 32, "2" * 32


def caller(*roles: str, project_id: str = MINE, **more: Any) -> Context:
    return Context(user_id="u", project_id=project_id, roles=frozenset(roles), **more)


MEMBER = caller("member", "reader")
ADMIN = caller("admin", "manager", "member", "reader", is_admin=True)
SERVICE = caller("service", is_service=True)


@pytest.fixture(scope="module")
def policy() -> Policy:
    return Policy(Config(policy=OsloPolicy(policy_file="", policy_dirs=())))


@pytest.fixture(scope="module")
def old_policy() -> Policy:
    return Policy(Config(policy=OsloPolicy(policy_file="", policy_dirs=(), enforce_new_defaults=False)))


class Related(Mapping[str, Any]):
    """An object whose network is read from the database only when a rule asks for it."""

    def __init__(self, row: dict[str, Any], related: dict[str, Any]) -> None:
        self.row, self.related, self.read = row, related, list[str]()

    def __getitem__(self, key: str) -> Any:
        if key in self.row:
            return self.row[key]
        self.read.append(key)
        return self.related[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.row)

    def __len__(self) -> int:
        return len(self.row)


def test_own_objects_only(policy: Policy) -> None:
    policy.authorize(MEMBER, "create", "network", {"project_id": MINE})
    with pytest.raises(errors.PolicyNotAuthorized) as refusal:
        policy.authorize(MEMBER, "create", "network", {"project_id": OTHER})
    assert refusal.value.status == 403
    assert str(refusal.value) == "rule:create_network is disallowed by policy"


def test_a_refusal_names_every_rule_asked_and_knows_the_one_that_denied(policy: Policy) -> None:
    with pytest.raises(errors.PolicyNotAuthorized) as refusal:
        policy.authorize(MEMBER, "create", "network", {"project_id": MINE}, {"name": "x", "shared": True}, ["shared"])
    assert str(refusal.value) == "(rule:create_network and rule:create_network:shared) is disallowed by policy"
    assert refusal.value.facts["denied"] == ["create_network:shared"]


def test_only_attributes_with_rules_that_the_client_set_are_asked(policy: Policy) -> None:
    ruled = ["mac_address", "binding:profile", "fixed_ips"]
    mine = {"project_id": MINE, "network:project_id": MINE}
    policy.authorize(MEMBER, "create", "port", mine, {"name": "x", "description": "y"}, ruled)
    with pytest.raises(errors.PolicyNotAuthorized, match="create_port:binding:profile"):
        policy.authorize(MEMBER, "create", "port", mine, {"binding:profile": {}}, ruled)


def test_keys_within_a_list_have_rules(policy: Policy) -> None:
    """On a shared network anybody may choose the subnet, and only the network's owner the address."""
    shared = {"project_id": MINE, "network:project_id": OTHER, "network:shared": True}
    subnet, address = (
        {"fixed_ips": [{"subnet_id": "s"}]},
        {"fixed_ips": [{"subnet_id": "s"}, {"ip_address": "198.18.0.5"}]},
    )
    policy.authorize(MEMBER, "create", "port", shared, subnet, ["fixed_ips"])
    with pytest.raises(errors.PolicyNotAuthorized) as refusal:
        policy.authorize(MEMBER, "create", "port", shared, address, ["fixed_ips"])
    assert refusal.value.facts["denied"] == ["create_port:fixed_ips:ip_address"]
    policy.authorize(MEMBER, "create", "port", {**shared, "network:project_id": MINE}, address, ["fixed_ips"])


def test_keys_within_a_dict_have_rules_where_any_of_them_has(policy: Policy) -> None:
    gateway = {"external_gateway_info": {"network_id": "n", "enable_snat": False}}
    manager = caller("manager", "member", "reader")
    with pytest.raises(errors.PolicyNotAuthorized) as refusal:
        policy.authorize(manager, "update", "router", {"project_id": MINE}, gateway, ["external_gateway_info"])
    assert refusal.value.facts["denied"] == ["update_router:external_gateway_info:enable_snat"]
    # what is in binding:profile is nobody's business but Nova's
    profile = {"binding:profile": {"pci_slot": "0000:0a:00.1"}}
    policy.authorize(SERVICE, "create", "port", {"project_id": OTHER}, profile, ["binding:profile"])


def test_an_undefined_sub_rule_counts_as_default(policy: Policy) -> None:
    """`default` is admin_or_owner."""
    pairs = {"allowed_address_pairs": [{"colour": "red"}]}
    mine = {"project_id": MINE, "network:project_id": MINE}
    policy.authorize(MEMBER, "create", "port", mine, pairs, ["allowed_address_pairs"])
    assert policy.allows(MEMBER, "paint_port", {"project_id": MINE})
    assert not policy.allows(MEMBER, "paint_port", {"project_id": OTHER})
    assert policy.allows(ADMIN, "paint_port", {"project_id": OTHER})


def test_member_actions_are_named_without_the_resource(policy: Policy) -> None:
    router = {"project_id": MINE}
    manager = caller("manager", "member", "reader")
    policy.authorize(
        manager,
        "add_external_gateways",
        "router",
        router,
        {"external_gateways": [{"network_id": "n"}]},
        ["external_gateways"],
    )
    with pytest.raises(errors.PolicyNotAuthorized, match=r"^rule:add_router_interface is disallowed by policy$"):
        policy.authorize(caller("reader"), "add_router_interface", "router", router)


def test_what_a_rule_need_not_know_is_not_read(policy: Policy) -> None:
    row = {"project_id": MINE, "shared": False}
    for context, rule, read in (
        (ADMIN, "create_port:fixed_ips", []),
        (MEMBER, "get_port", []),  # though the rule asks for the network's owner before the port's
        (SERVICE, "get_port", []),
        (MEMBER, "create_port:mac_address", ["network:project_id"]),
    ):
        target = Related(row, {"network:project_id": OTHER})
        policy.allows(context, rule, target)
        assert target.read == read, rule


def test_a_key_that_the_object_lacks_matches_nothing(policy: Policy) -> None:
    assert not policy.allows(MEMBER, "create_port:mac_address", {"project_id": MINE})
    assert not policy.allows(MEMBER, "get_port", {})


def test_a_caller_without_project_owns_nothing(policy: Policy) -> None:
    """HA networks and others of Weft's own belong to no project."""
    nobody = caller("member", "reader", project_id="")
    assert not policy.allows(nobody, "get_network", {"project_id": ""})


SHOWN = ("id", "name", "project_id", "tenant_id", "status", "binding:host_id", "binding:vnic_type", "resource_request")


def test_attributes_hidden_from_members(policy: Policy) -> None:
    port = {"project_id": MINE}
    assert policy.hidden(MEMBER, "port", SHOWN, port) == {"binding:host_id", "resource_request"}
    assert policy.hidden(ADMIN, "port", SHOWN, port) == frozenset()
    assert policy.hidden(MEMBER, "port", ("id", "name"), port) == frozenset()


def test_project_id_is_hidden_under_both_its_names(tmp_path: Any) -> None:
    own = tmp_path / "policy.yaml"
    own.write_text('"get_port:project_id": "rule:admin_only"\n')
    strict = Policy(Config(policy=OsloPolicy(policy_file=str(own))))
    assert strict.hidden(MEMBER, "port", SHOWN, {"project_id": MINE}) >= {"project_id", "tenant_id"}


def test_hidden_may_depend_on_the_object(policy: Policy) -> None:
    """Tags of a port are for its owner and its network's owner."""
    assert policy.hidden(MEMBER, "port", ("tags",), {"project_id": OTHER, "network:project_id": OTHER}) == {"tags"}
    assert policy.hidden(MEMBER, "port", ("tags",), {"project_id": OTHER, "network:project_id": MINE}) == frozenset()


@pytest.mark.parametrize("scope", [{"system_scope": "all"}, {"domain_id": "d"}])
def test_tokens_of_another_scope_than_a_project_are_refused(policy: Policy, scope: dict[str, str]) -> None:
    wide = caller("admin", "member", "reader", project_id="", **scope)
    word = "system" if "system_scope" in scope else "domain"
    with pytest.raises(errors.InvalidScope, match=f"rule:create_network .*project.* {word}") as refusal:
        policy.authorize(wide, "create", "network", {"project_id": MINE})
    assert refusal.value.status == 403
    assert not policy.allows(wide, "get_network", {"project_id": MINE})
    assert policy.hidden(wide, "port", SHOWN, {}) == {"binding:host_id", "resource_request"}
    assert policy.allows(wide, "context_is_admin", {}), "rules without scope are for every token"


def test_flags(policy: Policy) -> None:
    assert policy.context_flags(["member"]) == (False, False)
    assert policy.context_flags(["Admin"]) == (True, False)
    assert policy.context_flags(["service"], project_id=MINE) == (False, True)


def test_old_defaults_widen_and_lift_administrators_above_rules(old_policy: Policy, policy: Policy) -> None:
    anyone = caller("some_role")
    assert old_policy.allows(anyone, "create_port", {"project_id": MINE})
    assert not policy.allows(anyone, "create_port", {"project_id": MINE})
    profile = ("create", "port", {"project_id": MINE}, {"binding:profile": {}}, ["binding:profile"])
    with pytest.raises(errors.PolicyNotAuthorized):
        policy.authorize(ADMIN, *profile)
    old_policy.authorize(ADMIN, *profile)


def test_explain_shows_each_step(policy: Policy) -> None:
    told = policy.explain(MEMBER, "create_port:mac_address", {"project_id": MINE, "network:project_id": OTHER})
    assert not told.allowed
    lines = [line.split() for line in told.lines()]
    assert ["denies", "rule:create_port:mac_address"] in lines
    assert ["allows", "role:member"] in lines
    assert ["denies", "project_id:%(network:project_id)s"] in lines
    assert policy.explain(ADMIN, "create_port:mac_address", {}).allowed


def test_explain_agrees_with_allows(policy: Policy) -> None:
    port = {"project_id": OTHER, "network:project_id": MINE, "shared": True}
    for context in (MEMBER, ADMIN, SERVICE, caller("reader", project_id="", system_scope="all")):
        for rule in defaults():
            assert policy.explain(context, rule.name, port).allowed == policy.allows(context, rule.name, port), rule
