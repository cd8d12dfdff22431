"""Floating IPs: addresses of an external network that lead to a port inside."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Column, ForeignKey, String, Table, UniqueConstraint, select

from weft import errors
from weft.registry import types as t
from weft.registry import types_address as addresses
from weft.registry import types_dns as dns
from weft.registry.attributes import REQUIRED, Attribute, read_only
from weft.registry.resource import Resource, Row
from weft.registry.strategy import Strategy
from weft.resources import standard
from weft.store.schema import ID, METADATA, identity
from weft.store.schema import standard as standard_columns
from weft.store.transaction import Transaction

FLOATINGIPS = Table(
    "floatingips",
    METADATA,
    *identity(),
    Column("floating_network_id", ID, ForeignKey("networks.id"), nullable=False, index=True),
    Column("floating_ip_address", String(45), nullable=False, index=True),
    Column("floating_port_id", ID, ForeignKey("ports.id"), nullable=False, unique=True),
    Column("port_id", ID, ForeignKey("ports.id"), index=True),
    Column("fixed_ip_address", String(45)),
    Column("router_id", ID, ForeignKey("routers.id"), index=True),
    Column("status", String(16), nullable=False, default="DOWN"),
    *standard_columns(),
    UniqueConstraint("port_id", "fixed_ip_address", "floating_network_id"),
)

ATTRIBUTES = (
    read_only("id", t.uuid, sort=True, primary_key=True),
    Attribute("floating_ip_address", addresses.ip_or_none, default=None, put=False, sort=True, policy=True),
    Attribute("subnet_id", t.uuid_or_none, default=None, put=False, visible=False, filter=False),
    Attribute("floating_network_id", t.uuid, default=REQUIRED, put=False, sort=True),
    read_only("router_id", t.uuid_or_none, sort=True),
    Attribute("port_id", t.uuid_or_none, default=None, required_by_policy=True),
    Attribute("fixed_ip_address", addresses.ip_or_none, default=None, sort=True),
    *standard.project(),
    read_only("status", t.string(16), sort=True),
    Attribute("dns_name", dns.relative_dns_name, default="", put=False, filter=False, extension="dns-integration"),
    Attribute("dns_domain", dns.dns_domain, default="", put=False, filter=False, extension="dns-integration"),
    read_only("port_details", t.anything, filter=False, extension="fip-port-details"),
    read_only("port_forwardings", t.anything, filter=False, extension="expose-port-forwarding-in-fip"),
    *standard.stamps(),
)


class FloatingIPStrategy(Strategy):
    """Floating IPs; see behaviours section 11 of the API's facts."""


def exists(tx: Transaction, id: str) -> bool:
    """There is a floating IP with that id, whoever owns it."""
    return tx.first(select(FLOATINGIPS.c.id).where(FLOATINGIPS.c.id == id)) is not None


def release_port(tx: Transaction, row: Row) -> None:
    """The port is about to be deleted: what leads to it lets go of it."""


def refuse_loss(tx: Transaction, port_id: str, gone: Sequence[str]) -> None:
    """The port is about to lose the addresses `gone`; a floating IP holds the one that it leads to."""


FLOATINGIP = Resource(
    member="floatingip",
    collection="floatingips",
    attributes=ATTRIBUTES,
    table=FLOATINGIPS,
    strategy=FloatingIPStrategy(),
    not_found=errors.FloatingIPNotFound,
    tags=True,
    strict_marker=True,
    quota="floatingip",
    extension="router",
    internal=("floating_port_id",),
)
