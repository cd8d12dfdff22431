"""DHCPv6: who is answered, and with what."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.backends.linux.packets import (
    API,
    DUID,
    MAC,
    V4,
    V6,
    Reply6,
    dhcp6,
    ia_na,
    option6,
    port,
    split6,
    switch,
)
from weft.backends.linux import frames
from weft.backends.linux.dhcp6 import answer, server_id
from weft.logical.model import DhcpOption

SOLICIT, ADVERTISE, REQUEST, CONFIRM, RENEW, REBIND, REPLY, RELEASE, DECLINE = range(1, 10)
INFORMATION_REQUEST = 11
pack = frames.pack6
SERVER = option6(2, server_id(switch().id))
ORO = option6(6, struct.pack("!3H", 23, 24, 59))
STATELESS = replace(V6, ra_mode="dhcpv6-stateless", address_mode="dhcpv6-stateless")


def ask(frame: bytes, own=None, net=None, api=API) -> Reply6:
    return Reply6(answer(frame, own or port(), net or switch(), api))


def test_solicit_is_advertised_the_ports_address() -> None:
    reply = ask(dhcp6(SOLICIT, DUID + ia_na()))
    assert (reply.kind, reply.xid) == (ADVERTISE, b"\7\7\7")
    assert reply.addresses() == [(pack("fd00:1::5"), 86400, 86400)]
    assert reply.options[3][0][:12] == struct.pack("!III", 1, 43200, 69120)
    assert reply.options[1] == [b"\0\1\0\1client"]
    assert reply.options[2] == [server_id(switch().id)]
    assert reply.packet.src == pack("fe80::a9fe:a9fe")
    assert reply.packet.dst == pack(frames.link_local(MAC))
    assert (reply.packet.sport, reply.packet.dport, reply.packet.dst_mac) == (547, 546, frames.pack_mac(MAC))


def test_rapid_commit_saves_a_round() -> None:
    reply = ask(dhcp6(SOLICIT, DUID + ia_na() + option6(14, b"")))
    assert (reply.kind, reply.options[14], len(reply.addresses())) == (REPLY, [b""], 1)


@pytest.mark.parametrize(("kind", "server"), [(REQUEST, SERVER), (RENEW, SERVER), (REBIND, b"")])
def test_binding(kind: int, server: bytes) -> None:
    reply = ask(dhcp6(kind, DUID + server + ia_na("fd00:1::5")))
    assert (reply.kind, reply.addresses()) == (REPLY, [(pack("fd00:1::5"), 86400, 86400)])


def test_address_that_is_no_longer_the_ports_ends() -> None:
    reply = ask(dhcp6(RENEW, DUID + SERVER + ia_na("fd00:1::99")))
    assert reply.addresses() == [(pack("fd00:1::5"), 86400, 86400), (pack("fd00:1::99"), 0, 0)]


def test_infinite() -> None:
    reply = ask(dhcp6(SOLICIT, DUID + ia_na()), api=replace(API, dhcp_lease_duration=-1))
    assert reply.addresses()[0][1:] == (0xFFFFFFFF, 0xFFFFFFFF)
    assert reply.options[3][0][4:12] == b"\xff" * 8


@pytest.mark.parametrize(("address", "status"), [("fd00:1::5", 0), ("fd00:2::5", 4)])
def test_confirm(address: str, status: int) -> None:
    reply = ask(dhcp6(CONFIRM, DUID + ia_na(address)))
    assert struct.unpack("!H", reply.options[13][0][:2]) == (status,)


@pytest.mark.parametrize("kind", [RELEASE, DECLINE])
def test_release_and_decline_are_confirmed(kind: int) -> None:
    assert ask(dhcp6(kind, DUID + SERVER + ia_na("fd00:1::5"))).options[13][0][:2] == b"\0\0"


def test_one_set_of_addresses_and_no_prefixes() -> None:
    second = option6(3, b"\0\0\0\2" + bytes(8))
    reply = ask(dhcp6(SOLICIT, DUID + ia_na() + second + option6(25, b"\0\0\0\3" + bytes(8)) + option6(4, bytes(4))))
    assert len(reply.addresses()) == 1
    assert split6(reply.options[3][1][12:])[13][0][:2] == b"\0\2"
    assert split6(reply.options[25][0][12:])[13][0][:2] == b"\0\6"
    assert split6(reply.options[4][0][4:])[13][0][:2] == b"\0\2"


@pytest.mark.parametrize(
    ("servers", "expected"),
    [((), [pack("fe80::a9fe:a9fe")]), (("2001:db8::53",), [pack("2001:db8::53")]), (("::",), [])],
)
def test_configuration(servers: tuple[str, ...], expected: list[bytes]) -> None:
    net = switch(V4, replace(V6, dns_nameservers=servers))
    options = ask(dhcp6(SOLICIT, DUID + ia_na() + ORO), net=net).options
    assert options.get(23, []) == expected
    assert options[24] == [b"\7example\3org\0"]


def test_stateless_gives_configuration_but_no_address() -> None:
    net = switch(STATELESS)
    reply = ask(dhcp6(INFORMATION_REQUEST, ORO + option6(6, b"\0\x20")), net=net)
    assert (reply.kind, 3 in reply.options) == (REPLY, False)
    assert reply.options[23] == [pack("fe80::a9fe:a9fe")]
    assert reply.options[32] == [struct.pack("!I", 86400)]
    assert answer(dhcp6(SOLICIT, DUID + ia_na()), port(), net, API) is None


def test_extra_options_by_version_and_condition() -> None:
    own = port(
        dhcp_options=(
            DhcpOption("bootfile-url", "http://198.18.0.9/a", 4),
            DhcpOption("tag:!ipxe6,59", "tftp://[fd00::9]/a", 6),
            DhcpOption("tag:ipxe6,59", "http://[fd00::9]/b", 6),
            DhcpOption("ntp-server", "[fd00::123]", 6),
        )
    )
    options = ask(dhcp6(SOLICIT, DUID + ia_na() + ORO), own).options
    assert options[59] == [b"tftp://[fd00::9]/a"]
    assert options[56] == [b"\0\1\0\x10" + pack("fd00::123")]
    ipxe = ask(dhcp6(SOLICIT, DUID + ia_na() + option6(15, b"\0\4iPXE")), own).options
    assert ipxe[59] == [b"http://[fd00::9]/b"]


@pytest.mark.parametrize(
    "frame",
    [
        dhcp6(SOLICIT, ia_na()),
        dhcp6(SOLICIT, DUID + SERVER + ia_na()),
        dhcp6(REQUEST, DUID + ia_na()),
        dhcp6(REQUEST, DUID + option6(2, b"\0\4another") + ia_na()),
        dhcp6(CONFIRM, DUID),
        dhcp6(INFORMATION_REQUEST, ia_na()),
        dhcp6(SOLICIT, DUID + ia_na(), mac="fa:16:3e:00:00:06"),
        dhcp6(SOLICIT, (DUID + ia_na())[:-3]),
        dhcp6(12, DUID + ia_na()),
    ],
    ids=[
        "no client",
        "server in solicit",
        "no server",
        "other server",
        "confirm nothing",
        "IA",
        "source",
        "cut",
        "relay",
    ],
)
def test_no_answer(frame: bytes) -> None:
    assert answer(frame, port(), switch(), API) is None


@pytest.mark.parametrize("mode", [None, "slaac"])
def test_other_modes_are_silent(mode: str | None) -> None:
    net = switch(replace(V6, address_mode=mode))
    for frame in (dhcp6(SOLICIT, DUID + ia_na()), dhcp6(INFORMATION_REQUEST, ORO)):
        assert answer(frame, port(), net, API) is None


def test_server_is_the_same_everywhere_but_for_the_network() -> None:
    assert server_id("a") == server_id("a") != server_id("b")


@given(st.binary(max_size=200), st.integers(0, 13))
def test_malformed_input_is_survived(noise: bytes, kind: int) -> None:
    for options in (
        noise,
        DUID + noise,
        DUID + option6(3, noise),
        DUID + SERVER + option6(25, noise) + option6(4, noise),
    ):
        answer(dhcp6(kind, options), port(), switch(), API)
    answer(dhcp6(kind, DUID)[:62] + noise, port(), switch(), API)
