"""`weft agent`: what one host does for the network, by a database that it shares with the API."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

from weft import up
from weft.agent import main as agent
from weft.config import Config
from weft.identity.files import StateFolderError, private_folder
from weft.store import processes, versions
from weft.store.engine import Store


def run(config: Config, host: str, ready: Callable[[], None]) -> None:
    """Work until SIGTERM or SIGINT; the dataplane stays as it is. Calls `ready` when it first equals the database. Raises
    up.UpError for what a person can mend."""
    if os.geteuid() != 0:
        raise up.UpError("the dataplane needs root")
    if host:
        config = replace(config, api=replace(config.api, host=host))
    store = Store(config)
    try:
        private_folder(config.state_path)
        if store.read(versions.state).fresh:
            raise up.UpError("the database has no tables yet: start `weft serve` first")
    except StateFolderError as error:
        raise up.UpError(str(error)) from error
    finally:
        store.close()
    up.log_to(None)
    os.umask(0o022)  # what it makes outside of the state folder is for everybody to see: /run/netns
    with processes.present(config, "agent"):
        agent.run(config, ready)
