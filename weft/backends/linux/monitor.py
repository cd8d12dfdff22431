"""A thread that hears which links of the host namespace changed, and looks now and then at what makes no noise."""

from __future__ import annotations

import logging
import select
import socket
import threading
from collections.abc import Callable, Iterable

from weft.backends.linux import netlink
from weft.backends.linux.links import name_of

_LINKS = 1  # RTNLGRP_LINK
_LOG = logging.getLogger(__name__)


class Monitor:
    """Calls `changed` with names of links (None: any may have changed), and `look` every `interval` seconds, until closed.

    Names are collected for `settle` seconds, as a link that is made changes several times."""

    def __init__(
        self,
        namespace: str,
        changed: Callable[[frozenset[str] | None], None],
        look: Callable[[], None],
        interval: float = 2.0,
        settle: float = 0.01,
    ) -> None:
        self._socket = netlink.Socket(namespace, netlink.ROUTE, groups=[_LINKS])
        self._changed = changed
        self._look = look
        self._interval = interval
        self._settle = settle
        self._stop, self._stopper = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name=f"links of {namespace or 'the machine'}", daemon=True)
        self._thread.start()

    def close(self, wait: bool = True) -> None:
        """Stop. Not to be waited for by who holds a lock that `changed` or `look` take."""
        self._stopper.send(b"x")
        if wait and threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped():
            try:
                self._once()
            except OSError as error:
                _LOG.warning("link monitor: %s", error)
                self._stopped(1)
        for each in (self._socket, self._stop, self._stopper):
            each.close()

    def _stopped(self, seconds: float = 0) -> bool:
        return bool(_readable((self._stop.fileno(),), seconds))

    def _once(self) -> None:
        if not self._readable(self._interval):
            if not self._stopped():
                self._look()
            return
        names: set[str] | None = set()
        while self._readable(self._settle):
            try:
                heard = {name_of(body) for _, body in self._socket.receive()}
            except OSError:
                names = None  # the kernel had more to say than the buffer holds
                continue
            if names is not None:
                names |= heard
        self._changed(None if names is None else frozenset(names))

    def _readable(self, seconds: float) -> bool:
        ready = _readable((self._socket.fileno(), self._stop.fileno()), seconds)
        return self._socket.fileno() in ready and self._stop.fileno() not in ready


def _readable(fds: Iterable[int], seconds: float) -> set[int]:
    """Those of `fds` that can be read within `seconds`; numbers beyond what select(2) can take are fine."""
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    return {fd for fd, _ in poll.poll(seconds * 1000)}
