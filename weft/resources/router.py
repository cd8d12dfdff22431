"""Routers: what connects networks with each other and with the outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from sqlalchemy import JSON, Boolean, Column, ColumnElement, ForeignKey, String, Table, select

from weft import errors
from weft.ipam.allocate import ALLOCATIONS
from weft.registry import types as t
from weft.registry import types_address as addresses
from weft.registry import types_network as net
from weft.registry.attributes import UNSET, Attribute, read_only
from weft.registry.resource import Resource, Row
from weft.registry.strategy import Strategy
from weft.resources import port, router_gateway, standard
from weft.store.schema import ID, METADATA, identity, json_array, json_object
from weft.store.schema import standard as standard_columns
from weft.store.transaction import Transaction

ROUTERS = Table(
    "routers",
    METADATA,
    *identity(),
    Column("name", String(255), nullable=False, default=""),
    Column("admin_state_up", Boolean, nullable=False, default=True),
    Column("status", String(16), nullable=False, default="ACTIVE"),
    Column("gw_port_id", ID, ForeignKey("ports.id"), unique=True),
    Column("enable_snat", Boolean, nullable=False, default=True),
    Column("distributed", Boolean, nullable=False, default=False),
    Column("ha", Boolean, nullable=False, default=False),
    Column("routes", JSON, nullable=False),
    Column("availability_zone_hints", JSON, nullable=False),
    *standard_columns(),
)

ATTRIBUTES = (
    read_only("id", t.uuid, sort=True, primary_key=True),
    Attribute("name", t.name_string, default="", sort=True),
    Attribute("admin_state_up", t.boolean, default=True, sort=True),
    read_only("status", t.string(16), filter=False, sort=True),
    *standard.project(),
    Attribute("external_gateway_info", net.external_gateway_info, default=None, filter=False, policy=True),
    # The flags are kept and shown. Their extensions (dvr, l3-ha) promise a dataplane, so they are not named here.
    Attribute("distributed", t.boolean_or_none, default=UNSET, filter=False, policy=True),
    Attribute("ha", t.boolean_or_none, default=UNSET, filter=False, policy=True),
    Attribute("routes", addresses.routes, post=False, filter=False, extension="extraroute"),
    read_only("availability_zones", t.anything, filter=False, extension="router_availability_zone"),
    Attribute(
        "availability_zone_hints",
        net.availability_zone_hints,
        default=[],
        put=False,
        filter=False,
        extension="router_availability_zone",
    ),
    *standard.stamps(),
)


class RouterStrategy(Strategy):
    """Routers; see behaviours section 10 of the API's facts."""

    def columns(self) -> Mapping[str, ColumnElement[Any]]:
        gateway = port.PORTS.c.id == ROUTERS.c.gw_port_id
        fixed = json_object("subnet_id", ALLOCATIONS.c.subnet_id, "ip_address", ALLOCATIONS.c.ip_address)
        return {
            "_gateway_network": select(port.PORTS.c.network_id).where(gateway).correlate(ROUTERS).scalar_subquery(),
            "_gateway_ips": select(json_array(fixed))
            .where(ALLOCATIONS.c.port_id == ROUTERS.c.gw_port_id)
            .correlate(ROUTERS)
            .scalar_subquery(),
        }

    def view(self, tx: Transaction, row: Row) -> None:
        row["external_gateway_info"] = router_gateway.info(row)
        row["availability_zones"] = tx.once(("zones", "router"), lambda: standard.zones(tx, "router"))

    def prepare(self, tx: Transaction, values: Row) -> None:
        values["id"] = str(uuid4())
        values["status"] = "ACTIVE"
        values["routes"] = []
        for flag, default in (("distributed", tx.config.api.router_distributed), ("ha", tx.config.api.l3_ha)):
            if values.get(flag) is None:
                values[flag] = default
        values["gw_port_id"], values["enable_snat"] = None, tx.config.api.enable_snat_by_default
        values["_gateway_network"], values["_gateway_ips"] = None, []

    def validate(self, tx: Transaction, new: Row, old: Row | None) -> None:
        if old is None:
            standard.check_zone_hints(tx, "router", new["availability_zone_hints"])

    def write(self, tx: Transaction, row: Row) -> None:
        router_gateway.change(tx, row, row["external_gateway_info"])
        tx.insert(self.resource, row)
        self.view(tx, row)


def owner(tx: Transaction, id: str) -> str | None:
    """The project of a router, whoever asks; None where there is no such router."""
    found = tx.first(select(ROUTERS.c.project_id).where(ROUTERS.c.id == id))
    return str(found[0]) if found else None


def give_gateways_addresses(tx: Transaction, subnet: Row) -> None:
    """An external network got a new subnet: gateways on it that have no address of its IP version get one there."""


ROUTER = Resource(
    member="router",
    collection="routers",
    attributes=ATTRIBUTES,
    table=ROUTERS,
    strategy=RouterStrategy(),
    not_found=errors.RouterNotFound,
    tags=True,
    strict_marker=True,
    quota="router",
    extension="router",
    internal=("gw_port_id", "enable_snat"),
)
