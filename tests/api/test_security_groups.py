"""Security groups: the default group, statefulness, sharing, what holds them back, what they cost."""

from __future__ import annotations

import re
import threading
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import insert, select

from weft import errors
from weft.resources import security_group
from weft.store.access import RBAC_ENTRIES
from weft.store.changes import CHANGES
from weft.store.quota import USAGE

UNKNOWN = "6f3d1c3e-0000-4000-8000-000000000000"
GROUPS = "security-groups"


def default(api: Any) -> dict[str, Any]:
    """The caller's group `default`."""
    (found,) = [group for group in api.list(GROUPS) if group["name"] == "default"]
    return dict(found)


def said(rules: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
    return {(rule["direction"], rule["ethertype"], rule["protocol"], rule["remote_group_id"]) for rule in rules}


def share(api: Any, id: str, target: str, kind: str = "security_group", owner: str = "p1") -> None:
    """An RBAC policy as POST /rbac-policies writes it."""
    entry = {
        "id": str(uuid4()),
        "project_id": owner,
        "object_type": kind,
        "object_id": id,
        "target_tenant": target,
        "action": "access_as_shared",
    }
    api.inside(lambda tx: tx.execute(insert(RBAC_ENTRIES), entry))


def network(api: Any) -> str:
    made = api.make("networks")
    api.make("subnets", network_id=made["id"], ip_version=4, cidr="198.18.0.0/24")
    return str(made["id"])


def used(api: Any, name: str, project: str = "p1") -> int:
    where = (USAGE.c.project_id == project, USAGE.c.resource == name)
    found = api.inside(lambda tx: tx.first(select(USAGE.c.used).where(*where)))
    return int(found[0]) if found else 0


def changes(api: Any, after: int = 0) -> list[tuple[str, str, str]]:
    """(kind, id, operation) of the change log after its first `after` entries."""
    rows = api.inside(lambda tx: tx.all(select(CHANGES).order_by(CHANGES.c.sequence)))
    return [(row.kind, row.id, row.operation) for row in rows[after:]]


# The default group.


def test_first_list_shows_the_default_group_with_its_rules(api: Any) -> None:
    group = default(api)
    assert group["description"] == "Default security group"
    assert group["stateful"] is True
    assert group["project_id"] == group["tenant_id"] == "p1"
    assert said(group["security_group_rules"]) == {
        ("egress", "IPv4", None, None),
        ("egress", "IPv6", None, None),
        ("ingress", "IPv4", None, group["id"]),
        ("ingress", "IPv6", None, group["id"]),
    }
    assert {rule["belongs_to_default_sg"] for rule in group["security_group_rules"]} == {True}


def test_default_group_is_made_once(api: Any) -> None:
    first = default(api)
    assert default(api)["id"] == first["id"]
    network(api)
    assert len(api.list(GROUPS)) == 1


def test_rule_list_makes_the_default_group(api: Any) -> None:
    assert len(api.list("security-group-rules")) == 4


@pytest.mark.parametrize("collection", ["networks", GROUPS])
def test_create_makes_the_default_group_of_the_owner(api: Any, collection: str) -> None:
    api.admin.make(collection, name="x", project_id="p7")
    assert "default" in {group["name"] for group in api.admin.list(GROUPS) if group["project_id"] == "p7"}


def test_admin_listing_a_project_makes_its_default_group(api: Any) -> None:
    assert [group["name"] for group in api.admin.list(GROUPS, "project_id=p8")] == ["default"]


def test_others_listing_a_project_make_nothing(api: Any) -> None:
    assert api.list(GROUPS, "project_id=p8") == []
    assert api.admin.list(GROUPS, "name=default&project_id=p1&project_id=p8") == []


def test_list_writes_only_while_the_default_group_is_missing(api: Any) -> None:
    with api.statements() as first:
        default(api)
    with api.statements() as later:
        default(api)
    assert any(statement.startswith("INSERT") for statement in first)
    assert [statement.split()[0] for statement in later] == ["SELECT", "SELECT"]


def test_two_first_requests_at_once_make_one_default_group(api: Any) -> None:
    start = threading.Barrier(4)
    found: list[set[str]] = []

    def look() -> None:
        start.wait()
        found.append({group["id"] for group in api.list(GROUPS)})

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set.union(*found)) == 1
    assert used(api, "security_group") == 1
    assert used(api, "security_group_rule") == 4


