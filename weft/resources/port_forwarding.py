"""Port forwardings: single ports of a floating IP that lead to ports of different hosts inside."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, String, Table

from weft import errors
from weft.registry import types as t
from weft.registry import types_address as addresses
from weft.registry import types_rule as rule
from weft.registry.attributes import REQUIRED, Attribute, read_only
from weft.registry.resource import Parent, Resource
from weft.registry.strategy import Strategy
from weft.resources import floatingip
from weft.store.schema import ID, METADATA, identity

PORT_FORWARDINGS = Table(
    "port_forwardings",
    METADATA,
    *identity(),
    Column("floatingip_id", ID, ForeignKey("floatingips.id"), nullable=False, index=True),
    Column("protocol", String(16), nullable=False),
    Column("external_port", Integer),
    Column("external_port_range", String(11)),
    Column("internal_port", Integer),
    Column("internal_port_range", String(11)),
    Column("internal_ip_address", String(45), nullable=False),
    Column("internal_port_id", ID, ForeignKey("ports.id"), nullable=False),
    Column("description", String(1024), nullable=False, default=""),
    Index("ix_port_forwardings_internal", "internal_port_id", "internal_ip_address", "protocol"),
)

ATTRIBUTES = (
    read_only("id", t.uuid, sort=True, primary_key=True),
    Attribute("project_id", t.project_id, default=REQUIRED, put=False, visible=False, filter=False, required_by_policy=True),
    Attribute("external_port", t.port_number_or_none, default=None, sort=True),
    Attribute("internal_port", t.port_number_or_none, default=None, filter=False),
    Attribute("internal_ip_address", addresses.ip, default=REQUIRED, filter=False),
    Attribute("protocol", rule.port_protocol, default=REQUIRED, sort=True),
    Attribute("internal_port_id", t.uuid, default=REQUIRED, sort=True),
    Attribute("description", t.long_description, default="", extension="floating-ip-port-forwarding-description"),
    Attribute(
        "external_port_range",
        rule.port_range_or_none,
        default=None,
        sort=True,
        extension="floating-ip-port-forwarding-port-ranges",
    ),
    Attribute(
        "internal_port_range",
        rule.port_range_or_none,
        default=None,
        filter=False,
        extension="floating-ip-port-forwarding-port-ranges",
    ),
    read_only("tenant_id", t.project_id, visible=False, filter=False, required_by_policy=True),
)


class PortForwardingStrategy(Strategy):
    """Port forwardings; see behaviours section 12 of the API's facts."""


PORT_FORWARDING = Resource(
    member="port_forwarding",
    collection="port_forwardings",
    attributes=ATTRIBUTES,
    table=PORT_FORWARDINGS,
    strategy=PortForwardingStrategy(),
    not_found=errors.PortForwardingNotFound,
    parent=Parent(floatingip.FLOATINGIP, "floatingip_id"),
    bulk=True,
    strict_marker=True,
    extension="floating-ip-port-forwarding",
    shims=("floating-ip-port-forwarding-detail",),
    policy_name="floatingip_port_forwarding",
    internal=("floatingip_id",),
)
