"""What Nova waits for: from a change of a port to a request at Nova, whatever fails on the way."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.api.conftest import Api
from tests.api.nova_server import NovaServer
from weft import config
from weft.api.metrics import Metrics
from weft.backends.interface import Report, Status
from weft.events import consumer as consumers
from weft.events import nova as events
from weft.events.consumer import Consumer
from weft.events.main import known_ports
from weft.logical.model import Key
from weft.reconcile import status as statuses
from weft.reconcile.doorbell import Doorbell
from weft.store import changes, cursors
from weft.store.changes import Change
from weft.store.leader import Lease

SERVER = "8f9b43ab-5a52-4d24-9d0b-3a1d4a1b1c2d"


@pytest.fixture
def nova() -> Iterator[NovaServer]:
    server = NovaServer()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def options(nova: NovaServer) -> dict[str, dict[str, Any]]:
    return {
        "api": {"send_events_interval": 0},
        "nova": {
            "auth_url": nova.auth_url,
            "username": "nova",
            "password": "secret",
            "endpoint_type": "internal",
            "region_name": "R",
            "timeout": 1,
        },
    }


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of the tests runs faster: what pauses for seconds pauses for a moment."""
    monkeypatch.setattr(consumers, "FIRST_RETRY", 0.05)
    monkeypatch.setattr(consumers, "LAST_RETRY", 0.2)


