"""nftables in a namespace: whole scripts by libnftables, single set elements by nfnetlink (libnftables(3)).

A script is one transaction: all of it holds or nothing changed, and no packet meets a half-loaded table. libnftables reads
the rule set into a cache before most commands (tens of milliseconds with thousands of ports); `Nft.elements` skips
that and takes about 0.1 ms.

Base chains must have policy accept and end in a drop rule: while a table is being replaced, the kernel already calls its
new chains, still empty, and a policy of drop would cost packets.
"""

from __future__ import annotations

import ctypes
import ipaddress
import json
import os
import re
import struct
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from weft.backends.linux import netlink, netns
from weft.backends.linux.netlink import Message, attr, be32, nest, text

_SUBSYSTEM = 10
_NEWSETELEM, _DELSETELEM, _GETGEN = (_SUBSYSTEM << 8) | 12, (_SUBSYSTEM << 8) | 14, (_SUBSYSTEM << 8) | 16
_FAMILIES = {"inet": 1, "ip": 2, "arp": 3, "netdev": 5, "bridge": 7, "ip6": 10}
_JSON, _HANDLES = 1 << 4, 1 << 3
_INTERVAL_END = 1
_VERDICTS = {"drop": 0, "accept": 1, "jump": -3, "goto": -4, "return": -5}


class NftError(Exception):
    """What nft refused: the message, and the line of the script it is about."""

    def __init__(self, message: str, line: str = "") -> None:
        super().__init__(f"{message}: {line}" if line else message)
        self.line = line


class NftMissing(NftError):
    """libnftables.so.1 is not installed (Debian: libnftables1)."""


@dataclass(frozen=True, slots=True)
class SetType:
    """What the elements of a set or map are made of, in nft's names of data types.

    `key`: ifname, ether_addr, ipv4_addr, ipv6_addr, mark; several make a concatenation. `data` of a map: mark, verdict.
    Two are ours: "target" (an IPv6 address in a payload) and "zone" (of conntrack). `interval`: addresses may be CIDRs.
    """

    key: tuple[str, ...]
    data: str = ""
    interval: bool = False


@dataclass(frozen=True, slots=True)
class ElementChange:
    """One element that comes or goes. `key` one text per field of the type; `data` as nft writes it ("7", "goto chain")."""

    family: str
    table: str
    set: str
    type: SetType
    key: tuple[str, ...]
    data: str = ""
    add: bool = True


def library() -> ctypes.CDLL:
    """libnftables with the signatures of what we call. NftMissing if it cannot be loaded."""
    try:
        lib = ctypes.CDLL("libnftables.so.1")
    except OSError as error:
        raise NftMissing(f"libnftables.so.1 cannot be loaded ({error}); install the package libnftables1") from None
    pointer, string = ctypes.c_void_p, ctypes.c_char_p
    lib.nft_ctx_new.restype, lib.nft_ctx_new.argtypes = pointer, [ctypes.c_uint32]
    lib.nft_ctx_free.restype, lib.nft_ctx_free.argtypes = None, [pointer]
    lib.nft_run_cmd_from_filename.restype, lib.nft_run_cmd_from_filename.argtypes = ctypes.c_int, [pointer, string]
    lib.nft_ctx_output_set_flags.restype, lib.nft_ctx_output_set_flags.argtypes = None, [pointer, ctypes.c_uint]
    for name in ("nft_ctx_buffer_output", "nft_ctx_buffer_error"):
        getattr(lib, name).restype, getattr(lib, name).argtypes = ctypes.c_int, [pointer]
    for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
        getattr(lib, name).restype, getattr(lib, name).argtypes = string, [pointer]
    return lib


