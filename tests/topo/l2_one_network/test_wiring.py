"""Ports of one network: when they are up and why not, what passes with which switch turned, MTU, many at once."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.topo import frames
from tests.topo.lab import Lab, ingress, mac, uid
from weft.backends.linux import names, netns
from weft.backends.linux.links import Create, Link
from weft.logical.model import Gateway, Key, LogicalRouter, RouterPort, Segment

pytestmark = [pytest.mark.needs_root, pytest.mark.dataplanes("linux", "ovn")]

ROOT = Path(__file__).parents[3]


def two(lab: Lab, mtu: int = 1500) -> Lab:
    lab.network("n", mtu=mtu)
    lab.group("in", ingress(), ingress(ethertype="IPv6"))
    for number, name in enumerate("ab", 1):
        lab.port(name, "n", f"10.0.0.{number}/24", f"fd00::{number}/64", groups=("out", "in"))
    return lab


def test_a_port_waits_for_its_device(lab: Lab) -> None:
    two(lab)
    report = lab.full()
    a = Key("port", uid("a"))
    assert not report.status[a].up
    assert report.status[a].reason == lab.waits("a")
    lab.plug("a")
    assert lab.set(a).status == {a: report.status[a].__class__(True)}


@pytest.mark.dataplanes("linux", because="a workload's device is the hypervisor's")
def test_a_device_becomes_part_of_its_bridge(lab: Lab) -> None:
    two(lab).up()
    link = lab.links(lambda links: links.dump()[names.tap(uid("a"))])
    assert (link.master, link.up, link.mtu) == (names.bridge(uid("n")), True, 1500)


def test_a_device_before_its_rules_passes_nothing(lab: Lab) -> None:
    """Whoever attaches a tap to the bridge before its port is known to us opens no hole."""
    two(lab).up()
    assert lab.pings("a", "10.0.0.2")
    lab.port("x", "n", "10.0.0.9/24", port_security=False)
    lab.plug("x")
    lab.attach("x")
    frame = frames.ethernet(mac("x"), frames.BROADCAST, frames.ARP, frames.arp(1, mac("x"), "10.0.0.9", "10.0.0.77"))
    assert not lab.passes("x", "a", frame)
    assert not lab.passes(
        "a",
        "x",
        frames.ethernet(mac("a"), frames.BROADCAST, frames.ARP, frames.arp(1, mac("a"), "10.0.0.1", "10.0.0.9")),
    )
    lab.set(Key("port", uid("x")))
    assert lab.passes("x", "a", frame)


def test_a_disabled_port_passes_nothing(lab: Lab) -> None:
    two(lab).up()
    report = lab.set(lab.change("a", enabled=False))
    assert lab.reason("a", report) == "the port is administratively down"
    assert lab.reach() == set()
    arp = frames.ethernet(mac("a"), frames.BROADCAST, frames.ARP, frames.arp(1, mac("a"), "10.0.0.1", "10.0.0.2"))
    assert not lab.passes("a", "b", arp)
    assert lab.set(lab.change("a", enabled=True)).status[Key("port", uid("a"))].up
    assert lab.pings("a", "10.0.0.2", patience=3)  # once ARP tries again
    assert lab.reach() == {"a b", "b a"}
    lab.set(lab.change("a", enabled=False, port_security=False))
    assert lab.reach() == set()


def test_a_disabled_network_passes_nothing(lab: Lab) -> None:
    two(lab).up()
    report = lab.set(lab.network("n", enabled=False))
    assert lab.reason("a", report) == "its network is administratively down"
    assert lab.reach() == set()
    lab.set(lab.network("n"))
    assert lab.pings("a", "10.0.0.2", patience=2)


def test_a_broadcast_reaches_everybody(lab: Lab) -> None:
    """One frame, many copies, each judged for the port where it leaves."""
    two(lab)
    lab.port("c", "n", "10.0.0.3/24")
    lab.port("d", "n", "10.0.0.4/24", groups=("in",))
    lab.up()
    with contextlib.ExitStack() as stack:
        ears = {name: stack.enter_context(lab.socket(name, 2, 2)) for name in "bcd"}
        for ear in ears.values():
            ear.bind(("", 9))
        mouth = stack.enter_context(lab.socket("a", 2, 2))
        mouth.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for number in range(3):
            mouth.sendto(bytes([number]), ("10.0.0.255", 9))
        for name in "bd":
            assert [ears[name].recv(9) for _ in range(3)] == [b"\0", b"\1", b"\2"]
        with pytest.raises(TimeoutError):
            ears["c"].recv(9)


def test_in_the_namespace_of_the_process_itself(prefix: str) -> None:
    """`namespace` empty, as on a compute host: here in a process that has a namespace of its own."""
    script = f"""
