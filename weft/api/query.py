"""The query string of a list or show: filters, fields, sorting, pagination, and the links of a page."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from weft import errors
from weft.config import Config
from weft.registry.resource import Resource, Row
from weft.registry.types import show
from weft.store.rows import Query

RESERVED = frozenset({"fields", "sort_key", "sort_dir", "limit", "marker", "page_reverse"})
MOST_VALUES = 5000
"""Values of one filter; as many as a URL has room for, of ids."""
_LIMIT = re.compile(r"\+?[0-9]{1,18}")
TAG_FILTERS = frozenset({"tags", "tags-any", "not-tags", "not-tags-any"})


@dataclass(slots=True)
class Request:
    """A parsed query string: what to select, which attributes to show (empty: all), and the parameters as they came."""

    query: Query
    fields: frozenset[str]
    parameters: Sequence[tuple[str, str]]


def parse(resource: Resource, text: str, config: Config) -> Request:
    """Parse the query string `text` of a list of `resource`. Raises HTTPBadRequest or InvalidInput."""
    parameters = parse_qsl(text, keep_blank_values=True) if text else []
    given: dict[str, list[str]] = {}
    for name, value in parameters:
        given.setdefault(name, []).append(value)
    if "%00" in text and any("\0" in part for pair in parameters for part in pair):
        raise errors.HTTPBadRequest("A query string cannot hold NUL")
    query = Query(
        filters=_filters(resource, given, config),
        sort=_sort(resource, given),
        limit=_limit(resource, given, config),
        marker=next(iter(given.get("marker", ())), None) or None,
        reverse=(given.get("page_reverse") or [""])[0].lower() == "true",
    )
    return Request(query, fields(given), parameters)


def fields(given: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """The attributes that `fields=` asks for; empty: all."""
    return frozenset(name for name in given.get("fields", ()) if name)


def parse_fields(text: str) -> frozenset[str]:
    """Only `fields=` of the query string of a show."""
    if "fields=" not in text:
        return frozenset()
    return frozenset(value for name, value in parse_qsl(text) if name == "fields")


def _filters(resource: Resource, given: Mapping[str, list[str]], config: Config) -> dict[str, list[Any]]:
    special = resource.strategy.filters()
    found: dict[str, list[Any]] = {}
    unknown = []
    for name, values in given.items():
        if name in RESERVED:
            continue
        attribute = resource.by_name.get(name)
        if len(values) > MOST_VALUES:
            raise errors.HTTPBadRequest(f"More than {MOST_VALUES} values of {name}")
        if name in TAG_FILTERS and resource.tags:
            found[name] = values
        elif attribute is not None and attribute.filter:
            found["project_id" if name == "tenant_id" else name] = [attribute.type.filter(value) for value in values]
        elif name in special and attribute is None:
            found[name] = values
        else:
            unknown.append(name)
    if unknown and config.api.filter_validation:
        raise errors.HTTPBadRequest(f"{unknown} is invalid attribute for filtering")
    return found


def _sort(resource: Resource, given: Mapping[str, list[str]]) -> list[tuple[str, bool]]:
    keys, directions = given.get("sort_key", []), given.get("sort_dir", [])
    if len(keys) != len(directions):
        raise errors.HTTPBadRequest("The number of sort_keys and sort_dirs must be same")
    bad = [key for key in keys if key not in resource.by_name or not resource.by_name[key].sort]
    if bad:
        raise errors.HTTPBadRequest(f"{bad} is invalid attribute for sort_keys")
    wrong = [direction for direction in directions if direction not in ("asc", "desc")]
    if wrong:
        raise errors.HTTPBadRequest(f"{wrong} is invalid value for sort_dirs, valid value is 'asc' and 'desc'")
    once: dict[str, bool] = {}
    for key, direction in zip(keys, directions, strict=True):
        once.setdefault("project_id" if key == "tenant_id" else key, direction == "desc")
    return list(once.items())


def _limit(resource: Resource, given: Mapping[str, list[str]], config: Config) -> int | None:
    text = (given.get("limit") or ["0"])[-1]
    limit = int(text) if _LIMIT.fullmatch(text) else -1
    if limit < 0:
        raise errors.BadRequest(resource="limit", reason=f"Limit must be an integer 0 or greater and not {show(text)}")
    if not resource.pagination:
        return None
    most = config.api.pagination_max_limit
    if most > 0:
        limit = min(limit, most) if limit else most
    return limit or None


def links(request: Request, url: str, rows: Sequence[Row], key: str = "id") -> list[dict[str, str]]:
    """`next` and `previous` of a page, as query.md of the API's facts has them: a full page has both.

    Markers are values of the attribute `key`."""
    query = request.query
    assert query.limit is not None
    kept = [(name, value) for name, value in request.parameters if name not in ("marker", "page_reverse")]
    found = []
    full = len(rows) >= query.limit
    if full or query.reverse:
        marker = [("marker", rows[-1][key])] if rows else []
        found.append({"rel": "next", "href": f"{url}?{urlencode([*kept, *marker])}"})
    if full or not query.reverse:
        marker = [("marker", rows[0][key])] if rows else []
        found.append({"rel": "previous", "href": f"{url}?{urlencode([*kept, *marker, ('page_reverse', 'True')])}"})
    return found
