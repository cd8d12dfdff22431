"""Nova hears what its instances wait for: os-server-external-events of the compute API, made from the change log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from keystoneauth1 import adapter, exceptions, session
from keystoneauth1.identity import v3

from weft import config
from weft.store.changes import Change

LOG = logging.getLogger(__name__)

NAME = "nova"
MOST_EVENTS = 200
"""Events in one request."""
FOR_EVER = frozenset({400, 404, 422})
"""Answers that will be the same next time: no such instances, or an event that Nova does not know."""
PLUGGED, UNPLUGGED, CHANGED, DELETED = (
    "network-vif-plugged",
    "network-vif-unplugged",
    "network-changed",
    "network-vif-deleted",
)
BEFORE_UP = frozenset({None, "", "DOWN", "BUILD", "N/A"})

Event = dict[str, str]
"""name, server_uuid, tag (the port's id) and, for what may fail, status: as in the API reference of compute."""
Ports = Callable[[Iterable[str]], Mapping[str, Mapping[str, Any]]]
"""Ids -> device_id and device_owner of the ports that are there."""


def of_port(change: Change, status: bool = True, data: bool = True) -> list[Event]:
    """The events of one entry about a port; pure. `status`, `data`: which sorts are wanted."""
    facts = change.facts or {}
    if not is_instance(facts):
        return []
    server = facts["device_id"]
    found: list[Event] = []
    if status and change.operation != "delete":
        was, now = facts.get("was"), facts.get("status")
        if was in BEFORE_UP and now in ("ACTIVE", "ERROR"):
            found.append(_event(PLUGGED, server, change.id, "completed" if now == "ACTIVE" else "failed"))
        elif was == "ACTIVE" and now == "DOWN":
            found.append(_event(UNPLUGGED, server, change.id, "completed"))
    if data and change.operation == "update":
        found.append(_event(CHANGED, server, change.id))
    if data and change.operation == "delete":
        found.append(_event(DELETED, server, change.id))
    return found


def ports_of(change: Change) -> list[str]:
    """The ports that a floating IP led to before and leads to now."""
    facts = change.facts or {}
    return list(dict.fromkeys(port for port in (facts.get("was_port_id"), facts.get("port_id")) if port))


def is_instance(port: Mapping[str, Any]) -> bool:
    """Whether a port is an instance's: by its owner, and a device id that can be an instance's."""
    if not (port.get("device_owner") or "").startswith("compute:"):
        return False
    try:
        UUID(port.get("device_id") or "")
    except ValueError:
        return False
    return True


def render(batch: Sequence[Change], ports: Ports, status: bool = True, data: bool = True) -> list[Event]:
    """The events of a batch in order, each of them once: of equal ones about a port the last stays."""
    led = {port for change in batch if change.kind == "floatingip" for port in ports_of(change)} if data else set()
    known = ports(led) if led else {}
    events: list[Event] = []
    for change in batch:
        if change.kind == "port":
            events += of_port(change, status, data)
        elif data:
            events += [
                _event(CHANGED, known[id]["device_id"], id)
                for id in ports_of(change)
                if id in known and is_instance(known[id])
            ]
    return _without_repetitions(events)


def _without_repetitions(events: list[Event]) -> list[Event]:
    """Plugged, unplugged, plugged stays as it is; two network-changed of a port become the later one."""
    last: dict[str, Event] = {}
    kept: list[Event | None] = []
    places: dict[tuple[str, str], int] = {}
    for event in events:
        key = event["tag"], event["name"]
        again = event["name"] == CHANGED or last.get(event["tag"]) == event
        if again and key in places:
            kept[places[key]] = None
        places[key] = len(kept)
        kept.append(event)
        last[event["tag"]] = event
    return [event for event in kept if event is not None]


def _event(name: str, server: str, port: str, status: str = "") -> Event:
    event = {"name": name, "server_uuid": server, "tag": port}
    return {**event, "status": status} if status else event


class Nova:
    """The recipient: one POST for what was gathered."""

    name = NAME

    def __init__(self, options: config.Config, ports: Ports) -> None:
        self.gather = float(options.api.send_events_interval)
        self._status = options.api.notify_nova_on_port_status_changes
        self._data = options.api.notify_nova_on_port_data_changes
        self._ports = ports
        self._compute = client(options.nova, "compute")

    def due(self) -> bool:
        return False

    def wants(self, change: Change) -> bool:
        if change.kind == "floatingip":
            return self._data and change.operation != "status" and bool(ports_of(change))
        return change.kind == "port" and bool(of_port(change, self._status, self._data))

    def deliver(self, batch: Sequence[Change]) -> None:
        """Send, or raise for what may go better later."""
        events = render(batch, self._ports, self._status, self._data)
        for start in range(0, len(events), MOST_EVENTS):
            self._send(events[start : start + MOST_EVENTS])

    def _send(self, events: list[Event]) -> None:
        answer = self._compute.post("/os-server-external-events", json={"events": events}, raise_exc=False)
        if answer.status_code in FOR_EVER:
            LOG.info("nova: %d events dropped, it answered %d", len(events), answer.status_code)
            LOG.debug("nova: %s: %s", events, answer.text)
        elif answer.status_code >= 300:
            raise exceptions.from_response(answer, "POST", answer.url)
        else:
            LOG.debug("nova: %s: %s", events, answer.text)


def client(section: config.Nova | config.Placement, service: str, version: str | None = None) -> adapter.Adapter:
    """The API of another service as the user of its section sees it; connects nowhere yet."""
    auth = v3.Password(
        auth_url=section.auth_url,
        username=section.username,
        password=section.password,
        project_name=section.project_name,
        user_domain_name=section.user_domain_name,
        project_domain_name=section.project_domain_name,
    )
    verify: bool | str = False if section.insecure else section.cafile or True
    return adapter.Adapter(
        session.Session(auth=auth, verify=verify, timeout=section.timeout),
        service_type=service,
        default_microversion=version,
        interface=section.endpoint_type,
        region_name=section.region_name or None,
        endpoint_override=section.endpoint_override or None,
        user_agent="weft",
        connect_retries=0,
    )
