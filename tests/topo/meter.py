"""How much passes between two sockets, by datagrams that say when they were sent, or by one TCP connection."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from dataclasses import dataclass

SIZE = 1000
"""Bytes of payload; with UDP, IPv4 and Ethernet 1042."""
_SO_RCVBUFFORCE = 33
_DRAIN = 0.4
"""Seconds after which what waited somewhere has arrived."""


@dataclass(frozen=True, slots=True)
class Passed:
    """Datagrams that were offered, and those of them that arrived, in so many seconds."""

    offered: int
    arrived: int
    seconds: float

    @property
    def kbps(self) -> float:
        """kbit/s of whole frames that arrived."""
        return self.arrived * (SIZE + 42) * 8 / 1000 / self.seconds

    @property
    def kbps_offered(self) -> float:
        return self.offered * (SIZE + 42) * 8 / 1000 / self.seconds


def datagrams(
    source: socket.socket, sink: socket.socket, to: tuple[str, int], seconds: float, kbps: int, warm_up: float = 0
) -> Passed:
    """Offer `kbps` for so many seconds; those sent during `warm_up`, before, do not count."""
    sink.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 64 << 20)
    source.setblocking(False)
    begin = time.monotonic() + warm_up
    per_second = kbps * 1000 / 8 / (SIZE + 42)
    sent = offered = 0
    while (now := time.monotonic()) < begin + seconds:
        due = int((now - begin + warm_up) * per_second)
        while sent < due:
            payload = struct.pack(">d", now - begin).ljust(SIZE, b"\0")
            with contextlib.suppress(BlockingIOError):  # those that wait for the limit fill the socket's own queue
                source.sendto(payload, to)
            sent += 1
            offered += now >= begin
        time.sleep(0.001)
    elapsed = time.monotonic() - begin
    sink.settimeout(_DRAIN)
    arrived = 0
    with contextlib.suppress(TimeoutError):
        while True:
            arrived += struct.unpack(">d", sink.recv(SIZE)[:8])[0] >= 0
    return Passed(offered, arrived, elapsed)


def stream(source: socket.socket, sink: socket.socket, seconds: float) -> float:
    """kbit/s of payload that one TCP connection carries."""
    ending = threading.Event()

    def send() -> None:
        source.settimeout(0.2)
        with contextlib.suppress(OSError):
            while not ending.is_set():
                with contextlib.suppress(TimeoutError):
                    source.send(bytes(1 << 14))

    sender = threading.Thread(target=send, daemon=True)
    sink.settimeout(1)
    begin, received = time.monotonic(), 0
    sender.start()
    with contextlib.suppress(TimeoutError):
        while time.monotonic() < begin + seconds:
            received += len(sink.recv(1 << 16))
    elapsed = time.monotonic() - begin
    ending.set()
    sender.join()
    return received * 8 / 1000 / elapsed
