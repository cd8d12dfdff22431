"""Pure arithmetic of addresses: pools, free ranges, candidates for allocation, prefixes of a subnet pool."""

from __future__ import annotations

import random
import socket
from collections.abc import Collection, Iterable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from netaddr import EUI, IPNetwork, IPSet

Network = IPv4Network | IPv6Network
Range = tuple[int, int]
"""First and last address as numbers, inclusive."""

WINDOW = 1000
"""Addresses are drawn from the first so many free ones: tidy enough to read, random enough that two clients rarely collide."""
DRAWS = 24
"""Candidates tried per window before a larger one is opened."""
BATCHES = 8
"""Windows tried before the pool is read for what is free: the seventh holds four million addresses."""


def number(address: str) -> int:
    return int(ip_address(address))


def text(value: int, version: int) -> str:
    """The canonical text of an address."""
    if version == 4:
        return socket.inet_ntop(socket.AF_INET, value.to_bytes(4))
    return socket.inet_ntop(socket.AF_INET6, value.to_bytes(16))


def usable(cidr: str) -> Range:
    """The addresses that allocation pools may hold: without network and broadcast address (IPv4 up to /30), without the
    subnet-router anycast address (IPv6)."""
    network = ip_network(cidr)
    first, last = int(network.network_address), int(network.broadcast_address)
    if network.version == 4 and network.prefixlen <= 30:
        return first + 1, last - 1
    if network.version == 6 and network.prefixlen <= 126:
        return first + 1, last
    return first, last


def without(ranges: Iterable[Range], address: int) -> list[Range]:
    """`ranges` with a hole where `address` was."""
    found = []
    for first, last in ranges:
        if first <= address <= last:
            found += [(first, address - 1), (address + 1, last)]
        else:
            found.append((first, last))
    return [(first, last) for first, last in found if first <= last]


def default_pools(cidr: str, gateway_ip: str | None) -> list[dict[str, str]]:
    """Everything usable but the gateway, as the API shows allocation pools."""
    ranges = [usable(cidr)]
    if gateway_ip is not None:
        ranges = without(ranges, number(gateway_ip))
    return as_pools(ranges, ip_network(cidr).version)


def as_pools(ranges: Iterable[Range], version: int) -> list[dict[str, str]]:
    return [{"start": text(first, version), "end": text(last, version)} for first, last in sorted(ranges)]


def as_ranges(pools: Iterable[dict[str, str]]) -> list[Range]:
    return sorted((number(pool["start"]), number(pool["end"])) for pool in pools)


def size(ranges: Iterable[Range]) -> int:
    return sum(last - first + 1 for first, last in ranges)


def nth(ranges: Sequence[Range], index: int) -> int:
    """The address at `index` when the ranges are read in order."""
    for first, last in ranges:
        length = last - first + 1
        if index < length:
            return first + index
        index -= length
    raise IndexError(index)


def candidates(ranges: Sequence[Range], count: int, draw: random.Random) -> Iterator[list[int]]:
    """Addresses worth trying for `count` allocations, in batches that reach further and further.

    The first batch draws from the first WINDOW addresses (more for bulk), the next one from those up to four times as far,
    and so on, the last from all that are left. The first holds one address of each window besides, the farthest at its
    beginning: where the first window is full it is one of these, and nobody looks again. Pools that fit one window are
    tried whole, so that nothing free is missed there.
    """
    total = size(ranges)
    if total <= WINDOW:
        order = list(range(total))
        draw.shuffle(order)
        yield [nth(ranges, index) for index in order]
        return
    wanted = max(DRAWS, count * 2)
    windows = _windows(total, max(WINDOW, count * 100))
    beyond = [draw.randrange(lower, upper) for lower, upper in reversed(windows[1:])]
    for lower, upper in windows:
        indexes = {draw.randrange(lower, upper) for _ in range(wanted)}
        yield [nth(ranges, index) for index in (*beyond, *indexes)]
        beyond = []


def _windows(total: int, first: int) -> list[tuple[int, int]]:
    """(lower, upper) of at most BATCHES windows that divide `total` addresses; each reaches four times as far as the last."""
    windows, lower, window = [], 0, first
    for batch in range(BATCHES):
        upper = total if batch == BATCHES - 1 else min(total, window)
        windows.append((lower, upper))
        if upper == total:
            break
        lower, window = upper, window * 4
    return windows


def free(ranges: Iterable[Range], used: Collection[int]) -> Iterable[int]:
    """Every free address in order; for pools that are nearly exhausted."""
    for first, last in ranges:
        taken = sorted(address for address in used if first <= address <= last)
        cursor = first
        for address in taken:
            yield from range(cursor, address)
            cursor = address + 1
        yield from range(cursor, last + 1)


def eui64(cidr: str, mac: str) -> str:
    """The address that a host with that MAC gives itself in an IPv6 subnet (RFC 4291, appendix A)."""
    return str(ip_address(str(EUI(mac).ipv6(int(ip_network(cidr).network_address)))))


def link_local(mac: str) -> str:
    return eui64("fe80::/64", mac)


def compact(prefixes: Iterable[str]) -> list[str]:
    """The fewest CIDRs that cover `prefixes`, sorted."""
    return [str(cidr) for cidr in IPSet(prefixes).iter_cidrs()]


def overlaps(one: str, other: str) -> bool:
    a, b = ip_network(one, strict=False), ip_network(other, strict=False)
    return a.version == b.version and a.overlaps(b)


def find_prefix(prefixes: Iterable[str], used: Iterable[str], prefixlen: int) -> str | None:
    """The lowest subnet of `prefixlen` in the most specific free block that fits, or None: how a subnet pool gives."""
    blocks = (IPSet(prefixes) - IPSet(used)).iter_cidrs()
    fitting = [
        block
        for block in sorted(blocks, key=lambda block: (-block.prefixlen, block.first))
        if block.prefixlen <= prefixlen
    ]
    return str(next(iter(fitting[0].subnet(prefixlen)))) if fitting else None


def is_free(prefixes: Iterable[str], used: Iterable[str], cidr: str) -> bool:
    """`cidr` lies wholly in one free block of the pool."""
    blocks = (IPSet(prefixes) - IPSet(used)).iter_cidrs()
    wanted = IPNetwork(cidr)
    return any(wanted in block for block in blocks)
