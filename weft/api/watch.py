"""GET /v2.0/watch: the changes that a caller may see, as they happen, as server-sent events (HTML standard, 9.2)."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any
from urllib.parse import parse_qsl

import falcon
import msgspec

from weft import errors
from weft.api.feed import BATCH, Feed, Watcher
from weft.api.handler import Controller
from weft.context import Context
from weft.registry.resource import Resource
from weft.store import changes, cursors
from weft.store.changes import NOTIFICATION, Change
from weft.store.transaction import Transaction

PATH = "/v2.0/watch"
KEEP_ALIVE = 15.0
"""Seconds of silence after which a client is told that nothing happened."""
LONGEST = 900.0
"""Seconds after which a stream ends: the token may have expired or been revoked; the client comes back with it."""
MEMO = 500
"""Events kept that others with the same caller may be sent too."""
CHUNK = 65536
"""Octets after which what is ready is sent."""

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Asked:
    """What a client wants to hear of; an empty set: everything."""

    projects: frozenset[str]
    kinds: frozenset[str]
    ids: frozenset[str]
    since: int | None

    def matches(self, change: Change) -> bool:
        return (
            (not self.kinds or change.kind in self.kinds)
            and (not self.projects or change.project_id in self.projects)
            and (not self.ids or change.id in self.ids)
            and (self.since is None or change.sequence > self.since)
        )


class Watch:
    """The streams of one process."""

    def __init__(self, controller: Controller, resources: Sequence[Resource], feed: Feed) -> None:
        self._controller = controller
        self._feed = feed
        self._resources: dict[str, Resource] = {}
        for resource in resources:
            self._resources.setdefault(resource.member, resource)
        self._names = _collections(self._resources.values())
        self._memo: OrderedDict[tuple[int, Context], bytes] = OrderedDict()
        self._lock = Lock()

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        if request.env["PATH_INFO"] != PATH:
            # only by this spelling the server gives a stream a thread of its own, and not one that others wait for
            raise errors.HTTPNotFound()
        context: Context = request.context.caller
        asked = self._parse(request)
        watcher = Watcher(lambda change: asked.matches(change) and self._may_concern(context, change))
        joined = self._feed.join(watcher)
        try:
            if asked.since is not None:
                self._check_reach(asked.since, joined)
            on_stop: Callable[[Callable[[], None]], None] | None = request.env.get("weft.on_stop")
            if on_stop:
                on_stop(self._feed.close)
        except BaseException:
            self._feed.leave(watcher)
            raise
        response.content_type = "text/event-stream"
        response.set_header("Cache-Control", "no-store")
        response.set_header("X-Accel-Buffering", "no")
        response.stream = Stream(self._events(context, asked, watcher, joined), lambda: self._feed.leave(watcher))

    # -- what is asked

    def _parse(self, request: falcon.Request) -> Asked:
        given: dict[str, set[str]] = {"project_id": set(), "collection": set(), "id": set(), "last_event_id": set()}
        for name, value in parse_qsl(request.query_string, keep_blank_values=True):
            name = "project_id" if name == "tenant_id" else name
            if name not in given:
                raise errors.HTTPBadRequest(f"['{name}'] is invalid attribute for filtering")
            given[name].add(value)
        unknown = sorted(given["collection"] - self._names.keys())
        if unknown:
            raise errors.HTTPBadRequest(f"There is no collection {unknown[0]}")
        kinds = frozenset(kind for name in given["collection"] for kind in self._names[name])
        since = self._since([request.get_header("Last-Event-ID") or "", *sorted(given["last_event_id"])])
        return Asked(frozenset(given["project_id"]), kinds, frozenset(given["id"]), since)

    @staticmethod
    def _since(said: Sequence[str]) -> int | None:
        """The first that says something: clients come back with the header, and with the URL of their first time."""
        numbers = [text for text in said if text]
        if not all(text.isascii() and text.isdecimal() and len(text) < 20 for text in numbers):
            raise errors.HTTPBadRequest("Last-Event-ID is the number of an event")
        return int(numbers[0]) if numbers else None

    def _check_reach(self, since: int, joined: int) -> None:
        """Raise WatchExpired where the log was pruned beyond `since`, or where it has never been that far."""
        forgotten = self._controller.store.read(cursors.pruned)
        if not forgotten <= since <= max(joined, self._controller.store.read(changes.last)):
            raise errors.WatchExpired(sequence=since)

    def _may_concern(self, context: Context, change: Change) -> bool:
        """False where the caller surely may not see it; asked for every change and watcher, without I/O."""
        if context.sees_everything or not change.project_id or change.project_id == context.project_id:
            return True
        resource = self._resources.get(change.kind)
        return resource is not None and (bool(resource.visible_by_rbac) or resource.strategy.visible() is not None)

    # -- the stream

    def _events(self, context: Context, asked: Asked, watcher: Watcher, joined: int) -> Iterator[bytes]:
        until = time.monotonic() + LONGEST
        start = joined if asked.since is None else asked.since
        yield f"retry: 2000\nid: {start}\nevent: ready\ndata: {{}}\n\n".encode()
        for missed in self._missed(asked, start, joined):
            if self._feed.closed:
                return
            yield self._render(context, missed)
        said = time.monotonic()
        while time.monotonic() < until:
            change = watcher.take(KEEP_ALIVE)
            if watcher.ended:
                return
            if change is None:
                quiet = self._feed.quiet(watcher)
                yield f"id: {quiet}\n\n".encode() if quiet is not None else b":\n\n"
                continue
            ready = [self._remembered(context, change)]
            while not watcher.empty and sum(map(len, ready)) < CHUNK and (more := watcher.take(0)) is not None:
                change = more
                ready.append(self._remembered(context, change))
            text = b"".join(ready)
            if not text and time.monotonic() > said + KEEP_ALIVE:
                text = f"id: {change.sequence}\n\n".encode()  # much happens, but nothing that he may see
            if text:
                said = time.monotonic()
            yield text

    def _missed(self, asked: Asked, start: int, joined: int) -> Iterator[Change]:
        """What was logged after `start` and before the watcher joined the feed."""
        while start < joined:
            batch = self._read(start)
            for change in batch:
                if change.sequence <= joined and change.kind != NOTIFICATION and asked.matches(change):
                    yield change
            start = batch[-1].sequence if batch else joined

    def _read(self, after: int) -> list[Change]:
        return self._controller.store.read(lambda connection: changes.after(connection, after, BATCH))

    def _remembered(self, context: Context, change: Change) -> bytes:
        """The event, made once for all callers who are alike. One at a time: so watchers leave the database to others."""
        key = change.sequence, replace(context, request_id="", global_request_id="")
        with self._lock:
            found = self._memo.get(key)
            if found is None:
                found = self._memo[key] = self._render(context, change)
                if len(self._memo) > MEMO:
                    self._memo.popitem(last=False)
        return found

    def _render(self, context: Context, change: Change) -> bytes:
        """The event as the caller may see it; nothing where he may not."""
        resource = self._resources.get(change.kind)
        if resource is None:
            return b""
        seen = self._controller.reading(context, lambda tx: self._look(tx, resource, change))
        if seen is None:
            return b""
        data = {
            "kind": change.kind,
            "id": change.id,
            "project_id": change.project_id,
            "revision": change.revision,
            "operation": change.operation,
            "request_id": change.request_id,
            "at": change.at,
            **seen,
        }
        name = f"{resource.collection}.{change.operation}"
        return b"id: %d\nevent: %b\ndata: %b\n\n" % (change.sequence, name.encode(), _encode(data))

    def _look(self, tx: Transaction, resource: Resource, change: Change) -> Mapping[str, Any] | None:
        """{object: what the caller may see}, {} where it is gone by now, None where he may not see it."""
        if change.operation == "delete":
            row = (change.facts or {}).get("row") or {"id": change.id, "project_id": change.project_id}
            return {} if self._was_seen(tx, resource, change, dict(row)) else None
        found = tx.list(resource, resource.table.c.id == change.id, everybody=False)
        if found:
            shown = self._controller.seen(tx, resource, found[0])
            return None if shown is None else {"object": shown}
        known = {"id": change.id, "project_id": change.project_id}
        return {} if self._is_own(tx, change) and self._controller.seen(tx, resource, known) is not None else None

    def _was_seen(self, tx: Transaction, resource: Resource, change: Change, row: dict[str, Any]) -> bool:
        """Whether the caller could see the object before it was deleted."""
        readers = (change.facts or {}).get("readers") or ()
        try:
            if not self._is_own(tx, change):
                if tx.context.project_id in readers or "*" in readers:
                    row["shared"] = True
                elif not resource.strategy.was_visible(tx, row):
                    return False
            return self._controller.seen(tx, resource, row) is not None
        except errors.NotFound:  # what the rule asks about is gone too
            return False

    @staticmethod
    def _is_own(tx: Transaction, change: Change) -> bool:
        return tx.context.sees_everything or (bool(change.project_id) and change.project_id == tx.context.project_id)


class Stream:
    """An iterator that surely says when it is over, also when it never began."""

    def __init__(self, events: Iterator[bytes], close: Callable[[], None]) -> None:
        self._events = events
        self._close = close

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        while not (found := next(self._events)):
            pass
        return found

    def close(self) -> None:
        self._close()


def _collections(resources: Any) -> Mapping[str, frozenset[str]]:
    """Names of collections, as they may be written, -> members."""
    found: dict[str, set[str]] = {}
    for resource in resources:
        for name in {resource.collection, resource.items, f"{resource.prefix}/{resource.collection}".lstrip("/")}:
            found.setdefault(name, set()).add(resource.member)
    return {name: frozenset(members) for name, members in found.items()}
