"""A workload on three networks by one device: its sub-ports are ports like others, told apart by VLAN tags."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.topo import frames
from tests.topo.frames import ARP, BROADCAST
from tests.topo.lab import Lab, Workload, ingress, mac, uid
from weft.backends.linux import names, netns, trunks
from weft.backends.linux.backend import LinuxBackend
from weft.backends.linux.links import Address, Create, Link, Links, Modify
from weft.backends.linux.responder import Responder
from weft.backends.linux.trunks import Trunks
from weft.logical.model import DhcpOptions, Key

pytestmark = pytest.mark.needs_root

TAGS = {"blue": 10, "green": 4000}


class Guest:
    """A VLAN device for each tag inside the parent's workload; made like sub-ports, as this kernel may have no other way.

    Each stands in a namespace of its own, so that what is on it can be tried by its name, with addresses that overlap."""

    def __init__(self, lab: Lab, parent: str) -> None:
        self.lab, self.space = lab, lab.workloads[parent].namespace
        self.trunks = Trunks(self.space)
        self.ways: dict[int, int] = {}

    def add(self, name: str, tag: int) -> None:
        port = self.lab.view.ports[uid(name)]
        inside = f"{self.lab.name}-{name}"
        netns.create(inside, {"net/ipv6/conf/default/accept_dad": 0})
        self.lab._namespaces.append(inside)
        links = Links(inside)
        ips = tuple(address.ip for address in port.addresses)
        self.lab.workloads[name] = Workload(name, inside, port.id, port.mac, ips, links)
        device = Link(f"v{tag}", kind="veth", peer=(inside, "eth0"), peer_mac=port.mac, up=True)
        mtu = self.lab.view.switches[port.switch].mtu
        with contextlib.closing(Links(self.space)) as outer:
            assert outer.apply([Create(device)]) == {}
            found = outer.get(["eth0", f"v{tag}"])
        assert links.apply([Modify(Link("eth0", up=True, mtu=mtu))]) == {}
        assert links.change_addresses([Address("eth0", f"{a.ip}/{a.prefixlen}") for a in port.addresses]) == {}
        self.ways[tag] = found[f"v{tag}"].index
        outcome = trunks.Outcome()
        self.trunks._classify(found["eth0"], trunks.untag(self.ways), outcome)
        self.trunks._classify(found[f"v{tag}"], trunks.tag(tag, found["eth0"].index), outcome)
        assert outcome.failed == {}


def trunk(lab: Lab) -> Lab:
    """`vm` on red, with sub-ports on blue and green, all with the same address; a neighbour on each network."""
    lab.group("in", ingress(), ingress(ethertype="IPv6"))
    lab.network("red")
    lab.port("vm", "red", "10.0.0.1/24")
    for number, (name, tag) in enumerate(TAGS.items()):
        lab.network(name, mtu=1400)
        lab.port(f"vm-{name}", name, "10.0.0.1/24", "fd00::1/64", parent=uid("vm"), tag=tag)
        lab.port(name, name, f"10.0.0.{number + 3}/24", f"fd00::{number + 3}/64", groups=("out", "in"))
    lab.port("red", "red", "10.0.0.2/24", groups=("out", "in"))
    return lab


@pytest.fixture
def whole(lab: Lab) -> Iterator[Lab]:
    trunk(lab).up("vm", "red", "blue", "green")
    guest = Guest(lab, "vm")
    for name, tag in TAGS.items():
        guest.add(f"vm-{name}", tag)
    yield lab
    guest.trunks.close()


def up(lab: Lab, *ports: str) -> dict[str, str]:
    """Port -> why it is not up, '' if it is, as a full pass finds it."""
    status = lab.full().status
    found = {name: status[Key("port", uid(name))] for name in ports}
    return {name: one.reason if not one.up else "" for name, one in found.items()}


def test_who_reaches_whom(whole: Lab) -> None:
    """Each part of the workload reaches its own network and no other; the address is the same on all three."""
    assert up(whole, "vm", "vm-blue", "vm-green") == {"vm": "", "vm-blue": "", "vm-green": ""}
    for source, address, answered in [
        ("vm", "10.0.0.2", True),
        ("vm-blue", "10.0.0.3", True),
        ("vm-green", "10.0.0.4", True),
        ("vm-blue", "fd00::3", True),
        ("vm", "10.0.0.3", False),
        ("vm-blue", "10.0.0.2", False),
        ("vm-blue", "10.0.0.4", False),
        ("vm-green", "10.0.0.3", False),
    ]:
        assert whole.pings(source, address, patience=1.0 if answered else 0.25) is answered, (source, address)
    assert whole.connects("vm-blue", "blue", 80)
    assert whole.delivers("vm-green", "green", 53)


def test_sub_ports_are_filtered_like_ports(whole: Lab) -> None:
    assert not whole.pings("blue", "10.0.0.1")  # the sub-port's group lets nothing in
    whole.set(whole.change("vm-blue", groups=("out", "in")))
    assert whole.pings("blue", "10.0.0.1")
    assert not whole.pings("green", "10.0.0.1")
    claim = frames.arp(1, mac("vm-blue"), "10.0.0.9", "10.0.0.3")
    honest = frames.arp(1, mac("vm-blue"), "10.0.0.1", "10.0.0.3")
    assert not whole.passes("vm-blue", "blue", frames.ethernet(mac("vm-blue"), BROADCAST, ARP, claim))
    assert whole.passes("vm-blue", "blue", frames.ethernet(mac("vm-blue"), BROADCAST, ARP, honest))


def test_tags_of_nobody_lead_nowhere(whole: Lab) -> None:
    """Neither to another network nor, as what they are, to the parent's."""
    arp = frames.arp(1, mac("vm"), "10.0.0.1", "10.0.0.2")
    tagged = bytes.fromhex("8100000b") + ARP.to_bytes(2, "big") + arp
    frame = bytes.fromhex((BROADCAST + mac("vm")).replace(":", "")) + tagged
    for target in ("red", "blue", "green"):
        assert not whole.passes("vm", target, frame)


