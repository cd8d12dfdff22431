"""`weft serve`: the API alone, as processes on free ports, asking an identity service that somebody else runs."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.api.test_up import alive, ask, children
from tests.waiting import PATIENCE, wait_until
from weft import config
from weft.store import leader, processes
from weft.store.engine import Store

ROOT = Path(__file__).resolve().parents[2]


class Weft:
    """A `weft` that runs."""

    def __init__(self, *words: str, **more: Any) -> None:
        command = [sys.executable, "-m", "weft", *words]
        env = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"} | more.pop("env", {})
        how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | more
        self.process = subprocess.Popen(command, env=env, **how)

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
    assert list(told["processes"]) == ["api-1", "api-2", "keeper"]
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
    now = wait_until(lambda: len(found := children(weft.process.pid)) == 3 and found)
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


class Load:
    """Clients that ask without a pause, some on one connection for as long as it stands, some on a new one each time."""

    def __init__(self, url: str, clients: int, connect: Callable[[], http.client.HTTPConnection] | None = None) -> None:
        self.connect = connect or (lambda: http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE))
        self.asked = self.answered = 0
        self.refused: list[str] = []
        self.over = False
        kinds = [self._keep if number % 2 else self._renew for number in range(clients)]
        self.threads = [threading.Thread(target=kind) for kind in kinds]
        for thread in self.threads:
            thread.start()

    def _ask(self, connection: http.client.HTTPConnection) -> bool:
        """Whether the connection may be used again."""
        self.asked += 1
        # one that no proxy may ask twice, and one that it may
        what, status = (("POST", "/v2.0/networks"), 401) if self.asked % 2 else (("GET", "/"), 200)
        connection.request(*what)
        answer = connection.getresponse()
        answer.read()
        if answer.status != status:
            raise http.client.HTTPException(f"status {answer.status}")
        self.answered += 1
        return answer.getheader("Connection") != "close"

    def _renew(self) -> None:
        while not self.over:
            try:
                self._ask(self.connect())
            except (OSError, http.client.HTTPException) as error:
                self.refused.append(repr(error))

    def _keep(self) -> None:
        connection = self.connect()
        while not self.over:
            try:
                kept = self._ask(connection)
            except (OSError, http.client.HTTPException) as error:
                kept = False
                self.refused.append(repr(error))
            if not kept:
                connection.close()
                connection = self.connect()
        connection.close()

    def end(self) -> None:
        self.over = True
        for thread in self.threads:
            thread.join()


class Cloud:
    """A `weft serve` with its file and its log, to be reloaded."""

    def __init__(self, file: Path, log: Path) -> None:
        self.file, self.log = file, log
        self.first = file.read_text()
        with log.open("w") as errors:
            self.weft = Weft("serve", "--config", str(file), "--json", stderr=errors)
        self.url = self.weft.ready()["network_url"]

    def configure(self, workers: str, name: str = "http://first", more: str = "") -> None:
        lines = f"api_workers = {workers}\nnetwork_link_prefix = {name}"
        self.file.write_text(self.first.replace("api_workers = 2", lines) + more)

    def reload(self, says: str, kill: int = 0) -> None:
        before = self.log.read_text().count(says)
        self.weft.process.send_signal(signal.SIGHUP)
        if kill:
            os.kill(kill, signal.SIGKILL)
        wait_until(lambda: self.log.read_text().count(says) > before)

    def workers(self) -> set[int]:
        return set(children(self.weft.process.pid))

    def name(self) -> str:
        """How it calls itself, which the file says."""
        link: str = ask(self.url)[2]["versions"][0]["links"][0]["href"]
        return link

    def end(self) -> None:
        process = self.weft.process
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture
def cloud(file: Path, tmp_path: Path) -> Iterator[Cloud]:
    made = Cloud(file, tmp_path / "serve.log")
    yield made
    made.end()


def test_a_reload_replaces_every_process_and_refuses_no_request(cloud: Cloud) -> None:
    first, load = cloud.workers(), Load(cloud.url, 6)
    try:
        cloud.configure("3", "http://second")
        cloud.reload(": reloaded")
        second = cloud.workers()
        assert {cloud.name() for _ in range(20)} == {"http://second/v2.0/"}
        cloud.configure("many")
        cloud.reload("not reloaded: configuration: ")
        assert cloud.workers() == second
        cloud.configure("1", "http://third")
        cloud.reload(": reloaded")
        third = cloud.workers()
        assert {cloud.name() for _ in range(20)} == {"http://third/v2.0/"}
        many = load.answered
        wait_until(lambda: load.answered > many + 50)
    finally:
        load.end()
    assert (len(first), len(second), len(third)) == (3, 4, 2)
    assert not first & second and not second & third
    assert not any(alive(pid) for pid in first | second)
    assert load.refused == []


def test_a_worker_is_killed_during_a_reload(cloud: Cloud) -> None:
    for _ in range(2):
        before = cloud.workers()
        cloud.reload(": reloaded", kill=max(before))
        wait_until(lambda: len(cloud.workers()) == 3)
        assert not cloud.workers() & before
        assert ask(cloud.url)[0] == 200


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("[database]\nconnection = postgresql+psycopg://weft@127.0.0.1:9/weft\n", "not reloaded: the database: "),
        ("[database]\nconnection = paper://\n", "not reloaded: configuration: [database] connection"),
        ("[oslo_policy]\npolicy_file = broken.yaml\n", "not reloaded: policy: "),
        ("[nonsense\n", "not reloaded: configuration: "),
    ],
)
def test_a_reload_that_fails_leaves_everything_as_it_is(cloud: Cloud, more: str, says: str) -> None:
    (cloud.file.parent / "broken.yaml").write_text("get_network: [")
    before = cloud.workers()
    cloud.configure("3", "http://second", more)
    cloud.reload(says)
    assert cloud.workers() == before
    assert "second" not in cloud.name()
    cloud.configure("3", "http://third")
    cloud.reload(": reloaded")
    assert cloud.name() == "http://third/v2.0/"
    assert len(cloud.workers()) == 4


@pytest.mark.slow
def test_every_process_looks_at_policy_files(cloud: Cloud, keystone: dict[str, Any]) -> None:
    headers, policy = {"X-Auth-Token": token(keystone)}, cloud.file.parent / "policy.yaml"

    def answers() -> set[int]:
        body = {"network": {}}
        return {ask(cloud.url, "/v2.0/networks?dry_run=true", "POST", headers, body)[0] for _ in range(8)}

    assert answers() == {200}
    policy.write_text('{"create_network": "!"}')
    wait_until(lambda: answers() == {403})
    policy.write_text('{"create_network": ')
    said = "cannot be read; the rules stay as they were"
    wait_until(lambda: answers() == {403} and cloud.log.read_text().count(said) == 2)
    policy.unlink()
    wait_until(lambda: answers() == {200})


def test_of_two_services_one_keeps_house(file: Path, tmp_path: Path, database: str) -> None:
    env = {"OS_DATABASE__CONNECTION": database}
    store = Store(config.load(database={"connection": database}))
    one = Weft("serve", "--config", str(file), "--json", env=env)
    one.ready()

    def holder() -> str:
        found = store.read(leader.held)
        return found[0].holder.split(":")[1] if found and found[0].seconds > 0 else ""

    def keepers() -> list[str]:
        return [str(one.pid) for one in store.read(lambda c: processes.alive(c, 60)) if one.name == "keeper"]

    first = wait_until(holder)
    two = Weft("serve", "--config", str(file), "--json", env=env)
    told = two.ready()["processes"]
    wait_until(lambda: str(told["keeper"]) in keepers())
    assert len(keepers()) == 2
    assert holder() == first
    assert one.end(signal.SIGTERM)[0] == 0
    assert holder() == "", "given back"
    assert keepers() == [str(told["keeper"])]
    assert two.end(signal.SIGTERM)[0] == 0
    assert store.read(lambda c: processes.alive(c, 60)) == []
    store.close()


@pytest.mark.one_database
def test_configuration_from_the_environment(
    file: Path, keystone: dict[str, Any], tmp_path: Path, database: str
) -> None:
    """As OpenStack's services take it: OS_<section>__<option>, over what the files say."""
    password = (tmp_path / "up" / "service-password").read_text().strip()
    env = {
        "OS_DEFAULT__API_WORKERS": "1",
        "OS_DEFAULT__BIND_PORT": "0",
        "OS_DEFAULT__STATE_PATH": str(tmp_path / "environment"),
        "OS_KEYSTONE_AUTHTOKEN__AUTH_URL": keystone["identity_url"],
        "OS_KEYSTONE_AUTHTOKEN__PASSWORD": password,
        "OS_DATABASE__CONNECTION": database,
    }
    weft = Weft("serve", "--json", env=env)
    told = weft.ready()
    assert list(told["processes"]) == ["api-1", "keeper"]
    assert ask(told["network_url"], "/v2.0/networks", "GET", {"X-Auth-Token": token(keystone)})[0] == 200
    assert weft.end(signal.SIGTERM)[0] == 0
    code, errors = Weft("serve", "--config", str(file), env={"OS_DEFAULT__API_WORKERS": "many"}).end()
    assert code == 1
    assert "invalid literal for int() with base 10: 'many'" in errors


