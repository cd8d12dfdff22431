"""Links, addresses and routes of a namespace: read what is, compare with what should be (pure), apply in one batch.

A `Link` describes both. In a wanted one, what is None or empty is left as it is. Routes of ours carry protocol 87
("W"); others are neither shown nor touched.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from weft.backends.linux import netlink, netns
from weft.backends.linux.netlink import Message, attr, be16, nest, text, u8, u16, u32

PROTOCOL = 87
VXLAN_PORT = 4789

_NEWLINK, _DELLINK, _GETLINK = 16, 17, 18
_NEWADDR, _DELADDR, _GETADDR = 20, 21, 22
_NEWROUTE, _DELROUTE, _GETROUTE = 24, 25, 26
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINK, _IFLA_MASTER, _IFLA_LINKINFO = 1, 3, 4, 5, 10, 18
_IFLA_NET_NS_FD, _IFLA_EXT_MASK, _IFLA_CARRIER = 28, 29, 33
_ISOLATED = 33  # IFLA_BRPORT_ISOLATED
_SKIP_STATISTICS = 1 << 3
_UP = 1
_LINK = struct.Struct("=BxHiII")  # family, type, index, flags, which flags
_ADDR = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")

# How bridges are: (IFLA_BR_*, encoder, value) of STP, multicast snooping, calls of iptables, ip6tables, arptables hooks
_BRIDGE: Sequence[tuple[int, Callable[[int, int], bytes], int]] = (
    (5, u32, 0),
    (23, u8, 0),
    (36, u8, 1),
    (37, u8, 1),
    (38, u8, 0),
)


@dataclass(frozen=True, slots=True)
class Link:
    """One network device. `mtu` in bytes; `master` the name of the bridge it is a port of; `peer` (namespace, name) of a
    veth's other end with `peer_mac`, only used to create it; `vni`, `local` and `vlan`, `parent` of a vxlan or vlan device.

    As read: everything the kernel said, `master` "" when it has none. `settings` of a bridge: whether it is as we
    configure bridges (no STP, no multicast snooping, netfilter sees its frames). `isolated` of a bridge port: it exchanges
    no frames with other isolated ones.
    """

    name: str
    kind: str = ""
    mtu: int | None = None
    up: bool | None = None
    mac: str = ""
    master: str | None = None
    peer: tuple[str, str] | None = None
    peer_mac: str = ""
    vni: int = 0
    local: str = ""
    vlan: int = 0
    parent: str = ""
    isolated: bool | None = None
    settings: bool = True
    carrier: bool | None = field(default=None, compare=False)
    index: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Create:
    """Make a link that is not there, with all that it says."""

    link: Link

    @property
    def name(self) -> str:
        return self.link.name


@dataclass(frozen=True, slots=True)
class Modify:
    """Change what `link` says (its other fields are empty) of a link that is there. `master` "" detaches it."""

    link: Link

    @property
    def name(self) -> str:
        return self.link.name


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a link; of a veth, both ends."""

    name: str


Change = Create | Modify | Delete


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """An address with prefix length ("10.0.0.1/24") on a link."""

    link: str
    cidr: str


@dataclass(frozen=True, slots=True, order=True)
class Route:
    """A route of ours in the main table: canonical CIDR `destination`, by `nexthop` ('' when on link) or out of `link`.
    `onlink`: the next hop need not be in a connected subnet."""

    destination: str
    nexthop: str = ""
    link: str = ""
    onlink: bool = field(default=False, compare=False)


T = TypeVar("T", Address, Route)


def diff(actual: Mapping[str, Link], wanted: Iterable[Link]) -> list[Change]:
    """What turns `actual` into `wanted`. Pure. Links that nobody wants are not mentioned; `Delete` is the caller's decision.

    A link of another kind, or with another VNI, VLAN tag or tunnel address, is made anew."""
    changes: list[Change] = []
    for want in wanted:
        have = actual.get(want.name)
        if have is not None and want.kind and not _same_making(have, want):
            changes.append(Delete(want.name))
            have = None
        if have is None:
            changes.append(Create(want))
            continue
        change = Link(
            want.name,
            kind="bridge" if want.kind == "bridge" and not have.settings else "",
            mtu=want.mtu if want.mtu not in (None, have.mtu) else None,
            up=want.up if want.up not in (None, have.up) else None,
            mac=want.mac if want.mac not in ("", have.mac) else "",
            master=want.master if want.master not in (None, have.master) else None,
            isolated=want.isolated if want.isolated not in (None, have.isolated) else None,
        )
        if change != Link(want.name):
            changes.append(Modify(change))
    return changes


def _same_making(have: Link, want: Link) -> bool:
    return (have.kind, have.vni, have.local, have.vlan) == (want.kind, want.vni, want.local, want.vlan)


