"""Packets as the lines that operators read."""

from __future__ import annotations

import pytest

from weft.backends.linux.nflog import summary

V4 = bytes.fromhex("45000020 00000000 40110000 0a000001 0a000002".replace(" ", ""))
V6 = bytes.fromhex("60000000 00080640 ".replace(" ", "")) + bytes(15) + b"\1" + bytes(15) + b"\2"


@pytest.mark.parametrize(
    ("packet", "words"),
    [
        (V4 + b"\x0f\xa0\x00\x50" + bytes(4), "udp src=10.0.0.1 dst=10.0.0.2 sport=4000 dport=80"),
        (V4[:6] + b"\x20\x01" + V4[8:] + bytes(8), "protocol 17 src=10.0.0.1 dst=10.0.0.2"),  # a later fragment
        (V4, "protocol 17 src=10.0.0.1 dst=10.0.0.2"),
        (V4[:9] + b"\x01" + V4[10:] + b"\x08\x00", "icmp src=10.0.0.1 dst=10.0.0.2 type=8 code=0"),
        (V6 + b"\x0f\xa0\x00\x50" + bytes(4), "tcp src=::1 dst=::2 sport=4000 dport=80"),
        (V6[:6] + b"\x3a" + V6[7:] + b"\x87\x00", "icmpv6 src=::1 dst=::2 type=135 code=0"),
        (V4[:12], "unreadable"),
        (b"", "unreadable"),
    ],
)
def test_summary(packet: bytes, words: str) -> None:
    assert summary(packet) == words
