"""The way of a database to this version: made, expanded, contracted, refused."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from click.testing import CliRunner, Result
from sqlalchemy import func, inspect, select, text

from tests import postgresql
from weft import app, cli, config
from weft import migrate as migrating
from weft.resources.default_security_group_rule import INSTALLED, TEMPLATES
from weft.store import processes, versions
from weft.store.engine import Store
from weft.store.migrations import FOLDER, HEADS, Heads
from weft.store.schema import METADATA

ROOT = Path(__file__).resolve().parents[2]


def open_store(url: str) -> Store:
    return Store(config.load(database={"connection": url}))


@pytest.fixture
def store(empty_database: str) -> Iterator[Store]:
    made = open_store(empty_database)
    yield made
    made.close()


@pytest.fixture
def second(empty_database: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Store]:
    """Another empty database of the same kind."""
    if empty_database.startswith("sqlite"):
        made = open_store(f"sqlite:///{tmp_path / 'second.db'}")
        yield made
        made.close()
        return
    server: postgresql.Server = request.getfixturevalue("postgresql_server")
    name = server.create()
    made = open_store(server.url(name))
    yield made
    made.close()
    server.drop(name)


def in_order(statement: str) -> str:
    """The constraints of a CREATE TABLE of SQLite, which keeps the text that it was given, in an order of their own."""
    head, *parts = re.split(r",\s+(?=CONSTRAINT )", re.sub(r"\s+", " ", statement).removesuffix(" )"))
    return ", ".join([head, *sorted(parts)])


def schema(store: Store) -> str:
    """The whole schema as text, as the database itself tells it."""
    if store.sqlite:
        with store.engine.connect() as connection:
            found = connection.execute(text("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")).scalars()
            return "\n".join(sorted(map(in_order, found)))
    programs = postgresql.programs()
    assert programs is not None
    url = store.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    command = [programs / "pg_dump", "--schema-only", "--no-owner", url]
    dump = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return "\n".join(line for line in dump.splitlines() if line and not line.startswith(("--", "\\")))


def upgrade(store: Store) -> None:
    with versions.alone(store) as connection:
        for branch in (versions.EXPAND, versions.CONTRACT):
            versions.upgrade(connection, branch)


def test_the_revisions_make_what_the_declarations_say(store: Store, second: Store) -> None:
    app.create_schema(store)
    upgrade(second)
    assert len(schema(store)) > 5000
    assert schema(store) == schema(second)
    assert store.read(versions.stored) == second.read(versions.stored) == {HEADS.expand, HEADS.contract}


@pytest.mark.filterwarnings("ignore:.*expression-based index")
def test_alembic_finds_no_difference(store: Store) -> None:
    upgrade(store)
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"target_metadata": METADATA})
        assert compare_metadata(context, METADATA) == []


@pytest.mark.one_database
def test_what_belongs_in_the_tables_is_put_there_once(store: Store) -> None:
    for _ in range(3):
        app.create_schema(store)
        count = store.read(lambda connection: connection.execute(select(func.count()).select_from(TEMPLATES)).scalar())
        assert count == 2 * len(INSTALLED)


@pytest.mark.one_database
def test_a_start_that_finds_all_in_order_loads_no_alembic(store: Store) -> None:
    url = store.engine.url.render_as_string(hide_password=False)
    code = (
        "import sys\nfrom weft import app, config\n"
        f"for _ in range(2): app.prepare(config.load(database={{'connection': {url!r}}}))\n"
        "assert not [name for name in sys.modules if name.startswith('alembic')]"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert store.read(versions.state).current


def test_many_who_start_at_once_make_it_once(store: Store) -> None:
    def start(_number: int) -> None:
        other = open_store(store.engine.url.render_as_string(hide_password=False))
        app.create_schema(other)
        other.close()

    with ThreadPoolExecutor(4) as threads:
        assert len(list(threads.map(start, range(4)))) == 4
    assert store.read(versions.state).current
    rules = store.read(lambda connection: connection.execute(select(func.count()).select_from(TEMPLATES)).scalar())
    assert rules == 2 * len(INSTALLED)


def test_a_failure_leaves_nothing_behind(store: Store) -> None:
    before = schema(store)

    def fail() -> None:
        with versions.alone(store) as connection:
            versions.expand(connection)
            raise RuntimeError("no room today")

    with pytest.raises(RuntimeError, match="today"):
        fail()
    assert store.read(versions.state).fresh
    assert schema(store) == before


EXPANSION = '''"""widen the agents."""
import sqlalchemy as sa
from alembic import op
revision, down_revision, branch_labels, depends_on = "e_next", "{expand}", None, None
def upgrade():
    op.add_column("agents", sa.Column("shoe_size", sa.Integer()))
    with op.batch_alter_table("networks") as networks:
        networks.alter_column("name", type_=sa.String(300))
'''
CONTRACTION = '''"""drop what agents called topic."""
from alembic import op
revision, down_revision, branch_labels, depends_on = "c_next", "{contract}", None, None
def upgrade():
    with op.batch_alter_table("agents") as agents:
        agents.drop_column("topic")
'''
NEXT = Heads(expand="e_next", contract="c_next")


@pytest.fixture
def become_newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Turns this process into the version after ours, which has one more revision in each branch."""

    def become() -> None:
        folder = tmp_path / "migrations"
        shutil.copytree(FOLDER, folder)
        (folder / "versions" / "expand_next.py").write_text(EXPANSION.format(expand=HEADS.expand))
        (folder / "versions" / "contract_next.py").write_text(CONTRACTION.format(contract=HEADS.contract))
        monkeypatch.setattr(versions, "FOLDER", folder)
        for module in (versions, app, migrating):
            monkeypatch.setattr(module, "HEADS", NEXT)

    return become


