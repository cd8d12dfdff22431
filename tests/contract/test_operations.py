"""What can be done to each kind of object, with which status and which bodies: as the API has it, by real requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.conftest import caller
from tests.contract import policy_requests
from tests.contract.everything import KINDS, MADE_OTHERWISE, MEMBERS, OPERATIONS, Everything, build, plain
from weft.api.routes import paths
from weft.registry.resource import Resource
from weft.resources import RESOURCES

PATHS = {plain(path): one for one in RESOURCES for path in paths(one)}
OURS: dict[str, Resource] = {path: PATHS[path] for path in OPERATIONS if path in PATHS}
"""The facts' collections that resources of ours serve."""

MORE: dict[tuple[str, str], str] = {
    ("/flavors/{}/next-providers", "list"): "what is there can be listed",
    ("/flavors/{}/service-profiles", "list"): "what is there can be listed",
    ("/security-group-rules", "update"): "refused, and told what to do instead",
    ("/default-security-group-rules", "update"): "refused, and told what to do instead",
}
"""(collection, operation) -> why it is there although the reference has none."""

ONE_PAGE = "there is a handful of them"
OTHER_PROMISES: dict[tuple[str, str], str] = {
    ("/floatingip-pools", "pagination"): ONE_PAGE,
    ("/log/loggable-resources", "pagination"): ONE_PAGE,
    ("/qos/rule-types", "pagination"): ONE_PAGE,
}
"""(collection, promise) -> why it differs."""


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everything]:
    e = build(tmp_path_factory.mktemp("operations"), caller)
    policy_requests.prepare(e)
    yield e
    e.api.store.close()


@pytest.mark.parametrize("path", OURS)
def test_operations_are_those_of_the_api(path: str) -> None:
    ours = {one for one in OURS[path].operations if (path, one) not in MORE}
    assert ours == OPERATIONS[path]["operations"].keys()


@pytest.mark.parametrize("path", OURS)
def test_actions_are_those_of_the_api(path: str) -> None:
    ours = {action.name: [action.method, action.status] for action in OURS[path].actions}
    assert ours == {name: [row[0], row[2]] for name, row in OPERATIONS[path]["actions"].items()}


@pytest.mark.parametrize("path", OURS)
def test_promises_are_those_of_the_api(path: str) -> None:
    resource, facts = OURS[path], OPERATIONS[path]
    ours = {
        "member": resource.member,
        "items": resource.items,
        "tags": resource.tags,
        "pagination": resource.pagination,
        "quota": resource.quota is not None,
        "bulk_create": resource.bulk or "create" not in facts["operations"],
    }
    theirs = {**facts, "bulk_create": facts["bulk_create"] or "create" not in facts["operations"]}
    differing = {word: (ours[word], theirs[word]) for word in ours if ours[word] != theirs[word]}
    assert {word: said for word, said in differing.items() if (path, word) not in OTHER_PROMISES} == {}


@pytest.mark.parametrize("path", KINDS)
def test_the_life_of_an_object(everything: Everything, path: str) -> None:
    """Every operation answers with the status and under the keys that the API has."""
    e, kind, facts = everything, KINDS[path], OPERATIONS[path]
    statuses = {name: row[2] for name, row in facts["operations"].items()}
    member, items = facts["member"], facts["items"]
    base = path.replace("{}", kind.above(e, 1), 1)
    values = e.values(path, 1)
    bare = kind.body == "-"
    status, body = e.owner.post(base, values if bare else {member: values})
    assert status == statuses["create"], body
    assert bare or list(body) == [member]
    made = values if bare else body[member]
    one = f"{base}/{made.get(kind.key, values.get(kind.key))}"
    if "list" in statuses:
        status, body = e.owner.get(base)
        assert (status, bare or list(body) == [items]) == (statuses["list"], True)
    if "show" in statuses:
        status, body = e.owner.get(one)
        assert (status, list(body)) == (statuses["show"], [member])
    if "update" in statuses and not bare:
        status, body = e.owner.put(one, {member: dict(kind.change)})
        assert (status, list(body)) == (statuses["update"], [member]), body
    assert e.owner.delete(one) == (statuses["delete"], None)


