"""Bells between processes: whoever commits a change rings, everybody who follows the change log wakes.

On one machine they are sockets in the state folder; on PostgreSQL its own notifications reach other machines too. They
carry no information about what has changed, only whether somebody asks for an audit.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from weft.store.engine import Store
from weft.store.rings import Listener, Ringer

DATAPLANE = "dataplane"
"""The listener that makes audits."""


def folder(state_path: Path) -> Path:
    """Where each listener has a socket, named <listener>.<process>.<lot>."""
    return state_path / "run" / "bells"


CHANGED, AUDIT = b"!", b"?"


class Bell:
    """Rings the doorbells of a state folder; silent where nobody listens."""

    def __init__(self, state_path: Path, store: Store | None = None) -> None:
        """With a `store` other machines hear too."""
        self._folder = folder(state_path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._far = Ringer(store) if store else None

    def ring(self) -> None:
        """Wake all listeners, one's own too, who has yet to read what was written. A full queue means that one is about to
        wake anyway."""
        if self._far:
            self._far.ring()
        for _, path in self._listeners():
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

    def __init__(self, state_path: Path, name: str = DATAPLANE, store: Store | None = None) -> None:
        """With a `store` it hears other machines too, where they share a PostgreSQL."""
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
        self._far = Listener(store) if store and not store.sqlite else None

    def wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._write, b"!")

    def wait(self, seconds: float | None) -> bool:
        """Sleep until somebody rings or `seconds` are over; several rings count as one. True: an audit is asked for."""
        audit = rung = False
        until = None if seconds is None else time.monotonic() + seconds
        while not rung:
            left = None if until is None else max(0.0, until - time.monotonic())
            rung = self._poll(left)
            with contextlib.suppress(BlockingIOError):
                while message := self._socket.recv(1):
                    audit = audit or message == AUDIT
            with contextlib.suppress(BlockingIOError):
                os.read(self._read, 65536)
            rung = (self._far is not None and self._far.heard()) or rung or left == 0.0
        return audit

    def _poll(self, seconds: float | None) -> bool:
        """Sleep until a ring or `seconds`, or until the connection to the database wants to be looked at: then False."""
        poll = select.poll()
        near = (self._socket.fileno(), self._read)
        for fd in near:
            poll.register(fd, select.POLLIN)
        if self._far is not None:
            far, patience = self._far.fileno(), self._far.patience()
            if far is not None:
                poll.register(far, select.POLLIN)
            if patience is not None:
                seconds = patience if seconds is None else min(seconds, patience)
        ready = poll.poll(None if seconds is None else seconds * 1000)
        return any(fd in near for fd, _ in ready)

    def close(self) -> None:
        """Listen no longer."""
        if self._far is not None:
            self._far.close()
        with contextlib.suppress(OSError):
            self._path.unlink()
        self._socket.close()
        os.close(self._read)
        os.close(self._write)
