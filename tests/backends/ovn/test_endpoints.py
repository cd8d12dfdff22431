"""The Northbound database by TLS and at several addresses: one that falls silent is left for the next, and nothing is lost."""

from __future__ import annotations

import contextlib
import select
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends.ovn.test_tls import authority
from tests.ovn_db import Database
from tests.ovn_lab import create_database
from tests.waiting import wait_until
from weft import config as configuration
from weft.backends.ovn.backend import OvnBackend
from weft.logical.model import HostView, Key, LogicalSwitch

pytestmark = [pytest.mark.needs_programs("ovsdb-server", "ovsdb-tool", "openssl", "setpriv")]

PROBE = 1000
"""Milliseconds of silence after which a server is asked whether it lives."""


class Wire:
    """A way to a port of this machine, which can be cut without anybody being told."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.cut = threading.Event()
        self._ends: list[socket.socket] = [self._listener]
        self.taken = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                self.taken += 1
                far = socket.create_connection(("127.0.0.1", self._to))
                self._ends += [near, far]
                threading.Thread(target=self._pass, args=(near, far), daemon=True).start()

    def _pass(self, near: socket.socket, far: socket.socket) -> None:
        other = {near: far, far: near}
        with contextlib.suppress(OSError, ValueError):
            while not self.cut.is_set():
                for one in select.select([near, far], [], [], 0.1)[0]:
                    data = one.recv(65536)
                    if not data:
                        return
                    if not self.cut.is_set():
                        other[one].sendall(data)

    def close(self) -> None:
        self.cut.set()
        for one in self._ends:
            one.close()


class Server:
    """Both databases by TLS on loopback, with keys of `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for kind in ("nb", "sb"):
            create_database(folder / f"{kind}.db", kind)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.nb = Database("OVN_Northbound", folder / "db.sock")
        self.start()

    def start(self) -> None:
        files = [f"--private-key={self.folder}/server.key", f"--certificate={self.folder}/server.pem"]
        files += [f"--ca-cert={self.folder}/ca.pem", f"--unixctl={self.folder}/ctl", f"--log-file={self.folder}/log"]
        remotes = [f"--remote=pssl:{self.port}:127.0.0.1", f"--remote=punix:{self.folder}/db.sock"]
        databases = [str(self.folder / f"{kind}.db") for kind in ("nb", "sb")]
        line = ["setpriv", "--pdeathsig", "KILL", "ovsdb-server", "-vconsole:off", *files, *remotes, *databases]
        self.process = subprocess.Popen(line, stdin=subprocess.DEVNULL)
        wait_until(self._answers)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            return self.nb.rows("Logical_Switch", "name") is not None
        return False

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        (self.folder / "db.sock").unlink()

    def client(self, *ports: int) -> OvnBackend:
        """Which tries these ports one after the other."""
        remotes = tuple(f"ssl:127.0.0.1:{port}" for port in ports)
        keys = {"private_key": f"{self.folder}/client.key", "certificate": f"{self.folder}/client.pem"}
        keys["ca_cert"] = f"{self.folder}/ca.pem"
        own = {f"ovn_{kind}_{name}": value for kind in ("nb", "sb") for name, value in keys.items()}
        own |= {
            "ovn_nb_connection": remotes,
            "ovn_sb_connection": (f"ssl:127.0.0.1:{self.port}",),
            "ovsdb_probe_interval": PROBE,
        }  # type: ignore[dict-item]
        return OvnBackend(configuration.load(ovn=own))

    def switches(self) -> set[str]:
        return {row["name"] for row in self.nb.rows("Logical_Switch", "name")}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    authority(tmp_path, "ours")
    made = Server(tmp_path)
    try:
        yield made
    finally:
        made.stop()


def makes(backend: OvnBackend, view: HostView, name: str) -> None:
    view.switches[name] = LogicalSwitch(name, name, "p", 1500, ())
    assert backend.set(view, [Key("switch", name)]).failed == {}


def test_keys_change_without_a_restart(server: Server) -> None:
    """Of both databases at once."""
    with contextlib.closing(server.client(server.port)) as backend:
        view = HostView("")
        makes(backend, view, "one")
        server.stop()
        authority(server.folder, "the next")
        server.start()
        makes(backend, view, "two")
    assert server.switches() == {"neutron-one", "neutron-two"}


def test_a_server_that_falls_silent_is_left(server: Server) -> None:
    """Nobody says that the connection is gone: it is asked, does not answer, and the next address is taken."""
    first, second = Wire(server.port), Wire(server.port)
    with (
        contextlib.closing(first),
        contextlib.closing(second),
        contextlib.closing(server.client(first.port, second.port)) as backend,
    ):
        view = HostView("")
        makes(backend, view, "one")
        now, other = (first, second) if first.taken else (second, first)
        assert not other.taken
        now.cut.set()
        makes(backend, view, "two")
        assert other.taken
    assert server.switches() == {"neutron-one", "neutron-two"}
