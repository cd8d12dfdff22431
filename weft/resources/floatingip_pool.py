"""Floating IP pools: the subnets that floating IPs can come from."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, or_, select

from weft import errors
from weft.registry import types as t
from weft.registry import types_address as addresses
from weft.registry.attributes import read_only
from weft.registry.resource import Resource, Row
from weft.registry.strategy import Strategy
from weft.resources.network import NETWORKS
from weft.resources.subnet import SUBNETS
from weft.store import access
from weft.store.transaction import Transaction

POOLS: Any = (
    select(
        SUBNETS.c.id.label("subnet_id"),
        SUBNETS.c.name.label("subnet_name"),
        SUBNETS.c.network_id,
        SUBNETS.c.cidr,
        NETWORKS.c.project_id.label("owner"),
    )
    .join(NETWORKS, NETWORKS.c.id == SUBNETS.c.network_id)
    .where(NETWORKS.c.router_external, SUBNETS.c.ip_version == 4)
    .subquery("floatingip_pools")
)
"""The IPv4 subnets of external networks."""


class PoolStrategy(Strategy):
    """A view of subnets. Every caller sees a pool as his own project's."""

    def visible(self) -> ColumnElement[bool]:
        return or_(POOLS.c.owner == access.caller, access.granted(POOLS.c.network_id, (access.SHARED, access.EXTERNAL)))

    def view(self, tx: Transaction, row: Row) -> None:
        row["project_id"] = tx.context.project_id


FLOATINGIP_POOL = Resource(
    member="floatingip_pool",
    collection="floatingip_pools",
    attributes=(
        read_only("subnet_id", t.uuid, filter=False),
        read_only("subnet_name", t.name_string, filter=False),
        read_only("project_id", t.project_id, filter=False),
        read_only("tenant_id", t.project_id, filter=False),
        read_only("network_id", t.uuid, filter=False),
        read_only("cidr", addresses.cidr, filter=False),
    ),
    table=POOLS,
    strategy=PoolStrategy(),
    not_found=errors.NotFound,
    operations=frozenset({"list"}),
    pagination=False,
    extension="floatingip-pools",
)
