"""A plugin adds a resource, a backend and a command; without it nothing is missing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pluggy
import pytest
from falcon import testing
from sqlalchemy import Column, MetaData, String, Table

from tests.api.conftest import caller
from weft import agent, app, config, errors, hooks
from weft.agent import main as agent_main
from weft.registry import types
from weft.registry.attributes import Attribute, read_only
from weft.registry.resource import Resource
from weft.registry.strategy import Strategy
from weft.resources import RESOURCES, standard
from weft.store.engine import Store
from weft.store.schema import identity

TABLES = MetaData()
KITES = Table("kites", TABLES, *identity(), Column("name", String(255), nullable=False))
KITE = Resource(
    member="kite",
    collection="kites",
    attributes=(
        read_only("id", types.uuid, sort=True, primary_key=True),
        Attribute("name", types.name_string, default=""),
        *standard.project(),
    ),
    table=KITES,
    strategy=Strategy(),
    not_found=errors.NotFound,
)


@click.command()
def fly() -> None:
    """Fly a kite."""


class Plugin:
    @hooks.implementation
    def resources(self) -> list[Resource]:
        return [KITE]

    @hooks.implementation
    def backends(self) -> dict[str, Any]:
        return {"kites": lambda settings: SimpleNamespace(name="kites")}

    @hooks.implementation
    def commands(self) -> list[click.Command]:
        return [fly]


@pytest.fixture
def manager() -> pluggy.PluginManager:
    made = pluggy.PluginManager(hooks.GROUP)
    made.add_hookspecs(hooks.Hooks)
    made.register(Plugin())
    return made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(config.load(api={"state_path": str(tmp_path)}))
    app.create_schema(made)
    TABLES.create_all(made.engine)
    yield made
    made.close()


def test_what_a_plugin_adds(manager: pluggy.PluginManager) -> None:
    assert hooks.every_resource(manager) == (KITE,)
    assert list(hooks.every_backend(manager)) == ["kites"]
    assert hooks.every_command(manager) == (fly,)


def test_a_plugins_resource_is_served(store: Store, tmp_path: Path) -> None:
    settings = config.load(api={"state_path": str(tmp_path)})
    client = testing.TestClient(app.make_api(settings, caller, store=store, resources=(*RESOURCES, KITE)))
    headers = {"X-User-Id": "u", "X-Project-Id": "p1", "X-Roles": "member,admin"}
    made = client.simulate_post("/v2.0/kites", json={"kite": {"name": "red"}}, headers=headers)
    assert made.status_code == 201
    assert client.simulate_get("/v2.0/kites", headers=headers).json["kites"] == [made.json["kite"]]


def test_a_backend_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="backend balloon is none of linux"):
        agent_main.make_backend(config.load(api={"state_path": str(tmp_path), "backend": "balloon"}))
    assert agent.__doc__
