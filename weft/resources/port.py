"""Ports: what attaches a workload, a router or a floating IP to a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ForeignKey,
    Index,
    String,
    Table,
    UniqueConstraint,
    delete,
    or_,
    select,
)

from weft import errors
from weft.ipam import allocate
from weft.ipam.allocate import ALLOCATIONS
from weft.registry import types as t
from weft.registry import types_address as addresses
from weft.registry import types_dns
from weft.registry import types_network as net
from weft.registry.attributes import REQUIRED, Attribute, read_only
from weft.registry.resource import Resource, Row
from weft.registry.strategy import Strategy
from weft.resources import (
    binding,
    dns,
    network,
    port_addresses,
    port_checks,
    port_extensions,
    port_macs,
    qos_allocations,
    qos_attachment,
    resource_request,
    security_group,
    standard,
)
from weft.store import access
from weft.store.schema import ID, METADATA, identity, json_array, json_object
from weft.store.schema import standard as standard_columns
from weft.store.transaction import Transaction

PORTS = Table(
    "ports",
    METADATA,
    *identity(),
    Column("name", String(255), nullable=False, default=""),
    Column("network_id", ID, ForeignKey("networks.id"), nullable=False),
    Column("mac_address", String(32), nullable=False),
    Column("admin_state_up", Boolean, nullable=False, default=True),
    Column("status", String(16), nullable=False, default="DOWN"),
    Column("status_reason", String(255), nullable=False, default="", server_default=""),
    Column("device_id", String(255), nullable=False, default="", index=True),
    Column("device_owner", String(255), nullable=False, default=""),
    Column("ip_allocation", String(16), nullable=False, default="immediate"),
    Column("port_security_enabled", Boolean, nullable=False, default=True),
    Column("allowed_address_pairs", JSON, nullable=False),
    Column("extra_dhcp_opts", JSON, nullable=False),
    Column("dns_name", String(255), nullable=False, default=""),
    Column("dns_domain", String(255), nullable=False, default=""),
    Column("dns_published", String(255), nullable=False, default="", server_default=""),
    Column("binding_host_id", String(255), nullable=False, default=""),
    Column("binding_vnic_type", String(64), nullable=False, default="normal"),
    Column("binding_profile", JSON, nullable=False),
    Column("binding_vif_type", String(64), nullable=False, default="unbound"),
    Column("binding_vif_details", JSON, nullable=False),
    Column("binding_segment_id", ID),
    *port_extensions.columns(),
    Column("qos_policy_id", ID, ForeignKey("qos_policies.id"), index=True),
    *standard_columns(),
    UniqueConstraint("network_id", "mac_address"),
    Index("ix_ports_network_device_owner", "network_id", "device_owner"),
    Index("ix_ports_binding_host_id", "binding_host_id"),
)

ATTRIBUTES = (
    read_only("id", t.uuid, sort=True, primary_key=True),
    Attribute("name", t.name_string, default="", sort=True),
    Attribute("network_id", t.uuid, default=REQUIRED, put=False, sort=True, required_by_policy=True),
    Attribute("admin_state_up", t.boolean, default=True, sort=True),
    Attribute("mac_address", addresses.mac_or_none, sort=True, policy=True),
    Attribute("fixed_ips", addresses.fixed_ips, policy=True),
    Attribute("device_id", t.string(255), default="", sort=True, policy=True),
    Attribute("device_owner", t.string(255), default="", sort=True, policy=True),
    *standard.project(),
    read_only("status", t.string(16), sort=True),
    read_only("status_reason", t.string(255), filter=False, extension="status-reason"),
    Attribute(
        "allowed_address_pairs", net.allowed_address_pairs, filter=False, policy=True, extension="allowed-address-pairs"
    ),
    Attribute("extra_dhcp_opts", net.extra_dhcp_opts, default=None, filter=False, extension="extra_dhcp_opt"),
    read_only("ip_allocation", t.string(16), sort=True, extension="ip_allocation"),
    read_only("binding:vif_type", t.string(64), filter=False, policy=True, extension="binding"),
    read_only("binding:vif_details", t.anything, filter=False, policy=True, extension="binding"),
    Attribute("binding:vnic_type", net.vnic_type, default="normal", filter=False, policy=True, extension="binding"),
    Attribute("binding:host_id", t.string_or_none(255), policy=True, extension="binding"),
    Attribute("binding:profile", t.dictionary_or_none, filter=False, policy=True, extension="binding"),
    Attribute("port_security_enabled", t.boolean, filter=False, policy=True, extension="port-security"),
    Attribute("dns_name", types_dns.dns_name, default="", filter=False, extension="dns-integration"),
    read_only("dns_assignment", t.anything, filter=False, extension="dns-integration"),
    Attribute("dns_domain", types_dns.dns_domain, default="", filter=False, extension="dns-domain-ports"),
    *port_extensions.ATTRIBUTES,
    read_only("trunk_details", t.anything, filter=False, policy=True, extension="trunk-details"),
    *standard.stamps(tags_in_post=True),
    Attribute("security_groups", net.security_groups, sort=False, extension="security-group"),
    Attribute("qos_policy_id", t.uuid_or_none, default=None, filter=False, policy=True, extension="qos"),
    read_only("qos_network_policy_id", t.uuid_or_none, filter=False, extension="qos-port-network-policy"),
    read_only("resource_request", t.anything, filter=False, extension="port-resource-request"),
)

TRUSTED = "network:"
"""Ports whose device_owner starts so are the network's own: no security groups, no anti-spoofing."""

