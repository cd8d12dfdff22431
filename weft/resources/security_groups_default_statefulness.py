"""Whether new security groups are stateful where their maker does not say: per project, or for the whole system."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ColumnElement, Index, Table, bindparam, func, select, true

from weft import errors
from weft.registry import types as t
from weft.registry.attributes import Attribute, read_only
from weft.registry.resource import Resource, Row
from weft.registry.strategy import Strategy
from weft.store.schema import ID, METADATA, PROJECT
from weft.store.transaction import Transaction

SETTINGS = Table(
    "security_groups_default_statefulness",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("project_id", PROJECT, nullable=True),  # NULL: the whole system
    Column("stateful", Boolean, nullable=False),
)
Index("uq_security_groups_default_statefulness_project", func.coalesce(SETTINGS.c.project_id, ""), unique=True)


class StatefulnessStrategy(Strategy):
    """Settings of default statefulness; see behaviours section 13 of the API's facts."""

    def validate(self, tx: Transaction, new: Row, old: Row | None) -> None:
        if old is None and tx.first(select(SETTINGS.c.id).where(_same(new["project_id"]))):
            raise errors.SecurityGroupDefaultStatefulnessAlreadyExists(project_id=new["project_id"])


def _same(project_id: str | None) -> ColumnElement[bool]:
    return func.coalesce(SETTINGS.c.project_id, "") == (project_id or "")


def of_project(project: ColumnElement[str]) -> ColumnElement[bool]:
    """Statefulness of the project's groups that do not say: its own setting, else the system's, else true."""
    own = select(SETTINGS.c.stateful).where(SETTINGS.c.project_id == project).scalar_subquery()
    system = select(SETTINGS.c.stateful).where(SETTINGS.c.project_id.is_(None)).scalar_subquery()
    return func.coalesce(own, system, true())


_OF_PROJECT = select(of_project(bindparam("of_project", type_=PROJECT)))


def of_new_groups(tx: Transaction, project_id: str) -> bool:
    """What `of_project` says; remembered for the transaction."""
    return tx.once((FRESH, project_id), lambda: bool(tx.all(_OF_PROJECT, {"of_project": project_id})[0][0]))


FRESH = "default statefulness"
"""With a project: under which its setting is remembered (Transaction.once)."""


DEFAULT_STATEFULNESS = Resource(
    member="security_groups_default_statefulness",
    collection="security-groups-default-statefulness",
    attributes=(
        read_only("id", t.uuid, sort=True, primary_key=True),
        Attribute("project_id", t.string_or_none(255), default=None, put=False, sort=True, required_by_policy=True),
        read_only("tenant_id", t.string_or_none(255), sort=True, required_by_policy=True),
        Attribute("stateful", t.boolean, default=True, sort=True),
    ),
    table=SETTINGS,
    strategy=StatefulnessStrategy(),
    not_found=errors.SecurityGroupDefaultStatefulnessNotFound,
    extension="security-groups-default-statefulness",
)
