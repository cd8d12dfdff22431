"""SELECT and INSERT made from a resource's declaration: API rows out, API rows in, one statement whatever the length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Delete,
    Integer,
    Numeric,
    Select,
    String,
    Update,
    UpdateBase,
    and_,
    bindparam,
    cast,
    delete,
    false,
    func,
    not_,
    or_,
    select,
    true,
    update,
)

from weft import errors
from weft.registry.resource import Resource, Row
from weft.store import access
from weft.store.schema import json_has_text

if TYPE_CHECKING:
    from weft.store.transaction import Transaction


PIECE = 500
"""Rows of a list in memory at once: a long list costs what it is long as text, not as objects."""
MOST_TAGS = 100
"""Tags in one filter; each is a sub-select."""


Lock = Literal["", "alone", "kept"]
"""What a look at an object takes along until the end of the transaction, on PostgreSQL; SQLite has one writer anyway."""
ALONE: Lock = "alone"
"""FOR UPDATE: nobody changes or deletes it, or makes what refers to it: of what does, all is there now."""
KEPT: Lock = "kept"
"""FOR KEY SHARE: nobody has it alone. It is what a foreign key takes when a row comes to refer to the object."""


@dataclass(slots=True)
class Query:
    """What a list asks for. `filters`: name -> values, of which one must match; `sort`: (name, descending);
    `limit` None: everything; `marker`: id of the last item seen; `reverse`: the page before it."""

    filters: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    sort: Sequence[tuple[str, bool]] = ()
    limit: int | None = None
    marker: str | None = None
    reverse: bool = False


@cache
def _expressions(resource: Resource) -> Mapping[str, ColumnElement[Any]]:
    """name -> SQL of everything that a SELECT can bring: stored attributes and the strategy's own expressions."""
    found: dict[str, ColumnElement[Any]] = {name: resource.table.c[column] for name, column in resource.stored}
    found.update(resource.strategy.columns())
    return found


@cache
def _base(resource: Resource, everybody: bool) -> tuple[tuple[str, ...], Select[Any]]:
    """(names, SELECT of all rows that a caller may see)."""
    expressions = _expressions(resource)
    statement = select(*expressions.values()).select_from(resource.table)
    if not everybody:
        statement = statement.where(_visible(resource))
    return tuple(expressions), statement


def _visible(resource: Resource) -> ColumnElement[bool]:
    clauses: list[ColumnElement[bool]] = []
    if "project_id" in resource.table.c:
        clauses.append(resource.table.c.project_id == access.caller)
    if resource.visible_by_rbac:
        clauses.append(access.granted(resource.table.c.id, resource.visible_by_rbac))
    further = resource.strategy.visible()
    if further is not None:
        clauses.append(further)
    return or_(*clauses) if clauses else true()


@cache
def _by_id(resource: Resource, everybody: bool, lock: Lock) -> tuple[tuple[str, ...], Select[Any]]:
    names, statement = _base(resource, everybody)
    if lock:
        statement = statement.with_for_update(read=lock == KEPT, key_share=lock == KEPT)
    statement = statement.where(resource.table.c[resource.key] == bindparam("row_id"))
    if resource.key != "id" and resource.parent:
        statement = statement.where(resource.table.c[resource.parent.column] == bindparam("parent_id"))
    return names, statement


# Of one row: `row_id`, and for those that are `guarded` the `read_revision` at which they find it.


def _one(resource: Resource, guarded: bool) -> tuple[ColumnElement[bool], ...]:
    columns = resource.table.c
    one = columns.id == bindparam("row_id")
    return (one, columns.revision_number == bindparam("read_revision")) if guarded else (one,)


@cache
def update_statement(resource: Resource, names: tuple[str, ...], guarded: bool) -> Update:
    """UPDATE of the columns `names` by parameters `new_<column>`."""
    columns = resource.table.c
    values = {name: bindparam(f"new_{name}", type_=columns[name].type) for name in names}
    return update(resource.table).where(*_one(resource, guarded)).values(**values)


@cache
def delete_statement(resource: Resource, guarded: bool) -> Delete:
    """DELETE of a row."""
    return delete(resource.table).where(*_one(resource, guarded))


@cache
def touch_statement(resource: Resource, guarded: bool) -> UpdateBase:
    """UPDATE that raises the revision, of the time `now`, and returns it."""
    columns = resource.table.c
    raised = update(resource.table).where(*_one(resource, guarded))
    raised = raised.values(updated_at=bindparam("now", type_=String), revision_number=columns.revision_number + 1)
    return raised.returning(columns.revision_number)


@cache
def hold_statement(resource: Resource, guarded: bool) -> Update:
    """UPDATE that changes nothing."""
    return update(resource.table).where(*_one(resource, guarded)).values(id=resource.table.c.id)


@cache
def lock_statement(resource: Resource) -> Select[Any]:
    """SELECT that locks the row."""
    return select(resource.table.c.id).where(*_one(resource, False)).with_for_update()


def _complete(tx: Transaction, resource: Resource, names: Sequence[str], found: Sequence[Any]) -> list[Row]:
    result: list[Row] = [dict(zip(names, row, strict=True)) for row in found]
    resource.strategy.view_many(tx, result)
    return result


def _everybody(tx: Transaction, everybody: bool) -> bool:
    return everybody or tx.context.sees_everything


