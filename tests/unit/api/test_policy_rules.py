"""Every default rule says what oslo.policy's own Enforcer says, for any roles and any object."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oslo_config import cfg
from oslo_policy import policy as oslo

from weft.api.checks import CREDENTIALS
from weft.api.policy import Policy, RuleSet, defaults
from weft.config import Config, OsloPolicy
from weft.context import Context

MINE, OTHER = "1" * 32, "2" * 32


class FieldCheck(oslo.Check):
    """The API's own kind of check, as a plug-in of oslo.policy: the reference for ours."""

    def __call__(self, target: Mapping[str, Any], creds: Any, enforcer: Any) -> bool:
        name, wanted = re.fullmatch(r"\w+?:(.+?)=(.*)", self.match).groups()
        value = target.get(name, target.get("network:shared") if self.match.startswith("networks:shared") else None)
        if wanted.startswith("~"):
            return value is not None and re.match(wanted[1:], value) is not None
        return value == ({"True": True, "False": False}.get(wanted, wanted))


@pytest.fixture(scope="module", params=[True, False], ids=["new-defaults", "old-defaults-too"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[Policy, oslo.Enforcer]]:
    """(ours, oslo.policy's) with the same default rules."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(oslo._checks.registered_checks, "field", FieldCheck)
        conf = cfg.ConfigOpts()
        conf([], default_config_files=[], default_config_dirs=[])
        enforcer = oslo.Enforcer(conf, policy_file="none.yaml")
        conf.set_override("enforce_new_defaults", request.param, group="oslo_policy")
        enforcer.suppress_deprecation_warnings = enforcer.suppress_default_change_warnings = True
        for rule in defaults():
            old = rule.deprecated and oslo.DeprecatedRule(
                rule.deprecated.name, rule.deprecated.check, deprecated_reason="old", deprecated_since="W"
            )
            scopes = list(rule.scope_types) or None
            enforcer.register_default(oslo.RuleDefault(rule.name, rule.check, deprecated_rule=old, scope_types=scopes))
        enforcer.load_rules()
        enforcer.use_conf = False  # no look at files with every question
        yield Policy(Config(policy=OsloPolicy(policy_file="", enforce_new_defaults=request.param))), enforcer


def credentials(context: Context) -> dict[str, Any]:
    """The caller as oslo.policy wants him: what he has not is None."""
    known = {kind: getattr(context, name) or None for kind, name in CREDENTIALS.items()}
    return {**known, "is_admin": context.is_admin, "roles": sorted(context.roles)}


ROLES = [
    (),
    ("reader",),
    ("reader", "member"),
    ("Reader", "MEMBER", "manager"),
    ("reader", "member", "manager", "admin"),
    ("admin",),
    ("service",),
    ("advsvc", "member"),
    ("data_plane_integrator",),
    ("quite", "other"),
]
TARGETS: list[dict[str, Any]] = [
    {},
    {"project_id": MINE},
    {"project_id": OTHER},
    {"project_id": OTHER, "shared": True},
    {"project_id": OTHER, "shared": False, "router:external": True},
    {"project_id": OTHER, "network:project_id": MINE, "network:shared": True},
    {"project_id": MINE, "network:project_id": OTHER, "device_owner": "network:dhcp"},
    {"project_id": OTHER, "device_owner": "compute:nova", "network:shared": False},
    {"project_id": MINE, "security_group:project_id": OTHER, "belongs_to_default_sg": True},
    {"project_id": OTHER, "security_group:project_id": MINE, "belongs_to_default_sg": False},
    {"ext_parent:project_id": MINE},
    {"project_id": "", "ext_parent:project_id": OTHER, "shared": None},
    {"project_id": MINE, "target_tenant": "*"},
    {"project_id": MINE, "target_project": "*", "target_tenant": OTHER},
]
SCOPES: list[dict[str, str]] = [
    {"project_id": MINE},
    {"project_id": "", "system_scope": "all"},
    {"project_id": "", "domain_id": "d"},
]


def test_every_default_rule_agrees_with_oslo_policy(pair: tuple[Policy, oslo.Enforcer]) -> None:
    policy, enforcer = pair
    # oslo.policy is slow: ask it once for all rules that are the same check with the same scope
    alike: dict[tuple[str, Any], list[str]] = {}
    for rule in defaults():
        alike.setdefault((str(enforcer.rules[rule.name]), rule.scope_types), []).append(rule.name)
    verdicts: list[bool] = []
    projects = itertools.product(ROLES, SCOPES[:1], TARGETS)
    wider = itertools.product(ROLES, SCOPES[1:], TARGETS[:4])
    for roles, scope, target in itertools.chain(projects, wider):
        context = Context(user_id="u", roles=frozenset(roles), **scope)
        for names in alike.values():
            theirs = bool(enforcer.enforce(names[0], target, credentials(context)))
            for name in names:
                ours = policy.allows(context, name, target)
                assert ours == theirs, (name, policy.text(name), roles, scope, target)
                verdicts.append(ours)
    assert len(verdicts) == 501 * len(ROLES) * (len(TARGETS) + 2 * 4)
    assert 0.1 < sum(verdicts) / len(verdicts) < 0.9, "the matrix must reach both verdicts"


def test_default_rules_refer_to_rules_that_exist_and_to_none_in_a_circle(pair: tuple[Policy, oslo.Enforcer]) -> None:
    assert pair[1].check_rules(raise_on_violation=True)


def test_default_rules_say_what_they_are_for() -> None:
    for rule in defaults():
        assert rule.description, rule.name
        for operation in rule.operations:
            assert re.fullmatch(r"(GET|POST|PUT|DELETE) /\S+", operation), rule.name


LEAVES = [
    "role:member", "role:Reader", "role:%(wanted)s", "rule:owner", "rule:nowhere", "rule:regular_user", "@", "!",
    "project_id:%(project_id)s", "tenant_id:%(project_id)s", "user_id:%(owner_id)s", "user_id:u", "roles:member",
    "'open':%(state)s", "True:%(shared)s", "is_admin:True", "project_id:x%(project_id)s", "nothing:%(project_id)s",
    "field:networks:shared=True", "field:port:device_owner=~^network:", "field:networks:router:external=False",
]  # fmt: skip
RULES = st.recursive(
    st.sampled_from(LEAVES),
    lambda rule: st.one_of(
        rule.map("not ({})".format),
        st.lists(rule, min_size=2, max_size=3).map(lambda parts: f"({' and '.join(parts)})"),
        st.lists(rule, min_size=2, max_size=3).map(lambda parts: f"({' or '.join(parts)})"),
        st.lists(rule, min_size=3, max_size=3).map(lambda parts: f"{parts[0]} or {parts[1]} and {parts[2]}"),
    ),
    max_leaves=8,
)
OBJECTS = st.fixed_dictionaries(
    {},
    optional={
        "project_id": st.sampled_from([MINE, OTHER, "x" + MINE]),
        "owner_id": st.sampled_from(["u", "v"]),
        "state": st.sampled_from(["open", "shut"]),
        "wanted": st.sampled_from(["MEMBER", "admin"]),
        "shared": st.booleans(),
        "device_owner": st.sampled_from(["network:dhcp", "compute:nova"]),
        "router:external": st.booleans(),
    },
)


@pytest.fixture(scope="module")
def parsed() -> Iterator[oslo.Enforcer]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(oslo._checks.registered_checks, "field", FieldCheck)
        conf = cfg.ConfigOpts()
        conf([], default_config_files=[], default_config_dirs=[])
        yield oslo.Enforcer(conf, use_conf=False)


@settings(deadline=None, max_examples=100)
@given(rule=RULES, target=OBJECTS, roles=st.sets(st.sampled_from(["member", "reader", "admin"])), admin=st.booleans())
def test_any_rule_of_an_operator_agrees_with_oslo_policy(
    parsed: oslo.Enforcer, rule: str, target: dict[str, Any], roles: set[str], admin: bool
) -> None:
    context = Context(user_id="u", project_id=MINE, roles=frozenset(roles), is_admin=admin)
    used = ("default", "admin_or_owner", "context_is_admin", "owner", "regular_user")
    texts = {default.name: default.check for default in defaults() if default.name in used} | {"asked": rule}
    parsed.set_rules(dict(oslo.Rules.from_dict(texts)))
    parsed.default_rule = parsed.rules.default_rule = "default"
    ours = RuleSet(Config(), {"asked": rule}).says(context, "asked", target)
    assert ours == bool(parsed.enforce("asked", target, credentials(context)))
