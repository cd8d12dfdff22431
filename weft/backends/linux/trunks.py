"""Sub-ports of trunks: frames with a tag on the parent's device, as devices of their own; without the kernel's 8021q.

A sub-port's device `tap<11>` is a veth whose other end, `sub<11>`, also stays in the host namespace. Two classifiers carry
frames between that end and the parent's device: what comes in there with the sub-port's tag loses it and leaves by `sub<11>`,
hence comes in by the sub-port's own device; what comes in by `sub<11>` gets the tag and leaves by the parent's device. To
everything else (bridge, firewall, responder) a sub-port is a port like others. Tags that no sub-port has go on as they are,
and the firewall lets none pass. Our classifiers are known by their name, which says what they do (a digest).
"""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from weft.backends.linux import bpf, names, netlink
from weft.backends.linux.bpf import Instruction
from weft.backends.linux.links import Create, Delete, Link, Links, diff
from weft.backends.linux.netlink import Message, nest, text, u32
from weft.logical.model import HostView, LogicalPort

_NEWQDISC, _GETQDISC = 36, 38
_NEWFILTER, _DELFILTER, _GETFILTER = 44, 45, 46
_KIND, _OPTIONS = 1, 2
_BPF_FD, _BPF_NAME, _BPF_FLAGS = 6, 7, 8
_ACT_DIRECT = 1
_HANDLE = 1
_CLSACT, _INGRESS = 0xFFFFFFF1, 0xFFFFFFF2
_EVERYTHING = 0x0300  # ETH_P_ALL in network order
_GONE = frozenset({errno.ENOENT, errno.EINVAL, errno.ENODEV})

_TCMSG = struct.Struct("=BxxxiIII")  # family, index of the link, handle, parent, info

PRIORITY = 0x5744
"""Before whatever else we do with what comes in by a device: a tagged frame is the sub-port's, not the parent's."""
MARK = "weft:"
_TAG_TYPE = socket.htons(0x8100)


@dataclass(frozen=True, slots=True)
class Part:
    """A sub-port: `port` and `parent` are ids, `tag` a VLAN id, `mtu` that of its own network in bytes. Not `enabled`: no
    frame passes between it and its parent."""

    port: str
    parent: str
    tag: int
    mtu: int
    enabled: bool = True

    @property
    def tap(self) -> str:
        return names.tap(self.port)

    @property
    def end(self) -> str:
        return names.sub(self.port)


@dataclass(slots=True)
class Outcome:
    """`failed`: devices that could not be made or do not pass their frames on, with the reason; `drift`: in words."""

    failed: dict[str, str] = field(default_factory=dict)
    drift: list[str] = field(default_factory=list)


# Pure: which sub-ports there are.


def parts(ports: Iterable[LogicalPort], desired: HostView) -> list[Part]:
    """The sub-ports among `ports`, whose parents are all of this host."""
    return [
        Part(port.id, port.parent, port.tag, desired.switches[port.switch].mtu, port.enabled and above.enabled)
        for port in ports
        if port.parent and port.switch in desired.switches and (above := desired.ports.get(port.parent))
    ]


def parents(ids: Iterable[str], *tables: Mapping[str, LogicalPort]) -> set[str]:
    """Whose trunks are concerned when these ports change: of sub-ports, as they were or are, the parents; and they themselves
    if they are parents. A parent has one classifier for all of its sub-ports, so these are made together."""
    asked = set(ids)
    return {
        port.parent
        for ports in tables
        for port in ports.values()
        if port.parent and (port.id in asked or port.parent in asked)
    }


# Pure: what the classifiers do.


