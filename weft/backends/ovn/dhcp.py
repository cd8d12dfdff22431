"""What OVN's own DHCP answers (ovn-nb(5): DHCP_Options): by subnet, and by port where it has options of its own. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from weft.backends.linux.dhcp_options import number_of
from weft.backends.linux.frames import SERVICE4, service_mac
from weft.backends.ovn import localport
from weft.backends.ovn.rows import Ref, Row
from weft.config import Config
from weft.logical.model import DhcpOptions, LogicalPort, LogicalSwitch

OPTIONS4: Mapping[int, str] = {
    1: "netmask",
    3: "router",
    6: "dns_server",
    7: "log_server",
    9: "lpr_server",
    12: "hostname",
    15: "domain_name",
    16: "swap_server",
    19: "ip_forward_enable",
    21: "policy_filter",
    23: "default_ttl",
    26: "mtu",
    28: "broadcast_address",
    31: "router_discovery",
    32: "router_solicitation",
    35: "arp_cache_timeout",
    36: "ethernet_encap",
    37: "tcp_ttl",
    38: "tcp_keepalive_interval",
    41: "nis_server",
    42: "ntp_server",
    44: "netbios_name_server",
    46: "netbios_node_type",
    51: "lease_time",
    58: "T1",
    59: "T2",
    66: "tftp_server",
    67: "bootfile_name",
    119: "domain_search_list",
    121: "classless_static_route",
    150: "tftp_server_address",
    210: "path_prefix",
    249: "ms_classless_static_route",
    252: "wpad",
    255: "next_server",
}
"""Number of an option -> OVN's word for it. What is not here OVN cannot send."""
OPTIONS6: Mapping[int, str] = {23: "dns_server", 24: "domain_search", 59: "bootfile_name"}

_QUOTED = frozenset(
    {
        "domain_name",
        "hostname",
        "bootfile_name",
        "bootfile_name_alt",
        "path_prefix",
        "wpad",
        "domain_search_list",
        "domain_search",
        "tftp_server",
    }
)
_LISTS = frozenset({"dns_server", "log_server", "lpr_server", "nis_server", "ntp_server", "netbios_name_server"})
DISABLED = "dhcp_disabled"
"""Name of a port's option that asks for no DHCP at all."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the operator has configured."""

    lease_time: int
    domain: str
    dns_servers: tuple[str, ...]
    metadata: bool
    more4: Mapping[str, str]
    more6: Mapping[str, str]

    @classmethod
    def of(cls, config: Config) -> Wishes:
        own = config.ovn
        lease = config.api.dhcp_lease_duration
        return cls(
            lease if lease > 0 else 0xFFFFFFFF,
            config.api.dns_domain,
            own.dns_servers,
            own.ovn_metadata_enabled,
            own.ovn_dhcp4_global_options,
            own.ovn_dhcp6_global_options,
        )


def ref(subnet: DhcpOptions) -> Ref | None:
    """The options of that subnet; None where its hosts ask nobody."""
    return Ref("DHCP_Options", subnet.subnet_id) if serves(subnet) else None


def serves(subnet: DhcpOptions) -> bool:
    """Whether OVN answers DHCP there: not where addresses are made up from router advertisements alone."""
    return subnet.enable_dhcp and (
        subnet.ip_version == 4 or subnet.address_mode in ("dhcpv6-stateful", "dhcpv6-stateless")
    )


def of_subnet(switch: LogicalSwitch, subnet: DhcpOptions, wishes: Wishes) -> Row:
    ids = {"subnet_id": subnet.subnet_id}
    found = ref(subnet)
    assert found is not None
    return Row(found, {"cidr": subnet.cidr, "options": options(switch, subnet, wishes), "external_ids": ids})


def of_port(switch: LogicalSwitch, subnet: DhcpOptions, port: LogicalPort, wishes: Wishes) -> Row | None:
    """The options of a port that has some of its own; None for one that has none."""
    own = _own(port, subnet.ip_version)
    if not own:
        return None
    merged = {**options(switch, subnet, wishes), **own}
    ids = {"subnet_id": subnet.subnet_id, "port_id": port.id}
    return Row(
        Ref("DHCP_Options", f"{subnet.subnet_id}/{port.id}"),
        {"cidr": subnet.cidr, "options": {name: value for name, value in merged.items() if value}, "external_ids": ids},
    )


