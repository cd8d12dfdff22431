"""The two databases of OVN, served without any privilege and without OVN: what is written there stays as it was written."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.ovn_db import Database
from tests.ovn_lab import create_database
from tests.waiting import wait_until

PROGRAMS = ("ovsdb-server", "ovsdb-tool")
ROOTS = (
    "Logical_Switch",
    "Logical_Router",
    "Port_Group",
    "Meter",
    "Address_Set",
    "DHCP_Options",
    "HA_Chassis_Group",
    "Load_Balancer",
    "DNS",
    "BFD",
)


class Server:
    """An ovsdb-server in a folder of its own, reached by a unix socket."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "db.sock"
        for name in ("nb", "sb"):
            create_database(folder / f"{name}.db", name)
        self.nb = Database("OVN_Northbound", self.socket)
        self.sb = Database("OVN_Southbound", self.socket)
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def remote(self) -> str:
        return f"unix:{self.socket}"

    def start(self) -> None:
        line = ["setpriv", "--pdeathsig", "KILL", "ovsdb-server", f"--remote=punix:{self.socket}", "-vconsole:off"]
        line += [f"--unixctl={self.folder / 'ctl'}", f"--log-file={self.folder / 'log'}"]
        line += [str(self.folder / "nb.db"), str(self.folder / "sb.db")]
        self._process = subprocess.Popen(line, stdin=subprocess.DEVNULL)
        wait_until(self._answers, what="ovsdb-server")

    def _answers(self) -> bool:
        try:
            self.nb.rows("Logical_Switch", "name")
        except OSError:
            return False
        return True

    def kill(self) -> None:
        """End it as a power failure would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)
        self.socket.unlink(missing_ok=True)

    def clear(self) -> None:
        """Delete all rows, as somebody would who restores the wrong file."""
        self.nb.clear(*(table for table in ROOTS if table != "HA_Chassis_Group"))
        self.nb.clear("HA_Chassis_Group")  # once nothing refers to it
