"""`weft up`: a whole one-machine installation as one tree of processes."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import importlib
import json
import logging
import logging.handlers
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weft import preparation
from weft.preparation import in_child
from weft.supervisor import Child, StartError, Supervisor

LOG = logging.getLogger(__name__)

#: exit codes besides 0 (stopped as asked)
FAILED, RUNNING_ALREADY, PORT_TAKEN = 1, 3, 4
#: seconds to wait for the last processes of an installation that was just killed
LOCK_PATIENCE = 2.0
#: bytes of the log file above which a start puts it aside
LOG_BYTES = 10_000_000
IDENTITY_THREADS = 4
#: how oslo.config writes where a value stands
WHERE = re.compile(r"(?<=option )(\w+) from LocationInfo\(location=.*?, detail='([^']*)'\)")


class UpError(RuntimeError):
    """`weft up` cannot go on; the message is for the person who called it."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Options:
    """What the command line said."""

    state_dir: str = ""
    listen: str = ""
    port: int | None = None
    identity_port: int = 5000
    dataplane: bool = True
    backend: str = ""
    external_cidr: str = ""
    namespace: str | None = None
    config: tuple[str, ...] = ()
    host: str = ""
    allow_remote: bool = False
    json: bool = False


def _api(config: Any) -> Any:
    from weft.app import make_api

    return make_api(config)


def _dataplane(config: Any, ready: Callable[[], None]) -> None:
    from weft.agent.main import run as run_agent

    os.umask(0o022)  # what it makes outside of the state folder is for everybody to see: /run/netns
    run_agent(config, ready)


def _present(config: Any, name: str) -> contextlib.AbstractContextManager[None]:
    from weft.store.processes import present

    return present(config, name)


def _events(config: Any, ready: Callable[[], None]) -> None:
    from weft.events.main import run as hand_over

    hand_over(config, ready)


def _keeper(config: Any, ready: Callable[[], None]) -> None:
    from weft.reconcile.keeper import run as keep

    keep(config, ready)


def _ovn(config: Any, ready: Callable[[], None]) -> None:
    from weft.agent.cloud import run as keep

    keep(config, ready)


def _machine(config: Any, ready: Callable[[], None]) -> None:
    from weft.agent.machine import run as see_to

    see_to(config, ready)


@dataclass(frozen=True)
class Programs:
    """What the processes run; the defaults are Weft."""

    #: brings the database up to date, before anything else and in a process of its own
    prepare: Callable[[Any], None] = preparation.prepare
    #: the Networking API as a WSGI application
    api: Callable[[Any], Any] = _api
    #: this host's agent; calls its second argument when it is ready, returns when it got SIGTERM
    dataplane: Callable[[Any, Callable[[], None]], None] = _dataplane
    #: hands events over to Nova and the message bus, where one is configured; like `dataplane`
    events: Callable[[Any, Callable[[], None]], None] = _events
    #: forgets what is old, one such process at a time on a database; like `dataplane`
    keeper: Callable[[Any, Callable[[], None]], None] = _keeper
    #: keeps OVN equal to the database, one such process at a time; like `dataplane`
    ovn: Callable[[Any, Callable[[], None]], None] = _ovn
    #: sees to it that OVN's daemons run, where OVN is this machine's own; like `dataplane`
    machine: Callable[[Any, Callable[[], None]], None] = _machine
    #: modules loaded before the processes part, so that they share the memory
    preload: tuple[str, ...] = (
        "granian.server.mp",
        "keystonemiddleware.auth_token",
        "weft.api.auth",
        "weft.app",
        "weft.identity.app",
    )
    preload_dataplane: tuple[str, ...] = ("weft.agent.main",)
    #: tells others, while it is entered, that the process of that name uses the database
    present: Callable[[Any, str], contextlib.AbstractContextManager[None]] = _present


WEFT = Programs()


def run(options: Options, programs: Programs = WEFT) -> int:
    """Start everything, say so, and stay until a signal. The exit code; raises UpError for what a person can mend."""
    from weft import config as configuration
    from weft.identity.files import StateFolderError, private_folder
    from weft.identity.listen import ListenError, check_listen
    from weft.identity.users import IdentityError

    config = with_own_ovn(read_config(configuration, options))
    if options.dataplane and os.geteuid() != 0:
        raise UpError("the dataplane needs root: run as root, or with --no-dataplane for the API alone")
    try:
        check_listen(config.api.bind_host, options.allow_remote)
        folder = private_folder(config.state_path)
        os.umask(0o077)
        with lock(folder):
            log_to(folder / "weft.log")
            return _run(config, options, programs)
    except (ListenError, StateFolderError, IdentityError, StartError) as error:
        raise UpError(str(error)) from error


