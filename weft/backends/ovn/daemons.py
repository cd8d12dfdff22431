"""OVN and Open vSwitch on one machine: which daemons, in what order, and whether they run.

All of them stand below one folder: databases, sockets, pid files and logs. They detach themselves and outlive Weft, as
packets must; who starts next finds them by pid file and command line, since numbers of processes are used again.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from weft.backends.linux import external, netns
from weft.backends.linux.netlink import Message, NetlinkError, Socket, text
from weft.backends.linux.switches import EXTERNAL
from weft.backends.ovn import offload
from weft.backends.ovn.vsctl import OvsError, Switch
from weft.config import Config, Ovn

SYSTEM_ID = "weft"
"""Name of the machine's chassis; its host name may change."""
STOP = 5.0
"""Seconds in which a daemon that is asked to has to end; then it is killed."""
START = 30
APPCTL = 5
"""Seconds in which a daemon has to answer."""
MOST_LOG = 8 << 20
"""Octets of a log, from which on it is put aside, in place of the one that was before."""
SCHEMAS = ("/usr/share", "/usr/local/share")
"""Where packages, and what was built by hand, put the schemas of databases."""
PACKAGES = {
    "ovs-vsctl": "openvswitch-switch",
    "ovs-appctl": "openvswitch-common",
    "ovs-vswitchd": "openvswitch-switch",
    "ovsdb-server": "openvswitch-switch",
    "ovsdb-tool": "openvswitch-switch",
    "ovn-northd": "ovn-central",
    "ovn-nbctl": "ovn-common",
    "ovn-sbctl": "ovn-common",
    "ovn-controller": "ovn-host",
}
"""What must be there, and Debian's package that has it."""


class DaemonError(Exception):
    """Why OVN does not run, in words for the operator."""


@dataclass(frozen=True, slots=True)
class Daemon:
    """A program of OVN or Open vSwitch. `name` is that of its pid file and log; `database`: the file that it serves and its
    schema."""

    name: str
    program: str
    arguments: tuple[str, ...]
    database: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True)
class Machine:
    """Where OVN of this machine has its files and its switch. `bridges`: physical network -> interface that carries it,
    '' for none."""

    folder: Path
    namespace: str
    host: str
    zone: str
    bridges: Mapping[str, str] = field(default_factory=dict)

    @property
    def northbound(self) -> str:
        return f"unix:{self.folder}/ovnnb_db.sock"

    @property
    def southbound(self) -> str:
        return f"unix:{self.folder}/ovnsb_db.sock"

    @property
    def switch(self) -> str:
        return f"unix:{self.folder}/db.sock"

    @property
    def environment(self) -> dict[str, str]:
        """Where OVN's programs look for each other."""
        return {
            f"{who}_{what}DIR": str(self.folder) for who in ("OVS", "OVN") for what in ("RUN", "DB", "LOG", "SYSCONF")
        }

    def daemons(self) -> tuple[Daemon, ...]:
        """In the order in which they need each other."""
        return (
            self._server("ovnnb_db", "ovn/ovn-nb.ovsschema", "ovnnb_db.sock"),
            self._server("ovnsb_db", "ovn/ovn-sb.ovsschema", "ovnsb_db.sock"),
            self._server("conf", "openvswitch/vswitch.ovsschema", "db.sock"),
            Daemon("ovs-vswitchd", "ovs-vswitchd", (f"--unixctl={self.folder}/ovs-vswitchd.ctl", self.switch)),
            Daemon("ovn-northd", "ovn-northd", (f"--ovnnb-db={self.northbound}", f"--ovnsb-db={self.southbound}")),
            Daemon("ovn-controller", "ovn-controller", (self.switch,)),
        )

    def _server(self, name: str, schema: str, socket: str) -> Daemon:
        file = f"{self.folder}/{name}.db"
        arguments = (f"--remote=punix:{self.folder}/{socket}", f"--unixctl={self.folder}/{name}.ctl", file)
        return Daemon(name, "ovsdb-server", arguments, (file, schema))


def with_own(config: Config) -> Config:
    """`config` of an installation on one machine: with OVN in the state folder, unless it names databases elsewhere."""
    if config.api.backend != "ovn" or config.ovn.ovn_nb_connection != Ovn().ovn_nb_connection:
        return config
    own = machine(config)
    ovn = replace(
        config.ovn,
        ovn_nb_connection=(own.northbound,),
        ovn_sb_connection=(own.southbound,),
        ovsdb_connection=own.switch,
        namespace=own.namespace,
    )
    return replace(config, ovn=ovn)


def machine(config: Config) -> Machine:
    mapped = external.mapped(config.linux).bridge_mappings
    folder = config.state_path / "ovn"
    return Machine(
        folder, config.linux.namespace, config.api.host, config.api.availability_zone, {EXTERNAL: "", **mapped}
    )


