"""A real Keystone on loopback for tests: from the package index, SQLite, Fernet tokens, one process."""

from __future__ import annotations

import contextlib
import os
import pwd
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.conformance.environments import environment
from tests.conformance.processes import free_port, running, wait_until_answers

PASSWORD = "secret-for-tests"
REGION = "RegionOne"
HERE = Path(__file__).parent

CONFIGURATION = """\
[DEFAULT]
log_dir = {folder}/log
log_file = keystone.log
[database]
connection = sqlite:///{folder}/keystone.db
[token]
provider = fernet
expiration = 86400
[fernet_tokens]
key_repository = {folder}/fernet
[credential]
key_repository = {folder}/credential
[cache]
enabled = true
backend = oslo_cache.dict
[identity]
# The suites make hundreds of users, for a minute each.
password_hash_rounds = 4
[oslo_policy]
enforce_scope = true
enforce_new_defaults = true
"""


@dataclass(frozen=True)
class Keystone:
    """One that answers. `url` ends with /v3; the administrator is `admin` in the project `admin`.

    `pid` leads the session of its processes; `folder` holds its keys.
    """

    url: str
    token: str
    pid: int
    folder: Path

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        """A request of the administrator; the decoded body of the answer."""
        answer = requests.request(method, self.url + path, json=body, headers={"X-Auth-Token": self.token}, timeout=30)
        assert answer.ok, (method, path, answer.status_code, answer.text)
        return answer.json() if answer.content else None

    def offer(self, network_url: str) -> None:
        """Let the catalogue name `network_url` as the Networking service, and make that a user: `neutron` in `service`."""
        domain = {"domain_id": "default"}
        project = self("POST", "/projects", {"project": {"name": "service", **domain}})["project"]["id"]
        user = self("POST", "/users", {"user": {"name": "neutron", "password": PASSWORD, **domain}})["user"]["id"]
        roles = {role["name"]: role["id"] for role in self("GET", "/roles")["roles"]}
        for role in ("admin", "service"):
            self("PUT", f"/projects/{project}/users/{user}/roles/{roles[role]}")
        made = self("POST", "/services", {"service": {"name": "neutron", "type": "network"}})["service"]["id"]
        for interface in ("public", "internal", "admin"):
            endpoint = {"interface": interface, "region_id": REGION, "service_id": made, "url": network_url}
            self("POST", "/endpoints", {"endpoint": endpoint})


@contextlib.contextmanager
def keystone(folder: Path) -> Iterator[Keystone]:
    """A fresh Keystone in `folder`."""
    programs = environment("keystone", ["keystone", "granian"])
    configuration = folder / "keystone.conf"
    for name in ("fernet", "credential", "log"):
        (folder / name).mkdir(mode=0o700)
    configuration.write_text(CONFIGURATION.format(folder=folder))
    port = free_port()
    url = f"http://127.0.0.1:{port}/v3"

    def manage(*words: str) -> None:
        command = [programs / "keystone-manage", "--config-file", configuration, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]

    manage("db_sync")
    owner = pwd.getpwuid(os.geteuid()).pw_name
    for what in ("fernet_setup", "credential_setup"):
        manage(what, "--keystone-user", owner, "--keystone-group", owner)
    urls = [word for kind in ("public", "internal", "admin") for word in (f"--bootstrap-{kind}-url", url)]
    manage("bootstrap", "--bootstrap-password", PASSWORD, "--bootstrap-region-id", REGION, *urls)
    # One thread: Keystone's SQLite refuses the second of two transactions that begin reading and then write.
    options = ["--interface", "wsgi", "--port", str(port), "--blocking-threads", "1", "--no-ws"]
    log = folder / "log" / "server"
    env = {"PYTHONPATH": str(HERE / "wsgi"), "OS_KEYSTONE_CONFIG_FILES": str(configuration)}
    with running([programs / "granian", *options, "keystone_app:application"], log, env) as process:
        wait_until_answers(url, process, log)
        yield Keystone(url, _log_in(url), process.pid, folder)


def _log_in(url: str) -> str:
    domain = {"id": "default"}
    identity = {
        "methods": ["password"],
        "password": {"user": {"name": "admin", "domain": domain, "password": PASSWORD}},
    }
    body = {"auth": {"identity": identity, "scope": {"project": {"name": "admin", "domain": domain}}}}
    answer = requests.post(f"{url}/auth/tokens", json=body, timeout=60)
    assert answer.status_code == 201, answer.text
    return answer.headers["X-Subject-Token"]
