"""What an attribute's value may be: what rules and forwardings match (protocols, ports, ethertypes, prefixes)."""

from __future__ import annotations

import re
from typing import Any

from weft import errors
from weft.registry.types import Type, enum, nullable, show, to_integer
from weft.registry.types_address import ip_fault, prefix_fault, to_interface

PROTOCOLS = {
    "ah": 51,
    "dccp": 33,
    "egp": 8,
    "esp": 50,
    "gre": 47,
    "hopopt": 0,
    "icmp": 1,
    "icmpv6": 58,
    "igmp": 2,
    "ip": 0,
    "ipip": 4,
    "ipv6-encap": 41,
    "ipv6-frag": 44,
    "ipv6-icmp": 58,
    "ipv6-nonxt": 59,
    "ipv6-opts": 60,
    "ipv6-route": 43,
    "ospf": 89,
    "pgm": 113,
    "rsvp": 46,
    "sctp": 132,
    "tcp": 6,
    "udp": 17,
    "udplite": 136,
    "vrrp": 112,
}
"""Protocols that the API knows by name, and their numbers (IANA)."""

PORT_PROTOCOLS = ("dccp", "icmp", "ipv6-icmp", "sctp", "tcp", "udp")
_BY_NUMBER = {PROTOCOLS[name]: name for name in PORT_PROTOCOLS}


def _number_or_none(value: Any) -> int | None:
    try:
        return to_integer(value)
    except errors.InvalidInput:
        return None


def to_port_protocol(value: Any) -> str | None:
    """A protocol by name or number -> its name where it is one of PORT_PROTOCOLS. Raises InvalidInput for no protocol."""
    if value is None:
        return None
    number = _number_or_none(value)
    if number is not None and 0 <= number <= 255:
        return _BY_NUMBER.get(number, str(number))
    if isinstance(value, str) and value.lower() in PROTOCOLS:
        return value.lower()
    raise errors.InvalidInput(
        reason=f"IP protocol {show(value)} is not supported. "
        "Only protocol names and their integer representation (0 to 255) are supported"
    )


port_protocol = Type(
    "port_protocol",
    {"enum": list(PORT_PROTOCOLS)},
    convert=to_port_protocol,
    validate=enum(*PORT_PROTOCOLS).validate,
    filter=to_port_protocol,
)


def to_rule_protocol(value: Any) -> str | None:
    """A security group rule's protocol: a name in lower case, a number as text, or None for any."""
    if value is None or (isinstance(value, str) and value.lower() == "any"):
        return None
    number = _number_or_none(value)
    if number is not None and 0 <= number <= 255:
        return str(number)
    if isinstance(value, str) and value.lower() in PROTOCOLS:
        return value.lower()
    raise errors.SecurityGroupRuleInvalidProtocol(protocol=value, valid=[None, *sorted(PROTOCOLS)])


rule_protocol = Type(
    "rule_protocol", {"type": ["string", "integer", "null"]}, convert=to_rule_protocol, filter=to_rule_protocol
)


def to_rule_port(value: Any) -> int | None:
    """A port, or an ICMP type or code, of a security group rule; None for any."""
    if value is None:
        return None
    number = _number_or_none(value)
    if number is None or not 0 <= number <= 65535:
        raise errors.SecurityGroupInvalidPortValue(port=value)
    return number


rule_port = Type(
    "rule_port",
    {"type": ["integer", "null"], "minimum": 0, "maximum": 65535},
    convert=to_rule_port,
    filter=to_rule_port,
)


def to_ethertype(value: Any) -> str:
    """IPv4 or IPv6, written in any case."""
    for name in ("IPv4", "IPv6"):
        if isinstance(value, str) and value.lower() == name.lower():
            return name
    raise errors.SecurityGroupRuleInvalidEtherType(ethertype=value, valid=["IPv4", "IPv6"])


ethertype = Type("ethertype", {"enum": ["IPv4", "IPv6"]}, convert=to_ethertype, filter=to_ethertype)


def to_rule_prefix(value: Any) -> str | None:
    """A rule's remote address or prefix, with a length; host bits are kept. Raises InvalidCIDR."""
    if value is None or value == "":
        return None
    prefix = to_interface(value)
    if prefix_fault(prefix) is None:
        return str(prefix)
    if ip_fault(prefix) is None:
        return f"{prefix}/{128 if ':' in prefix else 32}"
    raise errors.InvalidCIDR(cidr=value)


rule_prefix = Type("rule_prefix", {"type": ["string", "null"]}, convert=to_rule_prefix, filter=to_rule_prefix)

direction = enum("ingress", "egress")


_PORT = re.compile("[0-9]{1,5}")


def _port_range_fault(value: Any) -> str | None:
    parts = value.split(":") if isinstance(value, str) else []
    if not 1 <= len(parts) <= 2 or not all(_PORT.fullmatch(part) and 1 <= int(part) <= 65535 for part in parts):
        return f"{show(value)} is not a port or a range of ports first:last between 1 and 65535"
    if len(parts) == 2 and int(parts[0]) > int(parts[1]):
        return "First port in a port range must be lower than the second port"
    return None


port_range_or_none = nullable(
    Type(
        "port_range",
        {"type": "string", "pattern": "^[0-9]{1,5}(:[0-9]{1,5})?$"},
        convert=lambda value: str(value) if isinstance(value, int) and not isinstance(value, bool) else value,
        validate=_port_range_fault,
    )
)
