"""Where OVN translates and forwards: counted on the hosts' wires; and what happens when such a host dies, comes or goes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.ovn_lab import PROGRAMS
from tests.topo.ovn_gateways.conftest import Make
from tests.topo.ovn_lab import OvnRouterLab
from tests.topo.router_lab import floating, gateway, leg, mac, router, uid
from tests.waiting import wait_until
from weft.logical.model import LogicalRouter, Nat

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs(*PROGRAMS, "ping", "tcpdump", "ip")]

INSIDE, OUTSIDE, FLOATING = "10.0.0.11", "203.0.113.1", "203.0.113.111"
GATE = gateway("r", "ext", "203.0.113.10/24", nexthops=(OUTSIDE,))


def build(lab: OvnRouterLab, *nats: Nat) -> tuple[str, str, LogicalRouter]:
    """A workload, a machine outside, and the router between them."""
    for name in ("a", "ext"):
        lab.network(name)
    inside = lab.host("vm", "a", f"{INSIDE}/24", via="10.0.0.1")
    outside = lab.host("out", "ext", f"{OUTSIDE}/24")
    made = router("r", leg("r", "a", "10.0.0.1/24"), gateway=GATE, nats=nats)
    lab.set(made)
    return inside, outside, made


def own(lab: OvnRouterLab) -> Nat:
    """The workload's floating IP, with the MAC that it is announced by where it is translated on the workload's host."""
    return replace(floating(FLOATING, INSIDE), logical_port=uid("vm@a"), mac=mac("floating"))


def hosts_passed(lab: OvnRouterLab, source: str, to: str) -> set[str]:
    """By which hosts' wires to the provider ten pings go; all must be answered."""
    expression = f"icmp and host {to}"
    heard = {host: lab.sniff(one.namespace, "px0", expression, 20) for host, one in sorted(lab.cloud.chassis.items())}
    assert lab.ping(source, to, 10).lost == 0
    return {host for host, one in heard.items() if len(one.lines(wait=0.5)) >= 10}


def test_a_floating_ip_is_translated_where_the_gateway_lives(make: Make) -> None:
    lab = make()
    _, outside, _ = build(lab, replace(floating(FLOATING, INSIDE), logical_port=uid("vm@a")))
    assert hosts_passed(lab, outside, FLOATING) == {lab.lives(GATE.id)}


def test_a_distributed_one_on_its_workloads_host(make: Make) -> None:
    lab = make(enable_distributed_floating_ip=True)
    _, outside, made = build(lab, own(lab))
    mine = lab.view.ports[uid("vm@a")].host
    assert hosts_passed(lab, outside, FLOATING) == {mine}
    assert lab.who_has(outside, FLOATING) == mac("floating")
    lab.set(replace(made, nats=()))
    assert lab.ping(outside, FLOATING, 1).received == 0


def test_who_has_none_leaves_by_the_gateway_in_either_case(make: Make) -> None:
    lab = make(enable_distributed_floating_ip=True)
    inside, _, _ = build(lab)
    assert hosts_passed(lab, inside, OUTSIDE) == {lab.lives(GATE.id)}


def elsewhere(lab: OvnRouterLab, made: LogicalRouter) -> str:
    """A workload on another host than the one where the gateway lives."""
    first = lab.lives(GATE.id)
    for number in range(12, 15):
        workload = lab.host(f"vm{number}", "a", f"10.0.0.{number}/24", via="10.0.0.1")
        if lab.view.ports[uid(f"vm{number}@a")].host != first:
            lab.set(made)
            assert lab.reaches(workload, OUTSIDE)
            return workload
    raise AssertionError("there is one host alone")


def test_the_gateways_host_is_killed(make: Make) -> None:
    """Another takes over by BFD between the hosts; nobody of ours has a part in it."""
    lab = make(ha_failover_strategy="aggressive")
    _, _, made = build(lab)
    first = lab.lives(GATE.id)
    workload = elsewhere(lab, made)
    flood = lab.flood(workload, OUTSIDE, 0.02)
    victim = lab.cloud.chassis[first]
    victim.programs.kill("ovn-controller")
    victim.programs.kill("ovs-vswitchd")
    wait_until(lambda: lab.ping(workload, OUTSIDE, 1).received, 20, "somebody takes over")
    pings = flood.stop()
    print(f"{pings.lost} of {pings.sent} pings, 20 ms apart, lost")
    del lab.cloud.chassis[first]
    try:
        (second,) = hosts_passed(lab, workload, OUTSIDE)
        assert second != first
    finally:
        lab.cloud.chassis[first] = victim


