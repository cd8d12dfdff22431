"""Hosts of OVN and of Linux in one cloud: packets between them, who filters, who routes, who tells."""

from __future__ import annotations

import subprocess

import pytest

from tests.ovn_lab import PROGRAMS
from tests.topo.flood import Flood
from tests.topo.mixed_cloud.conftest import FLAT, OLD, Mixed
from tests.waiting import wait_until
from weft.backends.linux import names

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs(*PROGRAMS, "ip")]


@pytest.fixture
def flat(mixed: Mixed) -> str:
    """The provider's network, which everybody may use."""
    network: str = mixed.api.admin.make("networks", name="flat", shared=True, **{"router:external": True}, **FLAT)["id"]
    for version, cidr in ((4, "198.18.250.0/24"), (6, "fd00:250::/64")):
        mixed.api.admin.make("subnets", network_id=network, cidr=cidr, ip_version=version, enable_dhcp=False)
    return network


def everybody(*who: str) -> set[str]:
    return {f"{one} {other}" for one in who for other in who if one != other}


def goes_on(flood: Flood) -> None:
    before = len(flood.answered)
    wait_until(lambda: len(flood.answered) > before + 20, what="pings are answered")


@pytest.mark.one_database
def test_groups_hold_on_both_sides(mixed: Mixed, flat: str) -> None:
    """Members of a group reach each other wherever they are; strangers reach nobody, and everybody when they join."""
    for name, host in (("a", "h1"), ("b", "h2"), ("c", OLD), ("d", OLD)):
        mixed.workload(name, flat, host)
    group = mixed.api.make("security-groups", name="other")["id"]
    strangers = [mixed.workload(name, flat, host, security_groups=[group]) for name, host in (("x", "h1"), ("y", OLD))]
    mixed.all_up()
    wait_until(lambda: mixed.reach() == everybody(*"abcd"), 20, f"members alone, not {mixed.reach()}")
    for source, target in (("a", "c"), ("c", "b")):
        v4, v6 = mixed.workloads[target].ips
        assert mixed.pings(source, v4)
        assert mixed.pings(source, v6)
    default = mixed.api.show("ports", mixed.workloads["a"].port)["security_groups"]
    for one in strangers:
        status, body = mixed.api.put(f"ports/{one['id']}", {"port": {"security_groups": default}})
        assert status == 200, body
    wait_until(lambda: mixed.reach() == everybody(*"abcdxy"), 20, f"all, not {mixed.reach()}")


def test_each_host_tells_of_its_own(mixed: Mixed, flat: str) -> None:
    """A device goes, and comes again: who has it says so, in its own words, and nobody else has another opinion."""
    for name, host in (("a", "h1"), ("c", OLD)):
        mixed.workload(name, flat, host)
    mixed.all_up()
    mixed.detach("a")
    mixed.detach("c")
    device = names.tap(mixed.workloads["c"].port)
    reasons = {"a": "waiting for the host h1 to plug it", "c": f"no device {device} in namespace {mixed.host} yet"}
    for name, reason in reasons.items():
        wait_until(lambda name=name, reason=reason: mixed.told(name) == ("DOWN", reason), 20, str(mixed.told(name)))
    mixed.attach("a")
    mixed.attach("c")
    mixed.all_up()
    assert mixed.pings("a", mixed.workloads["c"].ip, 2)


