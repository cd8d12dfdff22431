"""What is logged of security groups, as nft's words: packets go to a NFLOG group of the namespace (nft(8)). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from weft.backends.linux.pipeline import OUT_BIT
from weft.config import NetworkLog
from weft.logical.acl import logged
from weft.logical.model import Log

GROUP = 22512
"""Of NFLOG, in the host's namespace: one that nobody else is likely to read."""
SNAPLEN = 128
"""Octets of each packet that are handed over: its headers."""


def rules(logs: Iterable[Log], event: str, way: str, limits: NetworkLog, marks: Mapping[str, int]) -> Iterator[str]:
    """Of a chain in which the verdict has fallen. `way`: in or out; `marks`: those of the ports here.

    The mark, which the reader is given too, says which port it is of."""
    limit = f"limit rate {limits.rate_limit}/second burst {limits.burst_limit} packets"
    for port, log in sorted(logged(logs, event).items()):
        to = f'log prefix "{event} {log.id}" group {GROUP} snaplen {SNAPLEN} queue-threshold 1'
        if not port:
            yield f"{limit} {to}"
        elif port in marks:
            yield f"meta mark {marks[port] | (OUT_BIT if way == 'in' else 0)} {limit} {to}"
