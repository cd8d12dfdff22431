"""A network as OVN's rows: its switch, where it leaves by physical networks, its metadata port, DHCP and DNS. Pure."""

from __future__ import annotations

from functools import lru_cache

from weft.backends.ovn import dhcp, localport, rows
from weft.backends.ovn.rows import ELSEWHERE, MARK, Hold, Ref, Row
from weft.config import Config
from weft.logical.model import LogicalSwitch, Segment

SERVICE_OWNER = "network:distributed"
"""device_owner of what is on every host."""


SERVICE_TAG = "802.11ad"
"""OVN's word for tags of IEEE 802.1ad, with workloads' own tags inside (ovn-nb(5): ethtype)."""


def render(switch: LogicalSwitch, config: Config) -> list[Row]:
    """Everything of a network that does not hang on its ports."""
    wishes = dhcp.Wishes.of(config)
    found = [_switch(switch, config)]
    found += [_localnet(switch, one, config) for one in switch.segments if one.physical_network]
    if wishes.metadata:
        found.append(_metadata(switch))
    found += [dhcp.of_subnet(switch, one, wishes) for one in switch.subnets if dhcp.serves(one)]
    found.append(_names(switch, config))
    return found


@lru_cache(maxsize=4096)
def hold(network_id: str, column: str = "ports") -> Hold:
    return Hold(Ref("Logical_Switch", rows.name(network_id)), column)


@lru_cache(maxsize=4096)
def records(network_id: str) -> Hold:
    """The names of a network."""
    return Hold(Ref("DNS", rows.name(network_id)), "records")


def elsewhere() -> Row:
    """A switch that leads nowhere, for ports of other dataplanes' hosts: all that OVN has to know of them is their addresses,
    for the sets of their groups. On the switch of their network they could be of type `external` only, whose packets to a
    router OVN drops wherever it does not serve them itself."""
    columns = {"name": ELSEWHERE, "external_ids": {MARK: ELSEWHERE}}
    return Row(Ref("Logical_Switch", ELSEWHERE), columns)


ELSEWHERE_PORTS = Hold(Ref("Logical_Switch", ELSEWHERE), "ports")


def physical(switch: LogicalSwitch) -> bool:
    """Whether the network leaves by a physical one."""
    return any(one.physical_network for one in switch.segments)


def _switch(switch: LogicalSwitch, config: Config) -> Row:
    other = {
        "mcast_snoop": _word(config.ovn.igmp_snooping_enable),
        "mcast_flood_unregistered": "false",
        "vlan-passthru": _word(switch.vlan_passthru),
    }
    if physical(switch):
        other["fdb_age_threshold"] = str(config.ovn.fdb_age_threshold)
    if switch.external:
        other["broadcast-arps-to-all-routers"] = _word(config.ovn.broadcast_arps_to_all_routers)
    ids = {
        "neutron:network_name": switch.name,
        "neutron:mtu": str(switch.mtu),
        "neutron:availability_zone_hints": ",".join(switch.zone_hints),
        rows.REVISION: str(switch.revision),
    }
    name = rows.name(switch.id)
    return Row(Ref("Logical_Switch", name), {"name": name, "other_config": other, "external_ids": ids})


def _localnet(switch: LogicalSwitch, segment: Segment, config: Config) -> Row:
    name = f"provnet-{segment.id}"
    options = {
        "network_name": segment.physical_network or "",
        "mcast_flood": "false",
        "mcast_flood_reports": "true",
        "localnet_learn_fdb": _word(config.ovn.localnet_learn_fdb),
    }
    if switch.qinq:
        options["ethtype"] = SERVICE_TAG
    columns = {
        "name": name,
        "type": "localnet",
        "addresses": frozenset({"unknown"}),
        "tag": segment.segmentation_id if segment.network_type == "vlan" else None,
        "options": options,
    }
    return Row(Ref("Logical_Switch_Port", name), columns, hold(switch.id))


def _metadata(switch: LogicalSwitch) -> Row:
    name = localport.name(switch.id)
    ids = {
        "neutron:device_owner": SERVICE_OWNER,
        "neutron:device_id": name,
        "neutron:project_id": switch.project_id,
        "neutron:network_name": rows.name(switch.id),
        "neutron:cidrs": " ".join(f"{ip}/{128 if ':' in ip else 32}" for ip in localport.ADDRESSES),
    }
    columns = {
        "name": name,
        "type": "localport",
        "addresses": frozenset({localport.addresses(switch.id)}),
        "enabled": True,
        "external_ids": ids,
    }
    return Row(Ref("Logical_Switch_Port", name), columns, hold(switch.id))


def _names(switch: LogicalSwitch, config: Config) -> Row:
    """The row that its ports put their names into."""
    name = rows.name(switch.id)
    return Row(Ref("DNS", name), {"external_ids": {"ls_name": name}}, members=(hold(switch.id, "dns_records"),))


def _word(flag: bool) -> str:
    return "true" if flag else "false"
