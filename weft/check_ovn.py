"""What `weft check` says of OVN: its databases and their versions, who keeps them, hosts, and what differs from the database."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from weft import check
from weft.agent import cloud, health
from weft.backends.ovn import daemons
from weft.backends.ovn.ask import ask
from weft.backends.ovn.idl import Unreachable
from weft.backends.ovn.sb import Southbound
from weft.check import FAILED, OK, WARNING, Finding
from weft.config import Config
from weft.store import leader
from weft.store.engine import Store

ANSWER = 5.0
"""Seconds in which a server has to answer."""
UNDERWAY = 1.0
"""Seconds after which a difference is one: what was just asked for is on its way until then."""


def examine(config: Config) -> Iterator[Finding]:
    """Everything about OVN; changes nothing."""
    if daemons.is_own(config):
        yield from check.kernel(config)
        yield from _daemons(config)
    southbound = Southbound(config)  # before any other connection: it knows the certificates
    try:
        alive = list(_servers(config))
        yield from alive
        if all(one.state != FAILED for one in alive):
            yield from _hosts(southbound)
            yield from _keeper(config)
            yield from _differences(config)
        else:
            yield from _keeper(config)
    finally:
        southbound.close()
    if daemons.is_own(config):
        yield from check.told_of(config, what="metadata")


def _daemons(config: Config) -> Iterator[Finding]:
    """Of OVN on one machine."""
    where = daemons.machine(config)
    running = daemons.running(where)
    dead = [one.name for one in where.daemons() if one.name not in running]
    lacking = daemons.missing()
    if lacking:
        yield Finding("OVN", FAILED, f"missing: {', '.join(lacking)}", "scripts/system-packages ovn")
    if dead:
        advice = f"start `weft up`, or look at the logs in {where.folder}"
        yield Finding("OVN's daemons", FAILED, f"{', '.join(dead)} does not run", advice)
    else:
        yield Finding("OVN's daemons", OK, f"all {len(running)} run")


# The databases.


def _servers(config: Config) -> Iterator[Finding]:
    """Each database by all servers that are named: one that answers is enough, of a cluster most should."""
    for what, name, table, remotes in (
        ("Northbound", "OVN_Northbound", "NB_Global", config.ovn.ovn_nb_connection),
        ("Southbound", "OVN_Southbound", "SB_Global", config.ovn.ovn_sb_connection),
    ):
        answers = {remote: ask(remote, name, table, ANSWER) for remote in remotes}
        silent = [f"{remote}: {answer}" for remote, answer in answers.items() if isinstance(answer, str)]
        good = [answer for answer in answers.values() if not isinstance(answer, str)]
        for line in silent:
            yield Finding(
                f"{what} database", WARNING if good else FAILED, line, "start its ovsdb-server, or name another"
            )
        if good:
            version, row = good[0]
            northd = dict(row.get("options", ["map", []])[1]).get("northd_internal_version", "")
            told = f", ovn-northd {northd}" if northd else ""
            yield Finding(f"{what} database", OK, f"{len(good)} of {len(answers)} answer, schema {version}{told}")
        if what == "Northbound" and good:
            yield from _northd(good[0][1])


def _northd(row: dict[str, Any]) -> Iterator[Finding]:
    """Whether ovn-northd has taken over what the Northbound database last gave out."""
    asked, done = row.get("nb_cfg", 0), row.get("sb_cfg", 0)
    if asked != done:
        yield Finding("ovn-northd", WARNING, f"it has not confirmed number {asked} yet, only {done}", "does it run?")


# Hosts, and who keeps them.


def _hosts(southbound: Southbound) -> Iterator[Finding]:
    if not southbound.wait(ANSWER):
        yield Finding("hosts", FAILED, "the Southbound database does not answer", "")
        return
    hosts = southbound.chassis()
    dead = [one for one in hosts if not one.alive]
    if not hosts:
        yield Finding("hosts", WARNING, "there is no chassis", "start ovn-controller on a host")
    elif len(dead) < len(hosts):
        yield Finding("hosts", OK, f"{len(hosts) - len(dead)} of {len(hosts)} chassis live")
    for one in dead:
        advice = "start its ovn-controller, or delete its agent if it is gone for good"
        yield Finding("hosts", FAILED, f"{one.host}: its ovn-controller does not follow", advice)


def _keeper(config: Config) -> Iterator[Finding]:
    """The process that keeps OVN: here, or where the lease says."""
    told = health.read(config.state_path, health.OVN)
    if told is None or not told.running:
        store = Store(config)
        try:
            leases = store.read(leader.held)
        finally:
            store.close()
        holder = next((one.holder for one in leases if one.name == cloud.LEASE and one.seconds > 0), "")
        if holder and not daemons.is_own(config):
            yield Finding("process ovn", OK, f"{holder} keeps OVN")
            return
    yield from check.told_of(config, health.OVN, "process ovn")


def _differences(config: Config) -> Iterator[Finding]:
    """What OVN's database should say and does not, or the other way round, of each object."""
    try:
        found = cloud.compare(config)
        if found:
            time.sleep(UNDERWAY)
            again = set(cloud.compare(config))
            found = [line for line in found if line in again]
    except Unreachable as error:
        yield Finding("drift", FAILED, str(error), "")
        return
    for line in found:
        yield Finding("drift", FAILED, line, "`weft check --repair` mends it")
    if not found:
        yield Finding("drift", OK, "OVN says what the database says")
