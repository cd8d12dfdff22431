"""Two tenants with the same subnet on one host: each hears of its own network only."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.topo.services_lab import Lab, mac, subnet

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.needs_programs("nsenter", "ip", "dhclient"),
    pytest.mark.dataplanes("linux", "ovn"),
]

RED = subnet("red", "10.0.0.0/24", "10.0.0.1", dns_nameservers=("198.18.0.1",))
BLUE = subnet("blue", "10.0.0.0/24", "10.0.0.254", dns_nameservers=("198.18.0.2",))


def test_same_subnet_same_address_same_mac(lab: Lab) -> None:
    red, blue = lab.switch("red", RED), lab.switch("blue", BLUE, mtu=1400)
    lab.port("r1", red, (RED, "10.0.0.5"), mac=mac("both"))
    lab.port("b1", blue, (BLUE, "10.0.0.5"), mac=mac("both"))
    lab.set()
    for name, gateway, server, mtu in (
        ("r1", "10.0.0.1", "198.18.0.1", "1450"),
        ("b1", "10.0.0.254", "198.18.0.2", "1400"),
    ):
        got = lab.dhclient(name, "-4")
        assert got["new_ip_address"] == "10.0.0.5"
        assert (got["new_routers"], got["new_domain_name_servers"]) == (gateway, server)
        assert got["new_interface_mtu"] == mtu


def test_network_that_is_switched_off_is_silent(lab: Lab) -> None:
    red = lab.switch("red", RED)
    port = lab.port("r1", red, (RED, "10.0.0.5"))
    lab.view.switches[red.id] = replace(red, enabled=False)
    lab.set()
    assert lab.dhclient(port.name, "-4", timeout=3)["reason"] != "BOUND"
