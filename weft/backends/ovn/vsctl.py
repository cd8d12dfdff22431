"""The Open vSwitch of a host, by ovs-vsctl(8): which interfaces are whose, and ports of br-int."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping

TIMEOUT = 10


class OvsError(Exception):
    """What ovs-vsctl refused, in its words."""


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
