"""What extensions let people say about a port for others to act on (hypervisors, operators), and private VLANs.

Rules: facts of the API, behaviours section 23.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import JSON, Boolean, Column, String, bindparam, update

from weft import errors
from weft.registry import types as t
from weft.registry import types_network as net
from weft.registry.attributes import Attribute, Default
from weft.registry.resource import Row
from weft.resources import network
from weft.store.transaction import Transaction

PROMISCUOUS, COMMUNITY = "promiscuous", "community"


def columns() -> list[Column[Any]]:
    """Their columns of the table of ports."""
    return [
        Column("data_plane_status", String(16)),
        Column("device_profile", String(255)),
        Column("hardware_offload_type", String(64)),
        Column("hints", JSON(none_as_null=True)),
        Column("numa_affinity_policy", String(16)),
        Column("propagate_uplink_status", Boolean, nullable=False, default=True),
        Column("trusted", Boolean),
        Column("pvlan_type", String(16)),
        Column("pvlan_community", String(255)),
    ]


ATTRIBUTES = (
    Attribute(
        "data_plane_status",
        net.data_plane_status,
        post=False,
        filter=False,
        policy=True,
        extension="data-plane-status",
    ),
    Attribute(
        "device_profile",
        t.string_or_none(255),
        default=None,
        put=False,
        filter=False,
        extension="port-device-profile",
    ),
    Attribute(
        "hardware_offload_type",
        net.hardware_offload_type,
        put=False,
        filter=False,
        policy=True,
        extension="port-hardware-offload-type",
    ),
    Attribute("hints", net.hints, default=None, filter=False, policy=True, extension="port-hints"),
    Attribute(
        "numa_affinity_policy",
        net.numa_affinity_policy,
        default=None,
        filter=False,
        extension="port-numa-affinity-policy",
    ),
    Attribute(
        "propagate_uplink_status",
        t.boolean,
        default=True,
        filter=False,
        extension="uplink-status-propagation",
    ),
    Attribute("trusted", t.boolean, filter=False, policy=True, extension="port-trusted-vif"),
    Attribute("pvlan_type", net.pvlan_type, default=None, extension="pvlan"),
    Attribute("pvlan_community", net.pvlan_community, default=None, filter=False, extension="pvlan"),
)

SHIMS = (
    "port-hint-ovs-tx-steering",
    "port-mac-override",
    "port-numa-affinity-policy-socket",
    "port-security-groups-filtering",
    "uplink-status-propagation-updatable",
)

DEFAULTS: Mapping[str, Any] = {
    one.name: None if isinstance(one.default, Default) else one.default for one in ATTRIBUTES
}
"""Values of ports that nobody says anything about."""


def prepare(tx: Transaction, values: Row, on: Row) -> None:
    """Complete a new port on the network `on`."""
    for name, value in DEFAULTS.items():
        values.setdefault(name, value)
    if values["pvlan_type"] is None and on["pvlan"]:
        values["pvlan_type"] = PROMISCUOUS
    _check_pvlan(values, on, values["pvlan_community"])
    mirror(values)


def prepare_update(tx: Transaction, old: Row, changes: Row, new: Row) -> None:
    """Complete what follows from `changes`, or raise why they may not be."""
    if new["numa_affinity_policy"] != old["numa_affinity_policy"] and old["binding:host_id"]:
        raise errors.PortBoundNUMAAffinityPolicy(
            id=old["id"], host=old["binding:host_id"], numa_affinity_policy=new["numa_affinity_policy"]
        )
    mirror(new)
    if changes.keys() & {"pvlan_type", "pvlan_community", "port_security_enabled"}:
        on = tx.get(network.NETWORK, old["network_id"], everybody=True)
        if new["pvlan_type"] is None and on["pvlan"]:
            new["pvlan_type"] = PROMISCUOUS
        if new["pvlan_type"] != COMMUNITY:
            new["pvlan_community"] = None
        _check_pvlan(new, on, changes.get("pvlan_community") or new["pvlan_community"])


def mirror(row: Row) -> None:
    """Hypervisors read in binding:profile what these attributes say."""
    if row["trusted"] is not None:
        row["binding:profile"] = {**row["binding:profile"], "trusted": row["trusted"]}
    if row["hardware_offload_type"]:
        known = row["binding:profile"].get("capabilities")
        capabilities = list(known) if isinstance(known, list) else []
        if row["hardware_offload_type"] not in capabilities:
            capabilities.append(row["hardware_offload_type"])
        row["binding:profile"] = {**row["binding:profile"], "capabilities": capabilities}


# Private VLANs: who on a network may speak to whom.


def _check_pvlan(row: Row, on: Row, community: str | None) -> None:
    if on["pvlan"] and not row["port_security_enabled"] and not row["device_owner"].startswith("network:"):
        raise errors.PVLANPortSecurityDisabled(port_id=row["id"])
    if not on["pvlan"] and (row["pvlan_type"] or community):
        raise errors.PVLANNotEnabledOnNetwork(network_id=on["id"])
    if community and row["pvlan_type"] != COMMUNITY:
        raise errors.PVLANCannotSetCommunityName(port_id=row["id"])
    if row["pvlan_type"] == COMMUNITY and not community:
        raise errors.PVLANCommunityNameRequired(port_id=row["id"])


def switch_pvlan(tx: Transaction, on: Row) -> None:
    """The network has become a private VLAN, or is none any more: what its ports are in it follows."""
    from weft.resources.port import PORT, PORTS

    changed = {"pvlan_type": PROMISCUOUS if on["pvlan"] else None, "pvlan_community": None}
    rows = tx.list(PORT, PORTS.c.network_id == on["id"])
    for row in rows:
        _check_pvlan({**row, **changed}, on, None)
    values = {**changed, "updated_at": tx.now, "revision_number": PORTS.c.revision_number + 1}
    tx.execute(update(PORTS).where(PORTS.c.network_id == bindparam("on")).values(**values), {"on": on["id"]})
    for row in rows:
        new = {**row, **changed, "updated_at": tx.now, "revision_number": row["revision_number"] + 1}
        tx.record(PORT, new, "update")
