"""Flavors: kinds of a service that operators offer by name, and the profiles that stand behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from sqlalchemy import Boolean, Column, ColumnElement, String, Table, case, delete, func, select

from weft import errors
from weft.registry import types as t
from weft.registry import types_network as net
from weft.registry.attributes import REQUIRED, Attribute, read_only
from weft.registry.resource import Parent, Resource, Row
from weft.registry.strategy import Strategy
from weft.resources import service_profile, service_provider
from weft.resources.service_profile import ALIAS, FLAVOR_PROFILES, SERVICE_PROFILES
from weft.store.schema import ID, METADATA, json_array
from weft.store.transaction import Transaction

FLAVORS = Table(
    "flavors",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("name", String(255), nullable=False),
    Column("description", String(1024)),
    Column("service_type", String(36), nullable=False),
    Column("enabled", Boolean),
)

ATTRIBUTES = (
    read_only("id", t.uuid, sort=True, primary_key=True),
    Attribute("name", t.name_string, default="", sort=True),
    Attribute("description", t.string_or_none(1024), default="", sort=True),
    Attribute("service_type", net.service_type, default=REQUIRED, put=False, sort=True),
    Attribute("service_profiles", t.list_of(t.uuid), default=[], filter=False),
    Attribute("enabled", t.boolean_or_none, default=True, sort=True),
)


class FlavorStrategy(Strategy):
    """Flavors; see behaviours section 22 of the API's facts."""

    def columns(self) -> Mapping[str, ColumnElement[Any]]:
        profiles = select(json_array(FLAVOR_PROFILES.c.service_profile_id))
        mine = profiles.where(FLAVOR_PROFILES.c.flavor_id == FLAVORS.c.id)
        return {"service_profiles": mine.correlate(FLAVORS).scalar_subquery()}

    def prepare(self, tx: Transaction, values: Row) -> None:
        values["id"] = str(uuid4())

    def settle(self, tx: Transaction, new: Row, old: Row | None) -> None:
        if old is not None and set(old["service_profiles"]) != set(new["service_profiles"]):
            tx.execute(delete(FLAVOR_PROFILES).where(FLAVOR_PROFILES.c.flavor_id == new["id"]))
            tx.touch(FLAVOR, new)
        elif old is not None:
            return
        for id in new["service_profiles"]:
            service_profile.bind(tx, new["id"], id)

    def validate_delete(self, tx: Transaction, row: Row) -> None:
        from weft.resources.router import ROUTERS

        if tx.first(select(ROUTERS.c.id).where(ROUTERS.c.flavor_id == row["id"]).limit(1)):
            raise errors.FlavorInUse(id=row["id"])


FLAVOR = Resource(
    member="flavor",
    collection="flavors",
    attributes=ATTRIBUTES,
    table=FLAVORS,
    strategy=FlavorStrategy(),
    not_found=errors.FlavorNotFound,
    extension=ALIAS,
)


class BindingStrategy(Strategy):
    """That a flavor has a profile: nothing of its own, so that the log of changes tells of the flavor."""

    def create(self, tx: Transaction, values: Row) -> Row:
        flavor = tx.get(FLAVOR, values["flavor_id"])
        service_profile.bind(tx, flavor["id"], values["id"])
        tx.touch(FLAVOR, flavor)
        return values

    def delete(self, tx: Transaction, row: Row) -> None:
        table = FLAVOR_PROFILES.c
        mine = (table.flavor_id == row["flavor_id"], table.service_profile_id == row["id"])
        tx.execute(delete(FLAVOR_PROFILES).where(*mine))
        tx.touch(FLAVOR, tx.get(FLAVOR, row["flavor_id"]))


