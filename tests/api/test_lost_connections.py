"""PostgreSQL ends the connections that lie in the pool (it was restarted, or failed over): the next requests don't notice."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from tests.api.conftest import Api
from weft import errors


@pytest.fixture(autouse=True)
def _on_postgresql(api: Api) -> None:
    if api.store.sqlite:
        pytest.skip("SQLite has no server to lose")


def end_all(api: Api) -> None:
    """Fill the pool with connections, and have the server end every one of them."""
    held = [api.store.engine.connect() for _ in range(4)]
    for one in held:
        one.close()
    end = text(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> :own"
    )
    with api.store.engine.connect() as connection:
        own = connection.execute(text("SELECT pg_backend_pid()")).scalar()
        assert len(connection.execute(end, {"own": own}).all()) >= 3
        connection.rollback()
        raw: Any = connection.connection.driver_connection
        raw.autocommit = True
        with pytest.raises(Exception, match="terminat"):
            raw.execute("SELECT pg_terminate_backend(pg_backend_pid())")


def test_every_verb_goes_on(api: Api) -> None:
    network = api.make("networks")["id"]
    port = api.make("ports", network_id=network)["id"]
    for work in (
        lambda: api.show("ports", port),
        lambda: api.list("ports"),
        lambda: api.make("ports", network_id=network),
        lambda: api.make("networks"),
    ):
        end_all(api)
        work()
    end_all(api)
    assert api.delete(f"ports/{port}")[0] == 204
    spare = api.make("networks")["id"]
    end_all(api)
    assert api.delete(f"networks/{spare}")[0] == 204
    counted = api.admin.get("quotas/p1/details")[1]["quota"]
    assert (counted["network"]["used"], counted["port"]["used"]) == (2, 1)


def test_work_that_was_cut_off_is_done_once(api: Api) -> None:
    """Up to the commit nothing has happened; what was written before the connection ended is gone, and written anew."""
    tries = 0

    def work(connection: Any) -> None:
        nonlocal tries
        tries += 1
        connection.execute(text("CREATE TABLE once (number integer)"))
        if tries == 1:
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    api.store.write(work)
    assert tries == 2
    api.store.read(lambda connection: connection.execute(text("SELECT count(*) FROM once")).one())


def test_a_commit_that_got_no_answer_is_not_repeated(api: Api) -> None:
    """It may be done: the client is told that the database does not answer, and can look."""
    tries = 0

    def work(connection: Any) -> None:
        nonlocal tries
        tries += 1
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar()
        with api.store.engine.connect() as other:
            other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})

    with pytest.raises(errors.ServiceUnavailable):
        api.store.write(work)
    assert tries == 1


def test_a_look_at_one_row_is_one_round_trip(api: Api) -> None:
    """A port is one statement, without a transaction; what turns out to be two sees one snapshot in a transaction."""
    port = api.make("ports", network_id=api.make("networks")["id"])
    assert api.show("ports", port["id"]) == port
    isolation = "SELECT current_setting('transaction_isolation')"
    assert api.store.read(lambda one: one.execute(text(isolation)).scalar(), "a look") == "read committed"

    def two(connection: Any) -> list[Any]:
        return [
            connection.execute(text(isolation)).scalar(),
            connection.execute(text("SELECT now()")).scalar() is not None,
        ]

    for _ in range(2):
        assert api.store.read(two, "two looks") == ["repeatable read", True]
    assert api.store.read(two) == ["repeatable read", True]
