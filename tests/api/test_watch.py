"""GET /v2.0/watch through a real server: who hears of what, how to come back, and who is let go."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.api.conftest import Api
from weft.api import feed
from weft.api.feed import Watcher
from weft.backends.interface import Report, Status
from weft.logical.model import Key
from weft.reconcile import status as statuses
from weft.reconcile.doorbell import Bell
from weft.store import changes
from weft.store.changes import Change

ROOT = Path(__file__).parents[2]
FRIEND = "1b0d4ae2f4c04e7fa0f43ac5ab1c7d0e"
"""A project that something is shared with."""
PATIENCE = 20.0
"""Seconds after which a test gives up."""


@dataclass(frozen=True)
class Event:
    id: int
    name: str
    data: Any


class Refused(Exception):
    """The answer was no stream."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str]) -> None:
        super().__init__(status, body)
        self.status, self.body, self.headers = status, body, headers


class Stream:
    """A client that reads events in a thread of its own. `last`: the Last-Event-ID as a browser would keep it."""

    def __init__(self, port: int, query: str, headers: Mapping[str, str], buffer: int = 0, reads: bool = True) -> None:
        self.events: list[Event] = []
        self.last = ""
        self.over = False
        self.fault: Exception | None = None
        self._news = threading.Condition()
        self._socket = socket.socket()
        if buffer:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self._socket.settimeout(PATIENCE)
        self._socket.connect(("127.0.0.1", port))
        lines = [f"GET /v2.0/watch?{query} HTTP/1.1", "Host: here", *(f"{k}: {v}" for k, v in headers.items()), "", ""]
        self._socket.sendall("\r\n".join(lines).encode())
        self._answer = http.client.HTTPResponse(self._socket)
        self._answer.begin()
        if self._answer.status != 200:
            body = json.loads(self._answer.read())
            self._socket.close()
            raise Refused(self._answer.status, body, dict(self._answer.getheaders()))
        assert self._answer.getheader("Content-Type") == "text/event-stream"
        self._reader = threading.Thread(target=self._read, daemon=True)
        if reads:
            self.read()

    def read(self) -> None:
        self._reader.start()

    def _read(self) -> None:
        fields: dict[str, str] = {}
        try:
            while line := self._answer.readline():
                text = line.decode().rstrip("\n")
                if text:
                    name, _, value = text.partition(": ")
                    fields[name] = value
                    continue
                with self._news:
                    self.last = fields.get("id", self.last)
                    if "event" in fields:
                        self.events.append(Event(int(fields["id"]), fields["event"], json.loads(fields["data"])))
                    self._news.notify_all()
                fields = {}
        except (OSError, http.client.HTTPException) as error:
            self.fault = error
        with self._news:
            self.over = True
            self._news.notify_all()

    def wait(self, done: Callable[[], bool]) -> None:
        with self._news:
            assert self._news.wait_for(done, PATIENCE), [event.name for event in self.events]

    def wait_for(self, name: str, id: str = "", count: int = 1) -> Event:
        """The first event of that name about that object, once there are so many."""

        def found() -> list[Event]:
            return [event for event in self.events if event.name == name and id in ("", event.data.get("id"))]

        self.wait(lambda: len(found()) >= count)
        return found()[-1]

    @property
    def names(self) -> list[str]:
        return [event.name for event in self.events]

    def close(self) -> None:
        with contextlib.suppress(OSError):  # the server may have been quicker
            self._socket.shutdown(socket.SHUT_RDWR)
        if self._reader.is_alive():
            self._reader.join(PATIENCE)
        self._answer.close()
        self._socket.close()


