"""Which processes of Weft use the database now, and which schema each knows: what a contraction must wait for."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from sqlalchemy import Column, Connection, Double, Integer, String, Table, bindparam, delete, insert, select, update

from weft import __version__, errors
from weft.config import Config
from weft.store import clock
from weft.store.engine import Store
from weft.store.migrations import HEADS
from weft.store.schema import ID, METADATA

LOG = logging.getLogger(__name__)

PROCESSES = Table(
    "processes",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("host", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("name", String(64), nullable=False),
    Column("version", String(64), nullable=False),
    Column("schema", String(255), nullable=False),
    Column("seen", Double, nullable=False),  # seconds since 1970
)

KEPT = 86400.0
"""Seconds for which the row of a process that died is kept."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process: `schema` is the pair of revisions that its code was written for."""

    name: str
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    version: str = __version__
    schema: str = HEADS.text
    id: str = field(default_factory=lambda: str(uuid4()))
    seconds_ago: float = 0.0

    def __str__(self) -> str:
        return f"{self.name} of Weft {self.version} on {self.host} (process {self.pid})"


_SEEN = update(PROCESSES).where(PROCESSES.c.id == bindparam("row_id")).values(seen=clock.seconds())
_FORGET = delete(PROCESSES).where(PROCESSES.c.id == bindparam("row_id"))


def report(connection: Connection, process: Process) -> None:
    """`process` lives."""
    if connection.execute(_SEEN, {"row_id": process.id}).rowcount:
        return
    connection.execute(delete(PROCESSES).where(PROCESSES.c.seen < clock.seconds() - KEPT))
    row = {name: getattr(process, name) for name in ("id", "host", "pid", "name", "version", "schema")}
    connection.execute(insert(PROCESSES).values(**row, seen=clock.seconds()))


def forget(connection: Connection, process: Process) -> None:
    """`process` ends."""
    connection.execute(_FORGET, {"row_id": process.id})


def alive(connection: Connection, seconds: float) -> list[Process]:
    """Those that reported during the last `seconds`."""
    ago = clock.seconds() - PROCESSES.c.seen
    columns = [column for column in PROCESSES.c if column.name != "seen"]
    statement = select(*columns, ago.label("seconds_ago")).where(ago < seconds)
    order = (PROCESSES.c.host, PROCESSES.c.name, PROCESSES.c.pid)
    return [Process(**row) for row in connection.execute(statement.order_by(*order)).mappings()]


@contextmanager
def present(config: Config, name: str) -> Iterator[None]:
    """Report this process, under `name`, every report_interval seconds for as long as the `with` lasts."""
    store, process, over = Store(config), Process(name), threading.Event()

    def keep() -> None:
        while True:
            _tell(store, process, gone=False)
            if over.wait(config.api.report_interval):
                return

    thread = threading.Thread(target=keep, name="presence", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        _tell(store, process, gone=True)


def _tell(store: Store, process: Process, *, gone: bool) -> None:
    work = forget if gone else report
    try:
        store.write(lambda connection: work(connection, process))
    except (errors.ServiceUnavailable, errors.Conflict) as error:
        LOG.warning("%s could not be reported: %s", process, error)
    finally:
        store.close()  # the next time is long from now: nobody pays for an idle connection