def is_own(config: Config) -> bool:
    """Whether OVN is this machine's, started by Weft."""
    return config.api.backend == "ovn" and config.ovn.ovn_nb_connection == (machine(config).northbound,)


# What runs.


def pid(where: Machine, daemon: Daemon) -> int | None:
    """Of the daemon that runs; None where what has that number is another program, or another installation's."""
    with contextlib.suppress(OSError, ValueError):
        found = int(_pid_file(where, daemon).read_text())
        words = Path(f"/proc/{found}/cmdline").read_bytes().decode(errors="replace").split("\0")
        if Path(words[0]).name == daemon.program and f"--pidfile={_pid_file(where, daemon)}" in words:
            return found
    return None


def running(where: Machine) -> dict[str, int]:
    """Daemon -> process, of those that run."""
    found = {daemon.name: pid(where, daemon) for daemon in where.daemons()}
    return {name: one for name, one in found.items() if one is not None}


def _pid_file(where: Machine, daemon: Daemon) -> Path:
    return where.folder / f"{daemon.name}.pid"


def _elsewhere(where: Machine, process: int) -> bool:
    """Whether it runs in a namespace that no longer has our name."""
    try:
        return os.stat(f"/proc/{process}/ns/net").st_ino != netns.identity(where.namespace)
    except OSError:
        return False


def missing() -> list[str]:
    """Programs that are not installed, each with Debian's package."""
    return [f"{program} (Debian: {package})" for program, package in PACKAGES.items() if _program(program) is None]


def _program(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin:/sbin")


# Starting.


def start(where: Machine) -> list[str]:
    """Start what does not run and tell the switch what it is; returns the names of what was started. Raises DaemonError."""
    if lacking := missing():
        raise DaemonError(
            f"OVN is not complete, missing: {', '.join(lacking)}; scripts/system-packages ovn installs it"
        )
    where.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    started = []
    for daemon in where.daemons():
        process = pid(where, daemon)
        if process is not None and _elsewhere(where, process):
            end(where, daemon)
            process = None
        if process is None:
            _start(where, daemon)
            started.append(daemon.name)
        if daemon.name == "conf":
            _configure(where)
    for name, connection in (("ovn-nbctl", where.northbound), ("ovn-sbctl", where.southbound)):
        _run(where, name, f"--db={connection}", f"--timeout={START}", "init")
    return started


def _start(where: Machine, daemon: Daemon) -> None:
    """Start it; returns when it is ready, which is when it has detached itself."""
    file, schema = daemon.database
    if file:
        _database(where, file, schema)
    line = [daemon.program, *daemon.arguments, "--detach", "--no-chdir", f"--pidfile={_pid_file(where, daemon)}"]
    _run(where, *line, "-vconsole:off", "-vsyslog:off", f"--log-file={_log(where, daemon)}")


def _database(where: Machine, file: str, schema: str) -> None:
    """Make the file, or bring it to the schema of the programs that are installed now."""
    found = next((f"{folder}/{schema}" for folder in SCHEMAS if Path(folder, schema).exists()), "")
    if not found:
        raise DaemonError(f"the schema {schema} is not below {' or '.join(SCHEMAS)}")
    if not Path(file).exists():
        _run(where, "ovsdb-tool", "create", file, found)
    elif _run(where, "ovsdb-tool", "needs-conversion", file, found).strip() == "yes":
        _run(where, "ovsdb-tool", "convert", file, found)


def _run(where: Machine, name: str, *arguments: str) -> str:
    """Run a program in the machine's namespace; what it says. Raises DaemonError."""
    line = [_program(name) or name, *arguments]

    def run() -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **where.environment}
        nothing = subprocess.DEVNULL
        return subprocess.run(line, stdin=nothing, capture_output=True, text=True, env=environment, timeout=START)

    try:
        done = netns.inside(where.namespace, run)
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise DaemonError(f"{name}: {fault}") from fault
    if done.returncode:
        raise DaemonError(f"{name}: {done.stderr.strip()[-500:] or f'ended with {done.returncode}'}")
    return done.stdout


def bridge(network: str) -> str:
    """The bridge that carries a physical network."""
    return "br-ex" if network == EXTERNAL else f"br-{network}"[:15]


WAIT_BEFORE_CLEAR = "1000"
"""Milliseconds for which an ovn-controller that starts leaves the flows as they are, while it works out its own."""