class Links:
    """The links, addresses and routes of one namespace. Safe to share between threads; `close` when done."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self._netlink = netlink.Socket(namespace, netlink.ROUTE)

    def close(self) -> None:
        self._netlink.close()

    def dump(self) -> dict[str, Link]:
        """Every link by name."""
        body = _LINK.pack(0, 0, 0, 0, 0) + u32(_IFLA_EXT_MASK, _SKIP_STATISTICS)
        return _named(_parse(part) for part in self._netlink.dump(Message(_GETLINK, body)))

    def get(self, names: Iterable[str]) -> dict[str, Link]:
        """Those of the named links that are there. A master's name is only known if it is named too, or already known;
        costs about 20 us each, so that `dump` is cheaper for most of them."""
        wanted = sorted(set(names))
        answers = self._netlink.talk([Message(_GETLINK, _by_name(name)) for name in wanted])
        read = [_parse(answer.parts[0]) for answer in answers if answer.parts]
        masters = {link.index for link, _, _ in read}
        missing = {master for _, master, _ in read if master} - masters
        for answer in self._netlink.talk(
            [Message(_GETLINK, _LINK.pack(0, 0, index, 0, 0)) for index in sorted(missing)]
        ):
            read += [_parse(part) for part in answer.parts]
        return {name: link for name, link in _named(read).items() if name in wanted}

    def apply(self, changes: Sequence[Change]) -> dict[str, str]:
        """Make all changes, in their order within: deletions, creations, modifications. Returns those that failed: name of
        the link and the reason; a failure stops no other. A link that is gone already was deleted successfully."""
        failed: dict[str, str] = {}
        self._batch(
            [(c.name, Message(_DELLINK, _by_name(c.name))) for c in changes if isinstance(c, Delete)],
            failed,
            harmless=errno.ENODEV,
        )
        creations = [c.link for c in changes if isinstance(c, Create)]
        self._create(creations, failed)
        modifications = [c.link for c in changes if isinstance(c, Modify)]
        # the MTU only after creation: br_netfilter keeps a copy that it does not learn at creation (fragments would be lost)
        nudged = [Link(link.name, mtu=link.mtu - 1) for link in creations if link.kind == "bridge" and link.mtu]
        later = [replace(link, kind="", mac="", peer=None) for link in creations if link.name not in failed]
        self._modify([*nudged, *later, *modifications], failed)
        return failed

    def _create(self, links: Sequence[Link], failed: dict[str, str]) -> None:
        fds: dict[str, int] = {}
        messages: list[tuple[str, Message]] = []
        try:
            parents = self.get(link.parent for link in links if link.parent)
            for link in links:
                try:
                    if link.peer and link.peer[0] not in fds:
                        fds[link.peer[0]] = netns.open_fd(link.peer[0])
                except FileNotFoundError as error:
                    failed[link.name] = error.strerror or str(error)
                    continue
                if link.parent and link.parent not in parents:
                    failed[link.name] = f"its parent {link.parent} is not there"
                    continue
                body = _creation(link, fds, parents[link.parent].index if link.parent else 0)
                messages.append((link.name, Message(_NEWLINK, body, netlink.CREATE | netlink.EXCL)))
            self._batch(messages, failed)
        finally:
            for fd in fds.values():
                os.close(fd)

    def _modify(self, links: Sequence[Link], failed: dict[str, str]) -> None:
        masters = {link.master for link in links if link.master}
        indexes = {name: link.index for name, link in self.get(masters).items()} if masters else {}
        messages = []
        for link in links:
            if link.master and link.master not in indexes:
                failed[link.name] = f"its bridge {link.master} is not there"
                continue
            messages.append((link.name, Message(_NEWLINK, _modification(link, indexes))))
        # only once it is a port of the bridge: the kernel asks the master that it had when the message began
        messages += [(link.name, Message(_NEWLINK, _isolation(link))) for link in links if link.isolated is not None]
        self._batch(messages, failed)

    def _batch(self, messages: Sequence[tuple[str, Message]], failed: dict[str, str], harmless: int = 0) -> None:
        answers = self._netlink.talk([message for _, message in messages])
        for (name, _), answer in zip(messages, answers, strict=True):
            if answer.error and answer.error.errno != harmless:
                failed[name] = answer.error.strerror or str(answer.error)

    # addresses and routes

    def addresses(self) -> set[Address]:
        """Every address but the loopback's and those link-local ones that the kernel gave."""
        names = {link.index: link.name for link in self.dump().values()}
        found = set()
        for part in self._netlink.dump(Message(_GETADDR, _ADDR.pack(0, 0, 0, 0, 0))):
            _, prefixlen, _, _, index = _ADDR.unpack_from(part)
            values = netlink.unpack(part, _ADDR.size)
            ip = ipaddress.ip_address(values.get(2) or values[1])
            kernel_made = ip.is_link_local and ip.version == 6 and values.get(11, b"\0") == b"\x03"  # IFAPROT_KERNEL_LL
            if names.get(index, "lo") != "lo" and not kernel_made:
                found.add(Address(names[index], f"{ip}/{prefixlen}"))
        return found

    def change_addresses(self, add: Iterable[Address] = (), remove: Iterable[Address] = ()) -> dict[Address, str]:
        """Remove, then add; what is as asked already is no failure. IPv6 addresses skip duplicate detection (the API
        allocates them). Returns the failures with their reasons."""
        return self._change(
            [(a, _DELADDR, 0, errno.EADDRNOTAVAIL) for a in remove]
            + [(a, _NEWADDR, netlink.CREATE | netlink.EXCL, errno.EEXIST) for a in add],
            _address_body,
        )

    def routes(self) -> set[Route]:
        """The routes with our protocol number in the main table."""
        names = {link.index: link.name for link in self.dump().values()}
        found = set()
        for family in (socket.AF_INET, socket.AF_INET6):
            for part in self._netlink.dump(Message(_GETROUTE, _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0))):
                _, length, _, _, table, protocol, _, _, _ = _ROUTE.unpack_from(part)
                if protocol != PROTOCOL or table != 254:
                    continue
                values = netlink.unpack(part, _ROUTE.size)
                zero = "0.0.0.0" if family == socket.AF_INET else "::"
                destination = str(ipaddress.ip_address(values[1])) if 1 in values else zero
                nexthop = str(ipaddress.ip_address(values[5])) if 5 in values else ""
                link = names.get(struct.unpack("=I", values[4])[0], "") if 4 in values else ""
                found.add(Route(f"{destination}/{length}", nexthop, link))
        return found

    def change_routes(self, add: Iterable[Route] = (), remove: Iterable[Route] = ()) -> dict[Route, str]:
        """Remove, then add; what is as asked already is no failure. Returns the failures with their reasons."""
        return self._change(
            [(r, _DELROUTE, 0, errno.ESRCH) for r in remove]
            + [(r, _NEWROUTE, netlink.CREATE | netlink.EXCL, errno.EEXIST) for r in add],
            _route_body,
        )

    def _change(
        self,
        changes: Sequence[tuple[T, int, int, int]],
        encode: Callable[[T, int], bytes],
    ) -> dict[T, str]:
        """Send (item, message type, flags, harmless error) for each; the failures with their reasons."""
        failed: dict[T, str] = {}
        if not changes:
            return failed
        indexes = {name: link.index for name, link in self.get(item.link for item, *_ in changes if item.link).items()}
        sent: list[tuple[T, int]] = []
        messages = []
        for item, kind, flags, harmless in changes:
            if item.link and item.link not in indexes:
                if not harmless or flags:  # removing something from a link that is gone is done
                    failed[item] = f"link {item.link} is not there"
                continue
            messages.append(Message(kind, encode(item, indexes.get(item.link, 0)), flags))
            sent.append((item, harmless))
        for (item, harmless), answer in zip(sent, self._netlink.talk(messages), strict=True):
            if answer.error and answer.error.errno != harmless:
                failed[item] = answer.error.strerror or str(answer.error)
        return failed


