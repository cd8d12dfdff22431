"""Networks: one broadcast domain, what it is carried by, who may use it, whether it leads outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    bindparam,
    exists,
    func,
    select,
)

from weft import errors
from weft.registry import types as t
from weft.registry import types_dns as dns
from weft.registry import types_network as net
from weft.registry.attributes import UNSET, Attribute, read_only
from weft.registry.resource import Resource, Row
from weft.registry.strategy import Filter, Strategy
from weft.resources import (
    agent_bindings,
    network_provider,
    qos_allocations,
    qos_attachment,
    qos_policy,
    rbac_policy,
    router_ha,
    security_group,
    segment,
    standard,
)
from weft.resources import segment_types as kinds
from weft.store import access
from weft.store.rows import ALONE, KEPT
from weft.store.schema import ID, METADATA, identity, json_array, json_object, unique_where
from weft.store.schema import standard as standard_columns
from weft.store.transaction import Transaction

NETWORKS = Table(
    "networks",
    METADATA,
    *identity(),
    Column("name", String(255), nullable=False, default=""),
    Column("admin_state_up", Boolean, nullable=False, default=True),
    Column("status", String(16), nullable=False, default="ACTIVE"),
    Column("router_external", Boolean, nullable=False, default=False),
    Column("is_default", Boolean, nullable=False, default=False),
    Column("mtu", Integer, nullable=False),
    Column("port_security_enabled", Boolean, nullable=False, default=True),
    Column("dns_domain", String(255), nullable=False, default=""),
    Column("pvlan", Boolean, nullable=False, default=False),
    Column("vlan_transparent", Boolean),
    Column("qinq", Boolean),
    Column("availability_zone_hints", JSON, nullable=False, default=list),
    Column("qos_policy_id", ID, ForeignKey("qos_policies.id"), index=True),
    *standard_columns(),
    Index("ix_networks_name", "name"),
    Index("ix_networks_router_external", "router_external"),
    unique_where("uq_networks_default", "is_default", "is_default"),
)

ATTRIBUTES = (
    read_only("id", t.uuid, sort=True, primary_key=True),
    Attribute("name", t.name_string, default="", sort=True),
    read_only("subnets", t.anything, filter=False),
    Attribute("admin_state_up", t.boolean, default=True, sort=True),
    read_only("status", t.string(16), sort=True),
    *standard.project(),
    Attribute("shared", t.boolean, default=False, policy=True, required_by_policy=True),
    read_only("ipv4_address_scope", t.anything, filter=False, extension="address-scope"),
    read_only("ipv6_address_scope", t.anything, filter=False, extension="address-scope"),
    Attribute(
        "router:external", t.boolean, default=False, policy=True, required_by_policy=True, extension="external-net"
    ),
    Attribute("mtu", t.non_negative, default=0, sort=True, policy=True, extension="net-mtu"),
    read_only("availability_zones", t.anything, filter=False, extension="network_availability_zone"),
    Attribute(
        "availability_zone_hints",
        net.availability_zone_hints,
        default=[],
        put=False,
        filter=False,
        sort=True,
        extension="network_availability_zone",
    ),
    Attribute("port_security_enabled", t.boolean, default=True, filter=False, policy=True, extension="port-security"),
    Attribute("provider:network_type", t.string(32), default=UNSET, policy=True, extension="provider"),
    Attribute("provider:physical_network", t.string(64), default=UNSET, policy=True, extension="provider"),
    Attribute("provider:segmentation_id", t.integer, default=UNSET, policy=True, extension="provider"),
    Attribute("segments", net.segments, default=UNSET, filter=False, policy=True, extension="multi-provider"),
    read_only("l2_adjacency", t.boolean, filter=False, extension="l2_adjacency"),
    Attribute(
        "is_default",
        t.boolean,
        default=False,
        policy=True,
        required_by_policy=True,
        extension="auto-allocated-topology",
    ),
    Attribute("dns_domain", dns.dns_domain, default="", filter=False, extension="dns-integration"),
    Attribute("ha", t.boolean, default=False, put=False, visible=False, filter=False, extension="network_ha"),
    Attribute("pvlan", t.boolean, default=False, filter=False, extension="pvlan"),
    Attribute("vlan_transparent", t.boolean, put=False, extension="vlan-transparent"),
    Attribute("qinq", t.boolean, put=False, extension="qinq"),
    Attribute("qos_policy_id", t.uuid_or_none, default=UNSET, filter=False, policy=True, extension="qos"),
    *standard.stamps(),
)

AUTO_DELETED = ("network:dhcp", "network:distributed", "network:floatingip_agent_gateway")
"""device_owner of ports that come and go with their network and do not hold it back."""

_SEGMENTS = segment.SEGMENTS


def _segments_json() -> ColumnElement[Any]:
    one = _SEGMENTS
    return (
        select(
            json_array(
                json_object(
                    "id", one.c.id,
                    "position", one.c.position,
                    "network_type", one.c.network_type,
                    "physical_network", one.c.physical_network,
                    "segmentation_id", one.c.segmentation_id,
                )
            )
        )
        .where(one.c.network_id == NETWORKS.c.id, ~one.c.is_dynamic)
        .correlate(NETWORKS)
        .scalar_subquery()
    )  # fmt: skip


def _subnets_json() -> ColumnElement[Any]:
    from weft.resources.subnet import SUBNETS  # subnets know their network; this is the only look the other way

    return (
        select(json_array(SUBNETS.c.id))
        .where(SUBNETS.c.network_id == NETWORKS.c.id)
        .correlate(NETWORKS)
        .scalar_subquery()
    )


def _l2_adjacency() -> ColumnElement[bool]:
    """Every port reaches every other without a router: no subnet belongs to a segment."""
    from weft.resources.subnet import SUBNETS

    return ~exists().where(SUBNETS.c.network_id == NETWORKS.c.id, SUBNETS.c.segment_id.is_not(None))


def _address_scope(ip_version: int) -> ColumnElement[Any]:
    from weft.resources.subnet import SUBNETS
    from weft.resources.subnetpool import SUBNETPOOLS

    return (
        select(func.max(SUBNETPOOLS.c.address_scope_id))
        .select_from(SUBNETS.join(SUBNETPOOLS, SUBNETS.c.subnetpool_id == SUBNETPOOLS.c.id))
        .where(SUBNETS.c.network_id == NETWORKS.c.id, SUBNETS.c.ip_version == ip_version)
        .correlate(NETWORKS)
        .scalar_subquery()
    )


class NetworkStrategy(Strategy):
    """Networks; see behaviours section 1 of the API's facts."""

    patient = True
    locked = True

    def columns(self) -> Mapping[str, ColumnElement[Any]]:
        return {
            "_agents": agent_bindings.of_network(NETWORKS),
            "shared": access.shared(NETWORKS.c.id),
            "_segments": _segments_json(),
            "subnets": _subnets_json(),
            "l2_adjacency": _l2_adjacency(),
            "ipv4_address_scope": _address_scope(4),
            "ipv6_address_scope": _address_scope(6),
        }

    def filters(self) -> Mapping[str, Filter]:
        return {
            "provider:network_type": _segment_filter("network_type"),
            "provider:physical_network": _segment_filter("physical_network"),
            "provider:segmentation_id": _segment_filter("segmentation_id"),
        }

    def view(self, tx: Transaction, row: Row) -> None:
        network_provider.show(row)
        row["subnets"] = sorted(row["subnets"])
        row["availability_zones"] = agent_bindings.zones(row)

    def prepare(self, tx: Transaction, values: Row) -> None:
        security_group.ensure_default(tx, values["project_id"])
        found = network_provider.reserve(tx, values)
        most = min(kinds.mtu(tx.config, one) for one in found)
        if values["mtu"] > most:
            raise errors.InvalidInput(reason=f"Requested MTU is too big, maximum is {most}")
        values.update(
            {
                "id": values.get("id") or str(uuid4()),
                "status": "ACTIVE",
                "mtu": values["mtu"] or most,
                "subnets": [],
                "ipv4_address_scope": None,
                "ipv6_address_scope": None,
                "availability_zones": [],
                "_agents": [],
                "vlan_transparent": values.get("vlan_transparent"),
                "qinq": values.get("qinq"),
                "l2_adjacency": True,
                "_segments": [{**one, "position": at} for at, one in enumerate(found)],
            }
        )
        network_provider.show(values)
        if "qos_policy_id" not in values:
            values["qos_policy_id"] = qos_policy.default_of(tx, values["project_id"])
        else:
            qos_attachment.check(tx, values["qos_policy_id"])

    def validate(self, tx: Transaction, new: Row, old: Row | None) -> None:
        if new["is_default"] and (old is None or not old["is_default"]):
            _refuse_second_default(tx, new)
        if new["pvlan"] and not new["port_security_enabled"]:
            raise errors.PVLANNetworkPortSecurityDisabled(network_id=new["id"])
        if old is None:
            _check_tagging(tx, new)
            standard.check_zone_hints(tx, "network", new["availability_zone_hints"])
        if new["qos_policy_id"] and (old is None or new["qos_policy_id"] != old["qos_policy_id"]):
            qos_attachment.check_network(tx, new["id"], new["qos_policy_id"])

    def write(self, tx: Transaction, row: Row) -> None:
        tx.insert(self.resource, row)
        segment.write(tx, row, row["_segments"])
        if row["shared"]:
            rbac_policy.share(tx, "network", row)
        if row["router:external"]:
            rbac_policy.share(tx, "network", row, access.EXTERNAL)
        if row.get("ha"):
            router_ha.claim(tx, row["project_id"], row["id"])

    def prepare_update(self, tx: Transaction, old: Row, changes: Row, new: Row) -> None:
        network_provider.update(tx, old, changes, new)
        if "mtu" in changes and changes["mtu"] != old["mtu"]:
            _check_mtu(tx, old, new)
        if new["shared"] != old["shared"]:
            _update_shared(tx, new)
        if new["router:external"] != old["router:external"]:
            _update_external(tx, new)
        qos_attachment.check(tx, new["qos_policy_id"], old["qos_policy_id"])

    def write_update(self, tx: Transaction, old: Row, new: Row) -> None:
        from weft.resources import port_extensions

        tx.update(self.resource, old, new)
        if new["pvlan"] != old["pvlan"]:
            port_extensions.switch_pvlan(tx, new)
        qos_allocations.network_moved(tx, old, new)
        if any(new.get(name) != old.get(name) for name in _ELSEWHERE):
            tx.touch(self.resource, new)

    def validate_delete(self, tx: Transaction, row: Row) -> None:
        from weft.resources import floatingip, port

        tx.lock(self.resource, row["id"])
        holding = port.ids_holding_network(tx, row["id"]) if _hanging(tx, row["id"]).ports else []
        if holding:
            idle = floatingip.idle_ports(tx, row["id"])
            holding = [id for id in holding if id not in idle]
        if holding:
            raise errors.NetworkInUse(
                id=row["id"],
                reason="There are one or more ports still in use on the network, id for these ports is: "
                + ", ".join(holding),
            )

    def write_delete(self, tx: Transaction, row: Row) -> None:
        from weft.resources import floatingip, port, subnet

        hanging = _hanging(tx, row["id"])
        if hanging.ports:
            floatingip.delete_idle(tx, row["id"])
            port.delete_automatic(tx, row["id"])
        if hanging.subnets:
            subnet.delete_all_of(tx, row["id"], ports=hanging.ports)
        segments = segment.all_of(tx, row["id"])
        tx.delete(self.resource, row, granted=hanging.policies)
        for one in segments:
            tx.deleted(segment.SEGMENT, one)


