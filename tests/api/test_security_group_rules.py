"""Security group rules: what they may say, how they are written, when two of them are the same."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert, select

from weft.store.access import RBAC_ENTRIES
from weft.store.changes import CHANGES

UNKNOWN = "6f3d1c3e-0000-4000-8000-000000000000"
RULES = "security-group-rules"


@pytest.fixture
def group(api: Any) -> str:
    """A group of p1 with rules that let everything out."""
    return str(api.make("security-groups", name="web")["id"])


def rule(group: str, **said: Any) -> dict[str, Any]:
    return {"security_group_rule": {"security_group_id": group, "direction": "ingress", **said}}


def refused(api: Any, group: str, **said: Any) -> tuple[int, str]:
    return api.fault(api.post(RULES, rule(group, **said)))  # type: ignore[no-any-return]


def made(api: Any, group: str, **said: Any) -> dict[str, Any]:
    row: dict[str, Any] = api.make(RULES, **rule(group, **said)["security_group_rule"])
    assert row == api.show(RULES, row["id"])
    return row


def test_rule_of_nothing_but_a_direction(api: Any, group: str) -> None:
    row = made(api, group, description="x")
    times = {name: row.pop(name) for name in ("id", "created_at", "updated_at")}
    assert times["created_at"] == times["updated_at"]
    assert row == {
        "security_group_id": group,
        "direction": "ingress",
        "ethertype": "IPv4",
        "protocol": None,
        "port_range_min": None,
        "port_range_max": None,
        "remote_ip_prefix": None,
        "remote_group_id": None,
        "remote_address_group_id": None,
        "normalized_cidr": None,
        "belongs_to_default_sg": False,
        "description": "x",
        "project_id": "p1",
        "tenant_id": "p1",
        "revision_number": 0,
    }


def test_group_shows_its_rules(api: Any, group: str) -> None:
    row = made(api, group, protocol="tcp", port_range_min=22, port_range_max=22, remote_ip_prefix="198.18.0.0/15")
    found = [one for one in api.show("security-groups", group)["security_group_rules"] if one["id"] == row["id"]]
    assert found == [row]


# What is refused.


@pytest.mark.parametrize(
    ("said", "type_"),
    [
        ({"port_range_min": 22, "port_range_max": 22}, "SecurityGroupProtocolRequiredWithPorts"),
        ({"protocol": "tcp", "port_range_min": 23, "port_range_max": 22}, "SecurityGroupInvalidPortRange"),
        ({"protocol": "tcp", "port_range_min": 22}, "SecurityGroupInvalidPortRange"),
        ({"protocol": "136", "port_range_max": 22}, "SecurityGroupInvalidPortRange"),
        ({"protocol": "sctp", "port_range_min": 2, "port_range_max": 1}, "SecurityGroupInvalidPortRange"),
        ({"protocol": "tcp", "port_range_min": 0, "port_range_max": 22}, "SecurityGroupInvalidPortValue"),
        ({"protocol": "tcp", "port_range_min": 1, "port_range_max": 70000}, "SecurityGroupInvalidPortValue"),
        ({"protocol": "udp", "port_range_min": "dns", "port_range_max": "dns"}, "SecurityGroupInvalidPortValue"),
        ({"protocol": "icmp", "port_range_max": 0}, "SecurityGroupMissingIcmpType"),
        ({"protocol": "icmp", "port_range_min": 300}, "SecurityGroupInvalidIcmpValue"),
        ({"protocol": "1", "port_range_min": 8, "port_range_max": 256}, "SecurityGroupInvalidIcmpValue"),
        ({"protocol": "icmpv6"}, "SecurityGroupEthertypeConflictWithProtocol"),
        ({"protocol": "58"}, "SecurityGroupEthertypeConflictWithProtocol"),
        ({"protocol": "ipv6-frag"}, "SecurityGroupEthertypeConflictWithProtocol"),
        ({"protocol": "gre", "port_range_min": 1, "port_range_max": 2}, "SecurityGroupInvalidProtocolForPort"),
        ({"protocol": "foo"}, "SecurityGroupRuleInvalidProtocol"),
        ({"protocol": 256}, "SecurityGroupRuleInvalidProtocol"),
        ({"protocol": -1}, "SecurityGroupRuleInvalidProtocol"),
        ({"ethertype": "foo"}, "SecurityGroupRuleInvalidEtherType"),
        ({"remote_ip_prefix": "fd00::/64"}, "SecurityGroupRuleParameterConflict"),
        ({"remote_ip_prefix": "198.18.0.1", "ethertype": "IPv6"}, "SecurityGroupRuleParameterConflict"),
        ({"remote_ip_prefix": "zz"}, "InvalidCIDR"),
        ({"remote_ip_prefix": "198.18.0.0/33"}, "InvalidCIDR"),
        ({"direction": "in"}, "HTTPBadRequest"),
        ({"remote_ip_prefix": "198.18.0.0/15", "remote_group_id": UNKNOWN}, "SecurityGroupMultipleRemoteEntites"),
        ({"remote_group_id": UNKNOWN, "remote_address_group_id": UNKNOWN}, "SecurityGroupMultipleRemoteEntites"),
        ({"normalized_cidr": "198.18.0.0/15"}, "HTTPBadRequest"),
        ({"belongs_to_default_sg": True}, "HTTPBadRequest"),
    ],
    ids=str,
)
def test_refused(api: Any, group: str, said: dict[str, Any], type_: str) -> None:
    assert refused(api, group, **said) == (400, type_)
    assert len(api.show("security-groups", group)["security_group_rules"]) == 2


@pytest.mark.parametrize("missing", ["security_group_id", "direction"])
def test_required(api: Any, group: str, missing: str) -> None:
    body = rule(group)
    del body["security_group_rule"][missing]
    assert api.fault(api.post(RULES, body)) == (400, "HTTPBadRequest")


@pytest.mark.parametrize(
    ("said", "type_"),
    [
        ({"security_group_id": UNKNOWN}, "SecurityGroupNotFound"),
        ({"security_group_id": "no uuid"}, "SecurityGroupNotFound"),
        ({"remote_group_id": UNKNOWN}, "SecurityGroupNotFound"),
        ({"remote_address_group_id": UNKNOWN}, "AddressGroupNotFound"),
    ],
    ids=str,
)
@pytest.mark.parametrize("role", ["member,reader", "admin,member,reader"])
def test_not_there(api: Any, group: str, said: dict[str, Any], type_: str, role: str) -> None:
    assert refused(api.as_("p1", role), group, **said) == (404, type_)


# How it is written.


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({"protocol": "any"}, {"protocol": None}),
        ({"protocol": "ANY"}, {"protocol": None}),
        ({"protocol": "TCP"}, {"protocol": "tcp"}),
        ({"protocol": 6}, {"protocol": "6"}),
        ({"protocol": "0"}, {"protocol": "0"}),
        ({"protocol": "icmp", "ethertype": "IPv6"}, {"protocol": "ipv6-icmp"}),
        ({"protocol": "icmpv6", "ethertype": "IPv6"}, {"protocol": "ipv6-icmp"}),
        ({"protocol": "58", "ethertype": "IPv6"}, {"protocol": "58"}),
        ({"ethertype": "ipv6"}, {"ethertype": "IPv6"}),
        (
            {"protocol": "udp", "port_range_min": 1, "port_range_max": 65535},
            {"port_range_min": None, "port_range_max": None},
        ),
        (
            {"protocol": "tcp", "port_range_min": "80", "port_range_max": "81"},
            {"port_range_min": 80, "port_range_max": 81},
        ),
        (
            {"protocol": "icmp", "port_range_min": 8, "port_range_max": 0},
            {"port_range_min": 8, "port_range_max": 0},
        ),
        ({"protocol": "icmp", "port_range_min": 8}, {"port_range_min": 8, "port_range_max": None}),
        (
            {"remote_ip_prefix": "198.18.0.5/24"},
            {"remote_ip_prefix": "198.18.0.5/24", "normalized_cidr": "198.18.0.0/24"},
        ),
        (
            {"remote_ip_prefix": "198.18.0.5"},
            {"remote_ip_prefix": "198.18.0.5/32", "normalized_cidr": "198.18.0.5/32"},
        ),
        (
            {"remote_ip_prefix": "FD00::1/64", "ethertype": "IPv6"},
            {"remote_ip_prefix": "fd00::1/64", "normalized_cidr": "fd00::/64"},
        ),
        ({"remote_ip_prefix": "0.0.0.0/0"}, {"remote_ip_prefix": "0.0.0.0/0", "normalized_cidr": "0.0.0.0/0"}),
        ({"remote_ip_prefix": ""}, {"remote_ip_prefix": None, "normalized_cidr": None}),
    ],
    ids=str,
)
def test_canonical(api: Any, group: str, said: dict[str, Any], kept: dict[str, Any]) -> None:
    row = made(api, group, **said)
    assert {name: row[name] for name in kept} == kept


# Duplicates.

TCP = {"protocol": "tcp", "port_range_min": 22, "port_range_max": 22}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {}),
        (TCP, {**TCP, "protocol": "6"}),
        ({**TCP, "protocol": 6}, {**TCP, "protocol": "TCP"}),
        ({"protocol": "udp"}, {"protocol": "udp", "port_range_min": 1, "port_range_max": 65535}),
        ({}, {"remote_ip_prefix": "0.0.0.0/0"}),
        ({"ethertype": "IPv6"}, {"ethertype": "IPv6", "remote_ip_prefix": "::/0"}),
        ({"ethertype": "IPv6", "protocol": "icmp"}, {"ethertype": "IPv6", "protocol": "58"}),
        (TCP, {**TCP, "description": "another"}),
        ({"remote_ip_prefix": "198.18.0.1"}, {"remote_ip_prefix": "198.18.0.1/32"}),
    ],
    ids=str,
)
def test_same_rule_twice(api: Any, group: str, one: dict[str, Any], other: dict[str, Any]) -> None:
    bulk = {"security_group_rules": [rule(group, **said)["security_group_rule"] for said in (one, other)]}
    assert api.fault(api.post(RULES, bulk)) == (409, "DuplicateSecurityGroupRuleInPost")
    row = made(api, group, **one)
    status, body = api.post(RULES, rule(group, **other))
    assert (status, body["NeutronError"]["type"]) == (409, "SecurityGroupRuleExists")
    assert body["NeutronError"]["message"].endswith(f"Rule id is {row['id']}.")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"direction": "ingress", "ethertype": "IPv6"}),
        (TCP, {**TCP, "protocol": "udp"}),
        (TCP, {**TCP, "port_range_max": 23}),
        ({"remote_ip_prefix": "198.18.0.1/24"}, {"remote_ip_prefix": "198.18.0.2/24"}),
        ({"protocol": "icmp"}, {"protocol": "icmp", "port_range_min": 8}),
    ],
    ids=str,
)
def test_other_rule(api: Any, group: str, one: dict[str, Any], other: dict[str, Any]) -> None:
    made(api, group, **one)
    made(api, group, **other)


def test_same_rule_in_another_group(api: Any, group: str) -> None:
    made(api, group, **TCP)
    made(api, api.make("security-groups")["id"], **TCP)


def test_remote_tells_rules_apart(api: Any, group: str) -> None:
    other = api.make("security-groups")["id"]
    addresses = api.make("address-groups")["id"]
    for said in ({}, {"remote_group_id": group}, {"remote_group_id": other}, {"remote_address_group_id": addresses}):
        made(api, group, **said)
    assert refused(api, group, remote_group_id=other) == (409, "SecurityGroupRuleExists")
    assert refused(api, group, remote_address_group_id=addresses) == (409, "SecurityGroupRuleExists")


# In bulk.


def test_bulk(api: Any, group: str) -> None:
    ports = [rule(group, protocol="tcp", port_range_min=n, port_range_max=n)["security_group_rule"] for n in (1, 2, 3)]
    status, body = api.post(RULES, {"security_group_rules": ports})
    assert status == 201
    assert [row["port_range_min"] for row in body["security_group_rules"]] == [1, 2, 3]
    assert len(api.show("security-groups", group)["security_group_rules"]) == 5


def test_bulk_is_all_or_nothing(api: Any, group: str) -> None:
    made(api, group, **TCP)
    rules = [rule(group, **said)["security_group_rule"] for said in ({"protocol": "udp"}, TCP)]
    assert api.fault(api.post(RULES, {"security_group_rules": rules})) == (409, "SecurityGroupRuleExists")
    assert len(api.show("security-groups", group)["security_group_rules"]) == 3


def test_bulk_is_for_one_group_and_project(api: Any, group: str) -> None:
    other = api.make("security-groups")["id"]
    rules = [rule(id)["security_group_rule"] for id in (group, other)]
    assert api.fault(api.post(RULES, {"security_group_rules": rules})) == (400, "SecurityGroupNotSingleGroupRules")
    rules = [{**rule(group, protocol=n)["security_group_rule"], "project_id": f"p{n}"} for n in (1, 2)]
    answer = api.admin.post(RULES, {"security_group_rules": rules})
    assert api.fault(answer) == (400, "SecurityGroupRulesNotSingleProject")


def test_bulk_costs_as_much_as_one(api: Any, group: str) -> None:
    cost = []
    made(api, group, protocol="udp")
    for first, count in ((1, 1), (100, 60)):
        rules = [
            rule(group, protocol="tcp", port_range_min=n, port_range_max=n, remote_group_id=group)[
                "security_group_rule"
            ]
            for n in range(first, first + count)
        ]
        with api.statements() as seen:
            assert api.post(RULES, {"security_group_rules": rules})[0] == 201
        cost.append(len(seen))
    assert cost[0] == cost[1] <= 7


# Their group.


def test_rules_bump_the_group(api: Any, group: str) -> None:
    before = api.show("security-groups", group)["revision_number"]
    row = made(api, group)
    assert api.show("security-groups", group)["revision_number"] == before + 1
    assert api.delete(f"{RULES}/{row['id']}") == (204, None)
    assert api.show("security-groups", group)["revision_number"] == before + 2
    log = api.inside(lambda tx: tx.all(select(CHANGES).order_by(CHANGES.c.sequence)))
    told = [(one.kind, one.operation) for one in log if one.id in (group, row["id"])]
    assert told == [
        ("security_group", "create"),
        ("security_group_rule", "create"),
        ("security_group", "update"),
        ("security_group_rule", "delete"),
        ("security_group", "update"),
    ]


def test_rules_of_the_default_group_say_so(api: Any, group: str) -> None:
    (default,) = api.list("security-groups", "name=default")
    row = made(api, default["id"], **TCP)
    assert row["belongs_to_default_sg"] is True
    assert {one["security_group_id"] for one in api.list(RULES, "belongs_to_default_sg=true")} == {default["id"]}
    assert {one["security_group_id"] for one in api.list(RULES, "belongs_to_default_sg=false")} == {group}


def test_rules_cannot_be_changed(api: Any, group: str) -> None:
    row = made(api, group)
    path = f"{RULES}/{row['id']}"
    for change in ({"protocol": "tcp"}, {"description": "x"}):
        assert api.fault(api.put(path, {"security_group_rule": change})) == (400, "HTTPBadRequest")
    assert api.show(RULES, row["id"]) == row
    unknown = api.put(f"{RULES}/abc", {"security_group_rule": {"description": "x"}})
    assert api.fault(unknown) == (404, "SecurityGroupRuleNotFound")


def test_unknown_rule(api: Any) -> None:
    for answer in (api.get(f"{RULES}/{UNKNOWN}"), api.delete(f"{RULES}/{UNKNOWN}")):
        assert api.fault(answer) == (404, "SecurityGroupRuleNotFound")


def test_both_spellings_of_the_path(api: Any, group: str) -> None:
    assert api.list("security_group_rules") == api.list(RULES) != []


def test_filters(api: Any, group: str) -> None:
    row = made(api, group, **TCP, remote_ip_prefix="198.18.0.9/24")
    for query in (
        "protocol=TCP",
        "port_range_min=22",
        "normalized_cidr=198.18.0.0/24",
        "remote_ip_prefix=198.18.0.9/24",
    ):
        assert api.list(RULES, query) == [row], query
    assert len(api.list(RULES, f"security_group_id={group}")) == 3
    assert api.list(RULES, f"security_group_id={group}&direction=ingress&fields=id") == [{"id": row["id"]}]


# Other projects.


def test_rule_in_the_group_of_another(api: Any, group: str) -> None:
    assert refused(api.as_("p2"), group) == (403, "PolicyNotAuthorized")
    assert refused(api.as_("p1", "reader"), group) == (403, "PolicyNotAuthorized")
    row = api.admin.make(RULES, **rule(group)["security_group_rule"], project_id="p1")
    assert row["project_id"] == "p1"


def test_rules_of_others_are_not_there(api: Any, group: str) -> None:
    row, other = made(api, group), api.as_("p2")
    assert {one["project_id"] for one in other.list(RULES)} == {"p2"}
    for answer in (other.get(f"{RULES}/{row['id']}"), other.delete(f"{RULES}/{row['id']}")):
        assert api.fault(answer) == (404, "SecurityGroupRuleNotFound")


def test_owner_of_the_group_sees_and_deletes_the_rules_of_administrators(api: Any, group: str) -> None:
    row = api.admin.make(RULES, **rule(group)["security_group_rule"])
    assert row["project_id"] == "admin"
    assert api.show(RULES, row["id"]) == row
    assert api.delete(f"{RULES}/{row['id']}")[0] == 204


def test_remote_group_of_another(api: Any, group: str) -> None:
    foreign = api.as_("p2").make("security-groups")["id"]
    assert refused(api, group, remote_group_id=foreign) == (404, "SecurityGroupNotFound")
    entry = {
        "id": UNKNOWN,
        "project_id": "p2",
        "object_type": "security_group",
        "object_id": foreign,
        "target_tenant": "p1",
        "action": "access_as_shared",
    }
    api.inside(lambda tx: tx.execute(insert(RBAC_ENTRIES), entry))
    assert made(api, group, remote_group_id=foreign)["remote_group_id"] == foreign


class TestOperatorsPolicy:
    """`rule_default_sg` is there for policies of operators."""

    @pytest.fixture
    def options(self, tmp_path: Any) -> dict[str, dict[str, Any]]:
        (tmp_path / "policy.yaml").write_text(
            '"create_security_group_rule": "rule:admin_only or (role:member and rule:sg_owner and not rule:rule_default_sg)"\n'
        )
        return {"api": {"state_path": str(tmp_path)}}

    def test_default_groups_can_be_closed(self, api: Any, group: str) -> None:
        (default,) = api.list("security-groups", "name=default")
        assert refused(api, default["id"]) == (403, "PolicyNotAuthorized")
        made(api, group)
