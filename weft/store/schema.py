"""The one MetaData that all tables register with, and the columns that most API objects share."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ARRAY, JSON, Column, Dialect, Index, Integer, MetaData, String, TypeDecorator, text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement, GenericFunction
from sqlalchemy.types import TypeEngine

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

ID = String(36)
PROJECT = String(255)


def identity() -> list[Column[Any]]:
    """The columns of every object that has an id and an owner."""
    return [Column("id", ID, primary_key=True), Column("project_id", PROJECT, nullable=False, index=True)]


def standard() -> list[Column[Any]]:
    """The columns behind the standard attributes: description, tags, revision_number, created_at, updated_at.

    Times are UTC text as the API shows it (2026-01-31T12:00:00Z), which also sorts.
    """
    return [
        Column("description", String(1024), nullable=False, default="", server_default=""),
        Column("tags", JSON, nullable=False, default=list, server_default="[]"),
        Column("revision_number", Integer, nullable=False, default=0, server_default="0"),
        Column("created_at", String(20), nullable=False),
        Column("updated_at", String(20), nullable=False),
    ]


def unique_where(name: str, condition: str, *columns: str) -> Index:
    """At most one row for each value of `columns` among those that fulfil `condition` (SQL)."""
    return Index(name, *columns, unique=True, sqlite_where=text(condition), postgresql_where=text(condition))


class json_object(GenericFunction[Any]):
    """key, value, key, value ... as one JSON object."""

    type = JSON()
    inherit_cache = True


@compiles(json_object, "postgresql")
def _json_object_postgresql(element: FunctionElement[Any], compiler: Any, **kw: Any) -> str:
    return f"json_build_object({compiler.process(element.clauses, **kw)})"


class json_row(GenericFunction[Any]):
    """Values as one JSON array: shorter to make, send and read than an object, where there are many."""

    type = JSON()
    inherit_cache = True


@compiles(json_row)
def _json_row(element: FunctionElement[Any], compiler: Any, **kw: Any) -> str:
    return f"json_array({compiler.process(element.clauses, **kw)})"


@compiles(json_row, "postgresql")
def _json_row_postgresql(element: FunctionElement[Any], compiler: Any, **kw: Any) -> str:
    return f"json_build_array({compiler.process(element.clauses, **kw)})"


class json_array(GenericFunction[Any]):
    """The rows of a group as one JSON array; [] for no rows."""

    type = JSON()
    inherit_cache = True


@compiles(json_array)
def _json_array(element: FunctionElement[Any], compiler: Any, **kw: Any) -> str:
    return f"json_group_array({compiler.process(element.clauses, **kw)})"


@compiles(json_array, "postgresql")
def _json_array_postgresql(element: FunctionElement[Any], compiler: Any, **kw: Any) -> str:
    return f"coalesce(json_agg({compiler.process(element.clauses, **kw)}), '[]'::json)"


class Texts(TypeDecorator[list[str]]):
    """Several texts in one parameter: an array, or JSON where the database has no arrays."""

    impl = JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(ARRAY(String) if dialect.name == "postgresql" else JSON())


class among(GenericFunction[Any]):
    """True where `column` is one of `texts`, a parameter of the type Texts: one statement for any number of them."""

    inherit_cache = True


@compiles(among)
def _among(element: FunctionElement[Any], compiler: Any, **kw: Any) -> str:
    column, texts = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({texts}))"


@compiles(among, "postgresql")
def _among_postgresql(element: FunctionElement[Any], compiler: Any, **kw: Any) -> str:
    column, texts = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"{column} = ANY ({texts})"


class json_has_text(GenericFunction[Any]):
    """True where the JSON array `column` contains the text `value`."""

    inherit_cache = True


@compiles(json_has_text, "sqlite")
def _json_has_text(element: FunctionElement[Any], compiler: Any, **kw: Any) -> str:
    column, value = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"EXISTS (SELECT 1 FROM json_each({column}) AS each_element WHERE each_element.value = {value})"


@compiles(json_has_text, "postgresql")
def _json_has_text_postgresql(element: FunctionElement[Any], compiler: Any, **kw: Any) -> str:
    column, value = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"jsonb_exists({column}::jsonb, {value})"
