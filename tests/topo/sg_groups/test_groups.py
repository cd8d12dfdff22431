"""Security groups: default deny, remote groups, address groups, several groups on a port, stateless groups."""

from __future__ import annotations

import socket

import pytest

from tests.topo.lab import ANYTHING_OUT, Lab, egress, ingress, uid
from weft.backends.linux.links import Address as LinkAddress
from weft.logical.model import AddressPair

pytestmark = [pytest.mark.needs_root, pytest.mark.dataplanes("linux", "ovn")]


@pytest.fixture
def trio(lab: Lab) -> Lab:
    """Three workloads in one network that may send anything."""
    lab.network("n")
    for number, name in enumerate("abc", 1):
        lab.port(name, "n", f"10.0.0.{number}/24", f"fd00::{number}/64")
    return lab


def test_nothing_comes_in_by_itself(trio: Lab) -> None:
    trio.up()
    assert trio.reach() == set()
    assert not trio.pings("a", "10.0.0.2")
    assert not trio.pings("a", "fd00::2")


def test_nothing_goes_out_without_a_rule(trio: Lab) -> None:
    trio.group("in", ingress(), ingress(ethertype="IPv6"))
    trio.change("a", groups=("in",))
    trio.change("b", groups=("in", "out"))
    trio.up()
    assert not trio.delivers("a", "b", 7)
    assert trio.delivers("b", "a", 7)


def test_a_port_without_groups_passes_nothing_else(trio: Lab) -> None:
    trio.group("in", ingress())
    trio.change("a", groups=())
    trio.change("b", groups=("in", "out"))
    trio.up()
    assert trio.reach() == {"c b"}


def test_default_group_lets_its_members_in(trio: Lab) -> None:
    trio.group(
        "default", *ANYTHING_OUT, ingress(remote_group="default"), ingress(remote_group="default", ethertype="IPv6")
    )
    trio.change("a", groups=("default",))
    trio.change("b", groups=("default",))
    trio.up()
    assert trio.reach() == {"a b", "b a"}
    assert trio.pings("a", "fd00::2")
    assert not trio.pings("c", "fd00::2")


def test_membership_comes_and_goes(trio: Lab) -> None:
    trio.group("friends")
    web = trio.group("web", ingress("udp", 4000, 4000, remote_group="friends"))
    trio.change("a", groups=("out", "web"))
    trio.up()
    assert trio.reach() == set()
    b = trio.change("b", groups=("out", "friends"))
    members = web._replace(kind="addresses", id=uid("friends"))
    trio.set(b, members)
    assert trio.reach() == {"b a"}
    b = trio.change("b", groups=("out",))
    trio.set(b, members)
    assert trio.reach() == set()


@pytest.mark.parametrize(("version", "pair"), [(4, "10.0.0.100"), (4, "10.0.0.96/28"), (6, "fd00::64"), (6, "::/0")])
def test_allowed_address_pairs_of_members_count(trio: Lab, version: int, pair: str) -> None:
    """What a member may send from is a member's address, whoever sends from it, until no member has it."""
    family, claimed = (socket.AF_INET, "10.0.0.100") if version == 4 else (socket.AF_INET6, "fd00::64")
    trio.group("friends")
    rules = (ingress("udp", 4000, 4000, remote_group="friends", ethertype=f"IPv{number}") for number in (4, 6))
    members = trio.group("web", *rules)._replace(kind="addresses", id=uid("friends"))
    trio.change("a", groups=("out", "web"))
    allowed = {name: (AddressPair(trio.view.ports[uid(name)].mac, pair),) for name in "bc"}
    trio.change("b", groups=("out", "friends"))
    trio.change("c", pairs=allowed["c"])
    trio.up()
    more = LinkAddress("eth0", f"{claimed}/{24 if version == 4 else 64}")
    assert trio.workloads["c"].links.change_addresses([more]) == {}

    def arrives() -> bool:
        with (
            trio.socket("a", family, socket.SOCK_DGRAM) as server,
            trio.socket("c", family, socket.SOCK_DGRAM) as client,
        ):
            own = trio.workloads["a"].ips[0 if version == 4 else 1]
            server.bind((own, 4000))
            client.bind((claimed, 0))
            client.sendto(b"hello", (own, 4000))
            try:
                return server.recvfrom(100)[1][0] == claimed
            except TimeoutError:
                return False

    assert not arrives()
    trio.set(trio.change("b", pairs=allowed["b"]), members)
    assert arrives()
    trio.set(trio.change("b", pairs=()), members)
    assert not arrives()
    trio.set(trio.change("b", pairs=allowed["b"]), members)
    assert arrives()
    trio.set(trio.change("b", groups=("out",)), members)
    assert not arrives()