def disabled(port: LogicalPort, version: int) -> bool:
    """Whether the port wants no DHCP of that IP version."""
    return any(
        one.name == DISABLED and one.ip_version == version and one.value.lower() == "true" for one in port.dhcp_options
    )


def options(switch: LogicalSwitch, subnet: DhcpOptions, wishes: Wishes) -> dict[str, str]:
    """What a subnet's hosts are told."""
    return _options4(switch, subnet, wishes) if subnet.ip_version == 4 else _options6(switch, subnet, wishes)


def _options4(switch: LogicalSwitch, subnet: DhcpOptions, wishes: Wishes) -> dict[str, str]:
    found = {
        "server_id": subnet.gateway_ip or SERVICE4,
        "server_mac": service_mac(switch.id),
        "lease_time": str(wishes.lease_time),
        "mtu": str(switch.mtu),
    }
    if subnet.gateway_ip:
        found["router"] = subnet.gateway_ip
    servers = subnet.dns_nameservers or tuple(one for one in wishes.dns_servers if ":" not in one)
    if servers:
        found["dns_server"] = _set(servers)
    if wishes.domain:
        found["domain_name"] = _quoted(wishes.domain)
    routes = _routes(subnet, wishes.metadata)
    if routes:
        found["classless_static_route"] = f"{{{', '.join(routes)}}}"
    return {**wishes.more4, **found} if wishes.more4 else found


def _routes(subnet: DhcpOptions, metadata: bool) -> list[str]:
    """Option 121, which makes clients ignore the router option: the default route is then in it, too (RFC 3442)."""
    routes = [f"{one.destination},{one.nexthop}" for one in subnet.host_routes]
    if metadata and not any(one.destination == f"{SERVICE4}/32" for one in subnet.host_routes):
        routes.insert(0, localport.ROUTE)
    if routes and subnet.gateway_ip and not any(one.destination == "0.0.0.0/0" for one in subnet.host_routes):
        routes.append(f"0.0.0.0/0,{subnet.gateway_ip}")
    return routes


def _options6(switch: LogicalSwitch, subnet: DhcpOptions, wishes: Wishes) -> dict[str, str]:
    found = {"server_id": service_mac(switch.id)}
    servers = subnet.dns_nameservers or tuple(one for one in wishes.dns_servers if ":" in one)
    if servers:
        found["dns_server"] = _set(servers)
    if wishes.domain:
        found["domain_search"] = _quoted(wishes.domain)
    if subnet.address_mode == "dhcpv6-stateless":
        found["dhcpv6_stateless"] = "true"
    return {**wishes.more6, **found} if wishes.more6 else found


def _own(port: LogicalPort, version: int) -> dict[str, str]:
    """A port's own options in OVN's words; what OVN cannot send is left out. '' for one that must not be sent."""
    found: dict[str, str] = {}
    for option in port.dhcp_options:
        if option.ip_version == version and (name := _word(option.name, version)):
            found[name] = _value(name, option.value)
    return found


def _word(name: str, version: int) -> str | None:
    *conditions, name = name.split(",")
    try:
        number = number_of(name, version)
    except ValueError:
        return None
    word = (OPTIONS4 if version == 4 else OPTIONS6).get(number)
    if not conditions or word != "bootfile_name":
        return word
    return "bootfile_name" if conditions == ["tag:ipxe"] else "bootfile_name_alt"


def _value(name: str, value: str) -> str:
    if not value:
        return ""
    if name in _QUOTED:
        return _quoted(value)
    if name in _LISTS:
        return _set(one.strip("[] ") for one in value.replace(",", " ").split())
    if name in ("classless_static_route", "ms_classless_static_route"):
        parts = value.replace(",", " ").split()
        return f"{{{', '.join(f'{a},{b}' for a, b in zip(parts[::2], parts[1::2], strict=False))}}}"
    return value


def _set(values: object) -> str:
    return f"{{{', '.join(str(one) for one in values)}}}"  # type: ignore[attr-defined]


def _quoted(text: str) -> str:
    return '"' + text.strip('"') + '"'
