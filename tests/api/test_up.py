"""`weft up` as a tree of real processes on free ports: ready, stopped, killed, refused."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.waiting import PATIENCE, wait_until
from weft import up as up_module

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(__file__).with_name("up_programs.py")


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def ask(url: str, path: str = "/", method: str = "GET", headers: dict[str, str] | None = None, body: Any = None) -> Any:
    """(status, headers, body) of a request on a connection of its own."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)
    try:
        data = json.dumps(body) if body is not None else None
        connection.request(method, path, data, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, json.loads(answer.read() or b"null")
    finally:
        connection.close()


@dataclass
class Up:
    """One `weft up`."""

    process: subprocess.Popen[str]
    folder: Path
    told: dict[str, Any] = field(default_factory=dict)

    def wait_ready(self) -> Up:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.end()
        self.told = json.loads(line)
        return self

    @property
    def network(self) -> str:
        return self.told["network_url"]

    @property
    def identity(self) -> str:
        return self.told["identity_url"]

    @property
    def pids(self) -> list[int]:
        return list(self.told["processes"].values())

    def end(self, number: int = 0) -> tuple[int, str]:
        """Exit code and standard error, after sending signal `number` if one is given."""
        if number:
            self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, errors

    def log(self) -> str:
        return (self.folder / "weft.log").read_text()


Start = Callable[..., Up]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts `weft up` with small programs; ends what is left of it after the test."""
    ups: list[Up] = []

    def start(*words: str, faults: str = "", folder: Path | None = None, as_json: bool = True) -> Up:
        folder = folder or tmp_path / "state"
        command = [sys.executable, str(PROGRAMS), "up", "--state-dir", str(folder), *words]
        command += ["--json"] if as_json else []
        for option in ("--port", "--identity-port"):
            command += [] if option in words else [option, "0"]
        env = os.environ | {"WEFT_TEST": faults, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        # who runs the tests by nohup(1) gives that to `weft up`, which respects it
        command = ["env", "--default-signal=HUP", *command]
        process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        ups.append(Up(process, folder))
        return ups[-1]

    yield start
    for up in ups:
        if up.process.poll() is None:
            up.process.kill()
        up.process.wait()
        for pipe in (up.process.stdout, up.process.stderr):
            assert pipe is not None
            pipe.close()


needs_dataplane = pytest.mark.needs_root


@needs_dataplane
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_everything_runs_until_a_signal_and_then_nothing_does(start: Start, number: int) -> None:
    up = start().wait_ready()
    assert list(up.told["processes"]) == ["identity", "dataplane", "api"]
    assert sorted(children(up.process.pid)) == sorted(up.pids)
    assert not [grandchild for pid in up.pids for grandchild in children(pid)]
    status, _, body = ask(up.network)
    assert (status, body["pid"]) == (200, up.told["processes"]["api"])
    assert body["auth_url"] == up.identity
    assert body["password"] == (up.folder / "service-password").read_text().strip()
    assert ask(up.identity, "/v3")[0] == 200
    clouds = yaml.safe_load(Path(up.told["clouds"]).read_text())["clouds"]
    assert {cloud["auth"]["auth_url"] for cloud in clouds.values()} == {up.identity}
    code, errors = up.end(number)
    assert code == 0, errors
    assert not any(alive(pid) for pid in up.pids)
    assert errors.strip().endswith("stopped")
    assert "Traceback" not in errors


def test_without_a_dataplane(start: Start) -> None:
    up = start("--no-dataplane").wait_ready()
    assert list(up.told["processes"]) == ["identity", "api"]
    assert up.end(signal.SIGTERM)[0] == 0


@needs_dataplane
def test_a_killed_child_is_started_again_and_no_request_is_refused(start: Start) -> None:
    up = start().wait_ready()
    for name, pid in up.told["processes"].items():
        others = [other for other in up.pids if other != pid]
        os.kill(pid, signal.SIGKILL)
        # the listening socket outlives who accepts from it: both services answer at once
        assert ask(up.network)[0] == 200
        assert ask(up.identity, "/v3")[0] == 200
        (new,) = wait_until(lambda: [p for p in children(up.process.pid) if p not in up.pids])
        assert all(alive(other) for other in others)
        up.told["processes"][name] = new
        assert f"{name} was killed by SIGKILL" in up.log()
    assert ask(up.network)[2]["pid"] == up.told["processes"]["api"]
    assert up.end(signal.SIGTERM)[0] == 0
    assert not any(alive(pid) for pid in up.pids)


@needs_dataplane
def test_a_child_that_keeps_dying_pauses_longer_and_longer_and_disturbs_nobody(start: Start) -> None:
    up = start().wait_ready()
    (up.folder / "die").touch()
    os.kill(up.told["processes"]["dataplane"], signal.SIGKILL)
    wait_until(lambda: up.log().count("dataplane ended with 7") >= 4)
    pauses = [float(line.split(" in ")[1].split()[0]) for line in up.log().splitlines() if "starts again" in line]
    assert pauses[:5] == [0.05, 0.1, 0.2, 0.4, 0.8]
    assert ask(up.network)[2]["pid"] == up.told["processes"]["api"]
    assert up.end(signal.SIGTERM)[0] == 0


@needs_dataplane
def test_children_end_with_a_killed_supervisor_and_the_folder_is_free(start: Start) -> None:
    up = start().wait_ready()
    up.process.kill()
    up.process.wait()
    again = start("--port", up.network.rpartition(":")[2]).wait_ready()
    assert not any(alive(pid) for pid in up.pids)
    assert ask(again.network)[2]["pid"] == again.told["processes"]["api"]
    assert again.end(signal.SIGTERM)[0] == 0


@needs_dataplane
def test_a_child_that_does_not_stop_is_killed(start: Start) -> None:
    up = start(faults="dataplane-deaf").wait_ready()
    code, errors = up.end(signal.SIGTERM)
    assert code == 0
    assert "dataplane did not stop, killing it" in errors
    assert not any(alive(pid) for pid in up.pids)


def test_a_request_under_way_is_answered_before_the_end(start: Start) -> None:
    up = start("--no-dataplane").wait_ready()
    connection = http.client.HTTPConnection(urlsplit(up.network).netloc, timeout=PATIENCE)
    connection.request("GET", "/")
    connection.getresponse().read()
    connection.request("GET", "/slow")
    time.sleep(0.2)
    up.process.send_signal(signal.SIGTERM)
    assert connection.getresponse().status == 200
    connection.close()
    assert up.end()[0] == 0


def test_idle_connections_do_not_hold_up_the_end(start: Start) -> None:
    up = start("--no-dataplane").wait_ready()
    connection = http.client.HTTPConnection(urlsplit(up.network).netloc, timeout=PATIENCE)
    connection.request("GET", "/")
    connection.getresponse().read()
    code, errors = up.end(signal.SIGTERM)
    connection.close()
    assert code == 0
    assert "did not stop" not in errors


def test_a_second_one_on_the_same_folder_is_refused(start: Start) -> None:
    up = start("--no-dataplane").wait_ready()
    code, errors = start("--no-dataplane").end()
    assert code == 3
    assert f"runs already on {up.folder} (process {up.process.pid})" in errors
    assert ask(up.network)[0] == 200
    other = start("--no-dataplane", folder=up.folder.with_name("other")).wait_ready()
    assert other.end(signal.SIGTERM)[0] == 0
    assert up.end(signal.SIGTERM)[0] == 0
    assert start("--no-dataplane").wait_ready().end(signal.SIGTERM)[0] == 0


@pytest.mark.parametrize("option", ["--port", "--identity-port"])
def test_a_taken_port_is_named_and_so_is_who_has_it(start: Start, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, errors = start("--no-dataplane", option, port).end()
    assert code == 4
    assert f"port {port} of 127.0.0.1 is in use, by process {os.getpid()} (" in errors
    assert f"choose another {option}" in errors


@pytest.mark.parametrize("fault", ["api-fails", "prepare-fails"])
def test_what_cannot_start_ends_all_and_says_why(start: Start, fault: str) -> None:
    up = start("--no-dataplane", faults=fault)
    code, errors = up.end()
    assert code == 1
    assert "today" in errors
    assert errors.splitlines()[-1].startswith("weft up: ")
    assert "today" in up.log()


def test_revoked_tokens_stay_revoked_when_identity_is_killed(start: Start) -> None:
    up = start("--no-dataplane").wait_ready()
    login = yaml.safe_load(Path(up.told["clouds"]).read_text())["clouds"]["weft-demo"]["auth"]
    who = {"name": "demo", "domain": {"id": "default"}, "password": login["password"]}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": who}}}}
    tokens = [ask(up.identity, "/v3/auth/tokens", "POST", body=body)[1]["X-Subject-Token"] for _ in range(2)]
    headers = {"X-Auth-Token": tokens[0], "X-Subject-Token": tokens[0]}
    assert ask(up.identity, "/v3/auth/tokens", "DELETE", headers)[0] == 204
    os.kill(up.told["processes"]["identity"], signal.SIGKILL)
    assert [ask(up.identity, "/v3/auth/projects", headers={"X-Auth-Token": t})[0] for t in tokens] == [401, 200]
    assert up.end(signal.SIGTERM)[0] == 0


def test_people_are_told_how_to_use_it(start: Start) -> None:
    up = start("--no-dataplane", as_json=False)
    assert up.process.stdout is not None
    lines: list[str] = []
    while "^C" not in (lines or [""])[-1]:
        lines.append(up.process.stdout.readline())
        assert lines[-1], up.end()
    text = "".join(lines)
    assert f"export OS_CLIENT_CONFIG_FILE={up.folder}/clouds.yaml\n" in text
    assert "openstack --os-cloud weft-demo network list\n" in text
    assert "No dataplane" in text
    assert up.end(signal.SIGTERM)[0] == 0


def test_other_addresses_than_loopback_need_permission(start: Start) -> None:
    code, errors = start("--no-dataplane", "--listen", "0.0.0.0").end()
    assert code == 1
    assert "not a loopback address" in errors


def test_a_configuration_that_cannot_be_read_is_named(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "weft.conf"
    file.write_text("[DEFAULT]\napi_threads = many\n")
    code, errors = start("--no-dataplane", "--config", str(file)).end()
    assert code == 1
    assert "api_threads" in errors
    code, errors = start("--no-dataplane", "--config", str(tmp_path / "missing.conf")).end()
    assert code == 1
    assert "missing.conf" in errors


def test_the_dataplane_needs_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 65534)
    with pytest.raises(up_module.UpError, match="--no-dataplane"):
        up_module.run(up_module.Options(state_dir=str(tmp_path / "state")))
    assert not (tmp_path / "state").exists()


def test_several_processes_serve_the_api(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "weft.conf"
    file.write_text("[DEFAULT]\napi_workers = 2\n")
    up = start("--no-dataplane", "--config", str(file)).wait_ready()
    assert list(up.told["processes"]) == ["identity", "api-1", "api-2"]
    assert ask(up.network)[2]["pid"] in up.pids
    os.kill(up.told["processes"]["api-1"], signal.SIGKILL)
    assert ask(up.network)[0] == 200
    assert up.end(signal.SIGTERM)[0] == 0


def pss(pid: int) -> int:
    """A process's share of the memory that it and others hold, in bytes (proc(5), smaps_rollup)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("Pss:")]
    return int(line.split()[1]) * 1024


@pytest.fixture
def weft_up(tmp_path: Path) -> Iterator[Up]:
    """Weft itself, without a dataplane."""
    command = [sys.executable, "-m", "weft", "up", "--no-dataplane", "--json", "--state-dir", str(tmp_path / "weft")]
    command += ["--port", "0", "--identity-port", "0"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield Up(process, tmp_path / "weft").wait_ready()
        finally:
            process.kill()


def log_in(up: Up, user: str) -> str:
    """A token of a cloud of clouds.yaml."""
    login = yaml.safe_load(Path(up.told["clouds"]).read_text())["clouds"][f"weft-{user}"]["auth"]
    domain = {"id": "default"}
    who = {"name": user, "domain": domain, "password": login["password"]}
    scope = {"project": {"name": login["project_name"], "domain": domain}}
    auth = {"identity": {"methods": ["password"], "password": {"user": who}}, "scope": scope}
    status, headers, _ = ask(up.identity, "/v3/auth/tokens", "POST", body={"auth": auth})
    assert status == 201
    return headers["X-Subject-Token"]


def test_the_api_knows_callers_by_the_stand_in_and_survives_its_death(weft_up: Up) -> None:
    up = weft_up
    demo, alt = ({"X-Auth-Token": log_in(up, user)} for user in ("demo", "alt"))
    body = {"network": {"name": "blue"}}
    assert ask(up.network, "/v2.0/networks", "POST", demo, body)[0] == 201
    assert ask(up.network, "/v2.0/networks", headers={"X-Auth-Token": "weft1.forged"})[0] == 401
    for name in ("api", "identity"):
        os.kill(up.told["processes"][name], signal.SIGKILL)
        for headers, names in ((demo, ["blue"]), (alt, [])):
            status, _, listed = ask(up.network, "/v2.0/networks", headers=headers)
            assert (status, [row["name"] for row in listed["networks"]]) == (200, names)
    kept = [path for path in up.folder.rglob("*") if path.is_file()]
    assert up.folder / "weft.db" in kept
    assert [path for path in kept if path.stat().st_mode & 0o077] == []
    code, errors = up.end(signal.SIGTERM)
    assert code == 0
    assert "Traceback" not in errors


def test_the_tree_shares_its_memory(weft_up: Up) -> None:
    headers = {"X-Auth-Token": log_in(weft_up, "demo")}
    for _ in range(20):
        assert ask(weft_up.network, "/v2.0/networks", headers=headers)[0] == 200
    total = pss(weft_up.process.pid) + sum(pss(pid) for pid in weft_up.pids)
    assert total < 150e6
    assert weft_up.end(signal.SIGTERM)[0] == 0
