"""What somebody else changes in a router's namespace is heard at once, and what we change ourselves is not."""

from __future__ import annotations

import queue
from collections.abc import Iterable

import pytest

from tests.topo.router_lab import Lab, address, floating, gateway, leg, router, uid
from weft.backends.linux import names, netns
from weft.logical.model import Key, LogicalRouter

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs("ping", "nsenter", "ip", "nft")]

R, OTHER = Key("router", uid("r")), Key("router", uid("other"))
LEG = names.router_leg(uid("r/a"))


class Heard:
    """What was reported, to wait for."""

    def __init__(self, lab: Lab) -> None:
        self._queue: queue.Queue[Key] = queue.Queue()
        lab.routers.watch(self._note)

    def _note(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self._queue.put(key)

    def next(self, seconds: float = 8) -> Key | None:
        try:
            return self._queue.get(timeout=seconds)
        except queue.Empty:
            return None


def edge(*last: int) -> LogicalRouter:
    nats = [floating(f"203.0.113.{n}", f"10.0.0.{n}") for n in last]
    return router("r", leg("r", "a", "10.0.0.1/24"), gateway=gateway("r", "ext", "203.0.113.10/24"), nats=nats)


@pytest.fixture
def heard(lab: Lab) -> Heard:
    """Two routers, of which one is watched from before it was made, the other from after."""
    lab.network("a")
    lab.network("ext")
    lab.set(router("other", leg("other", "a", "10.0.0.254/24")))
    heard = Heard(lab)
    lab.set(edge(11))
    while heard.next(seconds=2.5):  # the kernel tells about carriers up to a second late
        pass
    return heard


@pytest.mark.parametrize(
    "command",
    [
        "nft flush ruleset",
        "nft 'delete element inet weft floating_in { 203.0.113.11 }'",
        f"ip addr del 10.0.0.1/24 dev {LEG}",
        f"ip link set {LEG} down",
        "ip route add 192.0.2.0/24 via 10.0.0.12 proto 87",
    ],
)
def test_a_change_inside(lab: Lab, heard: Heard, command: str) -> None:
    lab.sh(lab.namespace("r"), command)
    assert heard.next() == R
    assert lab.routers.set(lab.view, [R]).drift != []
    assert lab.audit() == []


def test_of_the_right_router(lab: Lab, heard: Heard) -> None:
    lab.sh(lab.namespace("other"), "nft flush ruleset")
    assert heard.next() == OTHER


def test_our_own_changes_are_not_reported(lab: Lab, heard: Heard) -> None:
    for numbers in ((11, 12), (12,), (11,)):
        lab.set(edge(*numbers))
    one = edge(11)
    lab.set(router("r", *one.ports, gateway=one.gateway, routes=[("192.0.2.0/24", "10.0.0.12")]))
    lab.audit()
    assert heard.next(seconds=2.5) is None


def test_name_of_the_namespace_is_given_back(lab: Lab, heard: Heard) -> None:
    """Nothing inside was lost, so no packet is."""
    host = lab.host("a1", "a", "10.0.0.12/24")
    flood = lab.flood(host, "10.0.0.1")
    identity = netns.identity(lab.namespace("r"))
    lab.sh(lab.prefix, f"ip netns del {lab.namespace('r')}")
    assert heard.next() == R
    report = lab.routers.set(lab.view, [R])
    assert report.drift == [f"router {uid('r')}: its namespace had lost its name"]
    assert netns.identity(lab.namespace("r")) == identity
    assert flood.stop().lost == 0
    assert lab.audit() == []


def test_another_namespace_has_the_name(lab: Lab, heard: Heard) -> None:
    host = lab.host("a1", "a", "10.0.0.12/24")
    name = lab.namespace("r")
    lab.sh(lab.prefix, f"ip netns del {name}; ip netns add {name}")
    assert heard.next() == R
    lab.set(edge(11))
    assert lab.reaches(host, "10.0.0.1")


def test_removed_router_is_not_watched(lab: Lab, heard: Heard) -> None:
    lab.remove(edge(11))
    assert not netns.exists(lab.namespace("r"))
    assert heard.next(seconds=2.5) is None
    lab.set(edge(11))
    assert address("10.0.0.1/24").ip in lab.sh(lab.namespace("r"), "ip addr")
