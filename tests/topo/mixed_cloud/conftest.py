"""A cloud of both kinds: OVN's chassis h1 and h2, and a Linux host `old`, on one provider's wire; one API for all.

Everything that a cloud runs is a process of its own: OVN's daemons, the keeper of OVN, the agent of the Linux host.

h1, h2: br-int === br-ex === px0 ---+--- eth1 === bridge :old
                                provider
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import Api, api  # noqa: F401 - a fixture
from tests.ovn_lab import Ovn
from tests.ovn_workload import QUIET, Device, plug, unplug
from tests.topo import lab
from tests.waiting import wait_until
from weft.agent import cloud as keeper
from weft.backends.linux import netns
from weft.backends.linux.links import Address, Create, Delete, Link, Links, Modify
from weft.backends.ovn import offload
from weft.registry.resource import Row

OLD = "old"
FLAT = {"provider:network_type": "flat", "provider:physical_network": "physnet1"}


@pytest.fixture
def ovn(prefix: str) -> Iterator[Ovn]:
    made = Ovn(prefix, hosts=2)
    yield made
    made.close()


@pytest.fixture
def options(ovn: Ovn) -> dict[str, dict[str, Any]]:
    nb, sb = (tuple(remote.split(",")) for remote in (ovn.northbound_remote, ovn.southbound_remote))
    return {
        "api": {"backend": "ovn", "backends": ("linux", "ovn"), "report_interval": 1},
        "ovn": {"ovn_nb_connection": nb, "ovn_sb_connection": sb},
    }


class Mixed(lab.Lab):
    """The probes of `Lab` between workloads on hosts of either kind. Ports are the API's, names of workloads those of ports."""

    def __init__(self, prefix: str, api: Api, ovn: Ovn, folder: Path) -> None:  # noqa: F811
        self.api, self.ovn, self.folder = api, ovn, folder
        self.name = f"{prefix}m"
        self.host = f"{self.name}-{OLD}"
        self.workloads = {}
        self.forgotten: dict[str, str] = {}
        self._devices: dict[str, tuple[str, Device]] = {}
        self._ends: list[tuple[str, subprocess.Popen[bytes] | multiprocessing.process.BaseProcess]] = []
        netns.create(self.host, netns.HOST_SYSCTLS)
        wire = Link(f"{OLD}-eth1", "veth", 1500, True, master="provider", peer=(self.host, "eth1"))
        assert ovn.links.apply([Create(wire)]) == {}

    # who works

    def start_keeper(self) -> None:
        process = multiprocessing.get_context("spawn").Process(target=keeper.run, args=(self.api.config,))
        process.start()
        self._ends.append(("keeper", process))

    def start_agent(self) -> None:
        """`weft agent` of the Linux host; returns when what it finds is as it should be."""
        file = self.folder / "old.conf"
        lines = ["[DEFAULT]", "backend = linux", f"host = {OLD}", f"state_path = {self.folder}", "report_interval = 1"]
        lines += ["[database]", f"connection = {self.api.config.database.connection}"]
        lines += ["[linux]", f"namespace = {self.host}", "bridge_mappings = physnet1:eth1"]
        file.write_text("\n".join(lines))
        log = self.folder / "agent.log"
        line = [sys.executable, "-m", "weft", "agent", "--config", str(file), "--host", OLD]
        with log.open("w") as to:
            self._ends.append(("agent", subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=to, stderr=to)))
        wait_until(lambda: "ready\n" in log.read_text(), 30, "the agent of the Linux host")

    def kill(self, who: str) -> None:
        """As if by kill -9."""
        for one in [one for one in self._ends if one[0] == who]:
            self._ends.remove(one)
            process = one[1]
            process.kill()
            process.wait() if isinstance(process, subprocess.Popen) else process.join(10)

    def close(self) -> None:
        for _, process in self._ends:
            if isinstance(process, subprocess.Popen):
                process.send_signal(signal.SIGTERM)
                process.wait(20)
            else:
                process.terminate()
                process.join(20)
        for name, workload in self.workloads.items():
            workload.links.close()
            self.detach(name)
        with contextlib.closing(Links(self.host)) as links:
            links.apply([Delete(name) for name in links.dump() if name != "lo"])
        for namespace in netns.names():
            if namespace.startswith(self.name):
                netns.delete(namespace)

    # what there is

    def workload(self, name: str, network: str, host: str, **more: Any) -> Row:
        """A port on that host, plugged as its hypervisor does it, with the address and the routes that DHCP would tell."""
        asked = {"network_id": network, "name": name, "binding:host_id": host, **more}
        port = self.api.admin.make("ports", project_id=self.api.project, **asked)
        assert port["binding:vif_type"] != "binding_failed", port
        ips = tuple(one["ip_address"] for one in port["fixed_ips"])
        namespace = f"{self.name}-{name}"
        cidrs = tuple(f"{ip}/{64 if ':' in ip else 24}" for ip in ips)
        self._devices[name] = host, Device(namespace, port["id"], port["mac_address"], cidrs)
        self.attach(name)
        self.workloads[name] = lab.Workload(name, namespace, port["id"], port["mac_address"], ips, Links(namespace))
        return port

    def attach(self, name: str) -> None:
        host, device = self._devices[name]
        if host == OLD:
            self._plug(device)
        else:
            plug(self.ovn.chassis[host], [device])

    def move(self, name: str, host: str) -> None:
        """Its device is on that host from now on."""
        self.moved(name, host)
        self.attach(name)

    def moved(self, name: str, host: str) -> None:
        """Somebody has plugged it there."""
        self._devices[name] = host, self._devices[name][1]

    def forget(self, name: str) -> None:
        """The workload and its port go."""
        self.detach(name)
        one = self.workloads.pop(name)
        one.links.close()
        self.forgotten[name] = one.port
        assert self.api.admin.delete(f"ports/{one.port}")[0] == 204

    def detach(self, name: str) -> None:
        host, device = self._devices[name]
        if host == OLD:
            assert self.links(lambda links: links.apply([Delete(device.link)])) == {}
        else:
            unplug(self.ovn.chassis[host], device.port)

    def _plug(self, device: Device) -> None:
        netns.create(device.namespace, QUIET)
        tap = Link(device.link, "veth", peer=(device.namespace, "eth0"), peer_mac=device.mac)
        assert self.links(lambda links: links.apply([Create(tap)])) == {}
        offload.off(device.namespace, "eth0")
        with contextlib.closing(Links(device.namespace)) as inside:
            assert inside.apply([Modify(Link("eth0", up=True))]) == {}
            assert inside.change_addresses(Address("eth0", cidr) for cidr in device.cidrs) == {}

    def route(self, name: str, to: str, via: str) -> None:
        line = ["ip", "-n", self.workloads[name].namespace, "route", "replace", to, "via", via]
        subprocess.run(line, check=True)

    def told(self, name: str) -> tuple[str, str]:
        """Status of the workload's port, with its reason."""
        found = self.api.admin.show("ports", self.workloads[name].port)
        return found["status"], found["status_reason"]

    def all_up(self) -> None:
        wait_until(
            lambda: all(self.told(name)[0] == "ACTIVE" for name in self.workloads),
            30,
            str({name: self.told(name) for name in self.workloads}),
        )


@pytest.fixture
def mixed(prefix: str, api: Api, ovn: Ovn, tmp_path: Path) -> Iterator[Mixed]:  # noqa: F811
    """The keeper and the agent work, and the API knows that all three hosts live."""
    made = Mixed(prefix, api, ovn, tmp_path)
    try:
        made.start_keeper()
        made.start_agent()
        hosts = {"h1", "h2", OLD}
        wait_until(lambda: hosts <= {one["host"] for one in api.admin.list("agents") if one["alive"]}, 30, "hosts")
        yield made
    finally:
        made.close()