def test_all_of_weft_dies_during_pings(mixed: Mixed, flat: str) -> None:
    """By kill -9, and others take over: not one ping between the kinds is lost."""
    for name, host in (("a", "h1"), ("c", OLD)):
        mixed.workload(name, flat, host)
    mixed.all_up()
    wait_until(lambda: mixed.pings("a", mixed.workloads["c"].ip))
    with mixed.flood("a", mixed.workloads["c"].ip, 100) as flood:
        goes_on(flood)
        mixed.kill("keeper")
        mixed.kill("agent")
        goes_on(flood)
        mixed.start_agent()
        mixed.start_keeper()
        later = mixed.workload("b", flat, "h2")  # they work again
        wait_until(lambda: mixed.told("b")[0] == "ACTIVE", 60)
        goes_on(flood)
    assert later["binding:vif_type"] == "ovs"
    assert flood.lost == set()


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("routed_by", "kind", "inside", "outside"),
    [("the Linux host", "vxlan", OLD, "h1"), ("OVN", "geneve", "h1", OLD)],
)
def test_a_router_of_either_kind(mixed: Mixed, flat: str, routed_by: str, kind: str, inside: str, outside: str) -> None:
    """Its floating IP is reached from hosts of the other kind, and its workload goes there as the floating IP."""
    if routed_by == "OVN":
        (agent,) = mixed.api.admin.list("agents", "agent_type=L3%20agent")
        assert mixed.api.admin.put(f"agents/{agent['id']}", {"agent": {"admin_state_up": False}})[0] == 200
    network = mixed.api.admin.make("networks", project_id=mixed.api.project, **{"provider:network_type": kind})["id"]
    subnet = mixed.api.make("subnets", network_id=network, cidr="10.0.0.0/24", ip_version=4, enable_dhcp=False)["id"]
    router = mixed.api.make("routers", external_gateway_info={"network_id": flat})["id"]
    assert mixed.api.put(f"routers/{router}/add_router_interface", {"subnet_id": subnet})[0] == 200
    group = mixed.api.make("security-groups", name="web")["id"]
    rule = {"security_group_id": group, "direction": "ingress", "protocol": "icmp"}
    mixed.api.make("security-group-rules", **rule)
    mixed.workload("in", network, inside, security_groups=[group])
    mixed.workload("out", flat, outside, security_groups=[group])
    mixed.route("in", "default", "10.0.0.1")
    port = mixed.workloads["in"].port
    address = mixed.api.make("floatingips", floating_network_id=flat, port_id=port)["floating_ip_address"]
    mixed.all_up()
    hosts = {row["host"] for row in mixed.api.admin.list(f"routers/{router}/l3-agents")}
    assert hosts == ({OLD} if routed_by != "OVN" else set())
    wait_until(lambda: mixed.pings("out", address, 1), 20, "the floating IP answers")
    wait_until(lambda: mixed.pings("in", mixed.workloads["out"].ip, 1), 20, "the outside answers")


@pytest.mark.one_database
def test_a_host_changes_its_kind(mixed: Mixed, flat: str) -> None:
    """A workload goes from the Linux host to OVN and back: bound and plugged anew, it is reached where it is."""
    mixed.workload("a", flat, "h1")
    port = mixed.workload("c", flat, OLD)
    mixed.all_up()
    for host, driver in (("h2", "ovn"), (OLD, "linux"), ("h2", "ovn")):
        mixed.detach("c")
        bound = mixed.api.admin.put(f"ports/{port['id']}", {"port": {"binding:host_id": host}})[1]["port"]
        assert bound["binding:vif_details"]["bound_drivers"] == {"0": driver}
        mixed.move("c", host)
        wait_until(lambda: mixed.told("c")[0] == "ACTIVE", 30, str(mixed.told("c")))
        wait_until(lambda: mixed.reach() == everybody("a", "c"), 20, f"both, not {mixed.reach()}")


@pytest.mark.one_database
def test_a_router_of_ovn_between_both_kinds(mixed: Mixed, flat: str) -> None:
    """It has a leg in the provider's network, which is the gateway of the Linux host's workload: each ping is answered once."""
    (agent,) = mixed.api.admin.list("agents", "agent_type=L3%20agent")
    assert mixed.api.admin.put(f"agents/{agent['id']}", {"agent": {"admin_state_up": False}})[0] == 200
    network = mixed.api.make("networks", name="inside")["id"]
    subnet = mixed.api.make("subnets", network_id=network, cidr="10.0.0.0/24", ip_version=4, enable_dhcp=False)["id"]
    (outer,) = (one for one in mixed.api.admin.list("subnets", f"network_id={flat}") if one["ip_version"] == 4)
    router = mixed.api.admin.make("routers", project_id=mixed.api.project)["id"]
    for id in (subnet, outer["id"]):
        status, body = mixed.api.admin.put(f"routers/{router}/add_router_interface", {"subnet_id": id})
        assert status == 200, body
    group = mixed.api.make("security-groups", name="web")["id"]
    mixed.api.make("security-group-rules", security_group_id=group, direction="ingress", protocol="icmp")
    mixed.workload("in", network, "h1", security_groups=[group])
    mixed.workload("out", flat, OLD, security_groups=[group])
    mixed.route("in", "default", "10.0.0.1")
    mixed.route("out", "10.0.0.0/24", outer["gateway_ip"])
    mixed.all_up()
    inside = mixed.workloads["in"].ip
    wait_until(lambda: mixed.pings("out", inside, 1), 20, "the workload inside answers")
    wait_until(lambda: mixed.pings("in", mixed.workloads["out"].ip, 1), 20, "the workload outside answers")
    line = ["ip", "netns", "exec", mixed.workloads["out"].namespace, "ping", "-n", "-i", "0.1", "-c", "20", inside]
    said = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    print(said)
    assert "20 received" in said and "DUP" not in said, said
