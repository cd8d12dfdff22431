"""Metering labels and their rules: which traffic of a project's routers is counted, and under which name."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, String, Table

from weft import errors
from weft.ipam import ranges
from weft.registry import types as t
from weft.registry import types_rule as rule
from weft.registry.attributes import REQUIRED, Attribute, read_only
from weft.registry.resource import Resource, Row
from weft.registry.strategy import Strategy
from weft.resources import standard
from weft.store.schema import ID, METADATA, identity
from weft.store.transaction import Transaction

METERING_LABELS = Table(
    "metering_labels",
    METADATA,
    *identity(),
    Column("name", String(255), nullable=False),
    Column("description", String(1024), nullable=False),
    Column("shared", Boolean, nullable=False),
)

METERING_LABEL_RULES = Table(
    "metering_label_rules",
    METADATA,
    *identity(),
    Column("metering_label_id", ID, ForeignKey("metering_labels.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("direction", String(7), nullable=False),
    Column("excluded", Boolean, nullable=False),
    Column("remote_ip_prefix", String(64)),
    Column("source_ip_prefix", String(64)),
    Column("destination_ip_prefix", String(64)),
)

ALIAS = "metering"
SIDES = "metering_source_and_destination_fields"
PREFIXES = ("remote_ip_prefix", "source_ip_prefix", "destination_ip_prefix")

NEVER_CHANGED = frozenset({"list", "show", "create", "delete"})

METERING_LABEL = Resource(
    member="metering_label",
    collection="metering-labels",
    prefix="/metering",
    attributes=(
        read_only("id", t.uuid, sort=True, primary_key=True),
        Attribute("name", t.name_string, default="", put=False, sort=True),
        Attribute("description", t.long_description, default="", put=False, sort=True),
        Attribute("shared", t.boolean, default=False, put=False, sort=True),
        *standard.project(),
    ),
    table=METERING_LABELS,
    strategy=Strategy(),
    not_found=errors.MeteringLabelNotFound,
    operations=NEVER_CHANGED,
    bulk=True,
    extension=ALIAS,
)


class MeteringLabelRuleStrategy(Strategy):
    """Rules; see behaviours section 22 of the API's facts."""

    def validate(self, tx: Transaction, new: Row, old: Row | None) -> None:
        given = {name for name in PREFIXES if new[name] is not None}
        if not given:
            raise errors.Invalid(reason=f"You must define at least one of the parameters {', '.join(PREFIXES)}")
        if "remote_ip_prefix" in given and len(given) > 1:
            raise errors.Invalid(
                reason="Cannot use remote_ip_prefix in conjunction with source_ip_prefix or destination_ip_prefix"
            )
        label = tx.get(METERING_LABEL, new["metering_label_id"])
        table = METERING_LABEL_RULES.c
        like = (
            table.metering_label_id == label["id"],
            table.direction == new["direction"],
            table.excluded.is_(new["excluded"]),
            *(table[name].is_not(None) if name in given else table[name].is_(None) for name in PREFIXES),
        )
        for other in tx.list(METERING_LABEL_RULE, *like):
            if all(ranges.overlaps(new[name], other[name]) for name in given):
                raise errors.MeteringLabelRuleOverlaps(prefix=", ".join(new[name] for name in sorted(given)))


METERING_LABEL_RULE = Resource(
    member="metering_label_rule",
    collection="metering-label-rules",
    prefix="/metering",
    attributes=(
        read_only("id", t.uuid, sort=True, primary_key=True),
        Attribute("metering_label_id", t.uuid, default=REQUIRED, put=False, sort=True, required_by_policy=True),
        Attribute("direction", rule.direction, default=REQUIRED, put=False, sort=True),
        Attribute("excluded", t.boolean, default=False, put=False, sort=True),
        Attribute("remote_ip_prefix", rule.rule_prefix, default=None, put=False, sort=True),
        Attribute("source_ip_prefix", rule.rule_prefix, default=None, sort=True, extension=SIDES),
        Attribute("destination_ip_prefix", rule.rule_prefix, default=None, sort=True, extension=SIDES),
        Attribute("project_id", t.project_id, default=REQUIRED, put=False, filter=False, required_by_policy=True),
        read_only("tenant_id", t.project_id, filter=False, required_by_policy=True),
    ),
    table=METERING_LABEL_RULES,
    strategy=MeteringLabelRuleStrategy(),
    not_found=errors.MeteringLabelRuleNotFound,
    operations=NEVER_CHANGED,
    bulk=True,
    extension=ALIAS,
)
