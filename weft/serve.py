"""`weft serve`: the Networking API alone, beside a Keystone and a database that are already there."""

from __future__ import annotations

import importlib
import json
import logging
import os
from typing import Any

from weft import up
from weft.supervisor import Child, StartError, Supervisor

LOG = logging.getLogger(__name__)


def run(options: up.Options, programs: up.Programs = up.WEFT) -> int:
    """Serve until a signal, with `api_workers` processes. The exit code; raises up.UpError for what a person can mend.

    Several may serve one database. Of `options` those that concern identity and dataplane mean nothing here.
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
    listener = up.open_socket(config.api.bind_host, config.api.bind_port, "--port")
    url = up.url_of(config.api.bind_host, listener)
    for name in programs.preload:
        importlib.import_module(name)
    up.in_child(lambda: programs.prepare(config))
    children = [
        Child(name, up.networking_api(config, programs, listener, name))
        for name in (f"api-{number}" for number in range(1, config.api.api_workers + 1))
    ]
    children += up.event_senders(config, programs)

    def ready() -> None:
        LOG.info("ready: network %s, identity %s", url, config.identity.auth_url)
        if options.json:
            processes = {child.name: child.pid for child in children}
            print(
                json.dumps({"ready": True, "pid": os.getpid(), "network_url": url, "processes": processes}), flush=True
            )

    Supervisor(children).supervise(ready)
    LOG.info("stopped")
    return 0
