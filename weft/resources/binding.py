"""Where and how a port is attached: binding:host_id, vnic_type, profile in; vif_type and vif_details out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Select, bindparam, exists, select, update

from weft import errors
from weft.registry.resource import Row
from weft.resources import segment
from weft.store.schema import Texts, among
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


def carriers(tx: Transaction, networks: Iterable[str], but: str = "") -> dict[str, set[str]]:
    """Network -> the backends that have attached its workloads (`but` one port's), of those that tunnels alone carry.

    Tunnels of two backends do not meet: there should be one, and it is that of whoever was attached first.
    """
    found: dict[str, set[str]] = {}
    for row in tx.all(_carriers().distinct(), {"networks": sorted(networks), "but": but}):
        found.setdefault(row.network_id, set()).add(row.backend or "")
    return found


def claim(tx: Transaction, network_id: str, but: str = "") -> dict[str, set[str]]:
    """As `carriers` of a network that had none. Of two who attach its first port at once one waits, and finds the other's;
    or begins anew, where a transaction goes on seeing what it saw."""
    from weft.resources.network import NETWORKS

    same = {"revision_number": NETWORKS.c.revision_number}
    tx.execute(update(NETWORKS).where(NETWORKS.c.id == network_id).values(same))
    return carriers(tx, [network_id], but)


@cache
def _carriers() -> Select[Any]:
    from weft.resources.port import PORTS

    by = PORTS.c.binding_vif_details["bound_drivers"]["0"].as_string().label("backend")
    on = segment.SEGMENTS.c
    reached = on.physical_network.is_not(None) | (on.network_type == "local")
    return select(PORTS.c.network_id, by).where(
        among(PORTS.c.network_id, bindparam("networks", type_=Texts)),
        PORTS.c.id != bindparam("but"),
        PORTS.c.binding_vif_type.not_in(sorted(FREE)),
        PORTS.c.device_owner.not_like("network:%"),
        ~exists().where(on.network_id == PORTS.c.network_id, reached),
    )


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
