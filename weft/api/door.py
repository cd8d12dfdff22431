"""The way in: who asks, by which path, how much they may send, and under which name they know us."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import falcon
import msgspec

from weft import errors
from weft.config import Config
from weft.context import Context

Authenticate = Callable[[dict[str, Any]], Context]

OPEN = frozenset({"/", "/healthz", "/readyz", "/healthcheck", "/openapi.json", "/metrics"})
"""Paths that need no token. (/metrics asks for an administrator's itself.) Every other spelling of anything needs one."""

ROOT = "/v2.0/"
"""The path that ends with a slash; any other means the same without."""

DEEPEST = 64
"""Levels of a body: lists and objects in one another."""

MOST_AT_ONCE = 10_000
"""Objects in one body: they are written in one transaction, for which all other writers wait."""

_decode = msgspec.json.Decoder().decode


class Door:
    """Falcon middleware: who asks, and the request id on every answer."""

    def __init__(self, config: Config, authenticate: Authenticate) -> None:
        self._authenticate = authenticate
        self._most = config.middleware.max_request_body_size

    def process_request(self, request: falcon.Request, _response: falcon.Response) -> None:
        if request.path in OPEN:
            return
        if request.path.endswith(".json"):
            request.path = request.path[: -len(".json")]
        elif request.path.endswith("/") and request.path != ROOT:
            request.path = request.path[:-1]
        request.context.caller = self._authenticate(request.env)
        request.context.most = self._most
        if "\0" in request.path:
            raise errors.HTTPNotFound()
        if (request.content_length or 0) > self._most:
            raise _too_large(self._most)

    def process_response(
        self, request: falcon.Request, response: falcon.Response, _resource: object, _succeeded: bool
    ) -> None:
        caller = getattr(request.context, "caller", None)
        if caller is not None:
            response.set_header("x-openstack-request-id", caller.request_id)


def base_url(config: Config, request: falcon.Request) -> str:
    """Scheme, host and path under which the client knows the API, for links.

    What proxies say in Forwarded and X-Forwarded-* headers, anybody can say: it counts only where the operator says so.
    """
    if config.api.network_link_prefix:
        return config.api.network_link_prefix.rstrip("/")
    trusted = config.middleware.enable_proxy_headers_parsing
    return str(request.forwarded_prefix if trusted else request.prefix)


def read_json(request: falcon.Request) -> Any:
    """The decoded body. Raises HTTPBadRequest without one, HTTPRequestEntityTooLarge, MalformedRequestBody for what is no JSON."""
    data = request.context.body = _read(request)
    if not data:
        raise errors.HTTPBadRequest("Resource body required")
    try:
        body = _decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise errors.MalformedRequestBody(reason="Cannot understand JSON") from error
    if data.count(b"[") + data.count(b"{") > DEEPEST and _is_deep(body):
        raise errors.MalformedRequestBody(reason=f"Nested deeper than {DEEPEST} levels")
    return body


def _read(request: falcon.Request) -> bytes:
    if request.content_length is not None or "chunked" not in request.get_header("Transfer-Encoding", default=""):
        data = bytes(request.bounded_stream.read())
        if len(data) < (request.content_length or 0):
            raise errors.MalformedRequestBody(reason="It ended before its Content-Length")
        return data
    most: int = request.context.most
    data = bytes(request.stream.read(most + 1))
    if len(data) > most:
        raise _too_large(most)
    return data


def _too_large(most: int) -> errors.HTTPRequestEntityTooLarge:
    return errors.HTTPRequestEntityTooLarge(f"The body of a request may have {most} bytes.")


def _is_deep(body: Any) -> bool:
    level = [body]
    for _ in range(DEEPEST):
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one if isinstance(one, list) else ())
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True
