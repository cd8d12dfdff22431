"""/v2.0/auto-allocated-topology/{project}: found under the project's id, not its own, and built by the first GET."""

from __future__ import annotations

from typing import Any

import falcon
import msgspec

from weft import errors
from weft.api import query
from weft.api.handler import Controller
from weft.context import Context
from weft.resources import auto_allocated_topology as topology
from weft.store.transaction import Transaction

CHECK = "dry-run"
"""The value of `fields` that asks whether a topology could be built."""


class Topology:
    """One project's topology."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller

    def on_get(self, request: falcon.Request, response: falcon.Response, project: str) -> None:
        project = self._authorize("get", request, project)
        context: Context = request.context.caller
        fields = query.parse_fields(request.query_string)
        if CHECK in fields:
            self._controller.reading(context, topology.check)
            _reply(response, {"id": "dry-run=pass", "project_id": project})
            return
        if fields:
            raise errors.BadRequest(resource="auto_allocate", reason="Unrecognized field")

        def build(tx: Transaction) -> str:
            return topology.ensure(tx, project)

        found = self._controller.reading(context, lambda tx: topology.find(tx, project))
        found = found or self._controller.writing(context, build)
        _reply(response, {"id": found, "project_id": project, "tenant_id": project})

    def on_delete(self, request: falcon.Request, response: falcon.Response, project: str) -> None:
        project = self._authorize("delete", request, project)
        self._controller.commit(request, response, lambda tx: topology.remove(tx, project), 204)

    def _authorize(self, action: str, request: falcon.Request, project: str) -> str:
        """The project that is meant: clients write None for the caller's own. Raises NotAuthorized, PolicyNotAuthorized."""
        context: Context = request.context.caller
        meant = context.project_id if project == "None" else project
        if meant != context.project_id and not context.is_admin:
            raise errors.NotAuthorized
        target = {"project_id": meant, "tenant_id": meant}
        self._controller.policy.authorize(context, f"{action}_auto_allocated_topology", "", target)
        return meant


def add(app: falcon.App[Any, Any], root: str, controller: Controller) -> None:
    """Give topologies their routes below `root`."""
    for spelling in ("auto-allocated-topology", "auto_allocated_topology"):
        app.add_route(f"{root}/{spelling}/{{project}}", Topology(controller))


def _reply(response: falcon.Response, body: Any) -> None:
    response.data = msgspec.json.encode({"auto_allocated_topology": body})
    response.content_type = "application/json"
