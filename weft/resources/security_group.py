"""Security groups: which packets their ports may send and receive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Boolean, Column, ForeignKey, String, Table, insert, select

from weft import errors
from weft.registry import types as t
from weft.registry.attributes import Attribute, read_only
from weft.registry.resource import Resource
from weft.registry.strategy import Strategy
from weft.resources import standard
from weft.store import access
from weft.store.schema import ID, METADATA, PROJECT, identity
from weft.store.schema import standard as standard_columns
from weft.store.transaction import Transaction

SECURITY_GROUPS = Table(
    "security_groups",
    METADATA,
    *identity(),
    Column("name", String(255), nullable=False, default=""),
    Column("stateful", Boolean, nullable=False, default=True),
    *standard_columns(),
)

DEFAULT_GROUPS = Table(
    "default_security_groups",
    METADATA,
    Column("project_id", PROJECT, primary_key=True),
    Column("security_group_id", ID, ForeignKey("security_groups.id", ondelete="CASCADE"), nullable=False, index=True),
)

PORT_BINDINGS = Table(
    "security_group_port_bindings",
    METADATA,
    Column("port_id", ID, ForeignKey("ports.id", ondelete="CASCADE"), primary_key=True),
    Column("security_group_id", ID, ForeignKey("security_groups.id"), primary_key=True, index=True),
)


class SecurityGroupStrategy(Strategy):
    """Security groups; see behaviours section 13 of the API's facts."""


def ensure_default(tx: Transaction, project_id: str) -> str | None:
    """The id of the project's group `default`, which is made when it is first needed; None for no project."""
    if not project_id:
        return None
    found = tx.first(select(DEFAULT_GROUPS.c.security_group_id).where(DEFAULT_GROUPS.c.project_id == project_id))
    if found:
        return str(found[0])
    row = {"project_id": project_id, "name": "default", "description": "Default security group", "stateful": True}
    tx.insert(SECURITY_GROUP, row)
    tx.execute(insert(DEFAULT_GROUPS), {"project_id": project_id, "security_group_id": row["id"]})
    return str(row["id"])


def check_usable(tx: Transaction, ids: Sequence[str], project_id: str) -> None:
    """Raise unless ports of the project may be in all these groups (its own, or shared with it)."""


def bind(tx: Transaction, many: Sequence[tuple[str, str]]) -> None:
    """Put ports into groups: (port id, group id)."""
    if many:
        tx.execute(insert(PORT_BINDINGS), [{"port_id": port, "security_group_id": group} for port, group in many])


SECURITY_GROUP = Resource(
    member="security_group",
    collection="security-groups",
    attributes=(
        read_only("id", t.uuid, sort=True, primary_key=True),
        Attribute("name", t.name_not_default, default="", sort=True),
        *standard.project(),
        Attribute("stateful", t.boolean, default=True, sort=True),
        *standard.stamps(),
    ),
    table=SECURITY_GROUPS,
    strategy=SecurityGroupStrategy(),
    not_found=errors.SecurityGroupNotFound,
    bulk=True,
    tags=True,
    quota="security_group",
    visible_by_rbac=(access.SHARED,),
)
_: Any = None
