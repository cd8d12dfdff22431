"""A security group rule as an nft rule and as a judgement, over every form that the API allows."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from weft.backends.linux.acl import PROTOCOLS, Flow, allows, rule
from weft.logical.model import Acl


def acl(protocol: str | None = None, low: int | None = None, high: int | None = None, **more: Any) -> Acl:
    values: dict[str, Any] = {"direction": "ingress", "ethertype": "IPv4"} | more
    return Acl("r", protocol=protocol, port_min=low, port_max=high, **values)


V6 = {"ethertype": "IPv6"}

RULES = [
    (acl(), "meta nfproto ipv4 accept"),
    (acl(**V6), "meta nfproto ipv6 accept"),
    (acl("tcp"), "meta nfproto ipv4 meta l4proto 6 accept"),
    (acl("TCP", 80, 80), "meta nfproto ipv4 meta l4proto 6 th dport 80 accept"),
    (acl("17", 1, 1024), "meta nfproto ipv4 meta l4proto 17 th dport 1-1024 accept"),
    (acl("sctp", 7, 7, **V6), "meta nfproto ipv6 meta l4proto 132 th dport 7 accept"),
    (acl("udp", 0, 65535), "meta nfproto ipv4 meta l4proto 17 accept"),
    (acl("icmp"), "meta nfproto ipv4 meta l4proto 1 accept"),
    (acl("icmp", 8), "meta nfproto ipv4 meta l4proto 1 icmp type 8 accept"),
    (acl("icmp", 3, 0), "meta nfproto ipv4 meta l4proto 1 icmp type 3 icmp code 0 accept"),
    (acl("icmp", 0, 0), "meta nfproto ipv4 meta l4proto 1 icmp type 0 icmp code 0 accept"),
    (acl("icmp", 128, 0, **V6), "meta nfproto ipv6 meta l4proto 58 icmpv6 type 128 icmpv6 code 0 accept"),
    (acl("ipv6-icmp", **V6), "meta nfproto ipv6 meta l4proto 58 accept"),
    (acl("icmpv6", **V6), "meta nfproto ipv6 meta l4proto 58 accept"),
    (acl("ipv6-route", **V6), "meta nfproto ipv6 exthdr rt exists accept"),
    (acl("44", **V6), "meta nfproto ipv6 exthdr frag exists accept"),
    (acl("ip"), "meta nfproto ipv4 accept"),
    (acl("0"), "meta nfproto ipv4 accept"),
    (acl("255"), "meta nfproto ipv4 meta l4proto 255 accept"),
    (acl(remote_prefix="10.0.0.5/8"), "ip saddr 10.0.0.0/8 accept"),
    (acl(remote_prefix="0.0.0.0/0"), "meta nfproto ipv4 accept"),
    (acl(remote_prefix="fd00::/8", **V6), "ip6 saddr fd00::/8 accept"),
    (acl(remote_prefix="10.0.0.0/8", direction="egress"), "ip daddr 10.0.0.0/8 accept"),
    (acl("tcp", 1, 2, remote_group="g"), "ip saddr @a4-g meta l4proto 6 th dport 1-2 accept"),
    (acl(remote_addresses="a", direction="egress", **V6), "ip6 daddr @a6-a accept"),
]


@pytest.mark.parametrize(("one", "words"), RULES, ids=[words for _, words in RULES])
def test_in_words_of_nft(one: Acl, words: str) -> None:
    assert rule(one) == words


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (acl("nonsense"), "unknown protocol nonsense"),
        (acl("256"), "unknown protocol 256"),
        (acl("tcp", 9, 8), "port range 9-8"),
        (acl(remote_prefix="fd00::/8"), "fd00::/8 is no IPv4 prefix"),
    ],
)
def test_what_cannot_be_said(one: Acl, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        rule(one)


def flow(direction: str, remote: str, protocol: int, a: int = 0, b: int = 0) -> Flow:
    address = ipaddress.ip_address(remote)
    return Flow(direction, address.version, protocol, address, a, b)  # type: ignore[arg-type]


MEMBERS = {"g": {ipaddress.ip_address("10.0.0.9"), ipaddress.ip_address("fd00::9")}}

JUDGEMENTS = [
    (acl(), flow("ingress", "192.0.2.1", 6, 1, 80), True),
    (acl(), flow("egress", "192.0.2.1", 6, 1, 80), False),
    (acl(), flow("ingress", "fd00::1", 6, 1, 80), False),
    (acl("tcp", 80, 90), flow("ingress", "192.0.2.1", 6, 1, 90), True),
    (acl("tcp", 80, 90), flow("ingress", "192.0.2.1", 6, 85, 91), False),
    (acl("tcp", 80, 90), flow("ingress", "192.0.2.1", 17, 1, 80), False),
    (acl("icmp", 8), flow("ingress", "192.0.2.1", 1, 8, 0), True),
    (acl("icmp", 8, 0), flow("ingress", "192.0.2.1", 1, 8, 1), False),
    (acl("icmp", 8, 0, **V6), flow("ingress", "fd00::1", 58, 8, 0), True),
    (acl("gre"), flow("ingress", "192.0.2.1", 47), True),
    (acl(remote_prefix="10.0.0.0/24"), flow("ingress", "10.0.0.255", 6), True),
    (acl(remote_prefix="10.0.0.0/24"), flow("ingress", "10.0.1.0", 6), False),
    (acl(remote_group="g"), flow("ingress", "10.0.0.9", 6), True),
    (acl(remote_group="g", **V6), flow("ingress", "fd00::9", 6), True),
    (acl(remote_group="g"), flow("ingress", "10.0.0.8", 6), False),
    (acl(remote_addresses="g", direction="egress"), flow("egress", "10.0.0.9", 6), True),
]


@pytest.mark.parametrize(("one", "asked", "answer"), JUDGEMENTS)
def test_judgement(one: Acl, asked: Flow, answer: bool) -> None:
    assert allows(one, asked, lambda id, address: address in MEMBERS[id]) is answer


def test_every_name_has_a_number() -> None:
    assert all(rule(acl(name)) for name in PROTOCOLS)
