"""What a port may send from, and lists of addresses in which none is within another. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from functools import lru_cache

from weft.backends.linux.acl import Network
from weft.logical.model import Address, AddressPair, LogicalPort


def link_local(mac: str) -> str:
    """The address that a host derives from its MAC (RFC 4291, appendix A)."""
    octets = bytearray.fromhex(mac.replace(":", ""))
    octets[0] ^= 2
    return str(
        ipaddress.IPv6Address(bytes.fromhex("fe80000000000000") + bytes(octets[:3]) + b"\xff\xfe" + bytes(octets[3:]))
    )


def sources(port: LogicalPort) -> tuple[tuple[str, tuple[Network, ...]], ...]:
    """What a port may send from: by MAC, the addresses of either family, none within another."""
    return _sources(port.mac, port.addresses, port.pairs)


@lru_cache(maxsize=8192)  # asked anew in every pass, for every port, and reading addresses is slow
def _sources(
    mac: str, addresses: tuple[Address, ...], pairs: tuple[AddressPair, ...]
) -> tuple[tuple[str, tuple[Network, ...]], ...]:
    found: dict[str, set[Network]] = {mac: {ipaddress.ip_network(address.ip) for address in addresses}}
    for pair in pairs:
        found.setdefault(pair.mac or mac, set()).add(ipaddress.ip_network(pair.ip, strict=False))
    for own, networks in found.items():
        networks.add(ipaddress.ip_network(link_local(own)))
    return tuple((own, tuple(collapsed(networks))) for own, networks in found.items())


def collapsed(networks: Iterable[Network]) -> list[Network]:
    """The same addresses without overlaps: interval sets refuse them. Networks of both families."""
    networks = list(networks)
    four = [n for n in networks if isinstance(n, ipaddress.IPv4Network)]
    six = [n for n in networks if isinstance(n, ipaddress.IPv6Network)]
    return [*_without_contained(four), *_without_contained(six)]


def _without_contained(networks: Sequence[Network]) -> list[Network]:
    # unlike ipaddress.collapse_addresses this joins no neighbours, so one address coming or going stays one element
    kept: list[Network] = []
    for network in sorted(set(networks), key=lambda n: (int(n.network_address), n.prefixlen)):
        if not kept or int(network.network_address) > int(kept[-1].broadcast_address):
            kept.append(network)
    return kept


def without_overlap(addresses: frozenset[str]) -> Iterable[str]:
    """The same addresses, none within another; those of a group of ports are thousands, and nearly always single."""
    if not any("/" in text for text in addresses):
        return addresses
    networks = collapsed(ipaddress.ip_network(text, strict=False) for text in addresses)
    return [str(n.network_address) if n.prefixlen == n.max_prefixlen else str(n) for n in networks]