@pytest.mark.parametrize("name", ["default", "Default", "DEFAULT"])
def test_name_default_is_taken(api: Any, name: str) -> None:
    fault = (409, "SecurityGroupDefaultAlreadyExists")
    assert api.fault(api.post(GROUPS, {"security_group": {"name": name}})) == fault
    group = api.make(GROUPS, name="x")
    assert api.fault(api.put(f"{GROUPS}/{group['id']}", {"security_group": {"name": name}})) == fault


def test_default_group_keeps_its_name(api: Any) -> None:
    path = f"{GROUPS}/{default(api)['id']}"
    assert api.fault(api.put(path, {"security_group": {"name": "x"}})) == (409, "SecurityGroupCannotUpdateDefault")
    status, body = api.put(path, {"security_group": {"description": "ours"}})
    assert (status, body["security_group"]["description"]) == (200, "ours")


def test_only_admins_delete_the_default_group(api: Any) -> None:
    path = f"{GROUPS}/{default(api)['id']}"
    assert api.fault(api.delete(path)) == (409, "SecurityGroupCannotRemoveDefault")
    assert api.admin.delete(path)[0] == 204
    assert default(api)["id"] not in path


def test_default_group_in_use_is_in_use_before_it_is_default(api: Any) -> None:
    api.make("ports", network_id=network(api))
    path = f"{GROUPS}/{default(api)['id']}"
    for who in (api, api.admin):
        assert api.fault(who.delete(path)) == (409, "SecurityGroupInUse")


# Their life.


def test_new_group_lets_everything_out_and_nothing_in(api: Any) -> None:
    group = api.make(GROUPS, name="web", description="d")
    assert (group["name"], group["description"], group["shared"], group["tags"]) == ("web", "d", False, [])
    assert said(group["security_group_rules"]) == {("egress", "IPv4", None, None), ("egress", "IPv6", None, None)}
    assert group == api.show(GROUPS, group["id"])
    assert [one for one in api.list(GROUPS) if one["id"] == group["id"]] == [group]


def test_name_may_be_missing(api: Any) -> None:
    assert api.make(GROUPS)["name"] == ""


def test_groups_in_bulk_come_all_or_none(api: Any) -> None:
    status, body = api.post(GROUPS, {"security_groups": [{"name": "a"}, {"name": "b"}]})
    assert status == 201
    assert [(group["name"], len(group["security_group_rules"])) for group in body["security_groups"]] == [
        ("a", 2),
        ("b", 2),
    ]
    bad = api.post(GROUPS, {"security_groups": [{"name": "c"}, {"name": "default"}]})
    assert api.fault(bad) == (409, "SecurityGroupDefaultAlreadyExists")
    assert {group["name"] for group in api.list(GROUPS)} == {"default", "a", "b"}


def test_shared_cannot_be_said(api: Any) -> None:
    assert api.fault(api.post(GROUPS, {"security_group": {"shared": True}})) == (400, "HTTPBadRequest")


def test_unknown_group(api: Any) -> None:
    for answer in (api.get(f"{GROUPS}/{UNKNOWN}"), api.delete(f"{GROUPS}/{UNKNOWN}")):
        assert api.fault(answer) == (404, "SecurityGroupNotFound")


def test_both_spellings_of_the_path(api: Any) -> None:
    assert api.list("security_groups") == api.list(GROUPS)


