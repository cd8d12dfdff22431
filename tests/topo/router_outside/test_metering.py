"""Metering with real packets: what labels count, kept through every change, and told on the bus."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.topo.router_lab import Lab, floating, gateway, leg, router
from weft.backends.linux.metering import Count, Label, Meters, Rule
from weft.logical.model import LogicalRouter

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs("nsenter", "ip", "ping")]

OUT = Label("out", (Rule(False, False, destination="203.0.113.0/24"),))
IN = Label("in", (Rule(True, False, source="0.0.0.0/0"), Rule(True, True, source="203.0.113.2/32")))
OURS = Label("ours", (Rule(False, False, source="10.0.0.11/32"), Rule(True, False, destination="10.0.0.11/32")))
PING = 20 + 8 + 56
"""Bytes of one echo request as ping sends it."""


class Metered:
    """A router with a host inside and two outside."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        lab.network("a")
        lab.network("ext")
        self.inside = lab.host("a1", "a", "10.0.0.11/24", via="10.0.0.1")
        self.outside = lab.host("out", "ext", "203.0.113.1/24")
        self.other = lab.host("other", "ext", "203.0.113.2/24")
        self.router = self.edge()
        lab.set(self.router)
        self.meters = Meters(lab.prefix, lab.routers.transacted)

    def edge(self) -> LogicalRouter:
        gate = gateway("r", "ext", "203.0.113.10/24", nexthops=("203.0.113.1",))
        return router("r", leg("r", "a", "10.0.0.1/24"), gateway=gate)

    def measure(self, *labels: Label) -> None:
        self.meters.measure([self.router], {self.router.id: labels})

    def take(self) -> dict[str, Count]:
        return self.meters.take([self.router])

    def pings(self, to: str, count: int) -> None:
        assert self.lab.ping(self.inside, to, count, "-i 0.05").lost == 0

    def nft(self, command: str) -> str:
        return self.lab.sh(self.lab.namespace("r"), f"nft {command}")


@pytest.fixture
def metered(lab: Lab) -> Metered:
    return Metered(lab)


def test_each_label_counts_what_its_rules_say(metered: Metered) -> None:
    metered.measure(OUT, IN, OURS)
    metered.pings("203.0.113.1", 3)
    metered.pings("203.0.113.2", 5)
    assert metered.take() == {
        "out": Count(8, 8 * PING),
        "in": Count(3, 3 * PING),
        "ours": Count(16, 16 * PING),
    }
    assert metered.take() == dict.fromkeys(("out", "in", "ours"), Count())
    metered.pings("203.0.113.1", 2)
    assert metered.take()["out"] == Count(2, 2 * PING)


def test_the_router_itself_and_neighbours_do_not_count(metered: Metered) -> None:
    metered.measure(OUT, IN, OURS)
    metered.pings("10.0.0.1", 2)
    metered.pings("203.0.113.10", 2)
    assert set(metered.take().values()) == {Count()}


def test_translated_addresses_count_by_the_inner_one(metered: Metered) -> None:
    metered.router = replace(metered.edge(), nats=(floating("203.0.113.77", "10.0.0.11"),))
    metered.lab.set(metered.router)
    metered.measure(OURS)
    assert metered.lab.ping(metered.outside, "203.0.113.77", 3, "-i 0.05").lost == 0
    assert metered.take() == {"ours": Count(6, 6 * PING)}


def test_counts_live_through_changes_restarts_and_drift(metered: Metered) -> None:
    metered.measure(OUT)
    metered.pings("203.0.113.1", 3)
    metered.measure(OUT, IN)  # another label
    metered.meters = Meters(metered.lab.prefix, metered.lab.routers.transacted)  # another process
    metered.measure(OUT, IN)
    metered.pings("203.0.113.1", 1)
    metered.router = replace(metered.edge(), nats=(floating("203.0.113.77", "10.0.0.99"),))
    metered.lab.set(metered.router)  # other rules of NAT
    metered.measure(OUT, IN)
    metered.nft("flush chain inet weft-meter forward")
    metered.measure(OUT, IN)
    metered.pings("203.0.113.1", 1)
    metered.measure(OUT, IN)
    metered.nft("delete table inet weft-meter")
    metered.measure(OUT, IN)
    metered.pings("203.0.113.1", 1)
    assert metered.take()["out"] == Count(6, 6 * PING)


def test_what_a_label_counted_is_told_after_it_went_too(metered: Metered) -> None:
    metered.measure(OUT, IN)
    metered.pings("203.0.113.1", 3)
    metered.measure(IN)
    metered.measure()
    assert "weft-meter" not in metered.nft("list tables")
    assert metered.take() == {"out": Count(3, 3 * PING), "in": Count(3, 3 * PING)}


def test_a_router_that_went_has_counted(metered: Metered) -> None:
    metered.measure(OUT)
    metered.pings("203.0.113.1", 3)
    metered.measure(OUT)
    metered.lab.remove(metered.router)
    metered.meters.measure([], {})
    assert metered.meters.take([]) == {"out": Count(3, 3 * PING)}


def test_meters_are_no_drift_of_the_router(metered: Metered) -> None:
    metered.measure(OUT)
    assert metered.lab.audit() == []
    metered.pings("203.0.113.1", 1)
    assert metered.take()["out"].packets == 1


def test_without_labels_there_is_nothing(metered: Metered) -> None:
    metered.measure()
    assert "weft-meter" not in metered.nft("list tables")
    metered.measure(Label("nothing", (Rule(False, False, "10.0.0.0/8", "fd00::/8"),)))
    metered.pings("203.0.113.1", 1)
    assert metered.take() == {"nothing": Count()}
