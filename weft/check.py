"""`weft check`: examine an installation on this machine and say what to do about what is wrong."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import requests
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from weft import __version__, errors
from weft.agent import health
from weft.config import Config
from weft.reconcile.doorbell import Bell
from weft.store import changes
from weft.store.engine import Store
from weft.store.schema import METADATA
from weft.store.transaction import now

OK, WARNING, FAILED = "ok", "warning", "failed"
LEAST_FREE = 200 * 2**20
"""Bytes of free disk below which the state folder is in danger."""
PATIENCE = 60.0
"""Seconds to wait for an audit."""
LAG = 5.0
"""Seconds after which an unseen change means that the dataplane does not follow."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was examined: `state` ok, warning or failed, what was found, and what to do about it."""

    what: str
    state: str
    found: str
    advice: str = ""

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Urls:
    """Where the services of the installation answer."""

    network: str
    identity: str


def examine(config: Config, urls: Urls, dataplane: bool) -> list[Finding]:
    """Everything about the installation in the state folder of `config`; changes nothing."""
    found = [_versions(), *_state_folder(config), _database(config), *_services(urls)]
    if dataplane and with_ovn(config):
        from weft import check_ovn

        found += check_ovn.examine(config)
    elif dataplane:
        found += [*kernel(config), *told_of(config)]
    else:
        found.append(Finding("dataplane", WARNING, "not asked for (--no-dataplane)", "packets do not flow"))
    return found


def with_ovn(config: Config) -> bool:
    """Whether the installation keeps an OVN."""
    return "ovn" in (config.api.backends or (config.api.backend,))


def worst(found: list[Finding]) -> str:
    states = {one.state for one in found}
    return FAILED if FAILED in states else WARNING if WARNING in states else OK


def _versions() -> Finding:
    python = ".".join(str(part) for part in sys.version_info[:3])
    return Finding("versions", OK, f"weft {__version__}, Python {python}, Linux {os.uname().release}")


def _state_folder(config: Config) -> Iterator[Finding]:
    folder = config.state_path
    if not folder.exists():
        return  # `weft serve` needs none
    mode = folder.stat().st_mode & 0o777
    if mode & 0o077:
        yield Finding("state folder", FAILED, f"{folder} is open to others ({mode:o})", f"chmod 700 {folder}")
    else:
        yield Finding("state folder", OK, str(folder))
    free = shutil.disk_usage(folder).free
    state = OK if free > LEAST_FREE else FAILED
    yield Finding("disk", state, f"{free / 2**20:,.0f} MiB free", "" if state == OK else "free some space")


def _database(config: Config) -> Finding:
    def look(connection: Connection) -> str:
        missing = set(METADATA.tables) - set(inspect(connection).get_table_names())
        if missing:
            return f"tables are missing: {', '.join(sorted(missing))}"
        if connection.dialect.name == "sqlite":
            verdict = connection.execute(text("PRAGMA quick_check")).scalar_one()
            return "" if verdict == "ok" else f"it is damaged: {verdict}"
        return ""

    store = Store(config)
    try:
        problem = store.read(look)
    except (errors.Fault, DBAPIError) as error:
        problem = str(error)
    finally:
        store.close()
    url = store.engine.url.render_as_string(hide_password=True)
    if problem:
        return Finding("database", FAILED, f"{url}: {problem}", "restore a backup, or look at the log")
    return Finding("database", OK, url)


def _services(urls: Urls) -> Iterator[Finding]:
    for name, url in (("networking API", f"{urls.network}/readyz"), ("identity", urls.identity)):
        try:
            answer = requests.get(url, timeout=5, proxies={"http": "", "https": ""})
            good = answer.status_code < 400
            found = f"{url} answers {answer.status_code}"
        except requests.RequestException as error:
            good, found = False, f"{url} does not answer ({type(error).__name__})"
        yield Finding(name, OK if good else FAILED, found, "" if good else "start `weft up`, or look at its log")


# The kernel.

CHAIN = "chain c {\ntype filter hook forward priority 0;\n"


def kernel(config: Config) -> Iterator[Finding]:
    """What the dataplane needs of the kernel, tried in a namespace of its own that is gone afterwards."""
    if os.geteuid() != 0:
        yield Finding("kernel", WARNING, "not examined: that takes root", "run `weft check` as root")
        return
    from weft.backends.linux import netns

    name = f"weft-check-{os.getpid()}"
    try:
        netns.create(name)
        for what, attempt, advice in _attempts(name):
            try:
                problem = attempt()
            except OSError as error:
                problem = str(error)
            needed = OK if not problem else WARNING if advice.startswith("only") else FAILED
            yield Finding(f"kernel: {what}", needed, problem or "works", advice if problem else "")
    except OSError as error:
        yield Finding(
            "kernel: network namespaces", FAILED, str(error), "a container needs CAP_SYS_ADMIN and CAP_NET_ADMIN"
        )
    finally:
        netns.delete(name)