def find(
    tx: Transaction, resource: Resource, id: str, *, everybody: bool, parent_id: str = "", lock: Lock = ""
) -> Row | None:
    """One object by its id, or None when it is not there or not visible."""
    names, statement = _by_id(resource, _everybody(tx, everybody), lock)
    values = {"row_id": id, "parent_id": parent_id, "project_id": tx.context.project_id}
    found = tx.connection.execute(statement, values).all()
    return _complete(tx, resource, names, found)[0] if found else None


def select_where(
    tx: Transaction, resource: Resource, where: Sequence[Any], *, everybody: bool, values: Mapping[str, Any] | None
) -> list[Row]:
    """All objects that fulfil `where`. `values`: of parameters in clauses that are made once."""
    everybody = _everybody(tx, everybody)
    if values is None:
        names, statement = _base(resource, everybody)
        statement = statement.where(*where)
    else:
        names, statement = _where(resource, everybody, tuple(where))
    found = tx.connection.execute(statement, {"project_id": tx.context.project_id, **(values or {})}).all()
    return _complete(tx, resource, names, found)


@cache
def _where(resource: Resource, everybody: bool, where: tuple[Any, ...]) -> tuple[tuple[str, ...], Select[Any]]:
    names, statement = _base(resource, everybody)
    return names, statement.where(*where)


def page(tx: Transaction, resource: Resource, query: Query, *where: ColumnElement[bool]) -> Iterator[list[Row]]:
    """One page of the objects that the caller may see, in the order that he asked for; PIECE rows at a time."""
    names, statement = _base(resource, tx.context.sees_everything)
    clauses = [*where, *(_clause(tx, resource, name, values) for name, values in query.filters.items())]
    statement = statement.where(*clauses)
    keys = _sort_keys(resource, query.sort)
    if query.limit is not None and query.marker:
        statement = statement.where(_beyond(tx, resource, keys, query, where))
    for expression, descending in keys:
        statement = statement.order_by(expression.desc() if descending != query.reverse else expression.asc())
    if query.limit is not None:
        statement = statement.limit(query.limit)
    found = tx.connection.execute(statement, {"project_id": tx.context.project_id})
    if query.reverse:
        yield _complete(tx, resource, names, found.all())[::-1]
        return
    for piece in found.partitions(PIECE):
        yield _complete(tx, resource, names, piece)


def _clause(tx: Transaction, resource: Resource, name: str, values: Sequence[Any]) -> ColumnElement[bool]:
    own = resource.strategy.filters().get(name)
    if own is not None:
        return own(tx, values)
    if name in ("tags", "tags-any", "not-tags", "not-tags-any"):
        return _tags(resource, name, values)
    expression = _expressions(resource).get(name)
    if expression is None:
        raise errors.HTTPBadRequest(f"['{name}'] is invalid attribute for filtering")
    if isinstance(expression.type, Boolean):
        return or_(*(expression if value else not_(expression) for value in set(values))) if values else false()
    present = [value for value in values if value is not None]
    clause: ColumnElement[bool] = expression.in_(present) if present else false()
    return or_(clause, expression.is_(None)) if len(present) < len(values) else clause


def _tags(resource: Resource, name: str, values: Sequence[str]) -> ColumnElement[bool]:
    """tags: all of them; tags-any: one of them; not-…: the opposite. Values are comma separated lists."""
    wanted = list(dict.fromkeys(tag for value in values for tag in value.split(",") if tag))
    if not wanted:
        return false()
    if len(wanted) > MOST_TAGS:
        raise errors.HTTPBadRequest(f"More than {MOST_TAGS} values of {name}")
    has = [json_has_text(resource.table.c.tags, tag) for tag in wanted]
    clause = or_(*has) if name.endswith("any") else and_(*has)
    return not_(clause) if name.startswith("not-") else clause


def _sort_keys(resource: Resource, sort: Sequence[tuple[str, bool]]) -> list[tuple[ColumnElement[Any], bool]]:
    expressions = _expressions(resource)
    keys = [(_without_null(expressions[name]), descending) for name, descending in sort if name in expressions]
    if resource.key in expressions and all(name != resource.key for name, _ in sort):
        keys.append((expressions[resource.key], False))
    return keys


def _without_null(expression: ColumnElement[Any]) -> ColumnElement[Any]:
    """Order NULL before everything else, on every database. Truth is compared as a number."""
    if isinstance(expression.type, Boolean):
        return cast(expression, Integer)
    if getattr(expression, "nullable", True) is False:
        return expression
    return func.coalesce(expression, -1 if isinstance(expression.type, Integer | Numeric) else "")


def _beyond(
    tx: Transaction,
    resource: Resource,
    keys: Sequence[tuple[ColumnElement[Any], bool]],
    query: Query,
    where: Sequence[ColumnElement[bool]],
) -> ColumnElement[bool]:
    """Rows after the marker (before it, in reverse) in the order of `keys`. What the caller may not see marks nothing."""
    if not tx.context.sees_everything:
        where = [*where, _visible(resource)]
    found = tx.connection.execute(
        select(*(expression for expression, _ in keys)).where(resource.table.c[resource.key] == query.marker, *where),
        {"project_id": tx.context.project_id},
    ).first()
    if found is None:
        if resource.strict_marker:
            raise resource.not_found(id=query.marker)
        return true()
    equal: list[ColumnElement[bool]] = []
    ways: list[ColumnElement[bool]] = []
    for (expression, descending), value in zip(keys, found, strict=True):
        further = expression < value if descending != query.reverse else expression > value
        ways.append(and_(*equal, further))
        equal.append(expression == value)
    return or_(*ways)
