"""A Keystone, a Placement and the aggregates of a Nova on loopback, as their API references have them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

Answer = tuple[int, Any]


class PlacementServer:
    """`providers` and `aggregates` are what it has been told. `hosts`: those that Nova knows. `refuse`: answer 503."""

    def __init__(self) -> None:
        self.providers: dict[str, dict[str, Any]] = {}
        self.aggregates: dict[int, dict[str, Any]] = {}
        self.hosts = {"h1", "h2"}
        self.refuse = False
        self.in_use: set[str] = set()
        self.heard = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait(self, done: Callable[[], bool], seconds: float = 20.0) -> None:
        with self.heard:
            assert self.heard.wait_for(done, seconds), (self.providers, self.aggregates)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                with server.heard:
                    status, answer = server._answer(self.command, self.path, body, dict(self.headers))
                    server.heard.notify_all()
                data = b"" if answer is None else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.send_header("Content-Type", "application/json")
                if self.path == "/v3/auth/tokens":
                    self.send_header("X-Subject-Token", "a token")
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_DELETE = _serve

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    def _answer(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Answer:
        if path.startswith("/v3"):
            return self._login() if method == "POST" else (200, {"version": {"id": "v3.14", "links": []}})
        assert headers["X-Auth-Token"] == "a token"
        if self.refuse:
            return 503, {}
        parts = path.strip("/").split("/")
        if parts[0] == "placement":
            assert headers["OpenStack-API-Version"] == "placement 1.29"
            return self._provider(method, parts[2:], body)
        assert headers["OpenStack-API-Version"] == "compute 2.41"
        return self._aggregate(method, parts[2:], body)

    def _login(self) -> Answer:
        catalog = [
            {
                "id": kind,
                "type": kind,
                "name": kind,
                "endpoints": [
                    {"id": kind, "interface": "public", "region": "R", "region_id": "R", "url": f"{self.url}/{kind}"}
                ],
            }
            for kind in ("placement", "compute")
        ]
        domain = {"id": "default", "name": "Default"}
        token = {
            "methods": ["password"],
            "user": {"id": "u", "name": "weft", "domain": domain},
            "project": {"id": "p", "name": "service", "domain": domain},
            "roles": [{"id": "r", "name": "admin"}],
            "issued_at": "2026-01-01T00:00:00.000000Z",
            "expires_at": "2999-01-01T00:00:00.000000Z",
            "catalog": catalog,
        }
        return 201, {"token": token}

    def _provider(self, method: str, rest: list[str], body: Any) -> Answer:
        if not rest:
            assert method == "POST"
            if body["uuid"] in self.providers:
                return 409, {}
            made = {"uuid": body["uuid"], "name": body["name"], "generation": 0, "inventories": {}, "aggregates": []}
            self.providers[body["uuid"]] = made
            return 200, made
        one = self.providers.get(rest[0])
        if one is None:
            return 404, {}
        if method == "DELETE":
            if rest[0] in self.in_use:
                return 409, {}
            del self.providers[rest[0]]
            return 204, None
        if method == "PUT":
            if body["resource_provider_generation"] != one["generation"]:
                return 409, {}
            one["generation"] += 1
            one[rest[1]] = body[rest[1]]
            return 200, {"resource_provider_generation": one["generation"], rest[1]: one[rest[1]]}
        return 200, one

    def _aggregate(self, method: str, rest: list[str], body: Any) -> Answer:
        if not rest:
            if method == "GET":
                return 200, {"aggregates": list(self.aggregates.values())}
            id = max(self.aggregates, default=0) + 1
            self.aggregates[id] = {"id": id, "uuid": str(uuid4()), "name": body["aggregate"]["name"], "hosts": []}
            return 200, {"aggregate": self.aggregates[id]}
        one = self.aggregates[int(rest[0])]
        if method == "DELETE":
            assert one["hosts"] == [], "Nova refuses"
            del self.aggregates[int(rest[0])]
            return 200, None
        ((action, said),) = body.items()
        if said["host"] not in self.hosts:
            return 404, {}
        (one["hosts"].append if action == "add_host" else one["hosts"].remove)(said["host"])
        return 200, {"aggregate": one}
