"""Address groups: named sets of prefixes that security group rules can refer to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_network
from typing import Any

from sqlalchemy import JSON, Column, ColumnElement, String, Table, select

from weft import errors
from weft.registry import types as t
from weft.registry import types_address as addresses
from weft.registry.attributes import Attribute, read_only
from weft.registry.resource import Action, Resource, Row
from weft.registry.strategy import Strategy
from weft.resources import standard
from weft.store import access
from weft.store.schema import METADATA, identity
from weft.store.schema import standard as standard_columns
from weft.store.transaction import Transaction

ADDRESS_GROUPS = Table(
    "address_groups",
    METADATA,
    *identity(),
    Column("name", String(255), nullable=False, default=""),
    Column("addresses", JSON, nullable=False),
    *standard_columns(),
)

ATTRIBUTES = (
    read_only("id", t.uuid, sort=True, primary_key=True),
    Attribute("name", t.name_string, default="", sort=True),
    *standard.project(),
    read_only("shared", t.boolean, visible=False, filter=False),
    Attribute("addresses", t.null_is_empty(addresses.cidr_list), put=False, filter=False),
    Attribute("description", t.long_description, default="", sort=True, extension="standard-attr-description"),
    *standard.versions(),
)


class AddressGroupStrategy(Strategy):
    """Address groups; see behaviours section 8 of the API's facts."""

    def columns(self) -> Mapping[str, ColumnElement[Any]]:
        return {"shared": access.shared(ADDRESS_GROUPS.c.id)}

    def prepare(self, tx: Transaction, values: Row) -> None:
        values["addresses"] = values.get("addresses") or []
        values["shared"] = False

    def validate_delete(self, tx: Transaction, row: Row) -> None:
        from weft.resources.default_security_group_rule import TEMPLATES
        from weft.resources.security_group_rule import RULES

        for table in (RULES, TEMPLATES):
            if tx.first(select(table.c.id).where(table.c.remote_address_group_id == row["id"]).limit(1)):
                raise errors.AddressGroupInUse(id=row["id"])


def _asked(body: Any) -> list[str]:
    """The prefixes of `{"addresses": [...]}`, each once; an address alone is a prefix of full length."""
    given = body.get("addresses") if isinstance(body, dict) else None
    if not isinstance(given, list):
        raise errors.HTTPBadRequest("Failed to parse request. Required attribute 'addresses' not specified")
    return list(dict.fromkeys(_prefix(one) for one in given))


def _prefix(value: Any) -> str:
    if addresses.ip_fault(value) is None or addresses.prefix_fault(value) is None:
        return str(ip_network(value, strict=False))
    raise errors.AddrFormatError(f"invalid IPNetwork {value}")


def add_addresses(tx: Transaction, row: Row, body: Any) -> Row:
    """PUT /address-groups/{id}/add_addresses"""
    asked = _asked(body)
    present = [one for one in asked if one in row["addresses"]]
    if present:
        raise errors.AddressesAlreadyExist(addresses=present, id=row["id"])
    return _write(tx, row, [*row["addresses"], *asked])


def remove_addresses(tx: Transaction, row: Row, body: Any) -> Row:
    """PUT /address-groups/{id}/remove_addresses"""
    asked = _asked(body)
    missing = [one for one in asked if one not in row["addresses"]]
    if missing:
        raise errors.AddressesNotFound(addresses=missing, id=row["id"])
    return _write(tx, row, [one for one in row["addresses"] if one not in asked])


def _write(tx: Transaction, row: Row, wanted: list[str]) -> Row:
    new = {**row, "addresses": wanted}
    tx.update(ADDRESS_GROUP, row, new)
    return {ADDRESS_GROUP.member: new}


def check_visible(tx: Transaction, ids: Sequence[str | None]) -> None:
    """Raise AddressGroupNotFound for a group that the caller may not refer to."""
    wanted = sorted({id for id in ids if id})
    if not wanted:
        return
    found = {row["id"] for row in tx.list(ADDRESS_GROUP, ADDRESS_GROUPS.c.id.in_(wanted), everybody=False)}
    for id in wanted:
        if id not in found:
            raise errors.AddressGroupNotFound(id=id)


def used_by_others(tx: Transaction, group: Row, losing: str) -> bool:
    """Rules that refer to the group of projects that may do so only by the RBAC policy for `losing`."""
    from weft.resources.security_group_rule import RULES

    only = access.dependent(RULES.c.project_id, group["id"], group["project_id"], losing)
    return bool(tx.first(select(RULES.c.id).where(RULES.c.remote_address_group_id == group["id"], only).limit(1)))


ADDRESS_GROUP: Resource = Resource(
    member="address_group",
    collection="address-groups",
    attributes=ATTRIBUTES,
    table=ADDRESS_GROUPS,
    strategy=AddressGroupStrategy(),
    not_found=errors.AddressGroupNotFound,
    actions=(
        Action("add_addresses", add_addresses, policy="add_addresses"),
        Action("remove_addresses", remove_addresses, policy="remove_addresses"),
    ),
    bulk=True,
    visible_by_rbac=(access.SHARED,),
    extension="address-group",
)
