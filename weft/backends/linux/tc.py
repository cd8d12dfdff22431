"""Traffic control of a namespace's links by netlink: token bucket filters, and sending packets round by other links.

Ours are recognised by the handle of a root (0x5745, "WE") and by the priority of a filter (the same number, or one more);
whatever else is there is neither shown nor touched. A rate that changes keeps the packets that wait (tc-tbf(8),
tc-mirred(8)).
"""

from __future__ import annotations

import errno
import itertools
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from weft.backends.linux import netlink
from weft.backends.linux.names import Way
from weft.backends.linux.netlink import Message, attr, nest, text, u32

_NEWQDISC, _GETQDISC = 36, 38
_NEWFILTER, _DELFILTER, _GETFILTER = 44, 45, 46
_KIND, _OPTIONS = 1, 2
_MESSAGE = struct.Struct("=BxxxiIII")  # family, index of the link, handle, parent, info
_TBF = struct.Struct("=BBHhHI BBHhHI III".replace(" ", ""))  # rate, peak rate, limit, buffer, MTU
_SELECTOR = struct.Struct("=BBBxHHhhI IIii".replace(" ", ""))  # one key that matches everything
_MIRRED = struct.Struct("=IIiiiiI")

OURS = 0x5745
_ROOT, _CLSACT = 0xFFFFFFFF, 0xFFFFFFF1
_HOOKS: Mapping[Way, int] = {"from": 0xFFFFFFF2, "to": 0xFFFFFFF3}  # ingress and egress of the link
# u32 keeps the filters of both hooks in one list, in which only their priority tells them apart
_PRIORITIES: Mapping[Way, int] = {"from": OURS, "to": OURS + 1}
_EVERYTHING = 0x0300  # ETH_P_ALL in network order
_ETHERNET, _TERMINAL, _STOLEN, _REDIRECT = 1, 1, 4, 1
_TICK = 64  # ns
_GONE = frozenset({errno.ENOENT, errno.EINVAL, errno.ENODEV})


@dataclass(frozen=True, slots=True)
class Bucket:
    """A token bucket: `rate` in bytes a second, `burst` bytes at once, `limit` bytes that may wait; more is dropped."""

    rate: int
    burst: int
    limit: int

    def resembles(self, other: Bucket) -> bool:
        """The same, but for what the kernel's arithmetic of ticks loses."""
        lost = 16 + self.burst // 500 + self.rate * 2 * _TICK // 10**9
        return (self.rate, self.limit) == (other.rate, other.limit) and abs(self.burst - other.burst) <= lost


@dataclass(frozen=True, slots=True)
class SetRoot:
    """What leaves by the link passes `bucket` only. (To give a link another queue loses packets for some ms: this is for
    links that nothing passes yet, or to change the bucket that is there.)"""

    link: int
    bucket: Bucket


@dataclass(frozen=True, slots=True)
class Redirect:
    """Send what comes `from` the workload behind a link, or goes `to` it, round by the link `by`, which hands it back; None:
    no more."""

    link: int
    way: Way
    by: int | None


Step = SetRoot | Redirect


class Tc:
    """Traffic control in one namespace; links are named by their index. `close` when done."""

    def __init__(self, namespace: str) -> None:
        self._netlink = netlink.Socket(namespace, netlink.ROUTE)

    def close(self) -> None:
        self._netlink.close()

    def read(self) -> tuple[dict[int, Bucket], dict[tuple[int, Way], int]]:
        """Our buckets by link, and by which link our filters send packets round: 0 where that is gone."""
        buckets, hooked = {}, []
        for part in self._netlink.dump(Message(_GETQDISC, _MESSAGE.pack(0, 0, 0, 0, 0))):
            _, link, handle, parent, _ = _MESSAGE.unpack_from(part)
            values = netlink.unpack(part, _MESSAGE.size)
            kind = netlink.cstring(values.get(_KIND, b""))
            if parent == _ROOT and handle >> 16 == OURS and kind == "tbf":
                buckets[link] = _bucket(netlink.unpack(values[_OPTIONS]))
            elif kind == "clsact":
                hooked.append(link)
        return buckets, self._redirects(hooked)

    def _redirects(self, links: Iterable[int]) -> dict[tuple[int, Way], int]:
        found = {}
        for link, (way, hook) in itertools.product(links, _HOOKS.items()):
            try:
                parts = self._netlink.dump(Message(_GETFILTER, _MESSAGE.pack(0, link, 0, hook, 0)))
            except netlink.NetlinkError as error:
                if error.errno not in _GONE:
                    raise
                continue
            for part in parts:
                target = _target(part, _PRIORITIES[way])
                if target is not None:
                    found[link, way] = target
        return found

    def apply(self, steps: Sequence[Step]) -> dict[Step, str]:
        """Take all steps in their order; those that failed, with the reason. What is gone is undone."""
        failed: dict[Step, str] = {}
        for prepare in (_preparation, _execution):
            messages = [(step, *one) for step in steps if step not in failed for one in prepare(step)]
            answers = self._netlink.talk([message for _, message, _ in messages])
            for (step, _, harmless), answer in zip(messages, answers, strict=True):
                if answer.error and answer.error.errno not in harmless:
                    failed.setdefault(step, answer.error.strerror or str(answer.error))
        return failed