from tests.topo.l2_one_network import test_wiring
from tests.topo.lab import Lab
lab = Lab({prefix + "o"!r}, namespace="")
try:
    test_wiring.two(lab).up()
    assert lab.reach() == {{"a b", "b a"}}
    assert lab.full().drift == []
finally:
    lab.close()
"""
    run = subprocess.run(["unshare", "-n", sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("mtu", [1400, 1450, 1500, 8950])
def test_mtu(lab: Lab, mtu: int) -> None:
    """Packets of exactly that size pass unfragmented, larger ones in fragments, through the filter."""
    two(lab, mtu).up()
    with lab.socket("b", 2, 2) as server, lab.socket("a", 2, 2) as client:
        server.bind(("10.0.0.2", 9))
        for size in (mtu - 28, mtu + 500):
            client.sendto(bytes(size), ("10.0.0.2", 9))
            assert len(server.recv(65535)) == size
    with lab.socket("b", 10, 2) as server, lab.socket("a", 10, 2) as client:
        server.bind(("fd00::2", 9))
        for size in (mtu - 48, mtu + 500):
            client.sendto(bytes(size), ("fd00::2", 9))
            assert len(server.recv(65535)) == size


@pytest.mark.dataplanes("linux", because="a workload's device is the hypervisor's")
def test_mtu_changes(lab: Lab) -> None:
    two(lab).up()
    lab.set(lab.network("n", mtu=1442))
    found = lab.links(lambda links: links.dump())
    assert {found[name].mtu for name in (names.bridge(uid("n")), names.tap(uid("a")))} == {1442}


@pytest.mark.dataplanes("linux", because="a router's legs are no devices")
def test_router_legs_are_trusted(lab: Lab) -> None:
    """They carry addresses that are not theirs, and hear everything."""
    two(lab)
    leg = RouterPort(uid("leg"), uid("n"), mac("leg"), 1500, ())
    gateway = Gateway(uid("gw"), uid("n"), mac("gw"), 1500, ())
    router = LogicalRouter(uid("r"), ports=(leg,), gateway=gateway)
    lab.view.routers[router.id] = router
    lab.up()
    bridge = names.bridge(uid("n"))
    netns.create(f"{lab.name}-r")
    lab._namespaces.append(f"{lab.name}-r")
    ends = [
        Link(names.tap(uid(id)), kind="veth", peer=(f"{lab.name}-r", id), up=True, master=bridge)
        for id in ("leg", "gw")
    ]
    assert lab.links(lambda links: links.apply([Create(end) for end in ends])) == {}
    subprocess.run(["ip", "-n", f"{lab.name}-r", "link", "set", "leg", "name", "eth0", "up"], check=True)
    subprocess.run(["ip", "-n", f"{lab.name}-r", "link", "set", "gw", "up"], check=True)
    lab.links(lambda links: links.get(end.name for end in ends))
    lab.workloads["r"] = replace(lab.workloads["a"], name="r", namespace=f"{lab.name}-r")
    anything = frames.ethernet(mac("leg"), mac("a"), frames.IPV4, frames.udp("192.0.2.1", "10.0.0.1", 5, 7))
    assert lab.passes("r", "a", anything)
    back = frames.ethernet(mac("a"), mac("leg"), frames.IPV4, frames.udp("10.0.0.1", "192.0.2.1", 7, 5))
    assert lab.passes("a", "r", back)
    lab.view.routers[router.id] = replace(router, ports=(replace(leg, enabled=False),))
    lab.set(Key("router", router.id))
    assert not lab.passes("r", "a", anything)
    del lab.workloads["r"]


@pytest.mark.dataplanes("linux", because="counts transactions of nftables; OVN's are counted in tests/backends/ovn")
def test_a_hundred_ports_at_once(lab: Lab) -> None:
    """One set wires them all, with one exchange of rules: no statement per port."""
    two(lab).up()
    keys = [lab.port(f"p{number}", "n", f"10.0.1.{number}/16", groups=("out", "in")) for number in range(100)]
    namespace = f"{lab.name}-many"
    netns.create(namespace)
    lab._namespaces.append(namespace)
    taps = [Link(names.tap(key.id), kind="veth", peer=(namespace, f"e{number}")) for number, key in enumerate(keys)]
    assert lab.links(lambda links: links.apply([Create(tap) for tap in taps])) == {}
    before = lab.backend._host.open.tables.generation  # type: ignore[union-attr]
    report = lab.set(*keys)
    assert all(report.status[key].up for key in keys)
    assert lab.backend._host.open.tables.generation == before + 1  # type: ignore[union-attr, operator]


def test_what_carried_a_network_goes_with_it(prefix: str) -> None:
    """At once; the wire of a physical network stays, and what another network uses by now does too."""
    with contextlib.closing(Lab(prefix, tunnel_address="192.0.2.1", bridge_mappings={"physnet1": "up0"})) as lab:
        lab.network("kept", segment=Segment("vxlan", None, 9))
        lab.port("a", "kept", "10.0.0.1/24")
        netns.create(lab.host, netns.HOST_SYSCTLS)
        subprocess.run(["ip", "-n", lab.host, "link", "add", "up0", "type", "veth", "peer", "up0x"], check=True)
        lab.plug("a")
        lab.full()
        before = lab.links(lambda links: links.dump()).keys()
        wire, tunnel = Segment("flat", "physnet1"), Segment("vxlan", None, 8)
        lab.set(lab.network("wired", segment=wire), lab.network("gone", segment=tunnel))
        gone = [Key("switch", uid(name)) for name in ("wired", "gone")]
        for key in gone:
            del lab.view.switches[key.id]
        after = lab.network("after", segment=tunnel)
        lab.set(*gone, after)
        now = lab.links(lambda links: links.dump())
        assert now.keys() - before == {names.bridge(after.id), names.vxlan(8)}
        assert now[names.vxlan(8)].master == names.bridge(after.id)
        assert before <= now.keys()
        del lab.view.switches[after.id]
        assert lab.set(after, *gone).drift == []
        assert lab.links(lambda links: links.dump()).keys() == before


@pytest.mark.dataplanes("linux", because="that a host has no such network is a port's reason, not a failure")
def test_a_network_of_which_a_part_cannot_be_made(lab: Lab) -> None:
    """No uplink for its physical network, no VLAN devices in this kernel: reported with the reason, the rest is made."""
    two(lab)
    lab.network("flat", segment=Segment("flat", "nowhere"))
    lab.port("f", "flat", "10.0.5.1/24")
    netns.create(lab.host, netns.HOST_SYSCTLS)
    lab.plug("a", "b", "f")
    report = lab.backend.set(lab.view, None)
    assert report.failed[Key("switch", uid("flat"))] == "no bridge mapping for physical network nowhere on this host"
    assert "no bridge mapping" in lab.reason("f", report)
    assert report.status[Key("port", uid("a"))].up
    assert lab.reach() >= {"a b", "b a"}


def test_uplinks(prefix: str) -> None:
    with contextlib.closing(Lab(prefix, bridge_mappings={"physnet1": "up0", "gone": "up1"})) as lab:
        netns.create(lab.host, netns.HOST_SYSCTLS)
        subprocess.run(["ip", "-n", lab.host, "link", "add", "up0", "type", "veth", "peer", "up0x"], check=True)
        lab.network("flat", segment=Segment("flat", "physnet1"))
        lab.network("tagged", segment=Segment("vlan", "physnet1", 5))
        lab.network("gone", segment=Segment("flat", "gone"))
        lab.network("external", segment=Segment("flat", "external"))
        report = lab.backend.set(lab.view, None)
        found = lab.links(lambda links: links.dump())
        assert (found["up0"].master, found["up0"].up) == (names.bridge(uid("flat")), True)
        assert found["up0"].isolated
        assert report.failed.pop(Key("switch", uid("gone"))) == f"interface up1 is not in namespace {lab.host}"
        if "up0.5" in found:
            assert (found["up0.5"].master, found["up0.5"].vlan) == (names.bridge(uid("tagged")), 5)
        else:
            assert report.failed.pop(Key("switch", uid("tagged"))) == "this kernel has no VLAN devices (module 8021q)"
        assert report.failed == {}


def test_vxlan_only_with_a_tunnel_address(prefix: str) -> None:
    for address, expected in (("", None), ("192.0.2.7", (7, "192.0.2.7", names.bridge(uid("n"))))):
        with contextlib.closing(Lab(prefix, tunnel_address=address)) as lab:
            lab.network("n")
            lab.full()
            vxlan = lab.links(lambda links: links.dump()).get("vx7")
            assert (vxlan and (vxlan.vni, vxlan.local, vxlan.master)) == expected
            assert vxlan is None or vxlan.isolated
            assert lab.full().drift == []
