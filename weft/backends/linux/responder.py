"""The host's answers to its workloads: DHCP, router advertisements, DNS and metadata, all in one thread.

The thread runs one event loop: the packet socket, the timers of advertisements, and listeners inside the namespaces of
networks and routers. What it answers by is a snapshot that `update` exchanges whole.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from weft.backends.interface import Report
from weft.backends.linux import dhcp, dhcp6, listeners, local_ips, metadata, names, netns, ra, services, taps
from weft.backends.linux.dns import Name, Zone
from weft.backends.linux.limits import Buckets
from weft.backends.linux.nameserver import NameServer, Resolver, of_configuration, of_this_machine
from weft.backends.linux.proxy import Proxy
from weft.config import Config
from weft.logical.model import DhcpOptions, HostView, Key, LogicalPort, LogicalSwitch

LOG = logging.getLogger(__name__)

RATE, BURST = 50, 200
"""Frames a second and at once of one tap that are looked at."""

AT_ONCE = 64
"""Frames taken from the socket before others get a turn."""

Names = Mapping[str, tuple[Name, ...]]


@dataclass(frozen=True, slots=True)
class Tap:
    """What is answered on one tap. `local`: the local IPs of its network."""

    port: LogicalPort
    switch: LogicalSwitch
    said: tuple[ra.Advertisement, ...]
    local: local_ips.Targets = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that answers are made of. `places`: namespace -> the networks that are asked about there."""

    taps: Mapping[str, Tap] = field(default_factory=dict)
    by_address: Mapping[tuple[str, str], LogicalPort] = field(default_factory=dict)
    places: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    switches: Mapping[str, LogicalSwitch] = field(default_factory=dict)
    names: Names = field(default_factory=dict)
    said: Mapping[str, tuple[ra.Advertisement, ...]] = field(default_factory=dict)
    local: bool = False  # whether anybody may look for a local IP


def render(view: HostView, others: Names, config: Config, namespace: str) -> Snapshot:
    """The snapshot of a view. `others`: names of ports that are on other hosts, by network. Pure."""
    ports = [port for port in view.ports.values() if port.switch in view.switches]
    said = {
        network_id: ra.advertisements(view.switches[network_id], view.routers.values(), config.api)
        for network_id in {port.switch for port in ports}
    }
    known: dict[str, dict[Name, None]] = {network_id: dict.fromkeys(others.get(network_id, ())) for network_id in said}
    for port in ports:
        known[port.switch].update(dict.fromkeys(port.dns))
    places: dict[str, tuple[str, ...]] = {
        port.namespace: (port.network_id,) for port in services.render(view, namespace).values()
    }
    for router in view.routers.values():
        legs = tuple(leg.switch for leg in router.ports)
        for leg in legs:  # floating IPs by name, to those who share a router with them
            known.setdefault(leg, {}).update(((nat.external_ip, "", nat.fqdn), None) for nat in router.nats if nat.fqdn)
        if router.enabled and legs:
            places[names.router_namespace(namespace, router.id)] = legs
    local = local_ips.targets(view)
    return Snapshot(
        taps={
            names.tap(port.id): Tap(port, view.switches[port.switch], said[port.switch], local.get(port.switch, {}))
            for port in ports
            if port.enabled and view.switches[port.switch].enabled
        },
        by_address=metadata.by_address(ports),
        places=places,
        switches=dict(view.switches),
        names={network_id: tuple(values) for network_id, values in known.items()},
        said=said,
        local=bool(local),
    )


