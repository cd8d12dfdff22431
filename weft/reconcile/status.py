"""What backends report becomes the status that the API shows, with the reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import bindparam, select, update

from weft.backends.interface import Report, Status, apart
from weft.ipam.allocate import ROUTER_OWNERS
from weft.logical.model import LogicalRouter
from weft.resources import binding, trunk
from weft.resources.floatingip import FLOATINGIP, FLOATINGIPS
from weft.resources.port import PORT, PORTS
from weft.store.transaction import Transaction

ACTIVE, DOWN = "ACTIVE", "DOWN"
LONGEST_REASON = 255
LEG_OWNERS = sorted({*ROUTER_OWNERS, "network:router_gateway"})


def write(
    tx: Transaction, report: Report, routers: Mapping[str, LogicalRouter], host: str, backend: str = "ovn"
) -> int:
    """Write what `report` says where it differs from what the API shows; returns how many objects moved.

    A router's status is that of its legs and of its floating IPs; the router itself stays ACTIVE, as in the API. Of
    workloads' ports those count that `tells` names: others are somebody else's to report.
    """
    ports: dict[str, Status] = {}
    legs: dict[str, Status] = {}
    floating: dict[str, Status] = {}
    on: dict[str, str] = {}
    for key, status in report.status.items():
        if key.kind == "port":
            ports[key.id] = status
        elif key.kind == "router" and key.id in routers:
            value = routers[key.id]
            legs.update({leg.id: status for leg in value.legs})
            on.update({leg.id: leg.switch for leg in value.legs})
            floating.update({nat.id: status for nat in value.nats})
            floating.update(_forwarded(value, status))
    legs |= _cut_off(tx, {leg: on[leg] for leg, status in legs.items() if status.up}, backend)
    moved = _write_ports(tx, ports, lambda row: tells(host, backend, row.binding_host_id, row.binding_vif_details))
    trunk.refresh(tx, moved)
    return len(moved) + len(_write_ports(tx, legs, lambda row: True)) + _write_floating(tx, floating)


def _cut_off(tx: Transaction, legs: Mapping[str, str], backend: str) -> dict[str, Status]:
    """Of legs that are up (and the networks they are in) those whose neighbours are all behind another backend's tunnels."""
    carried = binding.carriers(tx, set(legs.values())) if legs else {}
    others = {network: min(by) for network, by in carried.items() if backend not in by}
    reasons = {leg: f"its router is made by {apart(backend, others[on])}" for leg, on in legs.items() if on in others}
    return {leg: Status(False, reason) for leg, reason in reasons.items()}


def tells(host: str, backend: str, bound_to: str, vif_details: Mapping[str, Any]) -> bool:
    """Whether the status of a workload's port is for this process to tell.

    That of `host` tells of what is bound there. One that makes all hosts of `backend` ('' for `host`) tells of what that
    backend attached and of ports that are bound nowhere. So each has one who tells; where a binding failed on a host of
    no agent, nobody does, and the reason why stays.
    """
    return bound_to == host if host else not bound_to or binding.attached_by(vif_details) == backend


def _forwarded(value: LogicalRouter, status: Status) -> dict[str, Status]:
    """Of the floating IPs that it forwards ports of: as the router's, unless nothing is forwarded by their gateway."""
    reasons = {one.floating_ip: status.unforwarded.get(one.gateway_port, "") for one in value.forwardings}
    return {id: Status(False, reason) if reason else status for id, reason in reasons.items()}


def _write_ports(tx: Transaction, found: Mapping[str, Status], counts: Callable[[Any], bool]) -> list[str]:
    """Returns the ids of those that moved."""
    moved = []
    ids = sorted(found)
    for start in range(0, len(ids), 500):
        statement = select(
            PORTS.c.id,
            PORTS.c.project_id,
            PORTS.c.status,
            PORTS.c.status_reason,
            PORTS.c.revision_number,
            PORTS.c.device_id,
            PORTS.c.device_owner,
            PORTS.c.binding_host_id,
            PORTS.c.binding_vif_details,
        )
        for row in filter(counts, tx.all(statement.where(PORTS.c.id.in_(ids[start : start + 500])))):
            wanted, reason = _shown(found[row.id])
            if (row.status, row.status_reason) == (wanted, reason):
                continue
            tx.execute(
                update(PORTS).where(PORTS.c.id == bindparam("row_id")),
                {
                    "row_id": row.id,
                    "status": wanted,
                    "status_reason": reason,
                    "updated_at": tx.now,
                    "revision_number": row.revision_number + 1,
                },
            )
            old = {**row._mapping, "binding:host_id": row.binding_host_id}
            tx.record(PORT, {**old, "status": wanted, "revision_number": row.revision_number + 1}, "status", old)
            moved.append(row.id)
    return moved


def _shown(status: Status) -> tuple[str, str]:
    """`status` and `status_reason` as the API has them."""
    return (ACTIVE, "") if status.up else (DOWN, status.reason[:LONGEST_REASON])


def _write_floating(tx: Transaction, found: Mapping[str, Status]) -> int:
    if not found:
        return 0
    moved = 0
    table = FLOATINGIPS.c
    columns = (table.id, table.project_id, table.status, table.status_reason, table.revision_number, table.port_id)
    for row in tx.all(select(*columns).where(FLOATINGIPS.c.id.in_(sorted(found)))):
        wanted, reason = _shown(found[row.id])
        if (row.status, row.status_reason) == (wanted, reason):
            continue
        values = {"status": wanted, "status_reason": reason, "revision_number": row.revision_number + 1}
        statement = update(FLOATINGIPS).where(FLOATINGIPS.c.id == bindparam("row_id"))
        tx.execute(statement, {"row_id": row.id, "updated_at": tx.now, **values})
        tx.record(FLOATINGIP, {**row._mapping, "revision_number": row.revision_number + 1}, "status")
        moved += 1
    return moved
