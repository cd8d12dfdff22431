"""A steady stream of pings, for what may not lose one while something happens."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import struct
import threading
import time
from dataclasses import dataclass

from tests.topo import frames
from weft.backends.linux import netns

SILENCE = 1.0
"""Seconds after the last echo request in which an answer may still come, on a machine that does other things too."""

_SO_RCVBUFFORCE, _UNREAD = 33, 4 << 20
"""Octets of answers that may wait while this process does something else (socket(7))."""
_IN_A_ROW = 5
_identities = itertools.count(os.getpid())


@dataclass(slots=True)
class Pings:
    """How many went and how many were answered. `output`: what a ping(8) printed."""

    sent: int
    received: int
    output: str = ""

    @property
    def lost(self) -> int:
        return self.sent - self.received


class Flood:
    """`rate` echo requests a second from a namespace to an IPv4 or IPv6 address, from now on until `stop`; `lost` are the
    numbers of those that were not answered, which only then says something."""

    def __init__(self, namespace: str, address: str, rate: float = 100) -> None:
        six = ":" in address
        self._ask, self._answer, self._head = (128, 129, 0) if six else (8, 0, 20)
        family, protocol = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if six else (socket.AF_INET, socket.IPPROTO_ICMP)
        self._raw = netns.open_socket(namespace, family, socket.SOCK_RAW, protocol)
        self._raw.settimeout(0.1)
        self._raw.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _UNREAD)
        self._address, self._pause = address, 1 / rate
        self._identity = next(_identities) & 0xFFFF
        self._ending, self._ended = threading.Event(), threading.Event()
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._send, self._receive)]
        self.sent: set[int] = set()
        self.answered: set[int] = set()
        for thread in self._threads:
            thread.start()

    @property
    def lost(self) -> set[int]:
        return self.sent - self.answered

    def flows(self, patience: float = 15) -> Flood:
        """Wait until some are answered in a row. What was sent before these does not count: neighbours were looked for."""
        end = time.monotonic() + patience
        while not (row := self._row()):
            assert time.monotonic() < end, f"nothing flows to {self._address}: {len(self.answered)} of {len(self.sent)}"
            time.sleep(0.01)
        self.sent -= set(range(row))
        return self

    def _row(self) -> int:
        """The first of the last answers in a row, 0 as long as they are too few."""
        last = max(self.answered, default=0)
        row = range(last, last - _IN_A_ROW, -1)
        return row[-1] if self.answered.issuperset(row) else 0

    def stop(self) -> Pings:
        """Send no more, and wait for the answers that are under way."""
        self._ending.set()
        for thread in self._threads:
            thread.join()
        self._raw.close()
        return Pings(len(self.sent), len(self.sent & self.answered))

    def _send(self) -> None:
        for number in range(1, 1 << 16):
            if self._ending.wait(self._pause):
                break
            self.sent.add(number)
            with contextlib.suppress(OSError):  # no way there just now: lost like any other
                self._raw.sendto(frames.echo(self._ask, self._identity, number), (self._address, 0))
        self._ended.set()

    def _receive(self) -> None:
        end = float("inf")
        while True:
            if self._ended.is_set():
                if not self.lost:
                    return
                end = min(end, time.monotonic() + SILENCE)
            try:
                icmp = self._raw.recv(2048)[self._head :]
            except TimeoutError:  # nothing waits to be read
                if time.monotonic() > end:
                    return
                continue
            if icmp[0] == self._answer and struct.unpack_from(">H", icmp, 4)[0] == self._identity:
                self.answered.add(struct.unpack_from(">H", icmp, 6)[0])
            elif time.monotonic() > end + SILENCE:  # others make themselves heard all the time
                return