def test_address_group(trio: Lab) -> None:
    members = trio.addresses("office", "10.0.0.2", "10.9.0.0/16", "fd00::2")
    trio.group("web", ingress(remote_addresses="office"), ingress(remote_addresses="office", ethertype="IPv6"))
    trio.change("a", groups=("out", "web"))
    trio.up()
    assert trio.reach() == {"b a"}
    assert trio.pings("b", "fd00::1")
    assert not trio.pings("c", "fd00::1")
    trio.addresses("office", "10.0.0.2/31", "fd00::/16")
    trio.set(members)
    assert trio.reach() == {"b a", "c a"}
    assert trio.pings("c", "fd00::1")
    trio.addresses("office")
    trio.set(members)
    assert trio.reach() == set()


def test_overlapping_members(trio: Lab) -> None:
    """A CIDR and an address inside it, in either order of coming and going."""
    members = trio.addresses("office", "10.0.0.0/24", "10.0.0.2")
    trio.group("web", ingress(remote_addresses="office"))
    trio.change("a", groups=("out", "web"))
    trio.up()
    assert trio.reach() == {"b a", "c a"}
    trio.addresses("office", "10.0.0.2")
    trio.set(members)
    assert trio.reach() == {"b a"}
    trio.addresses("office", "10.0.0.2", "10.0.0.0/16")
    trio.set(members)
    assert trio.reach() == {"b a", "c a"}


def test_rules_of_several_groups_add_up(trio: Lab) -> None:
    trio.group("one", ingress("udp", 1, 1))
    trio.group("two", ingress("udp", 2, 2))
    trio.change("a", groups=("out", "one", "two"))
    trio.up()
    assert trio.delivers("b", "a", 1)
    assert trio.delivers("b", "a", 2)
    assert not trio.delivers("b", "a", 3)
    trio.set(trio.change("a", groups=("out", "two")))
    assert not trio.delivers("b", "a", 1)
    assert trio.delivers("b", "a", 2)


def test_a_rule_comes_and_goes(trio: Lab) -> None:
    trio.up()
    out = trio.group("out", *ANYTHING_OUT, ingress("udp", 1, 1))
    trio.set(out)
    assert trio.delivers("b", "a", 1)
    trio.group("out", *ANYTHING_OUT)
    trio.set(out)
    assert not trio.delivers("b", "a", 1)


def test_stateless_needs_a_rule_for_answers(trio: Lab) -> None:
    plain = trio.group("plain", *ANYTHING_OUT, stateful=False)
    trio.group("in", ingress("udp", 7, 7))
    trio.change("a", groups=("plain",))
    trio.change("b", groups=("out", "in"))
    trio.up()
    assert trio.delivers("a", "b", 7, answer=False)
    assert not trio.delivers("a", "b", 7)
    trio.group("plain", *ANYTHING_OUT, ingress("udp"), stateful=False)
    trio.set(plain)
    assert trio.delivers("a", "b", 7)
    assert not trio.connects("a", "b", 7)


def test_a_stateful_neighbour_still_hears_answers_of_a_stateless_one(trio: Lab) -> None:
    trio.group("plain", ingress("udp", 7, 7), egress("udp"), stateful=False)
    trio.change("a", groups=("plain",))
    trio.up()
    assert trio.delivers("b", "a", 7)


def test_a_group_becomes_stateless(trio: Lab) -> None:
    trio.group("in", ingress("udp", 7, 7))
    trio.change("b", groups=("out", "in"))
    trio.group("mine", *ANYTHING_OUT)
    trio.change("a", groups=("mine",))
    trio.up()
    assert trio.delivers("a", "b", 7)
    trio.set(trio.group("mine", *ANYTHING_OUT, stateful=False))
    assert not trio.delivers("a", "b", 7)
