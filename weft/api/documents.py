"""What the API says about itself: versions, resources, extensions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

import falcon
import msgspec

from weft import errors
from weft.api.door import base_url
from weft.config import Config
from weft.registry.resource import Resource
from weft.resources import quota

EVERYWHERE = (
    "pagination",
    "sorting",
    "project-id",
    "filter-validation",
    "empty-string-filtering",
    "revision-if-match",
    "tag-creation",
)
"""Extensions that promise how all resources behave, and that the controller keeps."""

ROOT_COLLECTIONS = ("network", "subnet", "subnetpool", "port")


def known() -> Mapping[str, Mapping[str, str]]:
    """alias -> name, alias, description, updated of every extension of the API."""
    rows = json.loads(files(__package__).joinpath("extensions.json").read_text())
    return {row["alias"]: row for row in rows}


def loaded(resources: Iterable[Resource], config: Config) -> list[str]:
    """Aliases of the extensions that this service honours: those that its resources and attributes come from."""
    found = {*EVERYWHERE, *quota.ALIASES}
    for resource in resources:
        found |= {resource.extension, *resource.shims, *(a.extension for a in resource.attributes)}
    if not config.api.filter_validation:
        found.discard("filter-validation")
    return sorted(found - {"core"})


class Versions:
    """GET /: where which version is. Needs no token."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        base = base_url(self._config, request)
        link = {"rel": "self", "href": f"{base}/v2.0/"}
        _reply(response, {"versions": [{"id": "v2.0", "status": "CURRENT", "links": [link]}]})


class Root:
    """GET /v2.0/: the core collections."""

    def __init__(self, config: Config, resources: Iterable[Resource]) -> None:
        self._config = config
        self._resources = [one for one in resources if one.member in ROOT_COLLECTIONS and one.parent is None]

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        base = base_url(self._config, request)
        _reply(
            response,
            {
                "resources": [
                    {
                        "name": one.member,
                        "collection": one.collection,
                        "links": [{"rel": "self", "href": f"{base}/v2.0/{one.collection}"}],
                    }
                    for one in self._resources
                ]
            },
        )


class Extensions:
    """GET /v2.0/extensions: which parts of the API are here. Not filtered, not paginated."""

    def __init__(self, aliases: Iterable[str]) -> None:
        every = known()
        self._rows = {alias: {**every[alias], "links": []} for alias in aliases if alias in every}
        self._list = msgspec.json.encode({"extensions": list(self._rows.values())})

    def on_get(self, _request: falcon.Request, response: falcon.Response) -> None:
        response.data = self._list
        response.content_type = "application/json"

    def show(self, alias: str) -> Mapping[str, Any] | None:
        return self._rows.get(alias)


class Extension:
    """GET /v2.0/extensions/{alias}."""

    def __init__(self, extensions: Extensions) -> None:
        self._extensions = extensions

    def on_get(self, _request: falcon.Request, response: falcon.Response, alias: str) -> None:
        row = self._extensions.show(alias)
        if row is None:
            raise errors.HTTPNotFound(f"Extension with alias {alias} does not exist")
        _reply(response, {"extension": row})


def _reply(response: falcon.Response, body: Any) -> None:
    response.data = msgspec.json.encode(body)
    response.content_type = "application/json"
