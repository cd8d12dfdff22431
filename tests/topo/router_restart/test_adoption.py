"""A new process over a router that works: nobody notices, and what it finds wrong it mends."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.topo.router_lab import TCP, Lab, floating, forwarding, gateway, leg, router, uid
from weft.backends.linux import names, netns
from weft.backends.linux.routers import Routers
from weft.logical.model import Key, LogicalRouter, Nat

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs("ping", "nsenter", "ip", "tcpdump", "nft")]

INTERNET = "198.51.100.1"


@pytest.fixture
def hosts(lab: Lab) -> dict[str, str]:
    for name in ("a", "b", "ext"):
        lab.network(name)
    hosts = {
        "a": lab.host("a1", "a", "10.0.0.11/24", "fd00:a::11/64", via=("10.0.0.1", "fd00:a::1"), lo="172.20.0.1/32"),
        "a2": lab.host("a2", "a", "10.0.0.12/24", via="10.0.0.1"),
        "b": lab.host("b1", "b", "10.0.1.11/24", "fd00:b::11/64", via=("10.0.1.1", "fd00:b::1")),
        "out": lab.host("out", "ext", "203.0.113.1/24", lo=f"{INTERNET}/32"),
    }
    lab.set(edge())
    return hosts


def edge(*nats: Nat) -> LogicalRouter:
    return router(
        "r",
        leg("r", "a", "10.0.0.1/24", "fd00:a::1/64"),
        leg("r", "b", "10.0.1.1/24", "fd00:b::1/64"),
        gateway=gateway("r", "ext", "203.0.113.10/24", nexthops=("203.0.113.1",)),
        nats=nats or [floating("203.0.113.111", "10.0.0.11")],
        forwardings=[forwarding("tcp", "203.0.113.120", (80, 89), "10.0.0.12", (80, 89))],
        routes=[("172.20.0.0/16", "10.0.0.11"), ("172.20.0.0/16", "10.0.0.12"), ("172.21.0.0/16", "10.0.0.11")],
    )


def everything_works(lab: Lab, hosts: dict[str, str]) -> None:
    assert lab.ping(hosts["out"], "203.0.113.111").lost == 0
    assert lab.ping(hosts["b"], "10.0.0.11").lost == 0
    assert lab.ping(hosts["b"], "fd00:a::11").lost == 0
    assert lab.talk(hosts["out"], INTERNET, 80, hosts["a2"], INTERNET) == "203.0.113.10"
    assert lab.talk(hosts["out"], INTERNET, 80, hosts["a"], INTERNET) == "203.0.113.111"
    assert lab.talk(hosts["a2"], "10.0.0.12", 85, hosts["out"], "203.0.113.120", 85) == "203.0.113.1"
    assert lab.sh(lab.namespace("r"), "ip route show proto 87").count("via 10.0.0.11") == 2


def test_restart_loses_no_packet(lab: Lab, hosts: dict[str, str]) -> None:
    """A hundred pings a second through each kind of translation, while process follows process."""
    floods = [
        lab.flood(hosts["out"], "203.0.113.111"),
        lab.flood(hosts["a"], INTERNET),
        lab.flood(hosts["a2"], INTERNET),
        lab.flood(hosts["a2"], "203.0.113.111"),
        lab.flood(hosts["b"], "10.0.0.11"),
        lab.flood(hosts["b"], "fd00:a::11"),
    ]
    server = lab.listen(hosts["a2"], "10.0.0.12", 80)
    client = lab.connect(hosts["out"], "203.0.113.120", 80)
    accepted, _ = server.accept()
    for _ in range(60):
        lab.restart()
        assert lab.audit() == []
        client.send(b"x")
        assert accepted.recv(1) == b"x"
    accepted.close()
    pings = [flood.stop() for flood in floods]
    assert min(ping.sent for ping in pings) > 50
    assert [ping.lost for ping in pings] == [0] * 6


def test_restart_changes_nothing(lab: Lab, hosts: dict[str, str]) -> None:
    """Not one link, address or route is made anew."""
    before = lab.sh(lab.namespace("r"), "ip -d link; ip addr; ip route show table all; ip -6 route show table all")
    events = lab.start(lab.namespace("r"), "timeout", "3", "ip", "monitor", "link", "address", "route")
    lab.restart()
    lab.audit()
    assert [line for line in events.communicate()[0].splitlines() if line] == []
    after = lab.sh(lab.namespace("r"), "ip -d link; ip addr; ip route show table all; ip -6 route show table all")
    assert before == after


def test_what_was_asked_for_while_nobody_listened(lab: Lab, hosts: dict[str, str]) -> None:
    """The floating IP moved while the process was down; a ping that runs on follows it."""
    flood = lab.flood(hosts["out"], "203.0.113.111")
    lab.restart()
    lab.view.routers[uid("r")] = edge(floating("203.0.113.111", "10.0.1.11"))
    seen = lab.sniff(hosts["b"], "eth0", "icmp[0]==8", 3)
    lab.audit()
    assert len(seen.lines()) == 3
    assert flood.stop().lost <= 2


def test_router_that_went_while_nobody_listened(lab: Lab, hosts: dict[str, str]) -> None:
    lab.set(other := router("other", leg("other", "a", "10.0.0.254/24")))
    lab.restart()
    del lab.view.routers[other.id]
    assert lab.reaches(hosts["a"], "10.0.0.254")
    lab.set(edge())
    assert netns.exists(lab.namespace("other")), "pruned only with the whole picture"
    lab.audit()
    assert not netns.exists(lab.namespace("other"))
    assert not lab.reaches(hosts["a"], "10.0.0.254")
    everything_works(lab, hosts)


def test_namespaces_of_others_stay(lab: Lab, hosts: dict[str, str]) -> None:
    others = [f"{lab.prefix}-elsewhere", f"{lab.prefix}x-qrouter-{uid('r')}"]
    for name in others:
        netns.create(name)
    lab.restart()
    lab.audit()
    assert [netns.exists(name) for name in others] == [True, True]
    for name in others:
        netns.delete(name)


LEG = names.router_leg(uid("r/a"))
GATEWAY = names.gateway_leg(uid("r/gateway/ext"))

DRIFT: dict[str, tuple[str, str]] = {
    "table flushed": ("nft flush ruleset", "somebody changed its nft rules"),
    "rule deleted": ("nft flush chain inet weft postrouting", "somebody changed its nft rules"),
    "element deleted": (
        "nft 'delete element inet weft floating_in { 203.0.113.111 }'",
        "somebody changed its nft rules",
    ),
    "address removed": (f"ip addr del 10.0.0.1/24 dev {LEG}", f"{LEG} had no address 10.0.0.1/24"),
    "floating address removed": (
        f"ip addr del 203.0.113.111/32 dev {GATEWAY}",
        f"{GATEWAY} had no address 203.0.113.111/32",
    ),
    "IPv6 address removed": (f"ip addr del fd00:a::1/64 dev {LEG}", f"{LEG} had no address fd00:a::1/64"),
    "address added": (f"ip addr add 10.0.0.99/24 dev {LEG}", f"{LEG} had the address 10.0.0.99/24"),
    "default route removed": ("ip route del default", "the route to 0.0.0.0/0 was not as it should be"),
    "one way of two removed": (
        "ip route replace 172.20.0.0/16 via 10.0.0.11 proto 87",
        "the route to 172.20.0.0/16 was not as it should be",
    ),
    "route added": (
        "ip route add 192.0.2.0/24 via 10.0.0.12 proto 87",
        "the route to 192.0.2.0/24 was not as it should be",
    ),
    "leg down": (f"ip link set {LEG} down", f"{LEG} was not as it should be"),
    "leg deleted": (f"ip link del {LEG}", f"{LEG} was missing"),
    "MTU changed": (f"ip link set {LEG} mtu 1300", f"{LEG} was not as it should be"),
    "MAC changed": (f"ip link set {LEG} address 02:00:00:00:00:01", f"{LEG} was missing"),
    "leg of nobody": ("ip link add qr-12345678-9a type veth peer name x", "qr-12345678-9a was there"),
    "forwarding off": ("sysctl -qw net.ipv4.ip_forward=0", "net/ipv4/ip_forward was not 1"),
}


@pytest.mark.parametrize("what", DRIFT)
def test_drift_inside(lab: Lab, hosts: dict[str, str], what: str) -> None:
    """Found by a full pass, mended, and reported in words."""
    command, words = DRIFT[what]
    lab.sh(lab.namespace("r"), command)
    drift = lab.audit()
    assert f"router {uid('r')}: {words}" in drift
    everything_works(lab, hosts)
    assert lab.audit() == []


@pytest.mark.parametrize("what", DRIFT)
def test_drift_that_a_new_process_finds(lab: Lab, hosts: dict[str, str], what: str) -> None:
    command, _ = DRIFT[what]
    lab.sh(lab.namespace("r"), command)
    lab.restart()
    assert lab.audit() == [], "it can't know who did it"
    everything_works(lab, hosts)


TAP = names.tap(uid("r/a"))


@pytest.mark.parametrize(
    "change",
    [f"ip link set {TAP} nomaster", f"ip link set {TAP} down", f"ip link set {TAP} mtu 1300", f"ip link del {TAP}"],
)
def test_drift_on_the_bridge(lab: Lab, hosts: dict[str, str], change: str) -> None:
    """The backend's monitor names the router whose leg it is; that alone mends it too."""
    assert lab.routers.owner(TAP) == Key("router", uid("r"))
    assert TAP in lab.routers.names()
    lab.sh(lab.prefix, change)
    assert len(lab.audit()) >= 1
    everything_works(lab, hosts)
    lab.sh(lab.prefix, change)
    lab.set(edge())
    everything_works(lab, hosts)


