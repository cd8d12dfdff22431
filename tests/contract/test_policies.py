"""Every default rule of the API decides as oslo.policy does: real requests of every role, for own and other projects' objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.contract import policy_requests
from tests.contract.everything import MEMBERS, OPERATIONS, OWNER, Entry, Everything, build
from tests.contract.policy_oracle import RULES, Oracle, Who, oracle
from tests.contract.policy_requests import UNASKED, Request
from weft.api.policy import defaults
from weft.context import Context

OTHER = "0" * 31 + "2"
ROLES: Mapping[str, tuple[str, ...]] = {
    "none": ("stranger",),
    "reader": ("reader",),
    "member": ("member", "reader"),
    "manager": ("manager", "member", "reader"),
    "admin": ("admin", "manager", "member", "reader"),
    "service": ("service",),
}
"""A role -> all that Keystone writes into a token with it, for roles imply others."""

CALLERS = [
    *(Who(roles, project) for roles in ROLES.values() for project in (OWNER, OTHER)),
    Who(ROLES["admin"], system="all"),
    Who(ROLES["admin"], domain="default"),
]
REFUSED = frozenset({400, 401, 403, 404})


IMPOSSIBLE = {
    "update_network:provider:physical_network": "a network stays",
    "update_network:provider:segmentation_id": "a network stays",
    "update_network:segments": "they come and go one by one, at /segments",
    "update_port:pvlan_type": "the network has no private VLAN",
    "update_port:pvlan_community": "the network has no private VLAN",
    "create_subnetpool:is_default": "there is one",
    "update_subnetpool:is_default": "there is one",
}
"""What a rule allows and what is there does not: 400."""


IN_CONFLICT = {
    "create_port_binding": "the port is bound there",
    **{
        f"create_policy_{kind}_rule": "the policy has one"
        for kind in (
            "bandwidth_limit",
            "packet_rate_limit",
            "dscp_marking",
            "minimum_bandwidth",
            "minimum_packet_rate",
        )
    },
    "create_security_groups_default_statefulness": "the project has one",
    "delete_network_segment_range": "it is in use",
    "delete_router": "it has interfaces",
    "create_network:is_default": "another network is",
    "update_network:is_default": "another network is",
    "update_port:device_owner": "ports of the network have no security groups",
}
"""What a rule allows and what is there does not: 409."""


def authenticate(environ: Mapping[str, Any]) -> Context:
    roles = frozenset(environ["HTTP_X_ROLES"].split(","))
    return Context(
        user_id=environ["HTTP_X_USER_ID"],
        project_id=environ["HTTP_X_PROJECT_ID"],
        system_scope=environ.get("HTTP_X_SYSTEM", ""),
        domain_id=environ.get("HTTP_X_DOMAIN", ""),
        roles=roles,
        is_admin="admin" in roles,
        is_service="service" in roles,
    )


SHARED = {
    "/networks": "network",
    "/security-groups": "security_group",
    "/address-groups": "address_group",
    "/address-scopes": "address_scope",
    "/subnetpools": "subnetpool",
    "/qos/policies": "qos_policy",
}
"""Collection -> type of RBAC policies that share its objects."""


def share(e: Everything) -> None:
    """Let OTHER see the objects that can be shared, and use the networks of ports and subnets."""
    shared = [(kind, e.entries[path].id) for path, kind in SHARED.items()]
    shared += [
        ("network", id) for name, id in e.base.items() if name in ("flat", "private") or name.startswith("networks ")
    ]
    for kind, id in shared:
        values = {"object_type": kind, "object_id": id, "action": "access_as_shared", "target_tenant": OTHER}
        e.owner.make("rbac-policies", **values)


@dataclass
class Site:
    """`e` with its objects' rows complete; `shared`: with OTHER."""

    e: Everything
    shared: bool


