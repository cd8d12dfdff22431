"""A real Keystone and Weft beside it, once for all tests of the tier that this process runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import postgresql
from tests.conformance import identity_service, weft_server
from tests.conformance.identity_service import Keystone


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where everything of this tier leaves its files; failures name them."""
    return tmp_path_factory.mktemp("conformance")


@pytest.fixture(scope="session")
def keystone(workplace: Path) -> Iterator[Keystone]:
    folder = workplace / "keystone"
    folder.mkdir()
    with identity_service.keystone(folder) as service:
        yield service


@pytest.fixture(scope="session")
def network_url(workplace: Path, keystone: Keystone, request: pytest.FixtureRequest) -> Iterator[str]:
    """A Weft on PostgreSQL; on SQLite where --databases names nothing else."""
    folder = workplace / "weft"
    folder.mkdir()
    with contextlib.ExitStack() as stack:
        database = ""
        if "postgresql" in request.config.getoption("--databases").split(","):
            server = stack.enter_context(postgresql.running())
            database = server.url(server.create())
        yield stack.enter_context(weft_server.weft(folder, keystone, database))