IN_SERVICE = (
    *sorted(allocate.ROUTER_OWNERS),
    "network:router_gateway",
    "network:floatingip",
    "network:router_ha_interface",
)
"""device_owner of ports that only their router or floating IP may delete."""

_GROUPS = security_group.PORT_BINDINGS


def is_trusted(owner: str) -> bool:
    return owner.startswith(TRUSTED)


class PortStrategy(Strategy):
    """Ports; see behaviours sections 3 to 5 of the API's facts."""

    patient = True

    def columns(self) -> Any:
        from weft.resources import trunk  # trunks know their ports; this is the look the other way

        fixed = json_object("subnet_id", ALLOCATIONS.c.subnet_id, "ip_address", ALLOCATIONS.c.ip_address)
        of_network = network.NETWORKS.c.id == PORTS.c.network_id
        return {
            "fixed_ips": select(json_array(fixed))
            .where(ALLOCATIONS.c.port_id == PORTS.c.id)
            .correlate(PORTS)
            .scalar_subquery(),
            "security_groups": select(json_array(_GROUPS.c.security_group_id))
            .where(_GROUPS.c.port_id == PORTS.c.id)
            .correlate(PORTS)
            .scalar_subquery(),
            "network:project_id": select(network.NETWORKS.c.project_id).where(of_network).scalar_subquery(),
            "qos_network_policy_id": select(network.NETWORKS.c.qos_policy_id).where(of_network).scalar_subquery(),
            "_trunk": trunk.parts_of_parent(),
        }

    def visible(self) -> Any:
        mine = select(network.NETWORKS.c.id).where(network.NETWORKS.c.project_id == access.caller)
        return PORTS.c.network_id.in_(mine)

    def was_visible(self, tx: Transaction, row: Row) -> bool:
        found = tx.first(select(network.NETWORKS.c.project_id).where(network.NETWORKS.c.id == row["network_id"]))
        return found is not None and found[0] == tx.context.project_id

    def facts(self, old: Row | None, new: Row) -> Mapping[str, Any]:
        return {
            "device_id": new["device_id"],
            "device_owner": new["device_owner"],
            "host": new["binding:host_id"],
            "status": new["status"],
            "was": old["status"] if old else None,
        }

    def filters(self) -> Any:
        return {
            "fixed_ips": port_checks.filter_fixed_ips,
            "ip_address_substr": port_checks.filter_substring,
            "security_groups": lambda _tx, ids: PORTS.c.id.in_(
                select(_GROUPS.c.port_id).where(_GROUPS.c.security_group_id.in_(list(ids)))
            ),
        }

    def related(self) -> Any:
        return {
            "network:project_id": lambda tx, row: network.keep(tx, row["network_id"])["project_id"],
            "network:shared": lambda tx, row: network.keep(tx, row["network_id"])["shared"],
        }

    def view(self, tx: Transaction, row: Row) -> None:
        row["resource_request"] = None
        row["dns_assignment"] = dns.assignment(tx.config, row)
        if row.get("_trunk"):
            from weft.resources import trunk

            row["trunk_details"] = trunk.details(row["_trunk"])

    def view_many(self, tx: Transaction, rows: list[Row]) -> None:
        super().view_many(tx, rows)
        following = [row for row in rows if row["qos_policy_id"] or row["qos_network_policy_id"]]
        if following:
            resource_request.fill(tx, following)

    # -- create

    def create(self, tx: Transaction, values: Row) -> Row:
        return self.create_many(tx, [values])[0]

    def create_many(self, tx: Transaction, many: list[Row]) -> list[Row]:
        for values in many:
            self.prepare(tx, values)
            values["fixed_ips"] = port_addresses.first(tx, values, len(many))
            self.validate(tx, values, None)
            _bind(tx, values)
            if values["qos_policy_id"] or values["qos_network_policy_id"]:
                qos_attachment.check_port(tx, values)
        self.view_many(tx, many)
        tx.insert_many(self.resource, many)
        _write_children(tx, many)
        return many

    def prepare(self, tx: Transaction, values: Row) -> None:
        on = network.keep(tx, values["network_id"])
        default_group = security_group.ensure_default(tx, values["project_id"])
        trusted = is_trusted(values["device_owner"])
        values["id"] = values.get("id") or str(uuid4())
        values["status"] = values.get("status") or "DOWN"
        values["extra_dhcp_opts"] = port_checks.new_dhcp_options(values["extra_dhcp_opts"])
        given = values.get("port_security_enabled")
        values["port_security_enabled"] = False if trusted else on["port_security_enabled"] if given is None else given
        groups = values.get("security_groups")
        if trusted:
            groups = []
        elif groups is None:
            groups = [default_group] if values["port_security_enabled"] and default_group else []
        values["security_groups"] = groups
        values["binding:host_id"] = values.get("binding:host_id") or ""
        values["binding:profile"] = values.get("binding:profile") or {}
        values["binding:vif_type"], values["binding:vif_details"] = "unbound", {}
        values["dns_name"] = dns.kept(tx.config, values["dns_name"])
        values["dns_published"] = dns.published(tx, values, on)
        port_extensions.prepare(tx, values, on)
        values["mac_address"] = port_macs.first(tx, values)
        values["allowed_address_pairs"] = port_checks.complete_pairs(values)
        values["network:project_id"] = on["project_id"]
        values["qos_network_policy_id"] = on["qos_policy_id"]
        if values["qos_policy_id"]:
            qos_attachment.check(tx, values["qos_policy_id"])

    def validate(self, tx: Transaction, new: Row, old: Row | None) -> None:
        port_checks.check(tx, new, old)
        if old is None or set(new["security_groups"]) != set(old["security_groups"]):
            security_group.check_usable(tx, new["security_groups"], new["project_id"])

    # -- update

    def update(self, tx: Transaction, old: Row, changes: Row) -> Row:
        new = super().update(tx, old, changes)
        port_checks.refuse_moved_leg(tx, old, new)
        return new

    def prepare_update(self, tx: Transaction, old: Row, changes: Row, new: Row) -> None:
        new["binding:host_id"] = new["binding:host_id"] or ""
        new["binding:profile"] = new["binding:profile"] or {}
        port_extensions.prepare_update(tx, old, changes, new)
        port_macs.change(tx, old, new)
        if "allowed_address_pairs" in changes:
            new["allowed_address_pairs"] = port_checks.complete_pairs(new)
        if "extra_dhcp_opts" in changes:
            new["extra_dhcp_opts"] = port_checks.merge_dhcp_options(old["extra_dhcp_opts"], changes["extra_dhcp_opts"])
        if "dns_name" in changes:
            new["dns_name"] = dns.kept(tx.config, new["dns_name"])
        if changes.keys() & {"dns_name", "dns_domain"}:
            new["dns_published"] = dns.published(tx, new, network.load(tx, old["network_id"]))
        if is_trusted(new["device_owner"]):
            new["port_security_enabled"] = False
        if "fixed_ips" in changes or new["mac_address"] != old["mac_address"]:
            new["fixed_ips"] = port_addresses.changed(tx, old, changes, new)
        if new["binding:host_id"] != old["binding:host_id"]:
            port_addresses.follow_host(tx, old, changes, new)
        if new["qos_policy_id"] != old["qos_policy_id"]:
            qos_attachment.check(tx, new["qos_policy_id"], old["qos_policy_id"])
        if binding.differs(old, new):
            binding.refuse_change(old, new)
            _bind(tx, new)
        if new["qos_policy_id"] != old["qos_policy_id"]:
            qos_attachment.check_port(tx, new)
            qos_allocations.port_moved(tx, old, new)
        self.view_many(tx, [new])

    def write_update(self, tx: Transaction, old: Row, new: Row) -> None:
        tx.update(self.resource, old, new)
        if port_addresses.as_set(new["fixed_ips"]) != port_addresses.as_set(old["fixed_ips"]):
            gone = port_addresses.as_set(old["fixed_ips"]) - port_addresses.as_set(new["fixed_ips"])
            for subnet_id, ip in gone:
                tx.execute(
                    delete(ALLOCATIONS).where(ALLOCATIONS.c.subnet_id == subnet_id, ALLOCATIONS.c.ip_address == ip)
                )
            come = port_addresses.as_set(new["fixed_ips"]) - port_addresses.as_set(old["fixed_ips"])
            port_addresses.insert_many(tx, [(new["id"], subnet_id, ip) for subnet_id, ip in come])
            tx.touch(self.resource, new)
        if set(new["security_groups"]) != set(old["security_groups"]):
            tx.execute(delete(_GROUPS).where(_GROUPS.c.port_id == new["id"]))
            security_group.bind(tx, [(new["id"], group) for group in new["security_groups"]])
            tx.touch(self.resource, new)

    def settle(self, tx: Transaction, new: Row, old: Row | None) -> None:
        from weft.resources import port_binding, trunk

        if old is None or new["binding:host_id"] == old["binding:host_id"]:
            return
        if new["binding:host_id"]:
            port_binding.forget(tx, new["id"], new["binding:host_id"])
        if "trunk_details" in new:
            trunk.follow(tx, new)

    # -- delete

    def validate_delete(self, tx: Transaction, row: Row) -> None:
        if row["device_owner"] in IN_SERVICE and port_checks.still_served(tx, row):
            raise errors.ServicePortInUse(id=row["id"], reason=f"has device owner {row['device_owner']}")

    def write_delete(self, tx: Transaction, row: Row) -> None:
        from weft.resources import floatingip, trunk

        trunk.refuse_deletion(row)
        floatingip.release_port(tx, row)
        tx.delete(self.resource, row)


