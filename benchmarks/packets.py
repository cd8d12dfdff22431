"""Measure a fresh Weft with its dataplane: start, port to first ping, a hundred ports at once, and what idling costs.

Runs as root, on a machine of its own made of namespaces (network, mounts, processes): nothing of it is seen outside.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.api import WEFT, read_login
from weft import config as configuration
from weft.client import Client
from weft.config import Config
from weft.plug import Plugged, Wish, plug

MACHINE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
AT_ONCE = 100
IDLE_S = 20
GATEWAY_WAIT_S = 5

Row = dict[str, Any]
Call = Callable[[str, str, Row], Row]


def furnish() -> None:
    """Make the namespaces that unshare(1) gave us a machine: loopback, and no namespaces of anybody else."""
    for command in ("mount -t tmpfs none /run", "mount -t sysfs none /sys", "ip link set lo up"):
        subprocess.run(command.split(), check=True)


@contextmanager
def weft_up(state: str) -> Iterator[Row]:
    """A Weft with dataplane; what it says when it is ready, and the `seconds` until then."""
    log = Path(state) / "bench.log"
    started = time.monotonic()
    with log.open("wb") as errors:
        command = [*WEFT, "up", "--state-dir", state, "--json"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SystemExit(f"weft up did not start:\n{log.read_text(errors='replace')[-4000:]}")
        yield json.loads(line) | {"seconds": time.monotonic() - started}
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def caller(url: str, token: str) -> Call:
    """A function (method, path, body) that asks the Networking API."""

    def call(method: str, path: str, body: Row) -> Row:
        data = json.dumps(body).encode()
        headers = {"X-Auth-Token": token, "Content-Type": "application/json"}
        request = urllib.request.Request(f"{url}/v2.0{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            decoded: Row = json.load(answer)
            return decoded

    return call


def ping(namespace: str, address: str) -> None:
    """Until the first answer; an echo request every 2 ms."""
    command = [
        "ip",
        "netns",
        "exec",
        namespace,
        "ping",
        "-q",
        "-c",
        "1",
        "-w",
        str(GATEWAY_WAIT_S),
        "-i",
        "0.002",
        address,
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def first_pings(call: Call, config: Config, client: Client, network: str, count: int) -> list[float]:
    """Seconds from the request that creates a port to the answer of a ping from it, `count` times."""
    anchor = call("POST", "/ports", {"port": {"network_id": network}})["port"]
    plug(config, client, Wish(anchor["id"], netns="anchor", static=True))
    address = anchor["fixed_ips"][0]["ip_address"]
    result = []
    for number in range(count):
        started = time.monotonic()
        port = call("POST", "/ports", {"port": {"network_id": network}})["port"]
        plug(config, client, Wish(port["id"], netns=f"one{number}", static=True))
        ping(f"one{number}", address)
        result.append(time.monotonic() - started)
    return result


def all_at_once(call: Call, config: Config, clouds: Path, network: str) -> float:
    """Seconds from the request for a hundred ports until all are plugged and ACTIVE."""
    clients = [Client(clouds, "weft-admin") for _ in range(8)]
    started = time.monotonic()
    ports = call("POST", "/ports", {"ports": [{"network_id": network}] * AT_ONCE})["ports"]

    def wire(number: int) -> Plugged:
        return plug(config, clients[number % 8], Wish(ports[number]["id"], netns=f"many{number}"))

    with ThreadPoolExecutor(8) as threads:
        done = list(threads.map(wire, range(AT_ONCE)))
    assert all(one.status == "ACTIVE" for one in done)
    return time.monotonic() - started


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of these processes so far (proc(5), /proc/PID/stat)."""
    ticks = 0
    for pid in pids:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(words[11]) + int(words[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def measure(count: int) -> Iterator[tuple[str, float, float]]:
    """(what, measured, at most)."""
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as state, weft_up(state) as ready:
        yield "start until ready: s", ready["seconds"], 3
        clouds = Path(ready["clouds"])
        config = configuration.load(api={"state_path": state})
        client = Client(clouds, "weft-admin")
        call = caller(ready["network_url"], read_login(clouds, "weft-admin").token())
        network = call("POST", "/networks", {"network": {"name": "bench"}})["network"]["id"]
        call("POST", "/subnets", {"subnet": {"network_id": network, "ip_version": 4, "cidr": "10.99.0.0/22"}})
        times = [seconds * 1000 for seconds in first_pings(call, config, client, network, count)]
        yield "create a port to first answered ping: p50 ms", statistics.median(times), 300
        yield "the same: slowest, ms", max(times), 300
        yield f"{AT_ONCE} ports created and wired: s", all_at_once(call, config, clouds, network), 5
        pids = [ready["pid"], *ready["processes"].values()]
        time.sleep(2)
        before = cpu_seconds(pids)
        time.sleep(IDLE_S)
        used = (cpu_seconds(pids) - before) / IDLE_S * 100
        yield f"idle with {AT_ONCE + count + 1} ports: percent of one CPU", used, 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20, help="ports that are created and pinged one by one")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        print("weft: not root, so nothing is measured with packets", file=sys.stderr)
        return 0
    if not arguments.inside:
        again = [sys.executable, "-m", "benchmarks.packets", "--count", str(arguments.count), "--inside"]
        return subprocess.run([*MACHINE, *again], check=False).returncode
    furnish()
    for what, value, bound in measure(arguments.count):
        print(f"{'ok    ' if value <= bound else 'MISSED'} {what}: {value:.2f} (at most {bound:g})", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
