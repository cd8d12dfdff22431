"""QoS policies: named sets of rules about the packets of ports, networks, floating IPs and router gateways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Boolean, Column, ColumnElement, Select, String, Table, bindparam, literal, select, union_all

from weft import errors
from weft.registry import types as t
from weft.registry.attributes import Attribute, read_only
from weft.registry.resource import Resource, Row
from weft.registry.strategy import Strategy
from weft.resources import rbac_policy, standard
from weft.store import access
from weft.store.schema import METADATA, identity, unique_where
from weft.store.schema import standard as standard_columns
from weft.store.transaction import Transaction

POLICIES = Table(
    "qos_policies",
    METADATA,
    *identity(),
    Column("name", String(255), nullable=False, default=""),
    Column("is_default", Boolean, nullable=False, default=False),
    *standard_columns(),
    unique_where("uq_qos_policies_default", "is_default", "project_id"),
)

ATTRIBUTES = (
    read_only("id", t.uuid, sort=True, primary_key=True),
    Attribute("name", t.name_string, default="", sort=True),
    Attribute("shared", t.boolean, default=False),
    *standard.project(),
    read_only("rules", t.anything, filter=False),
    Attribute("is_default", t.boolean, default=False, extension="qos-default"),
    *standard.stamps(),
)


class PolicyStrategy(Strategy):
    """QoS policies; see behaviours section 19 of the API's facts."""

    def columns(self) -> Mapping[str, ColumnElement[Any]]:
        from weft.resources import qos_rules  # rules know their policy; this is the only look the other way

        return {"shared": access.shared(POLICIES.c.id), **qos_rules.columns()}

    def view(self, tx: Transaction, row: Row) -> None:
        from weft.resources import qos_rules

        row["rules"] = qos_rules.collected(row)

    def prepare(self, tx: Transaction, values: Row) -> None:
        values["rules"] = []

    def validate(self, tx: Transaction, new: Row, old: Row | None) -> None:
        if new["is_default"] and (old is None or not old["is_default"]):
            other = default_of(tx, new["project_id"])
            if other is not None:
                raise errors.QoSPolicyDefaultAlreadyExists(project_id=new["project_id"])

    def write(self, tx: Transaction, row: Row) -> None:
        tx.insert(self.resource, row)
        if row["shared"]:
            rbac_policy.share(tx, "qos_policy", row)

    def prepare_update(self, tx: Transaction, old: Row, changes: Row, new: Row) -> None:
        if "shared" not in changes:
            return
        if new["shared"]:
            rbac_policy.share(tx, "qos_policy", new)
        else:
            _refuse_unsharing(tx, new)
            rbac_policy.withdraw(tx, new)

    def write_update(self, tx: Transaction, old: Row, new: Row) -> None:
        tx.update(self.resource, old, new)
        if new["shared"] != old["shared"]:
            tx.touch(self.resource, new)

    def validate_delete(self, tx: Transaction, row: Row) -> None:
        one = tx.first(union_all(*users(row["id"])).limit(1))
        if one:
            raise errors.QosPolicyInUse(id=row["id"], object_type=one.kind, object_id=one.id)


def users(id: str) -> Sequence[Select[Any]]:
    """SELECTs of (project_id, id, kind) of what the policy is attached to."""
    from weft.resources.floatingip import FLOATINGIPS
    from weft.resources.network import NETWORKS
    from weft.resources.port import PORTS
    from weft.resources.router import ROUTERS

    attached = (
        ("port", PORTS, PORTS.c.qos_policy_id),
        ("network", NETWORKS, NETWORKS.c.qos_policy_id),
        ("floatingip", FLOATINGIPS, FLOATINGIPS.c.qos_policy_id),
        ("router", ROUTERS, ROUTERS.c.gateway_qos_policy_id),
    )
    return [
        select(table.c.project_id, table.c.id, literal(kind).label("kind")).where(column == id)
        for kind, table, column in attached
    ]


def _refuse_unsharing(tx: Transaction, policy: Row) -> None:
    """Everybody may use the policy until now. Clients expect that even its owner's own use holds it, if no RBAC policy
    names him."""
    entries = access.RBAC_ENTRIES.c
    named = select(entries.target_tenant).where(
        entries.object_id == policy["id"], entries.target_tenant != access.EVERYBODY
    )
    opened = select(entries.id).where(entries.object_id == policy["id"], entries.target_tenant == access.EVERYBODY)
    if not tx.first(opened):
        return
    able = {row[0] for row in tx.all(named)}
    if any(row.project_id not in able for row in tx.all(union_all(*users(policy["id"])))):
        raise errors.RbacPolicyInUse(
            object_id=policy["id"], reason="Projects without a policy of their own use this qos_policy."
        )


# What others ask of policies.


_DEFAULT_OF = select(POLICIES.c.id).where(POLICIES.c.project_id == bindparam("of_project"), POLICIES.c.is_default)


def default_of(tx: Transaction, project_id: str) -> str | None:
    """The policy that new networks of the project have, if it has one."""
    found = tx.first(_DEFAULT_OF, {"of_project": project_id})
    return str(found[0]) if found else None


def load(tx: Transaction, id: str) -> Row:
    """A policy with its rules, whoever may see it; remembered for the transaction."""
    return tx.once(("qos policy", id), lambda: tx.get(POLICY, id, everybody=True))


POLICY: Resource = Resource(
    member="policy",
    collection="policies",
    prefix="/qos",
    attributes=ATTRIBUTES,
    table=POLICIES,
    strategy=PolicyStrategy(),
    not_found=errors.QosPolicyNotFound,
    bulk=True,
    tags=True,
    visible_by_rbac=(access.SHARED,),
    extension="qos",
)
