"""Which rows change with the change of another object."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from weft.backends.ovn.around import Neighbours
from weft.backends.ovn.render import EVERYWHERE
from weft.logical.model import (
    Address,
    AddressPair,
    DhcpOptions,
    HostView,
    Key,
    LogicalPort,
    LogicalRouter,
    LogicalSwitch,
    Nat,
)

SWITCH = LogicalSwitch("n", "n", "p", 1400, ())


def port(id: str, last: int, **values: Any) -> LogicalPort:
    return LogicalPort(id, "n", "fa:16:3e:00:00:01", addresses=(Address(f"10.0.0.{last}", 24, "s"),), **values)


def test_a_pair_makes_the_owner_of_its_address_virtual() -> None:
    virtual = port("v", 100)
    neighbours = Neighbours.of(HostView("", {"n": SWITCH}, {"v": virtual}))
    plain = port("a", 5, host="h")
    taker = replace(plain, pairs=(AddressPair("fa:16:3e:00:00:01", "10.0.0.100"),))
    assert neighbours.move(None, plain) == set()
    assert neighbours.move(plain, taker) == {Key("port", "v")}
    assert neighbours.around(virtual).parents == ("a",)
    assert neighbours.move(taker, None) == {Key("port", "v")}
    assert neighbours.around(virtual).parents == ()


def test_a_floating_ip_is_shown_on_its_port() -> None:
    neighbours = Neighbours()
    before = LogicalRouter("r", nats=(Nat("f", "203.0.113.5", "10.0.0.5", "a"),))
    after = LogicalRouter("r", nats=(Nat("f", "203.0.113.5", "10.0.0.6", "b"),))
    assert neighbours.move(None, before) == {Key("port", "a")}
    assert neighbours.move(before, after) == {Key("port", "a"), Key("port", "b")}
    assert (neighbours.around(port("a", 5)).fip, neighbours.around(port("b", 6)).fip) == ("", "203.0.113.5")


def test_ports_follow_their_network_only_in_what_they_show_of_it() -> None:
    neighbours = Neighbours.of(HostView("", {"n": SWITCH}, {"a": port("a", 5)}))
    assert neighbours.move(SWITCH, replace(SWITCH, name="other")) == set()
    served = replace(SWITCH, subnets=(DhcpOptions("s", 4, "10.0.0.0/24", None, True),))
    assert neighbours.move(SWITCH, served) == {Key("port", "a")}
    neighbours.move(port("a", 5), None)
    assert neighbours.move(served, SWITCH) == set()


def test_the_switch_of_ports_elsewhere_comes_with_the_first_and_goes_with_the_last() -> None:
    neighbours = Neighbours()
    here, there = port("a", 5, host="h"), port("a", 5, host="h", elsewhere=True)
    another = port("b", 6, host="h", elsewhere=True)
    assert neighbours.move(None, here) == set()
    assert neighbours.move(here, there) == {EVERYWHERE}
    assert neighbours.move(None, another) == neighbours.move(there, here) == set()
    assert neighbours.move(another, None) == {EVERYWHERE}


def test_ports_without_a_device_are_known() -> None:
    neighbours = Neighbours()
    outside = port("a", 5, vnic_type="direct", host="h")
    neighbours.move(None, outside)
    assert neighbours.outside == {"a"}
    neighbours.move(outside, replace(outside, vnic_type="normal"))
    assert neighbours.outside == set()