def read_config(configuration: Any, options: Options) -> Any:
    from oslo_config import cfg

    try:
        config = configuration.load(
            options.config,
            api={
                "state_path": str(Path(options.state_dir).expanduser().absolute()) if options.state_dir else None,
                "bind_host": options.listen or None,
                "bind_port": options.port,
                "host": options.host or None,
                "backend": options.backend or None,
            },
            linux={"namespace": options.namespace, "external_cidr": options.external_cidr or None},
        )
        preparation.check_url(config.database_url)
        return config
    except (cfg.Error, OSError, ValueError) as error:
        raise UpError(f"configuration: {_place(str(error))}") from error


def with_own_ovn(config: Any) -> Any:
    """What OVN's databases are for a machine of its own; any other dataplane needs no word more."""
    if config.api.backend != "ovn":
        return config
    from weft.backends.ovn import daemons

    return daemons.with_own(config)


def _start_ovn(config: Any) -> None:
    """Start OVN, where that is this machine's own. Raises StartError."""
    if config.api.backend != "ovn":
        return
    from weft.agent import machine
    from weft.backends.ovn import daemons

    try:
        started = machine.prepare(config) if daemons.is_own(config) else []
    except daemons.DaemonError as error:
        raise StartError(str(error)) from error
    LOG.info("OVN's daemons that were started: %s", ", ".join(started) or "none, all run")


