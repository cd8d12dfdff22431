"""Service providers: by what a kind of service can be delivered here."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Boolean, String, literal, select, union_all

from weft import errors
from weft.registry import types as t
from weft.registry.attributes import read_only
from weft.registry.resource import Resource
from weft.registry.strategy import Strategy


class Provider(NamedTuple):
    """One way to deliver a service; `driver` is the name by which service profiles ask for it."""

    service_type: str
    name: str
    driver: str
    default: bool


ROUTERS = "L3_ROUTER_NAT"
PROVIDERS = (
    Provider(
        ROUTERS,
        "single_node",
        "neutron.services.l3_router.service_providers.single_node.SingleNodeDriver",
        default=True,
    ),
)
"""A router runs on one host; the name of its driver is the one that profiles of other installations hold."""


def named(driver: str) -> Provider | None:
    """The provider that a driver's name stands for."""
    return next((one for one in PROVIDERS if one.driver == driver), None)


VIEW: Any = union_all(
    *(
        select(
            literal(one.service_type, String).label("service_type"),
            literal(one.name, String).label("name"),
            literal(one.default, Boolean).label("default"),
        )
        for one in PROVIDERS
    )
).subquery("service_providers")

ALIAS = "service-type"

SERVICE_PROVIDER = Resource(
    member="service_provider",
    collection="service-providers",
    attributes=(
        read_only("service_type", t.string(255), filter=False, extension=ALIAS),
        read_only("name", t.string(255), filter=False, extension=ALIAS),
        read_only("default", t.boolean, filter=False, extension=ALIAS),
    ),
    table=VIEW,
    strategy=Strategy(),
    not_found=errors.ServiceProviderNotFound,  # type: ignore[arg-type]  # the API calls it an invalid input
    operations=frozenset({"list"}),
    pagination=False,
    extension=ALIAS,
)
