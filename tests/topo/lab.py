"""A host namespace with the Linux backend, workloads on its bridges, and probes that send real packets."""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_interface
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from tests.topo import frames
from tests.topo.flood import Flood
from weft.backends.interface import Report
from weft.backends.linux import names, netns
from weft.backends.linux.backend import LinuxBackend
from weft.backends.linux.links import Address as LinkAddress
from weft.backends.linux.links import Create, Delete, Link, Links, Modify
from weft.config import Api, Config, Linux
from weft.logical.model import (
    Acl,
    Address,
    AddressPair,
    AddressSet,
    HostView,
    Key,
    LogicalPort,
    LogicalSwitch,
    PortGroup,
    Segment,
)

PATIENCE = 0.5
"""Seconds after which a packet that the kernel alone carries has arrived, or never will."""

_SOL_PACKET, _AUXDATA = 263, 8
_serial = itertools.count(1)


def uid(name: str) -> str:
    return str(uuid5(NAMESPACE_OID, name))


def mac(name: str) -> str:
    return "fa:16:3e:" + uuid5(NAMESPACE_OID, name).bytes[:3].hex(":")


def ingress(protocol: str | None = None, low: int | None = None, high: int | None = None, **more: Any) -> Acl:
    """A rule that lets packets in; `ethertype`, `remote_prefix`, `remote_group`, `remote_addresses` by name."""
    return _rule("ingress", protocol, low, high, more)


def egress(protocol: str | None = None, low: int | None = None, high: int | None = None, **more: Any) -> Acl:
    return _rule("egress", protocol, low, high, more)


def _rule(direction: Any, protocol: str | None, low: int | None, high: int | None, more: dict[str, Any]) -> Acl:
    for remote in ("remote_group", "remote_addresses"):
        if more.get(remote):
            more[remote] = uid(more[remote])
    more.setdefault("ethertype", "IPv4")
    name = f"{direction} {protocol} {low} {high} {sorted(more.items())}"
    return Acl(uid(name), direction, protocol=protocol, port_min=low, port_max=high, **more)


ANYTHING_OUT = (egress(), egress(ethertype="IPv6"))


@dataclass(slots=True)
class Workload:
    """A namespace with one interface, the way a virtual machine is one."""

    name: str
    namespace: str
    port: str
    mac: str
    ips: tuple[str, ...]
    links: Links = field(repr=False)

    @property
    def ip(self) -> str:
        return self.ips[0]


