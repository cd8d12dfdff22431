"""What a workload may claim to be: every kind of lie is dropped where it enters, and the honest twin passes."""

from __future__ import annotations

import pytest

from tests.topo import frames
from tests.topo.frames import ALL_NODES, ARP, BROADCAST, IPV4, IPV6, arp, ethernet, link_local
from tests.topo.lab import Lab, ingress, mac
from weft.logical.model import AddressPair

pytestmark = [pytest.mark.needs_root, pytest.mark.dataplanes("linux", "ovn")]

OWN, OTHER = mac("a"), mac("b")


@pytest.fixture
def spoof(lab: Lab) -> Lab:
    """a is protected and may send anything; `any` hears everything."""
    lab.network("n")
    lab.port("a", "n", "10.0.0.1/24", "fd00::1/64")
    lab.port("any", "n", "10.0.0.9/24", port_security=False)
    lab.up()
    return lab


def v4(source: str, source_mac: str = OWN, sport: int = 5, dport: int = 7) -> bytes:
    return ethernet(source_mac, BROADCAST, IPV4, frames.udp(source, "10.0.0.9", sport, dport))


def v6(source: str, source_mac: str = OWN, sport: int = 5, dport: int = 7) -> bytes:
    return ethernet(source_mac, ALL_NODES, IPV6, frames.udp(source, "ff02::1", sport, dport))


def na(source: str, target: str) -> bytes:
    return ethernet(OWN, ALL_NODES, IPV6, frames.advertisement(source, target, OWN))


def ns(source: str) -> bytes:
    return ethernet(
        OWN, ALL_NODES, IPV6, frames.icmp6(source, "ff02::1:ff00:1", 135, bytes(4) + frames.packed("fd00::1"))
    )


HONEST = {
    "IPv4": v4("10.0.0.1"),
    "IPv6": v6("fd00::1"),
    "IPv6 link-local": v6(link_local(OWN)),
    "ARP": ethernet(OWN, BROADCAST, ARP, arp(1, OWN, "10.0.0.1", "10.0.0.9")),
    "ARP announcement": ethernet(OWN, BROADCAST, ARP, arp(2, OWN, "10.0.0.1", "10.0.0.1")),
    "ARP probe": ethernet(OWN, BROADCAST, ARP, arp(1, OWN, "0.0.0.0", "10.0.0.1")),
    "advertisement": na("fd00::1", "fd00::1"),
    "advertisement of the link-local address": na(link_local(OWN), link_local(OWN)),
    "duplicate address detection": ns("::"),
    "DHCP request": ethernet(OWN, BROADCAST, IPV4, frames.udp("0.0.0.0", "255.255.255.255", 68, 67)),
    "DHCPv6 solicit": v6(link_local(OWN), sport=546, dport=547),
}

LIES = {
    "IPv4 of another": v4("10.0.0.2"),
    "IPv4 with the MAC of another": v4("10.0.0.1", OTHER),
    "IPv4 with no source": v4("0.0.0.0"),
    "IPv6 of another": v6("fd00::2"),
    "IPv6 with the MAC of another": v6("fd00::1", OTHER),
    "IPv6 link-local of another": v6(link_local(OTHER)),
    "IPv6 with no source": v6("::"),
    "ARP for another's IP": ethernet(OWN, BROADCAST, ARP, arp(2, OWN, "10.0.0.2", "10.0.0.2")),
    "ARP with another's MAC inside": ethernet(OWN, BROADCAST, ARP, arp(2, OTHER, "10.0.0.1", "10.0.0.9")),
    "ARP with another's MAC outside": ethernet(OTHER, BROADCAST, ARP, arp(2, OWN, "10.0.0.1", "10.0.0.9")),
    "advertisement for another": na("fd00::1", "fd00::2"),
    "advertisement for the gateway by link-local": na(link_local(OWN), "fe80::1"),
    "advertisement from another": na("fd00::2", "fd00::1"),
    "router advertisement": ethernet(OWN, ALL_NODES, IPV6, frames.router_advertisement(link_local(OWN))),
    "redirect": ethernet(OWN, ALL_NODES, IPV6, frames.icmp6(link_local(OWN), "ff02::1", 137, bytes(36))),
    "DHCP server": v4("10.0.0.1", sport=67, dport=68),
    "DHCPv6 server": v6(link_local(OWN), sport=547, dport=546),
    "DHCP request with another's MAC": ethernet(
        OTHER, BROADCAST, IPV4, frames.udp("0.0.0.0", "255.255.255.255", 68, 67)
    ),
    "LLDP": ethernet(OWN, BROADCAST, 0x88CC, bytes(46)),
    "an unknown ethertype": ethernet(OWN, BROADCAST, 0x9999, bytes(46)),
    "IPv4 in a VLAN tag": frames.tagged(v4("10.0.0.1"), 5),
    "a lie in a priority tag": frames.tagged(v4("10.0.0.2"), 0),
    "ARP in a VLAN tag": frames.tagged(ethernet(OWN, BROADCAST, ARP, arp(2, OWN, "10.0.0.2", "10.0.0.2")), 7),
    "PPPoE": ethernet(OWN, BROADCAST, 0x8864, bytes(46)),
    "a length instead of a type": ethernet(OWN, BROADCAST, 0x0026, b"\x42\x42\x03" + bytes(43)),
}


def test_honest_frames_pass(spoof: Lab) -> None:
    assert spoof.passing("a", "any", HONEST) == set(HONEST) - spoof.stricter


def test_no_lie_passes(spoof: Lab) -> None:
    assert spoof.passing("a", "any", LIES) == spoof.looser
    assert spoof.passes("a", "any", HONEST["IPv4"])


