"""A host namespace with bridges, workloads and an outside world, for tests of routers with real packets."""

from __future__ import annotations

import itertools
import re
import select
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_interface
from typing import Any, ClassVar
from uuid import NAMESPACE_OID, uuid5

from tests.topo.flood import Flood, Pings
from weft.backends.interface import Report
from weft.backends.linux import names, netns
from weft.backends.linux.links import Create, Delete, Link, Links
from weft.backends.linux.routers import Routers
from weft.logical.model import (
    Address,
    Gateway,
    HostView,
    LogicalRouter,
    LogicalSwitch,
    Nat,
    PortForwarding,
    Route,
    RouterPort,
    Segment,
)

TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM

_serial = itertools.count(1)


def uid(name: str) -> str:
    """The same UUID for the same name."""
    return str(uuid5(NAMESPACE_OID, name))


def mac(name: str) -> str:
    return "fa:16:3e:" + uuid5(NAMESPACE_OID, name).bytes[:3].hex(":")


def address(cidr: str) -> Address:
    ip, _, length = cidr.partition("/")
    return Address(ip, int(length), uid(f"subnet {ip_interface(cidr).network}"))


def leg(router: str, switch: str, *cidrs: str, mtu: int = 1500) -> RouterPort:
    """A leg of the router called `router` in the network called `switch`."""
    name = f"{router}/{switch}"
    return RouterPort(uid(name), uid(switch), mac(name), mtu, tuple(map(address, cidrs)))


def gateway(
    router: str, switch: str, *cidrs: str, nexthops: tuple[str, ...] = (), snat: bool = True, mtu: int = 1500
) -> Gateway:
    name = f"{router}/gateway/{switch}"
    return Gateway(uid(name), uid(switch), mac(name), mtu, tuple(map(address, cidrs)), nexthops, snat)


def floating(outside: str, inside: str) -> Nat:
    return Nat(uid(f"floating {outside}"), outside, inside)


def forwarding(protocol: str, outside: str, ports: tuple[int, int], inside: str, to: tuple[int, int]) -> PortForwarding:
    return PortForwarding(uid(f"{protocol} {outside} {ports}"), protocol, outside, ports, inside, to)


def router(
    name: str,
    *legs: RouterPort,
    gateway: Gateway | None = None,
    nats: Iterable[Nat] = (),
    forwardings: Iterable[PortForwarding] = (),
    routes: Iterable[tuple[str, str]] = (),
) -> LogicalRouter:
    return LogicalRouter(
        uid(name),
        name,
        ports=legs,
        gateway=gateway,
        nats=tuple(nats),
        forwardings=tuple(forwardings),
        routes=tuple(Route(*route) for route in routes),
    )


