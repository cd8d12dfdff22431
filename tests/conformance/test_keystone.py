"""Callers of every kind that a real Keystone knows, at the API's door: scopes, trusts, application credentials, service
tokens, tokens that are expired or revoked, and a Keystone that does not answer.

The API runs in this process; Keystone is asked over HTTP, by keystonemiddleware, as in every cloud.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import requests
from falcon import testing

from tests.conformance.environments import environment
from tests.conformance.identity_service import PASSWORD, REGION, Keystone
from weft import app, config
from weft.config import Config
from weft.store.engine import Store

DOMAIN = {"domain_id": "default"}

AGE = """
import sys, msgpack
from cryptography.fernet import Fernet
token, seconds, keys = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
fernet = Fernet(keys[0])
whole = (token + "=" * (-len(token) % 4)).encode()
issued = fernet.extract_timestamp(whole)
payload = [part - seconds if isinstance(part, float) else part for part in msgpack.unpackb(fernet.decrypt(whole))]
print(fernet.encrypt_at_time(msgpack.packb(payload), issued - seconds).rstrip(b"=").decode())
"""
"""Makes of a Fernet token the same one, issued some seconds earlier, as only Keystone with its key can."""


@dataclass(frozen=True)
class Person:
    """A user with a project, and roles in it."""

    id: str
    project: str
    keystone: Keystone

    def token(self, **scope: Any) -> str:
        """One for the project, or for another `scope`, as Identity's API names it; `scope={}`: for none."""
        return self.log_in(self.by_password(), scope.get("scope", {"project": {"id": self.project}}))

    def by_password(self) -> dict[str, Any]:
        return {"methods": ["password"], "password": {"user": {"id": self.id, "password": PASSWORD}}}

    def log_in(self, identity: dict[str, Any], scope: dict[str, Any] | None = None) -> str:
        auth = {"identity": identity} | ({"scope": scope} if scope else {})
        answer = requests.post(f"{self.keystone.url}/auth/tokens", json={"auth": auth}, timeout=60)
        assert answer.status_code == 201, answer.text
        return answer.headers["X-Subject-Token"]

    def asks(self, method: str, path: str, body: Any) -> Any:
        """A request to Keystone in the person's own name."""
        headers = {"X-Auth-Token": self.token()}
        answer = requests.request(method, self.keystone.url + path, json=body, headers=headers, timeout=60)
        assert answer.ok, answer.text
        return answer.json()


class People:
    """Makes users of a Keystone, each with a project of their own."""

    def __init__(self, keystone: Keystone) -> None:
        self.keystone = keystone
        self._roles = {role["name"]: role["id"] for role in keystone("GET", "/roles")["roles"]}

    def __call__(self, *roles: str, project: str = "") -> Person:
        name = uuid4().hex
        project = project or self.keystone("POST", "/projects", {"project": {"name": name, **DOMAIN}})["project"]["id"]
        user = {"user": {"name": name, "password": PASSWORD, **DOMAIN}}
        person = Person(self.keystone("POST", "/users", user)["user"]["id"], project, self.keystone)
        for role in roles:
            self.grant(f"projects/{project}", person, role)
        return person

    def grant(self, where: str, person: Person, role: str) -> None:
        self.keystone("PUT", f"/{where}/users/{person.id}/roles/{self._roles[role]}")


@pytest.fixture(scope="module")
def people(keystone: Keystone) -> Iterator[People]:
    """Of a Keystone whose catalogue has a Networking service, without which access rules mean nothing."""
    found = keystone("GET", "/services?type=network")["services"]
    made = (
        ""
        if found
        else keystone("POST", "/services", {"service": {"name": "weft", "type": "network"}})["service"]["id"]
    )
    if made:
        endpoint = {"interface": "public", "region_id": REGION, "service_id": made, "url": "http://127.0.0.1:9"}
        keystone("POST", "/endpoints", {"endpoint": endpoint})
    yield People(keystone)
    if made:
        keystone("DELETE", f"/services/{made}")


