"""What listens inside the namespaces of networks and routers: DNS and HTTP, all served by one event loop."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from functools import partial

from weft.backends.linux import frames, services
from weft.backends.linux.nameserver import NameServer
from weft.backends.linux.proxy import Proxy

ROUTER_PORT = 9697
"""Where a router's namespace redirects 169.254.169.254:80 to."""


@dataclass(frozen=True, slots=True)
class Sockets:
    """Bound sockets of one place."""

    http: tuple[socket.socket, ...] = ()
    dns_udp: tuple[socket.socket, ...] = ()
    dns_tcp: tuple[socket.socket, ...] = ()


def open_service() -> Sockets:
    """Sockets on a network's service port; to be called inside its namespace."""
    index = socket.if_nametoindex(services.INSIDE)
    pairs = (
        (socket.AF_INET, lambda port: (frames.SERVICE4, port)),
        (socket.AF_INET6, lambda port: (frames.SERVICE6, port, 0, index)),
    )
    return Sockets(
        http=tuple(_bound(family, socket.SOCK_STREAM, address(80)) for family, address in pairs),
        dns_udp=tuple(_bound(family, socket.SOCK_DGRAM, address(53)) for family, address in pairs),
        dns_tcp=tuple(_bound(family, socket.SOCK_STREAM, address(53)) for family, address in pairs),
    )


def open_router() -> Sockets:
    """The socket that a router's namespace redirects to; to be called inside it."""
    return Sockets(http=(_bound(socket.AF_INET, socket.SOCK_STREAM, ("0.0.0.0", ROUTER_PORT)),))


def _bound(family: socket.AddressFamily, kind: socket.SocketKind, address: tuple[str | int, ...]) -> socket.socket:
    opened = socket.socket(family, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    opened.bind(address)
    return opened


class Listeners:
    """What listens at one place."""

    def __init__(
        self, place: str, sockets: Sockets, loop: asyncio.AbstractEventLoop, proxy: Proxy, nameserver: NameServer
    ) -> None:
        self._closing = False
        self._open: list[asyncio.Server | asyncio.DatagramTransport] = []
        self._task = loop.create_task(self._start(place, sockets, loop, proxy, nameserver))

    async def _start(
        self, place: str, sockets: Sockets, loop: asyncio.AbstractEventLoop, proxy: Proxy, nameserver: NameServer
    ) -> None:
        for one in sockets.http:
            self._open.append(await asyncio.start_server(partial(proxy.serve, place), sock=one))
        for one in sockets.dns_tcp:
            self._open.append(await asyncio.start_server(partial(nameserver.serve, place), sock=one))
        for one in sockets.dns_udp:
            transport, _ = await loop.create_datagram_endpoint(partial(nameserver.listener, place), sock=one)
            self._open.append(transport)
        if self._closing:
            self.close()

    def close(self) -> None:
        """Stop listening; connections that are open may finish."""
        self._closing = True
        while self._open:
            self._open.pop().close()