def untag(ways: Mapping[int, int]) -> bytes:
    """For a parent's device: tag -> index of the device that its frames leave by, without the tag."""
    choices: list[Instruction] = []
    for position, (tag, index) in enumerate(sorted(ways.items())):
        after = 3 * (len(ways) - position - 1)
        choices += [bpf.unless(7, tag, 2), bpf.constant(8, index), bpf.jump(after + 2)]
    body = [
        bpf.load_word(7, 6, bpf.VLAN_TCI),
        bpf.mask(7, 0xFFF),
        *choices,
        *bpf.leave(bpf.PASS),
        bpf.copy(1, 6),
        bpf.call(bpf.VLAN_POP),
        *_redirect_or_drop(bpf.copy(1, 8)),
    ]
    head = [
        bpf.copy(6, 1),
        bpf.load_word(7, 6, bpf.VLAN_PRESENT),
        bpf.unless(7, 0, 2),
        *bpf.leave(bpf.PASS),
        bpf.load_word(7, 6, bpf.VLAN_PROTOCOL),
        bpf.unless(7, _TAG_TYPE, 1),
        bpf.jump(2),
        *bpf.leave(bpf.PASS),
    ]
    return bpf.assemble([*head, *body])


def tag(number: int, index: int) -> bytes:
    """For the end of a sub-port: what comes in leaves by the device `index` with the tag."""
    return bpf.assemble(
        [
            bpf.constant(2, _TAG_TYPE),
            bpf.constant(3, number),
            bpf.call(bpf.VLAN_PUSH),
            *_redirect_or_drop(bpf.constant(1, index)),
        ]
    )


def _redirect_or_drop(device: Instruction) -> list[Instruction]:
    return [bpf.unless(0, 0, 4), device, bpf.constant(2, 0), bpf.call(bpf.REDIRECT), bpf.END, *bpf.leave(bpf.DROP)]


def programs(parts: Iterable[Part], actual: Mapping[str, Link]) -> dict[str, bytes]:
    """Device -> its classifier, for the devices of the parts and their parents that are there."""
    ways: dict[str, dict[int, int]] = {}
    found: dict[str, bytes] = {}
    for part in parts:
        above, end = actual.get(names.tap(part.parent)), actual.get(part.end)
        if part.enabled and above and end:
            ways.setdefault(above.name, {})[part.tag] = end.index
            found[part.end] = tag(part.tag, above.index)
    return found | {device: untag(tags) for device, tags in ways.items()}


def name_of(code: bytes) -> str:
    """What the kernel shows of a classifier of ours."""
    return MARK + hashlib.sha256(code).hexdigest()[:16]


