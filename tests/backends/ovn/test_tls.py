"""The Southbound database by TLS: both sides show a certificate, a stranger learns nothing, keys change without a restart."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ovn_db import Database
from tests.ovn_lab import create_database, run
from tests.waiting import wait_until
from weft import config as configuration
from weft.backends.ovn.sb import Southbound

pytestmark = [pytest.mark.needs_programs("ovsdb-server", "ovsdb-tool", "openssl", "setpriv")]


def authority(folder: Path, name: str) -> None:
    """ca.pem, and keys with certificates of `server` and `client`; what was there is replaced."""
    key = ["-newkey", "rsa:2048", "-nodes"]
    run(
        "openssl",
        "req",
        "-x509",
        *key,
        "-keyout",
        f"{folder}/ca.key",
        "-out",
        f"{folder}/ca.pem",
        "-subj",
        f"/CN={name}",
    )
    for who in ("server", "client"):
        request, made = f"{folder}/{who}.csr", f"{folder}/{who}.pem"
        run("openssl", "req", *key, "-keyout", f"{folder}/{who}.key", "-out", request, "-subj", f"/CN={who} of {name}")
        signed = ["-CA", f"{folder}/ca.pem", "-CAkey", f"{folder}/ca.key", "-CAcreateserial"]
        run("openssl", "x509", "-req", "-in", request, *signed, "-out", made)


class Server:
    """A Southbound server that listens on loopback with TLS, and on a unix socket for the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        create_database(folder / "sb.db", "sb")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.database = Database("OVN_Southbound", folder / "sb.sock")
        self.start()
        self.database.add("SB_Global")

    def start(self) -> None:
        files = [f"--private-key={self.folder}/server.key", f"--certificate={self.folder}/server.pem"]
        files += [f"--ca-cert={self.folder}/ca.pem", f"--unixctl={self.folder}/ctl", f"--log-file={self.folder}/log"]
        remotes = [f"--remote=pssl:{self.port}:127.0.0.1", f"--remote=punix:{self.folder}/sb.sock"]
        line = ["setpriv", "--pdeathsig", "KILL", "ovsdb-server", "-vconsole:off", *files, *remotes]
        self.process = subprocess.Popen([*line, f"{self.folder}/sb.db"])
        wait_until(self._answers)

    def _answers(self) -> bool:
        """A socket is there before anybody listens on it."""
        try:
            self.database.rows("SB_Global", "nb_cfg")
        except OSError:
            return False
        return True

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        (self.folder / "sb.sock").unlink()

    def chassis(self, name: str) -> None:
        """A host that registers itself."""
        encap = {"op": "insert", "table": "Encap", "uuid-name": "e", "row": {"type": "geneve", "ip": "198.18.0.1"}}
        row = {"name": name, "hostname": name, "encaps": ["named-uuid", "e"]}
        self.database.transact(encap, {"op": "insert", "table": "Chassis", "row": row})

    def client(self, folder: Path) -> Southbound:
        """With the keys of that folder."""
        own = {
            "ovn_sb_connection": (f"ssl:127.0.0.1:{self.port}",),
            "ovn_sb_private_key": f"{folder}/client.key",
            "ovn_sb_certificate": f"{folder}/client.pem",
            "ovn_sb_ca_cert": f"{folder}/ca.pem",
        }
        return Southbound(configuration.load(ovn=own))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    authority(tmp_path, "ours")
    made = Server(tmp_path)
    try:
        yield made
    finally:
        made.stop()


def test_who_has_a_certificate_is_told(server: Server) -> None:
    server.chassis("one")
    southbound = server.client(server.folder)
    try:
        assert southbound.wait(10)
        wait_until(lambda: [one.host for one in southbound.chassis()] == ["one"])
    finally:
        southbound.close()


def test_a_stranger_is_not(server: Server, tmp_path_factory: pytest.TempPathFactory) -> None:
    foreign = tmp_path_factory.mktemp("foreign")
    authority(foreign, "theirs")
    (foreign / "ca.pem").write_bytes((server.folder / "ca.pem").read_bytes())  # it trusts the server, not the other way
    southbound = server.client(foreign)
    try:
        assert not southbound.wait(1)
        assert "certificate verify failed" in (server.folder / "log").read_text()
        assert southbound.chassis() == []
    finally:
        southbound.close()


def test_keys_change_without_a_restart(server: Server) -> None:
    """Another authority signs everything anew; the next connection is made with what the files say then."""
    southbound = server.client(server.folder)
    try:
        assert southbound.wait(10)
        server.stop()
        authority(server.folder, "the next")
        server.start()
        server.chassis("two")
        wait_until(lambda: [one.host for one in southbound.chassis()] == ["two"], 20)
    finally:
        southbound.close()