def test_under_systemd(file: Path, tmp_path: Path) -> None:
    """Its socket is used, so that a restart refuses nobody, and it is told when we are ready."""
    listener = socket.create_server(("127.0.0.1", 0))
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(str(tmp_path / "notify"))
    told.settimeout(PATIENCE)
    # what systemd does between fork and exec
    wrapper = (
        "import os, sys; os.dup2(int(sys.argv[1]), 3); os.set_inheritable(3, True);"
        "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1');"
        "os.execv(sys.executable, [sys.executable, '-m', 'weft', *sys.argv[2:]])"
    )
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    for _ in range(2):
        words = [sys.executable, "-c", wrapper, str(listener.fileno()), "serve", "--config", str(file)]
        env = os.environ | {"PYTHONPATH": str(ROOT), "NOTIFY_SOCKET": str(tmp_path / "notify")}
        process = subprocess.Popen(words, env=env, pass_fds=[listener.fileno()], stderr=subprocess.DEVNULL)
        with ThreadPoolExecutor(1) as threads:
            early = threads.submit(ask, url)  # before anybody accepts
            assert told.recv(100) == b"READY=1"
            assert early.result()[0] == 200
        process.send_signal(signal.SIGHUP)
        assert told.recv(100).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert told.recv(100) == b"READY=1"
        process.send_signal(signal.SIGTERM)
        assert told.recv(100) == b"STOPPING=1"
        assert process.wait(PATIENCE) == 0
    told.close()
    listener.close()
