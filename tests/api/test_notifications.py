"""What Ceilometer, Designate and others hear on the message bus: upstream's event types and payloads, sent after the commit."""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from falcon import testing

from tests.api.conftest import Api, caller
from tests.api.hosts import DHCP, L3, alive
from weft import app, config, usage
from weft.events import consumer
from weft.events.consumer import Consumer
from weft.reconcile.doorbell import Doorbell
from weft.store import changes, cursors
from weft.store.leader import Lease

oslo_messaging = pytest.importorskip("oslo_messaging", reason="needs weft[notifications]")
bus = importlib.import_module("weft.events.bus")
RequestContext = importlib.import_module("oslo_context.context").RequestContext

Message = tuple[str, Any]


@pytest.fixture
def options() -> dict[str, dict[str, Any]]:
    return {"notifications": {"driver": ("test",)}, "api": {"host": "server-1"}}


class Sender:
    """The consumer with oslo.messaging's own test driver as the bus, in a thread; may be ended and begun anew."""

    def __init__(self, api: Api) -> None:
        from oslo_messaging.notify import _impl_test

        self.api = api
        self._sent = _impl_test.NOTIFICATIONS
        self._sent.clear()
        self.bus = bus.Bus(api.config)
        self.running: tuple[Consumer, threading.Thread, Doorbell] | None = None
        self.begin()

    def begin(self) -> None:
        bell = Doorbell(self.api.config.state_path, "events-bus")
        lease = Lease(self.api.store, "events notifications", str(uuid4()))
        made = Consumer(self.api.store, lease, bell, self.bus)
        made.begin()
        thread = threading.Thread(target=made.run, daemon=True)
        thread.start()
        self.running = made, thread, bell

    def end(self) -> None:
        if self.running:
            made, thread, bell = self.running
            made.stop()
            thread.join(10)
            assert not thread.is_alive()
            bell.close()
            self.running = None

    def all(self) -> list[tuple[Any, Any, str, Any]]:
        """(context, message, priority, retry), once the consumer has done with everything logged until now."""
        last = self.api.store.read(changes.last)
        for _ in range(400):
            entries = self.api.store.read(lambda connection: changes.after(connection, self.position()))
            if not any(entry.kind == changes.NOTIFICATION and entry.sequence <= last for entry in entries):
                return list(self._sent)
            threading.Event().wait(0.05)
        raise AssertionError("the consumer does not get on")

    def position(self) -> int:
        return self.api.store.read(lambda connection: cursors.read(connection, "notifications")) or 0

    def messages(self) -> list[Message]:
        return [(message["event_type"], message["payload"]) for _, message, _, _ in self.all()]

    def clear(self) -> None:
        self.all()
        self._sent.clear()


@pytest.fixture
def sender(api: Api) -> Iterator[Sender]:
    made = Sender(api)
    try:
        yield made
    finally:
        made.end()


def test_create_update_delete(api: Api, sender: Sender) -> None:
    network = api.make("networks", name="a")
    renamed = api.put(f"networks/{network['id']}", {"network": {"name": "b"}})[1]["network"]
    api.delete(f"networks/{network['id']}")
    id = network["id"]
    assert sender.messages() == [
        ("network.create.start", {"network": {"name": "a"}}),
        ("network.create.end", {"network": network}),
        ("network.update.start", {"network": {"name": "b"}, "id": id}),
        ("network.update.end", {"network": renamed}),
        ("network.delete.start", {"network_id": id}),
        ("network.delete.end", {"network_id": id, "network": renamed}),
    ]


def test_who_and_how(api: Api, sender: Sender) -> None:
    api.make("networks")
    context, message, priority, _ = sender.all()[-1]
    assert (message["publisher_id"], message["priority"], priority) == ("network.server-1", "INFO", "INFO")
    assert (context["project_id"], context["tenant_id"], context["user_id"]) == ("p1", "p1", "user of p1")
    assert context["request_id"].startswith("req-") and context["roles"] == ["member", "reader"]
    assert message["message_id"] and message["timestamp"]


def test_bulk(api: Api, sender: Sender) -> None:
    asked = {"networks": [{"name": "a"}, {"name": "b"}]}
    answered = api.post("networks", asked)[1]
    assert sender.messages() == [("network.create.start", asked), ("network.create.end", answered)]


def test_only_what_was_asked_for_and_done(api: Api, sender: Sender) -> None:
    """Refusals, dry runs, repetitions and what Weft makes on its own account send nothing."""
    network = api.make("networks")["id"]
    subnet = api.make("subnets", network_id=network, ip_version=4, cidr="10.0.0.0/24")["id"]
    router = api.make("routers")["id"]
    sender.clear()
    assert api.delete(f"networks/{uuid4()}")[0] == 404
    assert api.post("networks?dry_run=true", {"network": {}})[0] == 200
    for _ in range(2):
        api.put(f"routers/{router}/add_router_interface", {"subnet_id": subnet}, Idempotency_Key="k")
    api.get("security-groups")
    assert [event for event, _ in sender.messages()] == ["router.interface.create"]


def test_member_actions(api: Api, sender: Sender) -> None:
    network = api.make("networks")["id"]
    subnet = api.make("subnets", network_id=network, ip_version=4, cidr="10.0.0.0/24")["id"]
    router = api.make("routers")["id"]
    sender.clear()
    added = api.put(f"routers/{router}/add_router_interface", {"subnet_id": subnet})[1]
    removed = api.put(f"routers/{router}/remove_router_interface", {"subnet_id": subnet})[1]
    expected = {
        "id": router,
        "project_id": "p1",
        "port_id": added["port_id"],
        "network_id": network,
        "subnet_id": subnet,
        "subnet_ids": [subnet],
    }
    assert sender.messages() == [
        ("router.interface.create", {"router_interface": expected}),
        ("router.interface.delete", {"router_interface": {**expected, "port_id": removed["port_id"]}}),
    ]


