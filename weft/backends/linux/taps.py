"""The packet sockets that hear what workloads ask on every tap of a host namespace (packet(7))."""

from __future__ import annotations

import ctypes
import socket
import struct

from weft.backends.linux import frames, netns

_SO_ATTACH_FILTER, _SO_RCVBUFFORCE = 26, 33
_SOL_PACKET, _PACKET_IGNORE_OUTGOING = 263, 23
_ETH_P_ALL = 3
_VLAN_TAG_PRESENT = 0xFFFFF000 + 48

# Classic BPF: (opcode, jump if true, jump if false, operand), jumps count from the next line.
_LOAD_HALF, _LOAD_BYTE, _LOAD_HALF_INDEXED, _IP_HEADER_LENGTH = 0x28, 0x30, 0x48, 0xB1
_EQUAL, _ANY_BIT, _RETURN = 0x15, 0x45, 0x06
Filter = tuple[tuple[int, int, int, int], ...]
_FILTER: Filter = (
    # a tagged frame belongs to a subport of a trunk, not to the port of this tap; the kernel keeps its tag aside
    (_LOAD_HALF, 0, 0, _VLAN_TAG_PRESENT),
    (_EQUAL, 0, 18, 0),
    (_LOAD_HALF, 0, 0, 12),
    (_EQUAL, 0, 7, frames.ETH_IPV4),
    (_LOAD_BYTE, 0, 0, 23),
    (_EQUAL, 0, 14, frames.UDP),
    (_LOAD_HALF, 0, 0, 20),
    (_ANY_BIT, 12, 0, 0x1FFF),  # not the first fragment
    (_IP_HEADER_LENGTH, 0, 0, 14),
    (_LOAD_HALF_INDEXED, 0, 0, 16),
    (_EQUAL, 8, 9, 67),
    (_EQUAL, 0, 8, frames.ETH_IPV6),
    (_LOAD_BYTE, 0, 0, 20),
    (_EQUAL, 0, 2, frames.UDP),
    (_LOAD_HALF, 0, 0, 56),
    (_EQUAL, 3, 4, 547),
    (_EQUAL, 0, 3, frames.ICMPV6),
    (_LOAD_BYTE, 0, 0, 54),
    (_EQUAL, 0, 1, 133),
    (_RETURN, 0, 0, 0xFFFF),
    (_RETURN, 0, 0, 0),
)
"""DHCP and router solicitations."""
_ARP_REQUESTS: Filter = (
    (_LOAD_HALF, 0, 0, _VLAN_TAG_PRESENT),
    (_EQUAL, 0, 5, 0),
    (_LOAD_HALF, 0, 0, 12),
    (_EQUAL, 0, 3, 0x0806),
    (_LOAD_HALF, 0, 0, 20),
    (_EQUAL, 0, 1, 1),
    (_RETURN, 0, 0, 0xFFFF),
    (_RETURN, 0, 0, 0),
)


def listen_for_arp(namespace: str) -> socket.socket:
    """A socket as of `listen` that hears ARP requests: only hosts with local IPs need one."""
    return listen(namespace, _ARP_REQUESTS)


def listen(namespace: str, filter: Filter = _FILTER) -> socket.socket:
    """A socket in the namespace, not blocking. What it receives comes with the name of the device that it came in by.

    Taps may come and go. Its hook runs before bridge and firewall; what the filter refuses costs some ten instructions.
    """
    # no protocol until the filter is there: nothing can slip in before
    packets = netns.open_socket(namespace, socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC)
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in filter))
    packets.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", len(filter), ctypes.addressof(program)))
    packets.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    packets.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 4 << 20)
    _bind_everywhere(packets)
    packets.setblocking(False)
    return packets


def _bind_everywhere(packets: socket.socket) -> None:
    """bind(2) to every device, which Python's own bind cannot say."""
    every_device = 0
    address = struct.pack("=HHiHBB8s", socket.AF_PACKET, socket.htons(_ETH_P_ALL), every_device, 0, 0, 0, b"")
    if ctypes.CDLL(None, use_errno=True).bind(packets.fileno(), address, len(address)) != 0:
        raise OSError(ctypes.get_errno(), "cannot listen on the taps")


def send(packets: socket.socket, device: str, frame: bytes) -> bool:
    """Hand a frame to what is behind the device; False when the device is gone or down."""
    try:
        packets.sendto(frame, (device, int.from_bytes(frame[12:14], "big")))
    except OSError:
        return False
    return True
