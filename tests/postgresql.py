"""PostgreSQL for the tests: a server of their own, or the one that WEFT_TEST_DATABASE names; a database for each test."""

from __future__ import annotations

import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

GIVEN = "WEFT_TEST_DATABASE"
PACKAGES = Path("/usr/lib/postgresql")
"""Where Debian keeps the server's programs, by version; they are not on PATH."""
OWNERS = ("postgres", "nobody")
"""Who runs the server when root runs the tests: it refuses root."""
PATIENCE = 60.0
USER = "weft"
#: data of tests need not survive a power loss
QUICK = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=64MB", "max_connections=200")


def programs() -> Path | None:
    """The folder of initdb and postgres, the newest version's; None without them."""
    found = sorted(PACKAGES.glob("*/bin/initdb"), key=lambda path: int(re.sub(r"\D", "", path.parts[-3]) or 0))
    if found:
        return found[-1].parent
    path = shutil.which("initdb")
    return Path(path).resolve().parent if path else None


def why_not() -> str:
    """Why no PostgreSQL can be had here; empty when one can."""
    if os.environ.get(GIVEN) or programs():
        return ""
    return "needs postgresql: scripts/system-packages test"


class Server:
    """A server on which each test gets a database. `url` is that of one that is always there."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        self._engine = create_engine(url, isolation_level="AUTOCOMMIT")

    def url(self, name: str) -> str:
        return self._url.set(database=name).render_as_string(hide_password=False)

    def connect(self) -> Connection:
        """A connection that needs no COMMIT, to the database that is always there."""
        return self._engine.connect()

    def create(self, template: str = "template0") -> str:
        """A new database, made like `template`; returns its name."""
        name = f"weft_test_{uuid4().hex[:12]}"
        with self.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
        return name

    def drop(self, name: str) -> None:
        with self.connect() as connection:
            connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))

    def close(self) -> None:
        self._engine.dispose()


@contextmanager
def running(settings: Sequence[str] = QUICK) -> Iterator[Server]:
    """The server that WEFT_TEST_DATABASE names, or one of our own with `settings` for as long as the `with` lasts."""
    given = os.environ.get(GIVEN)
    if given:
        server = Server(given)
        yield server
        server.close()
        return
    found = programs()
    assert found is not None, why_not()
    folder = Path(tempfile.mkdtemp(prefix="weft-postgresql-"))
    try:
        with _started(found, folder, settings) as url:
            server = Server(url)
            yield server
            server.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _started(found: Path, folder: Path, wanted: Sequence[str]) -> Iterator[str]:
    """A server whose files are all in `folder`; it listens on a socket there and on a free port of loopback."""
    user = _owner()
    password = folder / "password"
    password.write_text(secrets.token_urlsafe())
    if user is not None:
        for path in (folder, password):
            os.chown(path, user.pw_uid, user.pw_gid)
    data = folder / "data"
    who = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    made = [found / "initdb", "-D", data, "-U", USER, "--auth=scram-sha-256", f"--pwfile={password}"]
    made += ["--no-sync", "--encoding=UTF8", "--locale=C"]
    subprocess.run(made, check=True, stdout=subprocess.DEVNULL, cwd=folder, **who)  # type: ignore[call-overload]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    settings = [*wanted, "listen_addresses=127.0.0.1", f"port={port}", f"unix_socket_directories={folder}"]
    command = [found / "postgres", "-D", data, *(word for one in settings for word in ("-c", one))]
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # type: ignore[call-overload]
            command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, cwd=folder, start_new_session=True, **who
        )
    try:
        url = f"postgresql+psycopg://{USER}:{password.read_text()}@127.0.0.1:{port}/postgres"
        _wait(url, process, log)
        yield url
    finally:
        process.send_signal(signal.SIGINT)  # "fast": ends the sessions of others too
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _owner() -> pwd.struct_passwd | None:
    """The user who runs the server; None: the one who runs the tests."""
    if os.geteuid() != 0:
        return None
    for name in OWNERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError(f"PostgreSQL does not run as root, and this machine has no user {' or '.join(OWNERS)}")


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    engine = create_engine(url)
    while True:
        try:
            with engine.connect():
                break
        except OperationalError:
            alive = process.poll() is None
            assert alive and time.monotonic() < deadline, log.read_text(errors="replace")[-3000:]
            time.sleep(0.05)
    engine.dispose()
