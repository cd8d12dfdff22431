"""No space left: a clear 503, reads and packets go on, and all is well again when there is space."""

from __future__ import annotations

import contextlib
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from tests.topo.whole import Installation
from tests.topo.whole_faults.conftest import broken
from tests.topo.whole_one_machine.conftest import Pair, pair  # noqa: F401
from tests.waiting import wait_until
from weft.client import Client

pytestmark = [pytest.mark.needs_root, pytest.mark.slow]

SMALL = 6
"""Megabytes of the disk."""


@pytest.fixture
def installation(start: Callable[..., Installation]) -> Installation:
    """What the fixture `pair` furnishes."""
    return start()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[tuple[Path, str, str]]:
    """(state folder, URL, token) of an API whose state folder is a small disk, mounted where nobody else sees it."""
    folder = tmp_path / "small"
    folder.mkdir(mode=0o700)
    up = f'{sys.executable} -m weft up --json --no-dataplane --state-dir "{folder}" --port 0 --identity-port 0'
    mount = f'mount -t tmpfs -o size={SMALL}m,mode=700 weft "{folder}"'
    with (tmp_path / "small.log").open("w") as log:
        process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", f"{mount} && exec {up}"],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert process.stdout
        line = process.stdout.readline()
        assert line, (tmp_path / "small.log").read_text()[-3000:]
        inside = Path(f"/proc/{process.pid}/root{folder}")
        token = str(Client(inside / "clouds.yaml", "weft-admin")._session.headers["X-Auth-Token"])
        yield inside, json.loads(line)["network_url"], token
    finally:
        process.terminate()
        process.wait(20)
        if process.stdout:
            process.stdout.close()


def test_a_full_disk(small: tuple[Path, str, str], tmp_path: Path) -> None:
    folder, url, token = small
    kept = post(url, token).json()["network"]
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    answers = [post(url, token) for _ in range(60)]
    made = [one for one in answers if one.status_code == 201]
    refused = [one for one in answers if one.status_code != 201]
    assert refused
    assert {one.status_code for one in refused} == {503}
    assert {one.json()["NeutronError"]["type"] for one in refused} == {"ServiceUnavailable"}
    assert all(int(one.headers["Retry-After"]) > 0 for one in refused)
    listed = requests.get(f"{url}/v2.0/networks", headers={"X-Auth-Token": token}, timeout=30).json()["networks"]
    assert {one["id"] for one in listed} == {kept["id"], *(one.json()["network"]["id"] for one in made)}
    ballast.unlink()
    assert post(url, token).status_code == 201
    # a copy: SQLite would follow /proc/PID/root out of the mount namespace
    for name in ("weft.db", "weft.db-wal"):
        shutil.copy(folder / name, tmp_path / name)
    assert broken(tmp_path / "weft.db") == []


def test_a_limit_of_files_while_packets_flow(pair: Pair) -> None:  # noqa: F811
    """No file of the installation may grow; every process of it lives on, and so does the ping."""
    weft = pair.weft
    processes = dict(weft.facts["processes"])
    database = weft.folder / "weft.db"
    with weft.flood("a", pair.ip_b) as flood:
        for pid in processes.values():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        refused = create(weft)
        assert refused.status_code == 503
        assert refused.json()["NeutronError"]["type"] == "ServiceUnavailable"
        assert int(refused.headers["Retry-After"]) > 0
        assert weft.port(pair.a)["status"] == "ACTIVE"
        time.sleep(1)
        assert create(weft).status_code == 503
        for pid in processes.values():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        wait_until(lambda: create(weft).status_code == 201)
        third = weft.make("ports", network_id=pair.network, name="c")
        assert weft.plug(third["id"], "c")["status"] == "ACTIVE"
    assert flood.lost == set()
    assert weft.facts["processes"] == processes
    assert all(Path(f"/proc/{pid}").exists() for pid in processes.values())
    assert broken(database) == []


def create(weft: Installation) -> requests.Response:
    return post(weft.facts["network_url"], str(weft.client._session.headers["X-Auth-Token"]))


def post(url: str, token: str) -> requests.Response:
    body = {"network": {"description": "d" * 255, "name": "n" * 255}}
    return requests.post(f"{url}/v2.0/networks", json=body, headers={"X-Auth-Token": token}, timeout=30)