Messages = Iterable[tuple[Message, frozenset[int]]]
"""(message, errors that mean no harm)."""


def _preparation(step: Step) -> Messages:
    """What must have succeeded before anything is sent round: the bucket, and the hooks for filters. Refused where
    somebody else uses the older kind of hook (tc's `ingress`), which knows one way only."""
    if isinstance(step, SetRoot):
        body = _MESSAGE.pack(0, step.link, OURS << 16, _ROOT, 0) + text(_KIND, "tbf") + _tbf(step.bucket)
        yield Message(_NEWQDISC, body, netlink.CREATE | netlink.REPLACE), frozenset()
    elif step.by is not None:
        body = _MESSAGE.pack(0, step.link, 0xFFFF0000, _CLSACT, 0) + text(_KIND, "clsact")
        yield Message(_NEWQDISC, body, netlink.CREATE), frozenset()


def _execution(step: Step) -> Messages:
    if isinstance(step, Redirect):
        filters = _MESSAGE.pack(0, step.link, 0, _HOOKS[step.way], _PRIORITIES[step.way] << 16 | _EVERYTHING)
        yield Message(_DELFILTER, filters), _GONE
        if step.by is not None:
            body = filters + text(_KIND, "u32") + _redirection(step.by)
            yield Message(_NEWFILTER, body, netlink.CREATE | netlink.EXCL), frozenset()


def _tbf(bucket: Bucket) -> bytes:
    """TCA_OPTIONS: parameters (1), the rate where 32 bits do not hold it (4), the burst in bytes (6)."""
    largest = 2**32 - 1
    parameters = _TBF.pack(
        0, _ETHERNET, 0, -1, 0, min(bucket.rate, largest), 0, 0, 0, 0, 0, 0, min(bucket.limit, largest), 0, 0
    )
    wide = attr(4, struct.pack("=Q", bucket.rate)) if bucket.rate > largest else b""
    return nest(_OPTIONS, attr(1, parameters), wide, u32(6, bucket.burst))


def _bucket(options: Mapping[int, bytes]) -> Bucket:
    values = _TBF.unpack_from(options[1])
    rate = struct.unpack("=Q", options[4])[0] if 4 in options else values[5]
    return Bucket(rate=rate, burst=values[13] * _TICK * rate // 10**9, limit=values[12])


def _redirection(by: int) -> bytes:
    """TCA_OPTIONS of u32: a selector (5) that matches everything, and the action (7) mirred."""
    everything = _SELECTOR.pack(_TERMINAL, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    action = _MIRRED.pack(0, 0, _STOLEN, 0, 0, _REDIRECT, by)
    return nest(_OPTIONS, attr(5, everything), nest(7, nest(1, text(1, "mirred"), nest(2, attr(2, action)))))


def _target(part: bytes, priority: int) -> int | None:
    """The link that a filter of ours sends packets round by, 0 when it is gone; None for what is no such filter."""
    _, _, _, _, info = _MESSAGE.unpack_from(part)
    options = netlink.unpack(netlink.unpack(part, _MESSAGE.size).get(_OPTIONS, b""))
    if info >> 16 != priority or 7 not in options:
        return None
    action = netlink.unpack(netlink.unpack(options[7]).get(1, b""))
    parameters = netlink.unpack(action.get(2, b"")).get(2, b"")
    return int(_MIRRED.unpack_from(parameters)[6]) if len(parameters) >= _MIRRED.size else None
