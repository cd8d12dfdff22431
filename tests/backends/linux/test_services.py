"""Service ports: made for the networks that need one, mended when somebody meddles, gone with their network."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.topo.services_lab import Lab, subnet, uid
from tests.waiting import wait_until
from weft.backends.linux import names, netns
from weft.backends.linux.links import Delete, Links
from weft.backends.linux.responder import Responder
from weft.logical.model import Key

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs("nsenter", "ip", "dig", "bridge", "dhclient")]

V4 = subnet("v4", "10.0.0.0/24", "10.0.0.1")


@pytest.fixture
def lab(prefix: str) -> Iterator[Lab]:
    made = Lab(prefix)
    try:
        made.configure(made.port("vm", made.switch("net", V4), (V4, "10.0.0.5")))
        yield made
    finally:
        made.close()


def namespace(lab: Lab) -> str:
    return names.service_namespace(lab.prefix, uid("net"))


def works(lab: Lab) -> bool:
    by_ipv6 = lab.sh("vm", "dig @fe80::a9fe:a9fe%eth0 +short +tries=1 +time=2 vm.example.org", check=False)
    return lab.dig("vm", "vm.example.org") == by_ipv6.split() == ["10.0.0.5"]


def audit(lab: Lab) -> list[str]:
    report = lab.responder.update(lab.view)
    assert report.failed == {}
    return report.drift


def test_made_and_left_alone(lab: Lab) -> None:
    lab.set()
    wait_until(lambda: works(lab))
    before = lab.links.dump()[names.service(uid("net"))].index
    assert audit(lab) == []
    assert lab.links.dump()[names.service(uid("net"))].index == before
    assert "isolated on" in run(lab, "bridge -d link show dev " + names.service(uid("net")))


def run(lab: Lab, command: str) -> str:
    line = ["nsenter", f"--net=/run/netns/{lab.prefix}", "sh", "-c", command]
    return subprocess.run(line, check=True, capture_output=True, text=True).stdout


def test_only_where_it_is_needed(lab: Lab) -> None:
    quiet = subnet("quiet", "10.5.0.0/24", enable_dhcp=False)
    lab.port("silent", lab.switch("quiet", quiet), (quiet, "10.5.0.5"))
    lab.switch("empty", subnet("empty", "10.6.0.0/24"))
    lab.set()
    found = [name for name in netns.names() if name.startswith(f"{lab.prefix}-net-")]
    assert found == [namespace(lab)]


def test_goes_with_the_last_port(lab: Lab) -> None:
    lab.set()
    port = lab.view.ports.pop(uid("vm"))
    report = lab.responder.update(lab.view, [port.key])
    assert report.failed == {}
    assert not netns.exists(namespace(lab))
    assert names.service(uid("net")) not in lab.links.dump()


@pytest.mark.parametrize("damage", ["link", "namespace", "address", "route", "filter", "detached"])
def test_mended_by_a_full_pass(lab: Lab, damage: str) -> None:
    lab.set()
    wait_until(lambda: works(lab))
    inside = f"nsenter --net=/run/netns/{namespace(lab)} "
    if damage == "link":
        lab.links.apply([Delete(names.service(uid("net")))])
    elif damage == "namespace":
        netns.delete(namespace(lab))
    elif damage == "address":
        run(lab, inside + "ip addr del 169.254.169.254/32 dev svc0")
    elif damage == "route":
        run(lab, inside + "ip route del 10.0.0.0/24 dev svc0")
    elif damage == "filter":
        run(lab, inside + "nft insert rule inet weft input drop")
    else:
        run(lab, f"ip link set {names.service(uid('net'))} nomaster")
    if damage != "namespace":  # whose name alone is gone
        assert not works(lab)
    drift = audit(lab)
    if damage != "filter":
        assert drift
    wait_until(lambda: works(lab))
    assert audit(lab) == []


def test_new_process_keeps_what_is_there_and_prunes_the_rest(lab: Lab) -> None:
    gone = subnet("gone", "10.7.0.0/24")
    switch = lab.switch("gone", gone)
    port = lab.port("old", switch, (gone, "10.7.0.5"))
    lab.set()
    before = lab.links.dump()[names.service(uid("net"))].index
    lab.responder.close()
    del lab.view.ports[port.id], lab.view.switches[switch.id]
    lab.responder = Responder(lab.config, lab.prefix, ())
    assert lab.responder.update(lab.view).drift != []
    assert not netns.exists(names.service_namespace(lab.prefix, switch.id))
    assert names.service(switch.id) not in lab.links.dump()
    assert lab.links.dump()[names.service(uid("net"))].index == before
    wait_until(lambda: works(lab))


def test_missing_bridge_is_reported_and_made_up_for(lab: Lab) -> None:
    bridge = names.bridge(uid("net"))
    kept = lab.links.dump()[bridge]
    lab.links.apply([Delete(bridge)])
    report = lab.responder.update(lab.view)
    assert list(report.failed) == [Key("switch", uid("net"))]
    assert bridge in report.failed[Key("switch", uid("net"))]
    run(lab, f"ip link add {kept.name} type bridge; ip link set {kept.name} up")
    run(lab, f"ip link set {names.tap(uid('vm'))} master {kept.name}")
    assert lab.responder.update(lab.view, []).failed == {}
    wait_until(lambda: works(lab))


def test_subnets_may_change(lab: Lab) -> None:
    lab.set()
    second = subnet("second", "10.8.0.0/24", "10.8.0.1")
    switch = lab.view.switches[uid("net")]
    lab.view.switches[switch.id] = replace(switch, subnets=(second,), mtu=1400)
    assert lab.responder.update(lab.view, [switch.key]).failed == {}
    said = run(lab, f"nsenter --net=/run/netns/{namespace(lab)} ip route")
    assert "10.8.0.0/24 dev svc0" in said
    assert "10.0.0.0/24" not in said
    assert lab.links.dump()[names.service(switch.id)].mtu == 1400


def test_what_could_not_be_made_whole_goes_too(lab: Lab) -> None:
    lab.set()
    lab.links.apply([Delete(names.bridge(uid("net")))])
    assert list(lab.responder.update(lab.view).failed) == [Key("switch", uid("net"))]
    assert netns.exists(namespace(lab))
    port = lab.view.ports.pop(uid("vm"))
    assert lab.responder.update(lab.view, [port.key]).failed == {}
    assert not netns.exists(namespace(lab))
    assert names.service(uid("net")) not in lab.links.dump()


def test_links_that_are_too_small_for_ipv6(lab: Lab) -> None:
    """What is served there is served by IPv4; by IPv6 as soon as it fits."""
    lab.set()
    switch = lab.view.switches[uid("net")]
    for mtu, addresses in ((1279, 1), (1280, 2), (68, 1), (1500, 2)):
        lab.view.switches[switch.id] = replace(switch, mtu=mtu)
        assert lab.responder.update(lab.view, [switch.key]).failed == {}
        said = run(lab, f"nsenter --net=/run/netns/{namespace(lab)} ip -br address show dev svc0")
        assert len(said.split()[2:]) == addresses, said
        assert audit(lab) == []
    wait_until(lambda: works(lab))


def test_another_host_namespace_of_the_same_name(lab: Lab) -> None:
    """Everything is made again there, and DHCP hears its taps."""
    lab.set()
    lab.links.apply([Delete(names.tap(uid("vm")))])
    lab.links.close()
    netns.delete(lab.prefix)
    netns.create(lab.prefix, netns.HOST_SYSCTLS)
    lab.links = Links(lab.prefix)
    switch = lab.view.switches.pop(uid("net"))
    lab.switch(switch.name, *switch.subnets)
    lab.plug(lab.view.ports[uid("vm")])
    lab.set()
    assert lab.dhclient("vm", "-4")["new_ip_address"] == "10.0.0.5"
    wait_until(lambda: works(lab))
