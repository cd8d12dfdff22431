"""DNS over UDP and TCP for all networks: what a zone does not know is asked of the machine's resolvers."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import dns.rcode

from weft.backends.linux.dns import FORWARD, Zone, failure, is_response
from weft.backends.linux.limits import Buckets, Places

LOG = logging.getLogger(__name__)

RATE, BURST = 200, 1000
"""Queries a second and at once of one address."""

OUTSTANDING = 512
"""Different questions that wait for the resolvers at the same time."""

UDP_SECONDS, TCP_SECONDS, IDLE_SECONDS = 3, 10, 10
EACH, TOTAL = 8, 256
"""TCP connections at the same time of one address, and of all."""

Resolver = tuple[str, int]
"""(address, port)"""


def of_configuration(addresses: Iterable[str]) -> tuple[Resolver, ...]:
    """Each as `address`, `address:port` or `[address]:port`."""
    found = []
    for text in addresses:
        host, port = text, 53
        if text.startswith("["):
            host, _, rest = text[1:].partition("]")
            port = int(rest[1:] or 53)
        elif text.count(":") == 1:
            host, _, rest = text.partition(":")
            port = int(rest)
        found.append((host, port))
    return tuple(found)


def of_this_machine(file: Path = Path("/etc/resolv.conf")) -> tuple[Resolver, ...]:
    """The resolvers that this machine uses itself (resolv.conf(5)); none when there is no such file."""
    try:
        lines = [line.split() for line in file.read_text(errors="replace").splitlines()]
    except OSError:
        return ()
    return tuple((line[1], 53) for line in lines if line[:1] == ["nameserver"] and len(line) > 1)


class _Once(asyncio.DatagramProtocol):
    """A socket for one question: the first datagram that answers it."""

    def __init__(self, query: bytes) -> None:
        self._query = query
        self.response: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if not self.response.done() and is_response(self._query, data):
            self.response.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.response.done():
            self.response.set_exception(exc)


class Forwarder:
    """Asks the resolvers, one after the other, from the namespace that the process runs in.

    The same question of several clients is asked once. That is also what ends a loop: when a resolver is itself a client
    of ours and asks back, its question joins the one that waits, and both fail together.
    """

    def __init__(self, upstream: Sequence[Resolver]) -> None:
        self._upstream = upstream
        self._waiting: dict[tuple[bytes, bool], asyncio.Task[bytes]] = {}

    async def ask(self, query: bytes, over_tcp: bool) -> bytes:
        """The response to `query`, with its id; SERVFAIL when no resolver gives one."""
        key = query[2:], over_tcp
        task = self._waiting.get(key)
        if task is None:
            if not self._upstream or len(self._waiting) >= OUTSTANDING:
                return failure(query, dns.rcode.SERVFAIL)
            task = asyncio.create_task(self._resolve(query, over_tcp))
            self._waiting[key] = task
            task.add_done_callback(lambda _: self._waiting.pop(key, None))
        response = await asyncio.shield(task)
        return query[:2] + response[2:]

    async def _resolve(self, query: bytes, over_tcp: bool) -> bytes:
        query = secrets.token_bytes(2) + query[2:]
        for resolver in self._upstream:
            try:
                async with asyncio.timeout(TCP_SECONDS if over_tcp else UDP_SECONDS):
                    return await (_tcp if over_tcp else _udp)(query, resolver)
            except (OSError, TimeoutError, EOFError) as fault:
                LOG.debug("resolver %s port %s: %r", *resolver, fault)
        return failure(query, dns.rcode.SERVFAIL)


async def _udp(query: bytes, resolver: Resolver) -> bytes:
    loop = asyncio.get_running_loop()
    # a socket of its own, so that the kernel picks a port that nobody can guess (RFC 5452)
    transport, protocol = await loop.create_datagram_endpoint(lambda: _Once(query), remote_addr=resolver)
    try:
        transport.sendto(query)
        return await protocol.response
    finally:
        transport.close()


async def _tcp(query: bytes, resolver: Resolver) -> bytes:
    reader, writer = await asyncio.open_connection(*resolver)
    try:
        writer.write(len(query).to_bytes(2, "big") + query)
        response = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        if not is_response(query, response):
            raise ConnectionError("an answer to another question")
        return response
    finally:
        writer.close()


class NameServer:
    """DNS for every network. Lives in one event loop. `zone_of`: name of a place -> what is known there."""

    def __init__(self, upstream: Sequence[Resolver], zone_of: Callable[[str], Zone]) -> None:
        self._zone_of = zone_of
        self._forwarder = Forwarder(upstream)
        self._buckets, self._places = Buckets(RATE, BURST), Places(EACH, TOTAL)
        self._tasks: set[asyncio.Task[None]] = set()

    def listener(self, place: str) -> asyncio.DatagramProtocol:
        """The protocol of a UDP socket at that place."""
        return _Listener(self, place)

    def received(self, place: str, query: bytes, source: tuple[Any, ...], transport: asyncio.DatagramTransport) -> None:
        """A datagram came in: answer it now, or when the resolvers have."""
        if not self._buckets.take((place, source[0])):
            return
        answer = self._zone_of(place).answer(query)
        if answer:
            transport.sendto(answer, source)
        elif answer is not None:
            task = asyncio.create_task(self._later(query, source, transport))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _later(self, query: bytes, source: tuple[Any, ...], transport: asyncio.DatagramTransport) -> None:
        response = await self._forwarder.ask(query, over_tcp=False)
        if not transport.is_closing():
            transport.sendto(response, source)

    async def serve(self, place: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One TCP connection: queries one after the other until the client has no more (RFC 7766)."""
        source = writer.get_extra_info("peername")[0]
        if not self._places.enter((place, source)):
            writer.close()
            return
        try:
            while True:
                async with asyncio.timeout(IDLE_SECONDS):
                    query = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
                if not self._buckets.take((place, source)):
                    break
                answer = self._zone_of(place).answer(query, over_tcp=True)
                if answer == FORWARD:
                    answer = await self._forwarder.ask(query, over_tcp=True)
                if answer is None:
                    break
                writer.write(len(answer).to_bytes(2, "big") + answer)
                async with asyncio.timeout(IDLE_SECONDS):
                    await writer.drain()
        except (OSError, TimeoutError, EOFError) as fault:
            LOG.debug("DNS over TCP from %s at %s: %r", source, place, fault)
        finally:
            self._places.leave((place, source))
            writer.close()


class _Listener(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer, place: str) -> None:
        self._server, self._place = server, place

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # asyncio's own is not derived from it

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._server.received(self._place, data, addr, self._transport)
