"""Checksums of what leaves a namespace into Open vSwitch's userspace datapath, which passes them on as they are: the kernel
must compute them itself, or TCP and UDP are thrown away at the other end (ethtool -K LINK tx off)."""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct

from weft.backends.linux import netns

_SIOCETHTOOL, _STXCSUM = 0x8946, 0x17


def off(namespace: str, link: str) -> None:
    """Let the kernel compute the checksums of what leaves by this link. OSError if it is not there."""
    value = (ctypes.c_uint32 * 2)(_STXCSUM, 0)
    with netns.open_socket(namespace, socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, _SIOCETHTOOL, struct.pack("16sP16x", link.encode(), ctypes.addressof(value)))
