"""Requests that mean no good: ways around the token, floods in one request, what others own, what nobody can hold."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from falcon import testing

from tests.api.conftest import Api, caller
from weft import app, errors

HEADERS = {"X-User-Id": "u", "X-Project-Id": "p1", "X-Roles": "member,reader"}


def nobody(_environ: Any) -> Any:
    raise errors.Unauthorized


def send(api: Api, path: str, data: bytes, method: str = "POST", **headers: str) -> tuple[int, str]:
    answer = api.client.simulate_request(method, path, body=data, headers={**HEADERS, **headers})
    return answer.status_code, answer.json.get("NeutronError", {}).get("type", "")


# The door.


@pytest.mark.parametrize(
    "path",
    [
        "/v2.0/networks", "/v2.0/", "/v2.0", "//v2.0/networks", "///v2.0//networks", "/v2.0//networks", "/v2.0/extensions",
        "//v2.0/extensions", "/%76%32.0/extensions", "/v2.0/extensions.json", "/V2.0/networks", "/nowhere", "/./v2.0/extensions",
        "/v2.0/../v2.0/extensions", "/healthz/../v2.0/networks", "/healthz.json", "/openapi.json.json", "/openapi.json/",
        "/v2.0/networks;x=/healthz", "/v2.0/quotas/p1", "/v2.0/networks/%00",
    ],
)  # fmt: skip
def test_no_spelling_of_a_path_gets_by_without_a_token(api: Api, path: str) -> None:
    stranger = testing.TestClient(app.make_api(api.config, nobody, store=api.store))
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
        answer = stranger.simulate_request(method, path)
        assert answer.status_code == 401, (method, answer.text)
        assert answer.json["NeutronError"]["type"] == "HTTPUnauthorized"


def test_spellings_of_a_path_mean_the_same(api: Api) -> None:
    network = api.make("networks")["id"]
    for path in (f"/v2.0/networks/{network}", f"//v2.0/networks/{network}", f"/v2.0/networks/{network}.json"):
        assert api.client.simulate_get(path, headers=HEADERS).json["network"]["id"] == network
        other = {**HEADERS, "X-Project-Id": "p2"}
        assert api.client.simulate_get(path, headers=other).status_code == 404


def test_proxies_are_believed_where_the_operator_says_so(api: Api) -> None:
    said = {"X-Forwarded-Host": "evil", "Forwarded": "host=evil;proto=https", "X-Forwarded-Proto": "https"}

    def links(client: testing.TestClient) -> str:
        return json.dumps(
            [
                client.simulate_get("/", headers=said).json,
                client.simulate_get("/v2.0/", headers={**HEADERS, **said}).json,
                client.simulate_get("/v2.0/networks?limit=1", headers={**HEADERS, **said}).json,
            ]
        )

    assert "evil" not in links(api.client)
    trusting = replace(api.config, middleware=replace(api.config.middleware, enable_proxy_headers_parsing=True))
    behind = testing.TestClient(app.make_api(trusting, caller, store=api.store))
    assert links(behind).count("https://evil") >= 3


@pytest.fixture
def small(api: Api) -> Api:
    narrow = replace(api.config, middleware=replace(api.config.middleware, max_request_body_size=100))
    return replace(api, client=testing.TestClient(app.make_api(narrow, caller, store=api.store)))


def test_a_body_too_large(small: Api) -> None:
    assert send(small, "/v2.0/networks", b" " * 101) == (413, "HTTPRequestEntityTooLarge")
    assert send(small, "/v2.0/networks", b'{"network": {}}' + b" " * 80)[0] == 201
    assert send(small, "/v2.0/quotas/p1", b" " * 101, "PUT")[0] == 413
    assert len(small.list("networks")) == 1


def test_a_body_of_unknown_length(small: Api) -> None:
    def chunked(data: bytes) -> int:
        answer = small.client.simulate_post(
            "/v2.0/networks", body=data, headers={**HEADERS, "Transfer-Encoding": "chunked", "Content-Length": ""}
        )
        return int(answer.status_code)

    assert chunked(b'{"network": {}}') == 201
    assert chunked(b" " * 101) == 413
    assert chunked(b" " * 100_000) == 413


def test_a_body_that_ends_too_early(api: Api) -> None:
    """The client has died: nobody knows whether what came is all that was meant."""
    answer = send(api, "/v2.0/networks", b'{"network": {}}', **{"Content-Length": "40"})
    assert answer == (400, "MalformedRequestBody")
    assert api.list("networks") == []


@pytest.mark.parametrize("depth", [65, 300, 900, 5000])
def test_a_body_too_deep(api: Api, depth: int) -> None:
    for inner in (b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth):
        for name in (b"name", b"tags", b"unknown"):
            body = b'{"network": {"' + name + b'": ' + inner + b"}}"
            assert send(api, "/v2.0/networks", body) == (400, "MalformedRequestBody")
    profile = b'{"port": {"binding:profile": ' + b'{"a":' * 61 + b"1" + b"}" * 61 + b"}}"
    assert send(api, "/v2.0/ports", profile)[1] == "HTTPBadRequest"


def test_brackets_in_text_are_no_depth(api: Api) -> None:
    assert api.make("networks", description="[{" * 100)["description"] == "[{" * 100


@pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")
def test_methods_nobody_has_are_one_figure(api: Api) -> None:
    for number in range(5):
        assert api.client.simulate_request(f"FOO{number}", "/v2.0/networks", headers=HEADERS).status_code == 400
    text = api.client.simulate_get("/metrics", headers={**HEADERS, "X-Roles": "admin"}).text
    assert "FOO" not in text
    assert 'method="other"' in text


def test_the_log_has_a_line_for_a_request(api: Api, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """A path may hold line breaks; the log of a fault may not have lines that a client wrote."""

    def fail(_work: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(api.store, "read", fail)
    assert api.get("networks/%0a2026-01-01 00:00:00 INFO all is well")[0] == 500
    assert "\n" not in caplog.records[-1].getMessage()


# Floods.


@pytest.mark.parametrize("path", ["//v2.0/watch", "/v2.0/watch.json", "///v2.0/watch.json"])
def test_a_stream_by_another_spelling_holds_no_thread(api: Api, path: str) -> None:
    """It would be served by the few threads that all requests share, for a quarter of an hour."""
    answer = api.client.simulate_get(path, headers=HEADERS)
    assert (answer.status_code, answer.json["NeutronError"]["type"]) == (404, "HTTPNotFound")


def test_more_at_once_than_the_quota_is_refused_before_the_work(api: Api) -> None:
    with api.statements() as seen:
        answer = api.post("networks", {"networks": [{}] * 2000})
    assert api.fault(answer) == (409, "OverQuota")
    assert len(seen) < 10
    assert api.admin.put("quotas/p1", {"quota": {"network": 3}})[0] == 200
    assert api.fault(api.post("networks", {"networks": [{}] * 4})) == (409, "OverQuota")
    assert api.post("networks", {"networks": [{}] * 3})[0] == 201
    assert api.admin.put("quotas/p1", {"quota": {"network": -1}})[0] == 200
    assert api.post("networks", {"networks": [{}] * 5})[0] == 201


def test_more_at_once_than_anybody_may(api: Api) -> None:
    answer = api.post("address-groups", {"address_groups": [{}] * 10_001})
    assert api.fault(answer) == (413, "HTTPRequestEntityTooLarge")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("&".join(["sort_key=name&sort_dir=asc"] * 1500), 200),
        ("&".join(["shared=true"] * 3000), 200),
        ("tags=" + ",".join(["a"] * 3000), 200),
        ("tags=" + ",".join(str(number) for number in range(100)), 200),
        ("tags=" + ",".join(str(number) for number in range(101)), 400),
        ("tags-any=" + ",".join(str(number) for number in range(3000)), 400),
        ("&".join(f"id={number}" for number in range(5000)), 200),
        ("&".join(f"id={number}" for number in range(5001)), 400),
        ("mtu=9999999999999999999", 200),
        ("limit=" + "9" * 18, 200),
        ("limit=" + "9" * 19, 400),
        ("limit=%D9%A3", 400),
        ("limit=", 400),
        ("name=%00", 400),
        ("%00=a", 400),
        ("marker=%00&limit=1", 400),
    ],
)
def test_long_queries(api: Api, query: str, status: int) -> None:
    assert api.get(f"networks?{query}")[0] == status


def test_parts_of_addresses(api: Api) -> None:
    network = api.make("networks")["id"]
    api.make("subnets", network_id=network, ip_version=4, cidr="10.0.0.0/24")
    api.make("ports", network_id=network)
    many = "&".join(f"fixed_ips=ip_address_substr%3D{number}" for number in range(100))
    assert len(api.list("ports", many)) == 1
    assert api.get(f"ports?{many}&fixed_ips=ip_address_substr%3Dx")[0] == 400
    assert api.fault(api.get("ports?fixed_ips=port_id%3Dx")) == (400, "InvalidInput")


# What others own.


def test_a_marker_that_is_not_ours_is_not_there(api: Api) -> None:
    theirs = api.as_("p2").make("networks")["id"]
    api.make("networks")
    assert api.fault(api.get(f"networks?limit=1&marker={theirs}")) == (404, "NetworkNotFound")
    assert api.admin.get(f"networks?limit=1&marker={theirs}")[0] == 200


def test_pages_by_truth(api: Api) -> None:
    made = [api.make("networks", admin_state_up=up)["id"] for up in (True, False, True, False)]
    for key in ("admin_state_up", "status"):
        for direction in ("asc", "desc"):
            seen: list[str] = []
            while len(seen) < len(made):
                marker = f"&marker={seen[-1]}" if seen else ""
                page = api.list("networks", f"sort_key={key}&sort_dir={direction}&limit=1{marker}")
                assert len(page) == 1
                seen += [one["id"] for one in page]
            assert sorted(seen) == sorted(made)


def test_rules_about_attributes_are_asked_of_every_object_of_a_list(api: Api) -> None:
    """The first object of a list may be the caller's own and the next one not."""
    rule = "rule:admin_only or project_id:%(project_id)s"
    (api.config.state_path / "policy.yaml").write_text(json.dumps({"get_network:mtu": rule}))
    api = replace(api, client=testing.TestClient(app.make_api(api.config, caller, store=api.store)))
    theirs = api.admin.make("networks", shared=True, name="a")["id"]
    mine = [api.make("networks", name=name)["id"] for name in "bc"]
    for order in ("asc", "desc"):
        shown = api.list("networks", f"sort_key=name&sort_dir={order}")
        assert {one["id"] for one in shown if "mtu" in one} == set(mine)
        assert {one["id"] for one in shown} == {theirs, *mine}