class Responder:
    """Answers for one host namespace. `update` and `close` may be called from any thread."""

    def __init__(self, config: Config, namespace: str, resolvers: Sequence[Resolver] | None = None) -> None:
        """`resolvers`: whom DNS asks what it does not know; None: those of the configuration, or of this machine."""
        self._config, self._namespace = config, namespace
        self._services = services.Services(namespace)
        self._names: Names = {}
        self._snapshot = Snapshot()
        self._zones: dict[str, tuple[list[tuple[Name, ...]], list[tuple[DhcpOptions, ...]], Zone]] = {}
        if resolvers is None:
            resolvers = of_configuration(config.linux.dns_servers) or of_this_machine()
        self._resolvers = tuple(resolvers)
        self._packets: socket.socket | None = None
        self._arp: socket.socket | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="responder", daemon=True)
        self._buckets = Buckets(RATE, BURST)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._said: dict[str, tuple[ra.Advertisement, ...]] = {}
        self._listeners: dict[str, tuple[int, listeners.Listeners]] = {}

    # from any thread

    def start(self) -> None:
        """Open the packet socket and start to answer. FileNotFoundError when the host namespace is not there yet."""
        self._hear()
        self._thread.start()

    def _hear(self) -> None:
        self._identity = netns.identity(self._namespace)
        self._packets = taps.listen(self._namespace)

    def update(self, desired: HostView, scope: Iterable[Key] | None = None, *, names: Names | None = None) -> Report:
        """Answer by these values from now on, and make the service ports that they need.

        With scope None every service port is looked at and ours that are unwanted go. `names`: (address, host name, fully
        qualified name) of ports that are not in `desired`, by network; None: as last time.
        """
        if names is not None:
            self._names = dict(names)
        if self._packets is None:
            self.start()
        report = self._services.set(desired, full=scope is None)
        self._snapshot = render(desired, self._names, self._config, self._namespace)
        deaf = asyncio.run_coroutine_threadsafe(self._apply(), self._loop).result()
        for place, reason in deaf.items():
            report.failed.setdefault(_key(place, self._namespace), f"nobody listens in namespace {place}: {reason}")
        return report

    def close(self) -> None:
        """Stop answering. The service ports stay."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()
        for heard in (self._packets, self._arp):
            if heard is not None:
                heard.close()

    # in the thread

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        assert self._packets is not None
        self._loop.add_reader(self._packets, self._received)
        self._proxy = Proxy(self._config.nova, self._who)
        self._nameserver = NameServer(self._resolvers, self._zone)
        try:
            self._loop.run_forever()
            for _, open_here in self._listeners.values():
                open_here.close()
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(_end(tasks))
        finally:
            self._loop.remove_reader(self._packets)

    def _received(self) -> None:
        assert self._packets is not None
        for _ in range(AT_ONCE):
            try:
                frame, (device, *_) = self._packets.recvfrom(2048)
            except OSError:
                return  # BlockingIOError: nothing more
            tap = self._snapshot.taps.get(device)
            if tap is not None and self._buckets.take(device):
                for answer in respond(frame, tap, self._config):
                    taps.send(self._packets, device, answer)

    def _asked(self, arp: socket.socket) -> None:
        """Somebody looks for an address, perhaps a local IP."""
        for _ in range(AT_ONCE):
            try:
                frame, (device, *_) = arp.recvfrom(128)
            except OSError:
                return
            tap = self._snapshot.taps.get(device)
            answer = local_ips.answer(frame, tap.port, tap.local) if tap is not None and tap.local else None
            if answer is not None and self._buckets.take(f"arp {device}"):
                taps.send(arp, device, answer)

    def _who(self, place: str, source: str) -> LogicalPort | None:
        snapshot = self._snapshot
        return metadata.find(snapshot.by_address, snapshot.places.get(place, ()), source)

    def _zone(self, place: str) -> Zone:
        snapshot = self._snapshot
        networks = [network_id for network_id in snapshot.places.get(place, ()) if network_id in snapshot.switches]
        known = [snapshot.names.get(network_id, ()) for network_id in networks]
        subnets = [snapshot.switches[network_id].subnets for network_id in networks]
        cached = self._zones.get(place)
        if cached is None or cached[:2] != (known, subnets):
            zone = Zone(chain.from_iterable(known), [subnet.cidr for subnet in chain.from_iterable(subnets)])
            cached = self._zones[place] = (known, subnets, zone)
        return cached[2]

    async def _apply(self) -> dict[str, str]:
        """Let timers and listeners follow the snapshot. Returns the places where nobody could listen, with the reason."""
        self._stay()
        snapshot = self._snapshot
        self._hear_arp(snapshot.local)
        for place in self._zones.keys() - snapshot.places.keys():
            del self._zones[place]
        for network_id in self._said.keys() | snapshot.said.keys():
            self._advertise(network_id, snapshot.said.get(network_id, ()))
        for place in list(self._listeners):
            identity, open_here = self._listeners[place]
            if place not in snapshot.places or _identity(place) != identity:
                open_here.close()
                del self._listeners[place]
        deaf = {}
        for place in snapshot.places.keys() - self._listeners.keys():
            try:
                await self._listen(place)
            except OSError as fault:
                deaf[place] = fault.strerror or str(fault)
        return deaf

    def _stay(self) -> None:
        """Follow the host namespace when another one has taken its name."""
        if self._packets is None or _identity(self._namespace) == self._identity:
            return
        self._loop.remove_reader(self._packets)
        self._packets.close()
        self._hear_arp(False)
        self._hear()
        self._loop.add_reader(self._packets, self._received)

    def _hear_arp(self, wanted: bool) -> None:
        if wanted and self._arp is None:
            self._arp = taps.listen_for_arp(self._namespace)
            self._loop.add_reader(self._arp, self._asked, self._arp)
        elif self._arp is not None and not wanted:
            self._loop.remove_reader(self._arp)
            self._arp.close()
            self._arp = None

    def _advertise(self, network_id: str, said: tuple[ra.Advertisement, ...]) -> None:
        """Say something new at once and twice more, take back what is no longer so, then keep to the intervals."""
        before = self._said.get(network_id, ())
        if said == before:
            return
        legs = {one.mac for one in said}
        for one in before:
            if one.mac not in legs:
                self._tell(network_id, one.farewell())
        if network_id in self._timers:
            self._timers.pop(network_id).cancel()
        self._said.pop(network_id, None)
        if said:
            self._said[network_id] = said
            self._again(network_id, ra.INITIAL_COUNT)

    def _again(self, network_id: str, new: int) -> None:
        for one in self._said[network_id]:
            self._tell(network_id, one)
        delay = ra.INITIAL_INTERVAL if new > 1 else random.uniform(ra.MIN_INTERVAL, ra.MAX_INTERVAL)
        self._timers[network_id] = self._loop.call_later(delay, self._again, network_id, new - 1)

    def _tell(self, network_id: str, one: ra.Advertisement) -> None:
        assert self._packets is not None
        frame = one.frame()
        for device, tap in self._snapshot.taps.items():
            if tap.switch.id == network_id:
                taps.send(self._packets, device, frame)

    async def _listen(self, place: str) -> None:
        is_service = place.startswith(names.service_namespace(self._namespace, ""))
        identity = netns.identity(place)
        sockets = netns.inside(place, listeners.open_service if is_service else listeners.open_router)
        self._listeners[place] = identity, await listeners.listen(place, sockets, self._proxy, self._nameserver)


def _key(place: str, namespace: str) -> Key:
    """Whose place it is: a switch's or a router's."""
    service = names.service_namespace(namespace, "")
    if place.startswith(service):
        return Key("switch", place.removeprefix(service))
    return Key("router", place.removeprefix(names.router_prefix(namespace)))


def respond(frame: bytes, tap: Tap, config: Config) -> list[bytes]:
    """The frames that answer one that came in by a tap. Pure."""
    if frame[12:14] == b"\x86\xdd" and frame[20:21] == b"\x3a":
        return ra.answer(frame, tap.port.mac, tap.said)
    answer = (dhcp if frame[12:14] == b"\x08\x00" else dhcp6).answer(frame, tap.port, tap.switch, config.api)
    return [] if answer is None else [answer]


async def _end(tasks: Iterable[asyncio.Task[object]]) -> None:
    """Wait for what was cancelled, and for sockets that close in the loop's next turn."""
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)


def _identity(place: str) -> int:
    try:
        return netns.identity(place)
    except FileNotFoundError:
        return 0