class Sender:
    """The consumer of `weft up`, in a thread of this process; may be ended and begun anew."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.running: tuple[Consumer, Doorbell, threading.Thread] | None = None
        self._make().begin()

    def _make(self, bell: Doorbell | None = None) -> Consumer:
        store, settings = self.api.store, self.api.config
        recipient = events.Nova(settings, lambda ids: known_ports(store, ids))
        lease = Lease(store, "events nova", f"test {uuid4()}")
        return Consumer(store, lease, bell or Doorbell(settings.state_path, "unused"), recipient)

    def start(self) -> None:
        bell = Doorbell(self.api.config.state_path, "events-nova")
        made = self._make(bell)
        thread = threading.Thread(target=made.run, daemon=True)
        thread.start()
        self.running = made, bell, thread

    def stop(self) -> None:
        if self.running:
            made, bell, thread = self.running
            made.stop()
            thread.join(10)
            assert not thread.is_alive()
            bell.close()
            self.running = None


@pytest.fixture
def sender(api: Api) -> Iterator[Sender]:
    made = Sender(api)
    made.start()
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def network(api: Api) -> str:
    made = api.make("networks")
    api.make("subnets", network_id=made["id"], ip_version=4, cidr="10.0.0.0/24")
    return str(made["id"])


def instance_port(api: Api, network: str, **more: Any) -> str:
    values = {"network_id": network, "device_id": SERVER, "device_owner": "compute:nova", **more}
    return str(api.admin.make("ports", project_id="p1", **values)["id"])


def report(api: Api, port: str, up: bool) -> None:
    """The dataplane says that a port is up or not, as the reconciler writes it."""
    found = Report(status={Key("port", port): Status(up, "" if up else "no device")})
    api.inside(lambda tx: statuses.write(tx, found, {}, ""))


def of(nova: NovaServer, port: str) -> list[tuple[str, str]]:
    return [(event["name"], event.get("status", "")) for event in nova.events if event["tag"] == port]


def has(nova: NovaServer, port: str, *names: str) -> Callable[[], bool]:
    return lambda: [name for name, _ in of(nova, port)][-len(names) :] == list(names)


def cursor(api: Api) -> int:
    return api.store.read(lambda connection: cursors.read(connection, "nova")) or 0


def waiting(api: Api) -> int:
    """What /metrics tells the operator."""
    text = Metrics(api.store, ()).text().decode()
    return int(float(re.search(r'weft_events_waiting{consumer="nova"} (\S+)', text)[1]))  # type: ignore[index]


def test_the_life_of_a_port(api: Api, nova: NovaServer, sender: Sender, network: str) -> None:
    port = instance_port(api, network)
    report(api, port, True)
    nova.wait(has(nova, port, "network-vif-plugged"))
    assert nova.events[-1] == {
        "name": "network-vif-plugged",
        "server_uuid": SERVER,
        "tag": port,
        "status": "completed",
    }
    api.put(f"ports/{port}", {"port": {"name": "x"}})
    nova.wait(has(nova, port, "network-changed"))
    assert nova.events[-1] == {"name": "network-changed", "server_uuid": SERVER, "tag": port}
    report(api, port, False)
    nova.wait(has(nova, port, "network-vif-unplugged"))
    api.delete(f"ports/{port}")
    nova.wait(has(nova, port, "network-vif-deleted"))
    assert of(nova, port) == [
        ("network-vif-plugged", "completed"),
        ("network-changed", ""),
        ("network-vif-unplugged", "completed"),
        ("network-vif-deleted", ""),
    ]


def test_a_floating_ip_changes_the_port_that_it_leads_to(
    api: Api, nova: NovaServer, sender: Sender, network: str
) -> None:
    outside = api.admin.make("networks", **{"router:external": True})["id"]
    api.admin.make("subnets", network_id=outside, ip_version=4, cidr="203.0.113.0/24")
    router = api.make("routers", external_gateway_info={"network_id": outside})["id"]
    api.put(
        f"routers/{router}/add_router_interface", {"subnet_id": api.list("subnets", f"network_id={network}")[0]["id"]}
    )
    one, two = instance_port(api, network), instance_port(api, network)
    fip = api.make("floatingips", floating_network_id=outside, port_id=one)["id"]
    nova.wait(has(nova, one, "network-changed"))
    seen = len(nova.events)
    api.put(f"floatingips/{fip}", {"floatingip": {"port_id": two}})
    nova.wait(lambda: len(nova.events) >= seen + 2)
    assert {event["tag"] for event in nova.events[seen:]} == {one, two}
    seen = len(nova.events)
    api.delete(f"floatingips/{fip}")
    nova.wait(lambda: len(nova.events) > seen)
    assert [event["tag"] for event in nova.events[seen:]] == [two]


def test_ports_of_others_are_none_of_novas_business(api: Api, nova: NovaServer, sender: Sender, network: str) -> None:
    for values in ({"device_owner": "network:dhcp"}, {"device_id": "no uuid"}, {"device_owner": ""}):
        other = instance_port(api, network, **values)
        report(api, other, True)
        api.admin.delete(f"ports/{other}")
    port = instance_port(api, network)
    report(api, port, True)
    nova.wait(has(nova, port, "network-vif-plugged"))
    assert {event["tag"] for event in nova.events} == {port}


def test_nova_fails_and_comes_back(api: Api, nova: NovaServer, sender: Sender, network: str) -> None:
    failures = iter([500, 503, 429, 403])
    nova.answer = lambda events: next(failures, 200)
    port = instance_port(api, network)
    report(api, port, True)
    nova.wait(has(nova, port, "network-vif-plugged"))
    assert nova.posts == 5
    nova.stop()
    report(api, port, False)
    report(api, port, True)
    before = cursor(api)
    nova.start()
    nova.wait(has(nova, port, "network-vif-unplugged", "network-vif-plugged"))
    assert of(nova, port)[1:] == [("network-vif-unplugged", "completed"), ("network-vif-plugged", "completed")]
    sender.stop()
    assert cursor(api) > before


@pytest.mark.parametrize("status", [404, 400])
def test_what_nova_will_never_take_is_dropped(
    api: Api, nova: NovaServer, sender: Sender, network: str, status: int
) -> None:
    first, second = instance_port(api, network), instance_port(api, network)
    nova.answer = lambda events: status if any(event["tag"] == first for event in events) else 200
    report(api, first, True)
    nova.wait(lambda: nova.posts == 1)
    report(api, second, True)
    nova.wait(has(nova, second, "network-vif-plugged"))
    assert nova.posts == 2 and of(nova, first) == []


def test_nova_hangs(api: Api, nova: NovaServer, sender: Sender, network: str) -> None:
    """What was not answered in time is sent again: Nova hears it twice, and nothing is lost."""
    nova.hang.set()
    port = instance_port(api, network)
    report(api, port, True)
    nova.wait(lambda: nova.posts == 1)
    nova.hang.clear()
    nova.wait(lambda: nova.posts == 2)
    assert of(nova, port) == [("network-vif-plugged", "completed")] * 2


def test_what_happens_while_nobody_sends_is_sent_later(
    api: Api, nova: NovaServer, sender: Sender, network: str
) -> None:
    sender.stop()
    port = instance_port(api, network)
    report(api, port, True)
    report(api, port, False)
    api.delete(f"ports/{port}")
    assert nova.posts == 0

    def prune() -> int:
        return api.store.write(lambda connection: changes.prune(connection, "2999-01-01T00:00:00Z", ["nova"]))

    assert prune() == 0, "unsent entries are kept, however old"
    assert waiting(api) > 0
    sender.start()
    nova.wait(has(nova, port, "network-vif-plugged", "network-vif-unplugged", "network-vif-deleted"))
    assert len(nova.batches) == 1
    sender.stop()
    assert waiting(api) == 0
    assert prune() > 0
    assert api.store.read(cursors.pruned) == cursor(api)


def test_gathered_for_a_while(api: Api, nova: NovaServer, network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sender = Sender(api)
    monkeypatch.setattr(consumers, "MOST", 12)
    ports = [instance_port(api, network) for _ in range(5)]
    for port in ports:
        report(api, port, True)
        api.put(f"ports/{port}", {"port": {"name": "a"}})
        api.put(f"ports/{port}", {"port": {"name": "b"}})
    sender.start()
    try:
        nova.wait(lambda: len(nova.events) >= 10)
    finally:
        sender.stop()
    for port in ports:
        assert of(nova, port)[0][0] == "network-vif-plugged"
        assert of(nova, port)[-1][0] == "network-changed"
    assert len(nova.batches) <= 3, "not one request for each"


def test_two_processes_one_sends(api: Api, nova: NovaServer, sender: Sender, network: str) -> None:
    other = Sender(api)
    other.start()
    try:
        port = instance_port(api, network)
        for up in (True, False, True):
            report(api, port, up)
        nova.wait(has(nova, port, "network-vif-plugged", "network-vif-unplugged", "network-vif-plugged"))
        assert len(of(nova, port)) == 3
        sender.stop()
        report(api, port, False)
        nova.wait(has(nova, port, "network-vif-unplugged"))
    finally:
        other.stop()


PROCESS = """
import sys
from weft import config
from weft.events import main
main.run(config.load([sys.argv[1]]), lambda: print("ready", flush=True))
"""


def test_kill_9_loses_nothing(api: Api, nova: NovaServer, network: str, tmp_path: Path) -> None:
    """The process is killed while Nova holds a request; the next one sends it again, and what came since."""
    file = tmp_path / "weft.conf"
    file.write_text(
        f"[DEFAULT]\nstate_path = {tmp_path}\nsend_events_interval = 0\n[database]\nconnection = {api.config.database_url}\n"
        f"[nova]\nauth_url = {nova.auth_url}\nusername = nova\npassword = secret\nendpoint_type = internal\n"
    )
    running = []

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(file)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(config.__file__).parents[1],
        )
        running.append(process)
        assert process.stdout and process.stdout.readline() == "ready\n"
        return process

    try:
        first = start()
        port = instance_port(api, network)
        nova.hang.set()
        report(api, port, True)
        nova.wait(lambda: nova.posts == 1)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        nova.hang.clear()
        report(api, port, False)
        api.store.write(lambda connection: connection.exec_driver_sql("UPDATE leases SET until = 0"))
        second = start()
        nova.wait(has(nova, port, "network-vif-unplugged"))
        names = [name for name, _ in of(nova, port)]
        assert names == ["network-vif-plugged", "network-vif-plugged", "network-vif-unplugged"]
        second.send_signal(signal.SIGTERM)
        assert second.wait(10) == 0
    finally:
        for process in running:
            with process:
                process.kill()


@pytest.mark.one_database
@pytest.mark.parametrize("options", [{}])
def test_weft_up_starts_it(api: Api, nova: NovaServer, tmp_path: Path) -> None:
    """From nothing: the process is there, on a database that it finds in order."""
    file = tmp_path / "weft.conf"
    file.write_text(f"[nova]\nauth_url = {nova.auth_url}\nusername = nova\npassword = secret\n")
    state = tmp_path / "installation"
    words = ["up", "--no-dataplane", "--json", "--port", "0", "--identity-port", "0", "--state-dir", str(state)]
    process = subprocess.Popen(
        [sys.executable, "-m", "weft", *words, "--config", str(file)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(config.__file__).parents[1],
    )
    try:
        assert process.stdout
        ready = json.loads(process.stdout.readline())
        assert set(ready["processes"]) == {"identity", "api", "events"}
        for _ in range(200):
            with sqlite3.connect(state / "weft.db") as database:
                held = database.execute("SELECT name FROM leases").fetchall()
            database.close()
            if held:
                break
            threading.Event().wait(0.05)
        assert held == [("events nova",)]
    finally:
        with process:
            process.terminate()
            assert process.wait(15) == 0


def change(operation: str, was: str | None, status: str) -> Change:
    facts = {"device_id": SERVER, "device_owner": "compute:az1", "host": "h", "status": status, "was": was}
    return Change("port", "p", 1, "p1", operation, "req", "2026-01-01T00:00:00Z", 1, facts)


@pytest.mark.parametrize(
    ("operation", "was", "status", "expected"),
    [
        ("create", None, "DOWN", []),
        ("create", None, "ACTIVE", ["network-vif-plugged completed"]),
        ("status", "DOWN", "ACTIVE", ["network-vif-plugged completed"]),
        ("status", "BUILD", "ACTIVE", ["network-vif-plugged completed"]),
        ("status", "DOWN", "ERROR", ["network-vif-plugged failed"]),
        ("status", "ACTIVE", "ACTIVE", []),
        ("status", "ACTIVE", "ERROR", []),
        ("status", "ACTIVE", "DOWN", ["network-vif-unplugged completed"]),
        ("update", "ACTIVE", "DOWN", ["network-vif-unplugged completed", "network-changed "]),
        ("update", "ACTIVE", "ACTIVE", ["network-changed "]),
        ("delete", "ACTIVE", "ACTIVE", ["network-vif-deleted "]),
    ],
)
def test_transitions(operation: str, was: str | None, status: str, expected: list[str]) -> None:
    found = events.of_port(change(operation, was, status))
    assert [f"{event['name']} {event.get('status', '')}" for event in found] == expected


def test_sorts_can_be_switched_off() -> None:
    both = change("update", "ACTIVE", "DOWN")
    assert [event["name"] for event in events.of_port(both, data=False)] == ["network-vif-unplugged"]
    assert [event["name"] for event in events.of_port(both, status=False)] == ["network-changed"]


def test_equal_events_of_a_batch_are_one() -> None:
    up, down, touched = (
        change("status", "DOWN", "ACTIVE"),
        change("status", "ACTIVE", "DOWN"),
        change("update", "UP", "UP"),
    )
    names = [event["name"] for event in events.render([touched, up, touched, down, up, up, touched], lambda ids: {})]
    assert names == ["network-vif-plugged", "network-vif-unplugged", "network-vif-plugged", "network-changed"]
