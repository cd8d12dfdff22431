"""Quota counters that cannot pass their limit: one row per project and resource, moved in the transaction that counts."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    Integer,
    String,
    Table,
    bindparam,
    func,
    insert,
    or_,
    select,
    update,
)

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
        # it may have come between the two statements
        return connection.execute(statement, values).rowcount > 0
    if default_limit is not None and 0 <= default_limit < amount:
        return False
    connection.execute(insert(USAGE), {"project_id": project, "resource": name, "used": max(amount, 0)})
    return True


def usage(connection: Connection, project: str) -> Mapping[str, tuple[int, int | None]]:
    """name -> (used, own limit or None) of what the project has ever counted or been given a limit for."""
    rows = connection.execute(select(USAGE).where(USAGE.c.project_id == project))
    return {row.resource: (row.used, row.hard_limit) for row in rows}


_LIMIT = update(USAGE).where(*_row).values(hard_limit=bindparam("limit"))
_UNLIMIT = (
    update(USAGE)
    .where(USAGE.c.project_id == bindparam("project"), USAGE.c.hard_limit.is_not(None))
    .values(hard_limit=None)
)
_LIMITS = select(USAGE.c.project_id, USAGE.c.resource, USAGE.c.hard_limit).where(USAGE.c.hard_limit.is_not(None))


def set_limit(connection: Connection, project: str, name: str, limit: int) -> None:
    """Give the project a limit of its own for `name`; -1: none at all."""
    if not connection.execute(_LIMIT, {"project": project, "name": name, "limit": limit}).rowcount:
        row = {"project_id": project, "resource": name, "used": 0, "hard_limit": limit}
        connection.execute(insert(USAGE), row)


def reset(connection: Connection, project: str) -> bool:
    """Back to the configured limits; False: the project had no others."""
    return connection.execute(_UNLIMIT, {"project": project}).rowcount > 0


def limits(connection: Connection) -> Mapping[str, dict[str, int]]:
    """project -> name -> limit of all projects that have limits of their own, by project."""
    found: dict[str, dict[str, int]] = {}
    for row in connection.execute(_LIMITS.order_by(USAGE.c.project_id)):
        found.setdefault(row.project_id, {})[row.resource] = row.hard_limit
    return found