def _by_name(name: str) -> bytes:
    return _LINK.pack(0, 0, 0, 0, 0) + u32(_IFLA_EXT_MASK, _SKIP_STATISTICS) + text(_IFLA_IFNAME, name)


def name_of(body: bytes) -> str:
    """The name in a message about a link."""
    return netlink.cstring(netlink.unpack(body, _LINK.size).get(_IFLA_IFNAME, b""))


def _parse(body: bytes) -> tuple[Link, int, int]:
    """(the link without names of others, index of its master, index of its parent)."""
    _, _, index, flags, _ = _LINK.unpack_from(body)
    values = netlink.unpack(body, _LINK.size)
    info = netlink.unpack(values.get(_IFLA_LINKINFO, b""))
    kind = netlink.cstring(info.get(1, b""))
    data = netlink.unpack(info.get(2, b"")) if kind in ("bridge", "vxlan", "vlan") else {}
    slave = netlink.unpack(info.get(5, b""))
    local = data.get(4, b"") or data.get(17, b"") if kind == "vxlan" else b""
    link = Link(
        name=netlink.cstring(values[_IFLA_IFNAME]),
        kind=kind,
        mtu=_number(values, _IFLA_MTU),
        up=bool(flags & _UP),
        mac=values.get(_IFLA_ADDRESS, b"").hex(":"),
        master="",
        vni=_number(data, 1) if kind == "vxlan" else 0,
        local=str(ipaddress.ip_address(local)) if local else "",
        vlan=_number(data, 1) if kind == "vlan" else 0,
        isolated=bool(_number(slave, _ISOLATED)),
        settings=kind != "bridge" or all(_number(data, number) == value for number, _, value in _BRIDGE),
        carrier=bool(_number(values, _IFLA_CARRIER)),
        index=index,
    )
    return link, _number(values, _IFLA_MASTER), _number(values, _IFLA_LINK)


