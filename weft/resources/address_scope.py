"""Address scopes: within one, no address means two things, so its networks can be routed to each other as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column, ColumnElement, Integer, String, Table, select

from weft import errors
from weft.registry import types as t
from weft.registry.attributes import REQUIRED, Attribute, read_only
from weft.registry.resource import Resource, Row
from weft.registry.strategy import Strategy
from weft.resources import rbac_policy, standard
from weft.store import access
from weft.store.schema import METADATA, identity
from weft.store.transaction import Transaction

ADDRESS_SCOPES = Table(
    "address_scopes",
    METADATA,
    *identity(),
    Column("name", String(255), nullable=False, default=""),
    Column("ip_version", Integer, nullable=False),
)

ALIAS = "address-scope"

ATTRIBUTES = (
    read_only("id", t.uuid, sort=True, primary_key=True, extension=ALIAS),
    Attribute("name", t.name_string, default="", sort=True, extension=ALIAS),
    *standard.project(extension=ALIAS),
    Attribute("shared", t.boolean, default=False, sort=True, policy=True, required_by_policy=True, extension=ALIAS),
    Attribute("ip_version", t.enum(4, 6), default=REQUIRED, put=False, sort=True, extension=ALIAS),
)


class AddressScopeStrategy(Strategy):
    """Address scopes; see behaviours section 8 of the API's facts."""

    def columns(self) -> Mapping[str, ColumnElement[Any]]:
        return {"shared": access.shared(ADDRESS_SCOPES.c.id)}

    def validate(self, tx: Transaction, new: Row, old: Row | None) -> None:
        if old is not None and old["shared"] and not new["shared"]:
            raise errors.AddressScopeUpdateError(id=new["id"], reason="Shared address scope can't be unshared")

    def settle(self, tx: Transaction, new: Row, old: Row | None) -> None:
        if new["shared"] and not (old and old["shared"]):
            rbac_policy.share(tx, "address_scope", new)

    def validate_delete(self, tx: Transaction, row: Row) -> None:
        from weft.resources.subnetpool import SUBNETPOOLS

        if tx.first(select(SUBNETPOOLS.c.id).where(SUBNETPOOLS.c.address_scope_id == row["id"]).limit(1)):
            raise errors.AddressScopeInUse(id=row["id"])


ADDRESS_SCOPE: Resource = Resource(
    member="address_scope",
    collection="address-scopes",
    attributes=ATTRIBUTES,
    table=ADDRESS_SCOPES,
    strategy=AddressScopeStrategy(),
    not_found=errors.AddressScopeNotFound,
    bulk=True,
    visible_by_rbac=(access.SHARED,),
    extension=ALIAS,
)
