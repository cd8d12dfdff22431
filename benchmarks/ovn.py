"""How fast the API's ports become rows of OVN's Northbound database, and what an audit of them costs.

    python benchmarks/ovn.py [PORTS]

The API runs in this process on SQLite in a temporary folder, the keeper of OVN in one of its own, and a plain ovsdb-server
beside them. What is measured: PORTS ports (10,000) by bulk requests until all rows are there; one port more, from its POST
to its row; a full audit that finds nothing, and the keeper's memory.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from falcon import testing

from weft import app, config
from weft.agent import cloud, health
from weft.context import Context
from weft.store.engine import Store

BULK = 100
SINGLES = 30
PATIENCE = 300
SCHEMAS = Path("/usr/share/ovn")
UNLIMITED = ("quota_network", "quota_subnet", "quota_port", "quota_security_group")


def administrator(_environ: Mapping[str, Any]) -> Context:
    """Who asks."""
    return Context(user_id="u", project_id="p", roles=frozenset({"admin", "member", "reader"}), is_admin=True)


class Northbound:
    """An ovsdb-server of its own; asked by ovsdb-client, which is no part of what is measured."""

    def __init__(self, folder: Path) -> None:
        self.remote = f"unix:{folder / 'db.sock'}"
        for name in ("nb", "sb"):
            schema = SCHEMAS / f"ovn-{name}.ovsschema"
            subprocess.run(["ovsdb-tool", "create", str(folder / f"{name}.db"), str(schema)], check=True)
        line = ["ovsdb-server", f"--remote=p{self.remote}", "-vconsole:off", f"--unixctl={folder / 'ctl'}"]
        self._process = subprocess.Popen([*line, str(folder / "nb.db"), str(folder / "sb.db")])
        while not (folder / "db.sock").exists():
            time.sleep(0.01)

    def rows(self, table: str, column: str) -> list[Any]:
        """That column of all rows."""
        query = ["OVN_Northbound", {"op": "select", "table": table, "where": [], "columns": [column]}]
        line = ["ovsdb-client", "transact", self.remote, json.dumps(query)]
        found = json.loads(subprocess.run(line, check=True, capture_output=True, text=True).stdout)
        return [row[column] for row in found[0]["rows"]]

    def watch(self) -> subprocess.Popen[str]:
        """What says a line whenever a port comes."""
        line = ["ovsdb-client", "monitor", "--format=csv", self.remote, "OVN_Northbound", "Logical_Switch_Port", "name"]
        return subprocess.Popen(line, stdout=subprocess.PIPE, text=True, bufsize=1)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


class Api:
    """The API in this process."""

    def __init__(self, settings: config.Config) -> None:
        self._client = testing.TestClient(app.make_api(settings, administrator, store=Store(settings)))

    def post(self, collection: str, body: Any) -> Any:
        answer = self._client.simulate_post(f"/v2.0/{collection}", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json


def until(condition: Callable[[], bool], pause: float) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"nothing came of it in {PATIENCE} s")
        time.sleep(pause)


def memory(pid: int) -> float:
    """MiB that a process alone holds."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def measure(folder: Path, number: int) -> None:
    northbound = Northbound(folder)
    settings = config.load(
        api={"state_path": str(folder), "backend": "ovn"},
        quotas=dict.fromkeys(UNLIMITED, -1),
        ovn={"ovn_nb_connection": (northbound.remote,), "ovn_sb_connection": (northbound.remote,)},
    )
    app.prepare(settings)
    keeper = multiprocessing.get_context("spawn").Process(target=cloud.run, args=(settings,))
    keeper.start()
    try:
        _measure(Api(settings), northbound, settings, keeper.pid or 0, number)
    finally:
        os.kill(keeper.pid or 0, signal.SIGTERM)
        keeper.join()
        northbound.close()


def _measure(api: Api, northbound: Northbound, settings: config.Config, keeper: int, number: int) -> None:
    network = api.post("networks", {"network": {"name": "n", "mtu": 1400}})["network"]["id"]
    subnet = {"network_id": network, "cidr": "10.0.0.0/16", "ip_version": 4}
    api.post("subnets", {"subnet": subnet})
    until(lambda: len(northbound.rows("DHCP_Options", "cidr")) == 1, 0.05)
    started = time.perf_counter()
    for _ in range(number // BULK):
        api.post("ports", {"ports": [{"network_id": network}] * BULK})
    answered = time.perf_counter() - started
    until(lambda: len(northbound.rows("Logical_Switch_Port", "name")) == number + 1, 0.2)
    there = time.perf_counter() - started
    print(f"{number} ports by bulks of {BULK}: answered in {answered:.1f} s, all rows there in {there:.1f} s")
    print(f"    {number / there:.0f} ports a second end to end; keeper {memory(keeper):.0f} MiB")
    delays = sorted(_single(api, northbound, network) for _ in range(SINGLES))
    print(f"one port, POST to row: p50 {statistics.median(delays) * 1000:.0f} ms, worst {delays[-1] * 1000:.0f} ms")
    _audit(settings, keeper)
    print(f"    keeper {memory(keeper):.0f} MiB after it")


def _single(api: Api, northbound: Northbound, network: str) -> float:
    watcher = northbound.watch()
    assert watcher.stdout is not None
    try:
        while not watcher.stdout.readline().strip():
            pass
        time.sleep(0.3)
        started = time.perf_counter()
        id = api.post("ports", {"port": {"network_id": network}})["port"]["id"]
        while id not in watcher.stdout.readline():
            pass
        return time.perf_counter() - started
    finally:
        watcher.kill()
        watcher.wait()


def _audit(settings: config.Config, keeper: int) -> None:
    def audits() -> int:
        told = health.read(settings.state_path, health.OVN)
        return told.audits if told else 0

    file = Path(settings.state_path) / "nb.db"
    before, size = audits(), file.stat().st_size
    started = time.perf_counter()
    os.kill(keeper, signal.SIGHUP)
    until(lambda: audits() > before, 0.05)
    written = file.stat().st_size - size
    print(f"full audit: {time.perf_counter() - started:.1f} s, {written} octets written to the database")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), int(sys.argv[1]) if sys.argv[1:] else 10_000)
