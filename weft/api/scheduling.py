"""Which agents serve what, from both sides: /agents/{id}/dhcp-networks and l3-routers, /networks/{id}/dhcp-agents and so on.

Bodies have no inner object: {"network_id": ...}; answers hold whole networks, routers, agents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import falcon
import msgspec

from weft import errors
from weft.api import notices
from weft.api.door import read_json
from weft.api.handler import Controller
from weft.context import Context
from weft.registry import types as t
from weft.registry.resource import Resource, Row
from weft.resources import dhcp_agents, l3_agents, router_ha
from weft.resources.agent import AGENT, AGENTS
from weft.resources.agent_bindings import UNKNOWN
from weft.resources.network import NETWORK
from weft.resources.router import ROUTER
from weft.store.transaction import Transaction

PRIORITY = "ha_chassis_priority"
NULL = msgspec.Raw(b"null")
"""The body of what has nothing to say."""


@dataclass(frozen=True)
class Service:
    """What one type of agents serves: `items` of `resource`, by the URLs /agents/{id}/`below` and /<items>/{id}/`above`."""

    extension: str
    resource: Resource
    below: str
    above: str
    rule: str
    event: str
    of_agents: Callable[[Transaction, Sequence[str]], list[Row]]
    add: Callable[..., None]
    remove: Callable[[Transaction, Row, str], None]

    @property
    def key(self) -> str:
        """How bodies call what is served: network_id."""
        return f"{self.resource.member}_id"


SERVICES = (
    Service(
        "dhcp_agent_scheduler",
        NETWORK,
        "dhcp-networks",
        "dhcp-agents",
        "dhcp-network",
        "dhcp_agent.network",
        dhcp_agents.of_agents,
        dhcp_agents.add,
        dhcp_agents.remove,
    ),
    Service(
        "l3_agent_scheduler",
        ROUTER,
        "l3-routers",
        "l3-agents",
        "l3-router",
        "l3_agent.router",
        l3_agents.of_agents,
        l3_agents.add,
        l3_agents.remove,
    ),
)


class OfAgent:
    """/agents/{id}/dhcp-networks: what the agent serves."""

    def __init__(self, controller: Controller, service: Service, shown: Resource, agent: Resource) -> None:
        self._controller, self._service, self._shown, self._agent = controller, service, shown, agent

    def on_get(self, request: falcon.Request, response: falcon.Response, id: str) -> None:
        _authorize(self._controller, request, f"get_{self._service.rule}s", id)

        def work(tx: Transaction) -> list[Row]:
            rows = self._service.of_agents(tx, [tx.get(self._agent, id)["id"]])
            return [self._controller.shown(tx, self._shown, row) for row in rows]

        _reply(response, {self._shown.items: self._controller.reading(request.context.caller, work)})

    def on_post(self, request: falcon.Request, response: falcon.Response, id: str) -> None:
        _authorize(self._controller, request, f"create_{self._service.rule}", id)
        body = _object(read_json(request))
        what, more = _asked(body, self._service.key), self._more(body)

        def work(tx: Transaction) -> Any:
            self._service.add(tx, tx.get(self._agent, id), what, *more)
            notices.scheduled(tx, f"{self._service.event}.add", id, **{self._service.key: what})
            return NULL

        self._controller.commit(request, response, work, 201)

    def _more(self, body: Mapping[str, Any]) -> tuple[Any, ...]:
        """What is said besides which object: a priority, where there are priorities."""
        if self._service.resource is not ROUTER or PRIORITY not in body:
            return ()
        if PRIORITY not in self._agent.by_name:
            raise errors.HTTPBadRequest(f"Unrecognized attribute(s) '{PRIORITY}'")
        return (body[PRIORITY],)


class OneOfAgent:
    """/agents/{id}/dhcp-networks/{child}: one thing that the agent serves. It is shown elsewhere."""

    def __init__(self, controller: Controller, service: Service, _shown: Resource, agent: Resource) -> None:
        self._controller, self._service, self._agent = controller, service, agent

    def on_put(self, request: falcon.Request, response: falcon.Response, id: str, child: str) -> None:
        if self._service.resource is not ROUTER:
            raise errors.HTTPMethodNotAllowed("The method is not allowed for this resource.")
        _authorize(self._controller, request, f"update_{self._service.rule}", id)
        if PRIORITY not in self._agent.by_name:
            raise errors.NotImplementedFault("Updating a router in an L3 agent is not supported for this backend")
        body = _object(read_json(request))

        def work(tx: Transaction) -> Any:
            l3_agents.prioritise(tx, tx.get(self._agent, id), child, body.get(PRIORITY))
            return NULL

        self._controller.commit(request, response, work)

    def on_delete(self, request: falcon.Request, response: falcon.Response, id: str, child: str) -> None:
        _authorize(self._controller, request, f"delete_{self._service.rule}", id)
        if request.content_length:
            raise errors.HTTPBadRequest("Request body is not supported in DELETE.")

        def work(tx: Transaction) -> None:
            self._service.remove(tx, tx.get(self._agent, id), child)
            notices.scheduled(tx, f"{self._service.event}.remove", id, **{self._service.key: child})

        self._controller.commit(request, response, work, 204)


class AgentsOf:
    """/networks/{id}/dhcp-agents: which agents serve it."""

    def __init__(self, controller: Controller, service: Service, shown: Resource, agent: Resource) -> None:
        self._controller, self._service, self._shown, self._agent = controller, service, shown, agent

    def on_get(self, request: falcon.Request, response: falcon.Response, id: str) -> None:
        _authorize(self._controller, request, f"get_{self._service.above}", id)
        context: Context = request.context.caller
        _reply(response, {"agents": self._controller.reading(context, lambda tx: self._list(tx, id))})

    def _list(self, tx: Transaction, id: str) -> list[Row]:
        served = tx.get(self._shown, id)
        bound = {one["id"]: one for one in served["_agents"]}
        rows = tx.list(self._agent, AGENTS.c.id.in_(sorted(bound))) if bound else []
        if self._service.resource is ROUTER and PRIORITY in self._agent.by_name:
            priorities = l3_agents.priorities(tx, id)
            rows = [{**row, PRIORITY: priorities[row["id"]]} for row in rows]
        seen = [self._controller.shown(tx, self._agent, row) for row in rows]
        if self._service.resource is ROUTER and router_ha.is_ha(tx, served):
            for row, shown in zip(rows, seen, strict=True):
                shown["ha_state"] = bound[row["id"]]["state"] if row["alive"] else UNKNOWN
        return seen


def _authorize(controller: Controller, request: falcon.Request, rule: str, id: str) -> None:
    """Asked before anything is looked up, so that strangers learn nothing. Raises PolicyNotAuthorized."""
    controller.policy.authorize(request.context.caller, rule, "", {"id": id})


def _object(body: Any) -> Mapping[str, Any]:
    if not isinstance(body, dict):
        raise errors.HTTPBadRequest("Body contains invalid data")
    return body


def _asked(body: Mapping[str, Any], key: str) -> str:
    if key not in body:
        raise errors.HTTPBadRequest(f"Failed to parse request. Required attribute '{key}' not specified")
    fault = t.uuid_fault(body[key])
    if fault:
        raise errors.HTTPBadRequest(f"Invalid input for {key}. Reason: {fault}.")
    return str(body[key])


def add(app: falcon.App[Any, Any], root: str, controller: Controller, resources: Sequence[Resource]) -> None:
    """Give them their routes below `root`, as far as the extensions are offered."""
    offered = {one.member: one for one in resources if one.parent is None}
    agent = offered.get(AGENT.member)
    for service in SERVICES:
        shown = offered.get(service.resource.member)
        if agent is None or shown is None or service.extension not in agent.shims:
            continue
        parts = controller, service, shown, agent
        for below in (service.below, service.below.replace("-", "_")):
            app.add_route(f"{root}/agents/{{id}}/{below}", OfAgent(*parts))
            app.add_route(f"{root}/agents/{{id}}/{below}/{{child}}", OneOfAgent(*parts))
        for above in (service.above, service.above.replace("-", "_")):
            app.add_route(f"{root}/{shown.collection}/{{id}}/{above}", AgentsOf(*parts))


def _reply(response: falcon.Response, body: Any) -> None:
    response.data = msgspec.json.encode(body)
    response.content_type = "application/json"