def _bind(tx: Transaction, row: Row) -> None:
    """Decide how the port is attached on its host; without a host it is unbound."""
    binding.bind(tx, row)


def _write_children(tx: Transaction, many: Sequence[Row]) -> None:
    port_addresses.insert_many(
        tx, [(row["id"], f["subnet_id"], f["ip_address"]) for row in many for f in row["fixed_ips"]]
    )
    security_group.bind(tx, [(row["id"], group) for row in many for group in row["security_groups"]])


# What other resources ask of ports.


def ids_holding_network(tx: Transaction, network_id: str) -> list[str]:
    """Ports that keep a network from being deleted."""
    statement = select(PORTS.c.id).where(
        PORTS.c.network_id == network_id, PORTS.c.device_owner.not_in(network.AUTO_DELETED)
    )
    return [row[0] for row in tx.all(statement.order_by(PORTS.c.id))]


def ids_bound_to(tx: Transaction, segment: Row) -> list[str]:
    """Ports that keep a segment from being deleted: they are attached to it, or may be in a moment."""
    from weft.resources import port_binding

    attached = or_(
        PORTS.c.binding_segment_id == segment["id"], PORTS.c.id.in_(port_binding.ports_ready_for(segment["id"]))
    )
    own = PORTS.c.network_id == segment["network_id"]
    statement = select(PORTS.c.id).where(own, attached, PORTS.c.device_owner.not_in(network.AUTO_DELETED))
    return [row[0] for row in tx.all(statement.order_by(PORTS.c.id))]


