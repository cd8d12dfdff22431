"""The outer side of routers: the port on an external network through which their default route leads."""

from __future__ import annotations

from typing import Any

from weft.registry.resource import Row
from weft.store.transaction import Transaction


def info(row: Row) -> dict[str, Any] | None:
    """external_gateway_info of a router as the API shows it."""
    if not row["_gateway_network"]:
        return None
    fixed = sorted(row["_gateway_ips"], key=lambda one: str(one["ip_address"]))
    return {
        "network_id": row["_gateway_network"],
        "external_fixed_ips": fixed,
        "enable_snat": bool(row["enable_snat"]),
    }


def change(tx: Transaction, row: Row, wanted: dict[str, Any] | None) -> None:
    """Make the router's gateway as `wanted`."""