@cache
def _hanging_on() -> Any:
    from weft.resources.port import PORTS
    from weft.resources.subnet import SUBNETS

    network = bindparam("network", type_=ID)
    return select(
        exists().where(PORTS.c.network_id == network).label("ports"),
        exists().where(SUBNETS.c.network_id == network).label("subnets"),
        exists().where(access.RBAC_ENTRIES.c.object_id == network).label("policies"),
    )


def _hanging(tx: Transaction, id: str) -> Any:
    """What hangs on a network that is locked, and so cannot become more: `ports`, `subnets`, RBAC `policies`."""
    return tx.once(("hanging on network", id), lambda: tx.first(_hanging_on(), {"network": id}))


_ELSEWHERE = ("shared", "router:external", *kinds.PROVIDER)
"""What may change of a network without standing in its own row."""


def _segment_filter(column: str) -> Filter:
    mine = select(_SEGMENTS.c.network_id).where(~_SEGMENTS.c.is_dynamic)

    def clause(_tx: Transaction, values: Sequence[Any]) -> ColumnElement[bool]:
        return NETWORKS.c.id.in_(mine.where(_SEGMENTS.c[column].in_(list(values))))

    return clause


def _check_tagging(tx: Transaction, new: Row) -> None:
    """Raise what cannot be promised about frames that workloads tag themselves."""
    if new["vlan_transparent"] and new["qinq"]:
        raise errors.BadRequest(resource="network", reason="vlan_transparent and qinq exclude each other")
    if new["vlan_transparent"] and not tx.environment.honours("vlan-transparent"):
        raise errors.VlanTransparencyDriverError()
    if new["qinq"] and not tx.environment.honours("qinq"):
        raise errors.VlanQinqDriverError()


