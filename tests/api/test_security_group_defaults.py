"""What new security groups start with: the templates of their rules, and whether they are stateful."""

from __future__ import annotations

from typing import Any

import pytest

from weft import app

UNKNOWN = "6f3d1c3e-0000-4000-8000-000000000000"
TEMPLATES = "default-security-group-rules"
SETTINGS = "security-groups-default-statefulness"
SSH = {"direction": "ingress", "protocol": "tcp", "port_range_min": 22, "port_range_max": 22}
BOTH = {"used_in_default_sg": True, "used_in_non_default_sg": True}


def template(api: Any, **said: Any) -> dict[str, Any]:
    row: dict[str, Any] = api.admin.make(TEMPLATES, **{**SSH, **BOTH, **said})
    assert row == api.show(TEMPLATES, row["id"])
    return row


def refused(api: Any, **said: Any) -> tuple[int, str]:
    body = {"default_security_group_rule": {**SSH, **BOTH, **said}}
    return api.fault(api.admin.post(TEMPLATES, body))  # type: ignore[no-any-return]


def ingress(group: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [
        (rule["protocol"], rule["port_range_min"], rule["remote_group_id"])
        for rule in group["security_group_rules"]
        if rule["direction"] == "ingress" and rule["ethertype"] == "IPv4"
    ]


# Templates.


def test_installed(api: Any) -> None:
    said = {
        (
            row["direction"],
            row["ethertype"],
            row["remote_group_id"],
            row["used_in_default_sg"],
            row["used_in_non_default_sg"],
        )
        for row in api.list(TEMPLATES)
    }
    assert said == {
        ("egress", "IPv4", None, True, True),
        ("egress", "IPv6", None, True, True),
        ("ingress", "IPv4", "PARENT", True, False),
        ("ingress", "IPv6", "PARENT", True, False),
    }


def test_what_was_deleted_stays_deleted(api: Any) -> None:
    for row in api.list(TEMPLATES):
        assert api.admin.delete(f"{TEMPLATES}/{row['id']}") == (204, None)
    app.create_schema(api.store)
    assert api.list(TEMPLATES) == []
    assert api.make("security-groups")["security_group_rules"] == []


def test_everybody_reads_and_administrators_write(api: Any) -> None:
    row = template(api)
    reader = api.as_("p2", "reader")
    assert reader.show(TEMPLATES, row["id"]) == row
    assert "project_id" not in row
    assert "tenant_id" not in row
    body = {"default_security_group_rule": {**SSH, **BOTH, "protocol": "udp"}}
    assert api.fault(api.post(TEMPLATES, body)) == (403, "PolicyNotAuthorized")
    assert api.fault(api.delete(f"{TEMPLATES}/{row['id']}")) == (403, "PolicyNotAuthorized")


def test_template_shapes_new_groups_only(api: Any) -> None:
    before = api.make("security-groups")
    (default,) = api.list("security-groups", "name=default")
    template(api)
    assert ingress(api.make("security-groups")) == [("tcp", 22, None)]
    (other,) = api.as_("p2").list("security-groups")
    assert ("tcp", 22, None) in ingress(other)
    assert api.show("security-groups", before["id"]) == before
    assert api.show("security-groups", default["id"]) == default


@pytest.mark.parametrize(("default", "others"), [(True, False), (False, True), (False, False)])
def test_template_for_one_kind_of_group(api: Any, default: bool, others: bool) -> None:
    template(api, used_in_default_sg=default, used_in_non_default_sg=others)
    assert ingress(api.make("security-groups")) == [("tcp", 22, None)] * others
    (group,) = api.list("security-groups", "name=default")
    assert [said for said in ingress(group) if said[0]] == [("tcp", 22, None)] * default


def test_parent_is_the_group_itself(api: Any) -> None:
    template(api, remote_group_id="PARENT")
    group = api.make("security-groups")
    assert ingress(group) == [("tcp", 22, group["id"])]


def test_template_may_refer_to_groups(api: Any) -> None:
    remote = api.admin.make("security-groups")["id"]
    addresses = api.admin.make("address-groups", addresses=["198.18.0.0/15"])["id"]
    template(api, remote_group_id=remote)
    template(api, remote_address_group_id=addresses)
    assert {rule["remote_address_group_id"] for rule in api.make("security-groups")["security_group_rules"]} == {
        None,
        addresses,
    }
    assert api.admin.delete(f"security-groups/{remote}")[0] == 204
    assert len(api.list(TEMPLATES)) == 5
    assert len(api.make("security-groups")["security_group_rules"]) == 3
    answer = api.admin.delete(f"address-groups/{addresses}")
    assert api.fault(answer) == (409, "AddressGroupInUse")


@pytest.mark.parametrize(
    ("said", "type_"),
    [
        ({"protocol": None}, "SecurityGroupProtocolRequiredWithPorts"),
        ({"port_range_min": None}, "SecurityGroupInvalidPortRange"),
        ({"port_range_min": 0}, "SecurityGroupInvalidPortValue"),
        ({"protocol": "icmp", "port_range_min": 300}, "SecurityGroupInvalidIcmpValue"),
        ({"protocol": "icmp", "port_range_min": None}, "SecurityGroupMissingIcmpType"),
        ({"protocol": "gre"}, "SecurityGroupInvalidProtocolForPort"),
        ({"protocol": "foo"}, "SecurityGroupRuleInvalidProtocol"),
        ({"ethertype": "foo"}, "SecurityGroupRuleInvalidEtherType"),
        (
            {"protocol": "icmpv6", "port_range_min": None, "port_range_max": None},
            "SecurityGroupEthertypeConflictWithProtocol",
        ),
        ({"remote_ip_prefix": "fd00::/64"}, "SecurityGroupRuleParameterConflict"),
        ({"remote_ip_prefix": "198.18.0.0/15", "remote_group_id": "PARENT"}, "SecurityGroupMultipleRemoteEntites"),
        ({"used_in_default_sg": "maybe"}, "InvalidInput"),
    ],
    ids=str,
)
def test_refused(api: Any, said: dict[str, Any], type_: str) -> None:
    assert refused(api, **said) == (400, type_)


@pytest.mark.parametrize("missing", ["direction", "used_in_default_sg", "used_in_non_default_sg"])
def test_required(api: Any, missing: str) -> None:
    said = {name: value for name, value in {**SSH, **BOTH}.items() if name != missing}
    answer = api.admin.post(TEMPLATES, {"default_security_group_rule": said})
    assert api.fault(answer) == (400, "HTTPBadRequest")


def test_unknown_remotes(api: Any) -> None:
    assert refused(api, remote_group_id=UNKNOWN) == (404, "SecurityGroupNotFound")
    assert refused(api, remote_address_group_id=UNKNOWN) == (404, "AddressGroupNotFound")


def test_duplicates(api: Any) -> None:
    row = template(api, used_in_non_default_sg=False)
    status, body = api.admin.post(TEMPLATES, {"default_security_group_rule": {**SSH, **BOTH, "protocol": 6}})
    assert (status, body["NeutronError"]["type"]) == (409, "DefaultSecurityGroupRuleExists")
    assert row["id"] in body["NeutronError"]["message"]
    template(api, used_in_default_sg=False)


def test_templates_cannot_be_changed(api: Any) -> None:
    path = f"{TEMPLATES}/{template(api)['id']}"
    for change in ({"used_in_default_sg": False}, {"description": "x"}):
        assert api.fault(api.admin.put(path, {"default_security_group_rule": change})) == (400, "HTTPBadRequest")


def test_no_bulk(api: Any) -> None:
    answer = api.admin.post(TEMPLATES, {"default_security_group_rules": [{**SSH, **BOTH}]})
    assert api.fault(answer) == (400, "HTTPBadRequest")


def test_unknown_template(api: Any) -> None:
    for answer in (api.get(f"{TEMPLATES}/{UNKNOWN}"), api.admin.delete(f"{TEMPLATES}/{UNKNOWN}")):
        assert api.fault(answer) == (404, "DefaultSecurityGroupRuleNotFound")
    assert api.list("default_security_group_rules") == api.list(TEMPLATES)


# Statefulness.


def setting(api: Any, project: str | None, stateful: bool) -> dict[str, Any]:
    return api.admin.make(SETTINGS, project_id=project, stateful=stateful)  # type: ignore[no-any-return]


def test_nothing_is_set_at_first(api: Any) -> None:
    assert api.admin.list(SETTINGS) == []
    assert api.make("security-groups")["stateful"] is True


def test_own_setting_before_the_systems(api: Any) -> None:
    assert setting(api, None, False)["project_id"] is None
    setting(api, "p2", True)
    assert api.make("security-groups")["stateful"] is False
    assert api.as_("p2").make("security-groups")["stateful"] is True
    assert {group["stateful"] for group in api.list("security-groups")} == {False}
    assert api.make("security-groups", stateful=True)["stateful"] is True


def test_settings_change_and_go(api: Any) -> None:
    row = setting(api, "p1", False)
    path = f"{SETTINGS}/{row['id']}"
    assert row == {"id": row["id"], "project_id": "p1", "tenant_id": "p1", "stateful": False}
    body = {"security_groups_default_statefulness": {"stateful": True}}
    assert api.admin.put(path, body) == (200, {"security_groups_default_statefulness": {**row, "stateful": True}})
    assert api.make("security-groups")["stateful"] is True
    assert api.admin.delete(path) == (204, None)
    assert api.fault(api.admin.get(path)) == (404, "SecurityGroupDefaultStatefulnessNotFound")


@pytest.mark.parametrize("project", ["p1", None])
def test_one_setting_each(api: Any, project: str | None) -> None:
    setting(api, project, False)
    body = {"security_groups_default_statefulness": {"project_id": project}}
    answer = api.admin.post(SETTINGS, body)
    assert api.fault(answer) == (409, "SecurityGroupDefaultStatefulnessAlreadyExists")


def test_who_sees_and_sets(api: Any) -> None:
    mine, system = setting(api, "p1", False), setting(api, None, False)
    assert api.list(SETTINGS) == api.list(SETTINGS.replace("-", "_")) == [mine]
    assert api.fault(api.get(f"{SETTINGS}/{system['id']}"))[0] == 404
    body = {"security_groups_default_statefulness": {"stateful": True}}
    assert api.fault(api.as_("p2").post(SETTINGS, body)) == (403, "PolicyNotAuthorized")
    manager = api.as_("p2", "manager,member,reader")
    assert manager.make(SETTINGS, stateful=True)["project_id"] == "p2"
    whole = {"security_groups_default_statefulness": {"project_id": None}}
    assert api.fault(manager.post(SETTINGS, whole)) == (400, "HTTPBadRequest")