def _attempts(name: str) -> list[tuple[str, Callable[[], str], str]]:
    from weft.backends.linux.links import Create, Link, Links
    from weft.backends.linux.nft import Nft, NftError

    def link(wanted: Link) -> Callable[[], str]:
        def attempt() -> str:
            links = Links(name)
            try:
                return "; ".join(links.apply([Create(wanted)]).values())
            finally:
                links.close()

        return attempt

    def nft(ruleset: str) -> Callable[[], str]:
        def attempt() -> str:
            connection = Nft(name)
            try:
                connection.run(ruleset)
            except NftError as error:
                return str(error)
            finally:
                connection.close()
            return ""

        return attempt

    needed = "a kernel with this feature is needed"
    return [
        ("bridges", link(Link("b0", "bridge")), needed),
        ("veth pairs", link(Link("v0", "veth", peer=(name, "v1"))), needed),
        (
            "nftables, inet",
            nft(f"table inet t {{\n{CHAIN}ct state new accept\n}}\n}}\n"),
            needed,
        ),
        ("nftables, bridge", nft(f"table bridge t {{\n{CHAIN}}}\n}}\n"), needed),
        ("vxlan", link(Link("x0", "vxlan", vni=1, local="192.0.2.1")), "only needed between hosts"),
        ("vlan", link(Link("v0.5", "vlan", vlan=5, parent="v0")), "only needed for VLAN provider networks"),
    ]


# The dataplane.


def told_of(config: Config, who: str = health.HOST, what: str = "dataplane") -> Iterator[Finding]:
    """What the process says that does this host's part, or keeps OVN; `what` it is called."""
    told = health.read(config.state_path, who)
    if told is None or not told.running:
        yield Finding(
            what, FAILED, "its process does not run: packets flow as last set, nothing follows or mends",
            "start `weft up`; `weft check --repair` mends once without it",
        )  # fmt: skip
        return
    if lag := _unseen(config, told.sequence):
        yield Finding(what, FAILED, f"it has not followed {lag} changes", "look at the log in the state folder")
    else:
        yield Finding(what, OK, f"process {told.pid}, full audits: {told.audits}")
    for line in told.failing:
        yield Finding(what, FAILED, line, "it is tried again; `weft check --repair` does so at once")
    for at, line in told.drift:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
        yield Finding("drift", WARNING, f"{when} mended: {line}", "find out what else changes the dataplane")


def _unseen(config: Config, sequence: int) -> int:
    """How many changes a reader at that sequence should have read by now, and has not."""
    store = Store(config)
    try:
        return store.read(lambda connection: changes.behind(connection, sequence, now(ago=LAG)))
    finally:
        store.close()


def repair(config: Config) -> list[str]:
    """Make the dataplane equal to the database now; returns what was mended. Asks the one that runs, else does it itself.

    RuntimeError when it does not answer in time.
    """
    started = time.time()
    who = health.OVN if with_ovn(config) else health.HOST
    told = health.read(config.state_path, who)
    if told is None or not told.running:
        return _mend_once(config)
    if not Bell(config.state_path).ask_for_audit():
        raise RuntimeError("the dataplane's process runs, but does not listen")
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        now = health.read(config.state_path, who)
        if now is not None and now.audits > told.audits:
            mended = [line for at, line in now.drift if at >= started]
            return [*mended, *(f"still failing: {line}" for line in now.failing)]
        time.sleep(0.05)
    raise RuntimeError(f"the dataplane did not finish an audit within {PATIENCE:.0f} s")


def _mend_once(config: Config) -> list[str]:
    if not with_ovn(config):
        from weft.agent.main import mend_once

        return mend_once(config)
    from weft.agent import cloud
    from weft.backends.ovn.idl import Unreachable

    try:
        return cloud.mend_once(config)
    except Unreachable as error:
        raise RuntimeError(str(error)) from error


def show(found: list[Finding], mended: list[str] | None) -> None:
    """Print the findings for a person."""
    from rich.console import Console
    from rich.table import Table

    colours = {OK: "green", WARNING: "yellow", FAILED: "bold red"}
    console = Console(highlight=False)
    table = Table(box=None, header_style="dim", pad_edge=False)
    for title in ("", "what", "found", "what to do"):
        table.add_column(title, overflow="fold")
    for one in found:
        table.add_row(f"[{colours[one.state]}]{one.state}[/]", one.what, one.found, one.advice)
    console.print(table)
    if mended is not None:
        console.print("\nRepaired:" if mended else "\nNothing needed repair.")
        for line in mended:
            console.print(f"  {line}", soft_wrap=True)


def facts(found: list[Finding], mended: list[str] | None) -> dict[str, Any]:
    """The findings for a script."""
    more = {} if mended is None else {"repaired": mended}
    return {"state": worst(found), "findings": [one.as_dict() for one in found], **more}