@pytest.fixture(scope="module")
def configuration(people: People, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """With a service user of its own, and little patience with Keystone."""
    folder = tmp_path_factory.mktemp("weft")
    ours = people("service", "admin")
    (folder / "weft.conf").write_text(
        f"[DEFAULT]\nstate_path = {folder}\n"
        f"[keystone_authtoken]\nauth_url = {people.keystone.url}\nauth_type = v3password\nuser_id = {ours.id}\n"
        f"password = {PASSWORD}\nproject_id = {ours.project}\nhttp_connect_timeout = 1\nhttp_request_max_retries = 0\n"
    )
    return config.load([str(folder / "weft.conf")])


@pytest.fixture(scope="module")
def store(configuration: Config) -> Iterator[Store]:
    app.prepare(configuration)
    store = Store(configuration)
    yield store
    store.close()


Ask = Callable[..., tuple[int, Any]]


@pytest.fixture
def ask(configuration: Config, store: Store) -> Ask:
    """A request with a token to a fresh API, which remembers no token yet: status and body."""
    client = testing.TestClient(app.make_api(configuration, store=store))

    def ask(
        token: str, method: str = "GET", path: str = "/v2.0/networks", body: Any = None, **more: str
    ) -> tuple[int, Any]:
        headers = {"X-Auth-Token": token, **{name.replace("_", "-"): value for name, value in more.items()}}
        answer = client.simulate_request(method, path, json=body, headers=headers)
        return answer.status_code, answer

    return ask


def make(ask: Ask, token: str, **more: str) -> Any:
    """A network of the caller's, or the status of the refusal."""
    status, answer = ask(token, "POST", body={"network": {"name": "n"}}, **more)
    return answer.json["network"] if status == 201 else status


def aged(keystone: Keystone, token: str, seconds: int) -> str:
    keys = sorted((keystone.folder / "fernet").iterdir(), key=lambda file: -int(file.name))
    python = environment("keystone", ["keystone", "granian"]) / "python"
    words = [python, "-c", AGE, token, str(seconds), *(file.read_text() for file in keys)]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


# Scopes and roles.


def test_roles_in_a_project(ask: Ask, people: People) -> None:
    member = people("member")
    reader, stranger = people("reader", project=member.project), people("member")
    made = make(ask, member.token())
    assert made["project_id"] == member.project
    path = f"/v2.0/networks/{made['id']}"
    assert ask(reader.token(), path=path)[0] == 200
    assert make(ask, reader.token()) == 403
    assert ask(reader.token(), "DELETE", path)[0] == 403
    assert ask(stranger.token(), path=path)[0] == 404
    assert ask(stranger.token())[1].json == {"networks": []}
    admin = people("admin")
    assert ask(admin.token(), path=path)[0] == 200
    assert ask(admin.token(), "DELETE", path)[0] == 204


def test_a_token_for_a_domain_or_the_system_is_not_for_projects_things(ask: Ask, people: People) -> None:
    person = people("admin")
    people.grant("domains/default", person, "admin")
    people.grant("system", person, "admin")
    for scope in ({"domain": {"id": "default"}}, {"system": {"all": True}}):
        token = person.token(scope=scope)
        status, answer = ask(token, "POST", body={"network": {"project_id": person.project}})
        assert (status, answer.json["NeutronError"]["type"]) == (403, "InvalidScope")
        assert ask(token)[1].json == {"networks": []}
    assert make(ask, person.token())["project_id"] == person.project


def test_a_token_for_nothing_shows_nothing(ask: Ask, people: People) -> None:
    person = people("admin")
    make(ask, person.token())
    nowhere = person.token(scope={})
    status, answer = ask(nowhere)
    assert status == 403 or answer.json == {"networks": []}
    assert make(ask, nowhere) in (400, 403)


def test_what_only_services_do(ask: Ask, people: People) -> None:
    """A port's binding:profile is Nova's to write (role service), not the owner's and not an administrator's."""
    owner = people("member")
    network = make(ask, owner.token())["id"]
    nova, admin = people("service", "admin"), people("admin")
    for token, status in ((nova.token(), 201), (owner.token(), 403), (admin.token(), 403)):
        body = {"port": {"network_id": network, "binding:profile": {"a": "b"}, "project_id": owner.project}}
        assert ask(token, "POST", "/v2.0/ports", body)[0] == status


def test_a_trust_acts_in_the_trustor_s_project(ask: Ask, people: People) -> None:
    trustor, trustee = people("member", "reader"), people("member")
    trust = trustor.asks(
        "POST",
        "/OS-TRUST/trusts",
        {
            "trust": {
                "trustor_user_id": trustor.id,
                "trustee_user_id": trustee.id,
                "project_id": trustor.project,
                "impersonation": False,
                "roles": [{"name": "member"}],
            }
        },
    )["trust"]["id"]
    token = trustee.log_in(trustee.by_password(), {"OS-TRUST:trust": {"id": trust}})
    assert make(ask, token)["project_id"] == trustor.project
    assert len(ask(trustor.token())[1].json["networks"]) == 1
    assert ask(trustee.token())[1].json == {"networks": []}
    # a trust that is gone takes its tokens with it
    token = trustee.log_in(trustee.by_password(), {"OS-TRUST:trust": {"id": trust}})
    headers = {"X-Auth-Token": trustor.token()}
    assert requests.delete(f"{trustor.keystone.url}/OS-TRUST/trusts/{trust}", headers=headers, timeout=60).ok
    assert make(ask, token) == 401


# Application credentials.


def credential(person: Person, *rules: tuple[str, str], service: str = "network") -> str:
    """A token of a new application credential with these access rules, (method, path) each."""
    wanted = {"name": uuid4().hex, "roles": [{"name": "member"}, {"name": "reader"}]}
    if rules:
        wanted["access_rules"] = [{"method": method, "path": path, "service": service} for method, path in rules]
    made = person.asks("POST", f"/users/{person.id}/application_credentials", {"application_credential": wanted})
    kept = made["application_credential"]
    identity = {"id": kept["id"], "secret": kept["secret"]}
    return person.log_in({"methods": ["application_credential"], "application_credential": identity})


def test_an_application_credential(ask: Ask, people: People) -> None:
    person = people("member", "reader")
    token = credential(person)
    made = make(ask, token)
    assert made["project_id"] == person.project
    assert ask(token, "DELETE", f"/v2.0/networks/{made['id']}")[0] == 204


def test_access_rules_of_an_application_credential(ask: Ask, people: People) -> None:
    person = people("member", "reader")
    made = make(ask, person.token())["id"]
    token = credential(
        person,
        ("GET", "/v2.0/networks"),
        ("GET", "/v2.0/networks/*"),
        ("PUT", "/v2.0/networks/{id}/**"),
        ("POST", "/v2.0/ports"),
    )
    assert ask(token)[0] == 200
    assert ask(token, path=f"/v2.0/networks/{made}")[0] == 200
    assert ask(token, path="/v2.0/networks?name=n")[0] == 200
    assert ask(token, "PUT", f"/v2.0/networks/{made}/tags/a")[0] == 201
    assert ask(token, "POST", "/v2.0/ports", {"port": {"network_id": made}})[0] == 201
    for method, path in (
        ("POST", "/v2.0/networks"),
        ("DELETE", f"/v2.0/networks/{made}"),
        ("PUT", f"/v2.0/networks/{made}"),
        ("GET", f"/v2.0/networks/{made}/tags"),
        ("GET", "/v2.0/ports"),
        ("GET", "/v2.0/subnets"),
        ("GET", "/v2.0/watch"),
    ):
        for spelling in (path, f"/{path}", f"{path}.json", path.replace("/v2.0/", "/v2.0//")):
            assert ask(token, method, spelling, {})[0] == 401, (method, spelling)
    # other services' rules are not ours, and a service may act with any token
    assert ask(credential(person, ("GET", "/v2.0/networks"), service="compute"))[0] == 401
    nova = people("service").token()
    assert ask(token, path="/v2.0/ports", X_Service_Token=nova)[0] == 200
    assert ask(token, path="/v2.0/ports")[0] == 401


# Tokens that are no longer good.


def test_expired_tokens(ask: Ask, people: People) -> None:
    """Alone they are refused; with the token of a service they pass, for as long as Keystone lets them (two days)."""
    person, nova = people("member"), people("service").token()
    token = person.token()
    expired, older = (aged(people.keystone, token, days * 86400) for days in (2, 4))
    assert make(ask, token)["project_id"] == person.project
    for seconds in (0, 60):
        same = aged(people.keystone, token, seconds)
        assert make(ask, same)["project_id"] == person.project, "made well"
    assert make(ask, expired) == 401
    assert make(ask, expired, X_Service_Token=people("member").token()) == 401
    assert make(ask, expired, X_Service_Token="nonsense") == 401
    assert make(ask, expired, X_Service_Token=nova)["project_id"] == person.project
    assert make(ask, expired) == 401
    assert make(ask, older, X_Service_Token=nova) == 401
    assert make(ask, expired, X_Service_Token=aged(people.keystone, nova, 2 * 86400)) == 401


def test_revoked_tokens(ask: Ask, people: People, configuration: Config) -> None:
    person = people("member", "reader")
    token, other = person.token(), person.token()
    for one in (token, other):
        headers = {"X-Auth-Token": people.keystone.token, "X-Subject-Token": one}
        if one == other:
            assert ask(one)[0] == 200
        assert requests.delete(f"{people.keystone.url}/auth/tokens", headers=headers, timeout=60).ok
    assert ask(token)[0] == 401
    assert ask(other)[0] == 200, "remembered for token_cache_time"
    assert configuration.identity.token_cache_time <= 300


@pytest.mark.parametrize("what", ["users", "projects"])
def test_who_is_disabled_is_refused(ask: Ask, people: People, what: str) -> None:
    person = people("member", "reader")
    token = person.token()
    id = person.id if what == "users" else person.project
    people.keystone("PATCH", f"/{what}/{id}", {what[:-1]: {"enabled": False}})
    assert ask(token)[0] == 401


def test_nonsense(ask: Ask, people: People) -> None:
    for token in ("nonsense", "gAAAAA" + "x" * 200, "\u00e4".encode().decode("latin-1"), "x" * 5000):
        status, answer = ask(token)
        assert status == 401
        assert answer.headers["WWW-Authenticate"] == f'Keystone uri="{people.keystone.url}"'


def test_a_token_remembered_ends_with_its_time(people: People, configuration: Config, store: Store) -> None:
    """Also an expired one that a service vouches for is remembered no longer than the service's own is good."""
    soon = aged(people.keystone, people("member", "reader").token(), 86400 - 600)
    client = testing.TestClient(app.make_api(configuration, store=store))
    answer = client.simulate_get("/v2.0/networks", headers={"X-Auth-Token": soon})
    assert answer.status_code == 200
    headers = {"X-Auth-Token": people.keystone.token, "X-Subject-Token": soon}
    said = requests.get(f"{people.keystone.url}/auth/tokens", headers=headers, timeout=60).json()["token"]["expires_at"]
    left = datetime.fromisoformat(said) - datetime.now(UTC)
    assert timedelta(0) < left <= timedelta(seconds=600)


# Without Keystone.


@pytest.fixture
def silence(keystone: Keystone) -> Iterator[Callable[[], None]]:
    """Lets Keystone hang: connections are taken, and nothing is answered."""
    yield lambda: os.killpg(keystone.pid, signal.SIGSTOP)
    os.killpg(keystone.pid, signal.SIGCONT)


def test_while_keystone_hangs(ask: Ask, people: People, silence: Callable[[], None], keystone: Keystone) -> None:
    known, unknown = people("member", "reader"), people("member", "reader")
    tokens = known.token(), unknown.token()
    network = make(ask, tokens[0])["id"]
    silence()
    for _ in range(3):
        assert ask(tokens[0], path=f"/v2.0/networks/{network}")[0] == 200
    status, answer = ask(tokens[1])
    assert (status, answer.headers["Retry-After"]) == (503, "5")
    assert answer.json["NeutronError"]["type"] == "ServiceUnavailable"
    os.killpg(keystone.pid, signal.SIGCONT)
    assert ask(tokens[1])[0] == 200
