"""An installation in a temporary state folder with a clock that tests turn, and its application in process."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import falcon.testing
import pytest
import yaml

from weft.identity.app import make_app
from weft.identity.setup import open_installation
from weft.identity.throttle import Throttle
from weft.identity.tokens import Tokens

PUBLIC, NETWORK = "http://127.0.0.1:5000/v3", "http://127.0.0.1:9696"


@dataclass
class Clock:
    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class House:
    """One installation; `restart` reads everything again from its folder."""

    folder: Path
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.installation = open_installation(self.folder, PUBLIC)
        self.users = self.installation.users
        self.tokens = Tokens(self.folder, clock=self.clock)
        self.throttle = Throttle(self.clock)
        app = make_app(self.users, self.tokens, PUBLIC, NETWORK, self.throttle)
        self.http = falcon.testing.TestClient(app)

    @property
    def clouds(self) -> dict[str, Any]:
        return yaml.safe_load(self.installation.clouds.read_text())["clouds"]

    def password(self, user: str) -> str:
        if user == "weft":
            return self.installation.service_password
        return self.clouds[f"weft-{user}"]["auth"]["password"]

    def by_password(self, user: str, scope: Any = None, password: str | None = None) -> falcon.testing.Result:
        """POST /v3/auth/tokens."""
        who = {"name": user, "domain": {"id": "default"}, "password": password or self.password(user)}
        auth: dict[str, Any] = {"identity": {"methods": ["password"], "password": {"user": who}}}
        return self.ask(auth, scope)

    def by_token(self, token: str, scope: Any = None) -> falcon.testing.Result:
        return self.ask({"identity": {"methods": ["token"], "token": {"id": token}}}, scope)

    def ask(self, auth: dict[str, Any], scope: Any = None) -> falcon.testing.Result:
        return self.http.simulate_post("/v3/auth/tokens", json={"auth": auth | ({"scope": scope} if scope else {})})

    def token(self, user: str, project: str | None = None) -> str:
        """A token of `user` for `project` (of the same name if not given; the service's is `service`)."""
        name = project or {"weft": "service"}.get(user, user)
        answer = self.by_password(user, {"project": {"name": name, "domain": {"name": "Default"}}})
        assert answer.status_code == 201, answer.text
        return answer.headers["X-Subject-Token"]

    def get(self, path: str, token: str, **query: str) -> falcon.testing.Result:
        return self.http.simulate_get(path, headers={"X-Auth-Token": token}, params=query)

    def validate(self, subject: str, token: str, method: str = "GET") -> falcon.testing.Result:
        headers = {"X-Auth-Token": token, "X-Subject-Token": subject}
        return self.http.simulate_request(method, "/v3/auth/tokens", headers=headers)


@pytest.fixture(scope="session")
def first_start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder after a first start, to copy: hashing passwords is slow on purpose."""
    folder = tmp_path_factory.mktemp("first") / "state"
    open_installation(folder, PUBLIC)
    return folder


@pytest.fixture
def house(tmp_path: Path, first_start: Path) -> House:
    return House(shutil.copytree(first_start, tmp_path / "state"))
