"""Workloads on ports of a walk, and whether pings between them arrive as the logical model says."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator
from typing import Any

from tests.backends.ovn.verdict import Packet, arrives
from tests.topo.random_walk.walk import Walk
from tests.topo.whole import Installation
from weft import installed
from weft.backends.linux import netns
from weft.context import internal
from weft.logical.model import HostView, LogicalPort
from weft.reconcile.cloud import CloudLoader
from weft.reconcile.load import HostLoader
from weft.store.engine import Store
from weft.store.transaction import Environment, Transaction

MOST = 6
"""Workloads at a time."""
LEAST_IPV6_MTU = 1280


class Workloads:
    """By port: the namespace, and what the port was when it was plugged."""

    def __init__(self, weft: Installation, walk: Walk, dataplane: str) -> None:
        self._weft, self._walk, self._dataplane = weft, walk, dataplane
        self._names = itertools.count(1)
        self._plugged: dict[str, tuple[str, tuple[Any, ...]]] = {}
        self.judged = {True: 0, False: 0}

    def renew(self) -> None:
        """Those whose ports are gone or others now go; some of the ports that have none get one."""
        ports = {one["id"]: one for one in self._weft.call("GET", "/ports")["ports"]}
        for id, (name, was) in list(self._plugged.items()):
            if id not in ports or facts(ports[id]) != was:
                self._weft.weft("unplug", id, check=id in ports and ports[id]["device_owner"] in ("", "compute:weft"))
                netns.delete(self._weft.workload(name))
                del self._plugged[id]
        up = {one["id"] for one in self._weft.call("GET", "/networks?admin_state_up=true")["networks"]}
        free = [one for one in ports.values() if one["id"] not in self._plugged and _pluggable(one, up)]
        self._walk.random.shuffle(free)
        for one in free[: MOST - len(self._plugged)]:
            name = f"x{next(self._names)}"
            namespace = self._weft.workload(name)
            options = ("--netns", namespace, "--static", "--timeout", "5")
            run = self._weft.weft("plug", one["id"], *options, check=False)
            assert "Traceback" not in run.stderr, run.stderr
            if run.returncode == 0:
                self._plugged[one["id"]] = (name, facts(self._weft.port(one["id"])))
            else:
                print(f"not plugged: {run.stderr.strip()} {run.stdout.strip()}")
                self._weft.weft("unplug", one["id"])
                netns.delete(namespace)

    def judge(self) -> list[str]:
        """Where packets and the model differ, between workloads of one network."""
        view, wrong = self._view(), []
        for source, target in itertools.permutations(self._plugged, 2):
            for ping in pings(view, source, target):
                expected = answered(view, view.ports[source], view.ports[target], ping)
                if expected is None:
                    continue
                self.judged[expected] += 1
                if self._arrives(source, ping, expected) != expected:
                    wrong.append(f"{ping} from {source} to {target}: {'nothing' if expected else 'an answer'}")
        return wrong

    def _arrives(self, source: str, ping: Packet, expected: bool) -> bool:
        namespace = self._weft.workload(self._plugged[source][0])
        patience, times = (
            ("1", 3) if expected else ("0.3", 1)
        )  # the first may be lost while somebody looks for the neighbour
        line = ["ip", "netns", "exec", namespace, "ping", "-n", "-q", "-s", "8", "-c", "1", "-W", patience]
        return any(
            subprocess.run([*line, "-I", ping.source, ping.target], capture_output=True, check=False).returncode == 0
            for _ in range(times)
        )

    def _view(self) -> HostView:
        """What the dataplane is asked for."""
        config = installed.remembered(str(self._weft.folder))
        store = Store(config)
        loader: Any = CloudLoader() if self._dataplane == "ovn" else HostLoader(config.api.host)
        try:
            store.read(lambda connection: loader.load(Transaction(connection, internal(), Environment(config))))
        finally:
            store.close()
        return loader.view  # type: ignore[no-any-return]

    def close(self) -> None:
        for id, (name, _) in self._plugged.items():
            self._weft.weft("unplug", id, check=False)
            netns.delete(self._weft.workload(name))
        self._plugged.clear()


def _pluggable(port: dict[str, Any], networks: set[str]) -> bool:
    """Neither down, nor somebody else's, nor for a card, nor with others inside; in one of those networks."""
    alone = not port["device_owner"] and not port.get("trunk_details") and port["binding:vnic_type"] == "normal"
    return alone and port["network_id"] in networks and port["admin_state_up"] and bool(port["fixed_ips"])


def facts(port: dict[str, Any]) -> tuple[Any, ...]:
    """What the device has of a port."""
    return port["mac_address"], str(port["fixed_ips"]), port["device_owner"], port["binding:host_id"]


def pings(view: HostView, source: str, target: str) -> Iterator[Packet]:
    one, other = view.ports.get(source), view.ports.get(target)
    if one is None or other is None or one.switch != other.switch:
        return
    for version in (4, 6):
        ips = [[a.ip for a in port.addresses if a.version == version] for port in (one, other)]
        nets = [{a.subnet_id for a in port.addresses} for port in (one, other)]
        small = version == 6 and view.switches[one.switch].mtu < LEAST_IPV6_MTU
        if all(ips) and nets[0] & nets[1] and not small:
            yield Packet(ips[0][0], ips[1][0], "icmp")


def answered(view: HostView, source: LogicalPort, target: LogicalPort, ping: Packet) -> bool | None:
    """None where the model does not say: what is limited may be lost, and without state the answer is another question."""
    if source.qos or target.qos:
        return None
    if not arrives(view, source, target, ping):
        return False
    stateful = all(view.groups[group].stateful for port in (source, target) for group in port.groups)
    back = arrives(view, target, source, Packet(ping.target, ping.source, "icmp"))
    return True if stateful or back else None
