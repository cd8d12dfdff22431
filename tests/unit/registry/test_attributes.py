"""Bodies become values: defaults, owners, conversions, and every fault of a body at once."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft import errors
from weft.context import Context
from weft.registry import types as t
from weft.registry import types_network as n
from weft.registry.attributes import REQUIRED, UNSET, Attribute, BodyReader, extract, read_body, read_only

NETWORK = "55182d26-86fe-4ad3-9638-51752abe5e9c"
MEMBER = Context(user_id="u", project_id="p1", roles=frozenset({"member"}))
ADMIN = Context(user_id="a", project_id="p0", roles=frozenset({"admin"}), is_admin=True)
SERVICE = Context(user_id="s", project_id="p0", roles=frozenset({"service"}), is_service=True)
NOBODY = Context(user_id="n", project_id="", is_admin=True)

PORT = BodyReader(
    "port",
    (
        read_only("id", t.uuid, sort=True, primary_key=True),
        Attribute("project_id", t.project_id, REQUIRED, put=False),
        Attribute("name", t.name_string, ""),
        Attribute("network_id", t.uuid, REQUIRED, put=False),
        Attribute("admin_state_up", t.boolean, True, policy=True),
        Attribute("tags", t.tags, [], put=False),
        Attribute("security_groups", n.security_groups, UNSET),
        Attribute("binding:vnic_type", n.vnic_type, "normal", policy=True),
        Attribute("binding:profile", t.dictionary_or_none, UNSET, policy=True),
        Attribute("data_plane_status", n.data_plane_status, UNSET, post=False, policy=True),
        Attribute("description", t.description, "", default_overrides_none=True),
        read_only("status", t.anything),
    ),
)


def lines(reader: Any, body: dict[str, Any], context: Context = MEMBER) -> list[str]:
    with pytest.raises(errors.Fault) as fault:
        reader(body, context)
    assert fault.value.status == 400
    return fault.value.message.splitlines()


def test_create_fills_defaults() -> None:
    assert PORT.create({"network_id": NETWORK, "admin_state_up": "false"}, MEMBER) == {
        "project_id": "p1",
        "name": "",
        "network_id": NETWORK,
        "admin_state_up": False,
        "tags": [],
        "binding:vnic_type": "normal",
        "description": "",
    }


def test_unset_is_absent_unless_given() -> None:
    values = PORT.create({"network_id": NETWORK, "security_groups": None, "binding:profile": None}, MEMBER)
    assert values["security_groups"] == []
    assert values["binding:profile"] is None


def test_null_means_the_default_only_where_declared() -> None:
    assert PORT.create({"network_id": NETWORK, "description": None}, MEMBER)["description"] == ""
    assert lines(PORT.create, {"network_id": NETWORK, "name": None}) == [
        "Invalid input for name. Reason: 'None' is not a valid string."
    ]


def test_mutable_defaults_are_not_shared() -> None:
    first = PORT.create({"network_id": NETWORK}, MEMBER)
    first["tags"].append("x")
    assert PORT.create({"network_id": NETWORK}, MEMBER)["tags"] == []


def test_update_returns_what_was_sent() -> None:
    assert PORT.update({"name": "x", "admin_state_up": 0, "data_plane_status": "DOWN"}, MEMBER) == {
        "name": "x",
        "admin_state_up": False,
        "data_plane_status": "DOWN",
    }
    assert PORT.update({}, MEMBER) == {}


def test_all_faults_of_a_create() -> None:
    body = {"nmae": "x", "zz": 1, "id": NETWORK, "status": "UP", "admin_state_up": "maybe", "name": 3}
    assert lines(PORT.create, body) == [
        "Unrecognized attribute(s) 'nmae, zz'",
        "Attribute 'id' not allowed in POST",
        "Attribute 'status' not allowed in POST",
        "Failed to parse request. Required attribute 'network_id' not specified",
        "Invalid input for operation: 'maybe' cannot be converted to boolean.",
        "Invalid input for name. Reason: '3' is not a valid string.",
    ]


def test_all_faults_of_an_update() -> None:
    assert lines(PORT.update, {"network_id": NETWORK, "x": 1, "name": 3}) == [
        "Unrecognized attribute(s) 'x'",
        "Cannot update read-only attribute network_id",
        "Invalid input for name. Reason: '3' is not a valid string.",
    ]


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"admin_state_up": "maybe"}, errors.InvalidInput),
        ({"name": 1}, errors.HTTPBadRequest),
        ({"x": 1}, errors.HTTPBadRequest),
        ({"name": 1, "admin_state_up": "maybe"}, errors.HTTPBadRequest),
    ],
)
def test_one_fault_keeps_its_class(body: dict[str, Any], fault: type[errors.Fault]) -> None:
    with pytest.raises(errors.Fault) as raised:
        PORT.update(body, MEMBER)
    assert type(raised.value) is fault


def test_fault_with_a_class_of_its_own() -> None:
    group = BodyReader("security_group", (Attribute("name", t.name_not_default, ""),))
    with pytest.raises(errors.SecurityGroupDefaultAlreadyExists):
        group.create({"name": "Default"}, MEMBER)


@pytest.mark.parametrize("key", ["project_id", "tenant_id"])
@pytest.mark.parametrize("context", [ADMIN, SERVICE])
def test_privileged_callers_name_the_owner(key: str, context: Context) -> None:
    values = PORT.create({"network_id": NETWORK, key: "p9"}, context)
    assert values["project_id"] == "p9"
    assert "tenant_id" not in values


def test_the_owner_is_the_caller() -> None:
    assert PORT.create({"network_id": NETWORK, "tenant_id": "p1", "project_id": "p1"}, MEMBER)["project_id"] == "p1"
    refusal = [
        "Specifying 'project_id' other than the authenticated project in request is not allowed for the current user."
    ]
    assert lines(PORT.create, {"network_id": NETWORK, "tenant_id": "p2"}) == refusal
    assert lines(PORT.create, {"network_id": NETWORK, "project_id": "p2"}) == refusal
    assert lines(PORT.create, {"network_id": NETWORK, "tenant_id": "p1", "project_id": "p2"}, ADMIN) == [
        "'project_id' and 'tenant_id' do not match"
    ]
    assert lines(PORT.create, {"network_id": NETWORK}, NOBODY) == [
        "Running without keystone AuthN requires that project_id is specified"
    ]


def test_the_owner_does_not_change() -> None:
    assert lines(PORT.update, {"tenant_id": "p1"}) == ["Cannot update read-only attribute project_id"]


def test_resources_without_owner() -> None:
    flavor = BodyReader("flavor", (Attribute("name", t.name_string, ""),))
    assert flavor.create({}, NOBODY) == {"name": ""}
    assert lines(flavor.create, {"project_id": "p1"}) == ["Unrecognized attribute(s) 'project_id'"]


def test_explicit_is_what_policy_asks_about() -> None:
    body = {"network_id": NETWORK, "admin_state_up": "true", "binding:vnic_type": "direct", "binding:profile": None}
    assert PORT.explicit(body, "create") == ("binding:vnic_type", "binding:profile")
    assert PORT.explicit(body, "update") == ("admin_state_up", "binding:vnic_type", "binding:profile")


def test_read_body() -> None:
    assert read_body(PORT.attributes, "port", {"name": "x"}, "update", MEMBER) == {"name": "x"}
    assert read_body(PORT.attributes, "port", {"network_id": NETWORK}, "create", MEMBER)["network_id"] == NETWORK


def test_column_names() -> None:
    assert Attribute("binding:vnic_type", t.anything).column_name == "binding_vnic_type"
    assert Attribute("tags-any", t.anything).column_name == "tags_any"
    assert Attribute("shared", t.anything, column="is_shared").column_name == "is_shared"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from([a.name for a in PORT.attributes] + ["tenant_id", "x"])


def outcome(
    read: Callable[[dict[str, Any], Context], dict[str, Any]], body: dict[str, Any], context: Context
) -> tuple[dict[str, Any], errors.Fault | None]:
    try:
        return read(body, context), None
    except errors.Fault as fault:
        return {}, fault


@settings(deadline=None)
@given(st.dictionaries(NAMES, JSON), st.sampled_from([MEMBER, ADMIN, NOBODY]))
def test_any_body_is_read_or_refused_and_left_alone(body: dict[str, Any], context: Context) -> None:
    before = copy.deepcopy(body)
    for read in (PORT.create, PORT.update):
        values, fault = outcome(read, body, context)
        assert "tenant_id" not in values
        assert fault is None or (fault.status == 400 and fault.message)
    assert body == before


@pytest.mark.parametrize(
    ("body", "items", "bulk"),
    [
        ({"port": {"a": 1}}, [{"a": 1}], False),
        ({"port": {}}, [{}], False),
        ({"ports": [{"a": 1}, {"port": {"a": 2}}]}, [{"a": 1}, {"a": 2}], True),
    ],
)
def test_extract(body: Any, items: list[dict[str, Any]], bulk: bool) -> None:
    assert extract("port", "ports", body) == (items, bulk)


@pytest.mark.parametrize("key", ["policys", "policies"])
def test_extract_knows_both_plurals(key: str) -> None:
    assert extract("policy", "policies", {key: [{}]}) == ([{}], True)


@pytest.mark.parametrize("key", ["ndp_proxys", "ndp_proxies", "ndp-proxies"])
def test_extract_knows_both_spellings(key: str) -> None:
    assert extract("ndp_proxy", "ndp-proxies", {key: [{}]}) == ([{}], True)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (None, "Body contains invalid data"),
        ([], "Body contains invalid data"),
        ("port", "Body contains invalid data"),
        ({}, "Unable to find 'port' in request body"),
        ({"network": {}}, "Unable to find 'port' in request body"),
        ({"port": None}, "Object 'port' contains invalid data"),
        ({"port": [{}]}, "Object 'port' contains invalid data"),
        ({"ports": []}, "Resources required"),
        ({"ports": None}, "Resources required"),
        ({"ports": {"a": 1}}, "Object 'ports' contains invalid data"),
        ({"ports": [1]}, "Object 'port' contains invalid data"),
        ({"ports": [{}, {"port": 1}]}, "Object 'port' contains invalid data"),
    ],
)
def test_extract_refuses(body: Any, message: str) -> None:
    with pytest.raises(errors.HTTPBadRequest) as fault:
        extract("port", "ports", body)
    assert fault.value.message == message