def _refuse_second_default(tx: Transaction, new: Row) -> None:
    other = tx.first(select(NETWORKS.c.id).where(NETWORKS.c.is_default, NETWORKS.c.id != new["id"]))
    if other:
        raise errors.DefaultExternalNetworkExists(id=other[0])


def _update_shared(tx: Transaction, new: Row) -> None:
    if new["shared"]:
        rbac_policy.share(tx, "network", new)
        return
    if rbac_policy.needed(tx, "network", new, access.SHARED):
        raise errors.InvalidSharedSetting(id=new["id"])
    rbac_policy.withdraw(tx, new)


def _update_external(tx: Transaction, new: Row) -> None:
    from weft.resources.port import PORTS

    if new["router:external"]:
        rbac_policy.share(tx, "network", new, access.EXTERNAL)
        return
    gateways = select(PORTS.c.id).where(
        PORTS.c.network_id == new["id"], PORTS.c.device_owner == "network:router_gateway"
    )
    if tx.first(gateways.limit(1)):
        raise errors.ExternalNetworkInUse(id=new["id"])
    rbac_policy.withdraw(tx, new, access.EXTERNAL, everybody_only=False)


def _check_mtu(tx: Transaction, old: Row, new: Row) -> None:
    from weft.resources.subnet import SUBNETS

    most = min((kinds.mtu(tx.config, one) for one in old["_segments"]), default=tx.config.api.global_physnet_mtu)
    if new["mtu"] > most:
        raise errors.InvalidInput(reason=f"Requested MTU is too big, maximum is {most}")
    new["mtu"] = new["mtu"] or most
    versions = {
        row[0] for row in tx.all(select(SUBNETS.c.ip_version).where(SUBNETS.c.network_id == old["id"]).distinct())
    }
    for version in versions:
        if new["mtu"] < LEAST_MTU[version]:
            raise errors.NetworkMTUSubnetConflict(id=old["id"], minimum=LEAST_MTU[version])


