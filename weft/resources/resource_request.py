"""What ports ask of Placement: the minimums of their QoS policies, as groups of resources (API: resource_request)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import select

from weft.logical import qos
from weft.registry.resource import Row
from weft.resources.qos_policy import POLICIES, POLICY
from weft.resources.segment import SEGMENTS
from weft.resources.segment_types import TUNNELS
from weft.store.transaction import Transaction

BANDWIDTH = {"egress": "NET_BW_EGR_KILOBIT_PER_SEC", "ingress": "NET_BW_IGR_KILOBIT_PER_SEC"}
PACKETS = {
    "any": "NET_PACKET_RATE_KILOPACKET_PER_SEC",
    "egress": "NET_PACKET_RATE_EGR_KILOPACKET_PER_SEC",
    "ingress": "NET_PACKET_RATE_IGR_KILOPACKET_PER_SEC",
}
TUNNELLED = "CUSTOM_NETWORK_TUNNEL_PROVIDER"


def fill(tx: Transaction, ports: Sequence[Row]) -> None:
    """Set resource_request of the ports. Reads nothing where none follows a policy, else twice at most."""
    ids = {id for port in ports if (id := qos.effective(port))}
    policies = {row["id"]: row for row in tx.list(POLICY, POLICIES.c.id.in_(sorted(ids)))} if ids else {}
    asking = [port for port in ports if _rules(port, policies, "minimum_bandwidth")]
    traits = _network_traits(tx, {port["network_id"] for port in asking}) if asking else {}
    for port in ports:
        port["resource_request"] = _request(port, policies, traits)


def _rules(port: Row, policies: Mapping[str, Row], kind: str) -> list[Row]:
    policy = policies.get(qos.effective(port) or "")
    return [rule for rule in policy["rules"] if rule["type"] == kind] if policy else []


def _request(port: Row, policies: Mapping[str, Row], traits: Mapping[str, str]) -> dict[str, Any] | None:
    bandwidth, packets = (_rules(port, policies, f"minimum_{kind}") for kind in ("bandwidth", "packet_rate"))
    vnic = f"CUSTOM_VNIC_TYPE_{_trait(port['binding:vnic_type'])}"
    groups = []
    if bandwidth and port["network_id"] in traits:
        wanted = {BANDWIDTH[rule["direction"]]: rule["min_kbps"] for rule in bandwidth}
        groups.append(_group(port, bandwidth, [traits[port["network_id"]], vnic], wanted))
    if packets:
        groups.append(_group(port, packets, [vnic], {PACKETS[rule["direction"]]: rule["min_kpps"] for rule in packets}))
    return {"request_groups": groups, "same_subtree": [group["id"] for group in groups]} if groups else None


def _group(port: Row, rules: Sequence[Row], required: Sequence[str], resources: Mapping[str, int]) -> dict[str, Any]:
    name = ":".join(str(rule["id"]) for rule in rules)
    id = str(uuid5(UUID(port["id"]), name))
    return {"id": id, "required": list(required), "resources": dict(resources)}


def _network_traits(tx: Transaction, ids: set[str]) -> dict[str, str]:
    """The trait of what carries each network; only its first segment counts. Local networks have none."""
    statement = select(SEGMENTS.c.network_id, SEGMENTS.c.network_type, SEGMENTS.c.physical_network)
    found: dict[str, str] = {}
    for row in tx.all(statement.where(SEGMENTS.c.network_id.in_(sorted(ids))).order_by(SEGMENTS.c.position.desc())):
        found.pop(row.network_id, None)
        if row.physical_network:
            found[row.network_id] = f"CUSTOM_PHYSNET_{_trait(row.physical_network)}"
        elif row.network_type in TUNNELS:
            found[row.network_id] = TUNNELLED
    return found


def _trait(name: str) -> str:
    """Upper case, and _ for what a trait may not contain."""
    return re.sub(r"[^A-Z0-9_]", "_", name.upper())
