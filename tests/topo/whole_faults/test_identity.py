"""Identity that does not answer while the API runs."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from tests.topo.whole import Installation
from tests.waiting import wait_until
from weft.client import Client

pytestmark = [pytest.mark.needs_root, pytest.mark.slow]


def stop(process: int) -> None:
    """Returns when every thread stands still; one that is under way may answer yet when the signal is only sent."""
    os.kill(process, signal.SIGSTOP)

    def states() -> set[str]:
        found = set()
        for task in Path(f"/proc/{process}/task").glob("*/stat"):
            with contextlib.suppress(OSError):  # it has ended
                found.add(task.read_text().rpartition(")")[2].split()[0])
        return found

    wait_until(lambda: states() == {"T"})


def test_known_tokens_go_on_and_new_ones_wait(start: Callable[..., Installation]) -> None:
    weft = start("--no-dataplane")
    url = f"{weft.facts['network_url']}/v2.0/networks"
    known = str(weft.client._session.headers["X-Auth-Token"])
    weft.call("GET", "/networks")
    fresh = str(Client(weft.folder / "clouds.yaml", "weft-demo")._session.headers["X-Auth-Token"])
    process = weft.facts["processes"]["identity"]
    try:
        stop(process)
        unknown = requests.get(url, headers={"X-Auth-Token": fresh}, timeout=60)
        assert unknown.status_code == 503
        assert unknown.json()["NeutronError"]["type"] == "ServiceUnavailable"
        assert int(unknown.headers["Retry-After"]) > 0
        for _ in range(5):
            assert requests.get(url, headers={"X-Auth-Token": known}, timeout=10).status_code == 200
        weft.make("networks", name="made meanwhile")
    finally:
        os.kill(process, signal.SIGCONT)
    assert requests.get(url, headers={"X-Auth-Token": fresh}, timeout=60).status_code == 200