def priorities(lab: OvnRouterLab) -> list[str]:
    """The chassis of the gateway, first the one that it is to live on."""
    rows = lab.cloud.nb.rows("HA_Chassis", "chassis_name", "priority")
    return [row["chassis_name"] for row in sorted(rows, key=lambda row: -row["priority"])]


def test_a_host_comes_and_nothing_moves(make: Make) -> None:
    lab = make(2)
    inside, _, made = build(lab)
    before = priorities(lab)
    flood = lab.flood(inside, OUTSIDE, 0.02)
    lab.cloud.join(3)
    wait_until(lambda: len(lab.plane.backend.chassis()) == 3)
    lab.set(made)
    assert priorities(lab) == [*before, "chassis-h3"]
    assert flood.stop().lost <= lab.underway


def test_the_gateways_host_leaves(make: Make) -> None:
    """It is told to stop for good: who stood by is the gateway, and the group no longer names it."""
    lab = make(3)
    _, _, made = build(lab)
    before = priorities(lab)
    first = lab.lives(GATE.id)
    workload = elsewhere(lab, made)
    for port in [port for port, host in lab.plane.plugged.items() if host == first]:
        lab.plane.unplug(port)
    lab.cloud.leave(first)
    wait_until(lambda: len(lab.plane.backend.chassis()) == 2)
    lab.set(made)
    assert priorities(lab) == before[1:]
    assert lab.lives(GATE.id) == before[1].removeprefix("chassis-")
    wait_until(lambda: lab.reaches(workload, OUTSIDE), 20)


def test_nobody_can_have_the_gateway(make: Make) -> None:
    lab = make(1)
    lab.network("a")
    lab.network("ext")
    ext = lab.view.switches[uid("ext")]
    lab.view.switches[ext.id] = replace(ext, segments=(replace(ext.segments[0], physical_network="physnet9"),))
    made = router("r", leg("r", "a", "10.0.0.1/24"), gateway=GATE)
    lab.view.routers[made.id] = made
    report = lab.plane.set(None)
    assert report.failed == {}
    assert report.status[made.key].reason == "no chassis has physical network physnet9"


def test_a_gateway_lives_in_the_zones_that_were_asked_for(make: Make) -> None:
    """First on the hosts that are meant for gateways there; more of them stand by, those of other zones never."""
    lab = make(3)
    for host, zone in (("h1", "az1"), ("h2", "az2"), ("h3", "az2")):
        lab.cloud.chassis[host].identify(ovn_cms_options=f"enable-chassis-as-gw,availability-zones={zone}")
    wait_until(lambda: {zone for one in lab.plane.backend.chassis() for zone in one.zones} == {"az1", "az2"})
    for name in ("a", "ext"):
        lab.network(name)
    workload = lab.host("vm", "a", f"{INSIDE}/24", via="10.0.0.1")
    lab.host("out", "ext", f"{OUTSIDE}/24")
    made = replace(router("r", leg("r", "a", "10.0.0.1/24"), gateway=GATE), zone_hints=("az2",))
    lab.set(made)
    before = priorities(lab)
    assert set(before) == {"chassis-h2", "chassis-h3"}
    assert hosts_passed(lab, workload, OUTSIDE) == {before[0].removeprefix("chassis-")}
    lab.cloud.chassis["h1"].identify(ovn_cms_options="enable-chassis-as-gw,availability-zones=az1:az2")
    wait_until(lambda: any(one.zones == ("az1", "az2") for one in lab.plane.backend.chassis()))
    lab.set(made)
    assert priorities(lab) == [*before, "chassis-h1"], "who comes stands by"
    lab.cloud.chassis["h1"].identify(ovn_cms_options="enable-chassis-as-gw,availability-zones=az1")
    wait_until(lambda: any(one.zones == ("az1",) for one in lab.plane.backend.chassis()))
    lab.set(made)
    assert priorities(lab) == before
    lab.set(replace(made, zone_hints=("az1",)))
    assert priorities(lab) == ["chassis-h1"]
    assert hosts_passed(lab, workload, OUTSIDE) == {"h1"}