@pytest.mark.parametrize(
    "inner",
    [
        {"id": "11111111-2222-4333-8444-555555555555"}, {"status": "ACTIVE"}, {"revision_number": 7}, {"created_at": "x"},
        {"_segments": []}, {"subnets": []}, {"network:project_id": "p1"}, {"is_admin": True}, {"project_id": "p2"},
        {"tenant_id": "p2"}, {"project_id": "p1", "tenant_id": "p2"}, {"shared": True}, {"router:external": True},
        {"provider:segmentation_id": 5}, {"is_default": True},
    ],
)  # fmt: skip
def test_nobody_sets_what_is_not_his_to_set(api: Api, inner: dict[str, Any]) -> None:
    status, _ = api.post("networks", {"network": inner})
    assert status in (400, 403)
    assert api.list("networks") == []
    kept = api.make("networks")
    assert api.put(f"networks/{kept['id']}", {"network": inner})[0] in (400, 403)
    assert api.show("networks", kept["id"]) == kept


def test_tags_that_no_database_holds(api: Api) -> None:
    network = api.make("networks")["id"]
    for tag in ("\0", "a\0b", "\ud800"):
        data = json.dumps({"tags": [tag]}).encode()
        assert send(api, f"/v2.0/networks/{network}/tags", data, "PUT")[0] == 400
        assert send(api, f"/v2.0/networks/{network}/tags", data, "POST")[0] == 400
    assert api.get(f"networks/{network}/tags") == (200, {"tags": []})


def test_sql_in_values_is_text(api: Api) -> None:
    evil = "'; DROP TABLE networks; --"
    made = api.make("networks", name=evil, description='" OR 1=1 --')
    found = api.list("networks", "name=%27%3B%20DROP%20TABLE%20networks%3B%20--")
    assert [one["id"] for one in found] == [made["id"]]
    assert api.list("networks", "name=%27%20OR%20%271%27=%271") == []
    assert api.get("networks?sort_key=name%3BDROP&sort_dir=asc")[0] == 400
    assert api.get("networks?fields=name%3BDROP")[0] == 200


def test_two_quotas_in_a_body(api: Api) -> None:
    assert api.admin.put("quotas/p1", {"quotas": [{}, {}]})[0] == 400


@pytest.mark.parametrize("value", [5, [], [None], {}, "x", "\0", 2**70])
def test_onboarding_what_is_no_id(api: Api, value: Any) -> None:
    pool = api.make("subnetpools", name="x", prefixes=["10.0.0.0/16"])["id"]
    path = f"subnetpools/{pool}/onboard_network_subnets"
    assert api.fault(api.put(path, {"network_id": value})) == (400, "InvalidInput")
