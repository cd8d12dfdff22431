"""Which tracked connections translate wrongly now, and whom a change of addresses concerns; no kernel."""

from __future__ import annotations

import pytest

from weft.backends.linux.announce import frame
from weft.backends.linux.conntrack import End, Flow, stale
from weft.backends.linux.router import Translation
from weft.backends.linux.routers import changed_meaning
from weft.logical.model import PortForwarding

WEB = PortForwarding("web", "tcp", "203.0.113.120", (80, 80), "10.0.0.13", (8080, 8080))
MANY = PortForwarding("many", "tcp", "203.0.113.120", (1000, 1009), "10.0.0.13", (22, 22))
SHIFTED = PortForwarding("shifted", "udp", "203.0.113.120", (1000, 1009), "10.0.0.14", (2000, 2009))
PING = PortForwarding("ping", "icmp", "203.0.113.121", (1, 1), "10.0.0.15", (1, 1))
NOW = Translation(
    snat_ips=("203.0.113.10",),
    inward={"203.0.113.111": "10.0.0.11"},
    outward={"10.0.0.11": "203.0.113.111"},
    forwardings={"203.0.113.120": (WEB, MANY, SHIFTED), "203.0.113.121": (PING,)},
)
TCP, UDP, ICMP = 6, 17, 1


def flow(protocol: int, orig: tuple[str, str, int, int], reply: tuple[str, str, int, int]) -> Flow:
    return Flow(protocol, End(*orig), End(*reply), b"", b"")


GOOD = {
    "not translated": flow(TCP, ("10.0.0.9", "10.0.1.9", 40000, 80), ("10.0.1.9", "10.0.0.9", 80, 40000)),
    "to the router": flow(ICMP, ("10.0.0.9", "10.0.0.1", 0, 0), ("10.0.0.1", "10.0.0.9", 0, 0)),
    "by the gateway": flow(TCP, ("10.0.0.9", "8.8.8.8", 40000, 53), ("8.8.8.8", "203.0.113.10", 53, 12345)),
    "as itself": flow(TCP, ("10.0.0.11", "8.8.8.8", 40000, 53), ("8.8.8.8", "203.0.113.111", 53, 40000)),
    "still by the gateway": flow(TCP, ("10.0.0.11", "8.8.8.8", 40000, 53), ("8.8.8.8", "203.0.113.10", 53, 12345)),
    "floating": flow(ICMP, ("8.8.8.8", "203.0.113.111", 0, 0), ("10.0.0.11", "8.8.8.8", 0, 0)),
    "round the corner": flow(TCP, ("10.0.0.9", "203.0.113.111", 4, 80), ("10.0.0.11", "203.0.113.10", 80, 9)),
    "its own": flow(TCP, ("10.0.0.11", "203.0.113.111", 4, 80), ("10.0.0.11", "203.0.113.111", 80, 4)),
    "forwarded": flow(TCP, ("8.8.8.8", "203.0.113.120", 4, 80), ("10.0.0.13", "8.8.8.8", 8080, 4)),
    "many to one": flow(TCP, ("8.8.8.8", "203.0.113.120", 4, 1005), ("10.0.0.13", "8.8.8.8", 22, 4)),
    "shifted": flow(UDP, ("8.8.8.8", "203.0.113.120", 4, 1005), ("10.0.0.14", "8.8.8.8", 2005, 4)),
    "ping": flow(ICMP, ("8.8.8.8", "203.0.113.121", 0, 0), ("10.0.0.15", "8.8.8.8", 0, 0)),
    "not forwarded": flow(TCP, ("8.8.8.8", "203.0.113.120", 4, 81), ("203.0.113.120", "8.8.8.8", 81, 4)),
    "metadata": flow(TCP, ("10.0.0.9", "169.254.169.254", 4, 80), ("10.0.0.1", "10.0.0.9", 9697, 4)),
}
STALE = {
    "moved": flow(ICMP, ("8.8.8.8", "203.0.113.111", 0, 0), ("10.0.0.99", "8.8.8.8", 0, 0)),
    "gone": flow(ICMP, ("8.8.8.8", "203.0.113.112", 0, 0), ("10.0.0.12", "8.8.8.8", 0, 0)),
    "came": flow(ICMP, ("8.8.8.8", "203.0.113.111", 0, 0), ("203.0.113.111", "8.8.8.8", 0, 0)),
    "as another": flow(TCP, ("10.0.0.12", "8.8.8.8", 4, 53), ("8.8.8.8", "203.0.113.111", 53, 4)),
    "as nobody": flow(TCP, ("10.0.0.12", "8.8.8.8", 4, 53), ("8.8.8.8", "203.0.113.112", 53, 4)),
    "by the old gateway": flow(TCP, ("10.0.0.9", "8.8.8.8", 4, 53), ("8.8.8.8", "203.0.113.9", 53, 4)),
    "other port": flow(TCP, ("8.8.8.8", "203.0.113.120", 4, 80), ("10.0.0.13", "8.8.8.8", 8081, 4)),
    "other target": flow(UDP, ("8.8.8.8", "203.0.113.120", 4, 1005), ("10.0.0.13", "8.8.8.8", 2005, 4)),
    "no longer forwarded": flow(TCP, ("8.8.8.8", "203.0.113.120", 4, 81), ("10.0.0.13", "8.8.8.8", 81, 4)),
    "forwarded now": flow(TCP, ("8.8.8.8", "203.0.113.120", 4, 80), ("203.0.113.120", "8.8.8.8", 80, 4)),
}


@pytest.mark.parametrize("what", GOOD)
def test_kept(what: str) -> None:
    assert not stale(GOOD[what], NOW)


@pytest.mark.parametrize("what", STALE)
def test_deleted(what: str) -> None:
    assert stale(STALE[what], NOW)


def test_addresses_that_mean_something_else() -> None:
    old = Translation(("203.0.113.10",), {"a": "1", "b": "2", "c": "3"}, {}, {"f": (WEB,), "g": (MANY,)})
    new = Translation(("203.0.113.10",), {"a": "1", "b": "4", "d": "3"}, {}, {"f": (WEB, PING), "g": (MANY,)})
    assert changed_meaning(old, new) == {"b", "c", "d", "f"}
    assert changed_meaning(old, old) == frozenset()


def test_gateway_that_goes_or_changes() -> None:
    before = Translation(("203.0.113.10",))
    assert changed_meaning(before, Translation(("203.0.113.20",))) == {"203.0.113.10"}
    assert changed_meaning(before, Translation()) == {"203.0.113.10"}
    assert changed_meaning(Translation(), before) == frozenset()


def test_gratuitous_arp() -> None:
    """RFC 5227: sender and target protocol address are the announced one."""
    request, reply = (frame("fa:16:3e:00:00:0e", "203.0.113.111", operation) for operation in (1, 2))
    ip, mac = bytes([203, 0, 113, 111]), bytes.fromhex("fa163e00000e")
    assert request == b"\xff" * 6 + mac + bytes.fromhex("0806 0001 0800 06 04 0001") + mac + ip + bytes(6) + ip
    assert reply == b"\xff" * 6 + mac + bytes.fromhex("0806 0001 0800 06 04 0002") + mac + ip + mac + ip
