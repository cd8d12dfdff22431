"""QoS rule types: which rules the backends of this installation honour, and with which values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import String, literal, select, union_all

from weft import errors
from weft.logical import qos
from weft.registry import types as t
from weft.registry.attributes import UNSET, Attribute, read_only
from weft.registry.resource import Resource, Row
from weft.registry.strategy import Strategy
from weft.resources import qos_attachment
from weft.store.transaction import Transaction

NOBODY = "weft"
"""The driver that details name while no host has reported one: the API alone refuses nothing."""


TYPES: Any = union_all(*(select(literal(name, String).label("type")) for name in qos.RULES)).subquery("rule_types")


class RuleTypeStrategy(Strategy):
    """Rule types stand in no table: they follow from what hosts report."""

    def listed(self, tx: Transaction, query: Any) -> list[Row]:
        """What every backend honours; `all_supported`: some backend; `all_rules`: all that there are."""
        drivers = _drivers(tx)
        if any(query.filters.get("all_rules", ())):
            names = set(qos.RULES)
        elif any(query.filters.get("all_supported", ())):
            names = {name for rules in drivers.values() for name in rules}
        else:
            names = set.intersection(*(set(rules) for rules in drivers.values()))
        return [{"type": name} for name in sorted(names)]

    def shown(self, tx: Transaction, id: str) -> Row:
        """One type with who honours it: for administrators."""
        if not tx.context.is_admin:
            raise errors.NotAuthorized
        if id not in qos.RULES:
            raise errors.NotFound(resource="QoS rule type", id=id)
        drivers = [
            {"name": name, "supported_parameters": [_parameter(*one) for one in rules[id].items()]}
            for name, rules in sorted(_drivers(tx).items())
            if id in rules
        ]
        return {"type": id, "drivers": drivers}


def _drivers(tx: Transaction) -> Mapping[str, qos_attachment.Rules]:
    return qos_attachment.drivers(tx) or {NOBODY: qos.RULES}


def _parameter(name: str, allowed: Any) -> Row:
    ranged = isinstance(allowed, Mapping)
    return {
        "parameter_name": name,
        "parameter_type": "range" if ranged else "choices",
        "parameter_values": dict(allowed) if ranged else list(allowed),
    }


RULE_TYPE = Resource(
    member="rule_type",
    collection="rule-types",
    prefix="/qos",
    attributes=(
        read_only("type", t.anything, filter=False),
        read_only("drivers", t.anything, filter=False, extension="qos-rule-type-details"),
        Attribute("all_rules", t.boolean_or_none, default=UNSET, visible=False, extension="qos-rule-type-filter"),
        Attribute("all_supported", t.boolean_or_none, default=UNSET, visible=False, extension="qos-rule-type-filter"),
    ),
    table=TYPES,
    strategy=RuleTypeStrategy(),
    not_found=errors.NotFound,
    key="type",
    operations=frozenset({"list", "show"}),
    pagination=False,
    extension="qos",
)
