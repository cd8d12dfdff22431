"""Templates of rules: what every new security group, or the default group of every project, starts with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from sqlalchemy import Boolean, Column, Connection, ForeignKey, Integer, String, Table, delete, insert, select

from weft import errors
from weft.registry import types as t
from weft.registry import types_rule as r
from weft.registry.attributes import REQUIRED, Attribute, read_only
from weft.registry.resource import Resource, Row
from weft.registry.strategy import Strategy
from weft.resources import address_group, rule_checks, standard
from weft.store.schema import ID, METADATA
from weft.store.schema import standard as standard_columns
from weft.store.transaction import Transaction, now

TEMPLATES = Table(
    "default_security_group_rules",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("direction", String(7), nullable=False),
    Column("ethertype", String(4), nullable=False),
    Column("protocol", String(16), nullable=True),
    Column("port_range_min", Integer, nullable=True),
    Column("port_range_max", Integer, nullable=True),
    Column("remote_ip_prefix", String(64), nullable=True),
    Column("remote_group_id", ID, nullable=True),
    Column("remote_address_group_id", ID, ForeignKey("address_groups.id"), nullable=True),
    Column("used_in_default_sg", Boolean, nullable=False),
    Column("used_in_non_default_sg", Boolean, nullable=False),
    *standard_columns(),
)

PARENT = "PARENT"
"""remote_group_id of templates: the group itself that gets the rule."""

INSTALLED = (
    {
        "direction": "egress",
        "remote_group_id": None,
        "used_in_non_default_sg": True,
        "description": "Legacy default SG rule for egress traffic",
    },
    {
        "direction": "ingress",
        "remote_group_id": PARENT,
        "used_in_non_default_sg": False,
        "description": "Legacy default SG rule for ingress traffic",
    },
)
"""Templates from the start, each for IPv4 and IPv6 and also for default groups. Clients know them by the descriptions."""


def _matched(name: str, type_: t.Type, default: Any = None) -> Attribute:
    return Attribute(name, type_, default=default, put=False, sort=True)


ATTRIBUTES = (
    read_only("id", t.uuid, sort=True, primary_key=True),
    Attribute(
        "project_id", t.project_id, default=REQUIRED, put=False, visible=False, filter=False, required_by_policy=True
    ),
    read_only("tenant_id", t.project_id, visible=False, filter=False, required_by_policy=True),
    _matched("ethertype", r.ethertype, "IPv4"),
    _matched("direction", r.direction, REQUIRED),
    _matched("protocol", r.rule_protocol),
    _matched("port_range_min", r.rule_port),
    _matched("port_range_max", r.rule_port),
    _matched("remote_ip_prefix", r.rule_prefix),
    _matched("remote_address_group_id", t.string_or_none(255)),
    _matched("remote_group_id", t.string_or_none(255)),
    Attribute("used_in_default_sg", t.boolean, default=REQUIRED, put=False),
    Attribute("used_in_non_default_sg", t.boolean, default=REQUIRED, put=False),
    *standard.described(),
    *standard.versions(),
)


class DefaultSecurityGroupRuleStrategy(Strategy):
    """Templates; everybody reads them, administrators make and delete them. See behaviours section 13 of the API's facts."""

    def install(self, connection: Connection) -> None:
        at = {"created_at": now(), "updated_at": now()}
        rows = [
            {"id": str(uuid4()), "ethertype": ethertype, "used_in_default_sg": True, **template, **at}
            for template in INSTALLED
            for ethertype in ("IPv4", "IPv6")
        ]
        connection.execute(insert(TEMPLATES), rows)

    def prepare(self, tx: Transaction, values: Row) -> None:
        rule_checks.make_canonical(values)
        values["remote_group_id"] = values["remote_group_id"] or None
        values["remote_address_group_id"] = values["remote_address_group_id"] or None

    def validate(self, tx: Transaction, new: Row, old: Row | None) -> None:
        rule_checks.check(new)
        address_group.check_visible(tx, [new["remote_address_group_id"]])
        if new["remote_group_id"] not in (None, PARENT):
            _check_group(tx, new["remote_group_id"])
        for other in _all(tx):
            if rule_checks.signature(other) == rule_checks.signature(new) and _overlap(other, new):
                raise errors.DefaultSecurityGroupRuleExists(id=other["id"])

    def update(self, tx: Transaction, old: Row, changes: Row) -> Row:
        raise errors.HTTPBadRequest(
            "Default security group rules cannot be changed: delete the rule and create another one."
        )


def _overlap(one: Row, other: Row) -> bool:
    """Some group would get both, or both are for no group at all."""
    uses = ("used_in_default_sg", "used_in_non_default_sg")
    return any(one[use] and other[use] for use in uses) or all(one[use] == other[use] for use in uses)


def _check_group(tx: Transaction, id: str) -> None:
    from weft.resources import security_group

    if id not in security_group.glance(tx, [id]):
        raise errors.SecurityGroupNotFound(id=id)
    tx.hold(security_group.SECURITY_GROUP, id)  # a group that goes meanwhile takes the template along


def _all(tx: Transaction) -> Sequence[Row]:
    return tx.once("default security group rules", lambda: [dict(row._mapping) for row in tx.all(select(TEMPLATES))])


def for_new_group(tx: Transaction, default: bool) -> Sequence[Row]:
    """The templates of a new group (`default`: of the default group of a project)."""
    use = "used_in_default_sg" if default else "used_in_non_default_sg"
    return [template for template in _all(tx) if template[use]]


def forget_group(tx: Transaction, id: str) -> None:
    """A group is deleted: no further group can refer to it."""
    tx.execute(delete(TEMPLATES).where(TEMPLATES.c.remote_group_id == id))


DEFAULT_SECURITY_GROUP_RULE: Resource = Resource(
    member="default_security_group_rule",
    collection="default-security-group-rules",
    attributes=ATTRIBUTES,
    table=TEMPLATES,
    strategy=DefaultSecurityGroupRuleStrategy(),
    not_found=errors.DefaultSecurityGroupRuleNotFound,
    extension="security-groups-default-rules",
)
