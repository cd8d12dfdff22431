"""Whatever is sent: never a 500, always the envelope, nothing half-written, nothing of others to see.

WEFT_FUZZ=5000 looks at so many sequences of requests, others each time; without it at a few hundred, always the same.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from falcon import testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api import fuzz_values as values
from tests.api.conftest import Api, caller
from tests.api.fuzz_site import LESSEE, SECRET, Complaints, Site, broken, build, is_envelope, listening
from tests.api.fuzz_values import Ref, Values, junk
from weft import app, config
from weft.registry.resource import Resource
from weft.resources import RESOURCES
from weft.store.engine import Store

EXAMPLES = int(os.environ.get("WEFT_FUZZ", "0"))
PROFILE = settings(
    max_examples=EXAMPLES or 200,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
CALLERS = (
    *[("p1", "member,reader")] * 6,
    ("p1", "reader"),
    ("p2", "member,reader"),
    (LESSEE, "member,reader"),
    *[("admin", "admin,member,reader")] * 4,
    ("p1", "service"),
    ("", "member"),
)
REFUSALS = {503: {"NoNetworkAvailable"}, 501: {"HTTPNotImplemented"}}
"""Faults above 499 that a request may cause."""


@dataclass(frozen=True)
class Step:
    """One request. `path` is below /v2.0; references in it and in the body become ids when it is sent."""

    method: str
    path: tuple[Any, ...]
    query: str = ""
    body: Any = None
    raw: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    who: tuple[str, str] = CALLERS[0]
    makes: str = ""


def path_of(resource: Resource) -> tuple[Any, ...]:
    above = (*path_of(resource.parent.resource), Ref(resource.parent.resource.member, 0)) if resource.parent else ()
    return (
        (*above, *resource.prefix.strip("/").split("/"), resource.collection)
        if resource.prefix
        else (*above, resource.collection)
    )


CREATED = [one for one in RESOURCES if "create" in one.operations]
UPDATED = [one for one in RESOURCES if "update" in one.operations]
TAGGED = [one for one in RESOURCES if one.tags]
ACTIONS = [(one, action) for one in RESOURCES for action in one.actions]
who: Values = st.sampled_from(CALLERS)
queries: Values = st.lists(st.tuples(st.sampled_from(values.ENCODED), st.sampled_from(values.ENCODED)), max_size=3)
revisions: Values = st.sampled_from(
    [{}] * 12
    + [
        {"If-Match": text}
        for text in (
            "revision_number=0",
            '"revision_number=1"',
            "revision_number=",
            "x",
            "*",
            "revision_number=9" * 9,
            "é",
            ",,",
        )
    ]
)


def wrapped(resource: Resource, inner: Values) -> Values:
    """A body of a POST: one object, several, or something that is no body."""
    return st.one_of(
        *[inner.map(lambda one: {resource.member: one})] * 14,
        st.lists(inner, max_size=3).map(lambda many: {resource.items: many}),
        st.lists(inner, max_size=2).map(lambda many: {resource.items: [{resource.member: one} for one in many]}),
        junk,
        junk.map(lambda one: {resource.member: one}),
        junk.map(lambda one: {resource.items: one}),
    )


def creating() -> Values:
    def of(resource: Resource) -> Values:
        body = wrapped(resource, values.body(resource, "create"))
        return st.builds(
            Step, st.just("POST"), st.just(path_of(resource)), body=body, who=who, makes=st.just(resource.member)
        )

    weighted = [
        one for one in CREATED for _ in range(3 if one.member in ("port", "subnet", "router", "network") else 1)
    ]
    return st.sampled_from(weighted).flatmap(of)


def item(resource: Resource) -> Values:
    existing = st.builds(lambda ref: (*path_of(resource), ref), values.reference((resource.member,)))
    odd = st.sampled_from(values.ODD_IDS).map(lambda text: (*path_of(resource), text))
    return st.one_of(*[existing] * 8, odd)


def updating() -> Values:
    def of(resource: Resource) -> Values:
        body = wrapped(resource, values.body(resource, "update"))
        return st.builds(Step, st.just("PUT"), item(resource), body=body, who=who, headers=revisions)

    return st.sampled_from(UPDATED).flatmap(of)


def deleting() -> Values:
    def of(resource: Resource) -> Values:
        return st.builds(Step, st.just("DELETE"), item(resource), who=who, headers=revisions)

    return st.sampled_from(RESOURCES).flatmap(of)


def query(resource: Resource) -> Values:
    one = st.builds(lambda name, value: f"{name}={value}", values.query_name(resource), st.sampled_from(values.ENCODED))
    sensible = st.sampled_from([a.name for a in resource.attributes if a.sort] or ["x"]).map(
        lambda name: f"sort_key={name}&sort_dir=desc&limit=2"
    )
    marked = st.sampled_from(
        ["limit=1", "limit=1&page_reverse=True", "limit=99999", "limit=1&marker=" + values.NOWHERE]
    )
    return st.lists(st.one_of(one, one, one, sensible, marked), max_size=4).map("&".join)


def reading() -> Values:
    def of(resource: Resource) -> Values:
        return st.one_of(
            st.builds(Step, st.just("GET"), st.just(path_of(resource)), query=query(resource), who=who),
            st.builds(Step, st.just("GET"), item(resource), query=query(resource), who=who),
        )

    return st.sampled_from(RESOURCES).flatmap(of)


def acting() -> Values:
    inner = st.fixed_dictionaries(
        {},
        optional={
            "subnet_id": st.one_of(values.reference(("subnet",)), junk),
            "port_id": st.one_of(values.reference(("port",)), junk),
            "network_id": st.one_of(values.reference(("network",)), junk),
            "addresses": st.one_of(st.lists(st.sampled_from([*values.CIDRS, *values.ADDRESSES]), max_size=3), junk),
            "prefixes": st.one_of(st.lists(st.sampled_from(values.CIDRS), max_size=3), junk),
            "router": st.fixed_dictionaries(
                {},
                optional={
                    "routes": st.one_of(
                        junk,
                        st.lists(
                            st.fixed_dictionaries(
                                {
                                    "destination": st.one_of(st.sampled_from(values.CIDRS), junk),
                                    "nexthop": st.one_of(st.sampled_from(values.ADDRESSES), junk),
                                }
                            ),
                            max_size=3,
                        ),
                    ),
                    "x": junk,
                },
            ),
        },
    )

    def of(chosen: Any) -> Values:
        resource, action = chosen
        body = st.one_of(*[inner] * 6, junk, junk.map(lambda one: {resource.member: one}))
        path = item(resource).map(lambda parts: (*parts, action.name))
        return st.builds(Step, st.just(action.method), path, body=body, who=who, headers=revisions)

    return st.sampled_from(ACTIONS).flatmap(of)


def tagging() -> Values:
    tags = st.one_of(st.lists(st.one_of(st.sampled_from(["a", "b", "c,d"]), junk), max_size=4), junk)
    bodies = st.one_of(tags.map(lambda one: {"tags": one}), tags.map(lambda one: {"tags": one}), junk)
    names = st.sampled_from(["a", "%00", "%0a", "é", "a" * 256, "a%2Fb", "%20", "%ff"])

    def of(resource: Resource) -> Values:
        all_of = item(resource).map(lambda parts: (*parts, "tags"))
        one_of = st.builds(lambda parts, tag: (*parts, "tags", tag), item(resource), names)
        return st.one_of(
            st.builds(Step, st.sampled_from(["PUT", "POST"]), all_of, body=bodies, who=who),
            st.builds(Step, st.sampled_from(["GET", "DELETE"]), all_of, who=who),
            st.builds(Step, st.sampled_from(["GET", "PUT", "DELETE", "POST"]), one_of, who=who),
        )

    return st.sampled_from(TAGGED).flatmap(of)


def limiting() -> Values:
    """Quotas, and what else has no collection."""
    projects = st.sampled_from(["p1", "p2", "tenant", "project", "None", *values.ODD_IDS])
    numbers = st.one_of(st.integers(-2, 5), junk)
    names = st.sampled_from(["network", "port", "router_route", "force", "check_limit", "x", "project_id"])
    inner = st.dictionaries(names, numbers, max_size=3)
    body = st.one_of(inner.map(lambda one: {"quota": one}), inner.map(lambda one: {"quotas": [one]}), junk)
    below = st.sampled_from([(), ("default",), ("details",), ("x",)])
    path = st.builds(lambda project, more: ("quotas", project, *more), projects, below)
    others = st.builds(
        lambda collection, project: (collection, project),
        st.sampled_from(["auto-allocated-topology", "extensions", "x"]),
        projects,
    )
    text = st.sampled_from(["", "fields=dry-run", "fields=x", "fields=%00", "a=b"])
    return st.one_of(
        st.builds(Step, st.sampled_from(["GET", "PUT", "DELETE"]), path, body=body, who=who),
        st.builds(Step, st.sampled_from(["GET", "POST"]), st.just(("quotas",)), body=body, who=who),
        st.builds(Step, st.sampled_from(["GET", "DELETE", "PUT"]), others, query=text, who=who),
    )


RAW = (
    b"", b"{", b"[]", b"null", b"\xff", b'{"network": {"name": "\xff"}}', b"[" * 5000, b'{"network":' * 500, b"nan", b"1e999",
    b'{"network": {"mtu": ' + b"9" * 6000 + b"}}", b'{"network": {"mtu": 1e999}}', b'{"network": {"name": "\\ud800"}}',
    b'{"network": {}, "network": {"name": 1}}', b'\xef\xbb\xbf{"network": {}}', b'{"network": {}} x', b"\0" * 100,
    b'{"network": {"mtu": 1.0000000000000000000000000001}}', b'{"network": {"mtu": -0.0}}',
)  # fmt: skip


def strange() -> Values:
    """Bodies that are no JSON, methods and paths that nobody has."""
    kinds = st.sampled_from(
        ["application/json", "text/plain", "application/x-www-form-urlencoded", "", "application/xml; q=é"]
    )
    methods = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
    paths = st.one_of(
        st.sampled_from(RESOURCES).map(path_of),
        st.sampled_from(RESOURCES).flatmap(item),
        st.sampled_from(
            [("",), ("networks", ""), ("networks", "x", "y"), ("networks.json",), ("%6eetworks",), ("networks;a=b",)]
        ),
    )
    return st.builds(
        Step, methods, paths, raw=st.sampled_from(RAW), headers=kinds.map(lambda one: {"Content-Type": one}), who=who
    )


steps: Values = st.one_of(
    *[creating()] * 6,
    *[updating()] * 4,
    *[reading()] * 3,
    *[acting()] * 2,
    deleting(),
    tagging(),
    limiting(),
    strange(),
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    # a backend that says nothing of what it can do is believed to do everything: all resources are there
    everything = {"state_path": str(tmp_path_factory.mktemp("fuzz")), "backend": "paper"}
    chosen = config.load(api=everything, quotas={"quota_network": 6})
    store = Store(chosen)
    app.create_schema(store)
    api = Api(testing.TestClient(app.make_api(chosen, caller, store=store)), store, chosen)
    made = build(api)
    yield made
    made.close()
    store.close()


@pytest.fixture(scope="module")
def complaints() -> Iterator[Complaints]:
    yield from listening()


def url(site: Site, step: Step) -> str:
    return "/v2.0/" + "/".join(str(site.resolve(part)) for part in step.path)


def send(site: Site, step: Step) -> testing.Result:
    project, roles = step.who
    data = step.raw
    if data is None and step.body is not None:
        data = json.dumps(site.resolve(step.body)).encode()
    return site.api.client.simulate_request(
        step.method,
        url(site, step),
        query_string=step.query,
        body=data,
        headers={"X-User-Id": "u", "X-Project-Id": project, "X-Roles": roles, **step.headers},
    )


def learn(site: Site, step: Step, answer: testing.Result) -> None:
    """Later steps may build on what this one made."""
    if answer.status_code == 201 and step.makes:
        for value in answer.json.values():
            for row in value if isinstance(value, list) else [value]:
                if "id" in row:
                    site.ids.setdefault(step.makes, []).append(row["id"])


def check(site: Site, step: Step, before: int, answer: testing.Result, complaints: Complaints) -> None:
    status = answer.status_code
    what = (status, answer.text[:500], url(site, step)[:300], step)
    assert not complaints.seen, (complaints.seen[-1], what)
    if status < 400:
        return
    assert status < 500 or answer.json["NeutronError"]["type"] in REFUSALS.get(status, ()), what
    if step.method != "HEAD":
        assert is_envelope(answer.content), what
    assert answer.headers["x-openstack-request-id"].startswith("req-"), what
    assert site.version() == before, what


@PROFILE
@given(st.lists(steps, min_size=1, max_size=6))
def test_whatever_is_sent(site: Site, complaints: Complaints, sequence: list[Step]) -> None:
    site.reset()
    complaints.seen.clear()
    for step in sequence:
        before = site.version()
        answer = send(site, step)
        check(site, step, before, answer, complaints)
        learn(site, step, answer)
        if site.version() != before:
            assert not broken(site), (broken(site), step, answer.text)


@PROFILE
@given(st.lists(steps, min_size=1, max_size=5))
def test_nothing_of_other_projects_is_shown(site: Site, complaints: Complaints, sequence: list[Step]) -> None:
    """p1 may do what he likes: no answer holds what is p2's, but for ids that he sent himself."""
    site.reset()
    for step in sequence:
        mine = Step(**{**vars(step), "who": ("p1", "member,reader")})
        answer = send(site, mine)
        assert SECRET not in answer.text, (mine, answer.text)
        said = url(site, mine) + step.query + json.dumps(site.resolve(step.body))
        leaked = [id for id in site.of_p2 if id in answer.text and id not in said]
        assert not leaked, (leaked, mine, answer.text)
        learn(site, mine, answer)
