"""Every attribute, query parameter, tag and action of every resource meets junk, one at a time.

A part of all combinations, another for each attribute; WEFT_FUZZ=1 looks at all of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import pytest

from tests.api import fuzz_values as values
from tests.api.fuzz_site import Complaints, Site
from tests.api.fuzz_values import Ref
from tests.api.test_fuzz import Step, check, complaints, path_of, send, site  # noqa: F401
from weft.registry.resource import Resource
from weft.resources import RESOURCES

STRIDE = 1 if os.environ.get("WEFT_FUZZ") else 13
ADMIN = ("admin", "admin,member,reader")
T = TypeVar("T")

BASES: dict[str, dict[str, Any]] = {
    "subnet": {"network_id": Ref("network", 1), "ip_version": 4, "cidr": "10.77.0.0/24"},
    "port": {"network_id": Ref("network", 1)},
    "security_group_rule": {"security_group_id": Ref("security_group", 0), "direction": "egress", "protocol": "tcp"},
    "default_security_group_rule": {"direction": "egress", "protocol": "tcp"},
    "floatingip": {"floating_network_id": Ref("network", 0)},
    "port_forwarding": {
        "protocol": "udp",
        "external_port": 99,
        "internal_port": 99,
        "internal_port_id": Ref("port", 2),
    },
    "subnetpool": {"name": "x", "prefixes": ["10.200.0.0/16"]},
    "address_scope": {"name": "x", "ip_version": 4},
    "rbac_policy": {"object_type": "network", "object_id": Ref("network", 1), "target_tenant": "*"},
}
"""Bodies that are nearly enough, so that the attribute in question is what decides."""

CROOKED: tuple[Any, ...] = (
    *values.JUNK, *values.ADDRESSES, *values.CIDRS, *values.MACS, [{"ip_address": "10.0.0.5", "x": 1}], [{"ip_address": 1}],
    [{"subnet_id": 1}], {"network_id": Ref("network", 0), "external_fixed_ips": [{"ip_address": 5}]}, [{"start": "10.0.0.1"}],
    {"network_id": Ref("network", 0), "external_fixed_ips": None}, {"network_id": Ref("network", 0), "enable_snat": None},
    [{"start": "10.0.0.1", "end": "fd00::1"}], [{"destination": "10.0.0.0/8", "nexthop": "fd00::1"}],
    [{"opt_name": "x", "opt_value": None}], [{"opt_name": "x" * 64, "opt_value": "\x01", "ip_version": "6"}],
)  # fmt: skip


def part(all_of: Sequence[T], turn: int) -> Iterator[T]:
    yield from all_of[turn % STRIDE :: STRIDE]


def examine(site: Site, complaints: Complaints, step: Step) -> None:  # noqa: F811
    complaints.seen.clear()
    before = site.version()
    check(site, step, before, send(site, step), complaints)
    if site.version() != before:
        site.reset()


def number(resource: Resource) -> int:
    """Which of the objects of a kind is p1's own: the first network leads outside."""
    return 1 if resource.member == "network" else 0


def item_of(resource: Resource) -> tuple[Any, ...]:
    return (*path_of(resource), Ref(resource.member, number(resource)))


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda one: one.member)
def test_attributes(site: Site, complaints: Complaints, resource: Resource) -> None:  # noqa: F811
    site.reset()
    for turn, attribute in enumerate(resource.attributes):
        for value in part(CROOKED, turn):
            if "create" in resource.operations:
                body = {resource.member: {**BASES.get(resource.member, {}), attribute.name: value}}
                examine(site, complaints, Step("POST", path_of(resource), body=body, who=ADMIN))
            if "update" in resource.operations:
                body = {resource.member: {attribute.name: value}}
                examine(site, complaints, Step("PUT", item_of(resource), body=body, who=ADMIN))


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda one: one.member)
def test_queries(site: Site, complaints: Complaints, resource: Resource) -> None:  # noqa: F811
    site.reset()
    reserved = ["fields", "sort_key", "sort_dir", "limit", "marker", "page_reverse", "tags", "not-tags-any", "x", ""]
    names = [*(a.name for a in resource.attributes), *resource.strategy.filters(), *reserved]
    for turn, name in enumerate(names):
        for value in part(values.ENCODED, turn):
            examine(site, complaints, Step("GET", path_of(resource), query=f"{name}={value}"))
    for attribute in (one for one in resource.attributes if one.sort):
        for direction in ("asc", "desc"):
            for more in ("", "&page_reverse=True", *(f"&marker={id}" for id in site.ids.get(resource.member, ())[:2])):
                query = f"sort_key={attribute.name}&sort_dir={direction}&limit=1{more}"
                examine(site, complaints, Step("GET", path_of(resource), query=query, who=ADMIN))


@pytest.mark.parametrize("resource", [one for one in RESOURCES if one.actions or one.tags], ids=lambda one: one.member)
def test_tags_and_actions(site: Site, complaints: Complaints, resource: Resource) -> None:  # noqa: F811
    site.reset()
    item = item_of(resource)
    for turn, value in enumerate(values.JUNK):
        if resource.tags:
            for body in ({"tags": value}, {"tags": [value]}, {"tags": [value, value]}, value):
                for method in ("PUT", "POST"):
                    examine(site, complaints, Step(method, (*item, "tags"), body=body))
        bodies: list[Any] = [value, {resource.member: value}]
        for key in ("subnet_id", "port_id", "network_id", "addresses", "prefixes", "router", "routes", "sub_ports"):
            bodies += [{key: value}, {key: [value]}, {"router": {key: value}}, {"router": {key: [value]}}]
        for key, other in (("destination", "nexthop"), ("nexthop", "destination")):
            bodies.append({"router": {"routes": [{key: value, other: "10.0.0.1"}]}})
        for action in resource.actions:
            for body in part(bodies, turn):
                examine(site, complaints, Step(action.method, (*item, action.name), body=body))


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda one: one.member)
def test_ids(site: Site, complaints: Complaints, resource: Resource) -> None:  # noqa: F811
    site.reset()
    for turn, odd in enumerate(values.ODD_IDS):
        for method in part(("GET", "PUT", "DELETE", "POST", "HEAD", "OPTIONS", "PATCH", "GET", "PUT"), turn):
            body = {resource.member: {}} if method in ("PUT", "POST") else None
            examine(site, complaints, Step(method, (*path_of(resource), odd), body=body))
            if resource.tags:
                tags = {"tags": ["a"]} if body else None
                examine(site, complaints, Step(method, (*path_of(resource), odd, "tags"), body=tags))
                examine(site, complaints, Step(method, (*item_of(resource), "tags", odd), body=tags))
