"""`weft serve`: the Networking API alone, beside a Keystone and a database that are already there."""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import socket
import time
from typing import Any

from weft import up
from weft.preparation import in_child
from weft.serving import LEAVE, configure, turn_away
from weft.supervisor import Child, StartError, Supervisor

LOG = logging.getLogger(__name__)

FIRST_FD = 3
"""The first descriptor that systemd hands over."""
ACCEPT = 0.2
"""Seconds in which the processes take the connections that are there already, before they end."""
RELOAD = 20
"""Seconds in which the database must answer a reload."""


def run(options: up.Options, programs: up.Programs = up.WEFT) -> int:
    """Serve until a signal, with `api_workers` processes. The exit code; raises up.UpError for what a person can mend.

    SIGHUP reads the configuration again and replaces the processes one by one. Several may serve one database. Of
    `options` those that concern identity and dataplane mean nothing here.
    """
    from weft import config as configuration
    from weft.identity.files import StateFolderError, private_folder
    from weft.identity.listen import ListenError, check_listen

    config = up.read_config(configuration, options)
    try:
        check_listen(config.api.bind_host, options.allow_remote)
        if config.database_url.startswith("sqlite"):
            private_folder(config.state_path)
        os.umask(0o077)
        up.log_to(None)
        return _run(config, options, programs)
    except (ListenError, StateFolderError, StartError) as error:
        raise up.UpError(str(error)) from error


def _run(config: Any, options: up.Options, programs: up.Programs) -> int:
    given = inherited()
    listener = given or up.open_socket(config.api.bind_host, config.api.bind_port, "--port")
    url = up.url_of(given.getsockname()[0] if given else config.api.bind_host, listener)
    for name in programs.preload:
        importlib.import_module(name)
    in_child(lambda: programs.prepare(config))
    children = _children(config, programs, listener)

    def reload() -> list[Child]:
        """The children as the configuration wants them now. Raises UpError, StartError; then all stays as it is."""
        from weft import config as configuration

        tell_systemd(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")
        wanted = up.read_config(configuration, options)
        if (wanted.api.bind_host, wanted.api.bind_port) != (config.api.bind_host, config.api.bind_port):
            LOG.warning("bind_host and bind_port change at the next start only")
        in_child(lambda: programs.prepare(wanted), RELOAD)
        return _children(wanted, programs, listener)

    def ready() -> None:
        LOG.info("ready: network %s, identity %s", url, config.identity.auth_url)
        tell_systemd("READY=1")
        if options.json:
            processes = {child.name: child.pid for child in children}
            print(
                json.dumps({"ready": True, "pid": os.getpid(), "network_url": url, "processes": processes}), flush=True
            )

    def stopping() -> None:
        """Let a proxy take new connections elsewhere; those to systemd's socket wait in it for the next start."""
        tell_systemd("STOPPING=1")
        if given is None:
            turn_away(listener)
            time.sleep(ACCEPT)

    Supervisor(children, reload, lambda: tell_systemd("READY=1"), stopping).supervise(ready)
    LOG.info("stopped")
    return 0


def _children(config: Any, programs: up.Programs, listener: socket.socket) -> list[Child]:
    names = [f"api-{number}" for number in range(1, config.api.api_workers + 1)]
    return [
        *(Child(name, up.networking_api(config, programs, listener, name), leave=LEAVE) for name in names),
        *up.event_senders(config, programs),
        up.housekeeper(config, programs),
        *up.ovn(config, programs),
    ]


def inherited() -> socket.socket | None:
    """The listening socket that systemd opened for us (sd_listen_fds(3)): it outlives a restart, so no client is refused.

    Raises up.UpError for more than one.
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return None
    if os.environ.get("LISTEN_FDS") != "1":
        raise up.UpError("systemd handed over several sockets: weft.socket may have one ListenStream only")
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    listener = socket.socket(fileno=FIRST_FD)
    os.set_inheritable(FIRST_FD, False)
    return configure(listener)


def tell_systemd(state: str) -> None:
    """How we are, for whoever started us and wants to know (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, contextlib.suppress(OSError):
        sender.sendto(state.encode(), f"\0{address[1:]}" if address.startswith("@") else address)
