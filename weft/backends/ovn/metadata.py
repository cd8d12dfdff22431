"""The metadata service of one host of OVN: one process that listens at the local port of every network that needs it.

OVN itself answers DHCP and DNS; this is what is left for a host to do. A restart finds the local ports as they stand.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from weft.backends.interface import Binding, HostFacts, Report, Unbound
from weft.backends.linux import listeners, metadata, netns
from weft.backends.linux.proxy import Proxy
from weft.backends.ovn import bind as rules
from weft.backends.ovn import localport
from weft.backends.ovn.devices import Devices
from weft.backends.ovn.localports import LocalPorts, render
from weft.config import Config
from weft.logical.model import HostView, Key, LogicalPort, Segment

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """What answers are made of. `places`: namespace -> its network."""

    by_address: Mapping[tuple[str, str], LogicalPort] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)


class Listening:
    """HTTP at many places, in one thread. `set` and `close` may be called from any thread."""

    def __init__(self, config: Config) -> None:
        self._asked = Asked()
        self._open: dict[str, tuple[int, list[asyncio.Server]]] = {}
        self._loop = asyncio.new_event_loop()
        self._proxy = Proxy(config.nova, self._who)
        self._thread = threading.Thread(target=self._loop.run_forever, name="metadata", daemon=True)
        self._thread.start()

    def set(self, asked: Asked) -> dict[str, str]:
        """Answer by these values from now on; returns the places where nobody could listen, with the reason."""
        self._asked = asked
        return asyncio.run_coroutine_threadsafe(self._follow(), self._loop).result()

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _who(self, place: str, source: str) -> LogicalPort | None:
        asked = self._asked
        return metadata.find(asked.by_address, [asked.places[place]] if place in asked.places else [], source)

    async def _follow(self) -> dict[str, str]:
        for place, (identity, servers) in list(self._open.items()):
            if place not in self._asked.places or _identity(place) != identity:
                for server in servers:
                    server.close()
                del self._open[place]
        deaf = {}
        for place in self._asked.places.keys() - self._open.keys():
            try:
                identity = netns.identity(place)
                sockets: Sequence[socket.socket] = netns.inside(place, listeners.open_http)
                servers = [await asyncio.start_server(partial(self._proxy.serve, place), sock=one) for one in sockets]
                self._open[place] = identity, servers
            except OSError as fault:
                deaf[place] = fault.strerror or str(fault)
        return deaf

    async def _end(self) -> None:
        for _, servers in self._open.values():
            for server in servers:
                server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


def _identity(place: str) -> int:
    try:
        return netns.identity(place)
    except FileNotFoundError:
        return 0


class MetadataHost:
    """What `weft agent` runs on a host of OVN: a Backend that makes local ports and answers at them, and has the switch let go
    of devices that are gone. Ports and routers are OVN's, so it says nothing of their status."""

    name = "ovn"
    capabilities: frozenset[str] = frozenset()
    scheduled = False

    def __init__(self, config: Config) -> None:
        self._namespace = config.ovn.namespace
        self._ports = LocalPorts(self._namespace, config.ovn.ovsdb_connection)
        self._listening = Listening(config)
        self._devices = Devices(self._namespace, config.ovn.ovsdb_connection)

    def bind(self, port: Mapping[str, Any], segments: Sequence[Segment], facts: HostFacts) -> Binding | Unbound:
        return rules.bind(port, segments, facts)

    def set(self, desired: HostView, scope: Iterable[Key] | None) -> Report:
        report = self._ports.set(desired, full=scope is None)
        places = {localport.namespace(id, self._namespace): id for id in render(desired)}
        deaf = self._listening.set(Asked(metadata.by_address(desired.ports.values()), places))
        for place, reason in deaf.items():
            key = Key("switch", places[place])
            report.failed.setdefault(key, f"nobody listens in namespace {place}: {reason}")
        if scope is None:
            self._look_at_devices()
        return report

    def _look_at_devices(self) -> None:
        try:
            self._devices.look()
        except OSError as fault:
            LOG.warning("devices of namespace %s: %s", self._namespace or "of this process", fault)

    def watch(self, report: Callable[[Iterable[Key]], None]) -> None:
        """Nothing of it changes by itself; full passes find what somebody else has taken away."""

    def close(self) -> None:
        self._devices.close()
        self._listening.close()