def test_delete_takes_rules_of_others_that_refer_to_it(api: Any) -> None:
    gone, stays = api.make(GROUPS, name="gone"), api.make(GROUPS, name="stays")
    api.make("security-group-rules", security_group_id=stays["id"], direction="ingress", remote_group_id=gone["id"])
    api.make("security-group-rules", security_group_id=gone["id"], direction="ingress", remote_group_id=gone["id"])
    before, seen = api.show(GROUPS, stays["id"]), len(changes(api))
    assert api.delete(f"{GROUPS}/{gone['id']}") == (204, None)
    after = api.show(GROUPS, stays["id"])
    assert len(after["security_group_rules"]) == len(before["security_group_rules"]) - 1 == 2
    assert after["revision_number"] == before["revision_number"] + 1
    log = changes(api, seen)
    assert ("security_group", gone["id"], "delete") in log
    assert ("security_group", stays["id"], "update") in log
    assert [operation for kind, _, operation in log if kind == "security_group_rule"] == ["delete"] * 4
    assert used(api, "security_group") == 2  # default and stays
    assert used(api, "security_group_rule") == 4 + 2


def test_group_of_a_port_is_in_use(api: Any) -> None:
    group = api.make(GROUPS)
    port = api.make("ports", network_id=network(api), security_groups=[group["id"]])
    assert api.fault(api.delete(f"{GROUPS}/{group['id']}")) == (409, "SecurityGroupInUse")
    assert api.delete(f"ports/{port['id']}")[0] == 204
    assert api.delete(f"{GROUPS}/{group['id']}")[0] == 204


def test_update_bumps_the_revision_and_if_match_holds(api: Any) -> None:
    group = api.make(GROUPS)
    path, body = f"{GROUPS}/{group['id']}", {"security_group": {"name": "n"}}
    _, answer = api.put(path, body, If_Match=f"revision_number={group['revision_number']}")
    assert answer["security_group"]["revision_number"] == group["revision_number"] + 1
    stale = api.put(path, {"security_group": {"name": "m"}}, If_Match=f"revision_number={group['revision_number']}")
    assert api.fault(stale) == (412, "RevisionNumberConstraintFailed")


# Statefulness.


def test_stateful_can_change_until_it_is_used(api: Any) -> None:
    group = api.make(GROUPS, stateful=False)
    path = f"{GROUPS}/{group['id']}"
    assert group["stateful"] is False
    assert api.put(path, {"security_group": {"stateful": True}})[1]["security_group"]["stateful"] is True
    api.make("ports", network_id=network(api), security_groups=[group["id"]])
    changed = api.put(path, {"security_group": {"stateful": False}})
    assert api.fault(changed) == (409, "SecurityGroupInUse")
    assert api.put(path, {"security_group": {"stateful": True}})[0] == 200


def test_port_refuses_a_mix_of_stateful_and_stateless(api: Any) -> None:
    ids = [api.make(GROUPS, stateful=stateful)["id"] for stateful in (True, False)]
    on = network(api)
    body = {"port": {"network_id": on, "security_groups": ids}}
    assert api.fault(api.post("ports", body)) == (409, "SecurityGroupConflict")
    port = api.make("ports", network_id=on, security_groups=ids[:1])
    answer = api.put(f"ports/{port['id']}", {"port": {"security_groups": ids}})
    assert api.fault(answer) == (409, "SecurityGroupConflict")


# Other projects.


def test_groups_of_others_are_not_there(api: Any) -> None:
    group, other = api.make(GROUPS), api.as_("p2")
    assert group["id"] not in {one["id"] for one in other.list(GROUPS)}
    path = f"{GROUPS}/{group['id']}"
    for answer in (other.get(path), other.put(path, {"security_group": {"name": "x"}}), other.delete(path)):
        assert api.fault(answer) == (404, "SecurityGroupNotFound")
    assert group["id"] in {one["id"] for one in api.admin.list(GROUPS)}


def test_readers_look_and_do_not_touch(api: Any) -> None:
    group, reader = api.make(GROUPS), api.as_("p1", "reader")
    path = f"{GROUPS}/{group['id']}"
    assert reader.show(GROUPS, group["id"]) == group
    for answer in (
        reader.post(GROUPS, {"security_group": {}}),
        reader.put(path, {"security_group": {"name": "x"}}),
        reader.delete(path),
    ):
        assert api.fault(answer) == (403, "PolicyNotAuthorized")


