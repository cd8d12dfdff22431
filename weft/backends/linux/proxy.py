"""HTTP of the metadata service: one request a connection, checked, limited, and handed to Nova as a stream."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import h11

from weft.backends.linux import metadata
from weft.backends.linux.limits import Buckets, Places
from weft.config import Nova
from weft.logical.model import LogicalPort

LOG = logging.getLogger(__name__)

HEAD_BYTES = 16 * 1024
BODY_BYTES = 64 * 1024
HEAD_SECONDS, CONNECT_SECONDS, WHOLE_SECONDS = 10, 10, 60
RATE, BURST = 20, 200
"""Requests a second and at once of one address: an image's first boot asks some forty times."""

EACH, TOTAL = 16, 256
"""Connections at the same time of one address, and of all."""

METHODS = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS"))

Find = Callable[[str, str], LogicalPort | None]
"""(name of the place that was asked at, source address) -> the port that asks."""


class Refusal(Exception):
    """An answer instead of the one that was wanted."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class Wire:
    """One end of an HTTP/1.1 connection: h11 speaks, the streams carry."""

    def __init__(self, role: type[h11.CLIENT | h11.SERVER], streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]):
        self.h11 = h11.Connection(role, max_incomplete_event_size=HEAD_BYTES)
        self._reader, self._writer = streams

    async def next(self) -> Any:
        """The next event of the other side. h11.RemoteProtocolError when it is not HTTP."""
        while (event := self.h11.next_event()) is h11.NEED_DATA:
            self.h11.receive_data(await self._reader.read(65536))
        return event

    async def send(self, event: Any) -> None:
        data = self.h11.send(event)
        if data:
            self._writer.write(data)
            await self._writer.drain()

    def close(self) -> None:
        self._writer.close()


class Proxy:
    """The metadata service of all networks. Lives in one event loop."""

    def __init__(self, nova: Nova, find: Find) -> None:
        self._nova, self._find = nova, find
        self._buckets, self._places = Buckets(RATE, BURST), Places(EACH, TOTAL)
        self._tls = ssl.create_default_context() if nova.metadata_protocol == "https" else None

    async def serve(self, place: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its first byte to its last. `place`: the namespace that it came in at."""
        source = writer.get_extra_info("peername")[0]
        if not self._places.enter((place, source)):
            writer.close()
            return
        client = Wire(h11.SERVER, (reader, writer))
        try:
            async with asyncio.timeout(WHOLE_SECONDS):
                await self._converse(client, place, source)
        except (OSError, TimeoutError, h11.ProtocolError) as fault:
            LOG.debug("metadata for %s at %s: %r", source, place, fault)
        finally:
            self._places.leave((place, source))
            client.close()

    async def _converse(self, client: Wire, place: str, source: str) -> None:
        head = False
        try:
            try:
                async with asyncio.timeout(HEAD_SECONDS):
                    request = await client.next()
            except h11.RemoteProtocolError as fault:
                raise Refusal(fault.error_status_hint, f"Not a request: {fault}.") from fault
            if not isinstance(request, h11.Request):
                return
            head = request.method == b"HEAD"
            port = self._admit(request, place, source)
            if self._nova.metadata_host:
                await self._forward(client, request, port, source)
            else:
                await _send(client, metadata.document(_path(request).decode("ascii", "replace"), port), head)
        except Refusal as refusal:
            if client.h11.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                await _send(client, metadata.Answer(refusal.status, "text/plain", str(refusal)), head)

    def _admit(self, request: h11.Request, place: str, source: str) -> LogicalPort:
        if not self._buckets.take((place, source)):
            raise Refusal(429, f"More than {RATE} requests a second.")
        if request.method not in METHODS:
            raise Refusal(405, "This method has no meaning here.")
        port = self._find(place, source)
        if port is None:
            raise Refusal(404, f"No port of this network has the address {source.partition('%')[0]}.")
        return port

    async def _forward(self, client: Wire, request: h11.Request, port: LogicalPort, source: str) -> None:
        nova = self._nova
        size = next((int(value) for name, value in request.headers if name == b"content-length"), 0)
        if size > BODY_BYTES:
            raise Refusal(413, f"More than {BODY_BYTES} bytes.")
        host = f"[{nova.metadata_host}]" if ":" in nova.metadata_host else nova.metadata_host
        headers = metadata.request_headers(
            request.headers, port, source, nova.metadata_proxy_shared_secret, f"{host}:{nova.metadata_port}"
        )
        if any(name == b"transfer-encoding" for name, _ in request.headers):
            headers.append((b"Transfer-Encoding", b"chunked"))
        elif size:
            headers.append((b"Content-Length", str(size).encode()))
        target = _path(request)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                streams = await asyncio.open_connection(nova.metadata_host, nova.metadata_port, ssl=self._tls)
        except (OSError, TimeoutError) as fault:
            LOG.warning("Nova's metadata service at %s:%s: %r", host, nova.metadata_port, fault)
            raise Refusal(503, "Nova's metadata service does not answer; try again later.") from fault
        server = Wire(h11.CLIENT, streams)
        try:
            await server.send(h11.Request(method=request.method, target=target, headers=headers))
            await _send_body(client, server)
            await _relay(server, client)
        except (OSError, h11.RemoteProtocolError) as fault:
            LOG.info("metadata for %s from Nova at %s:%s: %r", source, host, nova.metadata_port, fault)
            raise Refusal(502, "Nova's metadata service broke off.") from fault
        finally:
            server.close()


