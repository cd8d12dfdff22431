"""Tokens at the API's door: keystonemiddleware against a Keystone over HTTP on loopback, and what is remembered of it."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
import yaml
from keystoneauth1.identity.v3 import Password
from keystoneauth1.session import Session

from weft import config, errors
from weft.api.auth import MOST_TOKENS, HeaderAuthenticator, KeystoneAuthenticator, TokenCache
from weft.api.policy import LOOK_AT_FILES_EVERY, Policy
from weft.config import Config, Identity, OsloPolicy
from weft.context import Context
from weft.identity.app import make_app
from weft.identity.setup import open_installation

PROJECT = "5" * 32
HOUR = 3600.0


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@dataclass
class Clock:
    """The clock of the authenticator; keystonemiddleware has its own, so it starts with the real time."""

    now: float = field(default_factory=lambda: datetime.now(UTC).timestamp())

    def __call__(self) -> float:
        return self.now


@dataclass
class Keystone:
    """Identity's two requests that matter, for the tokens that a test invents; notes which it was asked to validate."""

    tokens: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    url: str = ""
    fails: bool = False
    password: str = "secret"

    def add(self, name: str, *roles: str, seconds: float = HOUR, **body: Any) -> str:
        """A token that expires in `seconds`; the body's `scope` replaces that of the project."""
        scope = body.pop(
            "scope", {"project": {"id": PROJECT, "name": "demo", "domain": {"id": "d1", "name": "Default"}}}
        )
        self.tokens[name] = {
            "methods": ["password"],
            "user": {"id": f"user-of-{name}", "name": name, "domain": {"id": "d2", "name": "Users"}},
            "roles": [{"id": role, "name": role} for role in roles],
            "expires_at": datetime.fromtimestamp(datetime.now(UTC).timestamp() + seconds, UTC).isoformat()[:26] + "Z",
            "issued_at": "2026-01-01T00:00:00.000000Z",
            "catalog": [
                {"type": "identity", "name": "keystone", "endpoints": [self._endpoint("identity", f"{self.url}/v3")]},
                {"type": "network", "name": "weft", "endpoints": [self._endpoint("network", "http://127.0.0.1:9")]},
            ],
            **scope,
            **body,
        }
        return name

    @staticmethod
    def _endpoint(id: str, url: str) -> dict[str, str]:
        return {"id": id, "interface": "internal", "region": "RegionOne", "region_id": "RegionOne", "url": url}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if path != "/v3/auth/tokens":
            version = {"id": "v3.14", "status": "stable", "links": [{"rel": "self", "href": f"{self.url}/v3/"}]}
            return self._answer(start_response, "200 OK", {"version": version})
        if self.fails:
            return self._answer(start_response, "500 Internal Server Error", {})
        if method == "POST":
            body = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
            if body["auth"]["identity"]["password"]["user"]["password"] != self.password:
                return self._answer(start_response, "401 Unauthorized", {})
            return self._answer(
                start_response, "201 Created", {"token": self.tokens[self.add("own", "service")]}, "own"
            )
        name = environ["HTTP_X_SUBJECT_TOKEN"]
        self.asked.append(name)
        token = self.tokens.get(name)
        expired = token is not None and datetime.fromisoformat(token["expires_at"]) <= datetime.now(UTC)
        if token is None or (expired and "allow_expired=1" not in environ["QUERY_STRING"]):
            return self._answer(start_response, "404 Not Found", {"error": {"code": 404, "message": "no such token"}})
        return self._answer(start_response, "200 OK", {"token": token}, name)

    @staticmethod
    def _answer(start_response: Any, status: str, body: dict[str, Any], token: str = "") -> list[bytes]:
        start_response(status, [("Content-Type", "application/json"), ("X-Subject-Token", token)])
        return [json.dumps(body).encode()]


def serve(app: Any) -> Iterator[str]:
    """Serves `app` on loopback while its one value, the URL, is in use."""
    with make_server("127.0.0.1", 0, app, _Server, _Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def keystone() -> Iterator[Keystone]:
    made = Keystone()
    for url in serve(made):
        made.url = url
        yield made


@pytest.fixture
def policy() -> Policy:
    return Policy(Config(policy=OsloPolicy(policy_file="", policy_dirs=())))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def door(keystone: Keystone, policy: Policy, clock: Clock) -> KeystoneAuthenticator:
    return KeystoneAuthenticator(configured(keystone), policy, clock)


def configured(keystone: Keystone, **more: Any) -> Config:
    return Config(identity=Identity(auth_url=f"{keystone.url}/v3", **{"password": "secret", **more}))


def request(token: str = "", path: str = "/v2.0/ports", method: str = "GET", **headers: str) -> dict[str, Any]:
    """A WSGI environ (PEP 3333)."""
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "9696",
        "wsgi.url_scheme": "http",
        **({"HTTP_X_AUTH_TOKEN": token} if token else {}),
    }
    return environ | {f"HTTP_{name.upper()}": value for name, value in headers.items()}