@pytest.mark.parametrize("target", ["p2", "*"])
def test_shared_group_is_seen_and_used_but_not_changed(api: Any, target: str) -> None:
    group, other = api.make(GROUPS), api.as_("p2")
    share(api, group["id"], target)
    assert other.show(GROUPS, group["id"])["shared"] is True
    assert [one["id"] for one in other.list(GROUPS, "shared=true")] == [group["id"]]
    assert group["id"] not in {one["id"] for one in other.list(GROUPS, "shared=false")}
    port = other.make("ports", network_id=network(other), security_groups=[group["id"]])
    assert port["security_groups"] == [group["id"]]
    path = f"{GROUPS}/{group['id']}"
    for answer in (other.put(path, {"security_group": {"name": "x"}}), other.delete(path)):
        assert api.fault(answer) == (403, "PolicyNotAuthorized")
    rule = {"security_group_rule": {"security_group_id": group["id"], "direction": "ingress"}}
    assert api.fault(other.post("security-group-rules", rule)) == (403, "PolicyNotAuthorized")
    assert api.show(GROUPS, group["id"])["shared"] is (target == "*")


def test_sharing_ends_with_the_group(api: Any) -> None:
    group = api.make(GROUPS)
    share(api, group["id"], "*")
    assert api.delete(f"{GROUPS}/{group['id']}")[0] == 204
    assert api.inside(lambda tx: tx.all(select(RBAC_ENTRIES))) == []


@pytest.mark.parametrize(
    ("targets", "losing", "held"),
    [
        (["p2"], "p2", True),
        (["*"], "*", True),
        (["p2", "*"], "p2", False),
        (["p2", "*"], "*", False),
        (["p2", "p3"], "p3", False),
        (["p2", "p3"], "p2", True),
    ],
    ids=str,
)
def test_what_holds_sharing(api: Any, targets: list[str], losing: str, held: bool) -> None:
    group, other = api.make(GROUPS), api.as_("p2")
    for target in targets:
        share(api, group["id"], target)
    api.make("ports", network_id=network(api), security_groups=[group["id"]])
    assert api.inside(lambda tx: security_group.used_by_others(tx, group, losing)) is False
    other.make("ports", network_id=network(other), security_groups=[group["id"]])
    assert api.inside(lambda tx: security_group.used_by_others(tx, group, losing)) is held


def test_ports_name_every_group_that_they_may_not_use(api: Any) -> None:
    mine, foreign = api.make(GROUPS)["id"], api.as_("p2").make(GROUPS)["id"]
    body = {"port": {"network_id": network(api), "security_groups": [mine, foreign, UNKNOWN]}}
    status, answer = api.post("ports", body)
    assert (status, answer["NeutronError"]["type"]) == (404, "SecurityGroupNotFound")
    message = answer["NeutronError"]["message"]
    assert foreign in message
    assert UNKNOWN in message
    assert mine not in message


def test_a_group_that_has_gone_takes_no_port(api: Any) -> None:
    """It is a collision like others: whoever asked looks again, and is told by name."""
    port = api.make("ports", network_id=network(api), security_groups=[])["id"]
    with pytest.raises(errors.Conflict):
        api.inside(lambda tx: security_group.bind(tx, [(port, UNKNOWN)]))
    assert api.show("ports", port)["security_groups"] == []


def test_default_group_of_a_port_costs_no_look(api: Any) -> None:
    group, on = default(api)["id"], network(api)
    cost = []
    for said in ({}, {"security_groups": [group]}, {"security_groups": []}):
        with api.statements() as seen:
            api.make("ports", network_id=on, **said)
        cost.append(len([one for one in seen if re.match(r"SELECT[^;]*FROM security_groups\b", one)]))
    assert cost == [0, 0, 0]


