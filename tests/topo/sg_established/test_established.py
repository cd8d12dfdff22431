"""A permission that goes takes the connections with it that lived by it, and no others."""

from __future__ import annotations

import contextlib
import socket

import pytest

from tests.topo.lab import ANYTHING_OUT, Lab, egress, ingress, uid
from weft.logical.model import Key

pytestmark = [pytest.mark.needs_root, pytest.mark.dataplanes("linux", "ovn")]

Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def talk(lab: Lab) -> Lab:
    """b and c may connect to a on ports 80 to 82."""
    lab.network("n")
    lab.group("friends")
    lab.group("80", ingress("tcp", 80, 80))
    lab.group("81", ingress("tcp", 81, 82, remote_group="friends"))
    lab.port("a", "n", "10.0.0.1/24", "fd00::1/64", groups=("out", "80", "81"))
    lab.port("b", "n", "10.0.0.2/24", "fd00::2/64", groups=("out", "friends"))
    lab.port("c", "n", "10.0.0.3/24", "fd00::3/64", groups=("out", "friends"))
    lab.up()
    return lab


def alive(ends: Ends | None) -> bool:
    assert ends is not None
    client, server = ends
    try:
        client.send(b"x")
        server.send(b"y")
        return server.recv(10) + client.recv(10) != b""
    except OSError:
        return False


def test_a_rule_that_goes_ends_its_connections_only(talk: Lab) -> None:
    with contextlib.ExitStack() as stack:
        eighty = stack.enter_context(talk.stream("b", "a", 80))
        other = stack.enter_context(talk.stream("b", "a", 81))
        assert alive(eighty)
        assert alive(other)
        talk.set(talk.group("80"))
        assert not alive(eighty)
        assert alive(other)


def test_a_member_that_leaves_loses_its_connections(talk: Lab) -> None:
    with contextlib.ExitStack() as stack:
        b = stack.enter_context(talk.stream("b", "a", 81))
        c = stack.enter_context(talk.stream("c", "a", 82))
        talk.set(talk.change("b", groups=("out",)), Key("addresses", uid("friends")))
        assert not alive(b)
        assert alive(c)


def test_a_group_that_is_taken_off_the_port(talk: Lab) -> None:
    with contextlib.ExitStack() as stack:
        eighty = stack.enter_context(talk.stream("b", "a", 80))
        other = stack.enter_context(talk.stream("b", "a", 81))
        talk.set(talk.change("a", groups=("out", "81")))
        assert not alive(eighty)
        assert alive(other)


def test_ipv6(talk: Lab) -> None:
    key = talk.group("80", ingress("tcp", 80, 80, ethertype="IPv6"))
    talk.set(key)
    with talk.stream("b", "a", 80, "fd00::1") as ends:
        assert alive(ends)
        talk.set(talk.group("80"))
        assert not alive(ends)


def test_an_egress_rule_that_goes(talk: Lab) -> None:
    key = talk.group("web-out", egress("tcp", 80, 81))
    talk.set(talk.change("b", groups=("web-out", "friends")), key)
    with contextlib.ExitStack() as stack:
        eighty = stack.enter_context(talk.stream("b", "a", 80))
        other = stack.enter_context(talk.stream("b", "a", 81))
        assert alive(eighty)
        talk.set(talk.group("web-out", egress("tcp", 81, 81)))
        assert not alive(eighty)
        assert alive(other)


def test_a_rule_removed_while_nobody_was_there(talk: Lab) -> None:
    """The first pass of a new process judges what it finds established."""
    with contextlib.ExitStack() as stack:
        eighty = stack.enter_context(talk.stream("b", "a", 80))
        other = stack.enter_context(talk.stream("b", "a", 81))
        talk.restart()
        talk.group("80")
        talk.full()
        assert not alive(eighty)
        assert alive(other)


def test_one_of_two_permissions_is_enough(talk: Lab) -> None:
    talk.set(talk.group("81", ingress("tcp", 80, 80, remote_group="friends")))
    with talk.stream("b", "a", 80) as ends:
        talk.set(talk.group("80"))
        assert alive(ends)


def test_the_next_owner_of_an_address_inherits_no_connection(talk: Lab) -> None:
    """c goes, d gets its address: an answer to c's request is nothing that d asked for."""
    with (
        talk.socket("c", socket.AF_INET, socket.SOCK_DGRAM) as old,
        talk.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as a,
    ):
        talk.set(talk.group("80", ingress("udp")))
        a.bind(("10.0.0.1", 9))
        old.bind(("10.0.0.3", 9))
        old.sendto(b"question", ("10.0.0.1", 9))
        assert a.recv(100) == b"question"
        gone = talk.without("c")
        talk.unplug("c")
        talk.set(gone)
        talk.set(talk.port("d", "n", "10.0.0.3/24"))
        talk.plug("d")
        talk.set(Key("port", uid("d")))
        with talk.socket("d", socket.AF_INET, socket.SOCK_DGRAM) as new:
            new.bind(("10.0.0.3", 9))
            a.sendto(b"answer", ("10.0.0.3", 9))
            with pytest.raises(TimeoutError):
                new.recv(100)


def test_port_security_switched_on_ends_what_it_would_not_allow(talk: Lab) -> None:
    talk.set(talk.change("a", port_security=False, groups=()))
    with talk.stream("b", "a", 99) as ends:
        assert alive(ends)
        talk.set(talk.change("a", port_security=True, groups=("out", "80")))
        assert not alive(ends)


def test_adding_a_rule_ends_nothing(talk: Lab) -> None:
    with talk.stream("b", "a", 80) as ends:
        talk.set(talk.group("out", *ANYTHING_OUT, ingress("udp", 5, 5)))
        assert alive(ends)
        talk.full()
        assert alive(ends)
