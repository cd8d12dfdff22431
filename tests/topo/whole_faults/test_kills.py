"""kill -9 in the middle of writing: what was promised is there, and nothing half."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

import pytest
import requests

from tests.topo.whole import Installation
from tests.topo.whole_faults.conftest import broken
from tests.waiting import wait_until

pytestmark = [pytest.mark.needs_root, pytest.mark.slow]


class Stream:
    """Clients that create ports, one after the other, until they are told to stop; who is refused comes again."""

    def __init__(self, weft: Installation, network: str, clients: int = 3) -> None:
        self.made: set[str] = set()
        self.odd: list[str] = []
        self._url = f"{weft.facts['network_url']}/v2.0/ports"
        self._headers = {"X-Auth-Token": str(weft.client._session.headers["X-Auth-Token"])}
        self._network = network
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                body = {"port": {"network_id": self._network}}
                answer = requests.post(self._url, json=body, headers=self._headers, timeout=10)
            except requests.RequestException:
                time.sleep(0.02)
                continue
            if answer.status_code == 201:
                self.made.add(answer.json()["port"]["id"])
            elif answer.status_code != 503:
                self.odd.append(f"{answer.status_code} {answer.text}")

    def grown(self, more: int) -> Callable[[], bool]:
        before = len(self.made)
        return lambda: len(self.made) >= before + more

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(15)


@pytest.fixture
def weft(start: Callable[..., Installation]) -> Installation:
    return start("--no-dataplane")


def prepared(weft: Installation) -> str:
    admin = weft.client.get("/networks")  # the token is a good one
    assert admin["networks"] == []
    network = str(weft.make("networks", name="n")["id"])
    weft.make("subnets", network_id=network, ip_version=4, cidr="10.0.0.0/16")
    project = weft.call("GET", "/quotas/project")["project"]["project_id"]
    weft.call("PUT", f"/quotas/{project}", {"quota": {"port": -1}})
    return network


def ports(weft: Installation, network: str) -> set[str]:
    return {one["id"] for one in weft.call("GET", f"/ports?network_id={network}&fields=id")["ports"]}


def test_the_api_dies_again_and_again(weft: Installation) -> None:
    network = prepared(weft)
    stream = Stream(weft, network)
    for _ in range(5):
        wait_until(stream.grown(15))
        weft.kill("api")
        wait_until(weft.answers)
    wait_until(stream.grown(5))
    stream.stop()
    assert stream.odd == []
    assert stream.made <= ports(weft, network)
    assert broken(weft.folder / "weft.db") == []


def test_everything_dies(weft: Installation) -> None:
    network = prepared(weft)
    stream = Stream(weft, network)
    wait_until(stream.grown(30))
    weft.stop(signal.SIGKILL)
    stream.stop()
    assert broken(weft.folder / "weft.db") == []
    weft.start()
    assert stream.odd == []
    assert stream.made <= ports(weft, network)
    weft.make("ports", network_id=network)
    assert broken(weft.folder / "weft.db") == []
