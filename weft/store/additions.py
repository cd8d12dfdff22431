"""Rows that a transaction adds, sent together: on PostgreSQL one statement for all tables, whatever their number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import JSON, Connection, Insert, Table, bindparam, column, func, insert, literal, select

Parts = tuple[tuple[Table, tuple[str, ...]], ...]
"""Tables, and which columns rows for them name."""

COMPUTED = "computed by the server"
"""In Column.info: a function that gives its SQL, on PostgreSQL, for the rows of one statement in their order."""


class Additions:
    """What one transaction adds and has not sent yet.

    A round trip, and what a statement costs a client, are dearer than what the server does for it. So on PostgreSQL rows
    wait here until somebody asks for something (Transaction.connection) or the transaction ends; constraints speak then.
    """

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: dict[tuple[Table, tuple[str, ...]], list[Mapping[str, Any]]] = {}

    def add(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Rows by names of columns; what a row does not name gets its default."""
        for row in rows:
            self._parts.setdefault((table, tuple(row)), []).append(row)

    def send(self, connection: Connection, *, only_bound: bool = False) -> None:
        """Insert what waits, in the order in which it came. `only_bound`: if some of it refers to other rows, so that the
        server looks for them and waits for who holds them."""
        if not self._parts or (only_bound and not any(table.foreign_keys for table, _ in self._parts)):
            return
        if connection.dialect.name == "sqlite":
            parts, self._parts = self._parts, {}
            for (table, _), rows in parts.items():
                connection.execute(_plain(table), rows if len(rows) > 1 else rows[0])
        else:
            together, values = self.take()
            connection.execute(_together(together), values)

    def take(self) -> tuple[Parts, dict[str, Any]]:
        """What waits, for a statement that `inserts` goes with, and the values for it; nothing waits then."""
        parts, self._parts = self._parts, {}
        return tuple(parts), {f"rows_{number}": rows for number, rows in enumerate(parts.values())}

    def concern(self, table: Table) -> bool:
        """Rows of that table wait."""
        return any(part[0] is table for part in self._parts)


@cache
def _plain(table: Table) -> Insert:
    return insert(table)


def inserts(parts: Parts) -> list[Insert]:
    """INSERT into each of these tables, which gets its rows as one JSON text.

    The server reads them quicker than a client can bind them one by one, and the statement is the same for any number of
    rows, so that it is prepared once.
    """
    return [_from_json(table, names, number) for number, (table, names) in enumerate(parts)]


@cache
def _together(parts: Parts) -> Insert:
    *first, last = inserts(parts)
    for number, one in enumerate(first):
        last = last.add_cte(one.cte(f"part_{number}"))
    return last


def _from_json(table: Table, names: tuple[str, ...], number: int) -> Insert:
    text = bindparam(f"rows_{number}", type_=JSON)
    types = [column(name, table.c[name].type) for name in names]
    given = func.json_to_recordset(text).table_valued(*types, name=f"given_{number}").render_derived(with_types=True)
    more = {one.name: one.info[COMPUTED]() for one in table.c if COMPUTED in one.info}
    for one in table.c:
        default: Any = one.default
        if default is not None and one.name not in names:
            more[one.name] = literal(default.arg(None) if default.is_callable else default.arg, one.type)
    return insert(table).from_select([*names, *more], select(*given.c, *more.values()), include_defaults=False)
