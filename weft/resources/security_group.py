"""Security groups: which packets their ports may send and receive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    String,
    Table,
    UniqueConstraint,
    bindparam,
    exists,
    select,
)

from weft import errors
from weft.registry import types as t
from weft.registry.attributes import UNSET, Attribute, read_only
from weft.registry.resource import Resource, Row
from weft.registry.strategy import Strategy
from weft.resources import security_groups_default_statefulness as statefulness
from weft.resources import standard
from weft.store import access
from weft.store.schema import ID, METADATA, PROJECT, Texts, among, identity
from weft.store.schema import standard as standard_columns
from weft.store.transaction import Transaction

SECURITY_GROUPS = Table(
    "security_groups",
    METADATA,
    *identity(),
    Column("name", String(255), nullable=False, default=""),
    Column("stateful", Boolean, nullable=False, default=True),
    *standard_columns(),
    Index("ix_security_groups_name", "name"),
    UniqueConstraint("id", "stateful"),
)

DEFAULT_GROUPS = Table(
    "default_security_groups",
    METADATA,
    Column("project_id", PROJECT, primary_key=True),  # of two requests at once only one makes it
    Column("security_group_id", ID, ForeignKey("security_groups.id", ondelete="CASCADE"), nullable=False, index=True),
)

PORT_BINDINGS = Table(
    "security_group_port_bindings",
    METADATA,
    Column("port_id", ID, ForeignKey("ports.id", ondelete="CASCADE"), primary_key=True),
    Column("security_group_id", ID, primary_key=True, index=True),
    Column("stateful", Boolean, nullable=False),  # so no group changes it while a port comes in
    ForeignKeyConstraint(["security_group_id", "stateful"], ["security_groups.id", "security_groups.stateful"]),
)

ATTRIBUTES = (
    read_only("id", t.uuid, sort=True, primary_key=True),
    Attribute("name", t.name_not_default, default="", sort=True),
    Attribute("stateful", t.boolean, default=UNSET, extension="stateful-security-group"),
    *standard.project(),
    read_only("shared", t.boolean, policy=True, required_by_policy=True, extension="security-groups-shared-filtering"),
    read_only("security_group_rules", t.anything, filter=False),
    *standard.stamps(),
)


class SecurityGroupStrategy(Strategy):
    """Security groups; see behaviours section 13 of the API's facts."""

    patient = True
    locked = True

    def columns(self) -> Mapping[str, ColumnElement[Any]]:
        from weft.resources import security_group_rule  # rules know their group; this is the only look the other way

        return {
            "shared": access.shared(SECURITY_GROUPS.c.id),
            "security_group_rules": security_group_rule.as_json(),
            "_default": _is_default(),
        }

    def view(self, tx: Transaction, row: Row) -> None:
        from weft.resources import security_group_rule

        row["security_group_rules"] = security_group_rule.shown_in(row)

    def lists_write(self, tx: Transaction, query: Any) -> bool:
        return misses_default(tx, query)

    def before_list(self, tx: Transaction, query: Any) -> None:
        ensure_listed(tx, query)

    def create(self, tx: Transaction, values: Row) -> Row:
        return self.create_many(tx, [values])[0]

    def create_many(self, tx: Transaction, many: list[Row]) -> list[Row]:
        for values in many:
            ensure_default(tx, values["project_id"])
            tx.hold_to_limit(values["project_id"], "security_group_rule")
        _insert(tx, many, default=False)
        return many

    def prepare_update(self, tx: Transaction, old: Row, changes: Row, new: Row) -> None:
        if "name" in changes and old["_default"]:
            raise errors.SecurityGroupCannotUpdateDefault

    def validate(self, tx: Transaction, new: Row, old: Row | None) -> None:
        if old is not None and new["stateful"] != old["stateful"]:
            _refuse_used(tx, new["id"])

    def validate_delete(self, tx: Transaction, row: Row) -> None:
        tx.lock(self.resource, row["id"])
        _refuse_used(tx, row["id"])
        if row["_default"] and not tx.context.is_admin:
            raise errors.SecurityGroupCannotRemoveDefault

    def write_delete(self, tx: Transaction, row: Row) -> None:
        from weft.resources import default_security_group_rule, security_group_rule

        security_group_rule.delete_with_group(tx, row["id"])
        hanging = _hanging(tx, row["id"])
        if hanging.templates:
            default_security_group_rule.forget_group(tx, row["id"])
        tx.delete(self.resource, row, granted=hanging.policies)


