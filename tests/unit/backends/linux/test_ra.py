"""Router advertisements: what a leg says of its subnets, and whom it answers."""

from __future__ import annotations

import struct
from dataclasses import replace
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.backends.linux.packets import API, MAC, NETWORK, V4, V6, solicitation, switch
from weft.backends.linux import frames
from weft.backends.linux.ra import advertisements, answer
from weft.logical.model import Address, LogicalRouter, RouterPort

LEG = RouterPort(
    "leg", NETWORK, "fa:16:3e:00:00:01", 1450, (Address("10.0.0.1", 24, "s4"), Address("fd00:1::1", 64, "s6"))
)
ROUTER = LogicalRouter("router", ports=(LEG,))
SLAAC = replace(V6, ra_mode="slaac", address_mode="slaac")


def read(message: bytes) -> tuple[int, int, dict[int, list[bytes]]]:
    """(flags, router lifetime, options by type)."""
    assert message[:2] == b"\x86\0"
    flags, lifetime = struct.unpack_from("!BH", message, 5)
    options: dict[int, list[bytes]] = {}
    rest = message[16:]
    while rest:
        assert rest[1] > 0
        options.setdefault(rest[0], []).append(rest[2 : rest[1] * 8])
        rest = rest[rest[1] * 8 :]
    return flags, lifetime, options


@pytest.mark.parametrize(
    ("mode", "flags", "prefix_flags"),
    [("slaac", 0, 0xC0), ("dhcpv6-stateless", 0x40, 0xC0), ("dhcpv6-stateful", 0x80, 0x80)],
)
def test_modes(mode: str, flags: int, prefix_flags: int) -> None:
    (one,) = advertisements(switch(V4, replace(V6, ra_mode=mode)), [ROUTER], API)
    got, lifetime, options = read(one.message)
    assert (got, lifetime) == (flags, 1800)
    (prefix,) = options[3]
    assert (prefix[0], prefix[1]) == (64, prefix_flags)
    assert prefix[14:] == IPv6Address("fd00:1::").packed
    assert options[1] == [frames.pack_mac(LEG.mac)]
    assert options[5] == [struct.pack("!HI", 0, 1450)]
    assert options[25][0][6:] == IPv6Address("fe80::a9fe:a9fe").packed
    assert options[31][0][6:].startswith(b"\x0eopenstacklocal\0")


def test_from_the_leg_to_all_nodes() -> None:
    (one,) = advertisements(switch(SLAAC), [ROUTER], API)
    frame = one.frame()
    packet = frames.parse(frame)
    assert packet is not None
    assert (packet.src_mac, packet.dst_mac) == (frames.pack_mac(LEG.mac), b"\x33\x33\0\0\0\1")
    assert packet.src == IPv6Address("fe80::f816:3eff:fe00:1").packed
    assert packet.dst == IPv6Address("ff02::1").packed
    segment = frame[54:]
    assert frames.checksum(frame[22:54] + struct.pack("!IHBB", len(segment), 0, 0, 58) + segment) == 0


def test_name_servers_of_the_subnet() -> None:
    (one,) = advertisements(switch(replace(SLAAC, dns_nameservers=("2001:db8::53",))), [ROUTER], API)
    assert read(one.message)[2][25][0][6:] == IPv6Address("2001:db8::53").packed


@pytest.mark.parametrize(
    ("routers", "subnet"),
    [
        ([], SLAAC),
        ([ROUTER], replace(SLAAC, ra_mode=None)),
        ([replace(ROUTER, enabled=False)], SLAAC),
        ([replace(ROUTER, ports=(replace(LEG, enabled=False),))], SLAAC),
        ([replace(ROUTER, ports=(replace(LEG, switch="other"),))], SLAAC),
        ([replace(ROUTER, ports=(replace(LEG, addresses=LEG.addresses[:1]),))], SLAAC),
    ],
    ids=["no router", "no mode", "router down", "leg down", "elsewhere", "not on the subnet"],
)
def test_silence(routers: list[LogicalRouter], subnet) -> None:
    assert advertisements(switch(subnet), routers, API) == ()


def test_only_the_gateway_is_a_default_router() -> None:
    other = replace(LEG, mac="fa:16:3e:00:00:02", addresses=(Address("fd00:1::2", 64, "s6"),))
    first, second = advertisements(switch(SLAAC), [ROUTER, LogicalRouter("r2", ports=(other,))], API)
    assert read(first.message)[1] == 1800
    assert read(second.message)[1] == 0
    assert 3 in read(second.message)[2]


def test_farewell_changes_the_lifetime_only() -> None:
    (one,) = advertisements(switch(SLAAC), [ROUTER], API)
    flags, lifetime, options = read(one.farewell().message)
    assert (flags, lifetime) == (0, 0)
    assert options == read(one.message)[2]


def test_solicitation_is_answered_to_its_sender() -> None:
    said = advertisements(switch(SLAAC), [ROUTER], API)
    source = frames.link_local(MAC)
    (frame,) = answer(solicitation(source, options=b"\1\1" + frames.pack_mac(MAC)), MAC, said)
    packet = frames.parse(frame)
    assert packet is not None
    assert (packet.dst, packet.dst_mac) == (frames.pack6(source), frames.pack_mac(MAC))


def test_solicitation_without_an_address_is_answered_to_all() -> None:
    said = advertisements(switch(SLAAC), [ROUTER], API)
    (frame,) = answer(solicitation("::"), MAC, said)
    assert frames.parse(frame) == frames.parse(said[0].frame())


@pytest.mark.parametrize(
    "frame",
    [
        solicitation("fe80::1", mac="fa:16:3e:00:00:06"),
        solicitation("::", options=b"\1\1" + bytes(6)),
        solicitation("fe80::1", options=b"\1\0" + bytes(6)),
        solicitation("fe80::1", options=b"\1\2" + bytes(6)),
        solicitation("fe80::1")[:-4],
        solicitation("fe80::1")[:21] + b"\x40" + solicitation("fe80::1")[22:],
    ],
    ids=["source", "link-layer option without address", "zero length", "option too long", "cut", "hop limit 64"],
)
def test_malformed_solicitation(frame: bytes) -> None:
    assert answer(frame, MAC, advertisements(switch(SLAAC), [ROUTER], API)) == []


@given(st.binary(max_size=80))
def test_noise_is_survived(noise: bytes) -> None:
    said = advertisements(switch(SLAAC), [ROUTER], API)
    answer(solicitation("fe80::1", options=noise), MAC, said)
    answer(solicitation("fe80::1")[:54] + noise, MAC, said)
    answer(noise, MAC, said)
