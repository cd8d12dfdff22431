"""A BFD session moved by packets and clock (RFC 5880)."""

from __future__ import annotations

import pytest

from weft.backends.linux.bfd_session import Packet, Session, State, decode

UP, INIT, DOWN, ADMIN = State.UP, State.INIT, State.DOWN, State.ADMIN_DOWN


def test_on_the_wire() -> None:
    data = Packet(UP, 0x01020304, 0x0A0B0C0D, diagnostic=1, poll=True).encode()
    assert data.hex() == "21e00318" + "01020304" + "0a0b0c0d" + "000f4240" * 2 + "00000000"
    assert decode(data) == Packet(UP, 0x01020304, 0x0A0B0C0D, diagnostic=1, poll=True)


GOOD = Packet(UP, 7, 1).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        GOOD[:23],
        b"\x41" + GOOD[1:],
        GOOD[:2] + b"\0" + GOOD[3:],
        GOOD[:3] + b"\x17" + GOOD[4:],
        GOOD[:3] + b"\x19" + GOOD[4:],
        GOOD[:4] + bytes(4) + GOOD[8:],
        GOOD[:1] + b"\xc4" + GOOD[2:],
        GOOD[:1] + b"\xc1" + GOOD[2:],
        Packet(UP, 7).encode(),
    ],
    ids=[
        "empty",
        "short",
        "version",
        "multiplier",
        "length",
        "beyond",
        "discriminator",
        "auth",
        "multipoint",
        "nobody",
    ],
)
def test_discarded(data: bytes) -> None:
    assert decode(data) is None


def session(state: State) -> Session:
    made = Session(1, 0.0)
    for told in {DOWN: (), INIT: (DOWN,), UP: (INIT,)}[state]:
        made.heard(Packet(told, 7, 1), 0.0)
    assert made.state is state
    return made


@pytest.mark.parametrize(
    ("before", "told", "after"),
    [
        (DOWN, DOWN, INIT), (DOWN, INIT, UP), (DOWN, UP, DOWN), (DOWN, ADMIN, DOWN),
        (INIT, DOWN, INIT), (INIT, INIT, UP), (INIT, UP, UP), (INIT, ADMIN, DOWN),
        (UP, DOWN, DOWN), (UP, INIT, UP), (UP, UP, UP), (UP, ADMIN, DOWN),
    ],
)  # fmt: skip
def test_the_machine(before: State, told: State, after: State) -> None:
    """RFC 5880, section 6.8.6."""
    one = session(before)
    one.heard(Packet(told, 7, 1), 0.0)
    assert one.state is after


def test_two_ends_come_up() -> None:
    ends = Session(1, 0.0), Session(2, 0.0)
    for now in range(4):
        for one, other in (ends, ends[::-1]):
            other.heard(one.packet(), now)
    assert [one.state for one in ends] == [UP, UP]


def test_what_is_meant_for_another_session_moves_nothing() -> None:
    one = session(UP)
    one.heard(Packet(DOWN, 7, 99), 0.0)
    assert one.state is UP


def test_silence() -> None:
    """As long as the other end says: its multiplier times the slower of both intervals."""
    one = session(UP)
    one.heard(Packet(UP, 7, 1, multiplier=5, desired_tx=2_000_000), 100.0)
    one.passed(109.9)
    assert one.state is UP
    one.passed(110.0)
    assert (one.state, one.packet().diagnostic, one.packet().yours) == (DOWN, 1, 0)


def test_a_poll_is_answered() -> None:
    one = session(UP)
    assert one.heard(Packet(UP, 7, 1), 0.0) is None
    answer = one.heard(Packet(UP, 7, 1, poll=True), 0.0)
    assert answer
    assert (answer.final, answer.poll, answer.mine, answer.yours, answer.state) == (True, False, 1, 7, UP)


def test_no_faster_than_the_other_end_wants() -> None:
    one = session(UP)
    assert one.interval == 1.0
    one.heard(Packet(UP, 7, 1, required_rx=3_000_000), 0.0)
    assert one.interval == 3.0