@pytest.mark.dataplanes("linux", because="ovn-northd lets router advertisements pass before any ACL")
def test_a_fragmented_router_advertisement_is_one_too(spoof: Lab) -> None:
    """RFC 7113: hidden behind a fragment header."""
    packet = frames.router_advertisement(link_local(OWN))
    fragment = bytes([58, 0, 0, 0, 0, 0, 0, 9])  # the only fragment
    hidden = frames.ip6(link_local(OWN), "ff02::1", 44, fragment + packet[40:])
    assert not spoof.passes("a", "any", ethernet(OWN, ALL_NODES, IPV6, hidden))
    behind_options = frames.ip6(link_local(OWN), "ff02::1", 60, bytes([58, 0, 1, 4, 0, 0, 0, 0]) + packet[40:])
    assert not spoof.passes("a", "any", ethernet(OWN, ALL_NODES, IPV6, behind_options))


def test_tagged_frames_do_not_come_in_either(lab: Lab) -> None:
    lab.network("n")
    lab.group("in", ingress())
    lab.port("a", "n", "10.0.0.1/24", groups=("in",))
    lab.port("any", "n", "10.0.0.9/24", port_security=False)
    lab.up()
    plain = ethernet(mac("any"), OWN, IPV4, frames.udp("10.0.0.9", "10.0.0.1", 5, 7))
    assert lab.passes("any", "a", plain)
    assert not lab.passes("any", "a", frames.tagged(plain, 5))


@pytest.mark.dataplanes("linux", because="ACLs are about IP; what is allowed to leave without port security arrives")
def test_lldp_does_not_come_in(lab: Lab) -> None:
    lab.network("n")
    lab.port("a", "n", "10.0.0.1/24")
    lab.port("any", "n", "10.0.0.9/24", port_security=False)
    lab.up()
    assert not lab.passes("any", "a", ethernet(mac("any"), OWN, 0x88CC, bytes(46)))


def test_without_an_address_it_may_claim_none(lab: Lab) -> None:
    """It asks for one by DHCP, and may use those of its pairs."""
    claims = ("IPv4", "IPv6", "ARP", "ARP announcement", "advertisement")
    lab.network("n")
    lab.port("a", "n")
    lab.port("any", "n", "10.0.0.9/24", port_security=False)
    lab.up()
    asked = {"DHCP request", *claims}
    assert lab.passing("a", "any", {what: HONEST[what] for what in asked}) == {"DHCP request"}
    assert lab.passing("a", "any", LIES) <= lab.looser
    lab.set(lab.change("a", pairs=(AddressPair(OWN, "10.0.0.1"), AddressPair(OWN, "fd00::1"))))
    assert lab.passing("a", "any", {what: HONEST[what] for what in claims}) == set(claims)


def test_address_pairs(lab: Lab) -> None:
    lab.network("n")
    virtual = "00:00:5e:00:01:07"
    pairs = [(virtual, "10.0.0.100"), (OWN, "10.1.0.0/16"), (OWN, "fd01::/64"), (OWN, "10.1.2.0/24"), (OWN, "fd00::5")]
    lab.port("a", "n", "10.0.0.1/24", "fd00::1/64", pairs=pairs)
    lab.port("any", "n", "10.0.0.9/24", port_security=False)
    lab.up()
    allowed = {
        "own": v4("10.0.0.1"),
        "virtual MAC and IP": v4("10.0.0.100", virtual),
        "virtual MAC in ARP": ethernet(virtual, BROADCAST, ARP, arp(2, virtual, "10.0.0.100", "10.0.0.100")),
        "from the prefix": v4("10.1.2.3"),
        "ARP for the prefix": ethernet(OWN, BROADCAST, ARP, arp(2, OWN, "10.1.9.9", "10.1.9.9")),
        "from the IPv6 prefix": v6("fd01::77"),
        "advertisement in the IPv6 prefix": na("fd01::77", "fd01::77"),
        "advertisement of a single address": na("fd00::5", "fd00::5"),
        "link-local of the virtual MAC": v6(link_local(virtual), virtual),
    }
    assert lab.passing("a", "any", allowed) == set(allowed) - lab.stricter
    lies = {
        "own IP with the virtual MAC": v4("10.0.0.1", virtual),
        "virtual IP with the own MAC": v4("10.0.0.100"),
        "beside the prefix": v4("10.2.0.1"),
        "beside the IPv6 prefix": v6("fd02::1"),
        "advertisement beside it": na("fd00::1", "fd02::1"),
    }
    assert lab.passing("a", "any", lies) == set()
    lab.set(lab.change("a", pairs=()))
    assert lab.passing("a", "any", allowed) == {"own"}


def test_a_pair_of_everything(lab: Lab) -> None:
    lab.network("n")
    lab.port("a", "n", "10.0.0.1/24", pairs=[(OWN, "0.0.0.0/0"), (OWN, "::/0")])
    lab.port("any", "n", "10.0.0.9/24", port_security=False)
    lab.up()
    assert lab.passes("a", "any", v4("192.0.2.1"))
    assert lab.passes("a", "any", v6("2001:db8::1"))
    assert not lab.passes("a", "any", v4("192.0.2.1", OTHER))


def test_without_port_security_nothing_is_looked_at(lab: Lab) -> None:
    lab.network("n")
    lab.port("a", "n", "10.0.0.1/24", port_security=False, groups=())
    lab.port("any", "n", "10.0.0.9/24", port_security=False, groups=())
    lab.up()
    kernel_sets_aside = {"IPv4 with no source", "IPv6 with no source"}
    assert set(LIES) - lab.passing("a", "any", LIES) <= kernel_sets_aside | lab.stricter
    assert lab.reach() == {"a any", "any a"}
    lab.set(lab.change("a", port_security=True, groups=("out",)))
    assert lab.passing("a", "any", LIES) <= lab.looser
