"""`weft agent` on a host of OVN: a process of its own, by the database alone; killed and started again."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from falcon import testing

from tests.ovn_lab import PROGRAMS, Ovn
from tests.waiting import wait_until
from weft import app
from weft import config as configuration
from weft.backends.linux import netns
from weft.backends.ovn import localport
from weft.backends.ovn.chassis import Chassis
from weft.context import Context
from weft.reconcile.chassis import Reporter
from weft.store.engine import Store

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_programs(*PROGRAMS)]


def caller(_environ: Mapping[str, Any]) -> Context:
    return Context("u", "p", frozenset({"admin", "member", "reader"}), True)


class Cloud:
    """An API and its database, with a host h1 whose agent is a process."""

    def __init__(self, ovn: Ovn, folder: Path) -> None:
        self.chassis = ovn.chassis["h1"]
        file = folder / "weft.conf"
        lines = ["[DEFAULT]", "backend = ovn", f"state_path = {folder}", "report_interval = 1"]
        lines += ["[ovn]", f"namespace = {self.chassis.namespace}", f"ovsdb_connection = unix:{self.chassis.socket}"]
        file.write_text("\n".join(lines))
        self.file, self.config = file, configuration.load([str(file)])
        app.prepare(self.config)
        self.store = Store(self.config)
        Reporter(self.config, self.store, lambda: [Chassis("chassis-h1", "h1")]).write()
        self.client = testing.TestClient(app.make_api(self.config, caller, store=self.store))
        self.process: subprocess.Popen[str] | None = None

    def make(self, collection: str, **values: Any) -> dict[str, Any]:
        member = collection[:-1]
        answer = self.client.simulate_post(f"/v2.0/{collection}", json={member: values})
        assert answer.status_code == 201, answer.json
        return dict(answer.json[member])

    def plugged(self) -> set[str]:
        return {row["name"] for row in self.chassis.database.rows("Interface", "name")}

    def agents(self) -> dict[str, bool]:
        found = self.client.simulate_get("/v2.0/agents").json["agents"]
        return {one["agent_type"]: one["alive"] for one in found}

    def start(self) -> None:
        line = [sys.executable, "-m", "weft", "agent", "--config", str(self.file), "--host", "h1"]
        self.process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        seen = []
        for text in self.process.stderr:
            seen.append(text)
            if text == "ready\n":
                return
        raise AssertionError("".join(seen))

    def end(self, number: int) -> int:
        assert self.process is not None and self.process.stderr is not None
        self.process.send_signal(number)
        status = self.process.wait(20)
        self.process.stderr.close()
        self.process = None
        return status

    def close(self) -> None:
        if self.process is not None:
            self.end(signal.SIGKILL)
        self.store.close()


@pytest.fixture
def cloud(ovn: Ovn, tmp_path: Path) -> Iterator[Cloud]:
    made = Cloud(ovn, tmp_path)
    with contextlib.closing(made):
        yield made
    for name in netns.names():
        if name.startswith(localport.namespaces(made.chassis.namespace)):
            netns.delete(name)


def test_a_host(cloud: Cloud) -> None:
    net = cloud.make("networks", name="n")
    cloud.make("subnets", network_id=net["id"], cidr="10.0.0.0/24", ip_version=4)
    place = localport.namespace(net["id"], cloud.chassis.namespace)
    cloud.start()
    assert not netns.exists(place)
    port = cloud.make("ports", network_id=net["id"], **{"binding:host_id": "h1"})
    assert port["binding:vif_type"] == "ovs"
    wait_until(lambda: netns.exists(place), what="the local port, by the change log")
    wait_until(lambda: localport.link(net["id"]) in cloud.plugged())
    assert cloud.agents() == {"OVN Controller agent": True, "OVN Metadata agent": True}
    before = netns.identity(place)
    cloud.end(signal.SIGKILL)
    assert netns.exists(place)
    cloud.start()
    assert netns.identity(place) == before
    cloud.client.simulate_delete(f"/v2.0/ports/{port['id']}")
    wait_until(lambda: not netns.exists(place), what="nobody needs it")
    assert cloud.end(signal.SIGTERM) == 0


def test_without_a_database(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "weft", "agent", "--state-dir", str(tmp_path)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (
        1,
        "weft agent: the database has no tables yet: start `weft serve` first\n",
    )
