"""Connections that a router's namespace tracks (ctnetlink): which of them translate wrongly now, and their deletion."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from weft.backends.linux import netlink
from weft.backends.linux.netlink import Message, attr, nest, u32, unpack
from weft.backends.linux.router import METADATA_IP, WITH_PORTS, Translation, protocol_number

_GET, _DELETE = 0x101, 0x102  # subsystem 1 (conntrack), messages 1 and 2
_HEAD = struct.pack("!BBH", socket.AF_INET, 0, 0)
_TUPLE_ORIG, _TUPLE_REPLY, _ID, _FILTER = 1, 2, 12, 25
_FILTER_IP_DST = 2
_MANY = 32
"""From so many addresses on, one dump of everything is cheaper than one filtered dump for each."""


class End(NamedTuple):
    """One direction of a connection. Ports are 0 for protocols without."""

    src: str
    dst: str
    sport: int
    dport: int


class Flow(NamedTuple):
    """A tracked IPv4 connection: as its first packet came (`orig`) and as its answers come (`reply`).

    `name` and `id` are the kernel's names for it, as raw attributes.
    """

    protocol: int
    orig: End
    reply: End
    name: bytes
    id: bytes


def stale(flow: Flow, now: Translation) -> bool:
    """Whether packets of `flow` go on to be translated as they would not be today.

    A connection that left by the gateway's address keeps it when its workload is given a floating one: it still works.
    """
    if flow.orig.dst == METADATA_IP:
        return False
    answers_from = (flow.reply.src, flow.reply.sport)
    if flow.protocol not in WITH_PORTS:
        answers_from = (flow.reply.src, flow.orig.dport)
    if answers_from != _inside(now, flow.protocol, flow.orig.dst, flow.orig.dport):
        return True
    source_translated = flow.reply.dst != flow.orig.src
    seen_as = flow.reply.dst
    return source_translated and seen_as not in now.snat_ips and now.inward.get(seen_as) != flow.orig.src


def _inside(now: Translation, protocol: int, ip: str, port: int) -> tuple[str, int]:
    """Where a packet to (ip, port) is delivered."""
    for forwarding in now.forwardings.get(ip, ()):
        if protocol_number(forwarding) == protocol:
            if protocol not in WITH_PORTS:
                return forwarding.internal_ip, port
            (first, last), (to_first, to_last) = forwarding.external_ports, forwarding.internal_ports
            if first <= port <= last:
                return forwarding.internal_ip, to_first if to_first == to_last else to_first + port - first
    return now.inward.get(ip, ip), port


def clean(name: str, now: Translation, addresses: Iterable[str] | None = None) -> int:
    """Delete the stale connections of the namespace `name` that involve one of the external `addresses` (None: any
    address). Returns how many."""
    wanted = None if addresses is None else frozenset(addresses)
    sock = netlink.Socket(name, netlink.NETFILTER)
    try:
        if wanted is None or len(wanted) > _MANY:
            found = list(dump(sock))
        else:
            found = [f for ip in wanted for where in (_TUPLE_ORIG, _TUPLE_REPLY) for f in dump(sock, _to(ip, where))]
        old = {
            flow.id: Message(_DELETE, _HEAD + nest(_TUPLE_ORIG, flow.name) + attr(_ID, flow.id))
            for flow in found
            if stale(flow, now) and (wanted is None or not wanted.isdisjoint((flow.orig.dst, flow.reply.dst)))
        }
        for answer in sock.talk(list(old.values())):
            if answer.error and answer.error.errno != errno.ENOENT:  # ENOENT: it ended by itself
                raise answer.error
        return len(old)
    finally:
        sock.close()


def _to(ip: str, where: int) -> bytes:
    """The kernel's filter for connections whose original or reply direction goes to `ip`."""
    return nest(where, nest(1, attr(2, socket.inet_aton(ip)))) + nest(_FILTER, u32(where, _FILTER_IP_DST))


def dump(sock: netlink.Socket, filter_: bytes = b"") -> Iterator[Flow]:
    """The IPv4 connections of a namespace, all or those that the kernel's filter lets through."""
    for body in sock.dump(Message(_GET, _HEAD + filter_)):
        parts = unpack(body, 4)
        protocol, orig = _end(parts[_TUPLE_ORIG])
        _, reply = _end(parts[_TUPLE_REPLY])
        yield Flow(protocol, orig, reply, parts[_TUPLE_ORIG], parts[_ID])


def _end(tuple_: bytes) -> tuple[int, End]:
    parts = unpack(tuple_)
    ip, proto = unpack(parts[1]), unpack(parts[2])
    protocol = proto[1][0]
    sport, dport = (int.from_bytes(proto.get(kind, b""), "big") if protocol in WITH_PORTS else 0 for kind in (2, 3))
    return protocol, End(socket.inet_ntoa(ip[1]), socket.inet_ntoa(ip[2]), sport, dport)
