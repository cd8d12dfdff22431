"""A workload behind the whole backend, port security included: it boots as images do, and no rule of a group is needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.topo.services_lab import Lab, leg, subnet
from tests.waiting import wait_until
from weft.backends.linux import names, netns
from weft.backends.linux.backend import LinuxBackend
from weft.backends.linux.links import Create, Link
from weft.config import Config, Linux
from weft.logical.model import DhcpOption, LogicalPort, LogicalSwitch

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs("nsenter", "ip", "dhclient", "dig", "curl", "rdisc6")]

V4 = subnet("v4", "10.0.0.0/24", "10.0.0.1")
V6 = subnet("v6", "fd00:1::/64", "fd00:1::1", ra_mode="dhcpv6-stateful", address_mode="dhcpv6-stateful")


class Whole(Lab):
    """The laboratory with bridges, firewall and routers by the backend."""

    def __post_init__(self) -> None:
        super().__post_init__()
        config = Config(api=self.api, nova=self.nova, linux=Linux(namespace=self.prefix))
        self.backend = LinuxBackend(config, self.routers, self.responder)

    def close(self) -> None:
        self.backend.close()
        super().close()

    def switch(self, name: str, *subnets, mtu: int = 1450) -> LogicalSwitch:
        made = LogicalSwitch(f"{name}-0000-0000-0000", name, "project", mtu, (), subnets)
        self.view.switches[made.id] = made
        return made

    def plug(self, port: LogicalPort) -> None:
        netns.create(self.at(port.name), {"net/ipv6/conf/default/accept_dad": 0, "net/ipv6/conf/default/accept_ra": 0})
        tap = Link(names.tap(port.id), "veth", 1450, True, peer=(self.at(port.name), "eth0"), peer_mac=port.mac)
        assert self.links.apply([Create(tap)]) == {}
        self.sh(port.name, "ip link set lo up; ip link set eth0 up")

    def set(self, **arguments) -> None:
        assert self.backend.set(self.view, None).failed == {}


@pytest.fixture
def lab(prefix: str) -> Iterator[Whole]:
    made = Whole(prefix)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("port_security", [True, False])
def test_boot(lab: Whole, port_security: bool) -> None:
    switch = lab.switch("net", V4, V6)
    port = lab.port("vm", switch, (V4, "10.0.0.5"), (V6, "fd00:1::5"), port_security=port_security)
    lab.router("r", leg("r", switch, (V4, "10.0.0.1"), (V6, "fd00:1::1")))
    lab.set()
    assert lab.dhclient("vm", "-4")["new_ip_address"] == "10.0.0.5"
    assert lab.dhclient("vm", "-6")["new_ip6_address"] == "fd00:1::5"
    assert "Prefix                   : fd00:1::/64" in lab.sh("vm", "rdisc6 -1 -w 5000 eth0")
    url = "/latest/meta-data/instance-id"
    assert lab.curl("vm", f"http://169.254.169.254{url}") == (200, port.device_id)
    assert lab.curl("vm", f"http://[fe80::a9fe:a9fe%25eth0]{url}") == (200, port.device_id)
    assert lab.dig("vm", "vm.example.org") == ["10.0.0.5"]
    assert lab.sh("vm", "dig @fe80::a9fe:a9fe%eth0 +short +tries=1 +time=5 vm.example.org AAAA").split() == [
        "fd00:1::5"
    ]
    # by its router, as one that ignores option 121
    lab.sh("vm", "ip route del 169.254.169.254")
    assert lab.curl("vm", f"http://169.254.169.254{url}") == (200, port.device_id)


def test_the_services_are_no_way_round_the_groups(lab: Whole) -> None:
    switch = lab.switch("net", V4)
    for name, ip in (("a", "10.0.0.5"), ("b", "10.0.0.6")):
        lab.configure(lab.port(name, switch, (V4, ip)))
    lab.set()
    assert lab.dig("a", "b.example.org") == ["10.0.0.6"]
    assert "0 received" in lab.sh("a", "ping -c 2 -i 0.2 -W 1 10.0.0.6", check=False)
    # nor one to pretend to be somebody else
    lab.sh("a", "ip addr add 10.0.0.6/24 dev eth0")
    assert lab.curl("a", "http://169.254.169.254/latest/meta-data/instance-id", "--interface", "10.0.0.6")[0] == 0


def test_renewal_behind_port_security(lab: Whole) -> None:
    port = lab.port("vm", lab.switch("net", V4), (V4, "10.0.0.5"))
    lab.view.ports[port.id] = replace(port, dhcp_options=(DhcpOption("lease-time", "8"),))
    lab.set()
    assert lab.dhclient("vm", "-4")["reason"] == "BOUND"
    wait_until(lambda: [event["reason"] for event in lab.events("vm")][-2:] == ["RENEW", "RENEW"], 30)
