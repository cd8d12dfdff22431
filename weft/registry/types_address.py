"""What an attribute's value may be: IP addresses, prefixes, pools, routes, MAC addresses."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_interface, ip_network
from typing import Any

from weft import errors
from weft.registry.types import Type, key_value, list_of, null_is_empty, nullable, record, show, uuid

_MAC = re.compile(
    "(?:[0-9a-f]{2}:){5}[0-9a-f]{2}|(?:[0-9a-f]{2}-){5}[0-9a-f]{2}|(?:[0-9a-f]{4}[.]){2}[0-9a-f]{4}|[0-9a-f]{12}",
    re.IGNORECASE,
)


# Addresses. Text is kept in the form of RFC 5952, IPv4 as four decimal numbers without leading zeros.


def to_ip(value: Any) -> Any:
    """The canonical text of an address; what is none stays as it is."""
    if not isinstance(value, str):
        return value
    try:
        return str(ip_address(value))
    except ValueError:
        return value


def ip_fault(value: Any) -> str | None:
    """Why `value` is no IP address, or None. Addresses with a zone (fe80::1%eth0) mean nothing outside one host."""
    if isinstance(value, str) and "%" not in value:
        try:
            ip_address(value)
        except ValueError:
            pass
        else:
            return None
    return f"{show(value)} is not a valid IP address"


_IP_SCHEMA = {"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]}

ip = Type("ip", _IP_SCHEMA, convert=to_ip, validate=ip_fault, filter=to_ip)
ip_or_none = nullable(ip)


# Prefixes.


def _network(value: Any, strict: bool = False) -> IPv4Network | IPv6Network | None:
    """`value` as a prefix with a length in decimal (no netmask), or None."""
    if not isinstance(value, str) or "%" in value:
        return None
    _, slash, length = value.partition("/")
    if slash and not (length.isascii() and length.isdigit()):
        return None
    try:
        return ip_network(value, strict=strict)
    except ValueError:
        return None


def to_network(value: Any) -> Any:
    """A prefix without its host bits; what is none, or has no length, stays as it is."""
    network = _network(value)
    return value if network is None or "/" not in value else str(network)


def to_interface(value: Any) -> Any:
    """An address or a prefix in canonical form, host bits and the lack of a length kept."""
    if _network(value) is None:
        return value
    return str(ip_interface(value)) if "/" in value else to_ip(value)


def prefix_fault(value: Any) -> str | None:
    """Why `value` is no CIDR, or None. An address without a length is none."""
    if _network(value) is not None and "/" in value:
        return None
    return f"{show(value)} is not a valid IP subnet"


def is_multicast(value: str) -> bool:
    """True for a multicast address or a prefix of such (RFC 5771, RFC 4291)."""
    return ip_interface(value).ip.is_multicast


def network_fault(value: Any) -> str | None:
    """Why `value` is no CIDR without host bits, or None."""
    fault = prefix_fault(value)
    if fault is None and _network(value, strict=True) is None:
        fault = f"{show(value)} is not a valid IP subnet: '{_network(value)}' is"
    return fault


_CIDR_SCHEMA = {"type": "string", "pattern": "^[0-9a-fA-F.:]+/[0-9]{1,3}$"}

cidr = Type("cidr", _CIDR_SCHEMA, convert=to_network, validate=prefix_fault, filter=to_network)
"""A prefix; host bits are dropped."""

cidr_or_none = nullable(cidr)
cidr_list = list_of(cidr)

network_cidr = Type("cidr(network addr)", _CIDR_SCHEMA, convert=to_interface, validate=network_fault, filter=to_network)
"""A prefix; host bits are refused."""


# Lists of addresses.

nameservers = null_is_empty(list_of(ip))

routes = null_is_empty(list_of(record({"destination": network_cidr, "nexthop": ip}, ("destination", "nexthop"))))
"""Host routes of a subnet, extra routes of a router."""

allocation_pools = list_of(record({"start": ip, "end": ip}, ("start", "end")), unique=False)


def _unique_addresses(list_: Type) -> Callable[[Any], str | None]:
    """The check of a list of fixed IPs: no address twice (the same subnet twice asks for two addresses)."""

    def validate(value: Any) -> str | None:
        fault = list_.validate(value)
        if fault is not None:
            return fault
        seen = set()
        for entry in value:
            address = entry.get("ip_address")
            if address is not None and address in seen:
                return f"Duplicate IP address '{address}'"
            seen.add(address)
        return None

    return validate


def _fixed_ips() -> Type:
    entries = list_of(record({"ip_address": ip, "subnet_id": uuid}), unique=False)
    return Type(
        "fixed_ips",
        entries.schema,
        convert=entries.convert,
        validate=_unique_addresses(entries),
        filter=filter_fixed_ips,
    )


def filter_fixed_ips(text: str) -> tuple[str, str]:
    """`ip_address=192.0.2.1` or `subnet_id=...` -> (key, value to compare with). Raises InvalidInput."""
    key, value = key_value(text)
    if key not in FIXED_IP_FILTERS:
        raise errors.InvalidInput(reason=f"{show(key)} is not one of {', '.join(FIXED_IP_FILTERS)}")
    return key, to_ip(value) if key == "ip_address" else value


FIXED_IP_FILTERS = ("ip_address", "ip_address_substr", "subnet_id")


fixed_ips = _fixed_ips()


# MAC addresses. Text is kept in lower case with colons.


def to_mac(value: Any) -> Any:
    """The canonical text of a MAC address in any usual notation; what is none stays as it is."""
    if not isinstance(value, str) or not _MAC.fullmatch(value):
        return value
    digits = value.lower().translate(_NO_SEPARATORS)
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2))


_NO_SEPARATORS = str.maketrans("", "", ":-.")


def mac_fault(value: Any) -> str | None:
    """Why `value` is no MAC address that an interface can have, or None."""
    if not isinstance(value, str) or not _MAC.fullmatch(value) or value in ("00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"):
        return f"{show(value)} is not a valid MAC address"
    return None


def is_group_mac(value: str) -> bool:
    """True for multicast and broadcast: the lowest bit of the first octet is set (IEEE 802)."""
    return bool(int(value[:2], 16) & 1)


_MAC_SCHEMA = {"type": "string", "pattern": "^([0-9A-Fa-f]{2}[:-]?){5}[0-9A-Fa-f]{2}$"}

mac = Type("mac", _MAC_SCHEMA, convert=to_mac, validate=mac_fault, filter=to_mac)

mac_or_none = nullable(mac)
"""Null asks for a generated address; the port's strategy makes it."""