def test_a_token_says_who_asks(door: KeystoneAuthenticator, keystone: Keystone) -> None:
    caller = door(request(keystone.add("demo", "member", "reader")))
    assert (caller.user_id, caller.user_name, caller.user_domain_id) == ("user-of-demo", "demo", "d2")
    assert (caller.project_id, caller.project_name, caller.project_domain_id) == (PROJECT, "demo", "d1")
    assert caller.roles == {"member", "reader"}
    assert (caller.system_scope, caller.domain_id, caller.is_admin, caller.is_service) == ("", "", False, False)


def test_flags_are_the_policys(door: KeystoneAuthenticator, keystone: Keystone) -> None:
    admin, service = (door(request(keystone.add(role, role))) for role in ("admin", "service"))
    assert (admin.is_admin, admin.is_service) == (True, False)
    assert (service.is_admin, service.is_service) == (False, True)


def test_scopes(door: KeystoneAuthenticator, keystone: Keystone, policy: Policy) -> None:
    system = door(request(keystone.add("s", "admin", scope={"system": {"all": True}})))
    domain = door(request(keystone.add("d", "admin", scope={"domain": {"id": "d1", "name": "Default"}})))
    unscoped = door(request(keystone.add("u", scope={})))
    assert (system.system_scope, system.project_id) == ("all", "")
    assert (domain.domain_id, domain.project_id) == ("d1", "")
    assert (unscoped.system_scope, unscoped.domain_id, unscoped.project_id, unscoped.roles) == ("", "", "", frozenset())
    for caller in (system, domain):
        with pytest.raises(errors.InvalidScope):
            policy.authorize(caller, "create", "network", {"project_id": PROJECT})


def test_headers_of_the_client_are_not_believed(door: KeystoneAuthenticator, keystone: Keystone) -> None:
    forged = {"x_roles": "admin", "x_user_id": "root", "x_project_id": "other", "openstack_system_scope": "all"}
    caller = door(request(keystone.add("demo", "reader"), **forged, x_identity_status="Confirmed"))
    assert (caller.roles, caller.user_id, caller.project_id, caller.system_scope) == (
        {"reader"}, "user-of-demo", PROJECT, "",
    )  # fmt: skip
    with pytest.raises(errors.Unauthorized):
        door(request(**forged, x_identity_status="Confirmed"))


def test_without_a_good_token_401_says_where_to_get_one(door: KeystoneAuthenticator, keystone: Keystone) -> None:
    for token in ("", "nonsense", keystone.add("late", "member", seconds=-1)):
        with pytest.raises(errors.Unauthorized) as refusal:
            door(request(token))
        assert refusal.value.status == 401
        assert refusal.value.headers == {"WWW-Authenticate": f'Keystone uri="{keystone.url}/v3"'}


def test_a_token_is_validated_once(door: KeystoneAuthenticator, keystone: Keystone) -> None:
    token = keystone.add("demo", "member")
    callers = [door(request(token, path)) for path in ("/v2.0/ports", "/v2.0/networks", "/v2.0/ports")]
    assert keystone.asked == [token]
    assert len({caller.request_id for caller in callers}) == 3, "who asks is remembered, not the request"


def test_a_token_is_forgotten_after_token_cache_time_and_never_outlives_itself(
    door: KeystoneAuthenticator, keystone: Keystone, clock: Clock
) -> None:
    long, short = keystone.add("long", "member"), keystone.add("short", "member", seconds=60)
    for token in (long, short):
        door(request(token))
    clock.now += 59
    for token in (long, short):
        door(request(token))
    assert keystone.asked == [long, short]
    clock.now += 2
    for token in (long, short):
        door(request(token))  # in fact the short one lives on: only the door's clock runs ahead
    assert keystone.asked == [long, short, short]
    clock.now += 240
    door(request(long))
    assert keystone.asked == [long, short, short, long]