def _path(request: h11.Request) -> bytes:
    """Path and query of the request; of a URL, as proxies are asked, what follows the host."""
    target = bytes(request.target)
    if target.lower().startswith(b"http://"):
        target = b"/" + target[7:].partition(b"/")[2]
    if not target.startswith(b"/"):
        raise Refusal(400, "Not a path.")
    return target


async def _send_body(client: Wire, server: Wire) -> None:
    """The request's body, piece by piece."""
    if client.h11.they_are_waiting_for_100_continue:
        await client.send(h11.InformationalResponse(status_code=100, headers=[]))
    size = 0
    while True:
        try:
            event = await client.next()
        except h11.RemoteProtocolError as fault:
            raise Refusal(400, f"Not a body: {fault}.") from fault
        if isinstance(event, h11.EndOfMessage):
            await server.send(h11.EndOfMessage())
            return
        if not isinstance(event, h11.Data):
            raise ConnectionResetError("the client went away")
        size += len(event.data)
        if size > BODY_BYTES:
            raise Refusal(413, f"More than {BODY_BYTES} bytes.")
        await server.send(h11.Data(data=event.data))


async def _relay(server: Wire, client: Wire) -> None:
    """The response, piece by piece."""
    while True:
        event = await server.next()
        if isinstance(event, h11.Response):
            headers = metadata.response_headers(event.headers)
            await client.send(h11.Response(status_code=event.status_code, headers=headers, reason=event.reason))
        elif isinstance(event, h11.Data):
            await client.send(h11.Data(data=event.data))
        elif isinstance(event, h11.EndOfMessage):
            await client.send(h11.EndOfMessage())
            return
        elif isinstance(event, h11.ConnectionClosed):
            raise ConnectionResetError("closed before the end of its answer")


async def _send(client: Wire, answer: metadata.Answer, head: bool) -> None:
    """A response of our own."""
    body = f"{answer.body}\n".encode() if answer.status >= 400 else answer.body.encode()
    headers = [
        ("Content-Type", f"{answer.content_type}; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Connection", "close"),
    ]
    if answer.status == 429:
        headers.append(("Retry-After", "1"))
    phrase = HTTPStatus(answer.status).phrase.encode()
    await client.send(h11.Response(status_code=answer.status, headers=headers, reason=phrase))
    if not head:
        await client.send(h11.Data(data=body))
    await client.send(h11.EndOfMessage())
