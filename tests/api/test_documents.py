"""What the API says about itself."""

from __future__ import annotations

from typing import Any

import pytest
from openapi_spec_validator import validate

from tests.api.conftest import Api
from weft import app, errors
from weft.api import documents, offer
from weft.resources import RESOURCES


def _open(api: Api, path: str) -> tuple[int, Any]:
    answer = api.client.simulate_get(path)
    return answer.status_code, answer.json


def test_versions_need_no_token(api: Api) -> None:
    status, body = _open(api, "/")
    assert status == 200
    version = body["versions"][0]
    assert (version["id"], version["status"]) == ("v2.0", "CURRENT")
    assert version["links"][0]["href"].endswith("/v2.0/")


def test_root_needs_its_slash(api: Api) -> None:
    status, body = api.get("/")
    assert status == 200
    assert [one["collection"] for one in body["resources"]][:1] == ["networks"]
    headers = {"X-User-Id": "u", "X-Project-Id": "p1", "X-Roles": "member"}
    assert api.client.simulate_get("/v2.0", headers=headers).status_code == 404


def test_every_loaded_extension_is_known(api: Api) -> None:
    absent = offer.absent(api.config, app.capabilities(api.config))
    aliases = documents.loaded(offer.offered(RESOURCES, absent), api.config)
    assert not set(aliases) - set(documents.known())
    listed = api.get("/extensions")[1]["extensions"]
    assert [one["alias"] for one in listed] == aliases
    assert all(one.keys() == {"alias", "name", "description", "updated", "links"} for one in listed)


def test_one_extension(api: Api) -> None:
    assert api.get("/extensions/agent")[1]["extension"]["alias"] == "agent"
    assert api.get("/extensions/nothing")[0] == 404
    assert api.post("/extensions", {})[0] in (404, 405)


def test_openapi_is_valid_and_complete(api: Api) -> None:
    status, body = _open(api, "/openapi.json")
    assert status == 200
    validate(body)
    for resource in offer.offered(RESOURCES, offer.absent(api.config, app.capabilities(api.config))):
        assert any(path.endswith(f"/{resource.collection}") for path in body["paths"]), resource.collection


def test_health(api: Api) -> None:
    assert _open(api, "/healthz") == (200, {"status": "ok"})
    assert _open(api, "/readyz")[0] == 200
    answer = api.client.simulate_get("/healthcheck")
    assert (answer.status_code, answer.text, answer.headers["content-type"]) == (200, "OK", "text/plain")
    answer = api.client.simulate_head("/healthcheck")
    assert (answer.status_code, answer.text) == (200, "")


def test_not_ready_without_database(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_work: object) -> None:
        raise errors.ServiceUnavailable("The database does not answer.")

    monkeypatch.setattr(api.store, "read", fail)
    status, body = _open(api, "/readyz")
    assert (status, body["status"]) == (503, "unavailable")
    assert api.client.simulate_get("/healthcheck").status_code == 503
    assert api.client.simulate_head("/healthcheck").status_code == 503


def test_unknown_paths_and_methods(api: Api) -> None:
    assert api.fault(api.get("/nope")) == (404, "HTTPNotFound")
    assert api.fault(api.request("PATCH", "/networks")) == (405, "HTTPMethodNotAllowed")
    assert api.fault(api.put("/networks", {"network": {}})) == (404, "NetworkNotFound")
    assert api.fault(api.delete("/networks")) == (404, "NetworkNotFound")
    assert api.get("/networks.json")[0] == 200
    network = api.make("networks")
    assert api.get("/networks/") == api.get("/networks") == (200, {"networks": [network]})
    assert api.get(f"/networks/{network['id']}/") == (200, {"network": network})
    assert api.post("/networks/", {"network": {}})[0] == 201
    assert api.get(f"/networks/{network['id']}/tags/x/")[0] == 404
    assert api.get("/")[0] == 200


def test_bodies_that_are_none(api: Api) -> None:
    def send(data: bytes) -> tuple[int, str]:
        headers = {"X-User-Id": "u", "X-Project-Id": "p1", "X-Roles": "member"}
        answer = api.client.simulate_post("/v2.0/networks", body=data, headers=headers)
        return answer.status_code, answer.json["NeutronError"]["type"]

    assert send(b"") == (400, "HTTPBadRequest")
    assert send(b"{") == (400, "MalformedRequestBody")
    assert send(b"[]") == (400, "HTTPBadRequest")
    assert send(b"{}") == (400, "HTTPBadRequest")
    assert send(b'{"network": []}') == (400, "HTTPBadRequest")
    assert send(b'{"networks": []}') == (400, "HTTPBadRequest")
    assert send(b'{"network": {"name": "\xff"}}') == (400, "MalformedRequestBody")
    assert send(b"[" * 100_000) == (400, "MalformedRequestBody")
