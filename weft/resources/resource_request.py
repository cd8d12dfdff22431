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
MINIMUMS = {"minimum_bandwidth": ("min_kbps", BANDWIDTH), "minimum_packet_rate": ("min_kpps", PACKETS)}
"""Type of rules -> where their amount stands, and the resource class of each direction. A group of its own each."""
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
    return of_kind(policy["rules"], kind) if policy else []


def of_kind(rules: Sequence[Row], kind: str) -> list[Row]:
    """Those rules of a policy that make one group."""
    return [rule for rule in rules if rule["type"] == kind]


def group_id(port_id: str, rules: Sequence[Row]) -> str:
    """The id of the group that these rules of a port's policy make."""
    return str(uuid5(UUID(port_id), ":".join(str(rule["id"]) for rule in rules)))


def resources(rules: Sequence[Row], kind: str) -> dict[str, int]:
    """How much of what that group asks for."""
    amount, classes = MINIMUMS[kind]
    return {classes[rule["direction"]]: rule[amount] for rule in rules}


def _request(port: Row, policies: Mapping[str, Row], traits: Mapping[str, str]) -> dict[str, Any] | None:
    found = {kind: _rules(port, policies, kind) for kind in MINIMUMS}
    vnic = vnic_trait(port["binding:vnic_type"])
    required = {"minimum_bandwidth": [traits.get(port["network_id"], ""), vnic], "minimum_packet_rate": [vnic]}
    groups = [
        {"id": group_id(port["id"], rules), "required": required[kind], "resources": resources(rules, kind)}
        for kind, rules in found.items()
        if rules and all(required[kind])
    ]
    return {"request_groups": groups, "same_subtree": [group["id"] for group in groups]} if groups else None


def _network_traits(tx: Transaction, ids: set[str]) -> dict[str, str]:
    """The trait of what carries each network; only its first segment counts. Local networks have none."""
    statement = select(SEGMENTS.c.network_id, SEGMENTS.c.network_type, SEGMENTS.c.physical_network)
    found: dict[str, str] = {}
    for row in tx.all(statement.where(SEGMENTS.c.network_id.in_(sorted(ids))).order_by(SEGMENTS.c.position.desc())):
        found.pop(row.network_id, None)
        if row.physical_network:
            found[row.network_id] = physnet_trait(row.physical_network)
        elif row.network_type in TUNNELS:
            found[row.network_id] = TUNNELLED
    return found


def physnet_trait(physical_network: str) -> str:
    """What a device has that is connected to that physical network."""
    return f"CUSTOM_PHYSNET_{_trait(physical_network)}"


def vnic_trait(vnic_type: str) -> str:
    """What a device has on which there can be such ports."""
    return f"CUSTOM_VNIC_TYPE_{_trait(vnic_type)}"


def _trait(name: str) -> str:
    """Upper case, and _ for what a trait may not contain."""
    return re.sub(r"[^A-Z0-9_]", "_", name.upper())
