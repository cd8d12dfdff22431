"""Devices that go without anybody telling Open vSwitch: the port is down, and up again when it is plugged again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ovn_lab import PROGRAMS, Chassis, Ovn, run
from tests.ovn_workload import Device, plug
from tests.waiting import wait_until
from weft import config as configuration
from weft.backends.linux import netns
from weft.backends.linux.links import Create, Delete, Link, Links, Modify
from weft.backends.ovn import offload
from weft.backends.ovn.metadata import MetadataHost
from weft.logical.model import HostView

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs(*PROGRAMS, "ip", "ping")]

SWITCH = "neutron-devices"


class Site:
    """Two workloads of one network on a host, and Weft's process there."""

    def __init__(self, ovn: Ovn) -> None:
        self.ovn, self.chassis = ovn, ovn.chassis["h1"]
        run("ovn-nbctl", f"--db={ovn.northbound_remote}", "ls-add", SWITCH)
        self.devices = [self.device(number) for number in (1, 2)]
        plug(self.chassis, self.devices)
        self.process = self.start()
        wait_until(lambda: self.bound() == self.ports)
        ovn.sync()

    @property
    def ports(self) -> set[str]:
        return {one.port for one in self.devices}

    def device(self, number: int) -> Device:
        port, mac = f"{number:08d}-0000-4000-8000-00000000de71", f"02:00:00:00:00:{number:02x}"
        line = ["lsp-add", SWITCH, port, "--", "lsp-set-addresses", port, f"{mac} 10.0.0.{number}"]
        run("ovn-nbctl", f"--db={self.ovn.northbound_remote}", *line)
        return Device(f"{self.ovn.name}-de{number}", port, mac, (f"10.0.0.{number}/24",))

    def start(self) -> MetadataHost:
        own = {"namespace": self.chassis.namespace, "ovsdb_connection": f"unix:{self.chassis.socket}"}
        process = MetadataHost(configuration.load(ovn=own))
        assert process.set(HostView("h1"), None).failed == {}
        process.watch(lambda keys: None)
        return process

    def bound(self) -> set[str]:
        """Ports that OVN says are up."""
        return set(self.ovn.bound())

    def make(self, one: Device) -> None:
        """A device by the same name, as a hypervisor that starts the workload again makes it."""
        netns.create(one.namespace)
        link = Link(one.link, "veth", 1500, True, peer=(one.namespace, "eth0"), peer_mac=one.mac)
        assert links(self.chassis).apply([Create(link)]) == {}
        offload.off(one.namespace, "eth0")
        run("ip", "-n", one.namespace, "link", "set", "dev", "eth0", "up")
        run("ip", "-n", one.namespace, "address", "add", one.cidrs[0], "dev", "eth0")

    def reach(self) -> None:
        """Packets go from the first to the second."""
        line = ["nsenter", f"--net=/run/netns/{self.devices[0].namespace}", "ping", "-c1", "-W1", "10.0.0.2"]

        def answered() -> bool:
            try:
                return "1 received" in run(*line)
            except AssertionError:
                return False

        wait_until(answered)

    def close(self) -> None:
        self.process.close()
        for one in self.devices:
            self.chassis.unplug(one.link)
            links(self.chassis).apply([Delete(one.link)])
            netns.delete(one.namespace)


def links(chassis: Chassis) -> Links:
    assert chassis.links is not None
    return chassis.links


@pytest.fixture
def site(ovn: Ovn) -> Iterator[Site]:
    made = Site(ovn)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("how", ["device", "namespace"])
def test_a_device_that_is_gone(site: Site, how: str) -> None:
    """Its port is down, the neighbour's stays up; a device by that name makes it up again, and packets flow."""
    gone, stays = site.devices
    site.reach()
    if how == "device":
        assert links(site.chassis).apply([Delete(gone.link)]) == {}
    else:
        netns.delete(gone.namespace)
    wait_until(lambda: site.bound() == {stays.port})
    netns.delete(gone.namespace)
    site.make(gone)
    wait_until(lambda: site.bound() == site.ports)
    site.reach()
    rows = site.chassis.database.rows("Interface", "name", "ofport_request")
    assert all(row["ofport_request"] == [] for row in rows if row["name"] == gone.link), "nothing of ours stays there"


def test_a_device_that_went_while_nobody_looked(site: Site) -> None:
    gone, stays = site.devices
    site.process.close()
    assert links(site.chassis).apply([Delete(gone.link)]) == {}
    wait_until(lambda: index(site, gone) == 0)
    assert site.bound() == site.ports, "Open vSwitch alone does not notice"
    site.process = site.start()
    wait_until(lambda: site.bound() == {stays.port})


def test_a_device_that_is_another_one(site: Site) -> None:
    """Made anew within moments, so that the switch would go on with the one that is no more."""
    one = site.devices[0]
    site.reach()
    assert links(site.chassis).apply([Delete(one.link)]) == {}
    netns.delete(one.namespace)
    site.make(one)
    site.reach()
    assert site.bound() == site.ports


def test_a_device_that_is_down_is_there(site: Site) -> None:
    """Only what is gone is given up: what its owner raises and lowers is left alone."""
    one = site.devices[0]
    before = index(site, one), number(site, one)
    for up in (False, True):
        assert links(site.chassis).apply([Modify(Link(one.link, up=up))]) == {}
    site.reach()
    site.process.set(HostView("h1"), None)
    assert (index(site, one), number(site, one)) == before


def index(site: Site, one: Device) -> int:
    (row,) = site.chassis.database.rows("Interface", "ifindex", name=one.link)
    return int(row["ifindex"])


def number(site: Site, one: Device) -> int:
    (row,) = site.chassis.database.rows("Interface", "ofport", name=one.link)
    return int(row["ofport"])
