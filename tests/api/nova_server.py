"""A Keystone and a Nova on loopback that do what a test says: answer, refuse, hang, or not be there."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Event = dict[str, str]


class NovaServer:
    """Keeps every batch of events that it has accepted, in order. Stop and start it: it comes back on the same port."""

    def __init__(self) -> None:
        self.batches: list[list[Event]] = []
        self.posts = 0
        self.answer: Callable[[list[Event]], int] = lambda events: 200
        self.hang = threading.Event()
        self.heard = threading.Condition()
        self._server: ThreadingHTTPServer | None = None
        self._open: list[Any] = []
        self.port = 0
        self.start()

    @property
    def auth_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v3"

    @property
    def events(self) -> list[Event]:
        return [event for batch in self.batches for event in batch]

    def start(self) -> None:
        nova = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._say(200, {"version": {"id": "v3.14", "links": [{"rel": "self", "href": nova.auth_url}]}})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path == "/v3/auth/tokens":
                    nova._login(self, body)
                    return
                assert self.path == "/v2.1/os-server-external-events", self.path
                assert self.headers["X-Auth-Token"] == "a token"
                nova._hear(self, body["events"])

            def _say(self, status: int, body: Any, **headers: str) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                for name, value in {
                    "Content-Length": str(len(data)),
                    "Content-Type": "application/json",
                    **headers,
                }.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def wait(self, done: Callable[[], bool], seconds: float = 20.0) -> None:
        with self.heard:
            assert self.heard.wait_for(done, seconds), (self.posts, self.batches)

    def _login(self, handler: Any, body: Any) -> None:
        user = body["auth"]["identity"]["password"]["user"]
        assert (user["name"], user["password"]) == ("nova", "secret")
        urls = {"internal": f"http://127.0.0.1:{self.port}/v2.1", "public": "http://127.0.0.1:1/not-this-one"}
        endpoints = [
            {"id": kind, "interface": kind, "region": "R", "region_id": "R", "url": url} for kind, url in urls.items()
        ]
        token = {
            "methods": ["password"],
            "user": {"id": "u", "name": "nova", "domain": {"id": "default", "name": "Default"}},
            "project": {"id": "p", "name": "service", "domain": {"id": "default", "name": "Default"}},
            "roles": [{"id": "r", "name": "service"}],
            "issued_at": "2026-01-01T00:00:00.000000Z",
            "expires_at": "2999-01-01T00:00:00.000000Z",
            "catalog": [{"id": "c", "type": "compute", "name": "nova", "endpoints": endpoints}],
        }
        handler._say(201, {"token": token}, X_Subject_Token="a token")

    def _hear(self, handler: Any, events: list[Event]) -> None:
        with self.heard:
            self.posts += 1
            status = self.answer(events)
            if status < 300:
                self.batches.append(events)
            self.heard.notify_all()
        if self.hang.is_set():
            threading.Event().wait(30)
        handler._say(status, {"events": events} if status < 300 else {"itemNotFound": {"message": "none"}})
