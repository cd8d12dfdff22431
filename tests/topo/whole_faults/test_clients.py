"""Clients that send too much, too little, or nothing at all: each is told so, and others are served."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.topo.whole import Installation

pytestmark = [pytest.mark.needs_root, pytest.mark.slow]

MEGABYTE = 1 << 20


@pytest.fixture
def weft(start: Callable[..., Installation]) -> Installation:
    return start("--no-dataplane")


@contextlib.contextmanager
def connected(weft: Installation) -> Iterator[socket.socket]:
    address = urlsplit(weft.facts["network_url"])
    with socket.create_connection((address.hostname, address.port), timeout=20) as one:
        yield one


def ask(weft: Installation, request: str, body: bytes = b"", half: bool = False) -> int:
    """The status of the answer to a request as it stands on the wire, with a token."""
    token = weft.client._session.headers["X-Auth-Token"]
    head = f"{request}\r\nHost: weft\r\nX-Auth-Token: {token!s}\r\nConnection: close\r\n"
    if body or half:
        head += f"Content-Length: {len(body) + (100 if half else 0)}\r\n"
    with connected(weft) as one:
        with contextlib.suppress(ConnectionError):  # who refuses may close before everything is said
            one.sendall(head.encode() + b"\r\n" + body)
            if half:
                one.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while more := one.recv(65536):
                answer += more
    return int(answer.split()[1]) if answer else 0


def serves(weft: Installation) -> bool:
    return ask(weft, "GET /v2.0/networks HTTP/1.1") == 200


def memory(weft: Installation) -> int:
    """Megabytes of the API's process."""
    status = Path(f"/proc/{weft.facts['processes']['api']}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) // 1024


def test_a_body_of_a_hundred_megabytes(weft: Installation) -> None:
    assert serves(weft)
    before = memory(weft)
    assert ask(weft, "POST /v2.0/networks HTTP/1.1", b" " * (100 * MEGABYTE)) in (413, 0)
    assert ask(weft, "POST /v2.0/networks HTTP/1.1", b" " * (16 * MEGABYTE + 1)) in (413, 0)
    assert memory(weft) < before + 60
    assert serves(weft)
    assert weft.call("GET", "/networks")["networks"] == []


def test_half_a_body(weft: Installation) -> None:
    assert ask(weft, "POST /v2.0/networks HTTP/1.1", b'{"network": {}}', half=True) in (400, 0)
    assert ask(weft, "POST /v2.0/networks HTTP/1.1", b'{"network": ', half=True) in (400, 0)
    assert serves(weft)
    assert weft.call("GET", "/networks")["networks"] == []


def test_a_path_too_long(weft: Installation) -> None:
    assert ask(weft, f"GET /v2.0/networks?name={'a' * 30_000} HTTP/1.1") == 200
    assert ask(weft, f"GET /v2.0/networks?name={'a' * 100_000} HTTP/1.1") == 414
    assert ask(weft, f"GET /v2.0/networks/{'a' * 2_000_000} HTTP/1.1") in (414, 431, 0)
    assert serves(weft)


@pytest.mark.parametrize("beginning", [b"", b"GET /v2.0/networks HTTP/1.1\r\nHost"])
def test_connections_that_say_nothing(weft: Installation, beginning: bytes) -> None:
    with contextlib.ExitStack() as idle:
        for _ in range(400):
            one = idle.enter_context(connected(weft))
            one.sendall(beginning)
        assert serves(weft)
    assert serves(weft)


@pytest.mark.parametrize(
    "lengths",
    [
        "Content-Length: 15\r\nContent-Length: 3",
        "Content-Length: -1",
        "Content-Length: +15",
        "Transfer-Encoding: chunked, x",
    ],
)
def test_lengths_that_two_could_read_in_two_ways(weft: Installation, lengths: str) -> None:
    """What a proxy in front could take for the end of one request and the start of another is refused."""
    token = weft.client._session.headers["X-Auth-Token"]
    head = f"POST /v2.0/networks HTTP/1.1\r\nHost: weft\r\nX-Auth-Token: {token!s}\r\n{lengths}\r\n\r\n"
    with connected(weft) as one:
        one.sendall(head.encode() + b'{"network": {}}')
        assert one.recv(65536).split()[1] == b"400"
    assert weft.call("GET", "/networks")["networks"] == []
