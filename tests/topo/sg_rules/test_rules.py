"""What a rule can name: protocols by name and number, ports, ICMP types and codes, prefixes, both IP versions."""

from __future__ import annotations

import pytest

from tests.topo.frames import BROADCAST, ethernet, icmp6, ip4, ip6, link_local, router_advertisement, udp
from tests.topo.lab import Lab, egress, ingress, mac
from weft.backends.linux import acl
from weft.logical.model import Acl

pytestmark = [pytest.mark.needs_root, pytest.mark.dataplanes("linux", "ovn")]


def pair(lab: Lab, *rules: Acl) -> Lab:
    """a and b; a's ingress rules are these."""
    lab.network("n")
    lab.group("in", *rules)
    lab.port("a", "n", "10.0.0.1/24", "fd00::1/64", groups=("out", "in"))
    lab.port("b", "n", "10.0.0.2/24", "fd00::2/64")
    lab.up()
    return lab


def test_port_ranges_include_both_ends(lab: Lab) -> None:
    pair(lab, ingress("udp", 100, 200), ingress("tcp", 80, 80))
    assert [port for port in (99, 100, 150, 200, 201) if lab.delivers("b", "a", port)] == [100, 150, 200]
    assert [port for port in (79, 80, 81) if lab.connects("b", "a", port)] == [80]


def test_ipv6_has_rules_of_its_own(lab: Lab) -> None:
    pair(lab, ingress("tcp", 80, 80, ethertype="IPv6"))
    assert lab.connects("b", "a", 80, "fd00::1")
    assert not lab.connects("b", "a", 80, "10.0.0.1")


def test_numbers_are_names(lab: Lab) -> None:
    pair(lab, ingress("6", 80, 80), ingress("17", 7, 7))
    assert lab.connects("b", "a", 80)
    assert lab.delivers("b", "a", 7)
    assert not lab.delivers("b", "a", 8)


def test_prefix(lab: Lab) -> None:
    pair(
        lab,
        ingress("udp", 1, 1, remote_prefix="10.0.0.2/32"),
        ingress("udp", 2, 2, remote_prefix="10.0.0.128/25"),
        ingress("udp", 3, 3, remote_prefix="0.0.0.0/0"),
        ingress("udp", 4, 4, remote_prefix="fd00::2/127", ethertype="IPv6"),
    )
    assert [port for port in (1, 2, 3) if lab.delivers("b", "a", port)] == [1, 3]
    assert lab.delivers("b", "a", 4, "fd00::1")


def test_egress_rules_name_the_destination(lab: Lab) -> None:
    pair(lab, ingress())
    lab.group("few", egress("udp", remote_prefix="10.0.0.1/32"))
    lab.port("c", "n", "10.0.0.3/24", groups=("few", "in"))
    lab.plug("c")
    lab.set(*(port.key for port in lab.view.ports.values()))
    assert lab.delivers("c", "a", 7)
    assert not lab.delivers("c", "b", 7)


@pytest.mark.parametrize(
    ("rule", "passing"),
    [
        (ingress("icmp"), {8, 13}),
        (ingress("icmp", 8), {8}),
        (ingress("icmp", 8, 1), set()),
        (ingress("1", 13, 0), {13}),
        (ingress("tcp"), set()),
    ],
)
def test_icmp_types_and_codes(lab: Lab, rule: Acl, passing: set[int]) -> None:
    pair(lab, rule)
    timestamp = bytes([13, 0, 0xF2, 0xFF, 0, 0, 0, 0]) + bytes(12)
    assert lab.pings("b", "10.0.0.1") == (8 in passing)
    frame = ethernet(mac("b"), mac("a"), 0x0800, ip4("10.0.0.2", "10.0.0.1", 1, timestamp))
    assert lab.passes("b", "a", frame) == (13 in passing)


def test_icmpv6_by_type(lab: Lab) -> None:
    pair(lab, ingress("ipv6-icmp", 128, 0, ethertype="IPv6"))
    assert lab.pings("b", "fd00::1")
    assert not lab.pings("b", "10.0.0.1")


def test_icmp_means_icmpv6_in_an_ipv6_rule(lab: Lab) -> None:
    pair(lab, ingress("icmp", ethertype="IPv6"))
    assert lab.pings("b", "fd00::1")


def test_protocols_without_ports(lab: Lab) -> None:
    pair(lab, ingress("gre"), ingress("vrrp"), ingress("50"))
    passing = set()
    for protocol in (47, 112, 50, 51, 89):
        frame = ethernet(mac("b"), mac("a"), 0x0800, ip4("10.0.0.2", "10.0.0.1", protocol, bytes(32)))
        if lab.passes("b", "a", frame):
            passing.add(protocol)
    assert passing == {47, 112, 50}


