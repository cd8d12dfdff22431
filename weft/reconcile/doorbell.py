"""A bell between processes of one machine: whoever commits a change rings, reconcilers wake.

It carries no information about what has changed, only whether somebody asks for an audit.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from pathlib import Path


def path(state_path: Path) -> Path:
    return state_path / "run" / "doorbell"


CHANGED, AUDIT = b"!", b"?"


class Bell:
    """Rings the doorbell of a state folder; silent when nobody listens."""

    def __init__(self, state_path: Path) -> None:
        self._path = str(path(state_path))
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def ring(self) -> None:
        """Wake the listener. A full queue means that it is about to wake anyway."""
        with contextlib.suppress(OSError):
            self._socket.sendto(CHANGED, self._path)

    def ask_for_audit(self) -> bool:
        """Ask the listener for a full pass; False when nobody listens."""
        try:
            self._socket.sendto(AUDIT, self._path)
        except OSError:
            return False
        return True

    def __del__(self) -> None:
        self._socket.close()


class Doorbell:
    """The listener's side; `wake` may be called from any thread of this process."""

    def __init__(self, state_path: Path) -> None:
        where = path(state_path)
        where.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            where.unlink()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(where))
        os.chmod(where, 0o600)
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
        self._socket.close()
        os.close(self._read)
        os.close(self._write)