def _is_default() -> ColumnElement[bool]:
    return exists().where(DEFAULT_GROUPS.c.security_group_id == SECURITY_GROUPS.c.id)


@cache
def _hanging_on() -> Any:
    from weft.resources.default_security_group_rule import TEMPLATES

    group = bindparam("group", type_=ID)
    return select(
        exists().where(PORT_BINDINGS.c.security_group_id == group).label("ports"),
        exists().where(TEMPLATES.c.remote_group_id == group).label("templates"),
        exists().where(access.RBAC_ENTRIES.c.object_id == group).label("policies"),
    )


def _hanging(tx: Transaction, id: str) -> Any:
    """What hangs on a group: `ports`, `templates`, RBAC `policies`. On one that is locked it does not become more."""
    return tx.once(("hanging on group", id), lambda: tx.first(_hanging_on(), {"group": id}))


def _refuse_used(tx: Transaction, id: str) -> None:
    if _hanging(tx, id).ports:
        raise errors.SecurityGroupInUse(id=id, reason="in use")


def _insert(tx: Transaction, groups: Sequence[Row], default: bool) -> None:
    """Insert new groups with the rules that such groups have from the start; the rows are complete afterwards."""
    from weft.resources import default_security_group_rule, security_group_rule

    for group in groups:
        if group.get("stateful") is None:
            group["stateful"] = statefulness.of_new_groups(tx, group["project_id"])
        group["shared"] = False
        group["_default"] = default
    templates = default_security_group_rule.for_new_group(tx, default)
    tx.insert_many(SECURITY_GROUP, groups)
    security_group_rule.insert_templates(tx, groups, templates, default)
    for group in groups:
        SECURITY_GROUP.strategy.view(tx, group)


# The group `default` of every project.


_DEFAULT_OF = (
    select(
        SECURITY_GROUPS.c.id,
        SECURITY_GROUPS.c.stateful,
        statefulness.of_project(bindparam("of_project", type_=PROJECT)).label("of_new_groups"),
    )
    .select_from(DEFAULT_GROUPS)
    .join(SECURITY_GROUPS, DEFAULT_GROUPS.c.security_group_id == SECURITY_GROUPS.c.id)
    .where(DEFAULT_GROUPS.c.project_id == bindparam("of_project"))
)


def _default_of(tx: Transaction, project_id: str) -> str | None:
    found = tx.first(_DEFAULT_OF, {"of_project": project_id})
    if found is None:
        return None
    tx.once(STATEFULNESS, dict[str, bool])[found.id] = found.stateful
    tx.once((statefulness.FRESH, project_id), lambda: bool(found.of_new_groups))
    return str(found.id)


def ensure_default(tx: Transaction, project_id: str) -> str | None:
    """The id of the project's group `default`, which is made when it is first needed; None for no project."""
    if not project_id:
        return None

    def find() -> str:
        id = _default_of(tx, project_id) or _make_default(tx, project_id)
        tx.once(_usable(project_id, [id]), lambda: None)  # nobody needs to look whether ports may be in it
        return id

    return tx.once(("default security group", project_id), find)


def _make_default(tx: Transaction, project_id: str) -> str:
    group: Row = {"project_id": project_id, "name": "default", "description": "Default security group"}
    _insert(tx, [group], default=True)
    _saw(tx, {group["id"]: group["stateful"]})
    tx.add(DEFAULT_GROUPS, [{"project_id": project_id, "security_group_id": group["id"]}])
    return str(group["id"])


def _listed_project(tx: Transaction, query: Any) -> str:
    """The project whose groups a list is about, if the caller may make its default group by looking at them; else ''."""
    asked = query.filters.get("project_id") or [tx.context.project_id]
    return asked[0] if len(asked) == 1 and (asked[0] == tx.context.project_id or tx.context.is_admin) else ""


def misses_default(tx: Transaction, query: Any) -> bool:
    """True if the project that a list of groups or rules is about has no default group yet."""
    project_id = _listed_project(tx, query)
    return bool(project_id) and _default_of(tx, project_id) is None


def ensure_listed(tx: Transaction, query: Any) -> None:
    """Make the default group that a list of groups or rules has to show."""
    ensure_default(tx, _listed_project(tx, query))


# What rules and ports ask.


