"""One security group rule as one nft rule, and the same rule as a question about a flow. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from weft.backends.linux.ruleset import Name
from weft.logical.model import Acl
from weft.registry.types_rule import PROTOCOLS

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_WITH_PORTS = frozenset({6, 17, 33, 132, 136})
_EXTENSION_HEADERS = {43: "rt", 44: "frag", 60: "dst"}  # of IPv6: never the protocol of a packet, so matched as headers


@dataclass(frozen=True, slots=True)
class Flow:
    """What a connection is to one of its two ports: who started it (`direction` as in Acl) and what with whom.

    `a` and `b`: source and destination port; of ICMP, `a` is the type and `b` the code."""

    direction: Literal["ingress", "egress"]
    version: int
    protocol: int
    remote: IPAddress
    a: int = 0
    b: int = 0


def number(acl: Acl) -> int | None:
    """The protocol number that a rule is about; None for any. ValueError for a name that no one knows."""
    if acl.protocol is None:
        return None
    name = acl.protocol.lower()
    if name not in PROTOCOLS and not (name.isdigit() and int(name) < 256):
        raise ValueError(f"unknown protocol {acl.protocol}")
    value = PROTOCOLS[name] if name in PROTOCOLS else int(name)
    if value == 1 and acl.ethertype == "IPv6":
        return 58
    return value or None


def remote_set(id: str, version: int) -> Name:
    """The set with the addresses behind a remote group or address group."""
    return Name("inet", f"a{version}-{id}")


def rule(acl: Acl, verdict: str = "accept") -> str:
    """In nft's words. ValueError for what cannot be said."""
    version = 4 if acl.ethertype == "IPv4" else 6
    parts = [_remote(acl, version) or f"meta nfproto ipv{version}"]
    protocol = number(acl)
    if protocol in (1, 58):
        word = "icmp" if protocol == 1 else "icmpv6"
        parts.append(f"meta l4proto {protocol}")
        if acl.port_min is not None:
            parts.append(f"{word} type {acl.port_min}")
        if acl.port_max is not None:
            parts.append(f"{word} code {acl.port_max}")
    elif version == 6 and protocol in _EXTENSION_HEADERS:
        parts.append(f"exthdr {_EXTENSION_HEADERS[protocol]} exists")
    elif protocol is not None:
        parts.append(f"meta l4proto {protocol}")
        ports = _ports(acl, protocol)
        if ports:
            first, last = ports
            parts.append(f"th dport {first}" if first == last else f"th dport {first}-{last}")
    return " ".join([*parts, verdict])


def _remote(acl: Acl, version: int) -> str:
    side = "saddr" if acl.direction == "ingress" else "daddr"
    family = "ip" if version == 4 else "ip6"
    group = acl.remote_group or acl.remote_addresses
    if group:
        return f"{family} {side} @{remote_set(group, version).name}"
    if acl.remote_prefix:
        network = ipaddress.ip_network(acl.remote_prefix, strict=False)
        if network.version != version:
            raise ValueError(f"{acl.remote_prefix} is no {acl.ethertype} prefix")
        if network.prefixlen:
            return f"{family} {side} {network}"
    return ""


def _ports(acl: Acl, protocol: int) -> tuple[int, int] | None:
    if protocol not in _WITH_PORTS or (acl.port_min is None and acl.port_max is None):
        return None
    first = acl.port_min if acl.port_min is not None else 0
    last = acl.port_max if acl.port_max is not None else first
    if first > last:
        raise ValueError(f"port range {first}-{last}")
    return (first, last) if (first, last) != (0, 65535) else None


def allows(acl: Acl, flow: Flow, is_member: Callable[[str, IPAddress], bool]) -> bool:
    """Whether the rule permits the first packet of `flow`. `is_member`: whether an address is behind a remote, by its id."""
    if acl.direction != flow.direction or (4 if acl.ethertype == "IPv4" else 6) != flow.version:
        return False
    group = acl.remote_group or acl.remote_addresses
    if group and not is_member(group, flow.remote):
        return False
    if acl.remote_prefix and flow.remote not in ipaddress.ip_network(acl.remote_prefix, strict=False):
        return False
    protocol = number(acl)
    if protocol is None or (flow.version == 6 and protocol in _EXTENSION_HEADERS):
        return True  # of a header that is gone we cannot tell
    if protocol != flow.protocol:
        return False
    if protocol in (1, 58):
        return acl.port_min in (None, flow.a) and acl.port_max in (None, flow.b)
    ports = _ports(acl, protocol)
    return ports is None or ports[0] <= flow.b <= ports[1]
