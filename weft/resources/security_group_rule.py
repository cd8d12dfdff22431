"""Security group rules: one kind of packet that the ports of a group may send or receive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    ForeignKey,
    Integer,
    String,
    Table,
    UniqueConstraint,
    bindparam,
    delete,
    exists,
    or_,
    select,
)

from weft import errors
from weft.registry import types as t
from weft.registry import types_rule as r
from weft.registry.attributes import REQUIRED, Attribute, read_only
from weft.registry.resource import Resource, Row
from weft.registry.strategy import Strategy
from weft.resources import address_group, default_security_group_rule, rule_checks, security_group, standard
from weft.store import access
from weft.store.schema import ID, METADATA, Texts, among, identity, json_array, json_row
from weft.store.schema import standard as standard_columns
from weft.store.transaction import Transaction

RULES = Table(
    "security_group_rules",
    METADATA,
    *identity(),
    Column("security_group_id", ID, ForeignKey("security_groups.id", ondelete="CASCADE"), nullable=False),
    Column("direction", String(7), nullable=False),
    Column("ethertype", String(4), nullable=False),
    Column("protocol", String(16), nullable=True),
    Column("port_range_min", Integer, nullable=True),
    Column("port_range_max", Integer, nullable=True),
    Column("remote_ip_prefix", String(64), nullable=True),
    Column("normalized_cidr", String(64), nullable=True),
    Column("remote_group_id", ID, ForeignKey("security_groups.id", ondelete="CASCADE"), nullable=True, index=True),
    Column("remote_address_group_id", ID, ForeignKey("address_groups.id"), nullable=True, index=True),
    Column("signature", String(255), nullable=False),
    *standard_columns(),
    UniqueConstraint("security_group_id", "signature"),
)

ATTRIBUTES = (
    read_only("id", t.uuid, sort=True, primary_key=True),
    *standard.project(),
    Attribute("security_group_id", t.string(36), default=REQUIRED, put=False, sort=True, required_by_policy=True),
    Attribute("ethertype", r.ethertype, default="IPv4", put=False, sort=True),
    Attribute("direction", r.direction, default=REQUIRED, put=False, sort=True),
    Attribute("protocol", r.rule_protocol, default=None, put=False, sort=True),
    Attribute("port_range_min", r.rule_port, default=None, put=False, sort=True),
    Attribute("port_range_max", r.rule_port, default=None, put=False, sort=True),
    Attribute("remote_ip_prefix", r.rule_prefix, default=None, put=False, sort=True),
    Attribute(
        "remote_address_group_id",
        t.string_or_none(255),
        default=None,
        put=False,
        sort=True,
        extension="security-groups-remote-address-group",
    ),
    read_only("normalized_cidr", r.rule_prefix, sort=True, extension="security-groups-normalized-cidr"),
    Attribute("remote_group_id", t.string_or_none(255), default=None, put=False, sort=True),
    read_only("belongs_to_default_sg", t.boolean, extension="security-groups-rules-belongs-to-default-sg"),
    *standard.described(),
    *standard.versions(),
)

EMBEDDED = (
    "id",
    "project_id",
    "security_group_id",
    "ethertype",
    "direction",
    "protocol",
    "port_range_min",
    "port_range_max",
    "remote_ip_prefix",
    "remote_address_group_id",
    "normalized_cidr",
    "remote_group_id",
    "description",
    "created_at",
    "updated_at",
    "revision_number",
)
"""What a group shows of its rules, besides tenant_id and belongs_to_default_sg."""


class SecurityGroupRuleStrategy(Strategy):
    """Security group rules; see behaviours section 13 of the API's facts."""

    patient = True

    def columns(self) -> Mapping[str, ColumnElement[Any]]:
        groups, defaults = security_group.SECURITY_GROUPS, security_group.DEFAULT_GROUPS
        return {
            "belongs_to_default_sg": exists().where(defaults.c.security_group_id == RULES.c.security_group_id),
            "security_group:project_id": select(groups.c.project_id)
            .where(groups.c.id == RULES.c.security_group_id)
            .scalar_subquery(),
        }

    def visible(self) -> ColumnElement[bool]:
        groups = security_group.SECURITY_GROUPS
        return RULES.c.security_group_id.in_(select(groups.c.id).where(groups.c.project_id == access.caller))

    def was_visible(self, tx: Transaction, row: Row) -> bool:
        group = tx.find(security_group.SECURITY_GROUP, row["security_group_id"], everybody=True)
        return group is not None and group["project_id"] == tx.context.project_id

    def lists_write(self, tx: Transaction, query: Any) -> bool:
        return security_group.misses_default(tx, query)

    def before_list(self, tx: Transaction, query: Any) -> None:
        security_group.ensure_listed(tx, query)

    def related(self) -> Mapping[str, Any]:
        return {
            "security_group:project_id": lambda tx, row: _group(tx, row)["project_id"],
            "belongs_to_default_sg": lambda tx, row: _group(tx, row)["default"],
        }

    def create(self, tx: Transaction, values: Row) -> Row:
        return self.create_many(tx, [values])[0]

    def create_many(self, tx: Transaction, many: list[Row]) -> list[Row]:
        if len({rule["security_group_id"] for rule in many}) > 1:
            raise errors.SecurityGroupNotSingleGroupRules
        if len({rule["project_id"] for rule in many}) > 1:
            raise errors.SecurityGroupRulesNotSingleProject
        for rule in many:
            rule_checks.make_canonical(rule)
            rule_checks.check(rule)
        group = _check_references(tx, many)
        for rule in many:
            _complete(rule, group)
        _refuse_duplicates(tx, many)
        tx.insert_many(self.resource, many)
        tx.touch(security_group.SECURITY_GROUP, group, read=False)
        return many

    def update(self, tx: Transaction, old: Row, changes: Row) -> Row:
        raise errors.HTTPBadRequest("Security group rules cannot be changed: delete the rule and create another one.")

    def write_delete(self, tx: Transaction, row: Row) -> None:
        tx.delete(self.resource, row)
        group = {"id": row["security_group_id"], "project_id": row["security_group:project_id"]}
        tx.touch(security_group.SECURITY_GROUP, group, read=False)