def columns(store: Store, table: str) -> set[str]:
    with store.engine.connect() as connection:
        return {column["name"] for column in inspect(connection).get_columns(table)}


def migrate(store: Store, tmp_path: Path, *words: str) -> Result:
    file = tmp_path / "weft.conf"
    file.write_text(f"[database]\nconnection = {store.engine.url.render_as_string(hide_password=False)}\n")
    return CliRunner().invoke(cli.main, ["migrate", *words, "--config", str(file)])


def test_expand_first_contract_when_nobody_older_runs(
    store: Store, tmp_path: Path, become_newer: Callable[[], None]
) -> None:
    answer = migrate(store, tmp_path, "status")
    assert (answer.exit_code, "it is empty" in answer.output) == (1, True)
    assert "would make all tables" in migrate(store, tmp_path, "upgrade", "--dry-run").output
    assert store.read(versions.state).fresh
    assert migrate(store, tmp_path, "upgrade").output.splitlines() == ["make all tables", "made"]
    assert migrate(store, tmp_path, "upgrade").output.splitlines() == ["nothing is to be done"]
    assert migrate(store, tmp_path, "status").exit_code == 0
    old = processes.Process("api-1", host="north", pid=7, version="0.9")
    store.write(lambda connection: processes.report(connection, old))

    become_newer()
    answer = migrate(store, tmp_path, "status")
    assert answer.exit_code == 1
    assert "To expand: e_next widen the agents." in answer.output
    assert "To contract: c_next drop what agents called topic." in answer.output
    assert "api-1 of Weft 0.9 on north (process 7)" in answer.output
    answer = migrate(store, tmp_path, "contract")
    assert (answer.exit_code, "expand comes first" in answer.output) == (1, True)
    answer = migrate(store, tmp_path, "upgrade")
    assert answer.exit_code == 1
    assert "api-1 of Weft 0.9 on north (process 7)" in answer.output
    assert {"shoe_size", "topic"} <= columns(store, "agents")
    # a start neither contracts while they run
    settings = config.load(database={"connection": store.engine.url.render_as_string(hide_password=False)})
    app.prepare(settings)
    assert "topic" in columns(store, "agents")
    assert "once these have ended: api-1" in migrate(store, tmp_path, "contract", "--dry-run").output

    store.write(lambda connection: processes.forget(connection, old))
    answer = migrate(store, tmp_path, "contract")
    assert (answer.exit_code, answer.output.splitlines()[-1]) == (0, "contracted")
    assert "topic" not in columns(store, "agents")
    assert migrate(store, tmp_path, "status").exit_code == 0


def test_a_start_brings_an_older_database_along(store: Store, become_newer: Callable[[], None]) -> None:
    app.create_schema(store)
    become_newer()
    settings = config.load(database={"connection": store.engine.url.render_as_string(hide_password=False)})
    app.prepare(settings)
    assert columns(store, "agents") >= {"shoe_size", "host"}
    assert "topic" not in columns(store, "agents")
    assert store.read(versions.state).current


@pytest.mark.filterwarnings("ignore:.*expression-based index")
def test_a_table_that_is_made_anew_keeps_what_refers_to_it(store: Store, become_newer: Callable[[], None]) -> None:
    """SQLite cannot change a column, and to drop a table deletes what refers to it."""
    app.create_schema(store)
    network = {column.name: "" for column in METADATA.tables["networks"].columns if not column.nullable}
    with store.engine.begin() as connection:
        connection.execute(METADATA.tables["networks"].insert().values(**typed("networks", network), id="n1"))
        segment = {column.name: "" for column in METADATA.tables["network_segments"].columns if not column.nullable}
        values = {**typed("network_segments", segment), "id": "s1", "network_id": "n1"}
        connection.execute(METADATA.tables["network_segments"].insert().values(**values))
    become_newer()
    app.create_schema(store)
    with store.engine.connect() as connection:
        found = connection.execute(text("SELECT id, network_id FROM network_segments")).all()
    assert [tuple(row) for row in found] == [("s1", "n1")]


