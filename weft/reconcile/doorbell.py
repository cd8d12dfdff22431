"""Bells between processes of one machine: whoever commits a change rings, everybody who follows the change log wakes.

They carry no information about what has changed, only whether somebody asks for an audit.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import socket
from collections.abc import Iterator
from pathlib import Path

DATAPLANE = "dataplane"
"""The listener that makes audits."""


def folder(state_path: Path) -> Path:
    """Where each listener has a socket, named <listener>.<process>.<lot>."""
    return state_path / "run" / "bells"


CHANGED, AUDIT = b"!", b"?"


class Bell:
    """Rings the doorbells of a state folder; silent where nobody listens."""

    def __init__(self, state_path: Path, but: str = "") -> None:
        """`but`: a listener that hears of the ringer's changes in another way."""
        self._folder = folder(state_path)
        self._but = but
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def ring(self) -> None:
        """Wake all listeners. A full queue means that one is about to wake anyway."""
        for name, path in self._listeners():
            if name != self._but:
                self._send(CHANGED, path)

    def ask_for_audit(self) -> bool:
        """Ask the dataplane for a full pass; False when nobody listens."""
        asked = [self._send(AUDIT, path) for name, path in self._listeners() if name == DATAPLANE]
        return any(asked)

    def _listeners(self) -> Iterator[tuple[str, str]]:
        """(name, path) of each. The path goes by a descriptor of the folder, since a socket's may have 107 octets only."""
        try:
            where = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return
        try:
            for entry in os.listdir(where):
                yield entry.partition(".")[0], f"/proc/self/fd/{where}/{entry}"
        finally:
            os.close(where)

    def _send(self, message: bytes, path: str) -> bool:
        try:
            self._socket.sendto(message, path)
        except ConnectionRefusedError:  # left by a process that was killed
            with contextlib.suppress(OSError):
                os.unlink(path)
            return False
        except BlockingIOError:
            return message == CHANGED
        except OSError:
            return False
        return True

    def __del__(self) -> None:
        self._socket.close()


class Doorbell:
    """The listener's side; `wake` may be called from any thread of this process."""

    def __init__(self, state_path: Path, name: str = DATAPLANE) -> None:
        where = folder(state_path)
        where.mkdir(parents=True, exist_ok=True)
        self._path = where / f"{name}.{os.getpid()}.{secrets.token_hex(4)}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        parent = os.open(where, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._socket.bind(f"/proc/self/fd/{parent}/{self._path.name}")
        finally:
            os.close(parent)
        os.chmod(self._path, 0o600)
        self._socket.setblocking(False)
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._write, b"!")

    def wait(self, seconds: float | None) -> bool:
        """Sleep until somebody rings or `seconds` are over; several rings count as one. True: an audit is asked for."""
        audit = False
        poll = select.poll()
        for fd in (self._socket.fileno(), self._read):
            poll.register(fd, select.POLLIN)
        poll.poll(None if seconds is None else seconds * 1000)
        with contextlib.suppress(BlockingIOError):
            while message := self._socket.recv(1):
                audit = audit or message == AUDIT
        with contextlib.suppress(BlockingIOError):
            os.read(self._read, 65536)
        return audit

    def close(self) -> None:
        """Listen no longer."""
        with contextlib.suppress(OSError):
            self._path.unlink()
        self._socket.close()
        os.close(self._read)
        os.close(self._write)