@pytest.mark.parametrize("path", [path for path in OURS if path in KINDS and "{}" not in path])
def test_what_is_no_operation_is_refused(everything: Everything, path: str) -> None:
    e, known = everything, OPERATIONS[path]["operations"]
    one = e.path(f"{path}/{{}}")
    absent = {
        "show": ("GET", None),
        "update": ("PUT", {MEMBERS[path]: {"description": "x"}}),
        "delete": ("DELETE", None),
    }
    for operation, (method, body) in absent.items():
        if operation not in known and (path, operation) not in MORE:
            status, answer = e.owner.request(method, one, body)
            assert status in (404, 405), (operation, status, answer)


@pytest.mark.parametrize("path", [path for path in OURS if OURS[path].tags])
def test_tags(everything: Everything, path: str) -> None:
    one = f"{everything.path(f'{path}/{{}}')}/tags"
    owner = everything.owner
    assert owner.put(one, {"tags": ["a"]}) == (200, {"tags": ["a"]})
    assert owner.post(one, {"tags": ["b"]}) == (200, {"tags": ["a", "b"]})
    assert owner.put(f"{one}/c", None)[0] == 201
    assert owner.get(one) == (200, {"tags": ["a", "b", "c"]})
    assert owner.get(f"{one}/c") == (204, None)
    assert owner.delete(f"{one}/c") == (204, None)
    assert owner.delete(one) == (204, None)
    assert owner.get(one) == (200, {"tags": []})


EMPTY = {"/flavors/{}/next-providers": "there are some only where a driver is configured"}
"""Lists that are empty here -> why."""


def scalar(value: Any) -> bool:
    return isinstance(value, str | int | bool) and value != ""


def listed(e: Everything, path: str, query: str) -> list[dict[str, Any]]:
    status, body = e.owner.get(f"{e.path(path)}?{query}")
    assert status == 200, (query, body)
    return list(body[OPERATIONS[path]["items"]])


@pytest.mark.parametrize("path", [path for path in OURS if "list" in OURS[path].operations and path not in EMPTY])
def test_filters_and_sort_keys(everything: Everything, path: str) -> None:
    """Every filter finds the object by its own value and not by another; every sort key orders; what is neither is refused."""
    e, resource = everything, OURS[path]
    row = listed(e, path, "")[0]
    for attribute in resource.attributes:
        name, value = attribute.name, row.get(attribute.name)
        if attribute.filter and scalar(value) and resource.key in row:
            found = [one[resource.key] for one in listed(e, path, f"{name}={value}")]
            assert row[resource.key] in found, name
            if isinstance(value, str):
                other = f"{value[:-1]}{'0' if value[-1] != '0' else '1'}" if "id" in name else f"{value}x"
                status, body = e.owner.get(f"{e.path(path)}?{name}={other}")
                assert status in (200, 400), name
                assert status == 400 or row not in body[resource.items], name
        if not attribute.filter and attribute.visible and resource.by_name.get(name):
            assert e.owner.get(f"{e.path(path)}?{name}=1")[0] == 400, name
        if attribute.sort and scalar(value):
            sorted_rows = listed(e, path, f"sort_key={name}&sort_dir=desc")
            values = [int(one[name]) if str(one[name]).isdecimal() else one[name] for one in sorted_rows if one[name]]
            if len({type(one) for one in values}) == 1:
                assert values == sorted(values, reverse=True), name


def test_every_collection_is_served(everything: Everything) -> None:
    missing = {path for path in OPERATIONS if "/tags" not in path} - OURS.keys()
    assert missing == {path for path in NOT_BY_RESOURCES if path not in OURS}
    assert all(everything.served(path) or everything.served(f"{path}/{{}}") for path in missing)


NOT_BY_RESOURCES = {
    "/auto-allocated-topology": "answers by project",
    "/quotas": "answer by project",
    **{path: why for path, why in MADE_OTHERWISE.items() if path.startswith("/qos/alias")},
    "/agents/{}/dhcp-networks": "networks as they are at an agent",
    "/networks/{}/dhcp-agents": "agents as they are at a network",
    "/agents/{}/l3-routers": "routers as they are at an agent",
    "/routers/{}/l3-agents": "agents as they are at a router",
}
"""Collection -> why no Resource declares it."""