@pytest.mark.dataplanes("linux", because="Open vSwitch looks behind extension headers")
def test_ipv6_extension_headers(lab: Lab) -> None:
    pair(lab, ingress("ipv6-opts", ethertype="IPv6"))
    datagram = udp("fd00::2", "fd00::1", 5, 7)[40:]
    padding = bytes([17, 0, 1, 4, 0, 0, 0, 0])  # next header: UDP
    with_options = ethernet(mac("b"), mac("a"), 0x86DD, ip6("fd00::2", "fd00::1", 60, padding + datagram))
    plain = ethernet(mac("b"), mac("a"), 0x86DD, ip6("fd00::2", "fd00::1", 17, datagram))
    assert lab.passes("b", "a", with_options)
    assert not lab.passes("b", "a", plain)


def test_every_protocol_the_api_knows_is_a_rule_that_loads(lab: Lab) -> None:
    rules = [ingress(name, ethertype=kind) for name in acl.PROTOCOLS for kind in ("IPv4", "IPv6")]
    rules += [
        ingress(name, 1, 65535, ethertype=kind)
        for name in ("tcp", "udp", "sctp", "dccp", "udplite")
        for kind in ("IPv4", "IPv6")
    ]
    pair(lab, *rules)
    assert lab.delivers("b", "a", 9)


def test_sctp_ports(lab: Lab) -> None:
    pair(lab, ingress("sctp", 5000, 5000))
    init = b"\x01\x00\x00\x14" + bytes([1, 2, 3, 4]) + b"\x00\x01\x00\x00\x00\x01\x00\x01" + bytes([0, 0, 0, 1])

    def frame(port: int) -> bytes:
        payload = (1234).to_bytes(2, "big") + port.to_bytes(2, "big") + bytes(4) + b"\0\0\0\0" + init
        payload = payload[:8] + crc32c(payload[:8] + bytes(4) + payload[12:]) + payload[12:]
        return ethernet(mac("b"), mac("a"), 0x0800, ip4("10.0.0.2", "10.0.0.1", 132, payload))

    assert lab.passes("b", "a", frame(5000))
    assert not lab.passes("b", "a", frame(5001))


def crc32c(data: bytes) -> bytes:
    """RFC 9260, appendix A."""
    value = 0xFFFFFFFF
    for octet in data:
        value ^= octet
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return (value ^ 0xFFFFFFFF).to_bytes(4, "little")


def test_router_advertisements_and_dhcp_answers_may_always_come_in(lab: Lab) -> None:
    """From what is not ours: on a provider network the router and the DHCP server are somebody else's."""
    pair(lab)
    lab.port("alien", "n", "10.0.0.9/24", port_security=False)
    lab.plug("alien")
    lab.set(*(port.key for port in lab.view.ports.values()))
    offer = udp("10.0.0.9", "10.0.0.1", 67, 68)
    assert lab.passes("alien", "a", ethernet(mac("alien"), mac("a"), 0x0800, offer))
    assert lab.passes(
        "alien", "a", ethernet(mac("alien"), "33:33:00:00:00:01", 0x86DD, router_advertisement("fe80::9"))
    )
    other = udp("10.0.0.9", "10.0.0.1", 67, 69)
    assert not lab.passes("alien", "a", ethernet(mac("alien"), mac("a"), 0x0800, other))


def test_dhcp_client_and_discovery_may_always_go_out(lab: Lab) -> None:
    pair(lab)
    lab.port("mute", "n", "10.0.0.8/24", "fd00::8/64", groups=())
    lab.port("alien", "n", "10.0.0.9/24", port_security=False)
    lab.plug("mute", "alien")
    lab.set(*(port.key for port in lab.view.ports.values()))
    own = link_local(mac("mute"))
    discover = udp("0.0.0.0", "255.255.255.255", 68, 67)
    solicit = udp(own, "ff02::1:2", 546, 547)
    router_solicitation = icmp6(own, "ff02::2", 133, bytes(4))
    for kind, packet in ((0x0800, discover), (0x86DD, solicit), (0x86DD, router_solicitation)):
        assert lab.passes("mute", "alien", ethernet(mac("mute"), BROADCAST, kind, packet))
    assert not lab.passes(
        "mute", "alien", ethernet(mac("mute"), BROADCAST, 0x0800, udp("10.0.0.8", "255.255.255.255", 69, 67))
    )
