"""Routing rules of a router's namespace: which table is asked for a packet's way (rtnetlink(7), ip-rule(8))."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable

from weft.backends.linux import netlink
from weft.backends.linux.netlink import Message, attr, u8, u32, unpack
from weft.backends.linux.uplinks import TABLE

PROTOCOL = 87
"""Marks a rule as ours ("W")."""

Rule = tuple[int, int]
"""(IP version, packet mark): what has the mark n asks table TABLE + n. Mark 0: all ask the main table, before that, for
anything but a default route."""

_NEW, _DELETE, _GET = 32, 33, 34
_PRIORITY, _MARK, _SUPPRESS, _TABLE, _MARK_MASK, _PROTOCOL = 6, 10, 14, 15, 16, 21
_RULE = struct.Struct("=BBBBBBBBI")
_MAIN, _TO_TABLE = 254, 1
_FIRST, _THEN = 870, 871
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def read(sock: netlink.Socket) -> frozenset[Rule]:
    """Our rules."""
    found = set()
    for version, family in _FAMILIES.items():
        for body in sock.dump(Message(_GET, _RULE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0))):
            values = unpack(body, _RULE.size)
            if values.get(_PROTOCOL, b"\0")[0] == PROTOCOL:
                found.add((version, int(struct.unpack("=I", values.get(_MARK, bytes(4)))[0])))
    return frozenset(found)


def change(sock: netlink.Socket, add: Iterable[Rule], remove: Iterable[Rule]) -> list[str]:
    """Add these and remove those. Returns what the kernel refused, in words."""
    wanted = [(rule, Message(_NEW, _body(*rule), netlink.CREATE | netlink.EXCL)) for rule in sorted(add)]
    wanted += [(rule, Message(_DELETE, _body(*rule))) for rule in sorted(remove)]
    answers = sock.talk([message for _, message in wanted])
    return [
        f"routing rule for mark {mark} of IPv{version}: {answer.error.strerror}"
        for ((version, mark), _), answer in zip(wanted, answers, strict=True)
        if answer.error and answer.error.errno not in (errno.ENOENT, errno.EEXIST)
    ]


def _body(version: int, mark: int) -> bytes:
    head = _RULE.pack(_FAMILIES[version], 0, 0, 0, 0, 0, 0, _TO_TABLE, 0) + u8(_PROTOCOL, PROTOCOL)
    if not mark:
        return head + u32(_PRIORITY, _FIRST) + u32(_TABLE, _MAIN) + u32(_SUPPRESS, 0)
    match = u32(_MARK, mark) + attr(_MARK_MASK, b"\xff" * 4)
    return head + u32(_PRIORITY, _THEN) + u32(_TABLE, TABLE + mark) + match
