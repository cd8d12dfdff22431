"""A workload's port as OVN's rows (ovn-nb(5): Logical_Switch_Port), with its own DHCP options and limits. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address

from weft.backends.ovn import dhcp, lives, rows
from weft.backends.ovn.bind import OUTSIDE, PASSED_THROUGH
from weft.backends.ovn.rows import DROP_GROUP, MARK, Hold, Ref, Row
from weft.backends.ovn.switch import ELSEWHERE_PORTS, hold, records
from weft.config import Config
from weft.logical.model import Address, DhcpOptions, Limit, LogicalPort, LogicalSwitch

QOS_PRIORITY = 2002
BURST = 0.8
"""Burst where none is said, as a share of the rate: with less, TCP does not reach the rate."""
NOBODY = "127.0.0.1"
"""The address of a port that has none: with a MAC address alone, port security lets every IP address pass (ovn-nb(5)). This one
no host takes from a wire (RFC 1122 section 3.2.1.3)."""


@dataclass(frozen=True, slots=True)
class Around:
    """What a port's row says of others: `fip` the floating IP that leads to it; `parents` the ports on the same switch
    that may take its address (API: allowed_address_pairs); `chassis` those that answer for a port that none has a device
    for."""

    fip: str = ""
    parents: tuple[str, ...] = ()
    chassis: tuple[str, ...] = ()


ALONE = Around()


def render(port: LogicalPort, switch: LogicalSwitch, config: Config, around: Around = ALONE) -> list[Row]:
    """The port and what is its alone, what it refers to first."""
    wishes = dhcp.Wishes.of(config)
    own = _own_dhcp(port, switch, wishes)
    kind = _type(port, switch, around)
    served = kind == "external" and not port.elsewhere
    columns = {
        "name": port.id,
        "type": kind,
        "addresses": _addresses(port, kind),
        "port_security": _port_security(port),
        "enabled": port.enabled and switch.enabled,
        "parent_name": None if port.elsewhere else port.parent or None,
        "tag": None if port.elsewhere else port.tag or None,
        "dhcpv4_options": _dhcp(port, switch, 4, own, config),
        "dhcpv6_options": _dhcp(port, switch, 6, own, config),
        "ha_chassis_group": lives.group(lives.EXTERNAL + port.id) if served else None,
        "options": _options(port, kind, config, around),
        "external_ids": _external_ids(port, switch, around),
    }
    names = _names(port)
    row = Row(
        Ref("Logical_Switch_Port", port.id),
        columns,
        ELSEWHERE_PORTS if port.elsewhere else hold(port.switch),
        tuple(_groups(port)),
        {records(port.switch): names} if names else {},
    )
    ids = {"neutron:port_id": port.id}
    lived_on = lives.render(lives.EXTERNAL + port.id, around.chassis, ids) if served else ()
    return [*own.values(), *lived_on, row, *_limits(port)]


def outside(port: LogicalPort) -> bool:
    """A device that is no port of br-int: OVN answers its DHCP by way of its physical network (ovn-nb(5): external)."""
    past = (port.vnic_type in PASSED_THROUGH and not port.switchdev) or port.vnic_type in OUTSIDE
    return past and not port.elsewhere


def _type(port: LogicalPort, switch: LogicalSwitch, around: Around) -> str:
    """A port of another dataplane's host is external, too, on a switch that leads nowhere: OVN knows its addresses as those
    of its groups, and its device no better than other machines of the physical network."""
    if around.parents and not port.host:
        return "virtual"
    return "external" if port.elsewhere or (outside(port) and port.host) else ""


def _addresses(port: LogicalPort, kind: str) -> frozenset[str]:
    ips = " ".join(one.ip for one in port.addresses)
    found = {f"{port.mac} {ips}".strip()}
    if not port.port_security and kind != "virtual":
        found.add("unknown")
    else:
        found |= {pair.mac for pair in port.pairs if pair.mac != port.mac}
    return frozenset(found)


def _port_security(port: LogicalPort) -> frozenset[str]:
    """By MAC, what may be its source."""
    if not port.port_security:
        return frozenset()
    by_mac: dict[str, list[str]] = {port.mac: [one.ip for one in port.addresses]}
    for pair in port.pairs:
        by_mac.setdefault(pair.mac, []).append(pair.ip)
    return frozenset(" ".join((mac, *(ips or [NOBODY]))) for mac, ips in by_mac.items())


def _options(port: LogicalPort, kind: str, config: Config, around: Around) -> dict[str, str]:
    found: dict[str, str] = {}
    if kind == "virtual":
        return {"virtual-ip": port.addresses[0].ip, "virtual-parents": ",".join(around.parents)}
    if port.qos and port.qos.minimum:
        found["qos_min_rate"] = str(port.qos.minimum * 1000)
    if port.host and kind != "external":
        found["requested-chassis"] = ",".join((port.host, *port.also))
        if port.also and config.ovn.live_migration_activation_strategy:
            found["activation-strategy"] = config.ovn.live_migration_activation_strategy
    return found


def _external_ids(port: LogicalPort, switch: LogicalSwitch, around: Around) -> dict[str, str]:
    found = {
        "neutron:port_name": port.name,
        "neutron:project_id": port.project_id,
        "neutron:device_id": port.device_id,
        "neutron:device_owner": port.device_owner,
        "neutron:network_name": rows.name(port.switch),
        "neutron:mtu": str(switch.mtu),
        "neutron:cidrs": " ".join(f"{one.ip}/{one.prefixlen}" for one in port.addresses),
        "neutron:subnet_ids": " ".join(dict.fromkeys(one.subnet_id for one in port.addresses)),
        "neutron:security_group_ids": " ".join(port.groups),
        "neutron:vnic_type": port.vnic_type,
        "neutron:port_capabilities": "switchdev" if port.switchdev else "",
        rows.REVISION: str(port.revision),
    }
    if port.host:
        found["neutron:host_id"] = port.host
    if around.fip:
        found["neutron:port_fip"] = around.fip
    return found


def _groups(port: LogicalPort) -> Iterable[Hold]:
    """Where it is a member: of its security groups, and of that which drops the rest."""
    if port.port_security:
        yield _members(DROP_GROUP)
        for group in port.groups:
            yield _members(rows.group(group))


@lru_cache(maxsize=4096)
def _members(name: str) -> Hold:
    """Remembered for every port of the group, so the same for all."""
    return Hold(Ref("Port_Group", name), "ports")


# -- DHCP and DNS


def _own_dhcp(port: LogicalPort, switch: LogicalSwitch, wishes: dhcp.Wishes) -> Mapping[int, Row]:
    """By IP version, where the port has options of its own."""
    if not port.dhcp_options or port.elsewhere:
        return {}
    found = {}
    for version in (4, 6):
        subnet = _served(port.addresses, switch, version)
        row = dhcp.of_port(switch, subnet, port, wishes) if subnet else None
        if row is not None and not dhcp.disabled(port, version):
            found[version] = row
    return found


def _served(addresses: Iterable[Address], switch: LogicalSwitch, version: int) -> DhcpOptions | None:
    """The first subnet of that version that the port has an address in, if it is served."""
    subnets = {one.subnet_id: one for one in switch.subnets}
    for one in addresses:
        subnet = subnets.get(one.subnet_id)
        if one.version == version and subnet is not None and dhcp.serves(subnet):
            return subnet
    return None


def _dhcp(port: LogicalPort, switch: LogicalSwitch, version: int, own: Mapping[int, Row], config: Config) -> Ref | None:
    if port.elsewhere or port.device_owner.startswith("network:") or dhcp.disabled(port, version):
        return None
    if config.ovn.disable_ovn_dhcp_for_baremetal_ports and port.vnic_type == "baremetal":
        return None
    if version in own:
        return own[version].ref
    subnet = _served(port.addresses, switch, version)
    return dhcp.ref(subnet) if subnet else None


def _names(port: LogicalPort) -> dict[str, str]:
    """What DNS answers, forth and back; only of ports that somebody gave a name: the made-up ones would be in a row that
    grows with the network."""
    found: dict[str, list[str]] = {}
    backwards = {}
    for ip, hostname, fqdn in port.dns:
        if hostname == "host-" + ip.replace(".", "-").replace(":", "-"):
            continue
        for name in dict.fromkeys((hostname, fqdn.rstrip("."))):
            if name:
                found.setdefault(name.lower(), []).append(ip)
        if fqdn:
            backwards[ip_address(ip).reverse_pointer] = fqdn.rstrip(".").lower()
    return {**{name: " ".join(ips) for name, ips in found.items()}, **backwards}


# -- limits


def _limits(port: LogicalPort) -> Iterable[Row]:
    if port.qos is None or port.elsewhere:
        return
    ids = {"neutron:port_id": port.id}
    if port.qos.egress or port.qos.dscp is not None:
        match = f'inport == "{port.id}"'
        yield qos(f"{port.id}/egress", port.switch, "from-lport", match, port.qos.egress, port.qos.dscp, ids)
    if port.qos.ingress:
        match = f'outport == "{port.id}"'
        yield qos(f"{port.id}/ingress", port.switch, "to-lport", match, port.qos.ingress, None, ids)


def qos(
    id: str,
    network_id: str,
    direction: str,
    match: str,
    limit: Limit | None,
    dscp: int | None,
    ids: Mapping[str, str],
    priority: int = QOS_PRIORITY,
) -> Row:
    """A row of a switch that limits and marks what matches."""
    bandwidth = {"rate": limit.rate, "burst": limit.burst or max(int(limit.rate * BURST), 1)} if limit else {}
    columns = {
        "priority": priority,
        "direction": direction,
        "match": match,
        "bandwidth": bandwidth,
        "action": {} if dscp is None else {"dscp": dscp},
        "external_ids": {**ids, MARK: id},
    }
    return Row(Ref("QoS", id), columns, hold(network_id, "qos_rules"))
