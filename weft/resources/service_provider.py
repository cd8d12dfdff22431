"""Service providers: by what a kind of service can be delivered here."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Boolean, String, literal, select, union_all

from weft import errors
from weft.registry import types as t
from weft.registry.attributes import read_only
from weft.registry.resource import Resource, Row
from weft.registry.strategy import Strategy


class Provider(NamedTuple):
    """One way to deliver a service; `driver` is the name by which service profiles ask for it."""

    service_type: str
    name: str
    driver: str
    default: bool = False
    distributed: bool = False
    ha: bool = False

    def offered(self, tx: Any) -> bool:
        """The dataplane can make such routers."""
        return (not self.distributed or tx.environment.honours("dvr")) and (
            not self.ha or tx.environment.honours("l3-ha")
        )


ROUTERS = "L3_ROUTER_NAT"
_DRIVERS = "neutron.services.l3_router.service_providers"
PROVIDERS = (
    Provider(ROUTERS, "dvrha", f"{_DRIVERS}.dvrha.DvrHaDriver", distributed=True, ha=True),
    Provider(ROUTERS, "dvr", f"{_DRIVERS}.dvr.DvrDriver", distributed=True),
    Provider(ROUTERS, "ha", f"{_DRIVERS}.ha.HaDriver", ha=True),
    Provider(ROUTERS, "single_node", f"{_DRIVERS}.single_node.SingleNodeDriver", default=True),
)
"""The kinds of routers; the names of drivers are those that profiles of other installations hold."""


def named(tx: Any, driver: str) -> Provider | None:
    """The provider that a driver's name stands for; None where there is none, or none that the dataplane can be."""
    return next((one for one in PROVIDERS if one.driver == driver and one.offered(tx)), None)


class ProviderStrategy(Strategy):
    """Providers, as far as the dataplane can be them."""

    def listed(self, tx: Any, query: Any) -> list[Row]:
        wanted = [one for one in PROVIDERS if one.offered(tx)]
        return [{"service_type": one.service_type, "name": one.name, "default": one.default} for one in wanted]


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
    strategy=ProviderStrategy(),
    not_found=errors.ServiceProviderNotFound,  # type: ignore[arg-type]  # the API calls it an invalid input
    operations=frozenset({"list"}),
    pagination=False,
    extension=ALIAS,
)
