"""A router with two external networks, each a physical network of its own, and where their gateways live."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.ovn_lab import PROGRAMS, UNDERLAY_MTU, Ovn, run
from tests.topo.ovn_gateways.conftest import Make
from tests.topo.ovn_lab import OvnRouterLab
from tests.topo.router_lab import TCP, UDP, floating, forwarding, gateway, leg, router, uid
from tests.waiting import wait_until
from weft.backends.interface import Status
from weft.backends.linux.links import Create, Link, Modify
from weft.logical.model import Gateway, Key, Nat, Segment

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs(*PROGRAMS, "ping", "ip")]

RED = gateway("r", "ext-red", "203.0.113.10/24", nexthops=("203.0.113.1",))
BLUE = gateway("r", "ext-blue", "198.18.200.10/24", nexthops=("198.18.200.1",))
ONLY_RED, ONLY_BLUE = "physnet1:br-ex", "physnet2:br-ey"
BOTH = f"{ONLY_RED},{ONLY_BLUE}"
OF_RED = {11: "203.0.113.111", 12: "203.0.113.112"}
OF_BLUE = {13: "198.18.200.113", 14: "198.18.200.114"}


def second_wire(cloud: Ovn) -> None:
    """One more physical network, between all hosts."""
    assert cloud.links.apply([Create(Link("provider2", "bridge", UNDERLAY_MTU, True))]) == {}
    for one in cloud.chassis.values():
        wire = Link(f"{one.host}-py0", "veth", UNDERLAY_MTU, True, master="provider2", peer=(one.namespace, "py0"))
        assert cloud.links.apply([Create(wire)]) == {}
        assert one.links is not None
        assert one.links.apply([Modify(Link("py0", up=True))]) == {}
        line = ["add-br", "br-ey", "--", "set", "bridge", "br-ey", "datapath_type=netdev", "fail_mode=standalone"]
        one.vsctl(*line, "--", "add-port", "br-ey", "py0")
        one.identify(ovn_bridge_mappings=BOTH)


def build(lab: OvnRouterLab, mappings: Mapping[str, str] | None = None) -> dict[str, str]:
    """Workloads on all hosts, and a machine in each external network. `mappings`: of hosts that do not have both networks."""
    second_wire(lab.cloud)
    for host, mapping in (mappings or {}).items():
        lab.cloud.chassis[host].identify(ovn_bridge_mappings=mapping)
    for name in ("a", "ext-red", "ext-blue"):
        lab.network(name)
    blue = lab.view.switches[uid("ext-blue")]
    lab.view.switches[blue.id] = replace(blue, segments=(Segment("flat", "physnet2", id="second"),))
    hosts = {f"a{n}": lab.host(f"a{n}", "a", f"10.0.0.{n}/24", via="10.0.0.1") for n in (11, 12, 13, 14)}
    hosts["red"] = lab.host("red", "ext-red", "203.0.113.1/24")
    hosts["blue"] = lab.host("blue", "ext-blue", "198.18.200.1/24")
    wire = f"x-{lab.prefix}-blue"[:15]
    run("ip", "-n", lab.cloud.underlay, "link", "set", "dev", wire, "master", "provider2")
    wanted = {host: (mappings or {}).get(host, BOTH) for host in lab.cloud.chassis}
    wait_until(lambda: mapped(lab) == wanted, what=str(wanted))
    return hosts


def mapped(lab: OvnRouterLab) -> dict[str, str]:
    """The physical networks of each host, as the backend knows them."""
    found = {one.host: one.bridge_mappings for one in lab.plane.backend.chassis()}
    return {host: ",".join(f"{name}:{bridge}" for name, bridge in sorted(of.items())) for host, of in found.items()}


def apart(lab: OvnRouterLab) -> bool:
    """Whether the gateways live on different hosts."""
    rows = lab.cloud.sb.rows("Port_Binding", "logical_port", "chassis")
    homes = [row["chassis"] for row in rows if row["logical_port"] in (f"cr-lrp-{RED.id}", f"cr-lrp-{BLUE.id}")]
    return [] not in homes and len(set(homes)) == 2


def by(number: int, ip: str, gateway_id: str) -> Nat:
    return replace(floating(ip, f"10.0.0.{number}"), gateway_port=gateway_id)


def test_floating_ips_of_either_network(make: Make) -> None:
    """Each is translated by the gateway of its network, and who has none there leaves with that gateway's address. The
    gateways are on different hosts."""
    lab = make()
    hosts = build(lab)
    nats = [*(by(n, ip, RED.id) for n, ip in OF_RED.items()), *(by(n, ip, BLUE.id) for n, ip in OF_BLUE.items())]
    lab.set(replace(router("r", leg("r", "a", "10.0.0.1/24"), gateway=RED, nats=nats), extra_gateways=(BLUE,)))
    wait_until(lambda: apart(lab))  # once the hosts have heard each other
    lab.cloud.sync()
    for outside, ips, stranger, own, source in (
        ("red", OF_RED, 13, "203.0.113.10", "203.0.113.1"),
        ("blue", OF_BLUE, 11, "198.18.200.10", "198.18.200.1"),
    ):
        assert lab.reaches(hosts[outside], own)
        for n, ip in ips.items():
            assert lab.reaches(hosts[outside], ip)
            for kind in (TCP, UDP):
                assert lab.talk(hosts[f"a{n}"], f"10.0.0.{n}", 22, hosts[outside], ip, kind=kind) == source
        assert lab.talk(hosts[outside], source, 5000, hosts[f"a{stranger}"], source) == own


def test_ports_are_forwarded_by_either_network(make: Make) -> None:
    """Both gateways live on one host then, since OVN forwards at one of them only, and does not say at which."""
    lab = make()
    hosts = build(lab)
    one = replace(router("r", leg("r", "a", "10.0.0.1/24"), gateway=RED), extra_gateways=(BLUE,))
    lab.set(one)
    wait_until(lambda: apart(lab))
    forwarded = tuple(
        replace(forwarding(protocol, ip, (2200 + n, 2200 + n), f"10.0.0.{n}", (22, 22)), gateway_port=by.id)
        for n in (11, 12, 13)
        for protocol in ("tcp", "udp")
        for ip, by in (("203.0.113.120", RED), ("198.18.200.120", BLUE))
    )
    lab.set(replace(one, forwardings=forwarded))
    wait_until(lambda: not apart(lab))
    lab.cloud.sync()
    for outside, own, ip, source in (
        ("red", "203.0.113.10", "203.0.113.120", "203.0.113.1"),
        ("blue", "198.18.200.10", "198.18.200.120", "198.18.200.1"),
    ):
        wait_until(lambda outside=outside, own=own: lab.reaches(hosts[outside], own))
        for n in (11, 12, 13):
            for kind in (TCP, UDP):
                seen = lab.talk(hosts[f"a{n}"], f"10.0.0.{n}", 22, hosts[outside], ip, 2200 + n, kind)
                assert seen == source
        assert lab.talk(hosts["a11"], "10.0.0.11", 22, hosts["a12"], ip, 2211) == "10.0.0.12", "from inside as well"
    lab.set(one)
    wait_until(lambda: lab.reaches(hosts["red"], "203.0.113.10"))


@pytest.mark.parametrize("first", [RED, BLUE])
def test_ports_that_cannot_be_forwarded_are_told(make: Make, first: Gateway) -> None:
    """No host has both networks, so the gateways live apart: by one ports are forwarded, the other one is named, and what it
    cannot is just that. When a host has both, all is forwarded."""
    lab = make(2)
    hosts = build(lab, {"h1": ONLY_RED, "h2": ONLY_BLUE})
    ways = {RED.id: ("red", "203.0.113.120"), BLUE.id: ("blue", "198.18.200.120")}
    own = {RED.id: "203.0.113.10", BLUE.id: "198.18.200.10"}
    gates = (first, BLUE if first is RED else RED)
    forwarded = tuple(
        replace(forwarding("tcp", ip, (2200 + n, 2200 + n), f"10.0.0.{n}", (22, 22)), gateway_port=id)
        for n in (11, 12)
        for id, (_, ip) in ways.items()
    )
    one = replace(
        router("r", leg("r", "a", "10.0.0.1/24"), gateway=gates[0], forwardings=forwarded), extra_gateways=gates[1:]
    )
    status = lab.set(one).status[one.key]
    (silent,) = status.unforwarded
    (works,) = ways.keys() - {silent}
    network = next(gate.switch for gate in gates if gate.id == works)
    assert status.up
    assert status.unforwarded[silent] == (
        f"OVN forwards a router's ports on one host, here that of the gateway in network {network}; "
        "no chassis has physical networks physnet1 and physnet2"
    )
    assert heard(lab, hosts, *ways[works]) == [True, True]
    assert heard(lab, hosts, *ways[silent]) == [False, False]
    assert lab.reaches(hosts[ways[silent][0]], own[silent]), "it does all the rest"
    reported: set[Key] = set()
    lab.plane.backend.watch(reported.update)
    lab.cloud.chassis["h2"].identify(ovn_bridge_mappings=BOTH)
    wait_until(lambda: one.key in reported, what="the backend tells that the router has to be looked at")
    lab.set(one)
    wait_until(lambda: lab.plane.backend.set(lab.view, [one.key]).status[one.key] == Status(True))
    lab.cloud.sync()
    for id, (outside, ip) in ways.items():
        wait_until(lambda id=id, outside=outside: lab.reaches(hosts[outside], own[id]))
        assert heard(lab, hosts, outside, ip) == [True, True]


def heard(lab: OvnRouterLab, hosts: Mapping[str, str], outside: str, ip: str) -> list[bool]:
    """Whether each of two workloads hears what is sent to its port of that address."""

    def one(n: int) -> bool:
        try:
            return bool(lab.talk(hosts[f"a{n}"], f"10.0.0.{n}", 22, hosts[outside], ip, 2200 + n))
        except OSError:
            return False

    return [one(n) for n in (11, 12)]