def test_nothing_is_remembered_with_token_cache_time_0(keystone: Keystone, policy: Policy) -> None:
    door = KeystoneAuthenticator(configured(keystone, token_cache_time=0), policy)
    token = keystone.add("demo", "member")
    for _ in range(3):
        door(request(token))
    assert keystone.asked == [token] * 3


def test_a_change_of_policy_files_changes_flags_of_remembered_tokens(keystone: Keystone, tmp_path: Path) -> None:
    class Ticks:
        now = 0.0

        def __call__(self) -> float:
            return self.now

    ticks, rules = Ticks(), tmp_path / "policy.yaml"
    door = KeystoneAuthenticator(configured(keystone), Policy(Config(policy=OsloPolicy(policy_file=str(rules))), ticks))
    token = keystone.add("demo", "boss")
    assert not door(request(token)).is_admin
    rules.write_text("context_is_admin: role:boss\n")
    ticks.now += LOOK_AT_FILES_EVERY
    assert door(request(token)).is_admin
    assert keystone.asked == [token]


def test_an_expired_token_passes_with_that_of_a_service(door: KeystoneAuthenticator, keystone: Keystone) -> None:
    """Nova finishes what a user began whose token has expired meanwhile (X-Service-Token)."""
    late = keystone.add("late", "member", seconds=-60)
    nova, mallory = keystone.add("nova", "service"), keystone.add("mallory", "member")
    for _ in range(2):
        assert door(request(late, x_service_token=nova)).user_id == "user-of-late"
    assert sorted(keystone.asked) == [late, nova], "the pair is remembered"
    for headers in ({}, {"x_service_token": mallory}, {"x_service_token": "nonsense"}):
        with pytest.raises(errors.Unauthorized):
            door(request(late, **headers))


def test_a_service_token_that_is_no_service_s_is_refused(door: KeystoneAuthenticator, keystone: Keystone) -> None:
    good, mallory = keystone.add("demo", "member"), keystone.add("mallory", "member")
    door(request(good))
    with pytest.raises(errors.Unauthorized):
        door(request(good, x_service_token=mallory))


def test_access_rules_of_an_application_credential(door: KeystoneAuthenticator, keystone: Keystone) -> None:
    rules = [{"id": "r", "service": "network", "method": "GET", "path": "/v2.0/ports/*"}]
    token = keystone.add(
        "app", "member", application_credential={"id": "a", "name": "a", "restricted": True, "access_rules": rules}
    )
    for _ in range(2):
        door(request(token, "/v2.0/ports/1"))
    assert keystone.asked == [token], "remembered for this method and path"
    for method, path in (("DELETE", "/v2.0/ports/1"), ("GET", "/v2.0/networks/1"), ("GET", "/v2.0/ports/1/2")):
        with pytest.raises(errors.Unauthorized):
            door(request(token, path, method))
    door(request(token, "/v2.0/ports/2"))
    nova = keystone.add("nova", "service")
    door(request(token, "/v2.0/networks", x_service_token=nova))
    with pytest.raises(errors.Unauthorized):
        door(request(token, "/v2.0/networks"))


def test_a_token_bound_to_a_login_is_not_remembered(door: KeystoneAuthenticator, keystone: Keystone) -> None:
    token = keystone.add("bound", "member", bind={"kerberos": "demo"})
    proven = {**request(token), "AUTH_TYPE": "Negotiate", "REMOTE_USER": "demo"}
    door(proven)
    with pytest.raises(errors.Unauthorized):
        door(request(token))


def test_503_while_keystone_fails(door: KeystoneAuthenticator, keystone: Keystone) -> None:
    known, unknown = keystone.add("known", "member"), keystone.add("unknown", "member")
    door(request(known))
    keystone.fails = True
    assert door(request(known)).user_id == "user-of-known"
    with pytest.raises(errors.ServiceUnavailable) as refusal:
        door(request(unknown))
    assert (refusal.value.status, refusal.value.headers) == (503, {"Retry-After": "5"})
    keystone.fails = False
    assert door(request(unknown)).user_id == "user-of-unknown"


def test_503_while_nobody_listens(policy: Policy) -> None:
    for url in serve(Keystone()):
        gone = url
    door = KeystoneAuthenticator(Config(identity=Identity(auth_url=f"{gone}/v3")), policy)
    with pytest.raises(errors.ServiceUnavailable):
        door(request("token"))


