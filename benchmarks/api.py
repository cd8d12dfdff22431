"""Measure the API of a freshly started Weft, and print it beside upstream's figures."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
WEFT = (sys.executable, "-m", "weft")
ROOT = HERE.parent
DURABLE = ("max_connections=200", "shared_buffers=128MB")
"""PostgreSQL's settings beside its defaults, which keep what was committed."""
WARM = ("--only", "net,port,read1k,sg,router,fip", "--small", "100", "--target-s", "0.3")
"""What load.py does before it measures: the first requests of each kind make statements, and a server prepares them."""
LIMITED = ("network", "subnet", "port", "router", "floatingip", "security_group", "security_group_rule")

Row = dict[str, Any]


@dataclass(frozen=True)
class Login:
    """One cloud of clouds.yaml."""

    auth_url: str
    user: str
    project: str
    password: str

    def token(self) -> str:
        """A token for the project, from Keystone's API v3."""
        domain = {"id": "default"}
        user = {"name": self.user, "domain": domain, "password": self.password}
        body = {
            "auth": {
                "identity": {"methods": ["password"], "password": {"user": user}},
                "scope": {"project": {"name": self.project, "domain": domain}},
            }
        }
        request = urllib.request.Request(f"{self.auth_url}/auth/tokens", json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(answer.headers["X-Subject-Token"])


def read_login(clouds: Path, cloud: str) -> Login:
    """The login `cloud` of a clouds.yaml as `weft up` writes it."""
    section = clouds.read_text().split(f"  {cloud}:\n", 1)[1]
    found = {key: re.search(rf'^\s+{key}: "?([^"\n]+)', section, re.M) for key in ("auth_url", "username", "password")}
    project = re.search(r'^\s+project_name: "?([^"\n]+)', section, re.M)
    if project is None or not all(found.values()):
        raise SystemExit(f"{clouds}: no complete cloud {cloud}")
    auth_url, user, password = (match[1] for match in found.values() if match)
    return Login(auth_url.rstrip("/"), user, project[1], password)


@contextmanager
def weft_up(database: str, workers: int) -> Iterator[Row]:
    """A Weft without dataplane, in a state folder of its own and on free ports; what it says when it is ready.

    `database`: its URL; '' is SQLite.
    """
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as state:
        log, file = Path(state) / "bench.log", Path(state) / "bench.conf"
        # counted and checked as always, but out of the way
        limits = "".join(f"quota_{kind} = 1000000\n" for kind in LIMITED)
        file.write_text(f"[DEFAULT]\napi_workers = {workers}\n[database]\nconnection = {database}\n[quotas]\n{limits}")
        command = [*WEFT, "up", "--no-dataplane", "--state-dir", state, "--config", str(file)]
        command += ["--port", "0", "--identity-port", "0", "--json"]
        with log.open("wb") as errors:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise SystemExit(f"weft up did not start:\n{log.read_text(errors='replace')[-4000:]}")
            yield json.loads(line)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


@contextmanager
def database(postgresql: bool) -> Iterator[str]:
    """A PostgreSQL server of our own, empty and as durable as it comes; '' without."""
    if not postgresql:
        yield ""
        return
    sys.path.insert(0, str(ROOT))
    from tests import postgresql as server

    with server.running(DURABLE) as one:
        yield one.url(one.create())


def measure(arguments: argparse.Namespace) -> Row:
    """Run the load generator against a fresh Weft; what it prints, as it is."""
    with (
        database(arguments.postgresql) as url,
        weft_up(url, arguments.workers) as ready,
        tempfile.NamedTemporaryFile("r", suffix=".json") as result,
    ):
        command = [sys.executable, str(HERE / "load.py"), "--url", ready["network_url"], "--out", result.name]
        command += ["--server-pid", str(ready["pid"]), "--no-drain", "--skip", arguments.skip]
        measured = ["--only", arguments.only, "--small", str(arguments.small), "--big", str(arguments.big)]
        clouds = Path(ready["clouds"])
        secrets = {
            "OS_TOKEN": read_login(clouds, "weft-demo").token(),
            "OS_ADMIN_TOKEN": read_login(clouds, "weft-admin").token(),
        }
        for more in (WARM, [*measured, "--target-s", str(arguments.seconds)]):
            subprocess.run([*command, *more], env=os.environ | secrets, stdout=subprocess.DEVNULL, check=False)
        found: Row = json.load(result)
        return found


def numbered(rows: list[Row]) -> dict[tuple[str, int, int], Row]:
    """Rows by (scenario, clients, how many times that came before)."""
    seen: Counter[tuple[str, int]] = Counter()
    result = {}
    for row in rows:
        key = (row["scenario"], row["concurrency"])
        result[(*key, seen[key])] = row
        seen[key] += 1
    return result


def upstream(driver: str) -> list[Row]:
    """Upstream's figures with that mechanism driver, in the form of the load generator's."""
    names = ("scenario", "concurrency", "rps", "p50_ms", "p95_ms")
    return [dict(zip(names, row, strict=True)) for row in json.loads((HERE / "upstream.json").read_text())[driver]]


def table(ours: list[Row], theirs: list[Row]) -> Iterator[str]:
    """Ours beside theirs, and how many times their rate ours is."""
    yield f"{'':32} {'':>7} {'Weft':^29} {'upstream':^19}"
    yield f"{'scenario':32} {'clients':>7} {'rate/s':>9} {'p50 ms':>9} {'p95 ms':>9} {'rate/s':>9} {'p50 ms':>9} {'ratio':>8}"
    other = numbered(theirs)
    for key, row in numbered(ours).items():
        text = f"{key[0]:32} {key[1]:7} {row['rps']:9.1f} {row['p50_ms']:9.2f} {row['p95_ms']:9.2f}"
        failed = sum(row["errors"].values())
        if failed:
            text += f"   {failed} of {row['count']} failed: {row['errors']}"
        elif key in other:
            ratio = row["rps"] / other[key]["rps"] if other[key]["rps"] else float("inf")
            text += f" {other[key]['rps']:9.1f} {other[key]['p50_ms']:9.2f} {ratio:8.1f}"
        yield text


def targets(measured: Row, theirs: list[Row], big: int) -> Iterator[tuple[str, float, str, float]]:
    """(what, measured, at most or at least, target) of what this run has measured."""
    other = numbered(theirs)
    ours = {key: row for key, row in numbered(measured["results"]).items() if not row["errors"]}
    create, show, listing = ("create_port", 1, 0), ("show_port@1000", 1, 0), ("list_ports_full@10000", 1, 0)
    if create in ours:
        yield "create a port: p50 ms", ours[create]["p50_ms"], "at most", 10.0
    for what, key in (("create a port: times upstream's rate", create), ("show a port: times upstream's rate", show)):
        if key in ours:
            yield what, ours[key]["rps"] / other[key]["rps"], "at least", 25.0
    if listing in ours:
        yield "list 10,000 ports: p50 ms", ours[listing]["p50_ms"], "at most", 500.0
    memory = measured["meta"].get("mem_after_read10k")
    if memory and big == 10000:
        yield "memory at 10,000 ports: MiB of all processes (PSS)", memory["server"], "at most", 200.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="groups of load.py: root,net,port,read1k,sg,router,fip,read10k")
    parser.add_argument("--skip", default="", help="groups to leave out")
    parser.add_argument("--small", type=int, default=1000, help="ports of the group read1k")
    parser.add_argument("--big", type=int, default=10000, help="ports of the group read10k")
    parser.add_argument("--seconds", type=float, default=3.0, help="time aimed at per scenario")
    parser.add_argument(
        "--beside", choices=["openvswitch", "ovn"], default="openvswitch", help="upstream with which driver"
    )
    parser.add_argument("--postgresql", action="store_true", help="on a PostgreSQL server of our own, not on SQLite")
    parser.add_argument("--workers", type=int, default=1, help="processes that serve the API")
    parser.add_argument("--out", type=Path, help="write everything that was measured there, as JSON")
    arguments = parser.parse_args()
    measured, theirs = measure(arguments), upstream(arguments.beside)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(measured, indent=1) + "\n")
    print("\n".join(table(measured["results"], theirs)), end="\n\n")
    for what, value, relation, bound in targets(measured, theirs, arguments.big):
        good = value <= bound if relation == "at most" else value >= bound
        print(f"{'ok    ' if good else 'MISSED'} {what}: {value:.1f} ({relation} {bound:g})")
    print("\nUpstream was measured on another day: quote a ratio only from one run of both on one machine.")
    failed = sum(sum(row["errors"].values()) for row in measured["results"])
    if measured.get("error") or failed:
        print(f"FAILED: {measured.get('error') or f'{failed} requests'}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