class Lab:
    """One host: `view` is what should be, `backend` makes it so. Names of things are short words, ids their UUIDs.

    Of the frames of the scenarios, `stricter` and `looser` name those that this dataplane judges otherwise than Linux does.
    `patience`: seconds in which what is sent has to arrive.
    """

    patience: float = PATIENCE
    stricter: frozenset[str] = frozenset()
    looser: frozenset[str] = frozenset()

    def __init__(self, prefix: str, namespace: str | None = None, **linux: Any) -> None:
        self.name = f"{prefix}l{next(_serial)}"
        self.host = f"{self.name}-host" if namespace is None else namespace
        self.config = Config(api=Api(host="h"), linux=Linux(namespace=self.host, **linux))
        self.view = HostView("h")
        self.workloads: dict[str, Workload] = {}
        self.backend = LinuxBackend(self.config)
        self._namespaces = [self.host]
        self.group("out", *ANYTHING_OUT)

    def close(self) -> None:
        self.backend.close()
        for workload in self.workloads.values():
            workload.links.close()
        if netns.exists(self.host):
            with contextlib.closing(Links(self.host)) as links:
                links.apply([Delete(name) for name in links.dump() if name != "lo"])
        beside = (name for name in netns.names() if name.startswith(f"{self.host}-"))  # of services of its networks
        for namespace in (*self._namespaces, *beside):
            netns.delete(namespace)

    # what should be

    def network(self, name: str, mtu: int = 1500, enabled: bool = True, segment: Segment | None = None) -> Key:
        switch = LogicalSwitch(uid(name), name, "p", mtu, (segment or Segment("vxlan", None, 7),), enabled=enabled)
        self.view.switches[switch.id] = switch
        return switch.key

    def group(self, name: str, *rules: Acl, stateful: bool = True) -> Key:
        group = PortGroup(uid(name), stateful, rules)
        self.view.groups[group.id] = group
        return group.key

    def addresses(self, name: str, *members: str) -> Key:
        value = AddressSet(uid(name), frozenset(members))
        self.view.addresses[value.id] = value
        return value.key

    def port(
        self,
        name: str,
        network: str,
        *cidrs: str,
        groups: Sequence[str] = ("out",),
        pairs: Iterable[tuple[str, str]] = (),
        **more: Any,
    ) -> Key:
        """A port with these addresses ("10.0.0.1/24")."""
        fixed = tuple(
            Address(c.partition("/")[0], int(c.partition("/")[2]), uid(f"subnet {ip_interface(c).network}"))
            for c in cidrs
        )
        port = LogicalPort(
            uid(name),
            uid(network),
            mac(name),
            name,
            addresses=fixed,
            host="h",
            groups=tuple(uid(group) for group in groups),
            pairs=tuple(AddressPair(*pair) for pair in pairs),
            **more,
        )
        self.view.ports[port.id] = port
        self._members()
        return port.key

    def change(self, name: str, groups: Sequence[str] | None = None, **values: Any) -> Key:
        """Change attributes of a port."""
        if groups is not None:
            values["groups"] = tuple(uid(group) for group in groups)
        port = replace(self.view.ports[uid(name)], **values)
        self.view.ports[port.id] = port
        self._members()
        return port.key

    def without(self, name: str) -> Key:
        """Take a port away from the view."""
        port = self.view.ports.pop(uid(name))
        self._members()
        return port.key

    def _members(self) -> None:
        """Address sets of the groups that rules name, as the logical renderer makes them."""
        for group in {a.remote_group for g in self.view.groups.values() for a in g.acls if a.remote_group}:
            ports = [p for p in self.view.ports.values() if group in p.groups]
            ips = {a.ip for p in ports for a in p.addresses} | {pair.ip for p in ports for pair in p.pairs}
            self.view.addresses[group] = AddressSet(group, frozenset(ips))

    # make it so

    def set(self, *keys: Key) -> Report:
        """Converge these keys; nothing may fail."""
        report = self.backend.set(self.view, keys)
        assert report.failed == {}, report.failed
        return report

    def full(self) -> Report:
        report = self.backend.set(self.view, None)
        assert report.failed == {}, report.failed
        return report

    def restart(self) -> LinuxBackend:
        """Another process takes over: nothing of the old one is known, nothing was said goodbye to."""
        self.backend = LinuxBackend(self.config)
        return self.backend

    def plug(self, *ports: str, network_mtu: int | None = None) -> None:
        """What a hypervisor does: a device for the port. Its address, routes and MAC are those of the port."""
        for name in ports:
            port = self.view.ports[uid(name)]
            namespace = f"{self.name}-{name}"
            if name not in self.workloads:
                netns.create(namespace, {"net/ipv6/conf/default/accept_dad": 0, "net/ipv6/conf/all/accept_dad": 0})
                self._namespaces.append(namespace)
                ips = tuple(a.ip for a in port.addresses)
                self.workloads[name] = Workload(name, namespace, port.id, port.mac, ips, Links(namespace))
            inside = self.workloads[name].links
            tap = Link(names.tap(port.id), kind="veth", peer=(namespace, "eth0"), peer_mac=port.mac)
            mtu = network_mtu or self.view.switches[port.switch].mtu
            assert self.links(lambda links, tap=tap: links.apply([Create(tap)])) == {}
            assert inside.apply([Modify(Link("eth0", up=True, mtu=mtu))]) == {}
            addresses = [LinkAddress("eth0", f"{a.ip}/{a.prefixlen}") for a in port.addresses]
            assert inside.change_addresses(addresses) == {}

    def unplug(self, name: str) -> None:
        tap = names.tap(uid(name))
        assert self.links(lambda links: links.apply([Delete(tap)])) == {}

    def attach(self, name: str) -> None:
        """What somebody does who has seen the device, and has not waited for its port."""
        port = self.view.ports[uid(name)]
        tap, bridge = names.tap(port.id), names.bridge(port.switch)
        assert self.links(lambda links: links.apply([Modify(Link(tap, up=True, master=bridge))])) == {}
        self.links(lambda links: links.get([tap]))

    def waits(self, name: str) -> str:
        """The reason why a port is not up that nobody has plugged."""
        return f"no device {names.tap(uid(name))} in namespace {self.host} yet"

    def up(self, *ports: str) -> Report:
        """Plug and converge everything, as a first full pass."""
        netns.create(self.host, netns.HOST_SYSCTLS)
        self.plug(*(ports or [p.name for p in self.view.ports.values() if p.name not in self.workloads]))
        report = self.full()
        return report

    def links(self, action: Any) -> Any:
        with contextlib.closing(Links(self.host)) as links:
            return action(links)

    def reason(self, name: str, report: Report) -> str:
        return report.status[Key("port", uid(name))].reason

    # probes

    def socket(self, name: str, family: int, kind: int, protocol: int = 0) -> socket.socket:
        made = netns.open_socket(self.workloads[name].namespace, family, kind, protocol)
        made.settimeout(self.patience)
        return made

    def pings(self, source: str, address: str, patience: float | None = None) -> bool:
        """Whether an ICMP echo is answered."""
        six = ":" in address
        family, protocol = (socket.AF_INET6, 58) if six else (socket.AF_INET, 1)
        with self.socket(source, family, socket.SOCK_RAW, protocol) as raw:
            number = next(_serial) & 0xFFFF
            end = time.monotonic() + (patience or self.patience)
            with contextlib.suppress(OSError):
                raw.sendto(frames.echo(128 if six else 8, number), (address, 0))
                while True:  # the socket hears what others are answered too
                    raw.settimeout(max(end - time.monotonic(), 0.001))
                    data, _ = raw.recvfrom(2048)
                    icmp = data if six else data[20:]
                    if icmp[0] == (129 if six else 0) and icmp[4:6] == struct.pack(">H", number):
                        return True
        return False

    def connects(self, source: str, target: str, port: int, address: str = "") -> bool:
        """Whether TCP connects (to a listener that is there)."""
        with self.stream(source, target, port, address) as ends:
            return ends is not None

    @contextlib.contextmanager
    def stream(
        self, source: str, target: str, port: int, address: str = ""
    ) -> Iterator[tuple[socket.socket, socket.socket] | None]:
        """Both ends of a TCP connection, or None where it is not allowed."""
        address = address or self.workloads[target].ip
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(self.socket(target, family, socket.SOCK_STREAM))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, port))
            listener.listen()
            client = stack.enter_context(self.socket(source, family, socket.SOCK_STREAM))
            try:
                client.connect((address, port))
                server = stack.enter_context(listener.accept()[0])
                server.settimeout(self.patience)
            except OSError:
                yield None
                return
            yield client, server

    def delivers(self, source: str, target: str, port: int, address: str = "", answer: bool = True) -> bool:
        """Whether a UDP datagram arrives and (with `answer`) the answer to it."""
        address = address or self.workloads[target].ip
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with (
            self.socket(target, family, socket.SOCK_DGRAM) as server,
            self.socket(source, family, socket.SOCK_DGRAM) as client,
        ):
            server.bind((address, port))
            try:
                client.sendto(b"question", (address, port))
                _, peer = server.recvfrom(100)
                if answer:
                    server.sendto(b"answer", peer)
                    client.recvfrom(100)
            except OSError:
                return False
            return True

    def reach(self, port: int = 4000) -> set[str]:
        """Who may reach whom ("a b") by UDP over the first addresses, everybody at once."""
        found: set[str] = set()
        with contextlib.ExitStack() as stack:
            listeners, mouths = {}, {}
            for name, workload in self.workloads.items():
                family = socket.AF_INET6 if ":" in workload.ip else socket.AF_INET
                mouths[name] = stack.enter_context(self.socket(name, family, socket.SOCK_DGRAM))
                listeners[name] = stack.enter_context(self.socket(name, family, socket.SOCK_DGRAM))
                listeners[name].bind((workload.ip, port))
            for source, target in itertools.permutations(self.workloads, 2):
                address = self.workloads[target].ip
                if address != self.workloads[source].ip:
                    with contextlib.suppress(OSError):
                        mouths[source].sendto(f"{source} {target}".encode(), (address, port))
            end = time.monotonic() + self.patience
            for name, listener in listeners.items():
                with contextlib.suppress(OSError):
                    while True:
                        listener.settimeout(max(end - time.monotonic(), 0.001))
                        heard = listener.recv(100).decode()
                        found.add(f"{heard.split()[0]} {name}")
        return found

    def passes(self, source: str, target: str, frame: bytes) -> bool:
        """Whether exactly this frame, sent by one workload, comes in at another."""
        return bool(self.passing(source, target, {"it": frame}))

    def passing(self, source: str, target: str, kinds: Mapping[str, bytes]) -> set[str]:
        """Which of these different frames, sent by one workload, come in at another."""
        names_ = {frame: what for what, frame in kinds.items()}
        assert len(names_) == len(kinds)
        found: set[str] = set()
        with self._packets(target) as ear, self._packets(source) as mouth:
            for frame in kinds.values():
                mouth.send(frame)
            end = time.monotonic() + self.patience
            with contextlib.suppress(TimeoutError):
                while len(found) < len(kinds):
                    ear.settimeout(max(end - time.monotonic(), 0.001))
                    what = names_.get(_whole(ear).ljust(60, b"\0"))
                    if what:
                        found.add(what)
        return found

    @contextlib.contextmanager
    def _packets(self, name: str) -> Iterator[socket.socket]:
        with self.socket(name, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as raw:
            raw.setsockopt(_SOL_PACKET, _AUXDATA, 1)
            raw.bind(("eth0", 3))
            yield raw

    @contextlib.contextmanager
    def flood(self, source: str, address: str, rate: int = 100) -> Iterator[Flood]:
        """`rate` echo requests a second, until the block ends; then `lost` says how many were not answered."""
        flood = Flood(self.workloads[source].namespace, address, rate)
        try:
            yield flood
        finally:
            flood.stop()


def _whole(ear: socket.socket) -> bytes:
    """The next frame with its VLAN tag, which the kernel hands over beside the frame (packet(7))."""
    frame, beside, _, _ = ear.recvmsg(4096, 64)
    for _, _, data in beside:
        status, _, _, _, _, tag, kind = struct.unpack("=IIIHHHH", data[:20])
        if status & 0x10:
            frame = frame[:12] + struct.pack(">HH", kind, tag) + frame[12:]
    return frame
