"""`weft up` with small programs in the places of the API and the dataplane; WEFT_TEST makes them misbehave."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from weft import cli, up

FAULTS = os.environ.get("WEFT_TEST", "").split()


def prepare(config: Any) -> None:
    if "prepare-fails" in FAULTS:
        raise RuntimeError("no database today")
    (config.state_path / "prepared").touch()


def api(config: Any) -> Any:
    """Answers who it is; /slow takes a second."""
    if "api-fails" in FAULTS:
        raise RuntimeError("no API today")
    if not (config.state_path / "prepared").exists():
        raise RuntimeError("asked before the database was prepared")

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/slow":
            time.sleep(1)
        start_response("200 OK", [("Content-Type", "application/json")])
        told = {"pid": os.getpid(), "auth_url": config.identity.auth_url, "password": config.identity.password}
        return [json.dumps(told).encode()]

    return application


def dataplane(config: Any, ready: Callable[[], None]) -> None:
    """Does nothing until SIGTERM."""
    if "dataplane-deaf" in FAULTS:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    ready()
    if (config.state_path / "die").exists():
        sys.exit(7)
    while True:
        signal.pause()


if __name__ == "__main__":
    preload = ("granian.server.mp", "weft.identity.app", "weft.identity.setup")
    programs = up.Programs(
        prepare,
        api,
        dataplane,
        preload=preload,
        preload_dataplane=(),
        present=lambda config, name: contextlib.nullcontext(),
    )
    real = up.run
    up.run = lambda options: real(options, programs)  # type: ignore[assignment]
    cli.main()
