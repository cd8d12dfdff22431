"""A relay of the Southbound database (ovsdb(7)), which spares a large cloud's servers their clients, is read like a server."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ovn_db import Database
from tests.ovn_server import PROGRAMS, Server
from tests.waiting import wait_until
from weft.backends.ovn.sb import Southbound
from weft.config import Config, Ovn

pytestmark = [pytest.mark.needs_programs(*PROGRAMS, "setpriv")]


class Relay:
    """An ovsdb-server without databases of its own, in front of `server`."""

    def __init__(self, server: Server) -> None:
        self.socket = server.folder / "relay.sock"
        self._server = server
        self.start()

    def start(self) -> None:
        line = ["setpriv", "--pdeathsig", "KILL", "ovsdb-server", f"--remote=punix:{self.socket}", "-vconsole:off"]
        line += [f"--unixctl={self._server.folder / 'relay.ctl'}", f"--log-file={self._server.folder / 'relay.log'}"]
        line += [f"relay:OVN_Southbound:{self._server.remote}"]
        self._process = subprocess.Popen(line, stdin=subprocess.DEVNULL)
        wait_until(self.answers, what="the relay")

    def answers(self) -> bool:
        try:
            Database("OVN_Southbound", self.socket).rows("Chassis", "name")
        except (OSError, KeyError):
            return False
        return True

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)
        self.socket.unlink(missing_ok=True)


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[tuple[Server, Relay]]:
    server = Server(tmp_path)
    made = Relay(server)
    try:
        yield server, made
    finally:
        made.kill()
        server.kill()


def chassis(server: Server, name: str) -> None:
    """A host registers itself."""
    encap = {
        "op": "insert",
        "table": "Encap",
        "uuid-name": "e",
        "row": {"type": "geneve", "ip": f"198.18.0.{name[1:]}"},
    }
    row = {"name": name, "hostname": name, "encaps": ["named-uuid", "e"]}
    server.sb.transact(encap, {"op": "insert", "table": "Chassis", "row": row})


def test_hosts_are_seen_whoever_dies(relay: tuple[Server, Relay]) -> None:
    server, between = relay
    southbound = Southbound(Config(ovn=Ovn(ovn_sb_connection=(f"unix:{between.socket}",))))
    try:
        hosts = set()
        for name, dies in (("h1", None), ("h2", between), ("h3", server)):
            if dies is not None:
                dies.kill()
                dies.start()
                wait_until(between.answers, what="the relay")
            chassis(server, name)
            hosts.add(name)
            wait_until(lambda: {one.host for one in southbound.chassis()} == hosts, what="the chassis")
    finally:
        southbound.close()