def _place(fault: str) -> str:
    """oslo.config's words, with where the value stands: it names a file also where the environment goes before that."""
    found = WHERE.search(fault)
    if found is None:
        return fault
    variable = next(
        (name for name in os.environ if name.startswith("OS_") and name.endswith(f"__{found[1].upper()}")), ""
    )
    return fault.replace(found[0], f"{found[1]} from {variable or found[2]}")


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold the state folder for this tree of processes; the lock ends with the last of them, however it ends."""
    with os.fdopen(os.open(folder / "weft.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+") as file:
        deadline = time.monotonic() + LOCK_PATIENCE
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    who = file.read().strip() or "unknown"
                    message = f"weft runs already on {folder} (process {who}); stop it, or choose another --state-dir"
                    raise UpError(message, RUNNING_ALREADY) from None
                time.sleep(0.05)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def log_to(path: Path | None) -> None:
    """Log to standard error, and to `path` if there is one; a long file of earlier runs becomes `path`.1."""
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if path is not None:
        if path.exists() and path.stat().st_size > LOG_BYTES:
            path.replace(path.with_name(path.name + ".1"))
        path.touch(mode=0o600)
        handlers.append(logging.handlers.WatchedFileHandler(path))
    layout = logging.Formatter("%(asctime)s %(levelname)s %(processName)s %(name)s: %(message)s")
    root = logging.getLogger()
    for handler in handlers:
        handler.setFormatter(layout)
        root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("weft").setLevel(logging.INFO)


def _run(config: Any, options: Options, programs: Programs) -> int:
    from weft.identity.setup import open_installation

    api_socket = open_socket(config.api.bind_host, config.api.bind_port, "--port")
    identity_socket = open_socket(config.api.bind_host, options.identity_port, "--identity-port")
    urls = Urls(url_of(config.api.bind_host, api_socket), url_of(config.api.bind_host, identity_socket) + "/v3")
    installation = open_installation(config.state_path, urls.identity)
    identity = dataclasses.replace(config.identity, auth_url=urls.identity, password=installation.service_password)
    backends = config.api.backends or (config.api.backend,)
    api = dataclasses.replace(config.api, bind_port=api_socket.getsockname()[1], backends=backends)
    config = dataclasses.replace(config, api=api, identity=identity)
    _remember(config, options, urls)

    for name in programs.preload + (programs.preload_dataplane if options.dataplane else ()):
        importlib.import_module(name)
    if threading.active_count() > 1:
        LOG.warning("modules have started threads, which are lost in the children: %s", threading.enumerate())
    in_child(lambda: programs.prepare(config))
    if options.dataplane:
        in_child(lambda: _start_ovn(config))
    children = [Child("identity", _identity(config, urls, identity_socket))]
    if options.dataplane:
        children += _dataplane_of(config, programs)
    for number in range(1, config.api.api_workers + 1):
        name = "api" if config.api.api_workers == 1 else f"api-{number}"
        children.append(Child(name, networking_api(config, programs, api_socket, name)))
    children += event_senders(config, programs)
    Supervisor(children).supervise(lambda: _say_ready(options, config, urls, installation.clouds, children))
    LOG.info("stopped")
    return 0


RUN_FILE = "run.json"
"""In the state folder: what other commands must know of the installation that runs (or ran last) there."""


def _remember(config: Any, options: Options, urls: Urls) -> None:
    from weft.identity.files import write_private

    facts = {
        "host": config.api.host,
        "namespace": config.linux.namespace,
        "network_url": urls.network,
        "identity_url": urls.identity,
        "dataplane": options.dataplane,
        "backend": config.api.backend,
        "config": [str(Path(name).absolute()) for name in options.config],
        "external_cidr": config.linux.external_cidr,
    }
    write_private(config.state_path / RUN_FILE, json.dumps(facts, indent=1) + "\n")


@dataclass(frozen=True)
class Urls:
    """Where clients reach the services."""

    network: str
    identity: str


def open_socket(address: str, port: int, option: str) -> socket.socket:
    from weft.serving import PortTakenError, listen

    try:
        return listen(address, port)
    except PortTakenError as error:
        raise UpError(f"{error}; stop it, or choose another {option}", PORT_TAKEN) from error
    except OSError as error:
        raise UpError(f"cannot listen on port {port} of {address}: {error.strerror}") from error


def url_of(address: str, listener: socket.socket) -> str:
    host = socket.gethostname() if address in ("0.0.0.0", "::") else address.strip("[]")
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


def _identity(config: Any, urls: Urls, listener: socket.socket) -> Callable[[Callable[[], None]], None]:
    from weft.identity.app import make_app
    from weft.identity.tokens import Tokens
    from weft.identity.users import Users
    from weft.serving import serve

    def application() -> Any:
        # read in the child: one that is started again must know what was revoked meanwhile
        return make_app(Users(config.state_path), Tokens(config.state_path), urls.identity, urls.network)

    return lambda ready: serve(application, listener, IDENTITY_THREADS, ready)


def networking_api(
    config: Any, programs: Programs, listener: socket.socket, name: str
) -> Callable[[Callable[[], None]], None]:
    from weft.serving import Apart, serve

    apart = Apart("/v2.0/watch", config.api.max_watchers)

    def run(ready: Callable[[], None]) -> None:
        with programs.present(config, name):
            serve(lambda: programs.api(config), listener, config.api.api_threads, ready, apart)

    return run


def _dataplane_of(config: Any, programs: Programs) -> list[Child]:
    """This host's agent; with OVN also what keeps that, and what sees to its daemons where they are this machine's own."""

    def run(ready: Callable[[], None]) -> None:
        with programs.present(config, "dataplane"):
            programs.dataplane(config, ready)

    children = [Child("dataplane", run)]
    if config.api.backend == "ovn":
        from weft.backends.ovn import daemons

        children += ovn(config, programs)
        if daemons.is_own(config):
            children.append(Child("daemons", lambda ready: programs.machine(config, ready)))
    return children


def event_senders(config: Any, programs: Programs) -> list[Child]:
    """The process that hands events over; none where nobody waits for them."""

    def run(ready: Callable[[], None]) -> None:
        with programs.present(config, "events"):
            programs.events(config, ready)

    return [Child("events", run)] if config.consumers else []


def housekeeper(config: Any, programs: Programs) -> Child:
    """The process that forgets what is old, where no agent of this machine does."""

    def run(ready: Callable[[], None]) -> None:
        with programs.present(config, "keeper"):
            programs.keeper(config, ready)

    return Child("keeper", run)


def ovn(config: Any, programs: Programs) -> list[Child]:
    """The process that keeps OVN, where that is the dataplane."""

    def run(ready: Callable[[], None]) -> None:
        with programs.present(config, "ovn"):
            programs.ovn(config, ready)

    wanted = config.api.backends or (config.api.backend,)
    return [Child("ovn", run)] if "ovn" in wanted else []


def _say_ready(options: Options, config: Any, urls: Urls, clouds: Path, children: list[Child]) -> None:
    """Tell the person, or the script, that everything is ready and how to use it."""
    LOG.info("ready: network %s, identity %s", urls.network, urls.identity)
    # who reads may have gone; that ends nothing
    with contextlib.suppress(BrokenPipeError):
        _print_ready(options, config, urls, clouds, children)


def _print_ready(options: Options, config: Any, urls: Urls, clouds: Path, children: list[Child]) -> None:
    if options.json:
        line = {
            "ready": True,
            "pid": os.getpid(),
            "network_url": urls.network,
            "identity_url": urls.identity,
            "clouds": str(clouds),
            "state_dir": str(config.state_path),
            "processes": {child.name: child.pid for child in children},
        }
        print(json.dumps(line), flush=True)
        return
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table("process", "pid", "what", box=None, header_style="dim")
    what = {
        "identity": f"Keystone stand-in on {urls.identity}",
        "events": f"events for {' and '.join(config.consumers)}",
        "ovn": "what OVN should make",
        "daemons": f"OVN and Open vSwitch, which go on when Weft stops, in network namespace {config.linux.namespace}",
        "dataplane": f"packets, in network namespace {config.linux.namespace or 'of this process'}",
    }
    for child in children:
        table.add_row(child.name, str(child.pid), what.get(child.name, f"Networking API on {urls.network}"))
    console.print("[bold green]Weft is ready.[/] In another terminal:\n")
    console.print(f"    export OS_CLIENT_CONFIG_FILE={clouds}", soft_wrap=True)
    console.print("    openstack --os-cloud weft-demo network list\n", soft_wrap=True)
    console.print("Clouds: weft-admin, weft-demo, weft-alt. State and log: " + str(config.state_path), soft_wrap=True)
    console.print(table)
    if not options.dataplane:
        console.print("[yellow]No dataplane:[/] the API works, but no packets flow.")
    console.print("[dim]^C stops it.[/]")