def _group(tx: Transaction, rule: Row) -> Row:
    """The group of a rule, whoever may see it. Raises SecurityGroupNotFound."""
    id = rule["security_group_id"]
    found = security_group.glance(tx, [id]).get(id)
    if found is None:
        raise errors.SecurityGroupNotFound(id=id)
    return found


def _check_references(tx: Transaction, many: Sequence[Row]) -> Row:
    """The group of the rules; raises SecurityGroupNotFound or AddressGroupNotFound for what the caller may not refer to."""
    own = many[0]["security_group_id"]
    wanted = [own, *dict.fromkeys(rule["remote_group_id"] for rule in many if rule["remote_group_id"])]
    found = security_group.glance(tx, wanted)
    for id in wanted:
        if id not in found or not found[id]["visible"]:
            raise errors.SecurityGroupNotFound(id=id)
    address_group.check_visible(tx, [rule["remote_address_group_id"] for rule in many])
    return found[own]


def _complete(rule: Row, group: Row) -> None:
    """Fill in what follows from a checked rule and its group."""
    rule["security_group_id"] = group["id"]
    rule["remote_group_id"] = rule["remote_group_id"] or None
    rule["remote_address_group_id"] = rule["remote_address_group_id"] or None
    rule["normalized_cidr"] = rule_checks.normalized_cidr(rule["remote_ip_prefix"])
    rule["belongs_to_default_sg"] = group["default"]
    rule["security_group:project_id"] = group["project_id"]
    rule["signature"] = rule_checks.signature(rule)


_SAME = (
    select(RULES.c.id)
    .where(
        RULES.c.security_group_id == bindparam("of_group"),
        among(RULES.c.signature, bindparam("signatures", type_=Texts)),
    )
    .limit(1)
)


def _refuse_duplicates(tx: Transaction, many: Sequence[Row]) -> None:
    signatures = {rule["signature"] for rule in many}
    if len(signatures) < len(many):
        raise errors.DuplicateSecurityGroupRuleInPost
    if tx.hopeful:
        return
    found = tx.first(_SAME, {"of_group": many[0]["security_group_id"], "signatures": sorted(signatures)})
    if found:
        raise errors.SecurityGroupRuleExists(id=found[0])


def insert_templates(tx: Transaction, groups: Sequence[Row], templates: Sequence[Row], default: bool) -> None:
    """Give new groups the rules that the templates tell (`default`: each is the default group of a project)."""
    everything: list[Row] = []
    for group in groups:
        rules: dict[str, Row] = {}
        for template in templates:
            rule = {name: template[name] for name in rule_checks.MATCHED}
            rule.update({"project_id": group["project_id"], "description": template["description"]})
            if rule["remote_group_id"] == default_security_group_rule.PARENT:
                rule["remote_group_id"] = group["id"]
            _complete(rule, {"id": group["id"], "project_id": group["project_id"], "default": default})
            rules.setdefault(rule["signature"], rule)
        everything += rules.values()
    tx.insert_many(SECURITY_GROUP_RULE, everything)
    for group in groups:
        group["security_group_rules"] = [
            [rule[name] for name in EMBEDDED] for rule in everything if rule["security_group_id"] == group["id"]
        ]


def as_json() -> ColumnElement[Any]:
    """The rules of a group as a JSON array of the values of EMBEDDED, inside a SELECT from security_groups."""
    groups = security_group.SECURITY_GROUPS
    return (
        select(json_array(json_row(*(RULES.c[name] for name in EMBEDDED))))
        .where(RULES.c.security_group_id == groups.c.id)
        .correlate(groups)
        .scalar_subquery()
    )


def shown_in(group: Row) -> list[Row]:
    """The rules that the group has as values of EMBEDDED, as it shows them."""
    own = {"belongs_to_default_sg": group["_default"]}
    rules = [dict(zip(EMBEDDED, values, strict=True), **own) for values in sorted(group["security_group_rules"])]
    for rule in rules:
        rule["tenant_id"] = rule["project_id"]
    return rules


_DELETE_WITH = (
    delete(RULES)
    .where(or_(RULES.c.security_group_id == bindparam("group"), RULES.c.remote_group_id == bindparam("group")))
    .returning(RULES.c.id, RULES.c.project_id, RULES.c.revision_number, RULES.c.security_group_id)
)


def delete_with_group(tx: Transaction, id: str) -> None:
    """Delete the rules of a group, and those of other groups that refer to it."""
    rules = [dict(row._mapping) for row in tx.all(_DELETE_WITH, {"group": id})]
    for rule in rules:
        tx.deleted(SECURITY_GROUP_RULE, rule)
    others = sorted({rule["security_group_id"] for rule in rules} - {id})
    if others:
        for group in security_group.glance(tx, others).values():
            tx.touch(security_group.SECURITY_GROUP, group, read=False)


SECURITY_GROUP_RULE: Resource = Resource(
    member="security_group_rule",
    collection="security-group-rules",
    attributes=ATTRIBUTES,
    table=RULES,
    strategy=SecurityGroupRuleStrategy(),
    not_found=errors.SecurityGroupRuleNotFound,
    bulk=True,
    quota="security_group_rule",
    internal=("signature",),
    extension="security-group",
)
