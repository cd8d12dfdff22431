"""A thread that hears what others change inside the namespaces of routers; nothing is asked for while nothing happens."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import threading
from collections.abc import Callable
from dataclasses import dataclass

from weft.backends.linux import netlink, netns

_ROUTE_GROUPS = (1, 5, 7, 8, 9, 11, 19)  # RTNLGRP_LINK, IPV4_IFADDR, _ROUTE and _RULE, IPV6_IFADDR, _ROUTE and _RULE
_NFT_GROUPS = (7,)  # NFNLGRP_NFTABLES
_GET_NAMESPACE = 0x894C  # SIOCGSKNS


@dataclass(slots=True)
class _Watched:
    namespace: str
    identity: int
    sockets: tuple[netlink.Socket, ...]


class RouterWatch:
    """Calls `report` with ids of routers. `busy` is held by whoever changes the namespaces itself: such changes, once
    forgotten by `settle`, are not reported.

    Names of namespaces are looked at every `interval` seconds: taking one away makes no noise. Two file descriptors for
    each router; they also keep its namespace alive for `restore`.
    """

    def __init__(self, busy: threading.RLock, report: Callable[[frozenset[str]], None], interval: float = 2.0) -> None:
        self._busy = busy
        self._report = report
        self._interval = interval
        self._watched: dict[str, _Watched] = {}
        self._owners: dict[int, str] = {}
        self._poll = select.epoll()
        self._wake = os.eventfd(0)
        self._poll.register(self._wake, select.EPOLLIN)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="routers", daemon=True)
        self._thread.start()

    def settle(self, router_id: str, namespace: str) -> None:
        """Listen to the router's namespace, from now on: what has happened there is known."""
        identity = netns.identity(namespace)
        known = self._watched.get(router_id)
        if known and known.identity == identity:
            self._hear(known)
            return
        self.drop(router_id)
        sockets = (
            netlink.Socket(namespace, netlink.ROUTE, _ROUTE_GROUPS),
            netlink.Socket(namespace, netlink.NETFILTER, _NFT_GROUPS),
        )
        self._watched[router_id] = _Watched(namespace, identity, sockets)
        for sock in sockets:
            self._owners[sock.fileno()] = router_id
            self._poll.register(sock.fileno(), select.EPOLLIN)

    def drop(self, router_id: str) -> None:
        """Listen no longer, and let the namespace end."""
        known = self._watched.pop(router_id, None)
        for sock in known.sockets if known else ():
            self._poll.unregister(sock.fileno())
            del self._owners[sock.fileno()]
            sock.close()

    def restore(self, router_id: str) -> bool:
        """Give the namespace its name back if nothing else has that name now. True if it was lost and is back."""
        known = self._watched.get(router_id)
        if known is None or netns.exists(known.namespace):
            return False
        fd = fcntl.ioctl(known.sockets[0].fileno(), _GET_NAMESPACE)
        try:
            netns.restore(known.namespace, fd)
        finally:
            os.close(fd)
        return True

    def close(self) -> None:
        """Stop the thread and close the sockets."""
        self._closing.set()
        os.eventfd_write(self._wake, 1)
        if threading.current_thread() is not self._thread:
            self._thread.join()
        for router_id in list(self._watched):
            self.drop(router_id)
        self._poll.close()
        os.close(self._wake)

    def _run(self) -> None:
        while not self._closing.is_set():
            events = self._poll.poll(self._interval)
            with self._busy:
                if self._closing.is_set():
                    return
                heard = {self._owners[fd] for fd, _ in events if fd in self._owners}
                changed = {router_id for router_id in heard if self._hear(self._watched[router_id])}
                if not events:
                    changed |= {id_ for id_, known in self._watched.items() if not _is_there(known)}
            if changed:
                self._report(frozenset(changed))

    def _hear(self, known: _Watched) -> bool:
        """Empty the sockets; whether there was anything in them."""
        heard = False
        for sock in known.sockets:
            while _readable(sock.fileno()):
                heard = True
                with contextlib.suppress(OSError):  # the kernel had more to say than the buffer holds
                    sock.receive()
        return heard


def _readable(fd: int) -> bool:
    poll = select.poll()  # select(2) knows no file descriptors from 1024 on
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def _is_there(known: _Watched) -> bool:
    try:
        return netns.exists(known.namespace) and netns.identity(known.namespace) == known.identity
    except FileNotFoundError:
        return False