@dataclass
class Server:
    """The API in a process of its own, on the database of the fixture `api`."""

    api: Api
    folder: Path
    process: subprocess.Popen[str] | None = None
    port: int = 0
    streams: list[Stream] = field(default_factory=list)

    def start(self, options: str = "", **other: Any) -> Server:
        file = self.folder / "weft.conf"
        file.write_text(
            f"[DEFAULT]\nstate_path = {self.api.config.state_path}\n{options}\n"
            f"[database]\nconnection = {self.api.config.database_url}\n"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.api.watch_server", str(file), json.dumps(other)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert self.process.stdout
        self.port = int(self.process.stdout.readline())
        return self

    def headers(self, project: str, roles: str) -> dict[str, str]:
        return {"X-User-Id": f"user of {project}", "X-Project-Id": project, "X-Roles": roles}

    def watch(
        self,
        project: str = "p1",
        roles: str = "member,reader",
        since: str = "",
        buffer: int = 0,
        reads: bool = True,
        **query: Any,
    ) -> Stream:
        headers = self.headers(project, roles) | ({"Last-Event-ID": since} if since else {})
        stream = Stream(self.port, urlencode(query, doseq=True), headers, buffer, reads)
        self.streams.append(stream)
        if reads:
            stream.wait_for("ready")
        return stream

    def refused(self, **how: Any) -> tuple[int, str]:
        with pytest.raises(Refused) as caught:
            self.watch(**how)
        return caught.value.status, caught.value.body["NeutronError"]["type"]

    def get(self, path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request("GET", path, headers=self.headers("p1", "member,reader"))
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status

    def stop(self) -> None:
        for stream in self.streams:
            stream.close()
        if self.process:
            with self.process:
                self.process.kill()


@pytest.fixture
def unstarted(api: Api, tmp_path: Path) -> Iterator[Server]:
    made = Server(api, tmp_path)
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def server(unstarted: Server) -> Server:
    return unstarted.start()


def test_the_life_of_a_network(api: Api, server: Server) -> None:
    stream = server.watch()
    network = api.make("networks", name="a")
    created = stream.wait_for("networks.create", network["id"])
    assert created.data.pop("object") == network
    request_id, at = created.data.pop("request_id"), created.data.pop("at")
    assert request_id.startswith("req-") and at == network["created_at"]
    assert created.data == {
        "kind": "network",
        "id": network["id"],
        "project_id": "p1",
        "revision": 0,
        "operation": "create",
    }
    api.put(f"networks/{network['id']}", {"network": {"name": "b"}})
    updated = stream.wait_for("networks.update", network["id"])
    assert (updated.data["object"]["name"], updated.data["revision"]) == ("b", 1)
    api.delete(f"networks/{network['id']}")
    deleted = stream.wait_for("networks.delete", network["id"])
    assert "object" not in deleted.data
    ids = [event.id for event in stream.events]
    assert ids == sorted(set(ids))


def test_each_sees_what_a_get_would_show(api: Api, server: Server) -> None:
    member, stranger = server.watch(), server.watch("p2")
    admin = server.watch("admin", "admin,member,reader")
    nobody = server.watch("p1", "nothing")
    network = api.make("networks", name="mine")["id"]
    port = api.admin.make("ports", network_id=network, project_id="p1", **{"binding:host_id": "h1"})["id"]
    for stream, sees in ((member, False), (admin, True)):
        stream.wait_for("networks.create", network)
        shown = stream.wait_for("ports.create", port).data["object"]
        assert ("binding:host_id" in shown) is sees
    api.delete(f"ports/{port}")
    api.delete(f"networks/{network}")
    last = api.as_("p2").make("networks")["id"]
    member.wait_for("networks.delete", network)
    stranger.wait_for("networks.create", last)
    admin.wait_for("networks.create", last)
    about = {event.data["id"] for event in stranger.events if event.name != "ready"}
    assert not about & {network, port}
    assert last not in {event.data.get("id") for event in member.events}
    assert nobody.names == ["ready"]
    assert {event.name for event in admin.events} >= {"ports.delete", "networks.delete"}


def test_what_is_shared_and_then_gone(api: Api, server: Server) -> None:
    network = api.make("networks")["id"]
    friend, stranger = server.watch(FRIEND), server.watch("p3")
    api.make("rbac-policies", object_type="network", object_id=network, action="access_as_shared", target_tenant=FRIEND)
    assert friend.wait_for("networks.update", network).data["object"]["shared"] is True
    api.admin.delete(f"networks/{network}")
    friend.wait_for("networks.delete", network)
    own = api.as_("p3").make("networks")["id"]
    stranger.wait_for("networks.create", own)
    assert network not in {event.data.get("id") for event in stranger.events}


def test_the_owner_of_a_network_hears_of_ports_of_others(api: Api, server: Server) -> None:
    network = api.make("networks")["id"]
    api.make("rbac-policies", object_type="network", object_id=network, action="access_as_shared", target_tenant=FRIEND)
    owner = server.watch(collection="ports")
    port = api.as_(FRIEND).make("ports", network_id=network)["id"]
    assert owner.wait_for("ports.create", port).data["project_id"] == FRIEND
    api.as_(FRIEND).delete(f"ports/{port}")
    owner.wait_for("ports.delete", port)


def test_status_is_news(api: Api, server: Server) -> None:
    stream = server.watch(collection="ports")
    port = api.make("ports", network_id=api.make("networks")["id"])["id"]
    found = Report(status={Key("port", port): Status(True, "")})
    api.inside(lambda tx: statuses.write(tx, found, {}, ""))
    Bell(api.config.state_path).ring()
    assert stream.wait_for("ports.status", port).data["object"]["status"] == "ACTIVE"


def test_filters(api: Api, server: Server) -> None:
    first = api.make("networks")["id"]
    by_collection = server.watch(collection=["networks", "security-groups"])
    spelled = server.watch(collection="security_groups")
    by_id = server.watch(id=first)
    by_project = server.watch("admin", "admin", project_id="p2")
    group = api.make("security-groups", name="g")["id"]
    second = api.make("networks")["id"]
    api.make("ports", network_id=second)
    foreign = api.as_("p2").make("networks")["id"]
    api.put(f"networks/{first}", {"network": {"name": "x"}})
    by_id.wait_for("networks.update", first)
    assert by_id.names == ["ready", "networks.update"]
    by_collection.wait_for("networks.update", first)
    assert {event.name.partition(".")[0] for event in by_collection.events} == {"ready", "networks", "security-groups"}
    spelled.wait_for("security-groups.create", group)
    by_project.wait_for("networks.create", foreign)
    assert {event.data.get("project_id", "p2") for event in by_project.events} == {"p2"}


def test_refusals(api: Api, server: Server) -> None:
    api.make("networks")
    assert server.refused(colour="blue") == (400, "HTTPBadRequest")
    assert server.refused(collection="nothings") == (400, "HTTPBadRequest")
    assert server.refused(since="abc") == (400, "HTTPBadRequest")
    assert server.refused(since="1", last_event_id="abc") == (400, "HTTPBadRequest")
    assert server.refused(since="9" * 18) == (410, "WatchExpired")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    connection.request("GET", "/v2.0/watch")
    assert connection.getresponse().status == 401
    connection.close()


def test_coming_back_misses_nothing(api: Api, server: Server) -> None:
    stream = server.watch(collection="networks")
    made = [api.make("networks")["id"]]
    stream.wait_for("networks.create", made[0])
    stream.close()
    made += [api.make("networks")["id"] for _ in range(3)]
    again = server.watch(collection="networks", since=stream.last)
    made += [api.make("networks")["id"] for _ in range(3)]
    again.wait_for("networks.create", made[-1])
    heard = [event.data["id"] for event in (*stream.events, *again.events) if event.name == "networks.create"]
    assert heard == made
    by_query = server.watch(collection="networks", last_event_id=stream.last)
    by_query.wait_for("networks.create", made[-1])
    assert by_query.names[1:] == again.names[1:]


def test_much_is_caught_up_with_while_more_comes(api: Api, server: Server) -> None:
    start = server.watch()
    start.close()
    network = api.make("networks")["id"]

    def update(count: int) -> None:
        for number in range(count):
            api.put(f"networks/{network}", {"network": {"name": str(number)}})

    update(feed.BATCH + 100)
    writer = threading.Thread(target=update, args=(100,))
    writer.start()
    again = server.watch(collection="networks", since=start.last)
    writer.join()
    again.wait_for("networks.update", network, feed.BATCH + 200)
    revisions = [event.data["revision"] for event in again.events if event.name == "networks.update"]
    assert revisions == list(range(1, feed.BATCH + 201))


def test_gone_when_pruned(api: Api, server: Server) -> None:
    stream = server.watch(roles="admin,member,reader")
    first = api.make("networks")["id"]
    stream.wait_for("networks.create", first)
    stream.wait_for("segments.create")
    old = stream.events[0].id
    forgotten = api.store.write(lambda connection: changes.prune(connection, "2999-01-01T00:00:00Z"))
    assert forgotten
    assert server.refused(since=str(old)) == (410, "WatchExpired")
    newest = stream.last
    again = server.watch(since=newest)
    second = api.make("networks")["id"]
    again.wait_for("networks.create", second)


def test_silence_moves_the_number(api: Api, unstarted: Server) -> None:
    """Whoever filters much must not be told later that the log was pruned beyond what he saw."""
    unstarted.start(keep_alive=0.2)
    stream = unstarted.watch("p2", id="none")
    started = int(stream.last)
    api.make("networks")
    stream.wait(lambda: int(stream.last) > started)
    assert stream.names == ["ready"]


def test_watchers_hold_no_thread_of_the_api(api: Api, unstarted: Server) -> None:
    unstarted.start("api_threads = 1")
    streams = [unstarted.watch() for _ in range(30)]
    assert unstarted.get("/v2.0/networks") == 200
    network = api.make("networks")["id"]
    for stream in streams:
        stream.wait_for("networks.create", network)


def test_no_more_than_allowed(api: Api, unstarted: Server) -> None:
    unstarted.start("max_watchers = 2")
    first = unstarted.watch()
    unstarted.watch()
    with pytest.raises(Refused) as caught:
        unstarted.watch()
    assert caught.value.status == 503 and caught.value.headers["retry-after"]
    first.close()
    # the server notices with the next event that it sends
    assert eventually(api, unstarted)


def eventually(api: Api, server: Server) -> Stream | None:
    """A stream, once a place for it has become free; until then something happens now and then."""
    group = api.make("security-groups", name="x")["id"]
    for number in range(200):
        api.put(f"security-groups/{group}", {"security_group": {"description": str(number)}})
        try:
            return server.watch()
        except Refused:
            threading.Event().wait(0.1)
    return None


def fill(api: Api, network: str, count: int) -> None:
    for number in range(count):
        api.put(f"networks/{network}", {"network": {"description": f"{number:03}" * 80}})


def test_a_slow_reader_is_let_go_and_misses_nothing(api: Api, unstarted: Server) -> None:
    unstarted.start(most_waiting=20, buffer=4096)
    network = api.make("networks")["id"]
    slow = unstarted.watch(collection="networks", buffer=4096, reads=False)
    other = unstarted.watch(collection="security-groups")
    count = 900
    fill(api, network, count)
    other.wait_for("security-groups.create", api.make("security-groups")["id"])
    slow.read()
    slow.wait(lambda: slow.over)
    got = [event.data["revision"] for event in slow.events if event.name == "networks.update"]
    assert 0 < len(got) < count, "it has not been let go"
    again = unstarted.watch(collection="networks", since=slow.last)
    again.wait(lambda: again.events[-1].data.get("revision") == count)
    got += [event.data["revision"] for event in again.events if event.name == "networks.update"]
    assert got == list(range(1, count + 1))


def test_who_takes_nothing_is_cut(api: Api, unstarted: Server) -> None:
    unstarted.start("max_watchers = 1", most_waiting=20, buffer=4096, stuck=1000)
    network = api.make("networks")["id"]
    unstarted.watch(collection="networks", buffer=4096, reads=False)
    fill(api, network, 600)
    assert eventually(api, unstarted), "its place never became free"


def test_a_stream_ends_in_time(api: Api, unstarted: Server) -> None:
    unstarted.start(longest=0.3, keep_alive=0.1)
    stream = unstarted.watch()
    stream.wait(lambda: stream.over)
    assert stream.fault is None


def test_the_server_ends_with_streams_open(api: Api, server: Server) -> None:
    streams = [server.watch() for _ in range(5)]
    assert server.process
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(PATIENCE) == 0
    for stream in streams:
        stream.wait(lambda stream=stream: stream.over)
        assert stream.fault is None


def test_a_full_queue_ends_the_watcher() -> None:
    watcher = Watcher(lambda change: change.kind == "port")
    entry = Change("port", "p", 0, "p1", "update", "req", "2026-01-01T00:00:00Z", 1)
    for _ in range(feed.MOST_WAITING):
        watcher.offer(entry)
    watcher.offer(Change("network", "n", 0, "p1", "update", "req", "2026-01-01T00:00:00Z", 1))
    assert not watcher.ended
    watcher.offer(entry)
    assert watcher.ended
