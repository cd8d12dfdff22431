"""The inner sides of routers: adding and removing ports on the networks that they connect."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Table

from weft.store.schema import ID, METADATA

ROUTER_PORTS = Table(
    "router_ports",
    METADATA,
    Column("port_id", ID, ForeignKey("ports.id", ondelete="CASCADE"), primary_key=True),
    Column("router_id", ID, ForeignKey("routers.id"), nullable=False, index=True),
)
"""The interfaces of routers. (A port may claim by its device_id to belong to a router; this table says which do.)"""
