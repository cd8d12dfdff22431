"""Programs that others wrote, over HTTP on loopback: the openstack client and keystonemiddleware."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from keystoneauth1 import loading, session
from keystonemiddleware.auth_token import AuthProtocol

from weft.identity.app import make_app
from weft.identity.setup import Installation, open_installation

OPENSTACK = Path(sys.executable).with_name("openstack")


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@dataclass
class Served:
    """An installation that listens on a free port of loopback."""

    url: str
    installation: Installation

    def openstack(self, cloud: str, *words: str) -> Any:
        """What `openstack` prints as JSON; RuntimeError with its complaint if it fails."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        env |= {"OS_CLIENT_CONFIG_FILE": str(self.installation.clouds), "OS_CLOUD": cloud}
        command = [str(OPENSTACK), *words, "-f", "json"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return json.loads(done.stdout)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    def dispatch(environ: Any, start_response: Any) -> Any:
        return apps[0](environ, start_response)

    apps: list[Any] = []
    with make_server("127.0.0.1", 0, dispatch, _Server, _Quiet) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        installation = open_installation(tmp_path / "state", url)
        apps.append(make_app(installation.users, installation.tokens, url, "http://127.0.0.1:9"))
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield Served(url, installation)
        server.shutdown()


@pytest.mark.needs_openstackclient
def test_the_openstack_client_as_administrator(served: Served) -> None:
    directory = served.installation.users.now()
    token = served.openstack("weft-admin", "token", "issue")
    assert token["project_id"] == directory.project_named("admin").id
    assert served.installation.tokens.read(token["id"]).user_id == token["user_id"]
    projects = served.openstack("weft-admin", "project", "list")
    assert {(p["ID"], p["Name"]) for p in projects} == {(p.id, p.name) for p in directory.projects}
    demo = served.openstack("weft-admin", "project", "show", "demo")
    assert (demo["id"], demo["enabled"]) == (directory.project_named("demo").id, True)
    user = served.openstack("weft-admin", "user", "show", "demo")
    assert user["id"] == directory.user_named("demo").id
    held = served.openstack(
        "weft-admin", "role", "assignment", "list", "--user", "demo", "--project", "demo", "--names"
    )
    assert {row["Role"] for row in held} == {"member", "reader"}
    catalog = served.openstack("weft-admin", "catalog", "list")
    assert {row["Type"] for row in catalog} == {"identity", "network"}


@pytest.mark.needs_openstackclient
def test_the_openstack_client_as_member(served: Served) -> None:
    directory = served.installation.users.now()
    assert served.openstack("weft-demo", "token", "issue")["user_id"] == directory.user_named("demo").id
    assert [p["Name"] for p in served.openstack("weft-demo", "project", "list", "--my-projects")] == ["demo"]
    assert served.openstack("weft-demo", "project", "show", "demo")["id"] == directory.project_named("demo").id
    assert served.openstack("weft-demo", "user", "show", "demo")["name"] == "demo"
    with pytest.raises(RuntimeError, match="403"):
        served.openstack("weft-demo", "user", "list")


def _ask(app: Any, token: str) -> tuple[str, dict[str, str]]:
    """The status of a request with `token` through the middleware, and what it told the application of the caller."""
    seen: dict[str, str] = {}
    statuses: list[str] = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "SERVER_NAME": "x", "SERVER_PORT": "1", "QUERY_STRING": ""}
    environ |= {"wsgi.url_scheme": "http", "HTTP_X_AUTH_TOKEN": token, "told": seen}  # type: ignore[dict-item]
    list(app(environ, lambda status, headers, exc_info=None: statuses.append(status)))
    return statuses[0], seen


def _application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    environ["told"].update({name: value for name, value in environ.items() if name.startswith("HTTP_X_")})
    start_response("200 OK", [])
    return [b""]


def test_keystonemiddleware_validates_our_tokens(served: Served) -> None:
    conf = {
        "auth_type": "password",
        "auth_url": served.url + "/v3",
        "username": "weft",
        "password": served.installation.service_password,
        "project_name": "service",
        "user_domain_name": "Default",
        "project_domain_name": "Default",
        "www_authenticate_uri": served.url + "/v3",
        "token_cache_time": "-1",
    }
    app = AuthProtocol(_application, conf)
    login = json.loads(json.dumps({"auth_url": served.url + "/v3", "username": "demo", "project_name": "demo"}))
    login |= {"user_domain_name": "Default", "project_domain_name": "Default"}
    text = served.installation.clouds.read_text().split("weft-demo:")[1]
    login["password"] = text.split("password: ")[1].split("\n")[0].strip('"')
    demo = session.Session(auth=loading.get_plugin_loader("password").load_from_options(**login))
    token = demo.get_token()
    status, told = _ask(app, token)
    assert status == "200 OK"
    directory = served.installation.users.now()
    assert told["HTTP_X_PROJECT_ID"] == directory.project_named("demo").id
    assert told["HTTP_X_USER_ID"] == directory.user_named("demo").id
    assert told["HTTP_X_IDENTITY_STATUS"] == "Confirmed"
    assert sorted(told["HTTP_X_ROLES"].split(",")) == ["member", "reader"]
    assert _ask(app, token[:-2] + "AA")[0].startswith("401")
    assert demo.get_endpoint(service_type="network") == "http://127.0.0.1:9"
    served.installation.tokens.revoke(served.installation.tokens.read(token))
    assert _ask(app, token)[0].startswith("401")
