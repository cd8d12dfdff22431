"""The Open vSwitch of a host, by ovs-vsctl(8): which interfaces are whose, and ports of br-int."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

TIMEOUT = 10
MOST_PORTS = 65279
"""The highest number of a port (OpenFlow's OFPP_MAX is the first that means something else)."""


class OvsError(Exception):
    """What ovs-vsctl refused, in its words."""


@dataclass(frozen=True, slots=True)
class Device:
    """A workload's device as the switch knows it. `port`: its number in br-int, -1 for none; `gone`: it has seen that there is no
    such device (of one that it has just opened it does not know)."""

    port: int
    gone: bool


class Switch:
    """The Open vSwitch whose database answers at `connection`."""

    def __init__(self, connection: str) -> None:
        self._connection = connection

    def marked(self, mark: str) -> dict[str, str]:
        """Interface -> what its external id `mark` says, of those that have it. Raises OvsError."""
        output = self.run(
            "--format=json", "--columns=name,external_ids", "find", "Interface", f"external_ids:{mark}!=''"
        )
        rows = json.loads(output or '{"data": []}')["data"]
        return {name: dict(ids[1])[mark] for name, ids in rows if mark in dict(ids[1])}

    def plug(self, ports: Mapping[str, Mapping[str, str]]) -> None:
        """Make links ports of br-int, in one transaction: name -> external ids. Raises OvsError."""
        words: list[str] = []
        for link, ids in ports.items():
            words += ["--", "--may-exist", "add-port", "br-int", link, "--", "set", "Interface", link]
            words += [f'external_ids:{name}="{value}"' for name, value in ids.items()]
        if words:
            self.run("--no-wait", *words[1:])

    def unplug(self, names: Iterable[str]) -> None:
        """They are ports no longer. Waits for the switch: it would not notice a device that is another one of that name."""
        words = [word for name in names for word in ("--", "--if-exists", "del-port", "br-int", name)]
        if words:
            self.run(*words[1:])

    def moves_packets_itself(self) -> bool:
        """Whether br-int is of the userspace datapath. Raises OvsError."""
        return self.run("--if-exists", "get", "bridge", "br-int", "datapath_type").strip().strip('"') == "netdev"

    def devices(self, but: str) -> dict[str, Device]:
        """By name: devices of the kernel that are logical ports (ovn-controller(8): iface-id), without those that have the
        external id `but`. Raises OvsError."""
        words = ("--format=json", "--columns=name,ofport,ifindex,external_ids", "find", "Interface")
        rows = json.loads(self.run(*words, "external_ids:iface-id!=''", 'type=""') or '{"data": []}')["data"]
        return {
            name: Device(port if isinstance(port, int) else -1, index == 0)
            for name, port, index, ids in rows
            if but not in dict(ids[1])
        }

    def open_again(self, names: Iterable[str], known: Mapping[str, Device]) -> None:
        """Have the switch open these devices anew: it closes one that shall have another number, and finds none, or
        the one that has that name now. Raises OvsError."""
        taken = {device.port for device in known.values()}
        free = (number for number in range(MOST_PORTS, 0, -1) if number not in taken)
        asked = list(zip(names, free, strict=False))
        request = [
            word
            for name, number in asked
            for word in ("--", "--if-exists", "set", "Interface", name, f"ofport_request={number}")
        ]
        forget = [
            word for name, _ in asked for word in ("--", "--if-exists", "clear", "Interface", name, "ofport_request")
        ]
        if asked:
            self.run(*request[1:])
            self.run("--no-wait", *forget[1:])

    def run(self, *words: str) -> str:
        """What ovs-vsctl prints. Raises OvsError."""
        line = ["ovs-vsctl", f"--db={self._connection}", f"--timeout={TIMEOUT}", *words]
        try:
            done = subprocess.run(line, text=True, capture_output=True, timeout=TIMEOUT + 5)
        except (OSError, subprocess.TimeoutExpired) as fault:
            raise OvsError(str(fault)) from fault
        if done.returncode:
            raise OvsError(done.stderr.strip().removeprefix("ovs-vsctl: "))
        return done.stdout
