"""What a subnet may be: the checks of subnets that need nothing but the subnet itself, apart from their life in subnet.py."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

from weft import errors
from weft.registry.resource import Row
from weft.store.transaction import Transaction

PREFIX_DELEGATION = "prefix_delegation"
PROVISIONAL = "::/64"
"""The CIDR of a subnet whose prefix is yet to be delegated (RFC 8415)."""
SLAAC_MODES = ("slaac", "dhcpv6-stateless")


def check_shape(values: Row) -> None:
    """What the CIDR and the IPv6 modes must be like."""
    net_ = ip_network(values["cidr"])

    def refuse(reason: str) -> None:
        raise errors.InvalidInput(reason=reason)

    if net_.prefixlen == 0:
        refuse(f"0 is not allowed as CIDR prefix length: {net_}")
    if net_.version == 6 and int(net_.network_address) == 0 and values["subnetpool_id"] != PREFIX_DELEGATION:
        refuse("IPv6 network '::' is not allowed")
    if values["enable_dhcp"]:
        limit = 30 if net_.version == 4 else 126
        if net_.prefixlen > limit:
            refuse(f"Subnet has a prefix length that is incompatible with DHCP service enabled: {net_}")
        if net_.is_multicast:
            refuse("Multicast IP subnet is not supported if enable_dhcp is True.")
        if net_.is_loopback:
            refuse("Loopback IP subnet is not supported if enable_dhcp is True.")
        if net_.version == 4 and int(net_.network_address) == 0:
            refuse("First IP '0.0.0.0' of network is not supported if enable_dhcp is True.")
    _check_modes(values, net_.prefixlen, refuse)


def _check_modes(values: Row, prefixlen: int, refuse: Any) -> None:
    ra_mode, address_mode = values["ipv6_ra_mode"], values["ipv6_address_mode"]
    if not ra_mode and not address_mode:
        return
    if values["ip_version"] == 4:
        refuse("ipv6_ra_mode and ipv6_address_mode are not valid when ip_version is 4")
    if not values["enable_dhcp"]:
        refuse("ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False")
    if ra_mode and address_mode and ra_mode != address_mode:
        refuse(f"ipv6_ra_mode set to '{ra_mode}' with ipv6_address_mode set to '{address_mode}' is not valid. "
               "If both attributes are set, they must be the same value")  # fmt: skip
    if (ra_mode in SLAAC_MODES or address_mode in SLAAC_MODES) and prefixlen != 64:
        refuse(f"Invalid CIDR {values['cidr']} for IPv6 address mode. "
               "OpenStack uses the EUI-64 address format, which requires the prefix to be /64")  # fmt: skip


def check_default_gateway(values: Row) -> None:
    """A gateway that nobody asked for must still leave room: IPv4 /31 has none."""
    net_ = ip_network(values["cidr"])
    if net_.version == 4 and net_.prefixlen == 31:
        raise errors.IpamValueInvalid("The subnet is too small for a gateway address.")


def check_gateway(values: Row) -> None:
    gateway = values["gateway_ip"]
    if gateway is None:
        return
    net_, ip = ip_network(values["cidr"]), ip_address(gateway)
    if ip.version != values["ip_version"]:
        raise errors.InvalidInput(
            reason=f"gateway_ip '{gateway}' does not match the ip_version '{values['ip_version']}'"
        )
    if net_.version == 4 and net_.prefixlen < 31 and ip in (net_.network_address, net_.broadcast_address):
        raise errors.InvalidInput(reason=f"Gateway IP {gateway} is not valid on subnet {net_}")


def check_versions(values: Row) -> None:
    """Name servers and routes speak the subnet's IP version."""
    version = values["ip_version"]

    def refuse(what: str, address: str) -> None:
        raise errors.InvalidInput(reason=f"{what} '{address}' does not match the ip_version '{version}'")

    for server in values["dns_nameservers"]:
        if ip_address(server).version != version:
            refuse("dns_nameserver", server)
    for route in values["host_routes"]:
        if ip_network(route["destination"], strict=False).version != version:
            refuse("host_routes destination", route["destination"])
        if ip_address(route["nexthop"]).version != version:
            refuse("host_routes nexthop", route["nexthop"])


def check_bounds(tx: Transaction, values: Row) -> None:
    api = tx.config.api
    if len(values["dns_nameservers"]) > api.max_dns_nameservers:
        raise errors.DNSNameServersExhausted(subnet_id=values["id"], limit=api.max_dns_nameservers)
    if len(values["own_routes"]) > api.max_subnet_host_routes:
        raise errors.HostRoutesExhausted(subnet_id=values["id"], limit=api.max_subnet_host_routes)
