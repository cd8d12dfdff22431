"""QoS rules: five types, each a sub-resource of its policy and again by itself under an alias (/qos/alias-...-rules)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, ForeignKey, Integer, String, Table, UniqueConstraint, or_, select

from weft import errors
from weft.logical import qos
from weft.registry import types as t
from weft.registry.attributes import REQUIRED, Attribute, read_only
from weft.registry.resource import Parent, Resource, Row
from weft.registry.strategy import Strategy
from weft.resources import qos_allocations, qos_attachment
from weft.resources.qos_policy import POLICIES, POLICY, load
from weft.store import access
from weft.store.schema import ID, METADATA, json_array, json_object
from weft.store.transaction import Transaction

ALIASED: Final = "qos-rules-alias"
ONE_WAY = t.enum("ingress", "egress")
ANY_WAY = t.enum("any", "ingress", "egress")


@dataclass(frozen=True)
class Kind:
    """A type of rules. `extension` brings it, `alias` brings /qos/alias-...-rules (None: there is no such alias).

    `fields` are the attributes that clients set.
    """

    name: str
    collection: str
    fields: tuple[Attribute, ...]
    extension: str = "qos"
    alias: str | None = ALIASED
    bulk: bool = True

    @property
    def directed(self) -> bool:
        """A policy may have one for each direction, instead of one."""
        return any(field.name == "direction" for field in self.fields)


def _value(name: str, type_: t.Type = t.non_negative, default: Any = REQUIRED) -> Attribute:
    return Attribute(name, type_, default=default, sort=True)


def _direction(type_: t.Type = ONE_WAY, extension: str = "core", searched: bool = True) -> Attribute:
    return Attribute("direction", type_, default="egress", filter=searched, sort=searched, extension=extension)


BANDWIDTH_LIMIT = Kind(
    "bandwidth_limit",
    "bandwidth_limit_rules",
    (
        _value("max_kbps"),
        _value("max_burst_kbps", default=0),
        _direction(extension="qos-bw-limit-direction", searched=False),
    ),
)
DSCP_MARKING = Kind(
    "dscp_marking", "dscp_marking_rules", (_value("dscp_mark", t.enum(*qos.RULES["dscp_marking"]["dscp_mark"])),)
)
MINIMUM_BANDWIDTH = Kind("minimum_bandwidth", "minimum_bandwidth_rules", (_value("min_kbps"), _direction()))
MINIMUM_PACKET_RATE = Kind(
    "minimum_packet_rate",
    "minimum-packet-rate-rules",
    (_value("min_kpps"), _direction(ANY_WAY)),
    extension="qos-pps-minimum",
    alias="qos-pps-minimum-rule-alias",
)
PACKET_RATE_LIMIT = Kind(
    "packet_rate_limit",
    "packet_rate_limit_rules",
    (_value("max_kpps"), _value("max_burst_kpps", default=0), _direction()),
    extension="qos-pps",
    alias=None,
    bulk=False,
)
KINDS = (BANDWIDTH_LIMIT, DSCP_MARKING, MINIMUM_BANDWIDTH, MINIMUM_PACKET_RATE, PACKET_RATE_LIMIT)
PLACED = (MINIMUM_BANDWIDTH.name, MINIMUM_PACKET_RATE.name)
"""Types that ask Placement for something."""


def _table(kind: Kind) -> Table:
    columns = [
        Column(field.name, String(16) if field.name == "direction" else Integer, nullable=False)
        for field in kind.fields
    ]
    return Table(
        f"qos_{kind.name}_rules",
        METADATA,
        Column("id", ID, primary_key=True),
        Column("policy_id", ID, ForeignKey("qos_policies.id", ondelete="CASCADE"), nullable=False),
        *columns,
        UniqueConstraint("policy_id", *(["direction"] if kind.directed else [])),
    )


TABLES = {kind.name: _table(kind) for kind in KINDS}


def columns() -> dict[str, ColumnElement[Any]]:
    """What a SELECT of policies brings of their rules: `_<type>`, a JSON array."""
    found: dict[str, ColumnElement[Any]] = {}
    for kind in KINDS:
        table = TABLES[kind.name]
        names = (*(field.name for field in kind.fields), "id")
        one = json_object(*(part for name in names for part in (name, table.c[name])))
        of_policy = table.c.policy_id == POLICIES.c.id
        found[f"_{kind.name}"] = select(json_array(one)).where(of_policy).correlate(POLICIES).scalar_subquery()
    return found


def collected(policy: Row) -> list[Row]:
    """The attribute `rules` of a policy that was read with `columns`."""
    return [
        {**rule, "qos_policy_id": policy["id"], "type": kind.name}
        for kind in KINDS
        for rule in sorted(policy[f"_{kind.name}"], key=lambda rule: (rule.get("direction", ""), rule["id"]))
    ]


class RuleStrategy(Strategy):
    """Rules of one type; see behaviours section 19 of the API's facts."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind

    def prepare(self, tx: Transaction, values: Row) -> None:
        _check(tx, self.kind, values, None)

    def prepare_update(self, tx: Transaction, old: Row, changes: Row, new: Row) -> None:
        _check(tx, self.kind, new, old)

    def validate_delete(self, tx: Transaction, row: Row) -> None:
        if self.kind.name in PLACED:
            _refuse_placed(tx, row["policy_id"])

    def write_update(self, tx: Transaction, old: Row, new: Row) -> None:
        tx.update(BY_KIND[self.kind.name], old, new)

    def write_delete(self, tx: Transaction, row: Row) -> None:
        tx.delete(BY_KIND[self.kind.name], row)

    def settle(self, tx: Transaction, new: Row, old: Row | None) -> None:
        policy = load(tx, new["policy_id"])
        if old is None:
            policy["rules"].append(
                {**new, "qos_policy_id": policy["id"], "type": self.kind.name}
            )  # for the next in bulk
        elif self.kind.name in PLACED:
            qos_allocations.rule_changed(tx, policy, new)
        tx.touch(POLICY, policy)

    def settle_delete(self, tx: Transaction, row: Row) -> None:
        tx.touch(POLICY, load(tx, row["policy_id"]))


