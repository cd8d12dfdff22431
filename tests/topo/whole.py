"""A whole installation, `weft up` with all its processes, and workloads plugged into it by `weft plug`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

from tests.topo.flood import Flood
from tests.waiting import wait_until
from weft.backends.linux import netns
from weft.client import Client

WEFT = (sys.executable, "-m", "weft")


@contextlib.contextmanager
def installed(tmp_path: Path, prefix: str, *options: str) -> Iterator[Installation]:
    """A new installation that runs, with these options of `weft up`; nothing is left of it."""
    (tmp_path / "state").mkdir(mode=0o700)
    one = Installation(tmp_path / "state", prefix, *options)
    try:
        one.start()
        yield one
    finally:
        one.close()


class Installation:
    """One `weft up` on a state folder, in a host namespace of its own; the API as administrator by `client`."""

    def __init__(self, folder: Path, prefix: str, *options: str) -> None:
        self.folder = folder
        # all that begins so is taken away in the end: the other laboratories of this process are no part of it
        self.prefix = f"{prefix}i"
        self.namespace = f"{self.prefix}w"
        self._options = options
        self._process: subprocess.Popen[str] | None = None
        self._plugged: list[str] = []
        self.facts: dict[str, Any] = {}

    # -- processes

    def start(self) -> None:
        """Start it and wait until it is ready, on the ports of last time."""
        ports = ("--port", self._port("network_url"), "--identity-port", self._port("identity_url"))
        command = [*WEFT, "up", "--json", "--state-dir", str(self.folder), "--namespace", self.namespace]
        with (self.folder.parent / f"{self.prefix}.log").open("a") as log:
            self._process = subprocess.Popen(
                [*command, "--host", f"{self.prefix}host", *ports, *self._options],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, (self.folder.parent / f"{self.prefix}.log").read_text()[-3000:]
        self.facts = json.loads(line)
        self.client = Client(self.folder / "clouds.yaml", "weft-admin")

    def _port(self, url: str) -> str:
        return str(self.facts[url].rpartition(":")[2].partition("/")[0]) if self.facts else "0"

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it by a signal to the supervisor; waits until all processes of the tree are gone."""
        if self._process is None:
            return
        children = [pid for pid in self.facts["processes"].values() if self._running(pid)]
        self._process.send_signal(number)
        self._process.wait(20)
        if self._process.stdout:
            self._process.stdout.close()
        self._process = None
        wait_until(lambda: not any(self._running(pid) for pid in children))

    def _running(self, pid: int) -> bool:
        with contextlib.suppress(OSError):
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            return state != "Z" and str(self.folder).encode() in self._environment_of(pid)
        return False

    def _environment_of(self, pid: int) -> bytes:
        return Path(f"/proc/{pid}/cmdline").read_bytes()

    def kill(self, name: str) -> None:
        """kill -9 of one process of the tree, as it is named in `weft up --json`."""
        children = Path(f"/proc/{self.facts['pid']}/task/{self.facts['pid']}/children").read_text().split()
        wanted = f"weft-{name}"
        for pid in children:
            with contextlib.suppress(FileNotFoundError):  # a command that has done its work
                if wanted in Path(f"/proc/{pid}/comm").read_text() or int(pid) == self.facts["processes"][name]:
                    os.kill(int(pid), signal.SIGKILL)
                    return
        raise AssertionError(f"no process {name} among {children}")

    def close(self) -> None:
        """Everything away: workloads, processes, namespaces."""
        with contextlib.suppress(Exception):
            self.stop(signal.SIGKILL)
        if (self.folder / "ovn").exists():
            self.weft("down")
        for name in netns.names():
            if name.startswith(self.prefix):
                netns.delete(name)

    # -- the command line

    def weft(self, command: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        run = subprocess.run(
            [*WEFT, command, "--state-dir", str(self.folder), *arguments], capture_output=True, text=True, check=False
        )
        assert not check or run.returncode == 0, run.stdout + run.stderr
        return run

    def plug(self, port: str, workload: str, *more: str) -> dict[str, Any]:
        """Plug a port into the workload's namespace; what `weft plug --json` prints."""
        run = self.weft("plug", port, "--netns", self.workload(workload), "--static", "--json", *more)
        return dict(json.loads(run.stdout))

    def workload(self, name: str) -> str:
        return f"{self.prefix}{name}"

    # -- the API

    def call(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.client._send(method, f"{self.facts['network_url']}/v2.0{path}", body)
        return answer.json() if answer.content else None

    def make(self, collection: str, **values: Any) -> dict[str, Any]:
        member = collection[:-1].replace("-", "_")
        return dict(self.call("POST", f"/{collection}", {member: values})[member])

    def port(self, id: str) -> dict[str, Any]:
        return dict(self.call("GET", f"/ports/{id}")["port"])

    def answers(self) -> bool:
        with contextlib.suppress(requests.RequestException):
            return bool(requests.get(f"{self.facts['network_url']}/readyz", timeout=2).status_code == 200)
        return False

    # -- packets

    @contextlib.contextmanager
    def flood(self, workload: str, address: str, rate: int = 100) -> Iterator[Flood]:
        flood = Flood(self.workload(workload), address, rate)
        try:
            yield flood
        finally:
            flood.stop()