def test_503_with_a_wrong_password_of_our_own(keystone: Keystone, policy: Policy) -> None:
    """Not the client's fault: 401 would make it ask for another token for ever."""
    door = KeystoneAuthenticator(configured(keystone, password="wrong"), policy)
    with pytest.raises(errors.ServiceUnavailable):
        door(request(keystone.add("demo", "member")))


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        ("req-3dccb8c4-1a8a-4c0c-8f0b-8e4d3d2f6f2f", True),
        ("req-3dccb8c4-1a8a-4c0c-8f0b-8e4d3d2f6f2f\nX: y", False),
        ("3dccb8c4-1a8a-4c0c-8f0b-8e4d3d2f6f2f", False),
        ("req-1", False),
    ],
)
def test_the_request_id_of_whoever_sent_the_client(policy: Policy, header: str, kept: bool) -> None:
    caller = HeaderAuthenticator(policy)(request(x_user_id="u", x_openstack_request_id=header))
    assert caller.global_request_id == (header if kept else "")
    assert caller.request_id.startswith("req-")
    assert caller.request_id != header


def test_files_say_how_to_reach_keystone(keystone: Keystone, policy: Policy, tmp_path: Path) -> None:
    file = tmp_path / "weft.conf"
    file.write_text(
        f"[keystone_authtoken]\nauth_url = {keystone.url}/v3\nwww_authenticate_uri = https://public.example/v3\n"
        "auth_type = v3password\nusername = neutron\npassword = secret\nproject_name = service\n"
        "user_domain_id = default\nproject_domain_id = default\nunknown_to_anybody = 1\n"
    )
    door = KeystoneAuthenticator(config.load([str(file)]), policy)
    assert door(request(keystone.add("demo", "member"))).project_id == PROJECT
    with pytest.raises(errors.Unauthorized) as refusal:
        door(request())
    assert refusal.value.headers["WWW-Authenticate"] == 'Keystone uri="https://public.example/v3"'


def test_keystonemiddleware_does_not_warn_of_its_cache(
    door: KeystoneAuthenticator, keystone: Keystone, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        door(request(keystone.add("demo", "member")))
    assert caplog.records == []


def test_many_threads(door: KeystoneAuthenticator, keystone: Keystone) -> None:
    tokens = [keystone.add(f"t{n}", "member") for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        callers = list(pool.map(lambda n: door(request(tokens[n % 8])), range(200)))
    assert [caller.user_id for caller in callers] == [f"user-of-t{n % 8}" for n in range(200)]
    assert len(keystone.asked) < 100


def test_the_cache_keeps_the_tokens_used_last(clock: Clock) -> None:
    cache = TokenCache(clock, most=3)
    callers = {name: Context(user_id=name, project_id="p") for name in "abcd"}
    for name in "abc":
        cache.put((name,), callers[name], clock.now + 60)
    assert cache.get(("a",)) is callers["a"]
    cache.put(("d",), callers["d"], clock.now + 60)
    assert [cache.get((name,)) is not None for name in "abcd"] == [True, False, True, True]
    cache.put(("e",), callers["a"], clock.now)
    assert cache.get(("e",)) is None
    assert len(cache) == 3
    assert MOST_TOKENS == 4096


def test_the_identity_of_a_one_machine_installation(policy: Policy, tmp_path: Path) -> None:
    apps: list[Any] = []
    for url in serve(lambda environ, start_response: apps[0](environ, start_response)):
        house = open_installation(tmp_path / "state", url)
        apps.append(make_app(house.users, house.tokens, url, "http://127.0.0.1:9"))
        identity = Identity(auth_url=f"{url}/v3", password=house.service_password)
        door = KeystoneAuthenticator(Config(identity=identity), policy)
        login = yaml.safe_load(house.clouds.read_text())["clouds"]["weft-admin"]["auth"]
        token = Session(Password(**login)).get_token()
        directory = house.users.now()
        user, project = directory.user_named("admin"), directory.project_named("admin")
        caller = door(request(token))
        assert (caller.user_id, caller.project_id, caller.is_admin) == (user.id, project.id, True)
        with pytest.raises(errors.Unauthorized):
            door(request(token[:-4] + "AAAA"))


def test_callers_who_say_themselves_who_they_are(policy: Policy) -> None:
    door = HeaderAuthenticator(policy)
    caller = door(request(x_user_id="u", x_project_id="p", x_roles="Member, admin,"))
    assert (caller.user_id, caller.project_id, caller.roles) == ("u", "p", {"Member", "admin"})
    assert (caller.is_admin, caller.is_service) == (True, False)
    assert door(request(x_user_id="u", openstack_system_scope="all")).system_scope == "all"
    with pytest.raises(errors.Unauthorized):
        door(request(x_project_id="p", x_roles="admin"))
