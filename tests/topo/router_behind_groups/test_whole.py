"""Routers and security groups together: what a group lets in decides, whichever way the packet came."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterable

import pytest

from tests.topo.lab import Lab, ingress, uid
from tests.topo.router_lab import floating, gateway, leg, router
from weft.backends.linux import names
from weft.backends.linux.links import Route
from weft.logical.model import Key, LogicalRouter, Nat

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs("ip", "nft")]


def edge(*nats: Nat) -> LogicalRouter:
    gate = gateway("r", "ext", "203.0.113.10/24", nexthops=("203.0.113.1",))
    legs = (leg("r", "a", "10.0.0.1/24", "fd00:a::1/64"), leg("r", "b", "10.0.1.1/24", "fd00:b::1/64"))
    return router("r", *legs, gateway=gate, nats=nats)


@pytest.fixture
def whole(lab: Lab) -> Lab:
    """Networks a and b behind router r; web (10.0.0.11, floating .111) lets TCP 80 and ping in, shut (10.0.1.11,
    floating .112) nothing, open (10.0.0.12) everything; out is a host of the external network without any filter."""
    for name in ("a", "b", "ext"):
        lab.network(name)
    lab.group("web", ingress("tcp", 80, 80), ingress("icmp"), ingress("ipv6-icmp", ethertype="IPv6"))
    lab.group("all", ingress(), ingress(ethertype="IPv6"))
    lab.port("web", "a", "10.0.0.11/24", "fd00:a::11/64", groups=("out", "web"))
    lab.port("open", "a", "10.0.0.12/24", "fd00:a::12/64", groups=("out", "all"))
    lab.port("shut", "b", "10.0.1.11/24", "fd00:b::11/64", groups=("out",))
    lab.port("out", "ext", "203.0.113.1/24", groups=(), port_security=False)
    one = edge(floating("203.0.113.111", "10.0.0.11"), floating("203.0.113.112", "10.0.1.11"))
    lab.view.routers[one.id] = one
    lab.up()
    for name, number in (("web", 0), ("open", 0), ("shut", 1)):
        routes = [
            Route("0.0.0.0/0", f"10.0.{number}.1", "eth0"),
            Route("::/0", f"fd00:{'ab'[number]}::1", "eth0"),
        ]
        assert lab.workloads[name].links.change_routes(routes) == {}
    return lab


def test_everything_is_up(whole: Lab) -> None:
    report = whole.full()
    assert report.drift == []
    assert report.status[Key("router", uid("r"))].up
    assert all(status.up for status in report.status.values())


def test_between_networks_the_group_decides(whole: Lab) -> None:
    assert whole.pings("shut", "10.0.0.11")
    assert whole.pings("shut", "fd00:a::11")
    assert not whole.pings("web", "10.0.1.11")
    assert not whole.pings("web", "fd00:b::11")
    assert whole.connects("shut", "web", 80)
    assert not whole.connects("shut", "web", 81)
    assert whole.delivers("shut", "open", 53)
    assert not whole.delivers("web", "shut", 53)


def test_from_outside_the_group_decides(whole: Lab) -> None:
    assert whole.pings("out", "203.0.113.111")
    assert not whole.pings("out", "203.0.113.112")
    with whole.socket("web", 2, 1) as listener:
        listener.bind(("10.0.0.11", 80))
        listener.listen()
        with whole.socket("out", 2, 1) as client:
            client.connect(("203.0.113.111", 80))


def test_to_the_outside_everybody_may(whole: Lab) -> None:
    for name in ("web", "open", "shut"):
        assert whole.pings(name, "203.0.113.1")
        assert whole.delivers(name, "out", 53)


@pytest.mark.parametrize(
    ("source", "to", "allowed"),
    [
        ("web", "203.0.113.111", True),
        ("open", "203.0.113.111", True),
        ("shut", "203.0.113.111", True),
        ("shut", "203.0.113.112", False),
        ("open", "203.0.113.112", False),
    ],
)
def test_round_the_corner(whole: Lab, source: str, to: str, allowed: bool) -> None:
    assert whole.pings(source, to) is allowed


def test_restart_of_everything_loses_no_packet(whole: Lab) -> None:
    """A hundred pings a second through router, floating IP and filters, while backend follows backend."""
    ways = (("out", "203.0.113.111"), ("shut", "10.0.0.11"), ("shut", "fd00:a::11"), ("open", "203.0.113.1"))
    assert all(whole.pings(*way) for way in ways), "neighbours are known before it begins"
    lost: list[str] = []
    sent = 0
    stop = threading.Event()

    def ping(source: str, to: str) -> None:
        nonlocal sent
        while not stop.is_set():
            sent += 1
            if not whole.pings(source, to, patience=1):
                lost.append(f"{source} to {to}")
            time.sleep(0.01)

    threads = [threading.Thread(target=ping, args=way) for way in ways]
    for thread in threads:
        thread.start()
    for _ in range(10):
        whole.backend.close()
        whole.restart()
        assert whole.full().drift == []
    stop.set()
    for thread in threads:
        thread.join()
    assert sent > 100
    assert lost == []


@pytest.mark.parametrize("damage", ["flush", "leg", "namespace", "bridge", "host table"])
def test_damage_is_heard_and_mended(whole: Lab, damage: str) -> None:
    """Without a full pass: what the watchers report is enough."""
    reported: set[Key] = set()
    bell = threading.Event()

    def report(keys: Iterable[Key]) -> None:
        reported.update(keys)
        bell.set()

    whole.backend.watch(report)
    whole.full()
    time.sleep(1)
    bell.clear()
    reported.clear()
    inside = names.router_namespace(whole.host, uid("r"))
    namespace, command = {
        "flush": (inside, "nft flush ruleset"),
        "leg": (inside, f"ip link del {names.router_leg(uid('r/a'))}"),
        "namespace": (inside, f"ip netns del {inside}"),
        "bridge": (whole.host, f"ip link del {names.bridge(uid('a'))}"),
        "host table": (whole.host, "nft flush ruleset"),
    }[damage]
    subprocess.run(["nsenter", f"--net=/run/netns/{namespace}", "sh", "-c", command], check=True)
    end = time.monotonic() + 10
    drift: list[str] = []
    while time.monotonic() < end and not (drift and whole.pings("out", "203.0.113.111")):
        bell.wait(1)
        bell.clear()
        keys, reported = reported, set()
        if keys:
            drift += whole.backend.set(whole.view, keys).drift
    assert whole.pings("out", "203.0.113.111")
    assert whole.pings("shut", "10.0.0.11")
    assert not whole.pings("out", "203.0.113.112")
    assert drift != []
