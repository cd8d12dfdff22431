"""The laboratories of the scenarios, on OVN: the same views and probes, workloads spread over the hosts of one cloud."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.ovn_lab import Ovn, run
from tests.ovn_workload import Device, plug, unplug
from tests.topo import lab, router_lab, services_lab
from tests.waiting import wait_until
from weft import config as configuration
from weft.backends.interface import Report
from weft.backends.linux import netns
from weft.backends.linux.links import Links
from weft.backends.ovn.backend import OvnBackend
from weft.backends.ovn.capabilities import FORWARDED_PORTS
from weft.config import Config
from weft.logical.model import (
    Acl,
    Address,
    DhcpOptions,
    HostView,
    Key,
    LogicalPort,
    LogicalRouter,
    LogicalSwitch,
    PortForwarding,
    Segment,
)

EXTERNAL = Segment("flat", "physnet1")
_serial = itertools.count(1)


def settings(cloud: Ovn, **more: Any) -> Config:
    """The configuration of a Weft whose dataplane is that cloud; `more` options of [ovn]."""
    nb, sb = (tuple(remote.split(",")) for remote in (cloud.northbound_remote, cloud.southbound_remote))
    ovn = {"ovn_nb_connection": nb, "ovn_sb_connection": sb, **more}
    return configuration.load(api={"backend": "ovn", "host": "api", "dns_domain": "example.org"}, ovn=ovn)


@dataclass
class Plane:
    """The backend on a cloud, and what is plugged into the cloud's hosts."""

    cloud: Ovn
    view: HostView
    config: Config
    backend: Any = field(init=False)
    plugged: dict[str, str] = field(default_factory=dict)
    namespaces: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.backend = OvnBackend(self.config)

    def set(self, keys: Sequence[Key] | None) -> Report:
        """Converge, wait until it is in every flow table, and say what is true then."""
        report: Report = self.backend.set(self.view, keys)
        self.settle()
        looked = {*(keys if keys is not None else self._keys()), *report.status}
        report.status = self.backend.set(self.view, looked).status
        return report

    def _keys(self) -> Iterable[Key]:
        for kind in ("switch", "port", "router", "group", "addresses"):
            for value in self.view.of(kind).values():  # type: ignore[arg-type]
                yield value.key

    def settle(self) -> None:
        """Until every host has done what the Northbound database says, and has what is plugged into it."""
        known = {row["name"] for row in self.cloud.nb.rows("Logical_Switch_Port", "name")}
        wanted = {port: host for port, host in self.plugged.items() if port in known and self._meant(port, host)}
        wait_until(lambda: wanted.items() <= self.cloud.bound().items(), what=f"{wanted} in {self.cloud.bound()}")
        self.cloud.sync()

    def _meant(self, port: str, host: str) -> bool:
        return port in self.view.ports and self.view.ports[port].host == host

    def plug(self, host: str, *devices: Device) -> None:
        plug(self.cloud.chassis[host], devices)
        self.plugged |= {device.port: host for device in devices}
        self.namespaces += [device.namespace for device in devices]

    def plug_also(self, host: str, device: Device) -> None:
        """The same port on one more host, as while a workload migrates."""
        plug(self.cloud.chassis[host], [device])
        self.namespaces.append(device.namespace)

    def unplug(self, port: str) -> None:
        unplug(self.cloud.chassis[self.plugged.pop(port)], port)

    def restart(self) -> None:
        """Another process takes over: nothing of the old one is known."""
        self.backend.close()
        self.backend = OvnBackend(self.config)

    def close(self) -> None:
        self.backend.close()
        for port in list(self.plugged):
            self.unplug(port)
        for namespace in dict.fromkeys(self.namespaces):
            netns.delete(namespace)


@dataclass
class Wire:
    """What was seen on a link."""

    seen: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        return [line for line in self.seen if " > " in line]