def delete(lab: Lab, name: str) -> None:
    lab.sh(lab.prefix, f"ip netns del {name}")


def replace_(lab: Lab, name: str) -> None:
    lab.sh(lab.prefix, f"ip netns del {name} && ip netns add {name}")


@pytest.mark.parametrize("held", [False, True], ids=["free", "held by a socket"])
@pytest.mark.parametrize("change", [delete, replace_], ids=["deleted", "replaced"])
def test_namespace_is_gone(lab: Lab, hosts: dict[str, str], change: Callable[[Lab, str], None], held: bool) -> None:
    """Also when a socket keeps the nameless namespace and its links alive."""
    name = lab.namespace("r")
    if held:
        lab.listen(name, "0.0.0.0", 9697, TCP)
    change(lab, name)
    assert any("was missing" in line for line in lab.audit())
    everything_works(lab, hosts)


def test_router_is_removed_and_made_again_while_a_socket_lives_inside(lab: Lab, hosts: dict[str, str]) -> None:
    lab.listen(lab.namespace("r"), "0.0.0.0", 9697, TCP)
    lab.remove(edge())
    assert not lab.reaches(hosts["a"], "10.0.0.1")
    lab.set(edge())
    everything_works(lab, hosts)


def test_second_process_takes_over_without_the_first_one_ending(lab: Lab, hosts: dict[str, str]) -> None:
    """As after kill -9: nothing was closed."""
    flood = lab.flood(hosts["out"], "203.0.113.111")
    second = Routers(lab.prefix)
    report = second.set(lab.view, None)
    assert (report.failed, report.drift) == ({}, [])
    second.close()
    assert flood.stop().lost == 0
