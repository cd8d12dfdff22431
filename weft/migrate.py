"""`weft migrate`: the database's way to this version, in words for the operator and no further than is safe."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from weft import __version__, app, errors
from weft.config import Config
from weft.identity.files import StateFolderError, private_folder
from weft.store import processes, versions
from weft.store.engine import Store
from weft.store.migrations import HEADS

Say = Callable[[str], None]

NO_WAY_BACK = (
    "a database does not go back to an older version: rows would be lost that the newer one has written. An older Weft"
    " runs on an expanded database; once it is contracted, restore the backup that was made before"
)


class Refused(RuntimeError):
    """What was asked is not safe now; the message says why and what to do."""


@dataclass(frozen=True)
class Report:
    """How a database stands to this program."""

    database: str
    program: str = __version__
    wants: str = HEADS.text
    has: tuple[str, ...] = ()
    trouble: str = ""
    state: versions.State = field(default_factory=versions.State)
    running: tuple[processes.Process, ...] = ()

    @property
    def current(self) -> bool:
        return not self.trouble and self.state.current

    def facts(self) -> dict[str, Any]:
        """For scripts."""
        return {**asdict(self), "current": self.current}

    def lines(self) -> Iterator[str]:
        """For people."""
        yield f"database  {self.database}"
        yield f"is at     {', '.join(self.has) or 'nothing: it is empty'}"
        yield f"Weft {self.program} is made for {self.wants.replace(' ', ', ')}"
        if self.trouble:
            yield f"It does not fit: {self.trouble}."
        elif self.state.current:
            yield "Nothing is to be done."
        elif self.state.fresh:
            yield "To do: make all tables (weft migrate upgrade, or start Weft)."
        elif self.state.ahead:
            yield "A newer Weft has expanded it; this one gets along with that."
        for branch, revisions in ((versions.EXPAND, self.state.expand), (versions.CONTRACT, self.state.contract)):
            for one in revisions:
                yield f"To {branch}: {one.id} {one.says}"
        for one_running in self.running:
            other = "" if one_running.schema == self.wants else ", made for another schema"
            yield f"Running: {one_running}, reported {one_running.seconds_ago:.0f} s ago{other}"


def status(config: Config) -> Report:
    """How the database stands. Raises errors.ServiceUnavailable when it does not answer."""
    file = _file(config)
    if file is not None and not file.exists():
        return Report(database=config.database_url, state=versions.State(fresh=True))  # asking makes nothing
    store = Store(config)
    try:
        return store.read(lambda connection: _report(config, connection))
    finally:
        store.close()


def _report(config: Config, connection: Connection) -> Report:
    database = make_url(config.database_url).render_as_string(hide_password=True)
    has = tuple(sorted(versions.stored(connection)))
    try:
        state, trouble = versions.state(connection), ""
    except versions.SchemaError as error:
        state, trouble = versions.State(), str(error)
    known = not trouble and not state.fresh
    running = tuple(processes.alive(connection, config.api.agent_down_time)) if known else ()
    return Report(database=database, has=has, trouble=trouble, state=state, running=running)


def run(config: Config, action: str, say: Say, dry_run: bool = False) -> None:
    """Do `expand`, `contract` or `upgrade` (both), and say what. Raises Refused, and versions.SchemaError."""
    try:
        report = status(config)
        _check(report, action)
        if dry_run:
            for line in _wish(report, action):
                say(f"would {line}")
            return
        with _opened(config) as store:
            _act(config, store, report, action, say)
    except (errors.ServiceUnavailable, StateFolderError, OSError) as error:
        raise Refused(str(error)) from error
    except DBAPIError as error:
        raise Refused(f"the database says: {str(error.orig).splitlines()[0]}") from error


@contextmanager
def _opened(config: Config) -> Iterator[Store]:
    """The database to be written; a file of SQLite is nobody else's to read."""
    file = _file(config)
    if file is not None and file.parent == config.state_path:
        private_folder(config.state_path)
    before = os.umask(0o077)
    store = Store(config)
    try:
        yield store
    finally:
        store.close()
        os.umask(before)


def _file(config: Config) -> Path | None:
    """Where the database is a file: which."""
    url = make_url(config.database_url)
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def _check(report: Report, action: str) -> None:
    if report.trouble:
        raise Refused(report.trouble)
    if report.state.ahead:
        raise Refused("a newer Weft has expanded the database: go on with the newer one's `weft migrate`")
    if action == versions.CONTRACT and (report.state.expand or report.state.fresh):
        raise Refused("expand comes first: weft migrate expand, then restart every process of Weft, then contract")


def _wish(report: Report, action: str) -> Iterator[str]:
    if report.state.fresh:
        yield "make all tables"
    if action != versions.CONTRACT:
        yield from (f"expand: {one.id} {one.says}" for one in report.state.expand)
    if action != versions.EXPAND:
        older = [one for one in report.running if one.schema != HEADS.text]
        why = f", once these have ended: {'; '.join(map(str, older))}" if older else ""
        yield from (f"contract: {one.id} {one.says}{why}" for one in report.state.contract)


def _act(config: Config, store: Store, report: Report, action: str, say: Say) -> None:
    for line in _wish(report, action):
        say(line)
    if action != versions.CONTRACT and (report.state.fresh or report.state.expand):
        app.create_schema(store)
        say("made" if report.state.fresh else "expanded")
    if action != versions.EXPAND and report.state.contract:
        _contract(config, store)
        say("contracted")
    if report.current:
        say("nothing is to be done")


def _contract(config: Config, store: Store) -> None:
    seconds = config.api.agent_down_time
    with versions.alone(store) as connection:
        older = app.older(connection, seconds)
        if older:
            raise Refused(
                f"processes of another version have reported during the last {seconds} s: {'; '.join(map(str, older))}."
                " Contracting would take away what they use: stop or upgrade them, and come again"
            )
        versions.upgrade(connection, versions.CONTRACT)
