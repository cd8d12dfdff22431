"""A database that is full, locked, read-only, gone or garbage: 503 and when to come back, and as before when it is mended."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, insert, text

from tests.api.conftest import Api
from weft import errors
from weft.ipam.allocate import ALLOCATIONS
from weft.store import engine

HEADERS = {"X-User-Id": "u", "X-Project-Id": "p1", "X-Roles": "member,reader"}


@pytest.fixture(autouse=True)
def _on_sqlite(api: Api) -> None:
    if not api.store.sqlite:
        pytest.skip("these are the faults of SQLite")


@contextmanager
def pragma(api: Api, name: str) -> Iterator[None]:
    """Every connection to the database has the pragma, inside the `with`."""

    def listen(connection: Any, _record: object) -> None:
        connection.execute(f"PRAGMA {name}").close()

    event.listen(api.store.engine, "connect", listen)
    api.store.engine.dispose()
    try:
        yield
    finally:
        event.remove(api.store.engine, "connect", listen)
        api.store.engine.dispose()


def database(api: Api) -> Path:
    return api.config.state_path / "weft.db"


def ask(api: Api) -> tuple[int, str, str]:
    """(status, type, Retry-After) of a POST."""
    answer = api.client.simulate_post("/v2.0/networks", json={"network": {"name": "n" * 255}}, headers=HEADERS)
    fault = answer.json.get("NeutronError", {}).get("type", "")
    return answer.status_code, fault, answer.headers.get("Retry-After", "")


def whole(api: Api) -> None:
    with sqlite3.connect(database(api)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        counted = connection.execute("SELECT used FROM quota_usage WHERE resource = 'network'").fetchone()
        assert counted == connection.execute("SELECT count(*) FROM networks").fetchone()
        created = connection.execute(
            "SELECT count(*) FROM changes WHERE kind = 'network' AND operation = 'create'"
        ).fetchone()
        assert created == counted
    connection.close()


REFUSED = (503, "ServiceUnavailable", engine.RETRY_AFTER)


def test_a_full_disk(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    kept = api.make("networks")
    pages = api.inside(lambda tx: tx.first(text("PRAGMA page_count"))[0])
    with pragma(api, f"max_page_count={pages + 4}"):
        made = 0
        while (answer := ask(api))[0] == 201:
            made += 1
            assert made < 100
        assert answer == REFUSED
        assert [ask(api) for _ in range(20)] == [REFUSED] * 20
        assert api.show("networks", kept["id"]) == kept
        assert len(api.list("networks")) == made + 1
    whole(api)
    assert ask(api)[0] == 201
    lines = [record.message for record in caplog.records if record.name == "weft.store.engine"]
    assert lines == ["The database is out of order: database or disk is full"]


@contextmanager
def locked(api: Api) -> Iterator[Callable[[], None]]:
    """Somebody else holds the database's lock until he is asked to let go."""
    other = sqlite3.connect(database(api), isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield lambda: other.execute("ROLLBACK").close()
    finally:
        other.close()


def test_a_lock_of_others_is_waited_for(api: Api) -> None:
    with locked(api) as let_go:
        timer = threading.Timer(0.5, let_go)
        timer.start()
        assert ask(api)[0] == 201
        timer.join()
    whole(api)


def test_a_lock_that_stays(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "PATIENCE", 0.1)
    with pragma(api, "busy_timeout=100"), locked(api):
        assert [ask(api) for _ in range(2)] == [REFUSED] * 2
        assert api.list("networks") == []
        found: list[Any] = []
        threads = [threading.Thread(target=lambda: found.append(ask(api))) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [REFUSED] * 6
    assert ask(api)[0] == 201
    whole(api)


def test_reads_that_stay_are_waited_for(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = api.make("networks")
    reading, enough = threading.Semaphore(0), threading.Event()

    def stay(_connection: Any) -> None:
        reading.release()
        assert enough.wait(30)

    threads = [threading.Thread(target=lambda: api.store.read(stay)) for _ in range(engine.READERS)]
    for thread in threads:
        thread.start()
        assert reading.acquire(timeout=30)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(engine, "PATIENCE", 0.1)
            assert api.fault(api.get(f"networks/{kept['id']}")) == (503, "ServiceUnavailable")
            assert ask(api)[0] == 201  # who writes has a turn of his own
        timer = threading.Timer(0.2, enough.set)
        timer.start()
        assert api.show("networks", kept["id"]) == kept
        timer.join()
    finally:
        enough.set()
        for thread in threads:
            thread.join()


def test_a_commit_that_fails_leaves_no_transaction_behind(api: Api) -> None:
    def dangling(connection: Any) -> None:
        connection.execute(text("PRAGMA defer_foreign_keys=ON"))
        connection.execute(insert(ALLOCATIONS), {"port_id": "none", "subnet_id": "none", "ip_address": "10.0.0.1"})

    for _ in range(3):
        with pytest.raises(errors.Conflict):
            api.store.write(dangling)
    assert ask(api)[0] == 201
    whole(api)


def test_a_database_that_cannot_be_written(api: Api) -> None:
    kept = api.make("networks")
    with pragma(api, "query_only=ON"):
        assert ask(api) == REFUSED
        assert api.show("networks", kept["id"]) == kept
    assert ask(api)[0] == 201
    whole(api)


def test_a_database_that_is_gone_and_comes_back(api: Api, tmp_path: Path) -> None:
    """What was written into a deleted file would be lost: it is refused."""
    kept = api.make("networks")
    api.store.engine.dispose()
    backup = tmp_path / "backup.db"
    shutil.copy(database(api), backup)
    api.make("networks")
    for name in ("weft.db", "weft.db-wal", "weft.db-shm"):
        (api.config.state_path / name).unlink(missing_ok=True)
    assert ask(api) == REFUSED
    assert api.fault(api.get(f"networks/{kept['id']}")) == (503, "ServiceUnavailable")
    assert api.client.simulate_get("/readyz").status_code == 503
    assert not database(api).exists()
    shutil.copy(backup, database(api))
    assert [network["id"] for network in api.list("networks")] == [kept["id"]]
    assert ask(api)[0] == 201
    whole(api)


def test_garbage(api: Api) -> None:
    api.make("networks")
    api.store.engine.dispose()
    database(api).write_bytes(b"no database at all " * 1000)
    assert ask(api) == REFUSED
    assert api.fault(api.get("networks")) == (503, "ServiceUnavailable")


def test_a_wrong_statement_is_no_fault_of_the_database(api: Api) -> None:
    """It is ours: a 500 that is logged, not a 503 that nobody looks into."""
    with pytest.raises(Exception, match="nonsense") as caught:
        api.store.read(lambda connection: connection.execute(text("nonsense")))
    assert not isinstance(caught.value, errors.Fault)