def typed(table: str, values: dict[str, object]) -> dict[str, object]:
    """Some value of the right type for each column."""
    kinds = {bool: False, int: 1, str: "x"}
    made = {}
    for name in values:
        try:
            made[name] = kinds[METADATA.tables[table].c[name].type.python_type]
        except (KeyError, NotImplementedError):
            made[name] = []  # type: ignore[assignment]
    return {name: value for name, value in made.items() if name != "id"}


def test_an_older_program_runs_on_what_a_newer_has_expanded(
    store: Store, tmp_path: Path, become_newer: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    app.create_schema(store)
    with monkeypatch.context():
        become_newer()
        app.create_schema(store)
    monkeypatch.undo()
    assert versions.HEADS == HEADS
    settings = config.load(database={"connection": store.engine.url.render_as_string(hide_password=False)})
    app.prepare(settings)
    answer = migrate(store, tmp_path, "status")
    assert "A newer Weft has expanded it" in answer.output
    answer = migrate(store, tmp_path, "upgrade")
    assert (answer.exit_code, "go on with the newer one" in answer.output) == (1, True)
    assert {"shoe_size", "topic"} <= columns(store, "agents")


def test_a_database_that_is_newer_is_refused(
    store: Store, tmp_path: Path, become_newer: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    app.create_schema(store)
    with monkeypatch.context():
        become_newer()
        assert migrate(store, tmp_path, "upgrade").exit_code == 0
    monkeypatch.undo()
    before = schema(store)
    settings = config.load(database={"connection": store.engine.url.render_as_string(hide_password=False)})
    with pytest.raises(versions.SchemaError, match=r"newer than this program.*c_next and e_next"):
        app.prepare(settings)
    for words in (["status"], ["upgrade"], ["expand"], ["contract"]):
        answer = migrate(store, tmp_path, *words)
        assert (answer.exit_code, "newer than this program" in answer.output) == (1, True)
    assert schema(store) == before


def test_tables_of_unknown_origin_are_refused(store: Store) -> None:
    with store.engine.begin() as connection:
        METADATA.tables["quota_usage"].create(connection)
    with pytest.raises(versions.SchemaError, match="no version"):
        app.create_schema(store)


@pytest.mark.one_database
def test_there_is_no_way_back(store: Store) -> None:
    answer = CliRunner().invoke(cli.main, ["migrate", "downgrade"])
    assert (answer.exit_code, "restore the backup" in answer.output) == (1, True)


@pytest.mark.one_database
def test_a_database_that_does_not_answer(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "weft.conf"
    file.write_text("[database]\nconnection = postgresql+psycopg://weft:hidden@127.0.0.1:9/weft\n")
    for command in ("status", "upgrade"):
        answer = CliRunner().invoke(cli.main, ["migrate", command, "--config", str(file)])
        assert answer.exit_code == 1
        assert "does not answer" in answer.output
        assert "hidden" not in answer.output


@pytest.mark.one_database
def test_asking_makes_nothing_and_what_is_made_is_private(tmp_path: Path) -> None:
    folder = tmp_path / "state"

    def run(*words: str) -> tuple[int, str]:
        answer = CliRunner().invoke(cli.main, ["migrate", *words, "--state-dir", str(folder)])
        return answer.exit_code, answer.output

    for words in (("status",), ("upgrade", "--dry-run")):
        assert "make all tables" in run(*words)[1]
    assert not folder.exists()
    assert run("upgrade") == (0, "make all tables\nmade\n")
    assert os.umask(0o022) == 0o022, "only while it writes"
    assert [oct(path.stat().st_mode & 0o777) for path in (folder, folder / "weft.db")] == ["0o700", "0o600"]
    assert run("status")[0] == 0


@pytest.mark.one_database
def test_files_that_are_no_database(tmp_path: Path) -> None:
    (tmp_path / "weft.db").write_text("a text " * 100)
    (tmp_path / "file").touch()
    for folder, why in (
        (tmp_path, "does not answer or cannot be written"),
        (tmp_path / "file" / "state", "state folder"),
    ):
        answer = CliRunner().invoke(cli.main, ["migrate", "upgrade", "--state-dir", str(folder)])
        assert (answer.exit_code, why in answer.output) == (1, True), answer.output


def test_a_database_in_which_we_may_make_nothing(store: Store, tmp_path: Path) -> None:
    if store.sqlite:
        pytest.skip("SQLite has no users")
    with store.engine.begin() as connection:
        connection.execute(text("CREATE ROLE weft_poor LOGIN PASSWORD 'poor'"))
        connection.execute(text("REVOKE ALL ON SCHEMA public FROM public"))
    url = store.engine.url.set(username="weft_poor", password="poor").render_as_string(hide_password=False)
    file = tmp_path / "weft.conf"
    file.write_text(f"[database]\nconnection = {url}\n")
    try:
        answer = CliRunner().invoke(cli.main, ["migrate", "upgrade", "--config", str(file)])
        assert answer.exit_code == 1
        assert "weft migrate upgrade: the database says: no schema has been selected" in answer.output
    finally:
        with store.engine.begin() as connection:
            connection.execute(text("DROP ROLE weft_poor"))
