"""Clients who are slow, silent or many, at the processes of `weft up`: others are answered all the while."""

from __future__ import annotations

import fcntl
import resource
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.api.test_serve import Weft, token
from tests.api.test_up import ask
from tests.waiting import PATIENCE, wait_until
from weft import connections
from weft.connections import BODIES, Guard

BODY = b'{"network": {"name": "slow"}}'
THREADS = 8


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """An installation without a dataplane, one process for the API, that starts with few files."""
    folder = tmp_path_factory.mktemp("up")
    words = ("--state-dir", str(folder), "--no-dataplane", "--port", "0", "--identity-port", "0", "--json")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    try:
        weft = Weft("up", *words)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    yield weft.ready()
    assert weft.process.poll() is None
    code, errors = weft.end(15)
    assert code == 0
    assert "Traceback" not in errors


@pytest.fixture
def headers(told: dict[str, Any]) -> dict[str, str]:
    return {"X-Auth-Token": token(told)}


@pytest.fixture
def clients(told: dict[str, Any]) -> Iterator[Clients]:
    with ExitStack() as stack:
        yield Clients(told["network_url"], stack)


class Clients:
    def __init__(self, url: str, stack: ExitStack) -> None:
        parts = urlsplit(url)
        self._address = (str(parts.hostname), int(parts.port or 0))
        self._stack = stack

    def __call__(self, sends: bytes = b"") -> socket.socket:
        made = self._stack.enter_context(socket.create_connection(self._address, timeout=PATIENCE))
        made.sendall(sends)
        return made


def request(headers: dict[str, str], length: str = f"Content-Length: {len(BODY)}") -> bytes:
    lines = [
        "POST /v2.0/networks HTTP/1.1",
        "Host: weft",
        length,
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def names(told: dict[str, Any], headers: dict[str, str]) -> list[str]:
    status, _, body = ask(told["network_url"], "/v2.0/networks", "GET", headers)
    assert status == 200
    return [one["name"] for one in body["networks"]]


def test_who_waits_for_a_body_holds_no_thread(told: dict[str, Any], headers: dict[str, str], clients: Clients) -> None:
    slow = [clients(request(headers) + BODY[:10]) for _ in range(THREADS * 3)]
    slow += [clients(request(headers, "Transfer-Encoding: chunked") + b"5\r\n" + BODY[:5]) for _ in range(THREADS)]
    for _ in range(3):
        names(told, headers)
    made = ask(told["network_url"], "/v2.0/networks", "POST", headers, {"network": {"name": "quick"}})
    assert made[0] == 201
    # whose body comes at last is answered
    slow[0].sendall(BODY[10:])
    assert slow[0].recv(12) == b"HTTP/1.1 201"
    assert sorted(names(told, headers)) == ["quick", "slow"]


def test_more_bodies_than_may_wait(told: dict[str, Any], headers: dict[str, str], clients: Clients) -> None:
    """Further ones are sent away for now, those that do not come are ended, and then all is as before."""
    before = len(names(told, headers))
    slow = [clients(request(headers) + BODY[:10]) for _ in range(BODIES + 20)]
    answered = wait_until(lambda: len(found := select.select(slow, [], [], 0)[0]) >= 20 and found)
    assert {one.recv(12) for one in answered} == {b"HTTP/1.1 503"}
    assert len(names(told, headers)) == before, "who only asks is not concerned"
    new = {"network": {"name": "after"}}
    wait_until(lambda: ask(told["network_url"], "/v2.0/networks", "POST", headers, new)[0] == 201)
    for one in slow:
        one.settimeout(0)
    assert sum(_ended(one) for one in slow) >= 20 + BODIES // 2
    assert names(told, headers).count("slow") == 1


def _ended(one: socket.socket) -> bool:
    try:
        while one.recv(1000):
            pass
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def test_connections_on_which_nothing_is_asked(told: dict[str, Any], headers: dict[str, str], clients: Clients) -> None:
    """As many as 1,024 files would not have allowed; one that is busy goes on among them."""
    busy = clients()
    idle = [clients() for _ in range(1500)]
    busy.sendall(b"GET /healthz HTTP/1.1\r\nHost: weft\r\n\r\n")
    assert busy.recv(12) == b"HTTP/1.1 200"
    names(told, headers)
    idle[-1].sendall(b"GET /healthz HTTP/1.1\r\nHost: weft\r\n\r\n")
    assert idle[-1].recv(12) == b"HTTP/1.1 200"


def test_of_too_many_connections_the_silent_ones_end(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard of a process, whose connections are here those of this one."""
    listener = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setattr(connections, "MANY", 5)
    monkeypatch.setattr(connections, "HASTE", 0.2)
    guard = Guard(listener)
    with ExitStack() as stack:
        stack.enter_context(listener)
        pairs = []
        for _ in range(9):
            theirs = stack.enter_context(socket.create_connection(listener.getsockname()))
            pairs.append((theirs, stack.enter_context(listener.accept()[0])))
        time.sleep(0.3)
        for theirs, _ in pairs[:3]:
            theirs.sendall(b"x")
        for _, ours in pairs[3:5]:
            ours.sendall(b"x")
        guard._look(False)
        ended = [ours.recv(1, socket.MSG_DONTWAIT) == b"" for _, ours in pairs[5:]]
        assert ended == [True] * 4
        for _, ours in pairs[:3]:
            assert ours.recv(1, socket.MSG_DONTWAIT) == b"x"
        for theirs, _ in pairs[3:5]:
            assert theirs.recv(1) == b"x"
        found = {one.fd: one for one in connections.connections(listener.getsockname()[1])}
        assert [found[ours.fileno()].waits for _, ours in pairs[:5]] == [True] * 3 + [False] * 2
        monkeypatch.setattr(connections, "SILENT", 0.2)
        guard._look(False)
        assert [ours.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK) for _, ours in pairs[:3]] == [b""] * 3


def test_looking_at_connections_lets_go_of_no_lock(tmp_path: Path) -> None:
    """SQLite's locks are POSIX's: they go when any descriptor of the file is closed by the process that has them."""
    probe = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+b'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    path = tmp_path / "weft.db"
    path.touch()
    with path.open("r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        assert list(connections.connections(1)) == []
        assert subprocess.run([sys.executable, "-c", probe, path], capture_output=True, check=False).returncode == 1
    assert subprocess.run([sys.executable, "-c", probe, path], capture_output=True, check=False).returncode == 0
