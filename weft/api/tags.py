"""/v2.0/{collection}/{id}/tags: words that people put on objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import falcon
import msgspec

from weft import errors
from weft.api import notices
from weft.api.door import read_json
from weft.api.handler import Controller, Target
from weft.registry.resource import Resource, Row
from weft.registry.types import show, text_fault
from weft.store.transaction import Transaction

LONGEST, MOST = 255, 50
"""Characters of a tag; tags of an object."""


class Tags:
    """The tags of one object: all of them (no `tag`), or one."""

    def __init__(self, controller: Controller, resource: Resource) -> None:
        self._controller, self._resource = controller, resource

    def _object(self, tx: Transaction, id: str, action: str) -> Row:
        resource = self._resource
        row = tx.find(resource, id)
        if row is None or not self._controller.policy.allows(
            tx.context, f"get_{resource.rule}", Target(tx, resource, row)
        ):
            raise errors.TagResourceNotFound(resource=resource.items, id=id)
        self._controller.policy.authorize(tx.context, f"{action}_{resource.rule}:tags", "", Target(tx, resource, row))
        return row

    def _read(self, request: falcon.Request, id: str) -> Sequence[str]:
        return self._controller.reading(request.context.caller, lambda tx: list(self._object(tx, id, "get")["tags"]))

    def _write(
        self,
        request: falcon.Request,
        response: falcon.Response,
        id: str,
        action: str,
        change: Callable[[list[str]], list[str]],
        told: tuple[str, Mapping[str, Any]],
        answer: tuple[int, Callable[[list[str]], Any]],
    ) -> None:
        """`told`: the verb and payload of the notification; `answer`: the status, and the body made of the new tags."""
        status, body = answer

        def work(tx: Transaction) -> Any:
            row = self._object(tx, id, action)
            tags = change(list(row["tags"]))
            if len(tags) > MOST:
                raise errors.BadRequest(f"The number of tags exceed the per-resource limit of {MOST}")
            tx.update(self._resource, row, {**row, "tags": tags})
            notices.tagged(tx, told[0], self._resource, id, told[1])
            return body(tags)

        self._controller.commit(request, response, work, status)

    def on_get(self, request: falcon.Request, response: falcon.Response, id: str, tag: str = "") -> None:
        tags = self._read(request, id)
        if tag:
            if tag not in tags:
                raise errors.TagNotFound(tag=tag)
            response.status = 204
        else:
            _reply(response, {"tags": tags})

    def on_put(self, request: falcon.Request, response: falcon.Response, id: str, tag: str = "") -> None:
        if tag:
            _check([tag])
            told: tuple[str, Mapping[str, Any]] = ("create", {"tags": tag})

            def with_it(tags: list[str]) -> list[str]:
                return tags if tag in tags else [*tags, tag]

            self._write(request, response, id, "update", with_it, told, (201, lambda tags: None))
            if response.status == 201:  # clients expect a body, and this one
                response.data = b"null"
                response.content_type = "application/json"
            return
        wanted = _tags_of(read_json(request))
        told = ("update", {"tags": wanted})
        self._write(request, response, id, "update", lambda _: list(wanted), told, _ALL)

    def on_post(self, request: falcon.Request, response: falcon.Response, id: str, tag: str = "") -> None:
        if tag:
            raise errors.HTTPMethodNotAllowed("The method is not allowed for this resource.")
        more = _tags_of(read_json(request))

        def with_more(tags: list[str]) -> list[str]:
            return [*tags, *(one for one in more if one not in tags)]

        self._write(request, response, id, "create", with_more, ("create", {"tags": more}), _ALL)

    def on_delete(self, request: falcon.Request, response: falcon.Response, id: str, tag: str = "") -> None:
        def without(tags: list[str]) -> list[str]:
            if tag and tag not in tags:
                raise errors.TagNotFound(tag=tag)
            return [one for one in tags if tag and one != tag]

        told = ("delete", {"tag": tag}) if tag else ("delete_all", {})
        self._write(request, response, id, "delete", without, told, (204, lambda tags: None))


_ALL: tuple[int, Callable[[list[str]], Any]] = (200, lambda tags: {"tags": tags})


def _tags_of(body: Any) -> list[str]:
    if not isinstance(body, Mapping) or "tags" not in body:
        raise errors.InvalidInput(reason="Invalid tags body")
    if unknown := sorted(set(body) - {"tags"}):
        raise errors.HTTPBadRequest(f"Unrecognized attribute(s) '{', '.join(unknown)}'")
    tags = body["tags"]
    if not isinstance(tags, list):
        raise errors.InvalidInput(reason=f"{show(tags)} is not a list")
    _check(tags)
    if len(set(tags)) != len(tags):
        raise errors.InvalidInput(reason="Duplicate items in the list of tags")
    return tags


def _check(tags: Sequence[Any]) -> None:
    for tag in tags:
        fault = text_fault(tag, LONGEST)
        if fault or not tag:
            raise errors.InvalidInput(reason=fault or "a tag is not empty")


def _reply(response: falcon.Response, body: Any) -> None:
    response.data = msgspec.json.encode(body)
    response.content_type = "application/json"
