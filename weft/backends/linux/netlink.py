"""Netlink messages as bytes: encode, send many at once, read the answers (netlink(7)).

Written out here, instead of through a library, because what we send is small and regular: many messages go out in one
system call, every one has its own answer, and a dump reads only the attributes that somebody asked for.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from weft.backends.linux import netns

ROUTE, NETFILTER = 0, 12

REQUEST, ACK, DUMP, REPLACE, EXCL, CREATE, APPEND = 0x1, 0x4, 0x300, 0x100, 0x200, 0x400, 0x800
NESTED = 0x8000

_ERROR, _DONE = 2, 3
_MULTI, _INTERRUPTED, _CAPPED, _ACK_TLVS = 0x2, 0x10, 0x100, 0x200
_HEADER = struct.Struct("=IHHII")
_ATTR = struct.Struct("=HH")
_SOL_NETLINK, _ADD_MEMBERSHIP, _CAP_ACK, _EXT_ACK, _GET_STRICT = 270, 1, 10, 11, 12
_SO_RCVBUFFORCE = 33
_AT_ONCE = 128  # messages in flight: their answers must fit the receive buffer


class NetlinkError(OSError):
    """What the kernel refused, with its own words where it had some."""


class Timeout(NetlinkError):
    """The kernel owes an answer and has not given it in 10 s."""


@dataclass(frozen=True, slots=True)
class Message:
    """One request: type, flags besides REQUEST and ACK, and what follows the header."""

    type: int
    body: bytes
    flags: int = 0


@dataclass(slots=True)
class Answer:
    """What came back for one request: bodies of messages, or an error."""

    error: NetlinkError | None = None
    parts: list[bytes] = field(default_factory=list)


def attr(kind: int, payload: bytes) -> bytes:
    """One attribute, padded to 4 bytes."""
    return _ATTR.pack(len(payload) + 4, kind) + payload + b"\0" * (-len(payload) % 4)


def nest(kind: int, *attributes: bytes) -> bytes:
    """An attribute made of attributes."""
    return attr(kind | NESTED, b"".join(attributes))


def text(kind: int, value: str) -> bytes:
    return attr(kind, value.encode() + b"\0")


def u8(kind: int, value: int) -> bytes:
    return attr(kind, bytes([value]))


def u16(kind: int, value: int) -> bytes:
    return attr(kind, struct.pack("=H", value))


def u32(kind: int, value: int) -> bytes:
    return attr(kind, struct.pack("=I", value))


def be16(kind: int, value: int) -> bytes:
    return attr(kind, struct.pack(">H", value))


def be32(kind: int, value: int) -> bytes:
    return attr(kind, struct.pack(">I", value))


def attributes(body: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """(kind without flags, payload) of each attribute from `offset` on."""
    end = len(body)
    while offset + 4 <= end:
        length, kind = _ATTR.unpack_from(body, offset)
        if length < 4:
            return
        yield kind & 0x3FFF, body[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def unpack(body: bytes, offset: int = 0) -> dict[int, bytes]:
    """The attributes by kind; of repeated ones the last."""
    return dict(attributes(body, offset))


def cstring(payload: bytes) -> str:
    return payload.rstrip(b"\0").decode(errors="replace")


class Socket:
    """A netlink socket of one protocol in one namespace. One conversation at a time; safe to share between threads.

    `groups` are multicast groups to listen to (a socket that listens is read with `receive` and not used to talk).
    """

    def __init__(self, namespace: str, protocol: int, groups: Iterable[int] = ()) -> None:
        self._socket = netns.open_socket(namespace, socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._lock = threading.Lock()
        self._sequence = 0
        self._socket.bind((0, 0))
        for option in (_CAP_ACK, _EXT_ACK):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 4 << 20)
        for group in groups:
            self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
        self._socket.settimeout(10)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def talk(self, messages: Sequence[Message]) -> list[Answer]:
        """Send them all, in few system calls; one answer each, in their order. One that fails does not stop the rest."""
        answers: list[Answer] = []
        with self._lock:
            for start in range(0, len(messages), _AT_ONCE):
                answers += self._exchange(messages[start : start + _AT_ONCE])
        return answers

    def request(self, message: Message) -> list[bytes]:
        """The bodies that answer one message; raises what the kernel refused."""
        (answer,) = self.talk([message])
        if answer.error:
            raise answer.error
        return answer.parts

    def dump(self, message: Message) -> list[bytes]:
        """Every object that a dump request lists. Repeated when the kernel says that it changed meanwhile."""
        for _ in range(10):
            with self._lock:
                interrupted, parts = self._dump(message)
            if not interrupted:
                break
        return parts

    def transaction(self, messages: Sequence[Message], subsystem: int) -> None:
        """An nfnetlink batch: all of them or none. Raises the first refusal."""
        if not messages:
            return
        marker = struct.pack(">BBH", 0, 0, subsystem)
        begin, end = Message(16, marker), Message(17, marker)
        with self._lock:
            first = self._sequence + 1
            wire = self._encode(begin, REQUEST)
            wire += b"".join(self._encode(m, REQUEST | ACK | m.flags) for m in messages)
            wire += self._encode(end, REQUEST)
            self._socket.send(wire)
            waiting = set(range(first + 1, first + 1 + len(messages)))
            failure: NetlinkError | None = None
            while waiting and not (failure and first not in waiting and not self._pending()):
                for kind, flags, sequence, body in self._receive():
                    if kind != _ERROR or sequence < first:
                        continue
                    waiting.discard(sequence)
                    error = _error(flags, body)
                    if error and failure is None:
                        failure = error
        if failure:
            raise failure

    def receive(self) -> list[tuple[int, bytes]]:
        """(type, body) of messages that were multicast. Raises OSError ENOBUFS after an overrun: look at everything anew."""
        return [(kind, body) for kind, _, _, body in self._receive()]

    def _pending(self) -> bool:
        try:
            self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        return True

    def _encode(self, message: Message, flags: int) -> bytes:
        self._sequence += 1
        padding = b"\0" * (-len(message.body) % 4)
        head = _HEADER.pack(16 + len(message.body), message.type, flags, self._sequence, 0)
        return head + message.body + padding

    def _exchange(self, messages: Sequence[Message]) -> list[Answer]:
        first = self._sequence + 1
        self._socket.send(b"".join(self._encode(m, REQUEST | ACK | m.flags) for m in messages))
        answers = [Answer() for _ in messages]
        missing = len(messages)
        while missing:
            for kind, flags, sequence, body in self._receive():
                if not first <= sequence < first + len(messages):
                    continue
                answer = answers[sequence - first]
                if kind == _ERROR:
                    answer.error = _error(flags, body)
                    missing -= 1
                elif kind != _DONE:
                    answer.parts.append(body)
        return answers

    def _dump(self, message: Message) -> tuple[bool, list[bytes]]:
        self._socket.send(self._encode(message, REQUEST | DUMP | message.flags))
        parts: list[bytes] = []
        interrupted = False
        while True:
            for kind, flags, sequence, body in self._receive():
                if sequence != self._sequence:
                    continue
                interrupted |= bool(flags & _INTERRUPTED)
                if kind == _ERROR:
                    error = _error(flags, body)
                    if error:
                        raise error
                    return interrupted, parts
                if kind == _DONE:
                    return interrupted, parts
                parts.append(body)

    def _receive(self) -> Iterator[tuple[int, int, int, bytes]]:
        try:
            data = self._socket.recv(1 << 18)
        except TimeoutError:
            raise Timeout(errno.ETIMEDOUT, "the kernel did not answer a netlink request") from None
        offset = 0
        while offset + 16 <= len(data):
            length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
            yield kind, flags, sequence, data[offset + 16 : offset + length]
            offset += (length + 3) & ~3


def _error(flags: int, body: bytes) -> NetlinkError | None:
    (number,) = struct.unpack_from("=i", body)
    if number == 0:
        return None
    words = os.strerror(-number)
    if flags & _ACK_TLVS:
        length = 16 if flags & _CAPPED else struct.unpack_from("=I", body, 4)[0]
        said = unpack(body, 4 + ((length + 3) & ~3)).get(1)  # NLMSGERR_ATTR_MSG
        if said:
            words = f"{words} ({cstring(said)})"
    return NetlinkError(-number, words)
