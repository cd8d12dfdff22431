"""What listens inside the namespaces of networks and routers: DNS and HTTP, all served by one event loop."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from weft.backends.linux import router
from weft.backends.linux.nameserver import NameServer
from weft.backends.linux.proxy import Proxy


@dataclass(frozen=True, slots=True)
class Sockets:
    """Bound sockets of one place."""

    http: tuple[socket.socket, ...]
    dns_udp: tuple[socket.socket, ...]
    dns_tcp: tuple[socket.socket, ...]


def open_service() -> Sockets:
    """Sockets on a network's service port; to be called inside its namespace."""
    return _open(80, 53, socket.AF_INET, socket.AF_INET6)


def open_router() -> Sockets:
    """Sockets that a router's namespace redirects to; to be called inside it."""
    return _open(router.METADATA_PORT, router.DNS_PORT, socket.AF_INET)


def open_http() -> tuple[socket.socket, ...]:
    """Sockets where only metadata is served, on every address; to be called inside its namespace."""
    first = _bound(socket.AF_INET, socket.SOCK_STREAM, 80)
    try:
        return first, _bound(socket.AF_INET6, socket.SOCK_STREAM, 80)
    except OSError:
        first.close()
        raise


def _open(http: int, dns: int, *families: socket.AddressFamily) -> Sockets:
    """On every address: our two are the only ones there, and they may be taken away and given back meanwhile."""
    with ExitStack() as stack:

        def bound(kind: socket.SocketKind, port: int) -> tuple[socket.socket, ...]:
            return tuple(stack.enter_context(_bound(family, kind, port)) for family in families)

        sockets = Sockets(
            bound(socket.SOCK_STREAM, http), bound(socket.SOCK_DGRAM, dns), bound(socket.SOCK_STREAM, dns)
        )
        stack.pop_all()
        return sockets


def _bound(family: socket.AddressFamily, kind: socket.SocketKind, port: int) -> socket.socket:
    opened = socket.socket(family, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind(("", port))
    except OSError:
        opened.close()
        raise
    return opened


class Listeners:
    """What listens at one place."""

    def __init__(self) -> None:
        self._open: list[asyncio.Server | asyncio.DatagramTransport] = []

    def add(self, one: asyncio.Server | asyncio.DatagramTransport) -> None:
        self._open.append(one)

    def close(self) -> None:
        """Stop listening; connections that are open may finish."""
        while self._open:
            self._open.pop().close()


async def listen(place: str, sockets: Sockets, proxy: Proxy, nameserver: NameServer) -> Listeners:
    """Serve these sockets in the running loop."""
    listeners = Listeners()
    loop = asyncio.get_running_loop()
    for one in sockets.http:
        listeners.add(await asyncio.start_server(partial(proxy.serve, place), sock=one))
    for one in sockets.dns_tcp:
        listeners.add(await asyncio.start_server(partial(nameserver.serve, place), sock=one))
    for one in sockets.dns_udp:
        transport, _ = await loop.create_datagram_endpoint(partial(nameserver.listener, place), sock=one)
        listeners.add(transport)
    return listeners
