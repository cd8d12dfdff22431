"""Ethernet frames byte by byte, honest or not, for sending past the kernel's own stack."""

from __future__ import annotations

import socket
import struct

BROADCAST = "ff:ff:ff:ff:ff:ff"
ALL_NODES = "33:33:00:00:00:01"
IPV4, ARP, IPV6, VLAN = 0x0800, 0x0806, 0x86DD, 0x8100


def octets(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def packed(ip: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in ip else socket.AF_INET, ip)


def checksum(data: bytes) -> int:
    """RFC 1071."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(source: str, destination: str, kind: int, payload: bytes) -> bytes:
    return (octets(destination) + octets(source) + struct.pack(">H", kind) + payload).ljust(60, b"\0")


def tagged(frame: bytes, tag: int) -> bytes:
    """The same frame with an 802.1Q tag."""
    return frame[:12] + struct.pack(">HH", VLAN, tag) + frame[12:]


def echo(kind: int, identity: int, number: int = 1) -> bytes:
    """An ICMP or ICMPv6 echo; the kernel fills in the latter's checksum."""
    body = struct.pack(">BBHHH", kind, 0, 0, identity, number) + b"weft"
    return body[:2] + struct.pack(">H", checksum(body)) + body[4:] if kind == 8 else body


def ip4(source: str, destination: str, protocol: int, payload: bytes) -> bytes:
    head = (
        struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 7, 0, 64, protocol, 0)
        + packed(source)
        + packed(destination)
    )
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def ip6(source: str, destination: str, protocol: int, payload: bytes, hops: int = 255) -> bytes:
    return (
        struct.pack(">IHBB", 0x60000000, len(payload), protocol, hops) + packed(source) + packed(destination) + payload
    )


def udp(source: str, destination: str, sport: int, dport: int, payload: bytes = b"weft") -> bytes:
    """A whole IP packet with a UDP datagram."""
    length = 8 + len(payload)
    body = struct.pack(">HHHH", sport, dport, length, 0) + payload
    pseudo = packed(source) + packed(destination) + struct.pack(">BBH", 0, 17, length)
    body = body[:6] + struct.pack(">H", checksum(pseudo + body) or 0xFFFF) + body[8:]
    return ip6(source, destination, 17, body) if ":" in source else ip4(source, destination, 17, body)


def icmp6(source: str, destination: str, kind: int, rest: bytes) -> bytes:
    """A whole IPv6 packet with an ICMPv6 message; `rest` follows the checksum."""
    body = struct.pack(">BBH", kind, 0, 0) + rest
    pseudo = packed(source) + packed(destination) + struct.pack(">II", len(body), 58)
    return ip6(source, destination, 58, body[:2] + struct.pack(">H", checksum(pseudo + body)) + body[4:])


def arp(
    operation: int, sender_mac: str, sender_ip: str, target_ip: str, target_mac: str = "00:00:00:00:00:00"
) -> bytes:
    head = struct.pack(">HHBBH", 1, IPV4, 6, 4, operation)
    return head + octets(sender_mac) + packed(sender_ip) + octets(target_mac) + packed(target_ip)


def advertisement(source: str, target: str, mac: str) -> bytes:
    """An unsolicited neighbour advertisement: `target` is at `mac` (RFC 4861, 4.4)."""
    option = b"\x02\x01" + octets(mac)
    return icmp6(source, "ff02::1", 136, struct.pack(">I", 0x20000000) + packed(target) + option)


def router_advertisement(source: str) -> bytes:
    """RFC 4861, 4.2."""
    return icmp6(source, "ff02::1", 134, struct.pack(">BBHII", 64, 0, 1800, 0, 0))


def link_local(mac: str) -> str:
    first = octets(mac)
    raw = bytes([first[0] ^ 2]) + first[1:3] + b"\xff\xfe" + first[3:]
    return socket.inet_ntop(socket.AF_INET6, packed("fe80::")[:8] + raw)
