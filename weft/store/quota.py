"""Quota counters that cannot pass their limit: one row per project and resource, moved in the transaction that counts."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import CheckConstraint, Column, Connection, Integer, String, Table, bindparam, func, insert, or_, select, update

from weft.store.schema import METADATA, PROJECT

USAGE = Table(
    "quota_usage",
    METADATA,
    Column("project_id", PROJECT, primary_key=True),
    Column("resource", String(64), primary_key=True),
    Column("used", Integer, nullable=False, default=0),
    Column("hard_limit", Integer, nullable=True),  # NULL: the configured default
    CheckConstraint("used >= 0", name="used"),
)

_limit = func.coalesce(USAGE.c.hard_limit, bindparam("default_limit"))
_row = (USAGE.c.project_id == bindparam("project"), USAGE.c.resource == bindparam("name"))
_MOVE = update(USAGE).where(*_row).values(used=USAGE.c.used + bindparam("amount"))
_MOVE_WITHIN = _MOVE.where(or_(_limit < 0, USAGE.c.used + bindparam("amount") <= _limit))
_EXISTS = select(USAGE.c.used).where(*_row)


def move(connection: Connection, project: str, name: str, amount: int, default_limit: int | None) -> bool:
    """Add `amount` to what `project` uses of `name`. With a `default_limit` the limit holds; False: it would be passed."""
    values = {"project": project, "name": name, "amount": amount}
    if default_limit is not None and amount > 0:
        statement, values = _MOVE_WITHIN, {**values, "default_limit": default_limit}
    else:
        statement = _MOVE
    if connection.execute(statement, values).rowcount:
        return True
    if connection.execute(_EXISTS, {"project": project, "name": name}).first():
        return False
    if default_limit is not None and 0 <= default_limit < amount:
        return False
    connection.execute(insert(USAGE), {"project_id": project, "resource": name, "used": max(amount, 0)})
    return True


def usage(connection: Connection, project: str) -> Mapping[str, tuple[int, int | None]]:
    """name -> (used, own limit or None) of what the project has ever counted or been given a limit for."""
    rows = connection.execute(select(USAGE).where(USAGE.c.project_id == project))
    return {row.resource: (row.used, row.hard_limit) for row in rows}
