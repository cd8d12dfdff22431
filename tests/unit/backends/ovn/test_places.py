"""Where the gateways of one router live, seen from one another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from weft.backends.ovn import places
from weft.backends.ovn.chassis import Chassis
from weft.backends.ovn.rows import Ref
from weft.config import load
from weft.logical.model import Gateway, HostView, LogicalRouter, LogicalSwitch, PortForwarding, Segment

BOTH = ("physnet1", "physnet2")


class Hosts:
    def __init__(self, *chassis: Chassis) -> None:
        self._chassis = chassis

    def wait(self, seconds: float) -> bool:
        return True

    def chassis(self) -> Iterable[Chassis]:
        return self._chassis


class Nothing:
    """A database without any groups of chassis."""

    def find(self, ref: Any) -> None:
        return None


class Legs:
    """A database with these legs of routers, by the ids of their ports, and their UUIDs."""

    def __init__(self, **uuids: str) -> None:
        self._rows = {Ref("Logical_Router_Port", f"lrp-{id}"): SimpleNamespace(uuid=uuid) for id, uuid in uuids.items()}

    def find(self, ref: Ref) -> Any:
        return self._rows.get(ref)


def chassis(id: str, *networks: str) -> Chassis:
    return Chassis(id, id, bridge_mappings=dict.fromkeys(networks, "br-ex"))


def gateway(id: str, switch: str) -> Gateway:
    return Gateway(id, switch, "fa:16:3e:00:00:01", 1500, ())


def view(forwards: bool) -> HostView:
    switches = {
        name: LogicalSwitch(name, name, "p", 1500, (Segment("flat", network),))
        for name, network in (("red", "physnet1"), ("blue", "physnet2"))
    }
    one = LogicalRouter("r", gateway=gateway("first", "red"), extra_gateways=(gateway("second", "blue"),))
    if forwards:
        one = replace(one, forwardings=(PortForwarding("f", "tcp", "203.0.113.5", (1, 1), "10.0.0.5", (2, 2)),))
    return HostView("", switches=switches, routers={"r": one})


def decided(forwards: bool, *hosts: Chassis, before: places.Places | None = None) -> places.Places:
    return places.decide(view(forwards), (), Hosts(*hosts), Nothing(), before or {}, load())  # type: ignore[arg-type]


def test_apart_unless_ports_are_forwarded() -> None:
    """Then all live where the first does, and nothing of the first moves if it can stay."""
    hosts = (chassis("c1", *BOTH), chassis("c2", *BOTH), chassis("c3", "physnet1"))
    apart = decided(False, *hosts)
    assert apart["first"][0] != apart["second"][0]
    together = decided(True, *hosts, before=apart)
    assert together["first"] == together["second"] == tuple(id for id in apart["first"] if id != "c3")
    assert decided(True, *hosts, before=together) == together
    assert decided(False, *hosts, before=together)["second"] == together["second"]


def test_where_nobody_has_all_networks_each_lives_by_itself() -> None:
    hosts = (chassis("c1", "physnet1"), chassis("c2", "physnet2"))
    assert decided(True, *hosts) == {"first": ("c1",), "second": ("c2",)}


def test_which_gateway_has_ports_forwarded() -> None:
    """Its row has the lowest UUID; nothing is told before all rows are there, or where it makes no difference."""
    one = view(True).routers["r"]
    assert places.lead(one, Legs(first="2f", second="10")) == "second"  # type: ignore[arg-type]
    assert places.lead(one, Legs(first="0f", second="10")) == "first"  # type: ignore[arg-type]
    assert places.lead(one, Legs(first="0f")) == ""  # type: ignore[arg-type]
    for other in (view(False).routers["r"], replace(one, extra_gateways=())):
        assert places.lead(other, Legs(first="0f", second="10")) == ""  # type: ignore[arg-type]
