"""`weft serve`: the API alone, as processes on free ports, asking an identity service that somebody else runs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.api.test_up import PATIENCE, alive, ask, children, eventually

ROOT = Path(__file__).resolve().parents[2]


class Weft:
    """A `weft` that runs."""

    def __init__(self, *words: str) -> None:
        command = [sys.executable, "-m", "weft", *words]
        env = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def ready(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.end()
        return dict(json.loads(line))

    def end(self, number: int = 0) -> tuple[int, str]:
        if number:
            self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, errors


@pytest.fixture
def keystone(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """An identity service: the stand-in of an installation of which we use nothing else."""
    words = ("--state-dir", str(tmp_path / "up"), "--no-dataplane", "--port", "0", "--identity-port", "0", "--json")
    weft = Weft("up", *words)
    yield weft.ready()
    assert weft.end(signal.SIGTERM)[0] == 0


@pytest.fixture
def file(tmp_path: Path, keystone: dict[str, Any]) -> Path:
    """A configuration with two processes and a database of its own."""
    path = tmp_path / "weft.conf"
    password = (tmp_path / "up" / "service-password").read_text().strip()
    path.write_text(
        f"[DEFAULT]\nstate_path = {tmp_path / 'serve'}\nbind_port = 0\napi_workers = 2\n"
        f"[keystone_authtoken]\nauth_url = {keystone['identity_url']}\npassword = {password}\n"
    )
    return path


def token(keystone: dict[str, Any]) -> str:
    clouds = yaml.safe_load(Path(keystone["clouds"]).read_text())["clouds"]
    auth = clouds["weft-demo"]["auth"]
    user = {"name": auth["username"], "password": auth["password"], "domain": {"id": "default"}}
    scope = {"project": {"name": auth["project_name"], "domain": {"id": "default"}}}
    identity = {"methods": ["password"], "password": {"user": user}}
    body = {"auth": {"identity": identity, "scope": scope}}
    status, headers, _ = ask(keystone["identity_url"], "/v3/auth/tokens", "POST", {}, body)
    assert status == 201
    return str(headers["X-Subject-Token"])


def test_processes_serve_one_database_until_a_signal(file: Path, keystone: dict[str, Any]) -> None:
    weft = Weft("serve", "--config", str(file), "--json")
    told = weft.ready()
    pids = list(told["processes"].values())
    assert list(told["processes"]) == ["api-1", "api-2"]
    assert sorted(children(weft.process.pid)) == sorted(pids)
    url, headers = told["network_url"], {"X-Auth-Token": token(keystone)}
    assert ask(url, "/v2.0/networks")[0] == 401
    status, _, made = ask(url, "/v2.0/networks", "POST", headers, {"network": {"name": "blue"}})
    assert status == 201
    for pid in pids:  # whichever of them answers
        os.kill(pid, signal.SIGKILL)
        _, _, found = ask(url, "/v2.0/networks", "GET", headers)
        assert [network["id"] for network in found["networks"]] == [made["network"]["id"]]
    assert ask(keystone["network_url"], "/v2.0/networks", "GET", headers)[2] == {"networks": []}
    now = eventually(lambda: len(found := children(weft.process.pid)) == 2 and found)
    code, errors = weft.end(signal.SIGTERM)
    assert code == 0
    assert "was killed by SIGKILL" in errors
    assert not any(alive(pid) for pid in now)


def test_what_cannot_start_says_why(file: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, errors = Weft("serve", "--config", str(file), "--port", port).end()
    assert code == 4
    assert f"port {port}" in errors
    code, errors = Weft("serve", "--config", str(file), "--listen", "198.18.0.1").end()
    assert code == 1
    assert "not a loopback address" in errors
    code, errors = Weft("serve", "--config", str(tmp_path / "gone.conf")).end()
    assert code == 1
    assert "gone.conf" in errors