class OvnLab(lab.Lab):
    """As `Lab`; a port that does not say is on the next host in turn, so that neighbours are usually not on one host."""

    patience = 1.5  # what is lost while a process looks is asked for again a second later (ARP)
    stricter = frozenset(
        {
            # ovn-controller's port security (23.03) knows a sender without address only of packets of DHCP
            "ARP probe",
            # it lets a port announce its own addresses, and the link-local one of its MAC is not among them
            "advertisement of the link-local address",
            # an additional MAC address has the IP addresses that are said, and no link-local one besides
            "link-local of the virtual MAC",
            # tags pass only in networks with vlan_transparent
            "IPv4 in a VLAN tag",
            "ARP in a VLAN tag",
            "a lie in a priority tag",
        }
    )
    looser = frozenset({"router advertisement"})  # ovn-northd lets neighbour discovery pass before any ACL

    def __init__(self, prefix: str, cloud: Ovn) -> None:
        self.name = f"{prefix}v{next(_serial)}"
        self.cloud = cloud
        self.config = settings(cloud)
        self.view = HostView("")
        self.workloads = {}
        self.plane = Plane(cloud, self.view, self.config)
        self._hosts = itertools.cycle(sorted(cloud.chassis))
        self.group("out", *lab.ANYTHING_OUT)

    @property
    def backend(self) -> Any:
        return self.plane.backend

    @property
    def host(self) -> str:
        """The namespace of the first host."""
        return next(iter(self.cloud.chassis.values())).namespace

    def close(self) -> None:
        for workload in self.workloads.values():
            workload.links.close()
        self.plane.close()
        run("ip", "-n", self.host, "address", "flush", "dev", "lo", "scope", "global")

    def group(self, name: str, *rules: Acl, stateful: bool = True) -> Key:
        """A rule belongs to one group, as in the API: the same words in another are another rule."""
        own = (replace(rule, id=lab.uid(f"{name}: {rule.id}")) for rule in rules)
        return super().group(name, *own, stateful=stateful)

    def port(self, name: str, network: str, *cidrs: str, host: str = "", **more: Any) -> Key:
        key = super().port(name, network, *cidrs, **more)
        self.view.ports[key.id] = replace(self.view.ports[key.id], host=host or next(self._hosts))
        self._members()
        return key

    def set(self, *keys: Key) -> Report:
        """What the keys refer to is named too, as the loader does."""
        named = [value.key for kind in ("switch", "group", "addresses") for value in self.view.of(kind).values()]  # type: ignore[arg-type]
        report = self.plane.set([*named, *keys])
        assert report.failed == {}, report.failed
        return report

    def full(self) -> Report:
        report = self.plane.set(None)
        assert report.failed == {}, report.failed
        return report

    def restart(self) -> Any:
        self.plane.restart()
        return self.plane.backend

    def plug(self, *ports: str, network_mtu: int | None = None) -> None:
        for name in ports:
            port = self.view.ports[lab.uid(name)]
            namespace = f"{self.name}-{name}"
            cidrs = tuple(f"{one.ip}/{one.prefixlen}" for one in port.addresses)
            mtu = network_mtu or self.view.switches[port.switch].mtu
            self.plane.plug(port.host, Device(namespace, port.id, port.mac, cidrs, mtu))
            ips = tuple(one.ip for one in port.addresses)
            self.workloads[name] = lab.Workload(name, namespace, port.id, port.mac, ips, Links(namespace))

    def unplug(self, name: str) -> None:
        self.plane.unplug(lab.uid(name))

    @contextlib.contextmanager
    def sniff(self, host: str, link: str, expression: str) -> Iterator[Wire]:
        """What passes by a link of that host until the block ends."""
        namespace = self.cloud.chassis[host].namespace
        line = ["nsenter", f"--net=/run/netns/{namespace}", "tcpdump", "--immediate-mode", "-nneUl"]
        line += ["-i", link, expression]
        process = subprocess.Popen(line, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stderr is not None
        while "listening on" not in process.stderr.readline():
            assert process.poll() is None
        wire = Wire()
        try:
            yield wire
        finally:
            time.sleep(lab.PATIENCE)  # it prints what it was given a moment later
            process.terminate()
            wire.seen = (process.communicate(timeout=10)[0] or "").splitlines()

    def forget(self, namespace: str) -> None:
        """A machine outside goes."""
        netns.delete(namespace)

    def pings(self, source: str, address: str, patience: float | None = None) -> bool:
        """The first may be lost while processes look for who is next."""
        return super().pings(source, address, patience) or super().pings(source, address, patience)

    def attach(self, name: str) -> None:
        """It is attached by being plugged."""

    def waits(self, name: str) -> str:
        return f"waiting for the host {self.view.ports[lab.uid(name)].host} to plug it"

    def up(self, *ports: str) -> Report:
        self.plug(*(ports or [p.name for p in self.view.ports.values() if p.name not in self.workloads]))
        return self.full()


@dataclass(repr=False)
class OvnRouterLab(router_lab.Lab):
    """As the routers' `Lab`. Networks called ext... are the provider's; hosts in them are machines that nobody knows."""

    underway = 3  # flows of a logical router are replaced, not changed
    hides_neighbours = False
    datagrams = 8  # the first is lost now and then, while the gateway's host looks for who is next
    patience = 4
    closed = TimeoutError
    most_forwarded = FORWARDED_PORTS

    cloud: Ovn = None  # type: ignore[assignment]
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.prefix = f"{self.prefix}r{next(_serial)}"
        self.view = HostView("")
        self.plane = Plane(self.cloud, self.view, settings(self.cloud, **self.options))
        self._hosts = itertools.cycle(sorted(self.cloud.chassis))
        self._outside: list[str] = []

    def close(self) -> None:
        self._end_probes()
        self.plane.close()
        for name in self._outside:
            netns.delete(name)

    def network(self, name: str, mtu: int = 1500) -> None:
        id = router_lab.uid(name)
        outside = name.startswith("ext")
        segment = EXTERNAL if outside else Segment("geneve", None, 7)
        self.view.switches[id] = LogicalSwitch(id, name, "project", mtu, (segment,), external=outside)

    def host(
        self, name: str, switch: str, *cidrs: str, via: str | tuple[str, ...] = (), mtu: int = 1500, lo: str = ""
    ) -> str:
        if switch.startswith("ext"):
            namespace = self.cloud.outsider(f"{self.prefix}-{name}", *cidrs)
            self._outside.append(namespace)
        else:
            namespace = f"{self.prefix}-{name}"
            port = self._port(f"{name}@{switch}", switch, router_lab.mac(name), cidrs)
            self.plane.plug(port.host, Device(namespace, port.id, port.mac, cidrs, mtu))
        for one in (via,) if isinstance(via, str) else via:
            self.sh(namespace, f"ip {'-6' if ':' in one else ''} route add default via {one} dev eth0 onlink")
        if lo:
            self.sh(namespace, f"ip addr add {lo} dev lo {'nodad' if ':' in lo else ''}")
        return namespace

    def ping(self, namespace: str, to: str, count: int = 2, options: str = "") -> router_lab.Pings:
        """What is lost at first, while processes look for who is next, does not count; what is lost three times does."""
        for last in (False, False, True):
            found = super().ping(namespace, to, count, options)
            if last or not found.lost or "From " in found.output or "error" in found.output:
                break
        return found

    def _port(self, name: str, switch: str, mac: str, cidrs: Iterable[str]) -> LogicalPort:
        addresses: tuple[Address, ...] = tuple(map(router_lab.address, cidrs))
        port = LogicalPort(
            router_lab.uid(name),
            router_lab.uid(switch),
            mac,
            name,
            addresses=addresses,
            host=next(self._hosts),
            port_security=False,
        )
        self.view.ports[port.id] = port
        return port

    def set(self, *routers: LogicalRouter, full: bool = False) -> Report:
        for one in routers:
            self.view.routers[one.id] = replace(one, forwardings=tuple(map(_of_its_address, one.forwardings)))
        keys = [one.key for one in routers]
        ports = [port.key for port in self.view.ports.values()]
        switches = [switch.key for switch in self.view.switches.values()]
        report = self.plane.set(None if full else [*switches, *ports, *keys])
        assert report.failed == {}, report.failed
        active = [one for one in routers if one.enabled]
        wait_until(lambda: all(self._status(one).up for one in active), what=str([self._status(one) for one in active]))
        self.cloud.sync()
        self.cloud.settle_bfd()
        self.cloud.refresh()
        report.status |= {one.key: self._status(one) for one in routers}
        return report

    def _status(self, one: LogicalRouter) -> Any:
        return self.plane.backend.set(self.view, [one.key]).status[one.key]

    def remove(self, router: LogicalRouter) -> Report:
        del self.view.routers[router.id]
        report = self.plane.set([router.key])
        assert report.failed == {}, report.failed
        return report

    def remains(self, address: str) -> list[str]:
        tables = {"Logical_Router": "name", "Logical_Router_Port": "networks"}
        found = [str(row[column]) for table, column in tables.items() for row in self.cloud.nb.rows(table, column)]
        return [name for name in found if not name.startswith("[") or address in name]

    def limits(self) -> bool:
        return bool(self.cloud.nb.rows("QoS", "match"))

    def audit(self) -> list[str]:
        report = self.plane.set(None)
        assert report.failed == {}, report.failed
        return report.drift

    def restart(self) -> None:
        self.plane.restart()

    def lives(self, gateway: str) -> str:
        """The host where that gateway is."""
        hosts = {row["_uuid"]: row["hostname"] for row in self.cloud.sb.rows("Chassis", "_uuid", "hostname")}
        (row,) = self.cloud.sb.rows("Port_Binding", "chassis", logical_port=f"cr-lrp-{gateway}")
        return str(hosts[row["chassis"]])


def _of_its_address(one: PortForwarding) -> PortForwarding:
    """It belongs to the floating IP of its address, as in the API."""
    return replace(one, floating_ip=router_lab.uid(f"floating {one.external_ip}"))


@dataclass(repr=False)
class OvnServicesLab(services_lab.Lab):
    """As the services' `Lab`: DHCP is OVN's own, the next workload is on the next host."""

    cloud: Ovn = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        self.prefix = f"{self.prefix}s{next(_serial)}"
        self.view = HostView("")
        self.said = ""
        self.plane = Plane(self.cloud, self.view, settings(self.cloud, dns_servers=("169.254.169.254",)))
        self._hosts = itertools.cycle(sorted(self.cloud.chassis))
        self.folder = Path(tempfile.mkdtemp(prefix=self.prefix))
        (self.folder / "script").write_text(services_lab.SCRIPT)
        (self.folder / "script").chmod(0o755)

    def close(self) -> None:
        for file in self.folder.glob("*.pid"):
            subprocess.run(["kill", file.read_text().strip()], check=False, capture_output=True)
        self.plane.close()
        shutil.rmtree(self.folder)

    def switch(self, name: str, *subnets: DhcpOptions, mtu: int = 1450) -> LogicalSwitch:
        segment = Segment("geneve", None, 7)
        project = services_lab.uid(f"project of {name}")
        made = LogicalSwitch(services_lab.uid(name), name, project, mtu, (segment,), subnets)
        self.view.switches[made.id] = made
        return made

    def port(
        self, name: str, switch: LogicalSwitch, *addresses: tuple[DhcpOptions, str], **changes: Any
    ) -> LogicalPort:
        return super().port(name, switch, *addresses, host=next(self._hosts), **changes)

    def plug(self, port: LogicalPort) -> None:
        self.plane.plug(port.host, Device(self.at(port.name), port.id, port.mac, (), 1450))
        self.sh(port.name, "ip link set lo up")

    def unplug(self, port: LogicalPort) -> None:
        self.plane.unplug(port.id)

    def set(self, **arguments: Any) -> None:
        assert self.plane.set(None).failed == {}
