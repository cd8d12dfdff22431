"""What every tier shares: the order of the tiers, the databases, and who is skipped for want of root or of a program."""

from __future__ import annotations

import os
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import postgresql
from weft.ipam import allocate
from weft.resources import router_ha, segment

TIERS = ("unit", "states", "contract", "api", "backends", "topo", "conformance")
"""Cheapest first: a broken renderer shows in a second, not after the packets."""

HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--conformance",
        choices=("smoke", "full", "page"),
        default="smoke",
        help="of the public tempest suites: what they mark as smoke, all, or all and write docs/conformance.md",
    )
    parser.addoption(
        "--update-goldens", action="store_true", help="write the texts of tests/states anew; read the diff"
    )
    parser.addoption(
        "--databases",
        default="postgresql" if os.environ.get(postgresql.GIVEN) else "sqlite",
        help="on which databases tests of the API run: sqlite, postgresql or sqlite,postgresql",
    )
    parser.addoption("--walk-steps", type=int, default=300, help="requests of the random walk")
    parser.addoption("--walk-seed", type=int, default=1, help="what it begins with: the same walk each time")


def tier(path: Path) -> int:
    """Where a test stands in TIERS; what stands in no tier comes first."""
    parts = path.relative_to(HERE).parts
    return TIERS.index(parts[0]) if parts[0] in TIERS else -1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: tier(item.path))
    for item in items:
        reason = why_not(item)
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that uses a database, itself or by another fixture, runs once on each that the command line names."""
    for fixture in {"database", "empty_database"} & set(metafunc.fixturenames):
        names: list[Any] = str(metafunc.config.getoption("--databases")).split(",")
        if metafunc.definition.get_closest_marker("one_database"):
            names = names[:1]
        if metafunc.definition.get_closest_marker("on_postgresql"):
            skipped = pytest.param("postgresql", marks=pytest.mark.skip(reason="runs with --databases postgresql"))
            names = ["postgresql" if "postgresql" in names else skipped]
        metafunc.parametrize(fixture, names, indirect=True)


def pytest_make_parametrize_id(val: object) -> str | None:
    """A long text as a parameter would be the test's name, and the summary unreadable."""
    return f"{val[:40]}...{len(val)}" if isinstance(val, str) and len(val) > 60 else None


def why_not(item: pytest.Item) -> str:
    """Why this machine cannot run the test; empty when it can."""
    if item.get_closest_marker("needs_root") and os.geteuid() != 0:
        return "needs root"
    wanted = [name for marker in item.iter_markers("needs_programs") for name in marker.args]
    missing = [name for name in wanted if shutil.which(name) is None]
    if missing:
        return f"needs {', '.join(missing)}: scripts/system-packages test"
    if item.get_closest_marker("needs_openstackclient") and openstack_client() is None:
        return "needs python-openstackclient in this virtual environment"
    return ""


def openstack_client() -> str | None:
    """The `openstack` program beside the interpreter that runs the tests."""
    return shutil.which("openstack", path=str(Path(sys.executable).parent))


@pytest.fixture(autouse=True)
def draws(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn in this process (addresses, numbers of networks) is the same in every run of a test: one that asks for
    an address that another port may have been given fails always or never."""
    draw = random.Random(request.node.nodeid)
    for module in (allocate, router_ha, segment):
        monkeypatch.setattr(module, "_draw", draw)


@pytest.fixture(autouse=True)
def mask() -> Iterator[None]:
    """Files of a test are as open as an installation's, whatever a command that ran in this process has said."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture(scope="session")
def prefix() -> str:
    """Starts the names of namespaces and links of this test process, so that others on the machine keep theirs.

    At most 7 characters: a Linux interface name holds 15.
    """
    return f"w{os.getpid() % 0xFFFFFF:x}"


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[postgresql.Server]:
    """A PostgreSQL for this test process; skips where there is none."""
    reason = postgresql.why_not()
    if reason:
        pytest.skip(reason)
    with postgresql.running() as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: postgresql.Server) -> Iterator[str]:
    """Name of a database with our tables and nothing in use, from which those of the tests are copied."""
    name = postgresql_server.create()
    _fill(postgresql_server.url(name))
    yield name
    postgresql_server.drop(name)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with our tables, from which those of the tests are copied."""
    path = tmp_path_factory.mktemp("database") / "weft.db"
    _fill(f"sqlite:///{path}")
    return path


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a database of the test's own with our tables and nothing in them."""
    if request.param == "sqlite":
        path = tmp_path / "weft.db"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    server: postgresql.Server = request.getfixturevalue("postgresql_server")
    name = server.create(request.getfixturevalue("postgresql_template"))
    yield server.url(name)
    server.drop(name)


@pytest.fixture
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a database without any table."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'weft.db'}"
        return
    server: postgresql.Server = request.getfixturevalue("postgresql_server")
    name = server.create()
    yield server.url(name)
    server.drop(name)


def _fill(url: str) -> None:
    from weft import app, config
    from weft.store.engine import Store

    store = Store(config.load(database={"connection": url}))
    app.create_schema(store)
    store.close()