LEAST_MTU = {4: 68, 6: 1280}
"""Bytes that every link of that IP version must carry (RFC 791, RFC 8200)."""


def load(tx: Transaction, id: str) -> Row:
    """The network with that id if the caller may see it; remembered for the transaction."""
    return tx.once(("network", id), lambda: tx.get(NETWORK, id))


def hold(tx: Transaction, id: str) -> Row:
    """Like `load`, and locked: what is made on the network by what is there is made by one at a time."""
    if not tx.has_alone(NETWORK, id):
        tx.forget(("network", id))
    return tx.once(("network", id), lambda: tx.get(NETWORK, id, lock=ALONE))


def keep(tx: Transaction, id: str) -> Row:
    """Like `load`, for what is made on the network by how it is: nobody holds it meanwhile. Many may keep it at once."""
    return tx.once(("network", id), lambda: tx.get(NETWORK, id, lock=KEPT))


NETWORK = Resource(
    member="network",
    collection="networks",
    attributes=ATTRIBUTES,
    table=NETWORKS,
    strategy=NetworkStrategy(),
    not_found=errors.NetworkNotFound,
    bulk=True,
    tags=True,
    strict_marker=True,
    quota="network",
    visible_by_rbac=(access.SHARED, access.EXTERNAL),
    shims=(
        "provider",
        "external-net",
        "net-mtu",
        "net-mtu-writable",
        "network_availability_zone",
        "dns-integration-domain-keywords",
    ),
)
