"""Conntrack helpers: routers that read along in protocols which agree on further connections (FTP, TFTP, SIP)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ColumnElement, ForeignKey, Integer, String, Table, UniqueConstraint, select

from weft import errors
from weft.config import Config
from weft.registry import types as t
from weft.registry import types_rule as rule
from weft.registry.attributes import REQUIRED, Attribute, read_only
from weft.registry.resource import Parent, Resource, Row
from weft.registry.strategy import Strategy
from weft.resources.router import ROUTER
from weft.store.schema import ID, METADATA, identity, json_array, json_object
from weft.store.transaction import Transaction

CONNTRACK_HELPERS = Table(
    "conntrack_helpers",
    METADATA,
    *identity(),
    Column("router_id", ID, ForeignKey("routers.id", ondelete="CASCADE"), nullable=False),
    Column("protocol", String(16), nullable=False),
    Column("port", Integer, nullable=False),
    Column("helper", String(64), nullable=False),
    UniqueConstraint("router_id", "protocol", "port", "helper"),
)

SAME = ("router_id", "protocol", "port", "helper")
"""What no two share."""

ATTRIBUTES = (
    read_only("id", t.uuid, sort=True, primary_key=True),
    Attribute(
        "project_id", t.project_id, default=REQUIRED, put=False, visible=False, filter=False, required_by_policy=True
    ),
    Attribute("protocol", rule.port_protocol, default=REQUIRED, sort=True),
    Attribute("port", t.port_number, default=REQUIRED, sort=True),
    Attribute("helper", t.stringified(t.string(64)), default=REQUIRED, sort=True),
    read_only("tenant_id", t.project_id, visible=False, filter=False, required_by_policy=True),
)


def allowed(config: Config) -> dict[str, list[str]]:
    """helper -> protocols that it may read, as the operator says."""
    found: dict[str, list[str]] = {}
    for entry in config.api.allowed_conntrack_helpers:
        helper, _, protocol = entry.strip().partition(":")
        found.setdefault(helper, []).append(protocol)
    return found


class ConntrackHelperStrategy(Strategy):
    """Conntrack helpers; see behaviours section 15 of the API's facts."""

    def view(self, tx: Transaction, row: Row) -> None:
        # What policy asks: a helper belongs to whom its router belongs to.
        row["ext_parent:project_id"] = row["project_id"]

    def prepare(self, tx: Transaction, values: Row) -> None:
        values["project_id"] = tx.get(ROUTER, values["router_id"])["project_id"]
        self.view(tx, values)

    def validate(self, tx: Transaction, new: Row, old: Row | None) -> None:
        protocols = allowed(tx.config).get(new["helper"])
        if protocols is None:
            raise errors.ConntrackHelperNotAllowed(helper=new["helper"])
        if new["protocol"] not in protocols:
            raise errors.InvalidProtocolForHelper(
                helper=new["helper"], protocol=new["protocol"], valid=", ".join(sorted(protocols))
            )
        same = [CONNTRACK_HELPERS.c[name] == new[name] for name in SAME]
        others = CONNTRACK_HELPERS.c.id != new.get("id", "")
        if tx.first(select(CONNTRACK_HELPERS.c.id).where(*same, others)):
            values = {name: new[name] for name in SAME}
            raise errors.BadRequest(
                resource="conntrack_helper",
                reason="A duplicate conntrack helper entry with same attributes already exists, "
                f"conflicting values are {values}",
            )

    def settle(self, tx: Transaction, new: Row, old: Row | None) -> None:
        tx.touch(ROUTER, tx.get(ROUTER, new["router_id"], everybody=True))

    def settle_delete(self, tx: Transaction, row: Row) -> None:
        self.settle(tx, row, row)


def brief(routers: Table) -> ColumnElement[Any]:
    """The attribute conntrack_helpers of routers."""
    table = CONNTRACK_HELPERS.c
    one = json_object("protocol", table.protocol, "port", table.port, "helper", table.helper)
    return select(json_array(one)).where(table.router_id == routers.c.id).correlate(routers).scalar_subquery()


CONNTRACK_HELPER = Resource(
    member="conntrack_helper",
    collection="conntrack_helpers",
    attributes=ATTRIBUTES,
    table=CONNTRACK_HELPERS,
    strategy=ConntrackHelperStrategy(),
    not_found=errors.ConntrackHelperNotFound,
    parent=Parent(ROUTER, "router_id"),
    bulk=True,
    strict_marker=True,
    extension="l3-conntrack-helper",
    policy_name="router_conntrack_helper",
    internal=("router_id",),
)
