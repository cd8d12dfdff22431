"""Static routes of a router's namespace, several equal ways included: read, replace at once, remove (rtnetlink(7))."""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping

from weft.backends.linux import netlink
from weft.backends.linux.netlink import Message, attr, u32, unpack
from weft.backends.linux.uplinks import TABLE, Hop

PROTOCOL = 87
"""Marks a route as ours ("W")."""

_NEWROUTE, _DELROUTE, _GETROUTE = 24, 25, 26
_DST, _OIF, _GATEWAY, _MULTIPATH, _TABLE = 1, 4, 5, 9, 15
_ROUTE = struct.Struct("=BBBBBBBBI")
_HOP = struct.Struct("=HBBi")
_MAIN, _UNICAST, _ONLINK = 254, 1, 4


def read(sock: netlink.Socket, names: Mapping[int, str]) -> dict[str, frozenset[Hop]]:
    """Our routes: destination CIDR -> ways; those of a gateway's own table N as "CIDR table N". `names`: link name by index."""
    found = {}
    for family in (socket.AF_INET, socket.AF_INET6):
        for body in sock.dump(Message(_GETROUTE, _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0))):
            _, length, _, _, _, protocol, _, _, flags = _ROUTE.unpack_from(body)
            if protocol != PROTOCOL:
                continue
            values = unpack(body, _ROUTE.size)
            (table,) = struct.unpack("=I", values[_TABLE])
            if table != _MAIN and table <= TABLE:
                continue
            where = "" if table == _MAIN else f" table {table}"
            packed = values.get(_DST, bytes(4 if family == socket.AF_INET else 16))
            found[f"{ipaddress.ip_address(packed)}/{length}{where}"] = frozenset(_hops(values, flags, names))
    return found


def _hops(values: Mapping[int, bytes], flags: int, names: Mapping[int, str]) -> Iterator[Hop]:
    if _GATEWAY in values:
        index = int(struct.unpack("=i", values[_OIF])[0])
        yield Hop(str(ipaddress.ip_address(values[_GATEWAY])), names.get(index, ""), bool(flags & _ONLINK))
    rest = values.get(_MULTIPATH, b"")
    while rest:
        length, hop_flags, _, index = _HOP.unpack_from(rest)
        gateway = unpack(rest[:length], _HOP.size).get(_GATEWAY)
        if gateway is not None:
            yield Hop(str(ipaddress.ip_address(gateway)), names.get(index, ""), bool(hop_flags & _ONLINK))
        rest = rest[(length + 3) & ~3 :]


def change(
    sock: netlink.Socket,
    replace: Mapping[str, frozenset[Hop]],
    remove: Iterable[str],
    indexes: Mapping[str, int],
) -> list[str]:
    """Put the routes of `replace` in place of those to the same destinations (no packet finds none), and remove others.

    `indexes`: link index by name. Returns what the kernel refused, in words.
    """
    messages = [(to, Message(_DELROUTE, _body(to))) for to in sorted(remove)]
    for to, hops in sorted(replace.items()):
        missing = [hop.leg for hop in hops if hop.leg not in indexes]
        if not missing:  # a leg that could not be made has been reported already
            ways = _ways(sorted(hops), indexes)
            onlink = _ONLINK if len(hops) == 1 and next(iter(hops)).onlink else 0
            messages.append((to, Message(_NEWROUTE, _body(to, onlink) + ways, netlink.CREATE | netlink.REPLACE)))
    answers = sock.talk([message for _, message in messages])
    return [
        f"route to {to}: {answer.error.strerror}"
        for (to, _), answer in zip(messages, answers, strict=True)
        if answer.error and answer.error.errno != errno.ESRCH
    ]


def _body(destination: str, flags: int = 0) -> bytes:
    cidr, _, number = destination.partition(" table ")
    net, table = ipaddress.ip_network(cidr), int(number or _MAIN)
    family = socket.AF_INET if net.version == 4 else socket.AF_INET6
    head = _ROUTE.pack(family, net.prefixlen, 0, 0, min(table, _MAIN), PROTOCOL, 0, _UNICAST, flags)
    return (
        head
        + (u32(_TABLE, table) if table != _MAIN else b"")
        + (attr(_DST, net.network_address.packed) if net.prefixlen else b"")
    )


def _ways(hops: list[Hop], indexes: Mapping[str, int]) -> bytes:
    gateways = [attr(_GATEWAY, ipaddress.ip_address(hop.via).packed) for hop in hops]
    if len(hops) == 1:
        return gateways[0] + u32(_OIF, indexes[hops[0].leg])
    ways = [
        _HOP.pack(_HOP.size + len(gateway), _ONLINK if hop.onlink else 0, 0, indexes[hop.leg]) + gateway
        for hop, gateway in zip(hops, gateways, strict=True)
    ]
    return attr(_MULTIPATH, b"".join(ways))
