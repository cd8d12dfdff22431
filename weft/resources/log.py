"""Logs: which connections through security groups are written down for the operator, and what can be logged at all."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, String, Table, literal, select

from weft import errors
from weft.registry import types as t
from weft.registry.attributes import REQUIRED, Attribute, read_only
from weft.registry.resource import Resource, Row
from weft.registry.strategy import Strategy
from weft.resources import standard
from weft.resources.port import PORT
from weft.resources.security_group import SECURITY_GROUP
from weft.store.schema import ID, METADATA, identity
from weft.store.schema import standard as standard_columns
from weft.store.transaction import Transaction

LOGS = Table(
    "logs",
    METADATA,
    *identity(),
    Column("name", String(255), nullable=False),
    Column("resource_type", String(36), nullable=False),
    Column("resource_id", ID, ForeignKey("security_groups.id", ondelete="CASCADE"), index=True),
    Column("target_id", ID, ForeignKey("ports.id", ondelete="CASCADE"), index=True),
    Column("event", String(8), nullable=False),
    Column("enabled", Boolean, nullable=False),
    *standard_columns(),
)

ALIAS = "logging"
LOGGABLE = "security_group"

ATTRIBUTES = (
    read_only("id", t.uuid, sort=True, primary_key=True),
    *standard.project(),
    Attribute("name", t.name_string, default="", sort=True),
    Attribute("resource_type", t.string(255), default=REQUIRED, put=False, sort=True),
    Attribute("resource_id", t.uuid_or_none, default=None, put=False, sort=True),
    Attribute("event", t.enum("ACCEPT", "DROP", "ALL"), default="ALL", put=False),
    Attribute("target_id", t.uuid_or_none, default=None, put=False, sort=True),
    Attribute("enabled", t.boolean, default=True, sort=True),
    *standard.described(),
    *standard.versions(),
)


class LogStrategy(Strategy):
    """Logs; see behaviours section 22 of the API's facts. They go with the group or port that they are about."""

    def validate(self, tx: Transaction, new: Row, old: Row | None) -> None:
        if old is not None:
            return
        if new["resource_type"] != LOGGABLE:
            raise errors.InvalidLogResourceType(resource_type=new["resource_type"])
        group, target = new["resource_id"], new["target_id"]
        if group and tx.find(SECURITY_GROUP, group) is None:
            raise errors.ResourceNotFound(id=group)
        port = tx.find(PORT, target) if target else None
        if target and port is None:
            raise errors.TargetResourceNotFound(id=target)
        if group and port and group not in port["security_groups"]:
            raise errors.InvalidResourceConstraint(
                target="port", target_id=target, resource=LOGGABLE, resource_id=group
            )
        if port and (reason := tx.environment.unloggable(port)):
            raise errors.LoggingTypeNotSupported(log_type=LOGGABLE, port_id=target, reason=reason)


LOG = Resource(
    member="log",
    collection="logs",
    prefix="/log",
    attributes=ATTRIBUTES,
    table=LOGS,
    strategy=LogStrategy(),
    not_found=errors.LogResourceNotFound,
    bulk=True,
    extension=ALIAS,
)

LOGGABLE_RESOURCE = Resource(
    member="loggable_resource",
    collection="loggable-resources",
    prefix="/log",
    attributes=(read_only("type", t.string(255), filter=False),),
    table=select(literal(LOGGABLE, String).label("type")).subquery("loggable_resources"),  # type: ignore[arg-type]
    strategy=Strategy(),
    not_found=errors.LogResourceNotFound,
    operations=frozenset({"list"}),
    pagination=False,
    extension=ALIAS,
)
