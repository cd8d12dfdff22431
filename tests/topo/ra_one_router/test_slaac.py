"""Router advertisements as rdisc6 and the kernel's autoconfiguration see them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.topo.services_lab import Lab, leg, mac, subnet
from tests.waiting import wait_until
from weft.backends.linux.frames import link_local

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.needs_programs("nsenter", "ip", "rdisc6"),
    pytest.mark.dataplanes("linux", "ovn"),
]

NAME_SERVER = "2001:db8::53"
SLAAC = subnet("v6", "fd00:1::/64", "fd00:1::1", ra_mode="slaac", address_mode="slaac", dns_nameservers=(NAME_SERVER,))
LEG = "r/net"


def build(lab: Lab, *names: str, router: bool = True) -> None:
    switch = lab.switch("net", SLAAC)
    for name in names:
        own = f"fd00:1:{link_local(mac(name)).removeprefix('fe80:')}"
        lab.port(name, switch, (SLAAC, own), port_security=False)
    if router:
        lab.router("r", leg("r", switch, (SLAAC, "fd00:1::1")))
    lab.set()


def listen(lab: Lab, name: str) -> None:
    lab.sh(name, "ip link set eth0 down; sysctl -qw net.ipv6.conf.eth0.accept_ra=2; ip link set eth0 up")


def default(lab: Lab, name: str) -> str:
    return lab.sh(name, "ip -6 route show default")


def test_solicited(lab: Lab) -> None:
    build(lab, "vm")
    said = lab.sh("vm", "rdisc6 -1 -w 5000 eth0")
    assert "Prefix                   : fd00:1::/64" in said
    assert "Stateful address conf.    :           No" in said
    assert f"Recursive DNS server     : {NAME_SERVER}" in said
    assert "MTU                      :         1450 bytes" in said
    assert f"from {link_local(mac(LEG))}" in said


def test_kernel_configures_itself(lab: Lab) -> None:
    """The kernel solicits when its link comes up, and is answered long before the next periodic advertisement."""
    build(lab, "vm")
    listen(lab, "vm")
    wait_until(lambda: lab.addresses("vm") and f"via {link_local(mac(LEG))}" in default(lab, "vm"))
    (address,) = lab.addresses("vm")
    assert address.startswith("fd00:1::")
    assert lab.sh("vm", "ping -c 1 -W 5 fd00:1::1")


@pytest.mark.dataplanes("linux", because="OVN advertises to who asks, by itself only every few minutes")
def test_announced_when_a_router_comes_and_withdrawn_when_it_goes(lab: Lab) -> None:
    """Workloads that asked nobody learn of both."""
    build(lab, "vm", "other", router=False)
    for name in ("vm", "other"):
        listen(lab, name)
    assert "Timed out" in lab.sh("vm", "rdisc6 -1 -r 1 -w 1000 eth0", check=False)
    assert default(lab, "vm") == ""
    switch = next(iter(lab.view.switches.values()))
    router = lab.router("r", leg("r", switch, (SLAAC, "fd00:1::1")))
    lab.set()
    for name in ("vm", "other"):
        wait_until(lambda name=name: lab.addresses(name) and "via" in default(lab, name))
    del lab.view.routers[router.id]
    lab.set()
    for name in ("vm", "other"):
        wait_until(lambda name=name: default(lab, name) == "")


@pytest.mark.dataplanes("linux", because="OVN advertises to who asks, by itself only every few minutes")
def test_change_is_announced(lab: Lab) -> None:
    build(lab, "vm")
    listen(lab, "vm")
    wait_until(lambda: lab.addresses("vm"))
    switch = next(iter(lab.view.switches.values()))
    lab.view.switches[switch.id] = replace(switch, mtu=1400)
    lab.set()
    wait_until(lambda: lab.sh("vm", "cat /proc/sys/net/ipv6/conf/eth0/mtu").strip() == "1400")


def test_stateful_tells_to_ask_dhcp(lab: Lab) -> None:
    stateful = replace(SLAAC, ra_mode="dhcpv6-stateful", address_mode="dhcpv6-stateful")
    switch = lab.switch("net", stateful)
    lab.port("vm", switch, (stateful, "fd00:1::5"))
    lab.router("r", leg("r", switch, (stateful, "fd00:1::1")))
    lab.set()
    said = lab.sh("vm", "rdisc6 -1 -w 5000 eth0")
    assert "Stateful address conf.    :          Yes" in said
    listen(lab, "vm")
    wait_until(lambda: "via" in default(lab, "vm"))
    assert lab.addresses("vm") == {}


def test_two_networks_do_not_hear_each_other(lab: Lab) -> None:
    build(lab, "vm")
    far = subnet("far", "fd00:2::/64", "fd00:2::1", ra_mode="slaac", address_mode="slaac")
    lab.port("far", lab.switch("other", far), (far, "fd00:2::5"))
    lab.set()
    assert "Timed out" in lab.sh("far", "rdisc6 -1 -r 1 -w 1000 eth0", check=False)
