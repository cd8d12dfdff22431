"""Every attribute that we serve is declared as the API has it, and none is missing of an extension that we offer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from weft.api.routes import paths
from weft.registry.attributes import REQUIRED, UNSET, Attribute
from weft.registry.resource import Resource
from weft.resources import RESOURCES

FACTS: dict[str, list[dict[str, Any]]] = json.loads((Path(__file__).parent / "facts" / "attributes.json").read_text())

TAG_FILTERS = {"tags-any", "not-tags", "not-tags-any"}
"""Query parameters, which weft/api/query.py knows; attributes of no object."""

OWNERS = {"project_id", "tenant_id"}
"""Two names of one thing; the reader of bodies makes one of them, so tenant_id is declared as read-only."""

DEVIATIONS: dict[tuple[str, str, str], str] = {
    ("binding", "project_id", "visible"): "the reference declares it and never sends it",
    ("binding", "tenant_id", "visible"): "the reference declares it and never sends it",
    ("trunk", "status_reason", "name"): "as of ports",
    ("floatingip", "status_reason", "name"): "as of ports",
    ("port", "status_reason", "name"): "Weft's own: every status that is not good has a reason that its owner can read",
    ("network", "qos_policy_id", "default"): "absent means the project's default policy, null means none",
    ("security_group", "stateful", "default"): "absent means the project's or the system's default statefulness",
}
"""(member, attribute, word) -> why it differs from the facts."""

ALIASES = {
    alias
    for resource in RESOURCES
    for alias in (resource.extension, *resource.shims, *(attribute.extension for attribute in resource.attributes))
}
"""Extensions that some resource of ours declares."""

BY_PATH = {path.split("/v2.0", 1)[1]: resource for resource in RESOURCES for path in paths(resource)}


def fact_path(resource: Resource) -> str:
    """The facts' spelling of the resource's path; sub-resources have the parent's id in it."""
    known = {"/".join("" if part.startswith("{") else part for part in path.split("/")): path for path in FACTS}
    plain = {path.replace("_", "-"): fact for path, fact in known.items()}
    for own in paths(resource):
        found = plain.get(own.replace("{id}", "").replace("_", "-"))
        if found:
            return found
    raise LookupError(f"the facts know no {resource.collection}")


def described(resource: Resource, attribute: Attribute) -> dict[str, Any]:
    words: dict[str, Any] = {
        "post": attribute.post,
        "put": attribute.put,
        "required": attribute.required,
        "visible": attribute.visible,
        "filter": attribute.filter,
        "sort": attribute.sort,
        "policy": attribute.policy,
        "extension": resource.extension if attribute.extension == "core" else attribute.extension,
    }
    if attribute.post and attribute.default is not REQUIRED:
        words["default"] = "<unset>" if attribute.default is UNSET else attribute.default
    return words


def expected(fact: dict[str, Any]) -> dict[str, Any]:
    words = {key: value for key, value in fact.items() if key not in ("name", "rule", "default")}
    words.update(post=bool(fact["post"]), put=bool(fact["put"]))  # lists that nobody writes to do not say
    if fact["post"] and not fact["required"]:
        words["default"] = fact.get("default", "<unset>")
    if fact["name"] == "tenant_id":
        words.update(post=False, required=False)
        words.pop("default", None)
    return words


def differences(resource: Resource) -> Iterator[tuple[str, str, Any, Any]]:
    """(attribute, word, ours, the facts')."""
    facts = {
        fact["name"]: fact
        for fact in FACTS[fact_path(resource)]
        if fact["name"] not in TAG_FILTERS and (fact["extension"] in ALIASES or fact["extension"] == "core")
    }
    for name in sorted(facts.keys() | resource.by_name.keys()):
        if name not in facts or name not in resource.by_name:
            yield name, "name", name in resource.by_name, name in facts
            continue
        ours, theirs = described(resource, resource.by_name[name]), expected(facts[name])
        for word in sorted(ours.keys() | theirs.keys()):
            if ours.get(word) != theirs.get(word):
                yield name, word, ours.get(word), theirs.get(word)


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.member)
def test_attributes_are_as_the_api_has_them(resource: Resource) -> None:
    found = [
        f"{name}: {word} is {ours!r}, the API has {theirs!r}"
        for name, word, ours, theirs in differences(resource)
        if (resource.member, name, word) not in DEVIATIONS
    ]
    assert found == []


def test_deviations_exist() -> None:
    """A deviation that is none any more leaves the table."""
    actual = {(resource.member, name, word) for resource in RESOURCES for name, word, _, _ in differences(resource)}
    assert set(DEVIATIONS) - actual == set()