def test_large_packets_and_segments(whole: Lab) -> None:
    """What the network's MTU allows passes with its tag, and TCP in pieces larger than that."""
    data = bytes(1 << 20)
    with whole.stream("vm-blue", "blue", 5000) as ends:
        assert ends is not None
        client, server = ends
        sender = threading.Thread(target=client.sendall, args=(data,))
        sender.start()
        received = 0
        while received < len(data):
            received += len(server.recv(1 << 16))
        sender.join()
    sent = ["ip", "netns", "exec", whole.workloads["vm-blue"].namespace]
    subprocess.run([*sent, "ping", "-M", "do", "-s", "1372", "-c", "1", "-W", "1", "10.0.0.3"], check=True)


def test_a_sub_port_comes_and_goes(whole: Lab) -> None:
    tap, end = names.tap(uid("vm-blue")), names.sub(uid("vm-blue"))
    assert whole.pings("vm-blue", "10.0.0.3")
    before = whole.view.ports[uid("vm-blue")]
    whole.set(whole.without("vm-blue"))
    assert {tap, end}.isdisjoint(whole.links(lambda links: links.dump()))
    assert not whole.pings("vm-blue", "10.0.0.3")
    assert whole.pings("vm-green", "10.0.0.4")
    whole.view.ports[before.id] = before
    assert whole.set(before.key).status[before.key].up
    assert whole.pings("vm-blue", "10.0.0.3", patience=1.0)
    whole.view.ports[before.id] = whole.view.ports[before.id]
    whole.set(whole.change("vm-green", tag=11))
    assert not whole.pings("vm-green", "10.0.0.4")
    whole.set(whole.change("vm-green", tag=TAGS["green"]))
    assert whole.pings("vm-green", "10.0.0.4")


def test_what_keeps_a_sub_port_down(lab: Lab) -> None:
    trunk(lab)
    netns.create(lab.host, netns.HOST_SYSCTLS)
    reasons = up(lab, "vm-blue", "vm-green")
    assert reasons["vm-blue"] == f"its parent port has no device {names.tap(uid('vm'))} yet"
    lab.plug("vm")
    key, blue = Key("port", uid("vm")), Key("port", uid("vm-blue"))
    assert lab.set(key).status[blue].up  # the parent alone was named
    report = lab.set(lab.change("vm", enabled=False))
    assert report.status[blue].reason == "its parent port is administratively down"
    assert lab.set(lab.change("vm", enabled=True)).status[blue].up
    report = lab.set(lab.change("vm-blue", enabled=False))
    assert report.status[blue].reason == "the port, or its trunk, is administratively down"
    lab.change("vm-blue", enabled=True)
    lab.without("vm")
    assert lab.set(key).status[blue].reason == f"its parent port {uid('vm')} is not on this host"


