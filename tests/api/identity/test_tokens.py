"""Getting, validating and revoking tokens over HTTP, and every way in which that must fail."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.api.identity.conftest import Clock, House
from weft.identity.throttle import FREE
from weft.identity.tokens import PREFIX, InvalidTokenError, Tokens
from weft.identity.users import (
    add_user,
    set_password,
    without_project,
    without_user,
)

DEFAULT = {"id": "default"}


def error(answer: Any, code: int) -> str:
    """The message of a fault in Keystone's envelope."""
    assert answer.status_code == code, answer.text
    assert answer.json["error"]["code"] == code
    assert answer.json["error"]["title"] == answer.status.split(" ", 1)[1]
    return answer.json["error"]["message"]


def test_password_and_project_by_name_give_a_scoped_token_with_catalog(house: House) -> None:
    answer = house.by_password("demo", {"project": {"name": "demo", "domain": {"name": "default"}}})
    assert answer.status_code == 201
    token = answer.json["token"]
    assert token["methods"] == ["password"]
    assert token["user"]["name"] == "demo"
    assert token["user"]["domain"] == {"id": "default", "name": "Default"}
    assert token["project"]["name"] == "demo"
    assert sorted(role["name"] for role in token["roles"]) == ["member", "reader"]
    assert token["issued_at"] == "2027-01-15T08:00:00.000000Z"
    assert token["expires_at"] == "2027-01-16T08:00:00.000000Z"
    assert len(token["audit_ids"]) == 1
    urls = {s["type"]: {(e["interface"], e["region"], e["url"]) for e in s["endpoints"]} for s in token["catalog"]}
    assert urls == {
        "identity": {(i, "RegionOne", "http://127.0.0.1:5000/v3") for i in ("public", "internal", "admin")},
        "network": {(i, "RegionOne", "http://127.0.0.1:9696") for i in ("public", "internal", "admin")},
    }
    assert len(answer.headers["X-Subject-Token"]) < 255


def test_user_and_project_by_id(house: House) -> None:
    directory = house.users.now()
    user, project = directory.user_named("alt"), directory.project_named("alt")
    who = {"id": user.id, "password": house.password("alt")}
    answer = house.ask(
        {"identity": {"methods": ["password"], "password": {"user": who}}}, {"project": {"id": project.id}}
    )
    assert answer.status_code == 201
    assert answer.json["token"]["project"]["id"] == project.id


@pytest.mark.parametrize("scope", [None, "unscoped", {"unscoped": {}}])
def test_unscoped_tokens_have_neither_roles_nor_catalog(house: House, scope: Any) -> None:
    answer = house.by_password("demo", scope)
    assert answer.status_code == 201
    assert not {"project", "roles", "catalog", "domain"} & set(answer.json["token"])


def test_the_domain_is_a_scope_for_administrators_only(house: House) -> None:
    answer = house.by_password("admin", {"domain": DEFAULT})
    assert answer.json["token"]["domain"] == {"id": "default", "name": "Default"}
    assert "admin" in {role["name"] for role in answer.json["token"]["roles"]}
    assert house.get("/v3/users", answer.headers["X-Subject-Token"]).status_code == 200
    error(house.by_password("demo", {"domain": DEFAULT}), 401)
    error(house.by_password("admin", {"domain": {"id": "other"}}), 401)


def test_nocatalog_leaves_the_catalog_out(house: House) -> None:
    token = house.token("demo")
    headers = {"X-Auth-Token": token, "X-Subject-Token": token}
    answer = house.http.simulate_get("/v3/auth/tokens", headers=headers, query_string="nocatalog")
    assert answer.status_code == 200
    assert "catalog" not in answer.json["token"]


