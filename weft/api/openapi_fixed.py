"""Of the description of the API what no declaration says: bodies of actions, tags, quotas, documents, health."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from weft.registry import types as t
from weft.registry import types_address as addresses
from weft.registry import types_network as net

Schema = dict[str, Any]


@dataclass(frozen=True)
class Described:
    """An operation. `reads`: it changes nothing; `open`: it needs no token. `media`: what the answer is written in.

    `parameters` are those besides the path's; `faults` those besides everybody's: status -> its text, or its schema."""

    name: str
    tag: str
    answer: Schema | None
    status: int = 200
    body: Schema | None = None
    reads: bool = True
    open: bool = False
    media: str = "application/json"
    parameters: tuple[Schema, ...] = ()
    faults: Mapping[str, str | Schema] = field(default_factory=dict)


def _record(properties: Mapping[str, Schema], *required: str) -> Schema:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


TAGS = _record({"tags": {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 255}}}, "tags")

TAGS_SHOWN = {key: value for key, value in TAGS.items() if key != "additionalProperties"}

_INTERFACE: Schema = {
    "type": "object",
    "properties": {"subnet_id": t.uuid.schema, "port_id": t.uuid.schema},
    "minProperties": 1,
}
_ROUTES = _record({"router": _record({"routes": addresses.routes.schema}, "routes")}, "router")
_GATEWAYS: Schema = {
    "type": "object",
    "properties": {"router": _record({"external_gateways": net.external_gateways.schema}, "external_gateways")},
    "required": ["router"],
}
_PREFIXES: Schema = {
    "type": "object",
    "properties": {"prefixes": addresses.cidr_list.schema},
    "required": ["prefixes"],
}
_ADDRESSES: Schema = {
    "type": "object",
    "properties": {"addresses": {"type": "array", "items": {"type": "string"}}},
    "required": ["addresses"],
}
_SUB_PORTS: Schema = {
    "type": "object",
    "properties": {"sub_ports": {"type": "array", "items": {"type": "object"}}},
    "required": ["sub_ports"],
}

ACTION_BODIES: Mapping[str, Schema] = {
    "add_router_interface": _INTERFACE,
    "remove_router_interface": _INTERFACE,
    "add_extraroutes": _ROUTES,
    "remove_extraroutes": _ROUTES,
    "add_external_gateways": _GATEWAYS,
    "update_external_gateways": _GATEWAYS,
    "remove_external_gateways": _GATEWAYS,
    "add_prefixes": _PREFIXES,
    "remove_prefixes": _PREFIXES,
    "onboard_network_subnets": {
        "type": "object",
        "properties": {"network_id": t.uuid.schema},
        "required": ["network_id"],
    },
    "add_addresses": _ADDRESSES,
    "remove_addresses": _ADDRESSES,
    "add_subports": _SUB_PORTS,
    "remove_subports": _SUB_PORTS,
}
"""Action -> schema of its body; any object where none is here."""

_OBJECT: Schema = {"type": "object"}
_HEALTH = {"type": "object", "properties": {"status": {"type": "string"}}, "required": ["status"]}


_HEALTHCHECK = Described(
    "is_healthy",
    "health",
    {"type": "string"},
    open=True,
    media="text/plain",
    faults={"503": "The database does not answer."},
)
_READINESS = {
    "type": "object",
    "properties": {"status": {"enum": ["ok", "unavailable"]}, "database": {"type": "string"}},
    "required": ["status", "database"],
}
_EVENT = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "description": "Number in the change log."},
        "event": {"type": "string"},
        "data": {"type": "string", "description": "A JSON object: what changed, and the object as the caller sees it."},
        "retry": {"type": "integer"},
    },
}
_SEQUENCE: Schema = {"type": "string", "pattern": "^[0-9]{0,19}$"}


def _chosen(name: str, text: str, schema: Schema, place: str = "query") -> Schema:
    return {"name": name, "in": place, "schema": schema, "description": text}


def _watch(collections: Iterable[str]) -> Described:
    """The stream of changes. `collections`: what can be watched."""
    texts: Schema = {"type": "array", "items": {"type": "string"}}
    known: Schema = {"type": "array", "items": {"enum": sorted(collections)}}
    return Described(
        "watch",
        "watch",
        _EVENT,
        media="text/event-stream",
        parameters=(
            _chosen("collection", "Only changes of these collections.", known),
            _chosen("id", "Only changes of these objects.", texts),
            _chosen("project_id", "Only changes of what these projects own.", texts),
            _chosen("last_event_id", "Go on after this event, as the header does.", _SEQUENCE),
            _chosen("Last-Event-ID", "Go on after this event.", _SEQUENCE, "header"),
        ),
        faults={"410": "The change log no longer reaches back so far: list again, and watch from then on."},
    )


def _scheduling() -> dict[str, dict[str, Described]]:
    """What agents serve, from both sides."""
    null: Schema = {"type": "null"}
    found: dict[str, dict[str, Described]] = {}
    for kind, what in (("dhcp", "network"), ("l3", "router")):
        below = f"/v2.0/agents/{{id}}/{kind}-{what}s"
        # what else a body says is for dataplanes with priorities of chassis
        body = {"type": "object", "properties": {f"{what}_id": t.uuid.schema}, "required": [f"{what}_id"]}
        found[below] = {
            "get": Described(f"list_{what}s_of_agent", "agent", _OBJECT),
            "post": Described(f"add_{what}_to_agent", "agent", null, 201, body=body, reads=False),
        }
        found[f"{below}/{{child}}"] = {
            "delete": Described(f"remove_{what}_from_agent", "agent", None, 204, reads=False)
        }
        found[f"/v2.0/{what}s/{{id}}/{kind}-agents"] = {
            "get": Described(f"list_{kind}_agents_of_{what}", what, _OBJECT)
        }
    found["/v2.0/agents/{id}/l3-routers/{child}"]["put"] = Described(
        "prioritise_agent_of_router", "agent", null, body=_OBJECT, reads=False
    )
    return found


def paths(limited: Iterable[str], watched: Iterable[str]) -> dict[str, dict[str, Described]]:
    """path -> verb -> operation. `limited`: what has a quota; `watched`: collections whose changes can be watched."""
    names = list(limited)
    limits = {name: {"type": "integer", "minimum": -1} for name in names}
    one = {"type": "object", "properties": {"quota": {"type": "object", "properties": limits}}, "required": ["quota"]}
    wanted = {name: dict(t.quota_limit.schema) for name in names}
    flags = {flag: {"type": "boolean"} for flag in ("force", "check_limit")}
    change = _record({"quota": _record({**wanted, **flags})}, "quota")
    of = "/v2.0/quotas/{project}"
    topology = "/v2.0/auto-allocated-topology/{project}"
    return {
        "/": {"get": Described("list_versions", "versions", _OBJECT, open=True)},
        "/healthz": {"get": Described("is_alive", "health", _HEALTH, open=True)},
        "/readyz": {"get": Described("is_ready", "health", _READINESS, open=True, faults={"503": _READINESS})},
        "/healthcheck": {"get": _HEALTHCHECK},
        "/v2.0/watch": {"get": _watch(watched)},
        "/v2.0/": {"get": Described("list_resources", "versions", _OBJECT)},
        "/v2.0/extensions": {"get": Described("list_extensions", "extension", _OBJECT)},
        "/v2.0/extensions/{alias}": {"get": Described("show_extension", "extension", _OBJECT)},
        "/v2.0/quotas": {"get": Described("list_quotas", "quota", _OBJECT)},
        of: {
            "get": Described("show_quota", "quota", one),
            "put": Described("update_quota", "quota", one, body=change, reads=False),
            "delete": Described("delete_quota", "quota", None, 204, reads=False),
        },
        f"{of}/default": {"get": Described("show_default_quota", "quota", one)},
        f"{of}/details": {"get": Described("show_quota_details", "quota", _OBJECT)},
        topology: {
            # the first GET builds it
            "get": Described("show_auto_allocated_topology", "auto_allocated_topology", _OBJECT, reads=False),
            "delete": Described("delete_auto_allocated_topology", "auto_allocated_topology", None, 204, reads=False),
        },
        **_scheduling(),
    }