def test_a_parent_that_is_plugged_anew(whole: Lab) -> None:
    """Its device is another then; a hypervisor does so at a restart of the server."""
    whole.unplug("vm")
    vm, blue = Key("port", uid("vm")), Key("port", uid("vm-blue"))
    assert not whole.set(vm).status[blue].up
    whole.plug("vm")
    assert whole.set(vm).status[blue].up
    guest = Guest(whole, "vm")
    with contextlib.closing(Links(guest.space)) as outer:
        found = outer.get(["eth0", *(f"v{tag}" for tag in TAGS.values())])
    outcome = trunks.Outcome()
    guest.trunks._classify(found["eth0"], trunks.untag({tag: found[f"v{tag}"].index for tag in TAGS.values()}), outcome)
    for tag in TAGS.values():
        guest.trunks._classify(found[f"v{tag}"], trunks.tag(tag, found["eth0"].index), outcome)
    guest.trunks.close()
    assert outcome.failed == {}
    assert whole.pings("vm-blue", "10.0.0.3", patience=1.0)


def test_a_restart_loses_nothing(whole: Lab) -> None:
    assert whole.pings("vm-blue", "10.0.0.3", patience=1.0)
    before = {name: link.index for name, link in whole.links(lambda links: links.dump()).items()}
    with whole.flood("vm-blue", "10.0.0.3") as flood:
        whole.restart()
        assert whole.full().drift == []
        whole.set(whole.change("vm-green", enabled=False))
        whole.set(whole.change("vm-green", enabled=True))
    assert flood.lost == set()
    assert flood.sent
    assert {name: link.index for name, link in whole.links(lambda links: links.dump()).items()} == before


def test_what_others_take_away_comes_back(whole: Lab) -> None:
    tap = names.tap(uid("vm"))
    subprocess.run(["ip", "netns", "exec", whole.host, "tc", "qdisc", "del", "dev", tap, "clsact"], check=True)
    assert not whole.pings("vm-blue", "10.0.0.3")
    assert whole.full().drift == [f"the classifier of {tap} was changed"]
    assert whole.pings("vm-blue", "10.0.0.3", patience=1.0)
    end = names.sub(uid("vm-green"))
    subprocess.run(["ip", "netns", "exec", whole.host, "ip", "link", "del", end], check=True)
    assert not whole.pings("vm-green", "10.0.0.4")
    assert f"veth {names.tap(uid('vm-green'))} was gone" in whole.full().drift
    assert whole.pings("vm-green", "10.0.0.4", patience=1.0)
    assert whole.full().drift == []


@pytest.mark.needs_programs("dhclient")
def test_a_sub_port_gets_its_own_address_by_dhcp(lab: Lab, tmp_path: Path) -> None:
    """Also where the VLAN device inside has the parent's MAC address: the tag decides who is answered, and with what."""
    lab.backend.close()
    lab.backend = LinuxBackend(lab.config, responder=Responder(lab.config, lab.host))
    trunk(lab)
    for network, cidr in (("red", "10.0.0.0/24"), ("blue", "10.0.0.0/24")):
        subnet = DhcpOptions(uid(f"subnet {cidr}"), 4, cidr, "10.0.0.254", True)
        lab.view.switches[uid(network)] = replace(lab.view.switches[uid(network)], subnets=(subnet,))
    lab.port("vm-blue", "blue", "10.0.0.77/24", parent=uid("vm"), tag=TAGS["blue"])
    lab.up("vm", "red", "blue", "green")
    guest = Guest(lab, "vm")
    guest.add("vm-blue", TAGS["blue"])
    space = lab.workloads["vm-blue"].namespace
    command = ["dhclient", "-4", "-d", "-1", "-sf", "/bin/true", "-lf", tmp_path / "leases", "-pf", tmp_path / "pid"]
    with contextlib.closing(guest.trunks):
        run = subprocess.Popen(
            ["ip", "netns", "exec", space, *command, "eth0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            said = ""
            for line in run.stdout or ():
                said += line
                if "DHCPACK" in line or "No DHCPOFFERS" in line:
                    break
        finally:
            run.kill()
            run.wait()
    assert "DHCPACK of 10.0.0.77 from 169.254.169.254" in said, said
