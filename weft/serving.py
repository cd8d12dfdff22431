"""A WSGI application in this very process: granian's worker on a listening socket that the parent keeps."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import logging
import os
import signal
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from weft.connections import BODIES, MOST, Guard, Workers, raise_file_limit

LOG = logging.getLogger(__name__)

Run = Callable[[Any, Any], Any]
"""Answers a request: its arguments are granian's `proto` and the environment."""

BACKLOG = 1024
#: milliseconds for the headers of a request, and for a client to begin another one
IDLE = 30_000
#: granian logs where everything else does
LOGGING = {
    "handlers": {},
    "formatters": {},
    "loggers": {
        "_granian": {"handlers": [], "level": "ERROR", "propagate": True},
        "granian.access": {"handlers": [], "level": "ERROR", "propagate": True},
    },
}


#: socket(7), bpf(4)
SO_ATTACH_FILTER, BPF_RET = 26, 6
#: the signal for a process that another one is about to replace
LEAVE = signal.SIGUSR1
#: milliseconds after which a client that takes nothing of what we send is given up (TCP_USER_TIMEOUT, tcp(7))
STUCK = 30_000


class PortTakenError(OSError):
    """Somebody else listens there; the message says who, as far as we may see."""


def listen(address: str, port: int) -> socket.socket:
    """A socket that listens; connections wait in it while the process that accepts them is started again.

    Raises PortTakenError, and OSError for an address that this machine does not have.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        listener = socket.create_server((address.strip("[]"), port), family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise PortTakenError(f"port {port} of {address} is in use{_by(port)}") from error
    return configure(listener)


def configure(listener: socket.socket) -> socket.socket:
    """`listener`, with what the connections that it accepts inherit."""
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STUCK)
    listener.setblocking(False)
    return listener


def turn_away(listener: socket.socket) -> None:
    """Let no further client connect; those who have are accepted yet. Who tries is refused when the last process ends.

    Not by shutdown(2), which would reset those who have: by a filter that drops every packet to it (socket(7)).
    """
    drop = ctypes.create_string_buffer(struct.pack("HBBI", BPF_RET, 0, 0, 0))
    program = struct.pack("HL", 1, ctypes.addressof(drop))
    listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


@dataclass(frozen=True)
class Apart:
    """Requests that stay for long and so get a thread of their own, not one of the pool: their path, and how many at most."""

    path: str
    most: int


def serve(
    make_app: Callable[[], Any],
    listener: socket.socket,
    threads: int,
    ready: Callable[[], None],
    apart: Apart | None = None,
) -> None:
    """Answer requests on `listener` until SIGTERM or SIGINT; calls `ready` when the application is made.

    Granian would fork its workers from a supervisor of its own. Ours already has forked this process, so its worker
    runs right here: one process less for each service, and its pages shared with all others.
    """
    from granian._granian import SocketHolder
    from granian.constants import HTTPModes, Interfaces
    from granian.http import HTTP1Settings
    from granian.log import LogLevels
    from granian.server import mp

    holder: Any = SocketHolder  # its arguments are missing in its stub
    server_class: Any = mp.MPServer

    class InPlace(server_class):  # type: ignore[misc]
        def _serve(self, spawn_target: Any, target_loader: Any) -> None:
            self._ssp, self._sso = None, None
            self._shd = holder(listener.fileno(), False, BACKLOG)
            self._start_ipc()
            self._spawn_worker(0, spawn_target, target_loader).inner.run()

    signals = _Signals(lambda: _stop_accepting(listener))

    def load() -> Any:
        app = _say_good_bye(make_app(), signals)
        ready()
        return app

    raise_file_limit()
    guard = Guard(listener)
    workers = Workers(threads, guard.too_many_bodies)
    wrap = mp._wsgi_call_wrap  # type: ignore[attr-defined]

    def choose(*how: Any) -> Run:
        run = wrap(*how)
        guard.start()
        work = partial(workers.run, run)
        return _set_apart(run, work, apart, signals) if apart else work

    mp._wsgi_call_wrap = choose  # type: ignore[attr-defined, assignment]
    server = InPlace(
        "weft",
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,  # only so does granian's time limit hold for a client that says nothing at all
        http1_settings=HTTP1Settings(header_read_timeout=IDLE),
        blocking_threads=threads + BODIES,
        runtime_blocking_threads=1,
        backlog=BACKLOG,
        backpressure=MOST,
        log_level=LogLevels.error,
        log_dictconfig=LOGGING,
    )
    server.serve(target_loader=load, wrap_loader=False)


class _Signals:
    """What the process is told while granian has its main thread.

    LEAVE: it is about to end; it takes no new connections, which are for another process, and closes each that it has
    with the next answer. SIGTERM: it ends now, and who answers a request for long must let go of it.
    """

    def __init__(self, stop_accepting: Callable[[], None]) -> None:
        self.leaving = False
        self._stop_accepting = stop_accepting
        self._calls: set[Callable[[], None]] = set()
        self._asked, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        os.set_blocking(self._asked, True)
        signal.signal(LEAVE, lambda *_: None)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)  # granian takes SIGTERM and SIGINT themselves
        threading.Thread(target=self._wait, name="signals", daemon=True).start()

    def on_stop(self, call: Callable[[], None]) -> None:
        self._calls.add(call)

    def _wait(self) -> None:
        while signal.SIGTERM not in (asked := os.read(self._asked, 64)) and signal.SIGINT not in asked:
            if LEAVE in asked and not self.leaving:
                self.leaving = True
                self._stop_accepting()
        for call in list(self._calls):
            call()


def _stop_accepting(listener: socket.socket) -> None:
    """Leave the connections that wait on `listener` to other processes, without closing those that were accepted.

    Granian cannot: when it ends, it closes those on which it has not read anything yet. So in its place, behind its
    back, comes a socket to which nobody ever connects. The kernel goes on telling of the old one; accepting finds nothing.
    """
    nobody = socket.socket(socket.AF_UNIX)
    nobody.bind("")  # a name of the kernel's choice (unix(7), autobind)
    nobody.listen()
    nobody.setblocking(False)
    this = os.readlink(f"/proc/self/fd/{listener.fileno()}")
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}") == this:
                os.dup2(nobody.fileno(), int(name), inheritable=False)
    nobody.close()


def _say_good_bye(app: Any, signals: _Signals) -> Any:
    """The application, which closes its connections with their next answers once the process is leaving."""

    def application(environ: Any, start_response: Any) -> Any:
        if not signals.leaving:
            return app(environ, start_response)

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            return start_response(status, [*headers, ("Connection", "close")], *error)

        return app(environ, start)

    return application


def _set_apart(run: Run, work: Run, apart: Apart, signals: _Signals) -> Run:
    """`work` answers a request; where the path is that of `apart`, `run` does, in a thread of its own."""
    free = threading.BoundedSemaphore(apart.most + 8)  # a few more, to tell them that there are too many

    def run_apart(proto: Any, scope: Any) -> None:
        try:
            run(proto, {**scope, "weft.on_stop": signals.on_stop})
        finally:
            free.release()

    def choose(proto: Any, scope: Any) -> Any:
        if scope["PATH_INFO"] == apart.path and free.acquire(blocking=False):
            return threading.Thread(target=run_apart, args=(proto, scope), name="apart", daemon=True).start()
        return work(proto, scope)

    return choose


def _by(port: int) -> str:
    """', by process ...' if we may see whose the listening socket is; else what to try."""
    inodes = _listening_inodes(port)
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            links = {os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")}
        except OSError:
            continue
        if inodes & links:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            return f", by process {pid} ({words.strip()[:80]})"
    return f", by a process of somebody else: ss -ltnp 'sport = {port}' as root tells which"


def _listening_inodes(port: int) -> set[str]:
    """Sockets that listen on a port, as /proc/PID/fd names them (proc(5), /proc/net/tcp)."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for words in (line.split() for line in lines):
            if words[3] == "0A" and int(words[1].rpartition(":")[2], 16) == port:
                found.add(f"socket:[{words[9]}]")
    return found
