"""Is it alive, is it ready: for load balancers and people. Needs no token and tells nothing about what is here."""

from __future__ import annotations

import falcon
import msgspec
from sqlalchemy import text

from weft import errors
from weft.store.engine import Store


class Alive:
    """GET /healthz: this process answers."""

    def on_get(self, _request: falcon.Request, response: falcon.Response) -> None:
        response.data = b'{"status":"ok"}'
        response.content_type = "application/json"


class Healthcheck:
    """GET, HEAD /healthcheck: ready or not in a word, at the path where load balancers of OpenStack services look."""

    def __init__(self, ready: Ready) -> None:
        self._ready = ready

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        self._ready.on_get(request, response)
        response.content_type = "text/plain"
        response.data = b"OK" if response.status_code == 200 else b"DISABLED: the database does not answer"

    def on_head(self, request: falcon.Request, response: falcon.Response) -> None:
        self.on_get(request, response)


class Ready:
    """GET /readyz: this process can serve requests, which takes a database. 503 with the reason otherwise."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def on_get(self, _request: falcon.Request, response: falcon.Response) -> None:
        response.content_type = "application/json"
        try:
            self._store.read(lambda connection: connection.execute(text("SELECT 1")))
        except errors.ServiceUnavailable as fault:
            response.status = 503
            response.data = msgspec.json.encode({"status": "unavailable", "database": fault.message})
            return
        response.data = b'{"status":"ok","database":"ok"}'