class AliasStrategy(RuleStrategy):
    """The same rules, named without their policy."""

    def visible(self) -> ColumnElement[bool]:
        shared = access.granted(POLICIES.c.id, (access.SHARED,))
        mine = select(POLICIES.c.id).where(or_(POLICIES.c.project_id == access.caller, shared))
        return TABLES[self.kind.name].c.policy_id.in_(mine)

    def related(self) -> Mapping[str, Any]:
        return {"ext_parent:project_id": lambda tx, row: load(tx, row["policy_id"])["project_id"]}


def _check(tx: Transaction, kind: Kind, new: Row, old: Row | None) -> None:
    """Raise what speaks against the rule `new`: other rules of its policy, ports that are bound, what backends can do."""
    policy = load(tx, new["policy_id"])
    for other in policy["rules"]:
        if other["id"] != new.get("id"):
            _refuse_conflict(kind, new, other)
    moved = old is None or old.get("direction") != new.get("direction")
    if kind.name in PLACED and moved:
        _refuse_placed(tx, policy["id"])
    qos_attachment.check_rule(tx, policy["id"], {**new, "type": kind.name})


def _refuse_conflict(kind: Kind, new: Row, other: Row) -> None:
    """One rule for each type and direction; no minimum above the maximum; `any` direction stands alone."""
    same_way = new.get("direction") == other.get("direction")
    if other["type"] == kind.name and same_way:
        raise errors.QoSRulesConflict(rule_type=kind.name, rule_id=other["id"], policy_id=other["qos_policy_id"])
    contradiction: tuple[Any, Any] | None = None
    if kind.name == other["type"] == MINIMUM_PACKET_RATE.name and "any" in (new["direction"], other["direction"]):
        contradiction = new["direction"], other["direction"]
    elif {kind.name, other["type"]} == {BANDWIDTH_LIMIT.name, MINIMUM_BANDWIDTH.name} and same_way:
        least, most = (new, other) if kind is MINIMUM_BANDWIDTH else (other, new)
        if least["min_kbps"] > most["max_kbps"]:
            field = "min_kbps" if least is new else "max_kbps"
            contradiction = new[field], most["max_kbps"] if least is new else least["min_kbps"]
    if contradiction:
        raise errors.QoSRuleParameterConflict(
            value=contradiction[0],
            other_type=other["type"],
            policy_id=other["qos_policy_id"],
            other_value=contradiction[1],
        )


def _refuse_placed(tx: Transaction, policy_id: str) -> None:
    """What Placement has granted to running servers is changed by moving them, not under them."""
    if qos_attachment.has_bound_server(tx, policy_id):
        raise errors.NotImplementedFault(
            f"Minimum rules of policy {policy_id} cannot come, go or turn while ports of servers are bound with it."
        )


# The declarations.


def _sub_resource(kind: Kind) -> Resource:
    return Resource(
        member=f"{kind.name}_rule",
        collection=kind.collection,
        attributes=(read_only("id", t.uuid, sort=True, primary_key=True), *kind.fields),
        table=TABLES[kind.name],
        strategy=RuleStrategy(kind),
        not_found=errors.QosRuleNotFound,
        parent=Parent(POLICY, "policy_id", strangers_are_refused=True),
        bulk=kind.bulk,
        extension=kind.extension,
        policy_name=f"policy_{kind.name}_rule",
        internal=("policy_id",),
        shims=("qos-bw-minimum-ingress",) if kind is MINIMUM_BANDWIDTH else (),
    )


def _alias(kind: Kind) -> Resource:
    name = kind.collection.replace("_", "-")
    fields = tuple(replace(field, post=False, filter=True, sort=True, extension="core") for field in kind.fields)
    owner = tuple(
        read_only(name, t.project_id, filter=False, required_by_policy=True)
        for name in (("tenant_id", "project_id") if kind.alias == ALIASED else ())
    )
    return Resource(
        member=f"alias_{kind.name}_rule",
        collection=f"alias-{name}",
        prefix="/qos",
        attributes=(read_only("id", t.uuid, sort=True, primary_key=True), *owner, *fields),
        table=TABLES[kind.name],
        strategy=AliasStrategy(kind),
        not_found=errors.QosRuleNotFound,
        operations=frozenset({"show", "update", "delete"}),
        extension=kind.alias or ALIASED,
        internal=("policy_id",),
    )


BY_KIND: Mapping[str, Resource] = {kind.name: _sub_resource(kind) for kind in KINDS}
ALIASES: Sequence[Resource] = tuple(_alias(kind) for kind in KINDS if kind.alias)
RULES: tuple[Resource, ...] = (*BY_KIND.values(), *ALIASES)
"""All resources of rules."""
