"""FTP through a router: the address in PORT is translated, and the server's connection for the data comes in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from tests.topo.router_lab import Lab, gateway, leg, router
from weft.logical.model import ConntrackHelper, LogicalRouter

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs("nsenter", "ip")]

FTP = ConntrackHelper("ftp", "tcp", 2121)
EVERY = [
    ("amanda", "udp"),
    ("ftp", "tcp"),
    ("h323", "tcp"),
    ("h323", "udp"),
    ("irc", "tcp"),
    ("netbios-ns", "udp"),
    ("pptp", "tcp"),
    ("sane", "tcp"),
    ("sip", "tcp"),
    ("sip", "udp"),
    ("snmp", "udp"),
    ("tftp", "udp"),
]
"""What this dataplane knows."""


@pytest.fixture
def hosts(lab: Lab) -> tuple[str, str]:
    lab.network("a")
    lab.network("ext")
    return lab.host("a1", "a", "10.0.0.11/24", via="10.0.0.1"), lab.host("out", "ext", "203.0.113.1/24")


def edge(*helpers: ConntrackHelper) -> LogicalRouter:
    gate = gateway("r", "ext", "203.0.113.10/24", nexthops=("203.0.113.1",))
    return replace(router("r", leg("r", "a", "10.0.0.1/24"), gateway=gate), helpers=helpers)


@contextmanager
def session(lab: Lab, hosts: tuple[str, str]) -> Iterator[bytes]:
    """What the server hears after the client said PORT with its inner address, port 5001. The helper looks at whole lines
    only, and for that must have seen the end of one before."""
    inside, outside = hosts
    with lab.listen(outside, "203.0.113.1", 2121) as server, lab.connect(inside, "203.0.113.1", 2121) as client:
        accepted, _ = server.accept()
        with accepted:
            accepted.settimeout(2)
            client.send(b"USER weft\r\n")
            assert accepted.recv(100) == b"USER weft\r\n"
            client.send(b"PORT 10,0,0,11,19,137\r\n")
            yield accepted.recv(100)


def announce(lab: Lab, hosts: tuple[str, str]) -> bytes:
    with session(lab, hosts) as heard:
        return heard


def test_active_ftp(lab: Lab, hosts: tuple[str, str]) -> None:
    inside, outside = hosts
    lab.set(edge(FTP))
    with lab.listen(inside, "10.0.0.11", 5001) as waiting, session(lab, hosts) as heard:
        numbers = [int(part) for part in heard.decode().split()[1].split(",")]
        assert numbers[:4] == [203, 0, 113, 10]
        with lab.connect(outside, "203.0.113.10", numbers[4] * 256 + numbers[5]) as data:
            data.send(b"file")
            arrived, _ = waiting.accept()
            with arrived:
                arrived.settimeout(2)
                assert arrived.recv(100) == b"file"


def test_without_a_helper_nothing_is_rewritten(lab: Lab, hosts: tuple[str, str]) -> None:
    lab.set(edge())
    assert announce(lab, hosts) == b"PORT 10,0,0,11,19,137\r\n"


def test_a_helper_comes_and_goes(lab: Lab, hosts: tuple[str, str]) -> None:
    lab.set(edge())
    lab.set(edge(FTP))
    assert announce(lab, hosts).startswith(b"PORT 203,0,113,10,")
    lab.set(edge())
    assert announce(lab, hosts) == b"PORT 10,0,0,11,19,137\r\n"
    assert lab.audit() == []


def test_every_helper_is_known_to_the_kernel(lab: Lab, hosts: tuple[str, str]) -> None:
    lab.set(edge(*(ConntrackHelper(name, protocol, 3000) for name, protocol in EVERY)))
    table = lab.sh(lab.namespace("r"), "nft list table inet weft")
    assert table.count("ct helper set") == len(EVERY)
    assert lab.audit() == []


def test_a_helper_that_is_not_known_harms_nothing_else(lab: Lab, hosts: tuple[str, str]) -> None:
    lab.set(edge(FTP, ConntrackHelper("gopher", "tcp", 70)))
    assert announce(lab, hosts).startswith(b"PORT 203,0,113,10,")
