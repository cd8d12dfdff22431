"""Pure: one BFD session as its packets and clock move it (RFC 5880, asynchronous mode; no authentication, no echo)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum


class State(IntEnum):
    """As on the wire (RFC 5880, section 4.1)."""

    ADMIN_DOWN = 0
    DOWN = 1
    INIT = 2
    UP = 3


INTERVAL = 1.0
"""Seconds between packets, as sent and as asked for: that a session that is not up may not be faster, this one never is."""
MULTIPLIER = 3
"""So many packets missing are a silence."""
TTL = 255
"""Of every packet: one that was forwarded by somebody has less (RFC 5881, section 5)."""

_EXPIRED, _TOLD_DOWN = 1, 3
_POLL, _FINAL, _AUTHENTICATED, _MULTIPOINT = 0x20, 0x10, 0x04, 0x01
_PACKET = struct.Struct("!BBBBIIIII")


@dataclass(frozen=True, slots=True)
class Packet:
    """A control packet. Intervals in microseconds."""

    state: State
    mine: int
    yours: int = 0
    diagnostic: int = 0
    multiplier: int = MULTIPLIER
    desired_tx: int = int(INTERVAL * 1e6)
    required_rx: int = int(INTERVAL * 1e6)
    poll: bool = False
    final: bool = False

    def encode(self) -> bytes:
        flags = self.state << 6 | (_POLL if self.poll else 0) | (_FINAL if self.final else 0)
        sizes = (self.multiplier, _PACKET.size, self.mine, self.yours, self.desired_tx, self.required_rx, 0)
        return _PACKET.pack(1 << 5 | self.diagnostic, flags, *sizes)


def decode(data: bytes) -> Packet | None:
    """The packet; None for what RFC 5880, section 6.8.6, says to discard whatever the session."""
    if len(data) < _PACKET.size:
        return None
    first, flags, multiplier, length, mine, yours, tx, rx, _ = _PACKET.unpack_from(data)
    state = State(flags >> 6)
    if first >> 5 != 1 or not _PACKET.size <= length <= len(data) or not multiplier or not mine:
        return None
    if flags & (_AUTHENTICATED | _MULTIPOINT) or (not yours and state not in (State.DOWN, State.ADMIN_DOWN)):
        return None
    return Packet(state, mine, yours, first & 0x1F, multiplier, tx, rx, bool(flags & _POLL), bool(flags & _FINAL))


class Session:
    """What one end knows. Times are seconds of one clock, which the caller reads."""

    def __init__(self, discriminator: int, now: float) -> None:
        self.state = State.DOWN
        self.began = now
        self._mine = discriminator
        self._yours = 0
        self._diagnostic = 0
        self._asked = 0.0
        self._deadline: float | None = None

    @property
    def interval(self) -> float:
        """Seconds to the next packet, at most: as slow as either end wants."""
        return max(INTERVAL, self._asked)

    def packet(self, final: bool = False) -> Packet:
        """What to send now."""
        return Packet(self.state, self._mine, self._yours, self._diagnostic, final=final)

    def heard(self, packet: Packet, now: float) -> Packet | None:
        """The other end said so; returns what is to be answered at once."""
        if packet.yours and packet.yours != self._mine:
            return None
        self._yours, self._asked = packet.mine, packet.required_rx / 1e6
        self._deadline = now + packet.multiplier * max(INTERVAL, packet.desired_tx / 1e6)
        if packet.state is State.ADMIN_DOWN:
            if self.state is not State.DOWN:
                self._fall(_TOLD_DOWN)
        elif self.state is State.DOWN:
            if packet.state is State.DOWN:
                self.state = State.INIT
            elif packet.state is State.INIT:
                self.state = State.UP
        elif self.state is State.INIT:
            if packet.state in (State.INIT, State.UP):
                self.state = State.UP
        elif packet.state is State.DOWN:
            self._fall(_TOLD_DOWN)
        return self.packet(final=True) if packet.poll else None

    def passed(self, now: float) -> None:
        """It is `now`: a silence may have become too long."""
        if self._deadline is not None and now >= self._deadline:
            self._deadline, self._yours, self._asked = None, 0, 0.0
            if self.state is not State.DOWN:
                self._fall(_EXPIRED)

    def _fall(self, why: int) -> None:
        self.state, self._diagnostic = State.DOWN, why