def _number(values: Mapping[int, bytes], kind: int) -> int:
    return int.from_bytes(values.get(kind, b""), sys.byteorder)


def _named(read: Iterable[tuple[Link, int, int]]) -> dict[str, Link]:
    read = list(read)
    names = {link.index: link.name for link, _, _ in read}
    return {
        link.name: replace(
            link,
            master=names.get(master, "?") if master else "",
            parent=names.get(parent, "") if link.kind == "vlan" else "",
        )
        for link, master, parent in read
    }


def _settings() -> bytes:
    data = b"".join(encode(number, value) for number, encode, value in _BRIDGE)
    return nest(_IFLA_LINKINFO, text(1, "bridge"), nest(2, data))


def _mac(value: str) -> bytes:
    return attr(_IFLA_ADDRESS, bytes.fromhex(value.replace(":", ""))) if value else b""


def _creation(link: Link, fds: Mapping[str, int], parent: int) -> bytes:
    head = _LINK.pack(0, 0, 0, 0, 0) + text(_IFLA_IFNAME, link.name) + _mac(link.mac)
    if link.kind == "bridge":
        return head + _settings()
    if link.kind == "veth":
        if link.peer is None:
            raise ValueError(f"veth {link.name} has no peer")
        namespace, name = link.peer
        end = _LINK.pack(0, 0, 0, 0, 0) + text(_IFLA_IFNAME, name) + u32(_IFLA_NET_NS_FD, fds[namespace])
        end += _mac(link.peer_mac) + (u32(_IFLA_MTU, link.mtu) if link.mtu else b"")
        return head + nest(_IFLA_LINKINFO, text(1, "veth"), nest(2, attr(1, end)))
    if link.kind == "vxlan":
        address = ipaddress.ip_address(link.local)
        data = u32(1, link.vni) + attr(4 if address.version == 4 else 17, address.packed) + be16(15, VXLAN_PORT)
        return head + nest(_IFLA_LINKINFO, text(1, "vxlan"), nest(2, data))
    if link.kind == "vlan":
        return head + u32(_IFLA_LINK, parent) + nest(_IFLA_LINKINFO, text(1, "vlan"), nest(2, u16(1, link.vlan)))
    return head + nest(_IFLA_LINKINFO, text(1, link.kind))


def _modification(link: Link, indexes: Mapping[str, int]) -> bytes:
    flags = 0 if link.up is None else _UP * link.up
    body = _LINK.pack(0, 0, 0, flags, 0 if link.up is None else _UP) + text(_IFLA_IFNAME, link.name)
    if link.kind == "bridge":
        body += _settings()
    if link.mtu is not None:
        body += u32(_IFLA_MTU, link.mtu)
    if link.master is not None:
        body += u32(_IFLA_MASTER, indexes[link.master] if link.master else 0)
    return body + _mac(link.mac)


def _isolation(link: Link) -> bytes:
    head = _LINK.pack(0, 0, 0, 0, 0) + text(_IFLA_IFNAME, link.name)
    return head + nest(_IFLA_LINKINFO, text(4, "bridge"), nest(5, u8(_ISOLATED, bool(link.isolated))))


def _address_body(address: Address, index: int) -> bytes:
    interface = ipaddress.ip_interface(address.cidr)
    family = socket.AF_INET if interface.version == 4 else socket.AF_INET6
    nodad = 0x02 if interface.version == 6 else 0
    head = _ADDR.pack(family, interface.network.prefixlen, nodad, 0, index)
    body = head + attr(2, interface.ip.packed) + attr(1, interface.ip.packed)
    if interface.version == 4 and interface.network.prefixlen < 31:
        body += attr(4, interface.network.broadcast_address.packed)
    return body


def _route_body(route: Route, index: int) -> bytes:
    network = ipaddress.ip_network(route.destination)
    family = socket.AF_INET if network.version == 4 else socket.AF_INET6
    scope = 0 if route.nexthop or network.version == 6 else 253  # universe, or link
    main, unicast, onlink = 254, 1, 4
    head = _ROUTE.pack(family, network.prefixlen, 0, 0, main, PROTOCOL, scope, unicast, onlink if route.onlink else 0)
    body = head + attr(1, network.network_address.packed)
    if route.nexthop:
        body += attr(5, ipaddress.ip_address(route.nexthop).packed)
    return body + (u32(4, index) if route.link else b"")
