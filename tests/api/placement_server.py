"""A Keystone, a Placement and the aggregates of a Nova on loopback, as their API references have them."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

Answer = tuple[int, Any]


class PlacementServer:
    """`providers` and `aggregates` are what it has been told. `hosts`: those that Nova knows. `refuse`: answer 503. `kept`: what was not
    deleted, since it is `in_use` or there is something below it. `consumers`: their allocations. `meanwhile`: what others do,
    one each time before allocations are written, `afterwards`: before the answer; `written`: how often they were."""

    def __init__(self) -> None:
        self.providers: dict[str, dict[str, Any]] = {}
        self.aggregates: dict[int, dict[str, Any]] = {}
        self.traits: set[str] = set()
        self.hosts = {"h1", "h2"}
        self.refuse = False
        self.in_use: set[str] = set()
        self.kept: list[str] = []
        self.consumers: dict[str, dict[str, Any]] = {}
        self.meanwhile: list[Callable[[], Any]] = []
        self.afterwards: list[Callable[[], Any]] = []
        self.written = 0
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
                allocating = (self.command, self.path) == ("POST", "/placement/allocations")
                if allocating and server.meanwhile:
                    server.meanwhile.pop(0)()
                with server.heard:
                    status, answer = server._answer(self.command, self.path, body, dict(self.headers))
                    server.heard.notify_all()
                if allocating and server.afterwards:
                    server.afterwards.pop(0)()
                with contextlib.suppress(ConnectionError):  # who asked may have lost patience
                    self._reply(status, b"" if answer is None else json.dumps(answer).encode())

            def _reply(self, status: int, data: bytes) -> None:
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
        path, _, query = path.partition("?")
        parts = path.strip("/").split("/")
        if parts[0] == "placement":
            assert headers["OpenStack-API-Version"] == "placement 1.29"
            if parts[1] == "allocations":
                return self._allocated(parts[2]) if method == "GET" else self._allocate(body)
            if parts[1] == "traits":
                self.traits.add(parts[2])
                return 201, None
            return self._provider(method, parts[2:], body, parse_qs(query))
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

    def add(self, name: str, id: str = "", parent: str | None = None) -> dict[str, Any]:
        """A provider, as another service makes it: Nova one for each hypervisor."""
        assert parent is None or parent in self.providers
        made = {"uuid": id or str(uuid4()), "name": name, "generation": 0, "parent_provider_uuid": parent}
        self.providers[made["uuid"]] = {**made, "inventories": {}, "aggregates": [], "traits": []}
        return self.providers[made["uuid"]]

    def _root(self, id: str) -> str:
        above = self.providers[id]["parent_provider_uuid"]
        return self._root(above) if above else id

    def _provider(self, method: str, rest: list[str], body: Any, query: dict[str, list[str]]) -> Answer:
        if not rest and method == "GET":
            found = list(self.providers.values())
            if "name" in query:
                found = [one for one in found if one["name"] == query["name"][0]]
            if "in_tree" in query:
                known = query["in_tree"][0] in self.providers
                root = self._root(query["in_tree"][0]) if known else ""
                found = [one for one in found if self._root(one["uuid"]) == root]
            return 200, {"resource_providers": found}
        if not rest:
            if body["uuid"] in self.providers or body["name"] in {one["name"] for one in self.providers.values()}:
                return 409, {}
            return 200, self.add(body["name"], body["uuid"], body.get("parent_provider_uuid"))
        one = self.providers.get(rest[0])
        if one is None:
            return 404, {}
        if method == "DELETE":
            below = any(other["parent_provider_uuid"] == rest[0] for other in self.providers.values())
            if rest[0] in self.in_use or below:
                self.kept.append(rest[0])
                return 409, {}
            del self.providers[rest[0]]
            return 204, None
        if method == "PUT":
            if body["resource_provider_generation"] != one["generation"]:
                return 409, {}
            assert rest[1] != "traits" or self.traits.issuperset(body["traits"]), "a trait has to be made first"
            one["generation"] += 1
            one[rest[1]] = body[rest[1]]
            return 200, {"resource_provider_generation": one["generation"], rest[1]: one[rest[1]]}
        return 200, one

    def allocate(self, consumer: str, provider: str, resources: dict[str, int]) -> None:
        """Nova has a server, or more for it, where it has chosen."""
        fresh: dict[str, Any] = {"allocations": {}, "project_id": "a project", "user_id": "a user"}
        known = self.consumers.setdefault(consumer, {**fresh, "consumer_generation": 0})
        of_provider = known["allocations"].setdefault(provider, {"resources": {}})["resources"]
        for name, amount in resources.items():
            of_provider[name] = of_provider.get(name, 0) + amount
        known["consumer_generation"] += 1

    def _allocated(self, consumer: str) -> Answer:
        known = self.consumers.get(consumer, {"allocations": {}})
        found = {
            id: {"generation": self.providers[id]["generation"], **one} for id, one in known["allocations"].items()
        }
        return 200, {**known, "allocations": found}

    def _allocate(self, body: Any) -> Answer:
        """All consumers of the body, or none of them."""
        wanted = dict(self.consumers)
        for consumer, said in body.items():
            assert set(said) == {"allocations", "project_id", "user_id", "consumer_generation"}
            amounts = [amount for one in said["allocations"].values() for amount in one["resources"].values()]
            if not all(one["resources"] for one in said["allocations"].values()) or any(one < 1 for one in amounts):
                return 400, {"errors": [{"code": "placement.undefined_code"}]}
            if said["consumer_generation"] != self.consumers[consumer]["consumer_generation"]:
                return 409, {"errors": [{"code": "placement.concurrent_update"}]}
            wanted[consumer] = {**said, "consumer_generation": said["consumer_generation"] + 1}
        for id, provider in self.providers.items():
            for name in {name for one in wanted.values() for name in self._of(one, id)}:
                total = provider["inventories"].get(name, {"total": 0})["total"]
                if sum(self._of(one, id).get(name, 0) for one in wanted.values()) > total:
                    return 409, {"errors": [{"code": "placement.undefined_code"}]}
        self.consumers = wanted
        self.written += 1
        return 204, None

    @staticmethod
    def _of(consumer: dict[str, Any], provider: str) -> dict[str, int]:
        found = consumer["allocations"].get(provider, {"resources": {}})["resources"]
        return dict(found)

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
