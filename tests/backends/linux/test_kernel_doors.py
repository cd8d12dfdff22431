"""Namespaces, links and nftables against the kernel: what our own encoders say is what it understood."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from weft.backends.linux import netns
from weft.backends.linux.links import Address, Create, Delete, Link, Links, Modify, Route, diff
from weft.backends.linux.nft import ElementChange, Nft, NftError, SetType

pytestmark = pytest.mark.needs_root


@pytest.fixture
def space(prefix: str) -> Iterator[str]:
    name = f"{prefix}-doors"
    netns.create(name, netns.HOST_SYSCTLS)
    yield name
    netns.delete(name)


@pytest.fixture
def links(space: str) -> Iterator[Links]:
    with contextlib.closing(Links(space)) as one:
        yield one


@pytest.fixture
def nft(space: str) -> Iterator[Nft]:
    with contextlib.closing(Nft(space)) as one:
        yield one


def test_a_namespace_is_one_that_ip_knows(space: str) -> None:
    assert not netns.create(space)
    assert space in netns.names()
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert space in listed.split()
    assert netns.inside(space, os.stat, "/proc/thread-self/ns/net").st_ino == netns.identity(space)
    assert netns.set_sysctls(space, {"net/ipv4/ip_forward": 1}) == ["net/ipv4/ip_forward"]
    assert netns.set_sysctls(space, {"net/ipv4/ip_forward": 1}) == []


def test_a_name_that_was_left_behind_is_no_namespace(prefix: str) -> None:
    left = netns.path(f"{prefix}-left")
    left.touch()
    try:
        assert not netns.exists(left.name)
        with pytest.raises(FileNotFoundError, match="no network namespace"):
            netns.open_fd(left.name)
        assert netns.create(left.name)
        assert netns.exists(left.name)
    finally:
        netns.delete(left.name)
    assert not left.exists()


def test_the_caller_stays_where_it_is(space: str) -> None:
    here = Path("/proc/thread-self/ns/net").stat().st_ino
    with pytest.raises(ZeroDivisionError):
        netns.inside(space, lambda: 1 // 0)
    assert Path("/proc/thread-self/ns/net").stat().st_ino == here


def test_links_are_what_they_were_asked_to_be(links: Links, space: str) -> None:
    wanted = [
        Link("brqa", kind="bridge", mtu=1442, up=True),
        Link(
            "tap1", kind="veth", mtu=1442, up=True, master="brqa", peer=(space, "peer1"), peer_mac="fa:16:3e:00:00:01"
        ),
        Link("vx9", kind="vxlan", vni=9, local="192.0.2.1", mtu=1442, up=True, master="brqa", isolated=True),
        Link("vx10", kind="vxlan", vni=10, local="2001:db8::1", up=False),
    ]
    assert links.apply(diff(links.dump(), wanted)) == {}
    assert diff(links.dump(), wanted) == []
    assert links.dump()["peer1"].mac == "fa:16:3e:00:00:01"
    assert links.get(["tap1", "none"]).keys() == {"tap1"}
    assert links.get(["tap1"])["tap1"] == links.dump()["tap1"]
    other = replace(wanted[2], vni=11)
    assert diff(links.dump(), [other]) == [Delete("vx9"), Create(other)]
    assert links.apply([Modify(Link("tap1", master=""))]) == {}
    assert links.dump()["tap1"].master == ""


def test_what_fails_stops_nothing_else(links: Links) -> None:
    failed = links.apply(
        [
            Delete("none"),
            Create(Link("v", kind="veth", peer=("nowhere", "x"))),
            Create(Link("brqb", kind="bridge", up=True)),
            Create(Link("w", kind="nonsense")),
            Modify(Link("lo", master="brqz")),
        ]
    )
    assert failed.keys() == {"v", "w", "lo"}
    assert failed["lo"] == "its bridge brqz is not there"
    assert "nowhere" in failed["v"]
    assert "brqb" in links.dump()


def test_addresses_and_routes(links: Links, space: str) -> None:
    links.apply([Create(Link("e0", kind="veth", up=True, peer=(space, "e1")))])
    links.apply([Modify(Link("e1", up=True))])
    addresses = {Address("e0", "10.0.0.1/24"), Address("e0", "10.9.9.9/32"), Address("e0", "fd00::1/64")}
    netns.set_sysctls(space, {"net/ipv6/conf/e0/disable_ipv6": 0})
    assert links.change_addresses(addresses) == {}
    assert links.change_addresses(addresses) == {}
    assert links.addresses() == addresses
    routes = {
        Route("0.0.0.0/0", "10.0.0.254", "e0"),
        Route("10.8.0.0/16", "192.0.2.1", "e0", onlink=True),
        Route("10.7.0.0/16", "", "e0"),
        Route("::/0", "fd00::fe", "e0"),
    }
    assert links.change_routes(routes) == {}
    subprocess.run(["ip", "-n", space, "route", "add", "10.6.0.0/16", "dev", "e0"], check=True)
    assert links.routes() == routes
    unreachable = Route("10.5.0.0/16", "192.0.2.9")
    assert links.change_routes([unreachable], routes).keys() == {unreachable}
    assert links.routes() == set()
    assert links.change_addresses((), addresses) == {}
    assert links.addresses() == set()


def test_a_script_is_all_or_nothing_and_names_its_fault(nft: Nft) -> None:
    with pytest.raises(NftError) as fault:
        nft.run("add table inet a\nadd chain inet a c\nadd rule inet a missing accept\n")
    assert fault.value.line == "add rule inet a missing accept"
    assert nft.read("inet", "a") == []
    generation = nft.generation()
    nft.run("add table inet a")
    assert nft.generation() == generation + 1
    assert nft.read("inet", "a") != []


ELEMENTS = [
    (SetType(("ipv4_addr",), interval=True), ("10.0.0.0/8",), "", "10.0.0.0/8"),
    (SetType(("ipv4_addr",), interval=True), ("255.255.255.255",), "", "255.255.255.255"),
    (SetType(("ipv6_addr",), interval=True), ("::/0",), "", "::/0"),
    (SetType(("ipv6_addr",)), ("fe80::1",), "", "fe80::1"),
    (
        SetType(("ifname", "ether_addr", "ipv4_addr")),
        ("tapx", "fa:16:3e:00:00:01", "10.0.0.1"),
        "",
        '"tapx" . fa:16:3e:00:00:01 . 10.0.0.1',
    ),
    (
        SetType(("ifname", "ether_addr", "ipv6_addr"), interval=True),
        ("tapx", "fa:16:3e:00:00:01", "fd00::/64"),
        "",
        '"tapx" . fa:16:3e:00:00:01 . fd00::/64',
    ),
    (SetType(("ifname",), "mark"), ("tapx",), "4294967295", '"tapx" : 0xffffffff'),
    (SetType(("mark",), "verdict"), ("7",), "goto c", "0x00000007 : goto c"),
    (SetType(("ifname",), "verdict"), ("tapx",), "accept", '"tapx" : accept'),
    (SetType(("ipv4_addr",), "ipv4_addr"), ("10.0.0.1",), "192.0.2.1", "10.0.0.1 : 192.0.2.1"),
]


@pytest.mark.parametrize(("kind", "key", "data", "shown"), ELEMENTS, ids=[shown for *_, shown in ELEMENTS])
def test_elements(nft: Nft, space: str, kind: SetType, key: tuple[str, ...], data: str, shown: str) -> None:
    noun = "map" if kind.data else "set"
    words = " . ".join(kind.key) + (f" : {kind.data}" if kind.data else "")
    nft.run(
        f"add table inet a\nadd chain inet a c\nadd {noun} inet a s {{ type {words};{' flags interval;' if kind.interval else ''} }}"
    )
    change = ElementChange("inet", "a", "s", kind, key, data)

    def listed() -> str:
        run = subprocess.run(["nft", "list", "table", "inet", "a"], capture_output=True, text=True, check=True)
        return run.stdout

    nft.elements([change])
    assert f"elements = {{ {shown} }}" in netns.inside(space, listed)
    nft.elements([replace(change, add=False)])
    assert "elements" not in netns.inside(space, listed)
    with pytest.raises(NftError, match="No such file"):
        nft.elements([change, replace(change, key=_other(key), add=False)])
    assert "elements" not in netns.inside(space, listed)


def _other(key: tuple[str, ...]) -> tuple[str, ...]:
    others = {"10.0.0.0/8": "11.0.0.0/8", "255.255.255.255": "1.1.1.1", "::/0": "fd00::/8", "fe80::1": "fe80::2"}
    return tuple(
        others.get(part, "9" if part == "7" else "10.0.0.2" if part == "10.0.0.1" else part.replace("tapx", "tapy"))
        for part in key
    )


def test_many_messages_and_their_answers(links: Links) -> None:
    """More than are in flight at once, some refused: every answer is that of its own request."""
    names = [f"d{number}" for number in range(300)]
    failed = links.apply(
        [Create(Link(name, kind="bridge" if number % 3 else "nonsense")) for number, name in enumerate(names)]
    )
    assert set(failed) == set(names[::3])
    assert len(links.dump()) == 201
