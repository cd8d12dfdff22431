"""Where and how a port is attached: binding:host_id, vnic_type, profile in; vif_type and vif_details out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

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


def attached_by(vif_details: Mapping[str, Any]) -> str:
    """The backend that attached a port which has these details; '' where none did."""
    return str(vif_details.get("bound_drivers", {}).get("0", ""))


def refuse_change(old: Row, new: Row) -> None:
    """Raise what an attached port does not allow."""
    if new["binding:vnic_type"] != old["binding:vnic_type"] and old["binding:vif_type"] != UNBOUND:
        raise errors.PortInUse(id=old["id"], network_id=old["network_id"], device_id=old["device_id"])


def bind(tx: Transaction, row: Row) -> None:
    """Attach the port on paper, or say why not; the dataplane of its host then does it. Changes `row` in place."""
    row["status"] = "DOWN" if row["status"] != "N/A" else row["status"]
    made = attempt(tx, row)
    row["binding:vif_type"], row["binding:vif_details"] = made.vif_type, made.vif_details
    row["status_reason"], row["binding_segment_id"] = made.reason, made.segment_id


class Attempt(NamedTuple):
    """How a port would be attached, and to which segment; or the reason why not."""

    vif_type: str
    vif_details: dict[str, Any]
    reason: str = ""
    segment_id: str | None = None


def attempt(tx: Transaction, row: Row) -> Attempt:
    """What would come of it if the port were bound as `row` says."""
    if not row["binding:host_id"]:
        return Attempt(UNBOUND, {})
    if tx.environment.bind is None:
        return Attempt(FAILED, {}, f"no agent on host {row['binding:host_id']}")
    segments = segment.of_network(tx, row["network_id"])
    result = tx.environment.bind(tx, row, segments)
    if hasattr(result, "reason"):
        return Attempt(FAILED, {}, result.reason[:255])
    on, refusal = _segment(tx, row, segments, result.segment)
    refusal = refusal or _qos_refusal(tx, row)
    if refusal:
        return Attempt(FAILED, {}, refusal[:255])
    return Attempt(result.vif_type, dict(result.vif_details), "", on)


def _segment(tx: Transaction, row: Row, segments: Sequence[Row], chosen: Any) -> tuple[str | None, str]:
    """(id of the segment that the port is on, why it cannot be there). `chosen` None: the backend does not say which."""
    names = ("network_type", "physical_network", "segmentation_id")
    alike = [one["id"] for one in segments if chosen and all(one[name] == getattr(chosen, name) for name in names)]
    if not row["fixed_ips"] or not any(one["routed"] for one in segments):
        return next(iter([*alike, *(one["id"] for one in segments)]), None), ""
    from weft.resources import routed  # asks of subnets, which know their network, which knows bindings

    return routed.place(tx, row, alike)


def _qos_refusal(tx: Transaction, row: Row) -> str:
    if not row["qos_policy_id"] and not row["qos_network_policy_id"]:
        return ""
    from weft.resources import qos_attachment  # asks which ports are bound, of this module

    return qos_attachment.refused_by_host(tx, row)
