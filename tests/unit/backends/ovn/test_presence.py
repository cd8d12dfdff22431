"""Status of ports and routers from what the Southbound database says, each with its reason."""

from __future__ import annotations

from typing import Any

import pytest

from weft.backends.interface import Status
from weft.backends.ovn import presence
from weft.backends.ovn.chassis import Chassis
from weft.backends.ovn.placement import Wish
from weft.backends.ovn.presence import Hosts, Seen
from weft.logical.model import Gateway, LogicalPort, LogicalRouter, LogicalSwitch, RouterPort, Segment

HOSTS = Hosts.of(
    [Chassis("c1", "h1", bridge_mappings={"physnet1": "br-ex"}), Chassis("c2", "h2"), Chassis("c3", "h3", alive=False)]
)
OVERLAY = LogicalSwitch("n", "n", "p", 1442, (Segment("geneve", None, 7),))
FLAT = LogicalSwitch("f", "f", "p", 1500, (Segment("flat", "physnet1"),))
FAR = LogicalSwitch("f", "f", "p", 1500, (Segment("flat", "physnet9"),))


def port(**values: Any) -> LogicalPort:
    return LogicalPort("id", "n", "02:00:00:00:00:01", **{"host": "h1", **values})


@pytest.mark.parametrize(
    ("value", "switch", "seen", "reason"),
    [
        (port(), OVERLAY, Seen(chassis="c1", up=True), ""),
        (port(host="h2"), OVERLAY, Seen(chassis="c1", also=("c2",), up=True), ""),
        (port(), OVERLAY, Seen("external", chassis="c2"), ""),
        (port(), OVERLAY, Seen("virtual", chassis="c2"), ""),
        (port(), FLAT, Seen(chassis="c1", up=True), ""),
        (port(), OVERLAY, Seen(chassis="c1"), "the host h1 is still making its flows"),
        (port(), OVERLAY, Seen(), "waiting for the host h1 to plug it"),
        (port(host="h3"), OVERLAY, Seen(), "waiting for the host h3 to plug it, whose ovn-controller does not answer"),
        (port(), OVERLAY, Seen(chassis="c2", up=True), "it is plugged on host h2, not on host h1"),
        (port(), OVERLAY, None, "waiting for ovn-northd to take it over"),
        (port(host=""), OVERLAY, Seen(), "it is bound to no host"),
        (port(host="h9"), OVERLAY, Seen(), "no chassis named h9"),
        (port(host="h2"), FLAT, Seen(), "host h2 has no physical network physnet1"),
        (port(), FAR, Seen(chassis="c1", up=True), "no chassis has physical network physnet9"),
        (port(enabled=False), OVERLAY, Seen(chassis="c1", up=True), "the port is administratively down"),
        (port(), OVERLAY, Seen("virtual"), "no port that it may be on has announced its address yet"),
        (port(), OVERLAY, Seen("external"), "no chassis serves it yet"),
    ],
)
def test_ports(value: LogicalPort, switch: LogicalSwitch, seen: Seen | None, reason: str) -> None:
    assert presence.port(value, switch, seen, HOSTS) == Status(not reason, reason)


LEG = RouterPort("leg", "n", "02:00:00:00:00:02", 1442, ())
GATE = Gateway("gate", "f", "02:00:00:00:00:03", 1500, ())
LEGS = {"lrp-leg": Seen("patch"), "lrp-gate": Seen("patch")}


@pytest.mark.parametrize(
    ("value", "wish", "ports", "reason"),
    [
        (LogicalRouter("r", ports=(LEG,)), Wish(), LEGS, ""),
        (LogicalRouter("r", ports=(LEG,)), Wish(), {}, "waiting for ovn-northd to take it over"),
        (LogicalRouter("r", ports=(LEG,), enabled=False), Wish(), LEGS, "the router is administratively down"),
        (
            LogicalRouter("r", ports=(LEG,), gateway=GATE),
            Wish("physnet1"),
            {**LEGS, "cr-lrp-gate": Seen("chassisredirect", "c1")},
            "",
        ),
        (
            LogicalRouter("r", gateway=GATE),
            Wish("physnet1"),
            {**LEGS, "cr-lrp-gate": Seen("chassisredirect")},
            "no chassis has taken its gateway yet",
        ),
        (LogicalRouter("r", gateway=GATE), Wish("physnet9"), LEGS, "no chassis has physical network physnet9"),
    ],
)
def test_routers(value: LogicalRouter, wish: Wish, ports: dict[str, Seen], reason: str) -> None:
    assert presence.router(value, {"gate": wish}, ports, HOSTS) == Status(not reason, reason)


def test_of_two_with_the_same_name_the_living_counts() -> None:
    hosts = Hosts.of([Chassis("new", "h1"), Chassis("old", "h1", alive=False)])
    assert hosts.by_host["h1"].id == "new"