def test_a_token_gives_a_token_that_expires_with_it(house: House) -> None:
    first = house.by_password("demo")
    house.clock.now += 3600
    second = house.by_token(first.headers["X-Subject-Token"], {"project": {"name": "demo", "domain": DEFAULT}})
    assert second.status_code == 201
    was, now = first.json["token"], second.json["token"]
    assert now["expires_at"] == was["expires_at"]
    assert now["issued_at"] > was["issued_at"]
    assert now["methods"] == ["password", "token"]
    assert now["audit_ids"][1] == was["audit_ids"][0] != now["audit_ids"][0]
    third = house.by_token(second.headers["X-Subject-Token"]).json["token"]
    assert third["audit_ids"][1:] == was["audit_ids"]
    assert third["expires_at"] == was["expires_at"]


@pytest.mark.parametrize(
    ("user", "password"), [("demo", "wrong"), ("nobody", "x"), ("demo", " "), ("demo", "p\0"), ("ü" * 5000, "é")]
)
def test_a_wrong_password_or_user_is_401_and_says_no_more(house: House, user: str, password: str) -> None:
    answer = house.by_password(user, password=password)
    assert error(answer, 401) == "The request you have made requires authentication."
    assert answer.headers["WWW-Authenticate"] == 'Keystone uri="http://127.0.0.1:5000/v3"'


def test_a_user_of_another_domain_is_unknown(house: House) -> None:
    who = {"name": "demo", "domain": {"name": "elsewhere"}, "password": house.password("demo")}
    error(house.ask({"identity": {"methods": ["password"], "password": {"user": who}}}), 401)


@pytest.mark.parametrize(
    "project",
    [
        {"name": "alt", "domain": DEFAULT},
        {"name": "nothing", "domain": DEFAULT},
        {"name": "demo", "domain": {"id": "x"}},
        {"id": "0" * 32},
    ],
)
def test_a_project_that_is_unknown_or_not_theirs_is_401(house: House, project: dict[str, Any]) -> None:
    error(house.by_password("demo", {"project": project}), 401)


