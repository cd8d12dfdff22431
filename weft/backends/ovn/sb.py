"""The Southbound database: what OVN has made of what the Northbound one says. Read, never written.

A replica of the few columns that status, /agents and placement need, kept by a thread; no flows, no learned addresses. What
is asked is answered from what it says at that moment. Reports of changes are only a doorbell: whoever was told something
that no longer holds is rung for again, at the latest ten seconds later.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ovs.db.idl
import ovs.poller
from ovs.stream import Stream

from weft.backends.interface import Status
from weft.backends.ovn import placement, presence
from weft.backends.ovn.chassis import Chassis, parse
from weft.backends.ovn.presence import Hosts, Seen
from weft.config import Config
from weft.logical.model import HostView, Key, LogicalPort, LogicalRouter, LogicalSwitch

LOG = logging.getLogger(__name__)

_STRING: Any = "string"
_MAP = {"key": "string", "value": "string", "min": 0, "max": "unlimited"}


def _refers(table: str, most: int | str) -> Any:
    return {"key": {"type": "uuid", "refTable": table, "refType": "weak"}, "min": 0, "max": most}


COLUMNS: Mapping[str, Mapping[str, Any]] = {
    "SB_Global": {"nb_cfg": "integer"},
    "Chassis": {
        "name": _STRING,
        "hostname": _STRING,
        "encaps": _refers("Encap", "unlimited"),
        "other_config": _MAP,
        "external_ids": _MAP,
    },
    "Chassis_Private": {"name": _STRING, "nb_cfg": "integer", "nb_cfg_timestamp": "integer", "external_ids": _MAP},
    "Encap": {"type": _STRING, "ip": _STRING},
    "Port_Binding": {
        "logical_port": _STRING,
        "type": _STRING,
        "chassis": _refers("Chassis", 1),
        "additional_chassis": _refers("Chassis", "unlimited"),
        "up": {"key": "boolean", "min": 0, "max": 1},
    },
}
"""Table -> column -> type (RFC 7047): what is replicated. Every Southbound database since OVN 22.09 has them."""

LOOK_AGAIN = 10.0
"""Seconds after which everything that was told is compared with what is."""

Report = Callable[[Iterable[Key]], None]


class Replica(ovs.db.idl.Idl):  # type: ignore[misc]
    """The replica, and which of its rows moved since `moved` was last taken."""

    def __init__(self, remote: str, schema: ovs.db.idl.SchemaHelper, probe: int) -> None:
        super().__init__(remote, schema, probe_interval=probe, leader_only=False)
        self.moved: list[tuple[str, Any]] = []

    def notify(self, event: str, row: Any, updates: Any = None) -> None:
        self.moved.append((event, row))


class Southbound:
    """What OVN says is true. Safe to share between threads; `close` ends its own."""

    def __init__(self, config: Config) -> None:
        own = config.ovn
        self._down_time = config.api.agent_down_time
        if own.ovn_sb_private_key:
            if own.ovn_nb_private_key not in ("", own.ovn_sb_private_key):
                LOG.warning(
                    "ovn_nb_private_key and ovn_sb_private_key differ; ovs has one per process: that of sb counts"
                )
            Stream.ssl_set_private_key_file(own.ovn_sb_private_key)
            Stream.ssl_set_certificate_file(own.ovn_sb_certificate)
            Stream.ssl_set_ca_cert_file(own.ovn_sb_ca_cert)
        self._idl = Replica(",".join(own.ovn_sb_connection), _schema(), own.ovsdb_probe_interval)
        self._ports: dict[str, Seen] = {}
        self._hosts = Hosts.of(())
        self._heard: dict[str, tuple[int, float]] = {}
        self._told: dict[Key, tuple[Any, Any, Status]] = {}
        self._legs: dict[str, Key] = {}
        self._lock = threading.Lock()
        self._report: Report = lambda keys: None
        self._hosts_moved: Callable[[], None] = lambda: None
        self._ready, self._stop = threading.Event(), threading.Event()
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="southbound", daemon=True)
        self._thread.start()

    # -- what is asked

    def wait(self, seconds: float) -> bool:
        """Whether the database has been read; waits so long for it at most."""
        return self._ready.wait(seconds)

    def chassis(self) -> list[Chassis]:
        """Every host, by id."""
        return sorted(self._hosts.by_id.values(), key=lambda one: one.id)

    def status(self, desired: HostView, keys: Iterable[Key], leads: Mapping[str, str]) -> dict[Key, Status]:
        """What is true of those ports and routers now; nothing of others, and nothing before the database was read.

        `leads`: router -> the gateway at whose place its ports are forwarded.
        """
        if not self._ready.is_set():
            return {}
        found: dict[Key, Status] = {}
        for key in keys:
            port = desired.ports.get(key.id) if key.kind == "port" else None
            if port is not None and not port.elsewhere:
                found[key] = self._tell(key, port, desired.switches.get(port.switch))
            elif key.kind == "router" and key.id in desired.routers:
                router = desired.routers[key.id]
                found[key] = self._tell(key, router, (_wishes(router, desired), leads.get(key.id, "")))
            else:
                self._told.pop(key, None)
        return found

    def watch(self, report: Report, hosts_moved: Callable[[], None] = lambda: None) -> None:
        """Call `report` from a thread with keys of which something else is true than what `status` told; `hosts_moved`
        when `chassis` has changed."""
        self._report, self._hosts_moved = report, hosts_moved

    def close(self) -> None:
        if self._stop.is_set():
            return  # its descriptors may be somebody else's by now
        self._stop.set()
        os.write(self._write, b"!")
        self._thread.join(5)
        if not self._thread.is_alive():
            os.close(self._read)
            os.close(self._write)

    def _tell(self, key: Key, value: Any, context: Any) -> Status:
        status = self._now(value, context)
        self._told[key] = (value, context, status)
        for leg in _legs(value):
            self._legs[leg] = key
        return status

    def _now(self, value: Any, context: Any) -> Status:
        if isinstance(value, LogicalPort):
            assert context is None or isinstance(context, LogicalSwitch)
            return presence.port(value, context, self._ports.get(value.id), self._hosts)
        wishes, lead = context
        return presence.router(value, wishes, lead, self._ports, self._hosts)

    # -- the thread

    def _run(self) -> None:
        poller = ovs.poller.Poller()
        again = time.monotonic() + LOOK_AGAIN
        while not self._stop.is_set():
            try:
                self._idl.run()
                moved = self._take()
                if time.monotonic() >= again:
                    again = time.monotonic() + LOOK_AGAIN
                    self._take_hosts()
                    moved = None
                self._tell_who_asked(moved)
            except Exception:
                LOG.exception("the Southbound database: a change was not understood; all is looked at again")
                self._stop.wait(1.0)
            self._idl.wait(poller)
            poller.fd_wait(self._read, ovs.poller.POLLIN)
            poller.timer_wait_until(int(again * 1000))
            poller.block()
        self._idl.close()

    def _take(self) -> set[str] | None:
        """Follow the replica; returns the ports that moved, None for all."""
        if not self._idl.has_ever_connected():
            return set()
        moved, self._idl.moved = self._idl.moved, []
        ports: set[str] | None = {row.logical_port for _, row in moved if row._table.name == "Port_Binding"}
        for event, row in moved:
            if row._table.name == "Port_Binding":
                if event == ovs.db.idl.ROW_DELETE:
                    self._ports.pop(row.logical_port, None)
                else:
                    self._ports[row.logical_port] = _seen(row)
        rows = self._idl.tables["Port_Binding"].rows
        if len(rows) != len(self._ports):  # of what went away during a reconnection nothing is heard
            self._ports = {row.logical_port: _seen(row) for row in list(rows.values())}
            ports = None
        if any(row._table.name != "Port_Binding" for _, row in moved) and self._take_hosts():
            ports = None
        self._ready.set()
        return ports

    def _take_hosts(self) -> bool:
        """Read the chassis anew; whether anything of them is different."""
        tables = self._idl.tables
        now = max((row.nb_cfg for row in tables["SB_Global"].rows.values()), default=0)
        private = {row.name: row for row in tables["Chassis_Private"].rows.values()}
        found = [self._chassis(row, private.get(row.name), now) for row in tables["Chassis"].rows.values()]
        hosts = Hosts.of(found)
        if hosts == self._hosts:
            return False
        self._hosts = hosts
        self._hosts_moved()
        return True

    def _chassis(self, row: Any, private: Any, now: int) -> Chassis:
        settings = {**row.external_ids, **row.other_config}
        encaps = [(encap.type, encap.ip) for encap in row.encaps]
        told = dict(private.external_ids) if private else {}
        return parse(row.name, row.hostname, settings, encaps, told, self._alive(row.name, private, now))

    def _alive(self, name: str, private: Any, now: int) -> bool:
        """Whether this chassis has confirmed the number that the Northbound database last gave out, or a former one not
        long ago."""
        if private is None:
            return False
        number, heard = self._heard.get(name, (-1, 0.0))
        if number != private.nb_cfg:
            told = private.nb_cfg_timestamp / 1000  # 0: it has never confirmed any, and so has just come
            silent = time.time() - told if number == -1 and told else 0.0
            heard = time.monotonic() - min(max(silent, 0.0), 10.0 * self._down_time)
            self._heard[name] = (private.nb_cfg, heard)
        return bool(private.nb_cfg >= now) or time.monotonic() - heard < self._down_time

    def _tell_who_asked(self, moved: set[str] | None) -> None:
        if moved is not None and not moved:
            return
        if moved is None:
            keys: Iterable[Key] = list(self._told)
        else:
            keys = {self._legs.get(name, Key("port", name)) for name in moved}
        changed = []
        for key in keys:
            told = self._told.get(key)
            if told is not None and self._now(told[0], told[1]) != told[2]:
                changed.append(key)
        if changed:
            self._report(changed)


def _schema() -> Any:
    tables = {
        table: {"columns": {name: {"type": kind} for name, kind in columns.items()}}
        for table, columns in COLUMNS.items()
    }
    helper = ovs.db.idl.SchemaHelper(schema_json={"name": "OVN_Southbound", "version": "20.25.0", "tables": tables})
    helper.register_all()
    return helper


def _wishes(router: LogicalRouter, desired: HostView) -> dict[str, placement.Wish]:
    """What each gateway of the router needs."""
    found = {}
    for gateway in router.gateways:
        switch = desired.switches.get(gateway.switch)
        networks = (
            [segment.physical_network for segment in switch.segments if segment.physical_network] if switch else []
        )
        found[gateway.id] = placement.Wish(networks[0] if networks else "", router.zone_hints)
    return found


def _legs(value: Any) -> list[str]:
    """What OVN calls the ports that a router's status depends on."""
    if not isinstance(value, LogicalRouter):
        return []
    legs = [f"lrp-{leg.id}" for leg in value.ports]
    return legs + [presence.gateway_port(gateway.id) for gateway in value.gateways]


def _seen(row: Any) -> Seen:
    chassis = row.chassis[0].name if row.chassis else ""
    return Seen(row.type, chassis, tuple(one.name for one in row.additional_chassis), bool(row.up and row.up[0]))
