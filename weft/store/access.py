"""Which rows a caller may see: his project's, and those that an RBAC policy shows to him or to everybody."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Index,
    String,
    Table,
    UniqueConstraint,
    and_,
    bindparam,
    delete,
    exists,
    or_,
    select,
)

from weft.store.schema import ID, METADATA, PROJECT, identity

EVERYBODY = "*"
QUOTA = "rbac_policy"
"""What the quota calls RBAC policies."""
SHARED, EXTERNAL = "access_as_shared", "access_as_external"

RBAC_ENTRIES = Table(
    "rbac_entries",
    METADATA,
    *identity(),
    Column("object_type", String(64), nullable=False),
    Column("object_id", ID, nullable=False),
    Column("target_tenant", PROJECT, nullable=False),
    Column("action", String(64), nullable=False),
    UniqueConstraint("object_type", "object_id", "target_tenant", "action"),
    Index("ix_rbac_entries_object", "object_id", "action", "target_tenant"),
)

caller = bindparam("project_id", type_=PROJECT, required=True)
"""The caller's project, bound when a prepared SELECT runs."""


def granted(object_id: ColumnElement[Any], actions: Iterable[str]) -> ColumnElement[bool]:
    """An RBAC policy grants the caller one of `actions` on the object."""
    entries = RBAC_ENTRIES.alias()
    return exists().where(
        entries.c.object_id == object_id,
        entries.c.action.in_(list(actions)),
        or_(entries.c.target_tenant == caller, entries.c.target_tenant == EVERYBODY),
    )


def shared(object_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """The API's derived attribute `shared`."""
    return granted(object_id, (SHARED,))


def dependent(project: ColumnElement[str], id: str, owner: str, losing: str) -> ColumnElement[bool]:
    """True where `project` may use the object `id` of the project `owner` only by the RBAC policy that shares it with
    `losing` (a project, or EVERYBODY)."""
    entries = RBAC_ENTRIES.alias()
    others = select(entries.c.target_tenant).where(
        entries.c.object_id == id, entries.c.action == SHARED, entries.c.target_tenant != losing
    )
    clauses = [project != owner, project != "", project.not_in(others)]
    if losing != EVERYBODY:
        clauses += [project == losing, ~others.where(entries.c.target_tenant == EVERYBODY).exists()]
    return and_(*clauses)


_FORGET = (
    delete(RBAC_ENTRIES)
    .where(RBAC_ENTRIES.c.object_id == bindparam("object"))
    .returning(RBAC_ENTRIES.c.project_id, RBAC_ENTRIES.c.target_tenant)
)


def forget(connection: Connection, object_id: str) -> list[tuple[str, str]]:
    """Delete the RBAC policies of an object that goes away; returns the project and the target of each."""
    return [(row[0], row[1]) for row in connection.execute(_FORGET, {"object": object_id})]
