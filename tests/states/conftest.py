"""One installation for all states: emptied for each, since many are needed quickly."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from falcon import testing
from sqlalchemy import event

from tests.api.conftest import Api, caller
from tests.api.test_availability_zones import report
from tests.states.follower import HOST
from weft import app, config
from weft.store.engine import Store

Install = Callable[..., Api]
AGENTS = ("DHCP agent", "L3 agent")
"""Those of a Linux host."""

OPTIONS = {
    "ml2": {"network_vlan_ranges": ("physical:100:199",), "flat_networks": ("*",)},
    "quotas": dict.fromkeys(
        ("quota_network", "quota_subnet", "quota_port", "quota_router", "quota_floatingip", "quota_security_group"), -1
    ),
}


@pytest.fixture(scope="session")
def install(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Install]:
    """Empties the installation, which keeps its compiled statements and routes, and returns it with these `agents`."""
    settings = config.load(api={"state_path": str(tmp_path_factory.mktemp("states"))}, **OPTIONS)
    store = Store(settings)
    event.listen(store.engine, "connect", _carelessly)
    api = Api(testing.TestClient(app.make_api(settings, caller, store=store)), store, settings)
    template = sqlite3.connect(sqlite_template)

    def empty(agents: Iterable[str] = AGENTS) -> Api:
        with store.engine.connect() as connection:
            target = connection.connection.dbapi_connection
            assert isinstance(target, sqlite3.Connection)
            template.backup(target)
        for kind in agents:
            report(api, kind, HOST)
        return api

    yield empty
    template.close()
    store.close()


def _carelessly(connection: sqlite3.Connection, _record: object) -> None:
    """What these tests write need not survive a power failure."""
    connection.execute("PRAGMA synchronous=OFF").close()
