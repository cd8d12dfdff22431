"""The API described for machines: OpenAPI 3.1, made from the same declarations that serve it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import falcon
import msgspec

from weft import __version__
from weft.registry.attributes import Attribute
from weft.registry.resource import Action, Resource

Schema = dict[str, Any]

FAULT: Schema = {
    "type": "object",
    "properties": {
        "NeutronError": {
            "type": "object",
            "properties": {
                "type": {"type": "string"},
                "message": {"type": "string"},
                "detail": {"type": "string"},
            },
            "required": ["type", "message", "detail"],
        }
    },
}
PAGING = (
    ("limit", {"type": "integer", "minimum": 0}, "Most items to return."),
    ("marker", {"type": "string"}, "Id of the last item seen."),
    ("page_reverse", {"type": "boolean"}, "The page before the marker."),
    ("fields", {"type": "array", "items": {"type": "string"}}, "Attributes to show."),
    ("sort_key", {"type": "array", "items": {"type": "string"}}, "Attributes to sort by."),
    ("sort_dir", {"type": "array", "items": {"enum": ["asc", "desc"]}}, "A direction for each sort_key."),
)
COMMON_FAULTS = {
    "400": "The request is not understood.",
    "401": "No valid token.",
    "403": "Not allowed.",
    "404": "Not found.",
}
WRITE_FAULTS = {**COMMON_FAULTS, "409": "In conflict with what is there.", "412": "If-Match names another revision."}


def document(resources: Iterable[Resource]) -> Schema:
    """The whole description."""
    paths: dict[str, Schema] = {}
    schemas: dict[str, Schema] = {"Fault": FAULT}
    for resource in resources:
        name = _name(resource)
        schemas[name] = _shown(resource)
        for operation, settable in (("create", "post"), ("update", "put")):
            if operation in resource.operations:
                schemas[f"{name}_{operation}"] = _body(resource, settable)
        _add_paths(paths, resource, name)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Networking API v2.0", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}},
        },
        "security": [{"token": []}],
    }


def _name(resource: Resource) -> str:
    return f"{resource.parent.resource.member}_{resource.member}" if resource.parent else resource.member


def _base(resource: Resource) -> str:
    above = f"{_base(resource.parent.resource)}/{{id}}" if resource.parent else "/v2.0"
    return f"{above}{resource.prefix}/{resource.collection}"


def _shown(resource: Resource) -> Schema:
    properties = {a.name: {**_open(a), "readOnly": not (a.post or a.put)} for a in resource.attributes if a.visible}
    return {"type": "object", "properties": properties}


def _open(attribute: Attribute) -> Schema:
    """The schema of an attribute as responses have it: what a service computes may be null."""
    schema = dict(attribute.type.schema)
    return {"anyOf": [schema, {"type": "null"}]} if schema else {}


def _body(resource: Resource, settable: str) -> Schema:
    able = [a for a in resource.attributes if getattr(a, settable)]
    schema: Schema = {
        "type": "object",
        "properties": {a.name: _described(a) for a in able},
        "additionalProperties": False,
    }
    required = [a.name for a in able if a.required and a.name != "project_id"]
    if settable == "post" and required:
        schema["required"] = required
    return schema


def _described(attribute: Attribute) -> Schema:
    schema = dict(attribute.type.schema)
    if attribute.default is None or isinstance(attribute.default, str | int | bool | list | dict):
        schema["default"] = attribute.default
    return schema


def _add_paths(paths: dict[str, Schema], resource: Resource, name: str) -> None:
    base = _base(resource)
    item = f"{base}/{{{'child' if resource.parent else 'id'}}}"
    collection: Schema = {"parameters": _path_parameters(base)}
    single: Schema = {"parameters": _path_parameters(item)}
    one = _wrapped(resource.member, name)
    if "list" in resource.operations:
        collection["get"] = _operation(
            resource, "list", 200, _wrapped(resource.items, name, many=True), _query(resource)
        )
    if "create" in resource.operations:
        collection["post"] = _operation(resource, "create", 201, one, body=_create_body(resource, name))
    if "show" in resource.operations:
        single["get"] = _operation(resource, "show", 200, one)
    if "update" in resource.operations:
        single["put"] = _operation(resource, "update", 200, one, body=_wrapped(resource.member, f"{name}_update"))
    if "delete" in resource.operations:
        single["delete"] = _operation(resource, "delete", 204, None)
    paths[base] = collection
    if len(single) > 1:
        paths[item] = single
    for action in resource.actions:
        paths[f"{item}/{action.name}"] = {
            "parameters": _path_parameters(item),
            action.method.lower(): _act(resource, action),
        }


def _path_parameters(path: str) -> list[Schema]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    return [{"name": one, "in": "path", "required": True, "schema": {"type": "string"}} for one in names]


def _query(resource: Resource) -> list[Schema]:
    found = [{"name": n, "in": "query", "schema": schema, "description": text} for n, schema, text in PAGING]
    filters = [a.name for a in resource.attributes if a.filter]
    filters += [name for name in resource.strategy.filters() if name not in filters]
    filters += ["tags-any", "not-tags", "not-tags-any"] if resource.tags else []
    many = {"type": "array", "items": {"type": "string"}}
    return found + [
        {"name": name, "in": "query", "schema": many, "description": "Filter; repeated: any of them."}
        for name in filters
    ]


def _wrapped(key: str, schema: str, many: bool = False) -> Schema:
    inner: Schema = {"$ref": f"#/components/schemas/{schema}"}
    if many:
        inner = {"type": "array", "items": inner}
    return {"type": "object", "properties": {key: inner}, "required": [key]}


def _create_body(resource: Resource, name: str) -> Schema:
    single = _wrapped(resource.member, f"{name}_create")
    if not resource.bulk:
        return single
    return {"oneOf": [single, _wrapped(resource.items, f"{name}_create", many=True)]}


def _operation(
    resource: Resource,
    verb: str,
    status: int,
    answer: Schema | None,
    query: list[Schema] | None = None,
    body: Schema | None = None,
) -> Schema:
    responses: dict[str, Schema] = {str(status): {"description": f"{verb} {resource.member}"}}
    if answer is not None:
        responses[str(status)]["content"] = {"application/json": {"schema": answer}}
    for code, text in (COMMON_FAULTS if verb in ("list", "show") else WRITE_FAULTS).items():
        responses[code] = _fault(text)
    found: Schema = {"operationId": f"{verb}_{_name(resource)}", "tags": [resource.member], "responses": responses}
    if query:
        found["parameters"] = query
    if body:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return found


def _fault(text: str) -> Schema:
    return {"description": text, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Fault"}}}}


def _act(resource: Resource, action: Action) -> Schema:
    body: Mapping[str, Any] | None = {"type": "object"} if action.method != "GET" else None
    return _operation(resource, action.name, action.status, {"type": "object"}, body=dict(body) if body else None)


class OpenApi:
    """GET /openapi.json. Needs no token: it tells nothing about what is here."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self._resources = tuple(resources)
        self._data: bytes | None = None

    def on_get(self, _request: falcon.Request, response: falcon.Response) -> None:
        if self._data is None:
            self._data = msgspec.json.encode(document(self._resources))
        response.data = self._data
        response.content_type = "application/json"