def settings(where: Machine) -> dict[str, str]:
    """What ovn-controller reads of the host (ovn-controller(8)). Its tunnels end here: there is no other host."""
    mappings = ",".join(f"{network}:{bridge(network)}" for network in where.bridges)
    return {
        "system-id": SYSTEM_ID,
        "hostname": where.host,
        "ovn-remote": where.southbound,
        "ovn-encap-type": "geneve",
        "ovn-encap-ip": "127.0.0.1",
        "ovn-bridge-mappings": mappings,
        "ovn-cms-options": f"enable-chassis-as-gw,availability-zones={where.zone}",
        "ovn-ofctrl-wait-before-clear": WAIT_BEFORE_CLEAR,
    }


def _configure(where: Machine) -> None:
    switch = Switch(where.switch)
    try:
        switch.run("--no-wait", "init")
        there = switch.run("--if-exists", "get", "bridge", "br-int", "datapath_type").strip().strip('"')
        kind = there or ("system" if kernel_switches(where.namespace) else "netdev")
        ids = {**settings(where), "ovn-bridge-datapath-type": kind}
        words = ["set", "open", ".", *(f'external_ids:{name}="{value}"' for name, value in ids.items())]
        for name, mode in (("br-int", "secure"), *((bridge(network), "standalone") for network in where.bridges)):
            words += ["--", "--may-exist", "add-br", name]
            words += ["--", "set", "bridge", name, f"datapath_type={kind}", f"fail_mode={mode}"]
        for network, link in where.bridges.items():
            words += ["--", "--may-exist", "add-port", bridge(network), link] if link else []
        switch.run("--no-wait", *words)
    except OvsError as error:
        raise DaemonError(f"ovs-vsctl: {error}") from error


def kernel_switches(namespace: str) -> bool:
    """Whether the kernel has Open vSwitch's datapath, loading its module where there is one: it then knows the generic
    netlink family of that name. Elsewhere ovs-vswitchd moves the packets itself."""
    generic, control, get_family, name = 16, 16, 3, 2  # NETLINK_GENERIC, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, its name
    sock = Socket(namespace, generic)
    try:
        sock.request(Message(control, bytes([get_family, 1, 0, 0]) + text(name, "ovs_datapath")))
    except NetlinkError:
        return False
    finally:
        sock.close()
    return True


def way_in(config: Config) -> list[str]:
    """Set the machine's own way to the external network, if it is to have one; returns what was changed."""
    changes = external.set(config.linux)
    if config.linux.external_cidr:
        offload.off(external.MACHINE, external.link_name(config.linux))
    return changes


# Logs.


def bound_logs(where: Machine, most: int = MOST_LOG) -> list[str]:
    """Put logs aside that have become too long; returns the names of their daemons. Raises DaemonError, after all of them,
    where a daemon does not take a new one: it goes on with the old."""
    done, faults = [], []
    for daemon in where.daemons():
        log = _log(where, daemon)
        if not log.exists() or log.stat().st_size <= most:
            continue
        log.rename(f"{log}.1")
        done.append(daemon.name)
        try:
            if process := pid(where, daemon):
                _run(where, "ovs-appctl", f"--timeout={APPCTL}", "-t", _control(where, daemon, process), "vlog/reopen")
        except DaemonError as fault:
            faults.append(f"{daemon.name} takes no new log: {fault}")
    if faults:
        raise DaemonError("; ".join(faults))
    return done


def _log(where: Machine, daemon: Daemon) -> Path:
    return where.folder / f"{daemon.name}.log"


def _control(where: Machine, daemon: Daemon, process: int) -> str:
    """The socket by which the daemon is told what to do. OVN 23.03's ovn-controller names its own."""
    said = [word.partition("=")[2] for word in daemon.arguments if word.startswith("--unixctl=")]
    return said[0] if said else f"{where.folder}/{daemon.program}.{process}.ctl"


# Stopping.


def stop(where: Machine) -> list[str]:
    """End all of them, in the opposite order; returns the names of those that ran."""
    return [daemon.name for daemon in reversed(where.daemons()) if end(where, daemon)]


def end(where: Machine, daemon: Daemon) -> bool:
    """Ask the daemon to end, and make it; False if it did not run."""
    with _handle(where, daemon) as process:
        if process is None:
            return False
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(process, number)
            if _ended(process, STOP):
                break
    _pid_file(where, daemon).unlink(missing_ok=True)
    return True


@contextlib.contextmanager
def _handle(where: Machine, daemon: Daemon) -> Iterator[int | None]:
    """A descriptor of its process (pidfd_open(2)), which means that one whatever becomes of its number."""
    process = handle(where, daemon)
    try:
        yield process
    finally:
        if process is not None:
            os.close(process)


def handle(where: Machine, daemon: Daemon) -> int | None:
    """The same, for the caller to close."""
    number = pid(where, daemon)
    if number is None:
        return None
    try:
        process = os.pidfd_open(number)
    except ProcessLookupError:
        return None
    if pid(where, daemon) != number:  # it ended, and another took its number, before we held it
        os.close(process)
        return None
    return process


def _ended(process: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(process, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
