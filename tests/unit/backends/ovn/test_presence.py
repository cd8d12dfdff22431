"""Status of ports and routers from what the Southbound database says, each with its reason."""

from __future__ import annotations

from dataclasses import replace
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
        (port(host=""), OVERLAY, Seen("virtual", chassis="c2"), ""),
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
        (port(host="", enabled=False), OVERLAY, Seen("virtual", chassis="c2"), "the port is administratively down"),
        (port(host=""), OVERLAY, Seen("virtual"), "no port that it may be on has announced its address yet"),
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
    assert presence.router(value, {"gate": wish}, "", ports, HOSTS) == Status(not reason, reason)


WITH = [Chassis("c1", "h1", bridge_mappings={"red": "b"}), Chassis("c2", "h2", bridge_mappings={"blue": "b"})]
BOTH = Chassis("c3", "h3", bridge_mappings={"red": "b", "blue": "b"})
FORWARDING = "OVN forwards a router's ports on one host, here that of the gateway in network"
NOT_THERE = "its own gateway is not there yet"


@pytest.mark.parametrize(
    ("lead", "homes", "chassis", "unforwarded"),
    [
        ("first", "c1 c2", WITH, {"second": f"{FORWARDING} f; no chassis has physical networks blue and red"}),
        ("second", "c1 c2", WITH, {"first": f"{FORWARDING} b; no chassis has physical networks blue and red"}),
        ("first", "c1 c2", [*WITH, BOTH], {"second": f"{FORWARDING} f; {NOT_THERE}"}),
        ("first", "c3 c3", [*WITH, BOTH], {}),
        ("", "c1 c2", WITH, {}),
    ],
)
def test_forwarded_ports(lead: str, homes: str, chassis: list[Chassis], unforwarded: dict[str, str]) -> None:
    """Of a router whose gateways live apart: who cannot have them forwarded, and why; the router is up in any case."""
    gates = (replace(GATE, id="first"), replace(GATE, id="second", switch="b"))
    seen = {f"cr-lrp-{gate.id}": Seen("chassisredirect", home) for gate, home in zip(gates, homes.split(), strict=True)}
    wishes = {"first": Wish("red"), "second": Wish("blue")}
    value = LogicalRouter("r", gateway=gates[0], extra_gateways=gates[1:])
    found = presence.router(value, wishes, lead, seen, Hosts.of(chassis))
    assert found == Status(True, unforwarded=unforwarded)


def test_of_two_with_the_same_name_the_living_counts() -> None:
    hosts = Hosts.of([Chassis("new", "h1"), Chassis("old", "h1", alive=False)])
    assert hosts.by_host["h1"].id == "new"