@dataclass
class Lab:
    """Everything below one prefix; `close` removes it. `view` is what the routers are told.

    `underway`: packets that may be lost where something is changed that they have to do with. `hides_neighbours`: who goes
    to a floating IP of its own network is seen as the router, without SNAT too. `closed`: what a client meets at a port of
    a floating IP that leads nowhere. `most_forwarded`: ports of a range that are forwarded. `datagrams`: how many are sent
    until one is heard. `patience`: seconds in which a packet has to be answered.
    """

    underway: ClassVar[int] = 0
    hides_neighbours: ClassVar[bool] = True
    closed: ClassVar[type[OSError]] = ConnectionRefusedError
    most_forwarded: ClassVar[int] = 65535
    datagrams: ClassVar[int] = 1
    patience: ClassVar[int] = 2

    prefix: str
    view: HostView = field(init=False)
    routers: Routers = field(init=False)
    _sockets: list[socket.socket] = field(default_factory=list)
    _running: list[subprocess.Popen[str]] = field(default_factory=list)
    _floods: list[Flood] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.prefix = f"{self.prefix}r{next(_serial)}"
        self.view = HostView(self.prefix)
        netns.create(self.prefix, netns.HOST_SYSCTLS)
        self.routers = Routers(self.prefix)
        self.links = Links(self.prefix)

    def close(self) -> None:
        self.routers.close()
        self._end_probes()
        self.links.apply([Delete(link.name) for link in self.links.dump().values() if link.name != "lo"])
        self.links.close()
        for name in netns.names():
            if name == self.prefix or name.startswith(f"{self.prefix}-"):
                netns.delete(name)

    def _end_probes(self) -> None:
        for flood in self._floods:
            flood.stop()
        for process in self._running:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()
        for sock in self._sockets:
            sock.close()

    # the network

    def network(self, name: str, mtu: int = 1500) -> None:
        """A switch and its bridge, which in a whole backend somebody else makes."""
        id_ = uid(name)
        self.view.switches[id_] = LogicalSwitch(id_, name, "project", mtu, (Segment("flat", name),))
        failed = self.links.apply([Create(Link(names.bridge(id_), kind="bridge", mtu=mtu, up=True))])
        assert not failed, failed

    def host(
        self, name: str, switch: str, *cidrs: str, via: str | tuple[str, ...] = (), mtu: int = 1500, lo: str = ""
    ) -> str:
        """A namespace with eth0 in that network; `via` its default gateways, `lo` one more address. Returns its name."""
        namespace = f"{self.prefix}-{name}"
        netns.create(namespace, {"net/ipv6/conf/default/accept_dad": 0, "net/ipv6/conf/default/accept_ra": 0})
        tap = names.tap(uid(f"{name}@{switch}"))
        link = Link(
            tap, "veth", mtu, True, master=names.bridge(uid(switch)), peer=(namespace, "eth0"), peer_mac=mac(name)
        )
        failed = self.links.apply([Create(link)])
        assert not failed, failed
        for cidr in cidrs:
            self.sh(namespace, f"ip addr add {cidr} dev eth0 {'nodad' if ':' in cidr else ''}")
        self.sh(namespace, "ip link set eth0 up")
        for one in (via,) if isinstance(via, str) else via:
            self.sh(namespace, f"ip {'-6' if ':' in one else ''} route add default via {one} dev eth0 onlink")
        if lo:
            self.sh(namespace, f"ip addr add {lo} dev lo {'nodad' if ':' in lo else ''}")
        return namespace

    def namespace(self, router: str) -> str:
        """The namespace of the router of that name."""
        return names.router_namespace(self.prefix, uid(router))

    # what the routers are told

    def set(self, *routers: LogicalRouter, full: bool = False) -> Report:
        """Give the routers these values and make them so: those named, or everything; nothing may fail."""
        for one in routers:
            self.view.routers[one.id] = one
        report = self.routers.set(self.view, None if full else [one.key for one in routers])
        assert report.failed == {}, report.failed
        return report

    def remove(self, router: LogicalRouter) -> Report:
        del self.view.routers[router.id]
        report = self.routers.set(self.view, [router.key])
        assert report.failed == {}, report.failed
        return report

    def remains(self, address: str) -> list[str]:
        """Routers that are there, and where the host still has that address."""
        lines = self.sh(self.prefix, "ip -br link; ip -br addr").splitlines()
        return [*self.routers.names(), *(line for line in lines if f"{address} " in line)]

    def limits(self) -> bool:
        """Whether any address of the router r is held to a rate."""
        return "limit" in self.sh(self.namespace("r"), "nft list ruleset")

    def audit(self) -> list[str]:
        """A full pass; returns what had drifted."""
        report = self.routers.set(self.view, None)
        assert report.failed == {}, report.failed
        return report.drift

    def restart(self) -> None:
        """A new process: nothing is remembered."""
        self.routers.close()
        self.routers = Routers(self.prefix)

    # packets

    def sh(self, namespace: str, command: str, check: bool = True, timeout: float = 60) -> str:
        """Run a command line in a namespace; its output."""
        done = subprocess.run(
            ["nsenter", f"--net=/run/netns/{namespace}", "sh", "-c", command],
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}"
        return done.stdout

    def start(self, namespace: str, *command: str) -> subprocess.Popen[str]:
        """Start a program in a namespace; it ends with the lab at the latest."""
        process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{namespace}", *command],
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._running.append(process)
        return process

    def ping(self, namespace: str, to: str, count: int = 2, options: str = "") -> Pings:
        """Ping and wait for the end."""
        return pings(self.sh(namespace, f"ping -n -i 0.1 -W 1 -c {count} {options} {to}", check=False))

    def reaches(self, namespace: str, to: str, options: str = "") -> bool:
        """Whether a ping is answered, out of those of some seconds."""
        return self.ping(namespace, to, 1, f"-w {self.patience} {options}").received > 0

    def listen(self, namespace: str, ip: str, port: int, kind: int = TCP) -> socket.socket:
        """A TCP or UDP socket there that waits for a client."""
        sock = self._socket(namespace, ip, kind)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((ip, port))
        if kind == TCP:
            sock.listen()
        return sock

    def connect(self, namespace: str, ip: str, port: int, kind: int = TCP) -> socket.socket:
        """A socket there that is connected; OSError if nobody answers or the port is closed."""
        sock = self._socket(namespace, ip, kind)
        sock.connect((ip, port))
        return sock

    def _socket(self, namespace: str, ip: str, kind: int) -> socket.socket:
        sock = netns.open_socket(namespace, socket.AF_INET6 if ":" in ip else socket.AF_INET, kind)
        sock.settimeout(self.patience)
        self._sockets.append(sock)
        return sock

    def talk(self, server: str, at: str, port: int, client: str, to: str, to_port: int = 0, kind: int = TCP) -> str:
        """As whom `client` is seen by the program on `server` that listens at (at, port), when it goes to (to, to_port),
        by default the same. Asserts that both hear each other."""
        with self.listen(server, at, port, kind) as listener, self.connect(client, to, to_port or port, kind) as sock:
            if kind == UDP:
                data, peer = self._heard(sock, listener)
                listener.sendto(data, peer)
            else:
                accepted, peer = listener.accept()
                with accepted:
                    sock.send(b"hello")
                    accepted.settimeout(self.patience)
                    accepted.send(accepted.recv(100))
            assert sock.recv(100) == b"hello"
            return str(peer[0])

    def _heard(self, sock: socket.socket, listener: socket.socket) -> tuple[bytes, Any]:
        """What the listener hears of `sock`, and from whom."""
        for last in (*[False] * (self.datagrams - 1), True):
            sock.send(b"hello")
            if last or select.select([listener], [], [], 0.25)[0]:
                break
        return listener.recvfrom(100)  # type: ignore[no-any-return]

    def flood(self, namespace: str, to: str, interval: float = 0.01) -> Flood:
        """Pings 100 times a second (or at another interval) until asked to stop, from the first on that is answered."""
        flood = Flood(namespace, to, 1 / interval)
        self._floods.append(flood)
        return flood.flows()

    def who_has(self, namespace: str, ip: str, seconds: float = 1) -> str:
        """The MAC that answers ARP for `ip` on that namespace's eth0; empty if nobody does."""
        everything = 0x0003
        sock = netns.open_socket(namespace, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(everything))
        with sock:
            sock.bind(("eth0", everything))
            sender = sock.getsockname()[4]
            own = socket.inet_aton(self.sh(namespace, "ip -4 -o addr show dev eth0").split()[3].partition("/")[0])
            ask = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + sender + own + bytes(6) + socket.inet_aton(ip)
            sock.send(b"\xff" * 6 + sender + b"\x08\x06" + ask)
            end = time.monotonic() + seconds
            while (left := end - time.monotonic()) > 0:
                sock.settimeout(left)
                try:
                    frame = sock.recv(100)
                except TimeoutError:
                    break
                if frame[12:14] == b"\x08\x06" and frame[21] == 2 and frame[28:32] == socket.inet_aton(ip):
                    return frame[22:28].hex(":")
        return ""

    def sniff(self, namespace: str, link: str, expression: str, count: int = 1) -> Sniffer:
        """Collect packets from now on."""
        process = self.start(
            namespace, "tcpdump", "--immediate-mode", "-nnleU", "-i", link, "-c", str(count), expression
        )
        return Sniffer(process)


def pings(output: str) -> Pings:
    found = re.search(r"(\d+) packets transmitted, (\d+) received", output)
    assert found, output
    return Pings(int(found[1]), int(found[2]), output)


class Sniffer:
    """A tcpdump that listens already when this object exists."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stdout
        for line in process.stdout:
            if "listening on" in line:
                break
        self._lines: list[str] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._lines.append(line)

    def lines(self, wait: float = 5) -> list[str]:
        """What was seen, as soon as as much as was asked for was seen, or after `wait` seconds."""
        self._thread.join(wait)
        if self._process.poll() is None:
            self._process.terminate()
            self._thread.join(5)
        return [line for line in self._lines if " > " in line or "ARP" in line]
