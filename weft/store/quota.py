"""Quota counters that cannot pass their limit: one row per project and resource, moved in the transaction that counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    Integer,
    Select,
    String,
    Table,
    Update,
    bindparam,
    func,
    insert,
    or_,
    select,
    update,
)

from weft.store.additions import Additions, Parts, inserts
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


class Move(NamedTuple):
    """`amount` more (or fewer) of what `project` uses of `name`. With a `default_limit` the limit holds, the project's own
    or this one."""

    project: str
    name: str
    amount: int
    default_limit: int | None = None


def _moving(suffix: str) -> Update:
    """The counter's row moves by a Move, whose parameters have that suffix, or not if its limit would be passed."""
    project, name = bindparam(f"project{suffix}", type_=PROJECT), bindparam(f"name{suffix}", type_=String)
    amount, default = (bindparam(f"{key}{suffix}", type_=Integer) for key in ("amount", "default_limit"))
    limit = func.coalesce(USAGE.c.hard_limit, default)
    bound = or_(amount <= 0, default.is_(None), limit < 0, USAGE.c.used + amount <= limit)
    moved = update(USAGE).where(USAGE.c.project_id == project, USAGE.c.resource == name, bound)
    return moved.values(used=USAGE.c.used + amount)


@cache
def _moving_all(number: int, parts: Parts) -> Select[Any]:
    """So many moves in one statement, and what is inserted beside; one column for each move: how many rows moved. In their
    order, as all transactions have it, so that no two wait for each other."""
    moved = [_moving(f"_{place}").returning(USAGE.c.used).cte(f"moved_{place}") for place in range(number)]
    counted = select(*(select(func.count()).select_from(one).scalar_subquery() for one in moved))
    return counted.add_cte(*(one.cte(f"part_{place}") for place, one in enumerate(inserts(parts))))


_row = (USAGE.c.project_id == bindparam("project"), USAGE.c.resource == bindparam("name"))
_MOVE = _moving("")
_EXISTS = select(USAGE.c.used).where(*_row)


def settle(connection: Connection, moves: Sequence[Move], additions: Additions) -> set[str]:
    """Make all of the moves, or name those of which a limit would be passed. `additions` go before, or along."""
    sqlite = connection.dialect.name == "sqlite"
    additions.send(connection, only_bound=bool(moves) and not sqlite)
    if not moves:
        return set()
    if sqlite:
        missed = [move for move in moves if not connection.execute(_MOVE, move._asdict()).rowcount]
    else:
        parts, values = additions.take()
        for number, move in enumerate(moves):
            values |= {f"{key}_{number}": value for key, value in move._asdict().items()}
        counts = connection.execute(_moving_all(len(moves), parts), values).one()
        missed = [move for move, count in zip(moves, counts, strict=True) if not count]
    return {move.name for move in missed if not _begin(connection, move)}


def _begin(connection: Connection, move: Move) -> bool:
    """The counter's first move, unless it has come meanwhile; False if the limit would be passed."""
    if connection.execute(_EXISTS, {"project": move.project, "name": move.name}).first():
        # it may have come between the two statements
        return connection.execute(_MOVE, move._asdict()).rowcount > 0
    if move.default_limit is not None and 0 <= move.default_limit < move.amount:
        return False
    row = {"project_id": move.project, "resource": move.name, "used": max(move.amount, 0)}
    connection.execute(insert(USAGE), row)
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