_GLANCE = select(
    SECURITY_GROUPS.c.id,
    SECURITY_GROUPS.c.project_id,
    SECURITY_GROUPS.c.revision_number,
    _is_default().label("default"),
    access.shared(SECURITY_GROUPS.c.id).label("visible"),
).where(among(SECURITY_GROUPS.c.id, bindparam("ids", type_=Texts)))


def glance(tx: Transaction, ids: Sequence[str]) -> dict[str, Row]:
    """What rules need to know of groups, whoever may see them: id, project_id, revision_number, `default`, and `visible`:
    the caller may refer to it. Groups that do not exist are missing."""
    known: dict[str, Row] = tx.once("security groups at a glance", dict)
    unknown = [id for id in dict.fromkeys(ids) if id not in known]
    if unknown:
        for row in tx.all(_GLANCE, {"project_id": tx.context.project_id, "ids": unknown}):
            group = dict(row._mapping)
            group["visible"] |= tx.context.sees_everything or group["project_id"] == tx.context.project_id
            known[row.id] = group
    return {id: known[id] for id in ids if id in known}


STATEFULNESS = "statefulness of groups as this transaction saw it"


def _saw(tx: Transaction, stateful: Mapping[str, bool]) -> None:
    tx.once(STATEFULNESS, dict[str, bool]).update(stateful)


def check_usable(tx: Transaction, ids: Sequence[str], project_id: str) -> None:
    """Raise unless ports of the project may be in all these groups: its own, or shared with it; all of one statefulness."""
    if ids:
        tx.once(_usable(project_id, ids), lambda: _check_usable(tx, ids, project_id))


def _usable(project_id: str, ids: Sequence[str]) -> tuple[Any, ...]:
    return "usable security groups", project_id, frozenset(ids)


def _check_usable(tx: Transaction, ids: Sequence[str], project_id: str) -> None:
    shared = access.shared(SECURITY_GROUPS.c.id).label("shared")
    statement = select(SECURITY_GROUPS.c.id, SECURITY_GROUPS.c.project_id, SECURITY_GROUPS.c.stateful, shared)
    found = tx.all(statement.where(SECURITY_GROUPS.c.id.in_(sorted(ids))), {"project_id": project_id})
    usable = {
        row.id: row.stateful for row in found if tx.context.is_admin or row.shared or row.project_id == project_id
    }
    missing = [id for id in ids if id not in usable]
    if missing:
        raise errors.SecurityGroupNotFound(id=", ".join(missing))
    _saw(tx, usable)
    if len(set(usable.values())) > 1:
        reason = "Cannot apply both stateful and stateless security groups on the same port at the same time"
        raise errors.SecurityGroupConflict(reason=reason)


def used_by_others(tx: Transaction, group: Row, losing: str) -> bool:
    """Ports in the group of projects that may use it only by the RBAC policy for `losing`."""
    from weft.resources.port import PORTS

    statement = select(PORTS.c.id).join(PORT_BINDINGS, PORT_BINDINGS.c.port_id == PORTS.c.id)
    only = access.dependent(PORTS.c.project_id, group["id"], group["project_id"], losing)
    return bool(tx.first(statement.where(PORT_BINDINGS.c.security_group_id == group["id"], only).limit(1)))


def bind(tx: Transaction, many: Sequence[tuple[str, str]]) -> None:
    """Put ports into groups: (port id, group id). A group that has changed since it was looked at is an IntegrityError, and
    one that has gone as well."""
    seen = tx.once(STATEFULNESS, dict[str, bool])
    unknown = {group for _, group in many} - seen.keys()
    if unknown:
        found = tx.all(
            select(SECURITY_GROUPS.c.id, SECURITY_GROUPS.c.stateful).where(SECURITY_GROUPS.c.id.in_(unknown))
        )
        _saw(tx, {row.id: row.stateful for row in found})
    tx.add(
        PORT_BINDINGS, [{"port_id": p, "security_group_id": group, "stateful": seen.get(group)} for p, group in many]
    )


SECURITY_GROUP: Resource = Resource(
    member="security_group",
    collection="security-groups",
    attributes=ATTRIBUTES,
    table=SECURITY_GROUPS,
    strategy=SecurityGroupStrategy(),
    not_found=errors.SecurityGroupNotFound,
    bulk=True,
    tags=True,
    quota="security_group",
    visible_by_rbac=(access.SHARED,),
    shims=("port-security-groups-filtering",),
    extension="security-group",
)
