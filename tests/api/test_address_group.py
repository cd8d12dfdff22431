"""Address groups: their addresses, who sees them, what holds them back."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert, select

from weft.resources import address_group
from weft.store.access import RBAC_ENTRIES
from weft.store.changes import CHANGES

UNKNOWN = "6f3d1c3e-0000-4000-8000-000000000000"
GROUPS = "address-groups"


def share(api: Any, id: str, target: str) -> None:
    entry = {
        "id": UNKNOWN,
        "project_id": "p1",
        "object_type": "address_group",
        "object_id": id,
        "target_tenant": target,
        "action": "access_as_shared",
    }
    api.inside(lambda tx: tx.execute(insert(RBAC_ENTRIES), entry))


def test_life(api: Any) -> None:
    group = api.make(GROUPS, name="ag", description="d", addresses=["198.18.0.0/15", "203.0.113.5/32"])
    assert group == api.show(GROUPS, group["id"])
    assert (group["name"], group["description"], group["project_id"]) == ("ag", "d", "p1")
    assert sorted(group["addresses"]) == ["198.18.0.0/15", "203.0.113.5/32"]
    assert "shared" not in group
    path = f"{GROUPS}/{group['id']}"
    status, body = api.put(path, {"address_group": {"name": "n", "description": ""}})
    assert (status, body["address_group"]["name"], body["address_group"]["revision_number"]) == (200, "n", 1)
    assert api.delete(path) == (204, None)
    assert api.fault(api.get(path)) == (404, "AddressGroupNotFound")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (None, []),
        ([], []),
        (["198.18.0.7/15"], ["198.18.0.0/15"]),
        (["2001:DB8::1/64"], ["2001:db8::/64"]),
    ],
    ids=str,
)
def test_addresses_are_prefixes(api: Any, given: Any, kept: list[str]) -> None:
    assert api.make(GROUPS, addresses=given)["addresses"] == kept
    assert api.make(GROUPS)["addresses"] == []


@pytest.mark.parametrize(
    "bad", [["203.0.113.5"], ["zz"], ["198.18.0.0/33"], "198.18.0.0/15", [None], [{}], ["198.18.0.0/15"] * 2]
)
def test_addresses_refused(api: Any, bad: Any) -> None:
    assert api.fault(api.post(GROUPS, {"address_group": {"addresses": bad}})) == (400, "HTTPBadRequest")


def test_addresses_change_by_actions_only(api: Any) -> None:
    path = f"{GROUPS}/{api.make(GROUPS)['id']}"
    answer = api.put(path, {"address_group": {"addresses": ["198.18.0.0/15"]}})
    assert api.fault(answer) == (400, "HTTPBadRequest")


def test_long_descriptions(api: Any) -> None:
    assert api.make(GROUPS, description="d" * 1024)["description"] == "d" * 1024
    assert api.fault(api.post(GROUPS, {"address_group": {"description": "d" * 1025}})) == (400, "HTTPBadRequest")


def test_add_and_remove(api: Any) -> None:
    group = api.make(GROUPS, addresses=["198.18.0.0/16"])
    add, remove = (f"{GROUPS}/{group['id']}/{action}" for action in ("add_addresses", "remove_addresses"))
    status, body = api.put(add, {"addresses": ["203.0.113.5", "2001:db8::1/64", "203.0.113.5/32"]})
    assert status == 200
    assert body["address_group"]["addresses"] == ["198.18.0.0/16", "203.0.113.5/32", "2001:db8::/64"]
    assert body["address_group"]["revision_number"] == 1
    status, body = api.put(remove, {"addresses": ["198.18.0.0/16", "2001:db8::/64"]})
    assert (status, body["address_group"]["addresses"]) == (200, ["203.0.113.5/32"])
    assert body["address_group"] == api.show(GROUPS, group["id"])
    log = api.inside(lambda tx: tx.all(select(CHANGES).where(CHANGES.c.id == group["id"]).order_by(CHANGES.c.sequence)))
    assert [(one.kind, one.operation) for one in log] == [
        ("address_group", "create"),
        ("address_group", "update"),
        ("address_group", "update"),
    ]


@pytest.mark.parametrize("spelling", ["address-groups", "address_groups"])
def test_both_spellings_of_the_path(api: Any, spelling: str) -> None:
    id = api.make(GROUPS)["id"]
    assert api.put(f"{spelling}/{id}/add_addresses", {"addresses": ["198.18.0.0/15"]})[0] == 200
    assert [group["id"] for group in api.list(spelling)] == [id]


@pytest.mark.parametrize(
    ("action", "addresses", "fault"),
    [
        ("add_addresses", ["203.0.113.0/24", "198.18.0.1/15"], (400, "AddressesAlreadyExist")),
        ("add_addresses", ["zz"], (400, "AddrFormatError")),
        ("add_addresses", [None], (400, "AddrFormatError")),
        ("add_addresses", None, (400, "HTTPBadRequest")),
        ("remove_addresses", ["198.18.0.0/15", "203.0.113.0/24"], (404, "AddressesNotFound")),
        ("remove_addresses", ["zz"], (400, "AddrFormatError")),
    ],
    ids=str,
)
def test_actions_refused(api: Any, action: str, addresses: Any, fault: tuple[int, str]) -> None:
    group = api.make(GROUPS, addresses=["198.18.0.0/15"])
    status, body = api.put(f"{GROUPS}/{group['id']}/{action}", {"addresses": addresses})
    assert (status, body["NeutronError"]["type"]) == fault
    assert "198.18.0.0/15" not in body["NeutronError"]["message"] or action == "add_addresses"
    assert api.show(GROUPS, group["id"]) == group


def test_action_without_addresses(api: Any) -> None:
    path = f"{GROUPS}/{api.make(GROUPS)['id']}/add_addresses"
    for body in ({}, [], {"address_group": {}}):
        assert api.fault(api.put(path, body)) == (400, "HTTPBadRequest")


def test_action_with_if_match(api: Any) -> None:
    path = f"{GROUPS}/{api.make(GROUPS)['id']}/add_addresses"
    answer = api.put(path, {"addresses": ["198.18.0.0/15"]}, If_Match="revision_number=7")
    assert api.fault(answer) == (412, "RevisionNumberConstraintFailed")


def test_bulk_is_all_or_nothing(api: Any) -> None:
    good, bad = {"addresses": ["198.18.0.0/15"]}, {"addresses": ["zz"]}
    assert api.fault(api.post(GROUPS, {"address_groups": [good, bad]})) == (400, "HTTPBadRequest")
    assert api.list(GROUPS) == []
    status, body = api.post(GROUPS, {"address_groups": [good, good]})
    assert (status, len(body["address_groups"])) == (201, 2)


def test_group_of_a_rule_is_in_use(api: Any) -> None:
    group, security = api.make(GROUPS)["id"], api.make("security-groups")["id"]
    rule = api.make(
        "security-group-rules", security_group_id=security, direction="ingress", remote_address_group_id=group
    )
    assert api.fault(api.delete(f"{GROUPS}/{group}")) == (409, "AddressGroupInUse")
    assert api.delete(f"security-group-rules/{rule['id']}")[0] == 204
    assert api.delete(f"{GROUPS}/{group}")[0] == 204


def test_groups_of_others_are_not_there(api: Any) -> None:
    group, other = api.make(GROUPS), api.as_("p2")
    path = f"{GROUPS}/{group['id']}"
    assert other.list(GROUPS) == []
    for answer in (
        other.get(path),
        other.delete(path),
        other.put(path, {"address_group": {"name": "x"}}),
        other.put(f"{path}/add_addresses", {"addresses": ["198.18.0.0/15"]}),
    ):
        assert api.fault(answer) == (404, "AddressGroupNotFound")
    security = other.make("security-groups")["id"]
    body = {"security_group_id": security, "direction": "ingress", "remote_address_group_id": group["id"]}
    answer = other.post("security-group-rules", {"security_group_rule": body})
    assert api.fault(answer) == (404, "AddressGroupNotFound")


@pytest.mark.parametrize("target", ["p2", "*"])
def test_shared_group_is_seen_and_used_but_not_changed(api: Any, target: str) -> None:
    group, other = api.make(GROUPS), api.as_("p2")
    share(api, group["id"], target)
    assert other.show(GROUPS, group["id"]) == group
    assert other.list(GROUPS) == [group]
    path = f"{GROUPS}/{group['id']}"
    assert api.fault(other.put(path, {"address_group": {"name": "x"}})) == (404, "HTTPNotFound")
    for answer in (
        other.put(f"{path}/add_addresses", {"addresses": ["198.18.0.0/15"]}),
        other.delete(path),
    ):
        assert api.fault(answer) == (403, "PolicyNotAuthorized")
    security = other.make("security-groups")["id"]
    other.make(
        "security-group-rules", security_group_id=security, direction="egress", remote_address_group_id=group["id"]
    )
    assert api.inside(lambda tx: address_group.used_by_others(tx, group, target)) is True
    assert api.inside(lambda tx: address_group.used_by_others(tx, group, "p3")) is False


def test_readers_look_and_do_not_touch(api: Any) -> None:
    group, reader = api.make(GROUPS), api.as_("p1", "reader")
    assert reader.list(GROUPS) == [group]
    path = f"{GROUPS}/{group['id']}"
    for answer in (
        reader.post(GROUPS, {"address_group": {}}),
        reader.put(f"{path}/remove_addresses", {"addresses": []}),
        reader.delete(path),
    ):
        assert api.fault(answer) == (403, "PolicyNotAuthorized")


def test_lists_cost_the_same_however_long(api: Any) -> None:
    cost = []
    for count in (10, 190):
        body = {"address_groups": [{"addresses": ["198.18.0.0/15", "203.0.113.0/24"]}] * count}
        assert api.post(GROUPS, body)[0] == 201
        with api.statements() as seen:
            assert len(api.list(GROUPS)) >= count
        cost.append(len(seen))
    assert cost == [1, 1]
