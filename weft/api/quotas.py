"""/v2.0/quotas: limits by project. They are no collection of objects with ids, so they have responders of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import falcon
import msgspec

from weft import errors
from weft.api import notices
from weft.api.door import read_json
from weft.api.handler import Controller
from weft.context import Context
from weft.registry.attributes import BodyReader, extract
from weft.registry.resource import Resource
from weft.resources import quota
from weft.store.transaction import Transaction


class Quotas:
    """/quotas: all projects that have limits of their own."""

    def __init__(self, controller: Controller, names: Sequence[str]) -> None:
        self._controller, self._names = controller, names

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        context: Context = request.context.caller
        self._controller.policy.authorize(context, "get_quota", "", {"project_id": None, "tenant_id": None})
        found = self._controller.reading(context, lambda tx: quota.of_projects(tx, self._names))
        every = [{**limits, "project_id": one, "tenant_id": one} for one, limits in found.items()]
        _reply(response, {"quotas": every})

    def on_post(self, _request: falcon.Request, _response: falcon.Response) -> None:
        raise errors.HTTPNotImplemented("POST requests are not supported on this resource.")


class Quota:
    """/quotas/{project}: its limits."""

    def __init__(self, controller: Controller, names: Sequence[str]) -> None:
        self._controller, self._names = controller, names
        self._reader = BodyReader("quota", quota.attributes(names))

    def on_get(self, request: falcon.Request, response: falcon.Response, project: str) -> None:
        context = _may_read(self._controller, request, project)
        limits = self._controller.reading(context, lambda tx: quota.limits(tx, self._names, project))
        _reply(response, {"quota": limits})

    def on_put(self, request: falcon.Request, response: falcon.Response, project: str) -> None:
        context: Context = request.context.caller
        self._controller.policy.authorize(context, "update_quota", "", {"project_id": project, "tenant_id": project})
        (inner, *more), _ = extract("quota", "quota", read_json(request))
        if more:
            raise errors.HTTPBadRequest("Unable to find 'quota' in request body")
        wanted = self._reader.update(inner, context)
        force = wanted.pop("force", False)
        wanted.pop("check_limit", None)

        def work(tx: Transaction) -> dict[str, Any]:
            quota.change(tx, project, wanted, force)
            body = {"quota": quota.limits(tx, self._names, project)}
            notices.updated(tx, "quota", project, inner, body)
            return body

        self._controller.commit(request, response, work)

    def on_delete(self, request: falcon.Request, response: falcon.Response, project: str) -> None:
        context: Context = request.context.caller
        self._controller.policy.authorize(context, "delete_quota", "", {"project_id": project, "tenant_id": project})

        def work(tx: Transaction) -> None:
            was = {**quota.limits(tx, self._names, project)}
            quota.reset(tx, project)
            notices.deleted(tx, "quota", project, was)

        self._controller.commit(request, response, work, 204)


class Defaults:
    """/quotas/{project}/default: the limits of projects that have none of their own."""

    def __init__(self, controller: Controller, names: Sequence[str]) -> None:
        self._controller, self._names = controller, names

    def on_get(self, request: falcon.Request, response: falcon.Response, project: str) -> None:
        context = _may_read(self._controller, request, project)
        _reply(response, {"quota": self._controller.reading(context, lambda tx: quota.defaults(tx, self._names))})


class Details:
    """/quotas/{project}/details: limits, and what is used of them."""

    def __init__(self, controller: Controller, names: Sequence[str]) -> None:
        self._controller, self._names = controller, names

    def on_get(self, request: falcon.Request, response: falcon.Response, project: str) -> None:
        context: Context = request.context.caller
        if project != context.project_id and not context.is_admin:
            raise errors.AdminRequired(reason="Only admin is authorized to access quotas for another project")
        found = self._controller.reading(context, lambda tx: quota.details(tx, self._names, project))
        _reply(response, {"quota": found})


class Caller:
    """/quotas/tenant, /quotas/project: whose limits the caller would be asking for."""

    def __init__(self, name: str, missing: Callable[[], errors.Fault]) -> None:
        self._name, self._missing = name, missing

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        project = request.context.caller.project_id
        if not project:
            raise self._missing()
        _reply(response, {self._name: {f"{self._name}_id": project}})


def add(app: falcon.App[Any, Any], root: str, controller: Controller, resources: Sequence[Resource]) -> None:
    """Give quotas their routes below `root`."""
    names = quota.names(resources)
    app.add_route(f"{root}/quotas", Quotas(controller, names))
    app.add_route(f"{root}/quotas/tenant", Caller("tenant", errors.QuotaMissingTenant))
    app.add_route(f"{root}/quotas/project", Caller("project", errors.QuotaMissingProject))
    app.add_route(f"{root}/quotas/{{project}}", Quota(controller, names))
    app.add_route(f"{root}/quotas/{{project}}/default", Defaults(controller, names))
    app.add_route(f"{root}/quotas/{{project}}/details", Details(controller, names))


def _may_read(controller: Controller, request: falcon.Request, project: str) -> Context:
    """The caller, if the limits of the project are his own or policy lets him see them."""
    context: Context = request.context.caller
    if project != context.project_id:
        controller.policy.authorize(context, "get_quota", "", {"project_id": project, "tenant_id": project})
    return context


def _reply(response: falcon.Response, body: Any) -> None:
    response.data = msgspec.json.encode(body)
    response.content_type = "application/json"
