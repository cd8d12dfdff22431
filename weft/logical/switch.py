"""Networks and ports as the API has them, rendered to logical switches and ports. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from weft.logical.model import (
    Address,
    AddressPair,
    DhcpOption,
    DhcpOptions,
    LogicalPort,
    LogicalSwitch,
    Private,
    Route,
    Segment,
)

Row = Mapping[str, Any]

LEAST_MTU = 68
"""Of any link (RFC 791 section 3.2). The API takes less where a network has no subnets; no device does."""


def switch(network: Row, subnets: Iterable[Row]) -> LogicalSwitch:
    """The switch of a network; `_segments` of the row are its segments in order."""
    return LogicalSwitch(
        id=network["id"],
        name=network["name"],
        project_id=network["project_id"],
        mtu=max(network["mtu"], LEAST_MTU),
        segments=tuple(
            Segment(one["network_type"], one["physical_network"], one["segmentation_id"], one["id"])
            for one in network["_segments"]
        ),
        subnets=tuple(dhcp_options(one) for one in sorted(subnets, key=lambda one: str(one["id"]))),
        external=network["router:external"],
        enabled=network["admin_state_up"],
        dns_domain=network["dns_domain"],
        vlan_passthru=bool(network["vlan_transparent"] or network["qinq"]),
        qinq=bool(network["qinq"]),
        zone_hints=tuple(network["availability_zone_hints"]),
        revision=network["revision_number"],
    )


def private(port: Row) -> Private | None:
    """What a port of a private VLAN is apart from; None for a promiscuous one."""
    if port["pvlan_type"] not in ("isolated", "community"):
        return None
    pairs = port["allowed_address_pairs"]
    single = {one["ip_address"] for one in pairs if "/" not in one["ip_address"]}
    return Private(
        port["id"],
        port["pvlan_community"] or "",
        tuple(sorted({port["mac_address"], *(one["mac_address"] for one in pairs)})),
        tuple(sorted({*(fixed["ip_address"] for fixed in port["fixed_ips"]), *single})),
    )


def dhcp_options(subnet: Row) -> DhcpOptions:
    """What hosts of the subnet learn."""
    return DhcpOptions(
        subnet_id=subnet["id"],
        ip_version=subnet["ip_version"],
        cidr=subnet["cidr"],
        gateway_ip=subnet["gateway_ip"],
        enable_dhcp=subnet["enable_dhcp"],
        dns_nameservers=tuple(subnet["dns_nameservers"]),
        host_routes=tuple(Route(one["destination"], one["nexthop"]) for one in subnet["host_routes"]),
        ra_mode=subnet["ipv6_ra_mode"],
        address_mode=subnet["ipv6_address_mode"],
        dns_publish=subnet["dns_publish_fixed_ip"],
    )


def addresses(port: Row, subnets: Mapping[str, Row]) -> tuple[Address, ...]:
    """A port's fixed IPs with the prefix lengths of their subnets, IPv4 first."""
    found = [
        Address(fixed["ip_address"], ip_network(subnets[fixed["subnet_id"]]["cidr"]).prefixlen, fixed["subnet_id"])
        for fixed in port["fixed_ips"]
        if fixed["subnet_id"] in subnets
    ]
    return tuple(sorted(found, key=lambda one: (one.version, one.subnet_id, one.ip)))


@dataclass(frozen=True, slots=True)
class Part:
    """What a port is in a trunk: a sub-port of the port `parent`, under a VLAN `tag`, of a trunk that is `enabled`."""

    parent: str = ""
    tag: int = 0
    enabled: bool = True


NO_PART = Part()


def port(row: Row, subnets: Mapping[str, Row], part: Part = NO_PART) -> LogicalPort:
    """A workload's port."""
    return LogicalPort(
        id=row["id"],
        switch=row["network_id"],
        mac=row["mac_address"],
        name=row["name"],
        project_id=row["project_id"],
        addresses=addresses(row, subnets),
        device_id=row["device_id"],
        device_owner=row["device_owner"],
        host=row["binding:host_id"],
        enabled=row["admin_state_up"] and part.enabled,
        port_security=row["port_security_enabled"],
        pairs=tuple(AddressPair(one["mac_address"], one["ip_address"]) for one in row["allowed_address_pairs"]),
        groups=tuple(sorted(row["security_groups"])),
        dhcp_options=tuple(
            DhcpOption(one["opt_name"], one["opt_value"], one["ip_version"]) for one in row["extra_dhcp_opts"]
        ),
        dns=tuple((one["ip_address"], one["hostname"], one["fqdn"]) for one in row["dns_assignment"]),
        parent=part.parent,
        tag=part.tag,
        vnic_type=row["binding:vnic_type"],
        switchdev="switchdev" in row["binding:profile"].get("capabilities", ()),
        revision=row["revision_number"],
    )
