"""The clients of a process: none may hold up the others by being slow or silent, with however many connections."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import resource
import socket
import stat
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

LOG = logging.getLogger(__name__)

MOST = 4096
"""Connections of a process. More wait in the listening socket until one of these ends."""
MANY = MOST * 3 // 4
"""With more, those that have been silent for longest are closed."""
BODIES = 64
"""Requests of a process that wait for their bodies at the same time. They hold none of the threads that work."""
SILENT = 90.0
"""Seconds after which a connection is cut on which we have sent nothing: a request is answered, or has not come, by then."""
HASTE = 2.0
"""Seconds in which, when too many wait, a body must have come; and in which no connection counts as silent."""
EVERY = 5.0
"""Seconds between two looks."""
FILES = 65536
"""Most open files that we ask for, where the system allows it."""

#: tcpi_last_data_sent and tcpi_last_data_recv of struct tcp_info (tcp(7)): milliseconds ago
TIMES = struct.Struct("44xI4xI")


@dataclass(frozen=True, order=True)
class Connection:
    """One of a client: seconds since we have sent something, seconds since something came, its descriptor."""

    sent: float
    received: float
    fd: int

    @property
    def silent(self) -> float:
        """Seconds in which nothing went either way."""
        return min(self.sent, self.received)

    @property
    def waits(self) -> bool:
        """The client's word was the last."""
        return self.received <= self.sent


class Workers:
    """The threads that work, `most` at the same time; who waits for a body lets another one work meanwhile."""

    def __init__(self, most: int, too_many: Callable[[], None]) -> None:
        self._places: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(most):
            self._places.put(None)
        self._bodies = threading.BoundedSemaphore(BODIES)
        self._too_many = too_many

    def run(self, run: Callable[[Any, Any], Any], proto: Any, scope: Any) -> Any:
        """Answer a request over granian's `proto`; with 503 when too many wait for their bodies."""
        if scope.get("CONTENT_LENGTH", "0") == "0" and "HTTP_TRANSFER_ENCODING" not in scope:
            return self._work(run, proto, scope)
        if not self._bodies.acquire(blocking=False):
            self._too_many()
            return proto.response_bytes(503, [("Retry-After", "2"), ("Connection", "close")], b"")
        try:
            scope["wsgi.input"] = Body(scope["wsgi.input"], self)
            return self._work(run, proto, scope)
        finally:
            self._bodies.release()

    def _work(self, run: Callable[[Any, Any], Any], proto: Any, scope: Any) -> Any:
        self._places.get()
        try:
            return run(proto, scope)
        finally:
            self._places.put(None)

    def without_place(self, read: Callable[..., bytes], *size: int) -> bytes:
        self._places.put(None)
        try:
            return read(*size)
        finally:
            self._places.get()


class Body:
    """What a client sends with a request, `wsgi.input` of PEP 3333 as far as we read it."""

    def __init__(self, inner: Any, workers: Workers) -> None:
        self._inner = inner
        self._workers = workers

    def read(self, *size: int) -> bytes:
        return self._workers.without_place(self._inner.read, *size)


class Guard:
    """Looks at the connections that `listener` has brought, now and then, and ends those that are in the way."""

    def __init__(self, listener: socket.socket) -> None:
        self._port = listener.getsockname()[1]
        self._hurry = threading.Event()
        self._bodies = False

    def start(self) -> None:
        threading.Thread(target=self._watch, name="guard", daemon=True).start()

    def too_many_bodies(self) -> None:
        self._bodies = True
        self._hurry.set()

    def _watch(self) -> None:
        while True:
            self._hurry.wait(EVERY)
            hurry, self._bodies = self._bodies, False
            with contextlib.suppress(OSError):
                self._look(hurry)
            if hurry:
                threading.Event().wait(HASTE / 2)
                self._hurry.clear()

    def _look(self, too_many_bodies: bool) -> None:
        found = list(connections(self._port))
        cut = {one for one in found if one.sent > SILENT}
        if too_many_bodies:
            late = sorted((one for one in found if one.waits and one.sent > HASTE), reverse=True)
            cut.update(late[: BODIES // 2])
        if len(found) > MANY:
            silent = sorted((one for one in found if one.silent > HASTE), key=lambda one: -one.silent)
            cut.update(silent[: len(found) - MANY])
        ended = sum(end(one, self._port) for one in cut)
        if ended:
            LOG.warning("ended %d of %d connections, which were silent or sent slowly", ended, len(found))


def connections(port: int) -> Iterator[Connection]:
    """Those of this process to a port of its own."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError), _borrowed(int(name)) as one:
            if one.family in (socket.AF_INET, socket.AF_INET6) and one.getsockname()[1] == port:
                one.getpeername()  # not the one that listens
                sent, received = TIMES.unpack(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TIMES.size))
                yield Connection(sent / 1000, received / 1000, int(name))


def end(connection: Connection, port: int) -> bool:
    """Shut it down, for granian to find; False if it is another one by now."""
    with contextlib.suppress(OSError), _borrowed(connection.fd) as one:
        if one.getsockname()[1] == port and one.getpeername():
            one.shutdown(socket.SHUT_RDWR)
            return True
    return False


@contextlib.contextmanager
def _borrowed(fd: int) -> Iterator[socket.socket]:
    """A socket of somebody else's, under a descriptor of our own. Raises OSError if it is none.

    Nothing else is copied: to close any descriptor of a file lets go of all locks that this process has on it (fcntl(2)), and
    SQLite without its locks is alone in its own opinion.
    """
    if not stat.S_ISSOCK(os.fstat(fd).st_mode):
        raise OSError
    copy = os.dup(fd)
    try:
        one = socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise
    with one:
        yield one


def raise_file_limit() -> None:
    """Let this process have as many files as the system allows it; the usual limit is 1024 (getrlimit(2))."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
