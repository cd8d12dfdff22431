"""Routers that no agent hosts: their legs and floating IPs are down, and say why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import or_, select, update

from weft.registry.resource import Row
from weft.resources import floatingip, port, router_gateway, router_interface
from weft.store.transaction import Transaction

DOWN = "DOWN"
REASON = "The router is on no L3 agent that may work."


def rest(tx: Transaction, routers: Sequence[Row]) -> None:
    """These routers forward nothing until they are hosted again. A constant number of statements apart from what moves."""
    ids = [row["id"] for row in routers]
    if not ids:
        return
    gateways = [one["port_id"] for row in routers for one in router_gateway.held(row)]
    legs = select(router_interface.ROUTER_PORTS.c.port_id).where(router_interface.ROUTER_PORTS.c.router_id.in_(ids))
    mine = or_(port.PORTS.c.id.in_(legs), port.PORTS.c.id.in_(gateways))
    for row in tx.list(port.PORT, mine, port.PORTS.c.status != DOWN):
        _write(tx, port.PORT, row, status=DOWN, status_reason=REASON)
    of_them = floatingip.FLOATINGIPS.c.router_id.in_(ids)
    for row in tx.list(floatingip.FLOATINGIP, of_them, floatingip.FLOATINGIPS.c.status != DOWN):
        _write(tx, floatingip.FLOATINGIP, row, status=DOWN, status_reason=REASON)


def _write(tx: Transaction, resource: Any, old: Row, **values: str) -> None:
    new = {**old, **values, "revision_number": old["revision_number"] + 1}
    moment = {"updated_at": tx.now, "revision_number": new["revision_number"]}
    table = resource.table
    tx.execute(update(table).where(table.c.id == old["id"]).values(**values, **moment))
    tx.record(resource, new, "status", old)