FLAVOR_SERVICE_PROFILE = Resource(
    member="service_profile",
    collection="service_profiles",
    attributes=(Attribute("id", t.uuid, default=REQUIRED, put=False, filter=False, column="service_profile_id"),),
    table=FLAVOR_PROFILES,
    strategy=BindingStrategy(),
    not_found=errors.FlavorServiceProfileBindingNotFound,
    parent=Parent(FLAVOR, "flavor_id"),
    operations=frozenset({"list", "show", "create", "delete"}),
    bulk=True,
    pagination=False,
    extension=ALIAS,
    policy_name="flavor_service_profile",
    internal=("flavor_id",),
    key="service_profile_id",
)


# What delivers a flavor.

_FIRST = (
    select(func.min(FLAVOR_PROFILES.c.position))
    .where(FLAVOR_PROFILES.c.flavor_id == FLAVORS.c.id)
    .correlate(FLAVORS)
    .scalar_subquery()
)
NEXT: Any = (
    select(
        FLAVORS.c.id.label("flavor_id"),
        SERVICE_PROFILES.c.id.label("service_profile_id"),
        SERVICE_PROFILES.c.driver,
        SERVICE_PROFILES.c.metainfo,
        SERVICE_PROFILES.c.enabled,
        case(
            {one.driver: one.name for one in service_provider.PROVIDERS}, value=SERVICE_PROFILES.c.driver, else_=None
        ).label("provider"),
    )
    .join(FLAVOR_PROFILES, (FLAVOR_PROFILES.c.flavor_id == FLAVORS.c.id) & (FLAVOR_PROFILES.c.position == _FIRST))
    .join(SERVICE_PROFILES, SERVICE_PROFILES.c.id == FLAVOR_PROFILES.c.service_profile_id)
    .subquery("next_providers")
)
"""A view: the first profile of each flavor."""


class NextProviderStrategy(Strategy):
    """Who would deliver the next service of a flavor: the provider of its first profile."""

    def check_parent(self, tx: Transaction, parent: Row) -> None:
        if not parent["enabled"]:
            raise errors.FlavorDisabled()

    def view(self, tx: Transaction, row: Row) -> None:
        if not row["enabled"]:
            raise errors.ServiceProfileDisabled()
        if row["provider"] is None:
            raise errors.ServiceProfileDriverNotFound(driver=row["driver"])


NEXT_PROVIDER = Resource(
    member="next_provider",
    collection="next_providers",
    attributes=tuple(
        read_only(name, t.string_or_none(4096), filter=False) for name in ("provider", "driver", "metainfo")
    ),
    table=NEXT,
    strategy=NextProviderStrategy(),
    not_found=errors.ServiceProfileNotFound,
    parent=Parent(FLAVOR, "flavor_id"),
    operations=frozenset({"list", "show"}),
    pagination=False,
    extension=ALIAS,
    policy_name="flavor_next_provider",
    internal=("flavor_id", "enabled"),
    key="service_profile_id",
)


def check_router(tx: Transaction, flavor_id: str, asked: Mapping[str, Any]) -> Row:
    """`ha` and `distributed` of a router of this flavor. Raises what is wrong with the flavor for a router.

    `asked`: what the client says of the two itself; None: nothing. A flavor speaks for itself.
    """
    flavor = tx.get(FLAVOR, flavor_id)
    if flavor["service_type"] != service_provider.ROUTERS:
        raise errors.InvalidServiceType(service_type=flavor["service_type"])
    NEXT_PROVIDER.strategy.check_parent(tx, flavor)
    found: Sequence[Row] = tx.list(NEXT_PROVIDER, NEXT.c.flavor_id == flavor_id)
    if not found:
        raise errors.ServiceProfileNotFound(id=f"of flavor {flavor_id}")
    provider = service_provider.named(tx, found[0]["driver"])
    kind = {"ha": bool(provider and provider.ha), "distributed": bool(provider and provider.distributed)}
    for flag, value in kind.items():
        if asked[flag] is not None and asked[flag] != value:
            raise errors.InvalidInput(reason=f"{flag} of a router of the flavor {flavor_id} is {str(value).lower()}")
    return kind
