"""BFD with the next hops of routers (RFC 5881): a thread with two sockets for each, in the router's namespace."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

from weft.backends.linux import netns
from weft.backends.linux.bfd_session import INTERVAL, MULTIPLIER, TTL, Session, State, decode
from weft.backends.linux.uplinks import Hop

LOG = logging.getLogger(__name__)

PORT = 3784
_SOURCE_PORTS = range(49152, 65536)
_SO_BINDTODEVICE, _IP_RECVTTL, _IPV6_RECVHOPLIMIT = 25, 12, 51
GRACE = (MULTIPLIER + 2) * INTERVAL
"""Seconds for which a new session counts as neither up nor down: a restart of ours is no failure of a next hop."""


@dataclass(slots=True)
class _Peer:
    """One session with its sockets; `told`: whether it counted as dead when that was last reported."""

    router_id: str
    hop: Hop
    source: str
    ours: socket.socket
    theirs: socket.socket
    session: Session
    due: float
    told: bool = False

    def dead(self, now: float) -> bool:
        return self.session.state is not State.UP and now - self.session.began >= GRACE


@dataclass(slots=True)
class Bfd:
    """The sessions of all routers of this host. The thread runs as long as there are any."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _peers: dict[tuple[str, Hop], _Peer] = field(default_factory=dict)
    _by_socket: dict[int, _Peer] = field(default_factory=dict)
    _poll: select.epoll = field(default_factory=select.epoll)
    _wake: int = field(default_factory=lambda: os.eventfd(0))
    _thread: threading.Thread | None = None
    _closing: bool = False
    _report: Callable[[str], None] | None = None

    def watch(self, report: Callable[[str], None]) -> None:
        """Report, from the thread, ids of routers of whose next hops one died or came to life."""
        self._report = report

    def set(self, router_id: str, namespace: str, wanted: Mapping[Hop, str]) -> None:
        """Speak with these next hops of the router, from the addresses that they map to, and with no others of its own."""
        with self._lock:
            for key, peer in list(self._peers.items()):
                if key[0] == router_id and wanted.get(key[1]) != peer.source:
                    self._drop(key)
            for hop, source in wanted.items():
                if (router_id, hop) not in self._peers:
                    try:
                        self._add(router_id, namespace, hop, source)
                    except OSError as error:
                        LOG.warning("no BFD with %s by %s of router %s: %s", hop.via, hop.leg, router_id, error)
            if self._peers and self._thread is None:
                self._poll.register(self._wake, select.EPOLLIN)
                self._thread = threading.Thread(target=self._run, name="bfd", daemon=True)
                self._thread.start()
        os.eventfd_write(self._wake, 1)

    def dead(self, router_id: str) -> frozenset[Hop]:
        """The next hops of the router that do not answer."""
        now = time.monotonic()
        with self._lock:
            return frozenset(
                peer.hop for peer in self._peers.values() if peer.router_id == router_id and peer.dead(now)
            )

    def close(self) -> None:
        """Stop; the other ends will notice. Once more does nothing."""
        if self._closing:
            return
        self._closing = True
        os.eventfd_write(self._wake, 1)
        if self._thread:
            self._thread.join()
        for key in list(self._peers):
            self._drop(key)
        self._poll.close()
        os.close(self._wake)

    def _add(self, router_id: str, namespace: str, hop: Hop, source: str) -> None:
        theirs = _listener(namespace, hop, source)
        try:
            ours = _speaker(namespace, hop, source)
        except OSError:
            theirs.close()
            raise
        now = time.monotonic()
        session = Session(random.SystemRandom().randrange(1, 1 << 32), now)
        peer = _Peer(router_id, hop, source, ours, theirs, session, now)
        self._peers[router_id, hop] = peer
        self._by_socket[theirs.fileno()] = peer
        self._poll.register(theirs.fileno(), select.EPOLLIN)

    def _drop(self, key: tuple[str, Hop]) -> None:
        peer = self._peers.pop(key)
        self._poll.unregister(peer.theirs.fileno())
        del self._by_socket[peer.theirs.fileno()]
        peer.ours.close()
        peer.theirs.close()

    def _run(self) -> None:
        while True:
            with self._lock:
                if self._closing:
                    return
                moved = self._work(time.monotonic())
                until = min((peer.due for peer in self._peers.values()), default=time.monotonic() + 60)
            for router_id in moved:
                if self._report:
                    self._report(router_id)
            for fd, _ in self._poll.poll(max(0.0, until - time.monotonic())):
                if fd == self._wake:
                    os.eventfd_read(self._wake)

    def _work(self, now: float) -> list[str]:
        """Hear what has come, send what is due; returns the routers of which a next hop died or came to life."""
        for peer in self._peers.values():
            _hear(peer, now)
            peer.session.passed(now)
            if now >= peer.due:
                _send(peer, peer.session.packet().encode())
                # 10 to 25 % less than the interval, so that many ends do not speak in step (RFC 5880, section 6.8.7)
                peer.due = now + peer.session.interval * random.uniform(0.75, 0.9)
        changed = [peer for peer in self._peers.values() if peer.dead(now) != peer.told]
        for peer in changed:
            peer.told = peer.dead(now)
            what = "does not answer BFD" if peer.told else "answers BFD again"
            LOG.warning("router %s: next hop %s by %s %s", peer.router_id, peer.hop.via, peer.hop.leg, what)
        return sorted({peer.router_id for peer in changed})


def _socket(namespace: str, hop: Hop) -> socket.socket:
    family = socket.AF_INET6 if ":" in hop.via else socket.AF_INET
    sock = netns.open_socket(namespace, family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    sock.setsockopt(socket.SOL_SOCKET, _SO_BINDTODEVICE, hop.leg.encode() + b"\0")
    return sock


def _listener(namespace: str, hop: Hop, source: str) -> socket.socket:
    sock = _socket(namespace, hop)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVHOPLIMIT, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)
    try:
        sock.bind((source, PORT))
    except OSError:
        sock.close()
        raise
    return sock


def _speaker(namespace: str, hop: Hop, source: str) -> socket.socket:
    sock = _socket(namespace, hop)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, TTL)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, TTL)
    for port in random.SystemRandom().sample(_SOURCE_PORTS, 10):
        with contextlib.suppress(OSError):
            sock.bind((source, port))
            return sock
    sock.close()
    raise OSError("no source port is free")


def _hear(peer: _Peer, now: float) -> None:
    while True:
        try:
            data, ancillary, _, sender = peer.theirs.recvmsg(128, socket.CMSG_SPACE(4))
        except BlockingIOError:
            return
        except OSError as error:
            LOG.info("BFD with %s: %s", peer.hop.via, error)
            return
        limit = next((struct.unpack("=i", value)[0] for _, _, value in ancillary), 0)
        packet = decode(data)
        if packet is None or limit != TTL or ip_address(sender[0]) != ip_address(peer.hop.via):
            continue
        answer = peer.session.heard(packet, now)
        if answer:
            _send(peer, answer.encode())


def _send(peer: _Peer, data: bytes) -> None:
    """What cannot be sent is missing at the other end, which is what it is for."""
    with contextlib.suppress(OSError):
        peer.ours.sendto(data, (peer.hop.via, PORT))