class Trunks:
    """Sub-ports of one namespace. Remembers what it made, so that nothing is read where nothing changed."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._netlink = netlink.Socket(namespace, netlink.ROUTE)
        self._made: dict[str, tuple[int, str]] = {}  # device -> index, name of its classifier
        self._ends: set[str] = set()  # of the pairs that were made

    def close(self) -> None:
        """Let go; frames go on passing."""
        self._netlink.close()

    def set(
        self, parts: Sequence[Part], devices: Iterable[str], actual: dict[str, Link], links: Links, full: bool
    ) -> Outcome:
        """Make these parts, all that their parents have, and let go of what else of ours is on `devices`.

        `actual` are the links as they are, and is kept so. With `full` every classifier is read, and all that is ours and
        not asked for goes."""
        outcome = Outcome()
        looked_at = frozenset(devices)
        if full:
            looked_at |= {name for name in actual if names.is_sub(name)} | self._made.keys()
        self._pairs(parts, looked_at, actual, links, outcome)
        wanted = programs(parts, actual)
        have = self._read(actual) if full else {}
        for device in sorted(looked_at | wanted.keys() | have.keys()):
            link = actual.get(device)
            if link is None:
                self._made.pop(device, None)
                continue
            before = have.get(device, "") if full else self._standing(link)
            after = name_of(wanted[device]) if device in wanted else ""
            if full and before != after and self._made.get(device) == (link.index, after):
                outcome.drift.append(f"the classifier of {device} was changed")
            if before != after:
                self._classify(link, wanted.get(device), outcome)
        return outcome

    def _standing(self, link: Link) -> str:
        index, name = self._made.get(link.name, (0, ""))
        return name if index == link.index else ""

    def _pairs(
        self, parts: Sequence[Part], looked_at: frozenset[str], actual: dict[str, Link], links: Links, outcome: Outcome
    ) -> None:
        """The devices themselves: two ends of a veth each, the far one up."""
        ends = {part.end for part in parts}
        changes: list[Create | Delete] = []
        for name in sorted(looked_at - ends):
            if names.is_sub(name) and name in actual and actual[name].kind == "veth":
                changes.append(Delete(name))
        for part in parts:
            if part.tap in actual and part.end in actual:
                continue
            changes += [Delete(name) for name in (part.tap, part.end) if name in actual]
            pair = Link(part.tap, kind="veth", mtu=part.mtu, peer=(self._namespace, part.end))
            changes.append(Create(pair))
            if part.end in self._ends:
                outcome.drift.append(f"veth {part.tap} was gone")
        self._ends = (self._ends - looked_at) | ends
        outcome.failed |= links.apply(changes)
        touched = {change.name for change in changes} | {part.end for part in parts} | {part.tap for part in parts}
        touched |= {names.tap_of_sub(name) for name in touched if names.is_sub(name)}
        if changes:
            for name in touched:
                actual.pop(name, None)
            actual |= links.get(touched)
        far = [Link(part.end, mtu=part.mtu, up=True) for part in parts if part.end in actual]
        outcome.failed |= links.apply(diff(actual, far))

    def _classify(self, link: Link, code: bytes | None, outcome: Outcome) -> None:
        """Give the link's ingress this classifier in place of the one it has, in one step; None: take it away."""
        where = _TCMSG.pack(0, link.index, _HANDLE, _INGRESS, PRIORITY << 16 | _EVERYTHING)
        if code is None:
            self._talk(link, [(Message(_DELFILTER, where), _GONE)], outcome)
            self._made.pop(link.name, None)
            return
        hooks = _TCMSG.pack(0, link.index, 0xFFFF0000, _CLSACT, 0) + text(_KIND, "clsact")
        try:
            descriptor = bpf.load(code, "weft_trunk")
        except OSError as error:
            outcome.failed[link.name] = f"no eBPF: {error}"
            return
        try:
            options = nest(
                _OPTIONS, u32(_BPF_FD, descriptor), text(_BPF_NAME, name_of(code)), u32(_BPF_FLAGS, _ACT_DIRECT)
            )
            messages = [
                (Message(_NEWQDISC, hooks, netlink.CREATE | netlink.EXCL), frozenset({errno.EEXIST})),
                (Message(_NEWFILTER, where + text(_KIND, "bpf") + options, netlink.CREATE), frozenset()),
            ]
            self._talk(link, messages, outcome)
        finally:
            os.close(descriptor)
        if link.name not in outcome.failed:
            self._made[link.name] = link.index, name_of(code)

    def _talk(self, link: Link, messages: Sequence[tuple[Message, frozenset[int]]], outcome: Outcome) -> None:
        for (_, harmless), answer in zip(messages, self._netlink.talk([one for one, _ in messages]), strict=True):
            if answer.error and answer.error.errno not in harmless:
                outcome.failed[link.name] = answer.error.strerror or str(answer.error)

    def _read(self, actual: Mapping[str, Link]) -> dict[str, str]:
        """Device -> name of our classifier there."""
        by_index = {link.index: name for name, link in actual.items()}
        hooked = []
        for part in self._netlink.dump(Message(_GETQDISC, _TCMSG.pack(0, 0, 0, 0, 0))):
            if netlink.cstring(netlink.unpack(part, _TCMSG.size).get(_KIND, b"")) == "clsact":
                hooked.append(_TCMSG.unpack_from(part)[1])
        found = {}
        for index in hooked:
            for name in self._classifiers(index):
                if index in by_index and name.startswith(MARK):
                    found[by_index[index]] = name
        return found

    def _classifiers(self, index: int) -> list[str]:
        try:
            parts = list(self._netlink.dump(Message(_GETFILTER, _TCMSG.pack(0, index, 0, _INGRESS, 0))))
        except netlink.NetlinkError as error:
            if error.errno in _GONE:
                return []
            raise
        options = [netlink.unpack(netlink.unpack(part, _TCMSG.size).get(_OPTIONS, b"")) for part in parts]
        return [netlink.cstring(one[_BPF_NAME]) for one in options if _BPF_NAME in one]
