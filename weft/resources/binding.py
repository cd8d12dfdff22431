"""Where and how a port is attached: binding:host_id, vnic_type, profile in; vif_type and vif_details out."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from weft import errors
from weft.registry.resource import Row
from weft.resources import segment
from weft.store.transaction import Transaction

UNBOUND, FAILED = "unbound", "binding_failed"
FREE = frozenset({UNBOUND, FAILED})
"""vif_type of ports that are attached nowhere."""
ASKED = ("binding:host_id", "binding:vnic_type", "binding:profile")
LARGEST_PROFILE = 4095
"""Characters of binding:profile as JSON."""


def differs(old: Row, new: Row) -> bool:
    """The port is to be attached in another way, or the last attempt failed and may now succeed."""
    return any(new[name] != old[name] for name in ASKED) or (
        new["binding:vif_type"] == FAILED and bool(new["binding:host_id"])
    )


def refuse_change(old: Row, new: Row) -> None:
    """Raise what an attached port does not allow."""
    if new["binding:vnic_type"] != old["binding:vnic_type"] and old["binding:vif_type"] != UNBOUND:
        raise errors.PortInUse(id=old["id"], network_id=old["network_id"], device_id=old["device_id"])


def bind(tx: Transaction, row: Row) -> None:
    """Attach the port on paper, or say why not; the dataplane of its host then does it. Changes `row` in place."""
    row["status"] = "DOWN" if row["status"] != "N/A" else row["status"]
    vif_type, details, row["status_reason"] = attempt(tx, row)
    row["binding:vif_type"], row["binding:vif_details"] = vif_type, details


def attempt(tx: Transaction, row: Row) -> tuple[str, dict[str, Any], str]:
    """(vif_type, vif_details, reason why not) of the port if it were bound as `row` says."""
    if not row["binding:host_id"]:
        return UNBOUND, {}, ""
    if tx.environment.bind is None:
        return FAILED, {}, f"no agent on host {row['binding:host_id']}"
    table = segment.SEGMENTS
    found = tx.all(select(table).where(table.c.network_id == row["network_id"]).order_by(table.c.position))
    result = tx.environment.bind(tx, row, [dict(one._mapping) for one in found])
    if hasattr(result, "reason"):
        return FAILED, {}, result.reason[:255]
    refusal = _qos_refusal(tx, row)
    if refusal:
        return FAILED, {}, refusal[:255]
    return result.vif_type, dict(result.vif_details), ""


def _qos_refusal(tx: Transaction, row: Row) -> str:
    if not row["qos_policy_id"] and not row["qos_network_policy_id"]:
        return ""
    from weft.resources import qos_attachment  # asks which ports are bound, of this module

    return qos_attachment.refused_by_host(tx, row)