def _unspell(token: str) -> str:
    """Other text, same bytes: a base64 character with other unused bits (or a padding sign, if there are none)."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return (
        token + "="
        if len(token.removeprefix(PREFIX)) % 4 == 0
        else token[:-1] + alphabet[alphabet.index(token[-1]) ^ 1]
    )


def test_only_genuine_unchanged_tokens_are_good(house: House) -> None:
    admin, good = house.token("admin"), house.token("demo")
    assert house.validate(good, admin).status_code == 200
    data = base64.urlsafe_b64decode(good[len(PREFIX) :] + "==")
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1
        bad = PREFIX + base64.urlsafe_b64encode(changed).rstrip(b"=").decode()
        assert house.validate(bad, admin).status_code == 404
        assert house.get("/v3/auth/projects", bad).status_code == 401
    others = ["", "x", PREFIX, PREFIX + "AAAA", PREFIX + "é", good[:-1], good + "A", _unspell(good), good.upper()]
    others += [good + "\u00e9", PREFIX + "A" * 50_000, "gAAAAABk" + good]
    for bad in others:
        assert house.validate(bad, admin).status_code == (404 if bad else 400), bad
        assert house.get("/v3/auth/projects", bad).status_code == 401, bad
        assert house.by_token(bad).status_code == 401


def test_a_token_made_with_another_secret_is_forged(house: House, tmp_path: Any) -> None:
    (tmp_path / "other").mkdir()
    genuine = house.tokens.read(house.token("admin"))
    forged, _ = Tokens(tmp_path / "other", clock=house.clock).issue(
        genuine.user_id, genuine.stamp, ("password",), genuine.project_id
    )
    assert house.get("/v3/users", forged).status_code == 401
    assert house.validate(forged, house.token("admin")).status_code == 404


def test_a_token_ends_with_its_lifetime(house: House) -> None:
    token = house.token("demo")
    house.clock.now += 24 * 3600 - 1
    assert house.get("/v3/auth/projects", token).status_code == 200
    house.clock.now += 1
    assert house.get("/v3/auth/projects", token).status_code == 401
    admin = house.token("admin")
    assert house.validate(token, admin).status_code == 404
    headers = {"X-Auth-Token": admin, "X-Subject-Token": token}
    late = house.http.simulate_get("/v3/auth/tokens", headers=headers, params={"allow_expired": "1"})
    error(late, 404)
    error(house.by_token(token), 401)


def test_a_revoked_token_stays_revoked_after_a_restart_and_others_stay_good(house: House) -> None:
    token, other, admin = house.token("demo"), house.token("demo"), house.token("admin")
    answer = house.validate(token, token, "DELETE")
    assert (answer.status_code, answer.text) == (204, "")
    for _ in range(2):
        assert house.get("/v3/auth/projects", token).status_code == 401
        assert house.validate(token, admin).status_code == 404
        assert house.validate(token, admin, "DELETE").status_code == 404
        assert house.get("/v3/auth/projects", other).status_code == 200
        house.restart()


def test_what_was_revoked_is_forgotten_when_it_has_expired(house: House) -> None:
    revoked_file = house.folder / "revoked.json"
    first = house.token("demo")
    house.validate(first, first, "DELETE")
    assert len(revoked_file.read_text().split(",")) == 1
    house.clock.now += 25 * 3600
    second = house.token("demo")
    house.validate(second, second, "DELETE")
    assert len(revoked_file.read_text().split(",")) == 1
    assert house.get("/v3/auth/projects", first).status_code == 401


def test_who_may_validate_and_revoke(house: House) -> None:
    demo, alt, admin, service = (house.token(name) for name in ("demo", "alt", "admin", "weft"))
    for asker, subject, get, delete in (
        (demo, house.token("demo"), 200, 204),
        (alt, demo, 403, 403),
        (service, demo, 200, 403),
        (admin, demo, 200, 204),
    ):
        assert house.validate(subject, asker).status_code == get
        head = house.validate(subject, asker, "HEAD")
        assert (head.status_code, head.text) == (get, "")
        assert house.validate(subject, asker, "DELETE").status_code == delete
    assert house.validate(alt, admin).headers["X-Subject-Token"] == alt
    error(house.validate(demo, ""), 401)
    error(house.validate("", admin), 400)
    error(house.http.simulate_get("/v3/auth/tokens", headers={"X-Auth-Token": admin}), 400)


def test_tokens_end_with_the_password_the_user_the_roles_and_the_project(house: House) -> None:
    add_user(house.users, "eve", "first", "demo")
    scope = {"project": {"name": "demo", "domain": DEFAULT}}
    old = house.by_password("eve", scope, "first").headers["X-Subject-Token"]
    set_password(house.users, "eve", "second")
    assert house.get("/v3/auth/projects", old).status_code == 401
    error(house.by_password("eve", scope, "first"), 401)
    new = house.by_password("eve", scope, "second").headers["X-Subject-Token"]
    assert house.get("/v3/auth/projects", new).status_code == 200
    house.users.change(lambda before: without_user(before, "eve"))
    assert house.get("/v3/auth/projects", new).status_code == 401
    # another user of the same name is another user
    add_user(house.users, "eve", "second", "demo")
    assert house.get("/v3/auth/projects", new).status_code == 401

    alt = house.token("alt")
    house.users.change(lambda before: without_project(before, "alt"))
    assert house.get("/v3/auth/projects", alt).status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'"auth"',
        b"[" * 50_000,
        b'{"auth": ' * 5_000,
        b"{}",
        b'{"auth": null}',
        b'{"auth": {}}',
        b'{"auth": {"identity": {}}}',
        b'{"auth": {"identity": {"methods": []}}}',
        b'{"auth": {"identity": {"methods": "password"}}}',
        b'{"auth": {"identity": {"methods": [1]}}}',
        b'{"auth": {"identity": {"methods": ["password"]}}}',
        b'{"auth": {"identity": {"methods": ["token"]}}}',
        b'{"auth": {"identity": {"methods": ["token"], "token": {}}}}',
        b'{"auth": {"identity": {"methods": ["token"], "token": {"id": 7}}}}',
        b'{"auth": {"identity": {"methods": ["password"], "password": {}}}}',
        b'{"auth": {"identity": {"methods": ["password"], "password": {"user": {"password": "x"}}}}}',
        b'{"auth": {"identity": {"methods": ["password"], "password": {"user": {"password": "x", "name": "demo"}}}}}',
        b'{"auth": {"identity": {"methods": ["password"], "password": {"user": {"password": 1, "id": "x"}}}}}',
        b'{"auth": {"identity": {"methods": ["password"], "password": {"user": {"password": null, "id": "x"}}}}}',
    ],
)
def test_what_is_no_request_is_400(house: House, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    error(house.http.simulate_post("/v3/auth/tokens", body=body, headers=headers), 400)


def test_strange_passwords_are_wrong_and_not_a_fault(house: House) -> None:
    for password in (rb"\ud800", rb"\u0000", rb"\udfff\ud800"):
        body = b'{"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "demo", "domain":'
        body += b'{"id": "default"}, "password": "' + password + b'"}}}}}'
        assert house.http.simulate_post("/v3/auth/tokens", body=body).status_code in (400, 401)


@pytest.mark.parametrize(
    "scope",
    [
        "everything",
        7,
        [],
        {},
        {"system": {"all": True}},
        {"project": {}},
        {"project": {"name": "demo"}},
        {"project": 1},
    ],
)
def test_a_scope_that_is_none_is_400(house: House, scope: Any) -> None:
    who = {"name": "demo", "domain": DEFAULT, "password": house.password("demo")}
    auth = {"identity": {"methods": ["password"], "password": {"user": who}}, "scope": scope}
    error(house.ask(auth), 400)


def test_other_methods_are_401(house: House) -> None:
    assert "application_credential" in error(house.ask({"identity": {"methods": ["application_credential"]}}), 401)


def test_two_methods_must_prove_the_same_user(house: House) -> None:
    who = {"name": "demo", "domain": DEFAULT, "password": house.password("demo")}
    for user, code in (("alt", 401), ("demo", 201)):
        both = {"methods": ["password", "token"], "password": {"user": who}, "token": {"id": house.token(user)}}
        assert house.ask({"identity": both}).status_code == code


def test_a_body_too_large_is_413(house: House) -> None:
    error(house.http.simulate_post("/v3/auth/tokens", body=b'{"auth": "' + b"x" * 70_000), 413)


def test_guessing_is_slowed_for_the_one_user_and_not_for_others(house: House) -> None:
    for _ in range(FREE):
        error(house.by_password("demo", password="guess"), 401)
    paused = house.by_password("demo")
    assert "try again in 1 second" in error(paused, 429)
    assert paused.headers["Retry-After"] == "1"
    assert house.by_password("alt").status_code == 201
    house.clock.now += 1
    error(house.by_password("demo", password="guess"), 401)
    assert house.by_password("demo").headers["Retry-After"] == "2"
    house.clock.now += 2
    assert house.by_password("demo").status_code == 201
    error(house.by_password("demo", password="guess"), 401)
    assert house.by_password("demo").status_code == 201


def test_nobody_can_pause_the_service_user(house: House) -> None:
    for _ in range(FREE + 2):
        error(house.by_password("weft", password="guess"), 401)
    assert house.by_password("weft").status_code == 201


def test_unknown_users_are_slowed_like_known_ones(house: House) -> None:
    for _ in range(FREE):
        error(house.by_password("ghost", password="guess"), 401)
    error(house.by_password("ghost", password="guess"), 429)


def test_claims_of_another_version_are_invalid(tmp_path: Any) -> None:
    tokens = Tokens(tmp_path, clock=Clock())
    payload = b"\x91\x01"
    text = PREFIX + base64.urlsafe_b64encode(tokens._mac(payload) + payload).rstrip(b"=").decode()
    with pytest.raises(InvalidTokenError):
        tokens.read(text)