def test_admin_may_put_any_group_on_a_port(api: Any) -> None:
    foreign = api.as_("p2").make(GROUPS)["id"]
    port = api.make("ports", network_id=network(api))
    status, body = api.admin.put(f"ports/{port['id']}", {"port": {"security_groups": [foreign]}})
    assert (status, body["port"]["security_groups"]) == (200, [foreign])


# Lists and quota.


def test_filter_and_sort(api: Any) -> None:
    for name in ("b", "a"):
        api.make(GROUPS, name=name, stateful=name == "a")
    assert [group["name"] for group in api.list(GROUPS, "sort_key=name&sort_dir=asc")] == ["a", "b", "default"]
    assert [group["name"] for group in api.list(GROUPS, "stateful=false")] == ["b"]
    assert [group["name"] for group in api.list(GROUPS, "name=a&name=b&fields=name&sort_key=name&sort_dir=desc")] == [
        "b",
        "a",
    ]
    assert api.fault(api.get(f"{GROUPS}?sort_key=stateful&sort_dir=asc")) == (400, "HTTPBadRequest")


def test_unknown_marker_gives_the_first_page(api: Any) -> None:
    api.make(GROUPS)
    assert api.list(GROUPS, f"limit=1&marker={UNKNOWN}") == api.list(GROUPS, "limit=1")


class TestQuota:
    @pytest.fixture
    def options(self) -> dict[str, dict[str, Any]]:
        return {"quotas": {"quota_security_group": 3, "quota_security_group_rule": 7}}

    def test_of_groups(self, api: Any) -> None:
        api.make(GROUPS)
        assert api.fault(api.post(GROUPS, {"security_groups": [{}, {}]})) == (409, "OverQuota")
        assert len(api.list(GROUPS)) == 2

    def test_rules_of_templates_count(self, api: Any) -> None:
        api.make(GROUPS)  # 4 rules of the default group and 2 of this one
        status, body = api.post(GROUPS, {"security_group": {}})
        assert (status, body["NeutronError"]["type"]) == (409, "OverQuota")
        assert "security_group_rule" in body["NeutronError"]["message"]
        assert used(api, "security_group_rule") == 6

    def test_of_rules(self, api: Any) -> None:
        group = api.make(GROUPS)["id"]
        rules = [
            {"security_group_id": group, "direction": "ingress", "ethertype": ethertype}
            for ethertype in ("IPv4", "IPv6")
        ]
        assert api.fault(api.post("security-group-rules", {"security_group_rules": rules})) == (409, "OverQuota")
        made = api.make("security-group-rules", **rules[0])
        assert api.fault(api.post("security-group-rules", {"security_group_rule": rules[1]})) == (409, "OverQuota")
        assert api.delete(f"security-group-rules/{made['id']}")[0] == 204
        api.make("security-group-rules", **rules[1])


class TestWithoutQuota:
    @pytest.fixture
    def options(self) -> dict[str, dict[str, Any]]:
        return {"quotas": {"quota_security_group": -1, "quota_security_group_rule": -1}}

    def test_lists_cost_the_same_however_long(self, api: Any) -> None:
        cost = {}
        for count in (10, 200):
            missing = count - len(api.list(GROUPS))
            assert api.post(GROUPS, {"security_groups": [{"name": "x"}] * missing})[0] == 201
            for collection, length in ((GROUPS, count), ("security-group-rules", 2 * count + 2)):
                with api.statements() as seen:
                    assert len(api.list(collection)) == length
                cost.setdefault(collection, []).append(len(seen))
        assert cost == {GROUPS: [2, 2], "security-group-rules": [2, 2]}

    def test_create_costs_the_same_for_many(self, api: Any) -> None:
        default(api)
        cost = []
        for count in (1, 50):
            with api.statements() as seen:
                assert api.post(GROUPS, {"security_groups": [{"name": "x"}] * count})[0] == 201
            cost.append(len(seen))
        assert cost[0] == cost[1] <= 9
