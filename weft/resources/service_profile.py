"""Service profiles: what stands behind a flavor, a driver by name or a text that means something to its service."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Column, ForeignKey, Integer, String, Table, Text, func, select

from weft import errors
from weft.registry import types as t
from weft.registry.attributes import Attribute, read_only
from weft.registry.resource import Resource, Row
from weft.registry.strategy import Strategy
from weft.resources import service_provider
from weft.store.schema import ID, METADATA
from weft.store.transaction import Transaction

SERVICE_PROFILES = Table(
    "service_profiles",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("description", String(1024)),
    Column("driver", String(1024), nullable=False),
    Column("metainfo", Text, nullable=False),
    Column("enabled", Boolean),
)

FLAVOR_PROFILES = Table(
    "flavor_service_profiles",
    METADATA,
    Column("flavor_id", ID, ForeignKey("flavors.id", ondelete="CASCADE"), primary_key=True),
    Column("service_profile_id", ID, ForeignKey("service_profiles.id"), primary_key=True, index=True),
    Column("position", Integer, nullable=False),
)
"""Which profiles a flavor has, in the order in which they were given to it."""

ALIAS = "flavors"

ATTRIBUTES = (
    read_only("id", t.uuid, sort=True, primary_key=True),
    Attribute("description", t.string_or_none(1024), default="", sort=True),
    Attribute("driver", t.string(1024), default="", sort=True),
    Attribute("metainfo", t.stringified(t.string(4096)), default="", filter=False, sort=True),
    Attribute("enabled", t.boolean_or_none, default=True, sort=True),
)


class ServiceProfileStrategy(Strategy):
    """Service profiles; see behaviours section 22 of the API's facts."""

    def validate(self, tx: Transaction, new: Row, old: Row | None) -> None:
        if not new["driver"] and not new["metainfo"]:
            raise errors.ServiceProfileEmpty()
        if new["driver"] and service_provider.named(tx, new["driver"]) is None:
            raise errors.ServiceProfileDriverNotFound(driver=new["driver"])
        if old is not None:
            _refuse_used(tx, old)

    def validate_delete(self, tx: Transaction, row: Row) -> None:
        _refuse_used(tx, row)


def _refuse_used(tx: Transaction, row: Row) -> None:
    used = select(FLAVOR_PROFILES.c.flavor_id).where(FLAVOR_PROFILES.c.service_profile_id == row["id"]).limit(1)
    if tx.first(used):
        raise errors.ServiceProfileInUse(id=row["id"])


def bind(tx: Transaction, flavor_id: str, profile_id: str) -> None:
    """Give a flavor one more profile. Raises ServiceProfileNotFound, FlavorServiceProfileBindingExists."""
    tx.get(SERVICE_PROFILE, profile_id)
    table = FLAVOR_PROFILES.c
    if tx.first(select(table.position).where(table.flavor_id == flavor_id, table.service_profile_id == profile_id)):
        raise errors.FlavorServiceProfileBindingExists(id=profile_id, flavor_id=flavor_id)
    last: Any = tx.first(select(func.max(table.position)).where(table.flavor_id == flavor_id))
    values = {"flavor_id": flavor_id, "service_profile_id": profile_id, "position": (last[0] or 0) + 1}
    tx.add(FLAVOR_PROFILES, [values])


SERVICE_PROFILE = Resource(
    member="service_profile",
    collection="service_profiles",
    attributes=ATTRIBUTES,
    table=SERVICE_PROFILES,
    strategy=ServiceProfileStrategy(),
    not_found=errors.ServiceProfileNotFound,
    extension=ALIAS,
)
