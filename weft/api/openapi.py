"""The API described for machines: OpenAPI 3.1, made from the same declarations that serve it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import falcon
import msgspec

from weft import __version__
from weft.api import openapi_fixed
from weft.registry.attributes import Attribute
from weft.registry.resource import Action, Resource
from weft.resources import quota

Schema = dict[str, Any]

_SAID: Schema = {
    "type": "object",
    "properties": {"type": {"type": "string"}, "message": {"type": "string"}, "detail": {"type": "string"}},
    "required": ["type", "message", "detail"],
    "additionalProperties": False,
}
FAULT: Schema = {
    "type": "object",
    "properties": {"NeutronError": _SAID, "NotImplementedError": _SAID},
    "minProperties": 1,
    "maxProperties": 1,
    "additionalProperties": False,
}
PAGING = (
    ("limit", {"type": "integer", "minimum": 0}, "Most items to return."),
    ("marker", {"type": "string"}, "Id of the last item seen."),
    ("page_reverse", {"type": "string"}, "true: the page before the marker; anything else: the page after it."),
    ("fields", {"type": "array", "items": {"type": "string"}}, "Attributes to show."),
    ("sort_key", {"type": "array", "items": {"type": "string"}}, "Attributes to sort by."),
    ("sort_dir", {"type": "array", "items": {"enum": ["asc", "desc"]}}, "A direction for each sort_key."),
)
COMMON_FAULTS = {
    "400": "The request is not understood.",
    "401": "No valid token.",
    "403": "Not allowed.",
    "404": "Not found.",
    "405": "The resource has no such operation.",
    "503": "The database or the identity service is out of order, or nothing is left to allocate; see Retry-After.",
}
WRITE_FAULTS = {
    **COMMON_FAULTS,
    "409": "In conflict with what is there, or over quota.",
    "412": "If-Match names another revision.",
    "413": "The body is too large.",
    "422": "The Idempotency-Key belongs to another request.",
    "501": "Not implemented.",
}
IF_MATCH: Schema = {
    "name": "If-Match",
    "in": "header",
    "schema": {"type": "string"},
    "description": "revision_number=N: do it only while the object has this revision. Other tags are ignored.",
}
DRY_RUN: Schema = {
    "description": "What would be, as a dry run found.",
    "content": {
        "application/json": {
            "schema": {"type": "object", "properties": {"dry_run": {"type": "object"}}, "required": ["dry_run"]}
        }
    },
}
WRITING: list[Schema] = [
    {
        "name": "dry_run",
        "in": "query",
        "schema": {"type": "string", "pattern": "^(?:[tT][rR][uU][eE]|[fF][aA][lL][sS][eE]|[01])$"},
        "description": "Say what would be, and do not do it.",
    },
    {
        "name": "Idempotency-Key",
        "in": "header",
        "schema": {"type": "string", "pattern": "^[ -~]{1,255}$"},
        "description": "The same answer to a repeated request.",
    },
]


def document(resources: Sequence[Resource]) -> Schema:
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
    watched = {resource.collection for resource in resources}
    for path, described in openapi_fixed.paths(quota.names(resources), watched).items():
        paths[path] = {"parameters": _path_parameters(path), **{verb: _fixed(one) for verb, one in described.items()}}
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
    if not (attribute.post or attribute.put) and schema.get("type") == "integer":
        schema = {"type": "integer"}  # what is counted knows no bounds of columns
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
        made = {"anyOf": [one, _wrapped(resource.items, name, many=True)]} if resource.bulk else one
        collection["post"] = _operation(resource, "create", 201, made, body=_create_body(resource, name))
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
    if resource.tags:
        _add_tags(paths, resource, item)


def _add_tags(paths: dict[str, Schema], resource: Resource, item: str) -> None:
    every, one = f"{item}/tags", f"{item}/tags/{{tag}}"
    paths[every] = {
        "parameters": _path_parameters(every),
        "get": _operation(resource, "list_tags_of", 200, openapi_fixed.TAGS_SHOWN),
        "put": _operation(resource, "replace_tags_of", 200, openapi_fixed.TAGS_SHOWN, body=openapi_fixed.TAGS),
        "post": _operation(resource, "add_tags_to", 200, openapi_fixed.TAGS_SHOWN, body=openapi_fixed.TAGS),
        "delete": _operation(resource, "remove_tags_of", 204, None),
    }
    paths[one] = {
        "parameters": _path_parameters(one),
        "get": _operation(resource, "check_tag_of", 204, None),
        "put": _operation(resource, "add_tag_to", 201, {"type": "null"}),
        "delete": _operation(resource, "remove_tag_of", 204, None),
    }


def _fixed(one: openapi_fixed.Described) -> Schema:
    found = _described_operation(one.name, one.tag, one.status, one.answer, one.reads, one.media)
    for code, said in one.faults.items():
        found["responses"][code] = _fault(said) if isinstance(said, str) else _answer("It cannot be done now.", said)
    if one.parameters:
        found["parameters"] = list(one.parameters)
    if one.body:
        found["requestBody"] = _json_body(one.body)
    if one.open:
        found["security"] = []
    return found


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
    many = _wrapped(resource.items, f"{name}_create", many=True)
    many["properties"][resource.items]["minItems"] = 1
    return {"anyOf": [single, many]}


def _operation(
    resource: Resource,
    verb: str,
    status: int,
    answer: Schema | None,
    query: list[Schema] | None = None,
    body: Schema | None = None,
) -> Schema:
    reads = verb in READING
    found = _described_operation(f"{verb}_{_name(resource)}", resource.member, status, answer, reads)
    parameters = list(query or ())
    if not reads:
        parameters += WRITING
    if verb in ("update", "delete"):
        parameters.append(IF_MATCH)
    if parameters:
        found["parameters"] = parameters
    if body:
        found["requestBody"] = _json_body(body)
    return found


READING = ("list", "show", "list_tags_of", "check_tag_of")


def _described_operation(
    name: str, tag: str, status: int, answer: Schema | None, reads: bool, media: str = "application/json"
) -> Schema:
    done = _answer(name.replace("_", " "), answer, media)
    faults = {code: _fault(text) for code, text in (COMMON_FAULTS if reads else WRITE_FAULTS).items()}
    tried = {} if reads else {"200": DRY_RUN}
    return {"operationId": name, "tags": [tag], "responses": {**tried, str(status): done, **faults}}


def _answer(text: str, schema: Schema | None, media: str = "application/json") -> Schema:
    return {"description": text, **({} if schema is None else {"content": {media: {"schema": schema}}})}


def _json_body(schema: Schema) -> Schema:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _fault(text: str) -> Schema:
    return _answer(text, {"$ref": "#/components/schemas/Fault"})


def _act(resource: Resource, action: Action) -> Schema:
    body = openapi_fixed.ACTION_BODIES.get(action.name, {"type": "object"})
    takes_one = action.method != "GET" and action.needs_body
    return _operation(resource, action.name, action.status, ANY_ANSWER, body=body if takes_one else None)


ANY_ANSWER: Schema = {"type": ["object", "array"]}


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
