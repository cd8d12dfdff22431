"""Every URL x verb of the API in one place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import falcon

from weft import errors
from weft.api import documents, quotas, scheduling, topologies
from weft.api.feed import Feed
from weft.api.handler import Controller
from weft.api.health import Alive, Healthcheck, Ready
from weft.api.openapi import OpenApi
from weft.api.tags import Tags
from weft.api.watch import Watch
from weft.registry.resource import Action, Resource

ROOT = "/v2.0"


def spellings(collection: str) -> list[str]:
    """A collection answers with hyphens and with underscores: SDKs use both."""
    return list(dict.fromkeys([collection, collection.replace("_", "-"), collection.replace("-", "_")]))


def paths(resource: Resource) -> Iterator[str]:
    """All paths of the collection, below /v2.0; a sub-resource's with `{id}` for its parent."""
    for collection in (*spellings(resource.collection), *resource.aliases):
        if resource.parent is None:
            for prefix in dict.fromkeys([resource.prefix, ""]):
                yield f"{ROOT}{prefix}/{collection}"
        else:
            for above in paths(resource.parent.resource):
                yield f"{above}/{{id}}{resource.prefix}/{collection}"


class Collection:
    """/ports: list and create. PUT and DELETE find no object, as upstream answers them."""

    def __init__(self, controller: Controller, resource: Resource) -> None:
        self._controller, self._resource = controller, resource

    def on_get(self, request: falcon.Request, response: falcon.Response, id: str = "") -> None:
        _only(self._resource, "list")
        self._controller.index(request, response, self._resource, id)

    def on_post(self, request: falcon.Request, response: falcon.Response, id: str = "") -> None:
        _only(self._resource, "create")
        self._controller.create(request, response, self._resource, id)

    def on_put(self, _request: falcon.Request, _response: falcon.Response, id: str = "") -> None:
        raise self._resource.not_found(id="None")

    on_delete = on_put


class Item:
    """/ports/{id}: show, update, delete. Below a parent `id` is the parent's and `child` the object's."""

    def __init__(self, controller: Controller, resource: Resource) -> None:
        self._controller, self._resource = controller, resource

    def on_get(self, request: falcon.Request, response: falcon.Response, id: str, child: str = "") -> None:
        _only(self._resource, "show")
        self._controller.show(request, response, self._resource, child or id, id if child else "")

    def on_put(self, request: falcon.Request, response: falcon.Response, id: str, child: str = "") -> None:
        _only(self._resource, "update")
        self._controller.update(request, response, self._resource, child or id, id if child else "")

    def on_delete(self, request: falcon.Request, response: falcon.Response, id: str, child: str = "") -> None:
        _only(self._resource, "delete")
        self._controller.delete(request, response, self._resource, child or id, id if child else "")


class MemberAction:
    """/routers/{id}/add_router_interface."""

    def __init__(self, controller: Controller, resource: Resource, action: Action) -> None:
        self._controller, self._resource, self._action = controller, resource, action

    def __getattr__(self, name: str) -> Any:
        if name == f"on_{self._action.method.lower()}":
            return self._run
        raise AttributeError(name)

    def _run(self, request: falcon.Request, response: falcon.Response, id: str, child: str = "") -> None:
        self._controller.act(request, response, self._resource, self._action, child or id, id if child else "")


def _only(resource: Resource, operation: str) -> None:
    if operation not in resource.operations:
        raise errors.HTTPMethodNotAllowed("The method is not allowed for this resource.")


def add(app: falcon.App[Any, Any], controller: Controller, resources: Sequence[Resource]) -> None:
    """Give the documents and every resource their routes."""
    config = controller.config
    app.add_route("/", documents.Versions(config))
    app.add_route("/healthz", Alive())
    ready = Ready(controller.store)
    app.add_route("/readyz", ready)
    app.add_route("/healthcheck", Healthcheck(ready))
    app.add_route("/openapi.json", OpenApi(resources))
    app.add_route(f"{ROOT}/", documents.Root(config, resources))
    extensions = documents.Extensions(documents.loaded(resources, config))
    app.add_route(f"{ROOT}/extensions", extensions)
    app.add_route(f"{ROOT}/extensions/{{alias}}", documents.Extension(extensions))
    quotas.add(app, ROOT, controller, resources)
    topologies.add(app, ROOT, controller)
    scheduling.add(app, ROOT, controller, resources)
    feed = Feed(controller.store, config.state_path, config.api.max_watchers)
    app.add_route(f"{ROOT}/watch", Watch(controller, resources, feed))
    for resource in resources:
        item = "{child}" if resource.parent else "{id}"
        for path in paths(resource):
            app.add_route(path, Collection(controller, resource))
            app.add_route(f"{path}/{item}", Item(controller, resource))
            if resource.tags:
                app.add_route(f"{path}/{item}/tags", Tags(controller, resource))
                app.add_route(f"{path}/{item}/tags/{{tag}}", Tags(controller, resource))
            for action in resource.actions:
                app.add_route(f"{path}/{item}/{action.name}", MemberAction(controller, resource, action))