def test_tags(api: Api, sender: Sender) -> None:
    network = api.make("networks")["id"]
    sender.clear()
    about = {"obj_resource": "networks", "obj_resource_id": network}
    api.put(f"networks/{network}/tags/red", None)
    api.put(f"networks/{network}/tags", {"tags": ["blue", "green"]})
    api.delete(f"networks/{network}/tags/blue")
    api.delete(f"networks/{network}/tags")
    assert [one for one in sender.messages() if one[0].endswith(".end")] == [
        ("tag.create.end", {**about, "tags": "red"}),
        ("tag.update.end", {**about, "tags": ["blue", "green"]}),
        ("tag.delete.end", {**about, "tag": "blue"}),
        ("tag.delete_all.end", about),
    ]


def test_agents_that_are_given_something(api: Api, sender: Sender) -> None:
    ids = {kind: alive(api, kind, "h1") for kind in (DHCP, L3)}
    network, router = api.make("networks")["id"], api.make("routers")["id"]
    sender.clear()
    given = {"dhcp": (ids[DHCP], "networks", network), "l3": (ids[L3], "routers", router)}
    for kind, (agent, what, id) in given.items():
        assert api.admin.post(f"agents/{agent}/{kind}-{what}", {f"{what[:-1]}_id": id})[0] == 201
        assert api.admin.delete(f"agents/{agent}/{kind}-{what}/{id}")[0] == 204
    assert sender.messages() == [
        (f"{kind}_agent.{what[:-1]}.{verb}", {"agent": {"id": agent, f"{what[:-1]}_id": id}})
        for kind, (agent, what, id) in given.items()
        for verb in ("add", "remove")
    ]


def test_quotas(api: Api, sender: Sender) -> None:
    answered = api.admin.put("quotas/p1", {"quota": {"port": 7}})[1]
    api.admin.delete("quotas/p1")
    assert sender.messages() == [
        ("quota.update.start", {"quota": {"port": 7}, "id": "p1"}),
        ("quota.update.end", answered),
        ("quota.delete.start", {"quota_id": "p1"}),
        ("quota.delete.end", {"quota_id": "p1", "quota": answered["quota"]}),
    ]


def test_sent_later_if_nobody_sends_now(api: Api, sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "FIRST_RETRY", 0.05)
    sender.end()
    network = api.make("networks")["id"]
    assert sender._sent == []
    failures = [ConnectionError("the bus is away")] * 3
    send = sender.bus._notifier.info

    def info(*what: Any) -> None:
        if failures:
            raise failures.pop()
        send(*what)

    monkeypatch.setattr(sender.bus._notifier, "info", info)
    sender.begin()
    assert [event for event, _ in sender.messages()] == ["network.create.start", "network.create.end"]
    assert not failures
    api.delete(f"networks/{network}")
    assert len(sender.messages()) == 4


def test_one_statement_for_all_and_none_without(api: Api, tmp_path: Path) -> None:
    api.make("networks")
    with api.statements() as told:
        api.make("networks")
    quiet = config.load(
        api={"state_path": str(tmp_path)}, database={"connection": api.config.database.connection or None}
    )
    client = testing.TestClient(app.make_api(quiet, caller, store=api.store))
    before = api.store.read(changes.last)
    with api.statements() as silent:
        Api(client, api.store, quiet).make("networks")
    assert len(told) == len(silent)
    kinds = {entry.kind for entry in api.store.read(lambda connection: changes.after(connection, before))}
    assert changes.NOTIFICATION not in kinds


def test_what_there_is(api: Api, sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    """As administrators see it, whosever it is."""
    monkeypatch.setattr(usage, "PIECE", 2)
    network = api.make("networks", name="a")
    for _ in range(3):
        api.make("ports", network_id=network["id"])
    api.as_("p2").make("routers", name="r")
    sender.clear()
    assert usage.tell(api.config) == {"networks": 1, "subnets": 0, "ports": 3, "routers": 1, "floatingips": 0}
    told = sender.messages()
    shown = {kind: api.admin.list(kind) for kind in ("networks", "ports", "routers")}
    assert [event for event, _ in told] == ["network.exists", *["port.exists"] * 3, "router.exists"]
    assert told[0][1] == {"network": shown["networks"][0]}
    assert sorted((said["port"] for _, said in told[1:4]), key=str) == sorted(shown["ports"], key=str)
    assert told[4][1] == {"router": shown["routers"][0]}
    with pytest.raises(usage.NobodyListens, match="oslo_messaging_notifications"):
        usage.tell(config.load(api={"state_path": str(api.config.state_path)}))


def test_as_the_file_configures_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The sections are oslo.messaging's own; the log driver writes what would be sent."""
    file = tmp_path / "weft.conf"
    file.write_text(
        "[DEFAULT]\nhost = h\n[oslo_messaging_notifications]\ndriver = log\ntransport_url = fake://\ntopics = a,b\n"
    )
    settings = config.load([str(file)])
    assert settings.consumers == ("notifications",)
    notifier = bus.make_notifier(settings)
    with caplog.at_level(logging.INFO, "oslo.messaging.notification"):
        notifier.info(RequestContext(), "network.create.end", {"network": {}})
    assert [one.name for one in caplog.records if one.name.startswith("oslo.")] == [
        "oslo.messaging.notification.network.create.end"
    ]
    assert notifier._topics == ["a", "b"]


def test_nobody_is_told_without_a_driver() -> None:
    assert config.load().consumers == ()
    assert config.load(notifications={"driver": ("noop",)}).consumers == ()
