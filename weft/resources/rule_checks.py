"""What a security group rule may say, and its one canonical form; the same for rules of groups and for templates."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_interface, ip_network
from typing import Any

from weft import errors
from weft.registry.resource import Row
from weft.registry.types_rule import PROTOCOLS

WITH_PORTS = ("dccp", "sctp", "tcp", "udp", "udplite")
"""Protocols whose packets have ports."""

ICMP = ("icmp", "icmpv6", "ipv6-icmp")
"""Protocols of which port_range_min is the type and port_range_max the code."""

IPV6_ONLY = ("icmpv6", "ipv6-encap", "ipv6-frag", "ipv6-icmp", "ipv6-nonxt", "ipv6-opts", "ipv6-route")

EVERYWHERE = frozenset({"0.0.0.0/0", "::/0", None})
"""Remote prefixes that all packets match."""

MATCHED = (
    "direction",
    "ethertype",
    "protocol",
    "port_range_min",
    "port_range_max",
    "remote_ip_prefix",
    "remote_group_id",
    "remote_address_group_id",
)
"""What a rule says about packets."""

_PORT_NUMBERS = frozenset(PROTOCOLS[name] for name in WITH_PORTS)
_ICMP_NUMBERS = frozenset(PROTOCOLS[name] for name in ICMP)
_IPV6_ONLY = frozenset(IPV6_ONLY) | {str(PROTOCOLS[name]) for name in IPV6_ONLY}


def number(protocol: str | None) -> int | None:
    """The number of a protocol by name or number (IANA); None for any."""
    if protocol is None:
        return None
    return PROTOCOLS[protocol] if protocol in PROTOCOLS else int(protocol)


def make_canonical(rule: Row) -> None:
    """Write the rule, in place, as it is kept: no range for all ports, ICMP over IPv6 under its own name."""
    if (rule["port_range_min"], rule["port_range_max"]) == (1, 65535):
        rule["port_range_min"] = rule["port_range_max"] = None
    if rule["ethertype"] == "IPv6" and rule["protocol"] in ("icmp", "icmpv6"):
        rule["protocol"] = "ipv6-icmp"


def normalized_cidr(prefix: str | None) -> str | None:
    """The network of a remote prefix whose host bits were kept."""
    return str(ip_network(prefix, strict=False)) if prefix else None


def check(rule: Row) -> None:
    """Raise what a rule may not say. Nothing here needs the database."""
    if rule["port_range_min"] is not None or rule["port_range_max"] is not None:
        _check_ports(rule)
    prefix = rule["remote_ip_prefix"]
    if prefix and rule["ethertype"] != f"IPv{ip_interface(prefix).version}":
        raise errors.SecurityGroupRuleParameterConflict(ethertype=rule["ethertype"], cidr=prefix)
    if rule["ethertype"] == "IPv4" and rule["protocol"] in _IPV6_ONLY:
        raise errors.SecurityGroupEthertypeConflictWithProtocol(ethertype="IPv4", protocol=rule["protocol"])
    if sum(bool(rule[name]) for name in ("remote_ip_prefix", "remote_group_id", "remote_address_group_id")) > 1:
        raise errors.SecurityGroupMultipleRemoteEntites


def _check_ports(rule: Row) -> None:
    first, last = rule["port_range_min"], rule["port_range_max"]
    if rule["protocol"] is None:
        raise errors.SecurityGroupProtocolRequiredWithPorts
    protocol = number(rule["protocol"])
    if protocol in _PORT_NUMBERS:
        if 0 in (first, last):
            raise errors.SecurityGroupInvalidPortValue(port=0)
        if first is None or last is None or first > last:
            raise errors.SecurityGroupInvalidPortRange
    elif protocol in _ICMP_NUMBERS:
        for field, name in (("type", "port_range_min"), ("code", "port_range_max")):
            if rule[name] is not None and rule[name] > 255:
                raise errors.SecurityGroupInvalidIcmpValue(field=field, attribute=name, value=rule[name])
        if first is None:
            raise errors.SecurityGroupMissingIcmpType(value=last)
    else:
        valid = ", ".join(name.upper() for name in WITH_PORTS)
        raise errors.SecurityGroupInvalidProtocolForPort(protocol=protocol, valid=valid)


def signature(rule: Row) -> str:
    """The same text for any two rules that the API takes for duplicates, however they are written."""
    protocol = number(rule["protocol"])
    if rule["ethertype"] == "IPv6" and protocol == PROTOCOLS["icmp"]:
        protocol = PROTOCOLS["ipv6-icmp"]
    prefix = rule["remote_ip_prefix"]
    said: Sequence[Any] = (
        rule["direction"],
        rule["ethertype"],
        protocol,
        rule["port_range_min"],
        rule["port_range_max"],
        None if prefix in EVERYWHERE else prefix,
        rule["remote_group_id"],
        rule["remote_address_group_id"],
    )
    return " ".join("*" if part is None else str(part) for part in said)