def delete_automatic(tx: Transaction, network_id: str) -> None:
    """Delete the ports that come and go with their network."""
    for row in tx.list(PORT, PORTS.c.network_id == network_id, PORTS.c.device_owner.in_(network.AUTO_DELETED)):
        PORT.strategy.write_delete(tx, row)


def create(tx: Transaction, **values: Any) -> Row:
    """Create a port on Weft's own account (a router's, a floating IP's): no policy, no quota limit."""
    return PORT.strategy.create(tx, {**DEFAULTS, **values})


def change(tx: Transaction, row: Row, changes: Row) -> Row:
    """Change a port on Weft's own account: what its router does with it."""
    return Strategy.update(PORT.strategy, tx, row, changes)


def move(tx: Transaction, old: Row, new: Row) -> None:
    """Write a binding that was decided on elsewhere."""
    port_extensions.mirror(new)
    tx.update(PORT, old, new)
    PORT.strategy.settle(tx, new, old)


DEFAULTS: Mapping[str, Any] = {
    "name": "",
    "description": "",
    "admin_state_up": True,
    "device_id": "",
    "device_owner": "",
    "extra_dhcp_opts": None,
    "binding:vnic_type": "normal",
    "dns_name": "",
    "dns_domain": "",
    "qos_policy_id": None,
}

PORT = Resource(
    member="port",
    collection="ports",
    attributes=ATTRIBUTES,
    table=PORTS,
    strategy=PortStrategy(),
    not_found=errors.PortNotFound,
    bulk=True,
    tags=True,
    strict_marker=True,
    quota="port",
    internal=("binding_segment_id", "dns_published"),
    shims=(
        "ip-substring-filtering",
        "port-mac-address-regenerate",
        "aap-reject-multicast",
        "port-resource-request-groups",
        "tag-ports-during-bulk-creation",
        *port_extensions.SHIMS,
    ),
)