class Nft:
    """The rule set of one namespace. Safe to share between threads; `close` when done."""

    def __init__(self, namespace: str) -> None:
        self._lib = library()
        self._lock = threading.Lock()
        self._context = netns.inside(namespace, self._lib.nft_ctx_new, 0)
        self._lib.nft_ctx_buffer_output(self._context)
        self._lib.nft_ctx_buffer_error(self._context)
        self._netlink = netlink.Socket(namespace, netlink.NETFILTER)

    def close(self) -> None:
        with self._lock:
            if self._context:
                self._lib.nft_ctx_free(self._context)
                self._context = None
        self._netlink.close()

    def run(self, script: str) -> None:
        """Run a script (the language of nft(8)) as one transaction. NftError with the failing line; nothing changed then."""
        if script.strip():
            self._run(script, 0)

    def read(self, family: str, table: str) -> list[dict[str, Any]]:
        """Everything in one table (libnftables-json(5), without the metainfo); empty if there is no such table."""
        try:
            output = self._run(f"list table {family} {table}", _JSON | _HANDLES)
        except NftError as error:
            if "No such file" in str(error):
                return []
            raise
        objects: list[dict[str, Any]] = json.loads(output)["nftables"]
        return [thing for thing in objects if "metainfo" not in thing]

    def reset_counters(self, family: str, table: str) -> list[dict[str, Any]]:
        """The named counters of a table as in `read`, which count from zero on from that moment; no transaction."""
        try:
            output = self._run(f"reset counters table {family} {table}", _JSON | _HANDLES)
        except NftError as error:
            if "No such file" in str(error):
                return []
            raise
        objects: list[dict[str, Any]] = json.loads(output)["nftables"] if output.strip() else []
        return [thing for thing in objects if "metainfo" not in thing]

    def elements(self, changes: Sequence[ElementChange]) -> None:
        """Add and remove elements of sets and maps in one transaction, past libnftables. NftError if any is refused
        (a removal of what is not there, an addition that contradicts an element); nothing changed then."""
        try:
            self._netlink.transaction([_element_message(change) for change in changes], _SUBSYSTEM)
        except netlink.NetlinkError as error:
            raise NftError(f"set elements refused: {error.strerror}") from error

    def generation(self) -> int:
        """The number of transactions that this namespace's rule set has seen, by anybody: unchanged means that nobody
        changed anything."""
        (answer,) = self._netlink.request(Message(_GETGEN, struct.pack(">BBH", 0, 0, 0)))
        generation: int = struct.unpack(">I", netlink.unpack(answer, 4)[1])[0]
        return generation

    def _run(self, script: str, flags: int) -> str:
        with self._lock:
            self._lib.nft_ctx_output_set_flags(self._context, flags)
            result = self._run_file(script.encode())
            output = (self._lib.nft_ctx_get_output_buffer(self._context) or b"").decode(errors="replace")
            errors = (self._lib.nft_ctx_get_error_buffer(self._context) or b"").decode(errors="replace")
        if result != 0:
            raise _explain(script, errors)
        return output

    def _run_file(self, script: bytes) -> int:
        fd = os.memfd_create("nft", os.MFD_CLOEXEC)  # from a file, since errors in a buffer come without the line
        try:
            with open(fd, "wb", closefd=False) as file:
                file.write(script)
            result: int = self._lib.nft_run_cmd_from_filename(self._context, f"/proc/self/fd/{fd}".encode())
            return result
        finally:
            os.close(fd)


def _explain(script: str, errors: str) -> NftError:
    found = re.search(r"^\S*?:(\d+):[\d-]+: Error: (.*)$", errors, re.MULTILINE)
    if not found:
        return NftError(errors.strip().splitlines()[0] if errors.strip() else "nft failed without a message")
    lines = script.splitlines()
    number = int(found[1])
    line = lines[number - 1].strip() if 0 < number <= len(lines) else ""
    return NftError(f"nft: {found[2]}", line[:300])


def _field(kind: str, value: str) -> bytes:
    if kind == "ifname":
        return value.encode().ljust(16, b"\0")
    if kind == "ether_addr":
        return bytes.fromhex(value.replace(":", ""))
    if kind in ("ipv4_addr", "ipv6_addr"):
        return ipaddress.ip_address(value).packed
    if kind == "mark":
        return struct.pack("=I", int(value, 0))
    if kind == "zone":
        return struct.pack("=H", int(value))
    raise ValueError(f"no encoding for nft type {kind}")


def _bounds(kind: str, value: str) -> tuple[bytes, bytes]:
    """First and last value of a field that may be a CIDR."""
    if kind in ("ipv4_addr", "ipv6_addr", "target"):
        network = ipaddress.ip_network(value)
        return network.network_address.packed, network.broadcast_address.packed
    return _field(kind, value), _field(kind, value)


def _concatenated(fields: Iterable[bytes]) -> bytes:
    return b"".join(f + b"\0" * (-len(f) % 4) for f in fields)


def _keys(type_: SetType, key: tuple[str, ...]) -> Iterable[bytes]:
    """The attributes that make the key: of one element, or of the two that bound an interval of a single field."""
    first, last = zip(*(_bounds(kind, value) for kind, value in zip(type_.key, key, strict=True)), strict=True)
    if len(first) > 1:
        range_end = nest(10, attr(1, _concatenated(last))) if type_.interval else b""
        yield nest(1, attr(1, _concatenated(first))) + range_end
        return
    yield nest(1, attr(1, first[0]))
    after = int.from_bytes(last[0], "big") + 1
    if type_.interval and after < 1 << 8 * len(last[0]):
        yield nest(1, attr(1, after.to_bytes(len(last[0]), "big"))) + be32(3, _INTERVAL_END)


def _data(type_: SetType, data: str) -> bytes:
    if type_.data == "verdict":
        word, _, chain = data.partition(" ")
        code = struct.pack(">i", _VERDICTS[word])
        return nest(2, nest(2, attr(1, code), *([text(2, chain)] if chain else [])))
    return nest(2, attr(1, _bounds(type_.data, data)[0]))


def _element_message(change: ElementChange) -> Message:
    data = _data(change.type, change.data) if change.type.data and change.add else b""
    items = [nest(1, key, data) for key in _keys(change.type, change.key)]
    head = struct.pack(">BBH", _FAMILIES[change.family], 0, 0)
    body = head + text(1, change.table) + text(2, change.set) + nest(3, *items)
    return Message(_NEWSETELEM if change.add else _DELSETELEM, body, netlink.CREATE if change.add else 0)
