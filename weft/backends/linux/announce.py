"""Tell the neighbours of a link whose MAC an IPv4 address has from now on (gratuitous ARP, RFC 5227 section 3)."""

from __future__ import annotations

import logging
import socket
import struct
import threading
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from weft.backends.linux import netns

LOG = logging.getLogger(__name__)

_REQUEST, _REPLY = 1, 2
_AGAIN = 1.0
"""Seconds to the second announcement: a switch may still have been learning that the port is there at the first."""


class Announcement(NamedTuple):
    """`ip` is at `mac`, as seen on the link `leg` of a router's namespace."""

    leg: str
    mac: str
    ip: str


def frame(mac: str, ip: str, operation: int) -> bytes:
    """A gratuitous ARP frame. Neighbours learn from requests or replies, according to their taste; so both are sent."""
    sender, address = bytes.fromhex(mac.replace(":", "")), socket.inet_aton(ip)
    target = bytes(6) if operation == _REQUEST else sender
    arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + sender + address + target + address
    return b"\xff" * 6 + sender + struct.pack("!H", 0x0806) + arp


class Announcer:
    """Announces at once and once more a second later, unless the address was withdrawn meanwhile."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: dict[str, dict[str, Announcement]] = {}
        self._timers: dict[str, threading.Timer] = {}

    def announce(self, namespace: str, come: Sequence[Announcement], gone: Iterable[str] = ()) -> None:
        """Announce what has `come`; the addresses that are `gone` are elsewhere now and not announced again.

        A link that is gone or down is no error: there is nobody to tell."""
        with self._lock:
            pending = self._pending.get(namespace, {})
            for ip in gone:
                pending.pop(ip, None)
            if not come:
                return
            _send(namespace, come)
            self._pending[namespace] = pending | {a.ip: a for a in come}
            if namespace not in self._timers:
                timer = threading.Timer(_AGAIN, self._again, [namespace])
                timer.daemon = True
                self._timers[namespace] = timer
                timer.start()

    def withdraw(self, namespace: str) -> None:
        """Say no more about the addresses of this namespace."""
        with self._lock:
            self._pending.pop(namespace, None)

    def close(self) -> None:
        with self._lock:
            self._pending.clear()
            for timer in self._timers.values():
                timer.cancel()

    def _again(self, namespace: str) -> None:
        with self._lock:
            self._timers.pop(namespace, None)
            _send(namespace, list(self._pending.pop(namespace, {}).values()))


def _send(namespace: str, announcements: Sequence[Announcement]) -> None:
    if not announcements:
        return
    try:
        with netns.open_socket(namespace, socket.AF_PACKET, socket.SOCK_RAW) as sock:
            for operation in (_REQUEST, _REPLY):
                for one in announcements:
                    sock.sendto(frame(one.mac, one.ip, operation), (one.leg, 0))
    except OSError as error:
        LOG.info("gratuitous ARP in %s: %s", namespace, error)