@pytest.fixture(scope="module", params=[False, True], ids=["unshared", "shared"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    e = build(tmp_path_factory.mktemp("policies"), authenticate)
    policy_requests.prepare(e)
    if request.param:
        share(e)
    for path, entry in list(e.entries.items()):
        if e.served(f"{path}/{{}}") and "show" in OPERATIONS[path]["operations"]:
            status, body = e.owner.get(e.path(f"{path}/{{}}"))
            assert status == 200, (path, body)
            e.entries[path] = Entry(next(iter(body.values())), entry.id, entry.above)
    yield Site(e, request.param)
    e.api.store.close()


@pytest.fixture(scope="module")
def says() -> Iterator[Oracle]:
    with oracle() as found:
        yield found


def target(site: Site, asked: Request, who: Who) -> dict[str, Any]:
    """What the rules are asked about: the object as it is, or would be, and the owners of what it hangs on."""
    e = site.e
    entry = e.entries.get(asked.collection)
    hung = {
        "ext_parent:project_id": OWNER,
        "ext_parent:tenant_id": OWNER,
        "network:project_id": OWNER,
        "network:tenant_id": OWNER,
        "network:shared": site.shared and asked.collection in ("/ports", "/subnets"),
        "security_group:project_id": OWNER,
        "security_group:tenant_id": OWNER,
    }
    row: dict[str, Any] = dict(entry.row) if entry and asked.kind != "create" else {}
    if asked.kind == "create":
        row = {"project_id": who.project, **(asked.values or {})}
    elif asked.kind == "change" and asked.values:
        row |= asked.values
    if asked.collection == "/quotas" and asked.kind == "list":
        row["project_id"] = None
    if site.shared and asked.kind != "create" and asked.collection in SHARED:
        row["shared"] = True
    if asked.collection == "/floatingip-pools":
        row["project_id"] = who.project  # whoever asks sees them as his own
    return {**hung, **row, "tenant_id": row.get("project_id")}


RELATED = ("/ports", "/subnets", "/security-group-rules")
"""Collections whose objects hang on one of another project, by an attribute."""


def owned(e: Everything, asked: Request) -> bool:
    return "project_id" in e.entries[asked.collection].row and "{}" not in asked.collection


SCHEDULING = ("/agents/{}/dhcp-networks", "/agents/{}/l3-routers", "/networks/{}/dhcp-agents", "/routers/{}/l3-agents")
"""Who may not ask what agents serve learns that, and nothing of the agent."""


def expected(site: Site, says: Oracle, asked: Request, who: Who) -> tuple[bool, frozenset[int]]:
    """Whether the rules allow a request, and with which status it may be refused."""
    e = site.e
    about = target(site, asked, who)
    if asked.kind == "create":
        if who.project == OTHER and asked.collection not in RELATED and owned(e, asked):
            about |= {"project_id": OWNER, "tenant_id": OWNER}
            if not who.above:
                return False, frozenset({400})
        allowed = says.allows(who, asked.rules, about)
        return allowed, frozenset({403, 404} if who.project else {400, 403, 404})
    allowed = says.allows(who, asked.rules, about)
    if asked.collection == "/quotas" and asked.kind == "show" and who.project == OWNER:
        return True, frozenset()  # the limits of one's own project are no secret, whatever the rule
    if asked.collection in ("/quotas", "/auto-allocated-topology") or asked.collection in SCHEDULING:
        return allowed, frozenset({403})
    if asked.collection == "/qos/rule-types" and asked.kind == "show":
        return allowed and "admin" in who.roles, frozenset({403, 404})  # drivers are no business of others
    if asked.kind in ("list", "show", "attribute"):
        return allowed, frozenset({404}) if who.project else frozenset({403, 404})
    before = {**about, **e.entries[asked.collection].row}
    if site.shared and asked.collection in SHARED:
        before["shared"] = True
    visible = says.allows(who, [f"get_{asked.member}"], before)
    allowed = allowed and (visible or who.above)
    if asked.kind == "tags" or not who.project:
        return allowed, frozenset({403, 404})
    if "{}" in asked.collection or site.shared:
        return allowed, frozenset({403, 404})
    return allowed, frozenset({403}) if visible else frozenset({403, 404}) if who.above else frozenset({404})


def ask(e: Everything, asked: Request, who: Who) -> tuple[int, Any]:
    writes = asked.method != "GET"
    path = e.path(asked.template)
    body = asked.body
    if asked.kind == "create" and who.project == OTHER and asked.collection not in RELATED and owned(e, asked):
        key = MEMBERS[asked.collection]
        body = {key: {**asked.body[key], "project_id": OWNER}}
    answer = e.api.client.simulate_request(
        asked.method,
        f"/v2.0{path}",
        query_string="dry_run=true" if writes else "",
        headers=who.headers(),
        **({"json": body} if body is not None else {}),
    )
    return answer.status_code, answer.json if answer.content else None


def shown(e: Everything, asked: Request, body: Any) -> Any:
    """The object of an answer to GET; None where a list does not hold it."""
    inner = next(value for key, value in body.items() if not key.endswith("_links"))
    if not isinstance(inner, list):
        return inner
    wanted = e.entries[asked.collection]
    return next(
        (
            row
            for row in inner
            if wanted.id in [row.get(key) for key in ("id", "network_id", "host", "type", "fixed_port_id")]
        ),
        None,
    )


SOMETIMES = {"segments": "of networks that are made of several"}
"""Attributes that not every object has: those of an entry are asked for only if it has them."""


def wrong(site: Site, says: Oracle, asked: Request, who: Who) -> str:
    """What of the answer is not as oslo.policy has it; empty: nothing."""
    e = site.e
    allowed, refusals = expected(site, says, asked, who)
    status, body = ask(e, asked, who)
    said = f"{asked.rule} ({asked.method} {asked.template}, {asked.kind}) by {who}: {status}"
    if asked.kind == "attribute":
        visible = says.allows(who, [f"get_{asked.member}"], target(site, asked, who))
        if asked.attribute in SOMETIMES and asked.attribute not in e.entries[asked.collection].row:
            return ""
        row = shown(e, asked, body) if status == 200 else None
        there = row is not None and asked.attribute in row
        return "" if there == (allowed and visible) else f"{said}: {'seen' if there else 'not seen'}"
    if asked.kind == "list" and status == 200:
        if not e.entries[asked.collection].id or asked.collection == "/quotas":
            there = bool(next(iter(body.values())))
            return "" if there == (allowed and bool(e.entries[asked.collection].row)) else f"{said}, {body}"
        there = shown(e, asked, body) is not None
        return "" if there == allowed else f"{said}: {'listed' if there else 'not listed'}"
    if allowed:
        if asked.rule in IMPOSSIBLE and status == 400:
            return ""
        return "" if status not in REFUSED and status < 500 else f"{said}: {body}"
    return "" if status in refusals else f"{said}, not {sorted(refusals)}: {body}"


def test_every_rule_decides_as_oslo_policy_does(site: Site, says: Oracle) -> None:
    asked = list(policy_requests.every(site.e))
    callers = [who for who in CALLERS if who.project == OTHER or not site.shared]
    found = [fault for one in asked for who in callers if (fault := wrong(site, says, one, who))]
    assert found == []
    ruled = {rule["name"] for rule in RULES if rule["operations"]}
    assert {one.rule for one in asked} == ruled - UNASKED.keys()


def test_what_is_allowed_is_possible(site: Site) -> None:
    """An administrator's or a service's requests are carried out: the refusals of others say something of the rule."""
    failed = set()
    for one in policy_requests.every(site.e):
        if min(ask(site.e, one, Who(ROLES[role], OWNER))[0] for role in ("admin", "service")) >= 300:
            failed.add(one.rule)
    assert failed == IMPOSSIBLE.keys() | IN_CONFLICT.keys()


def test_defaults_are_those_of_the_facts() -> None:
    ours = {rule.name: (rule.check, sorted(rule.scope_types)) for rule in defaults()}
    theirs = {rule["name"]: (rule["check"], sorted(rule["scope_types"])) for rule in RULES}
    assert {name: ours.get(name) for name in theirs} == theirs
