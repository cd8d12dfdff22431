"""Addresses that a leg answers Neighbor Solicitations for, though they are elsewhere (rtnetlink(7), ip-neighbour(8))."""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from collections.abc import Iterable, Mapping

from weft.backends.linux import netlink
from weft.backends.linux.netlink import Message, attr, u8, unpack

PROTOCOL = 87
"""Marks an entry as ours ("W")."""

Proxied = tuple[str, str]
"""(leg, IPv6 address)."""

_NEW, _DELETE, _GET = 28, 29, 30
_DST, _PROTOCOL = 1, 12
_NEIGHBOUR = struct.Struct("=BxHiHBB")
_PROXY = 0x08


def read(sock: netlink.Socket, names: Mapping[int, str]) -> frozenset[Proxied]:
    """Our entries. `names`: link name by index."""
    found = set()
    for body in sock.dump(Message(_GET, _NEIGHBOUR.pack(socket.AF_INET6, 0, 0, 0, _PROXY, 0))):
        _, _, index, _, _, _ = _NEIGHBOUR.unpack_from(body)
        values = unpack(body, _NEIGHBOUR.size)
        if values.get(_PROTOCOL, b"\0")[0] == PROTOCOL:
            found.add((names.get(index, ""), str(ipaddress.ip_address(values[_DST]))))
    return frozenset(found)


def change(
    sock: netlink.Socket, add: Iterable[Proxied], remove: Iterable[Proxied], indexes: Mapping[str, int]
) -> list[str]:
    """Add these and remove those. `indexes`: link index by name. Returns what the kernel refused, in words."""
    # a leg that could not be made has been reported already, and took its entries along
    wanted = [(one, _message(_NEW, one, indexes)) for one in sorted(add) if one[0] in indexes]
    wanted += [(one, _message(_DELETE, one, indexes)) for one in sorted(remove) if one[0] in indexes]
    answers = sock.talk([message for _, message in wanted])
    return [
        f"proxy for {ip} on {leg}: {answer.error.strerror}"
        for ((leg, ip), _), answer in zip(wanted, answers, strict=True)
        if answer.error and answer.error.errno != errno.ENOENT
    ]


def _message(kind: int, one: Proxied, indexes: Mapping[str, int]) -> Message:
    head = _NEIGHBOUR.pack(socket.AF_INET6, 0, indexes[one[0]], 0, _PROXY, 0)
    body = head + attr(_DST, ipaddress.ip_address(one[1]).packed) + u8(_PROTOCOL, PROTOCOL)
    return Message(kind, body, netlink.CREATE if kind == _NEW else 0)
