"""DHCPv6 as ISC's client sees it."""

from __future__ import annotations

import pytest

from tests.topo.services_lab import Lab, subnet

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.dataplanes("linux", "ovn"),
    pytest.mark.needs_programs("nsenter", "ip", "dhclient"),
]


@pytest.mark.dataplanes("linux", because="OVN has no name server of its own to name")
def test_stateful(lab: Lab) -> None:
    v6 = subnet("v6", "fd00:1::/64", "fd00:1::1", ra_mode="dhcpv6-stateful", address_mode="dhcpv6-stateful")
    lab.port("vm", lab.switch("net", v6), (v6, "fd00:1::5"))
    lab.set()
    got = lab.dhclient("vm", "-6")
    assert got["reason"] == "BOUND6"
    assert got["new_ip6_address"] == "fd00:1::5"
    assert got["new_dhcp6_name_servers"] == "fe80::a9fe:a9fe"
    assert got["new_dhcp6_domain_search"] == "example.org."
    assert "fd00:1::5" in lab.addresses("vm")
    lab.stop_dhclient("vm", 6)
    assert lab.dhclient("vm", "-6")["new_ip6_address"] == "fd00:1::5"
    # after a restart the client asks whether its address still fits the link
    assert "XMT: Confirm on eth0" in lab.said
    assert "RCV: Reply message on eth0 from fe80::a9fe:a9fe" in lab.said


def test_stateless(lab: Lab) -> None:
    v6 = subnet(
        "v6",
        "fd00:1::/64",
        "fd00:1::1",
        ra_mode="dhcpv6-stateless",
        address_mode="dhcpv6-stateless",
        dns_nameservers=("2001:db8::53",),
    )
    lab.port("vm", lab.switch("net", v6), (v6, "fd00:1::f816:3eff:fe00:1"))
    lab.set()
    got = lab.dhclient("vm", "-6", "-S")
    assert got["new_dhcp6_name_servers"] == "2001:db8::53"
    assert "new_ip6_address" not in got
