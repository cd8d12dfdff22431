"""The whole extension surface: what a plugin may add, one function signature per hook.

A plugin is a distribution with an entry point in the group `weft` that names a module (or object) with functions marked
`@hooks.implementation`. Deleting a plugin leaves a working Weft. Hooks add; none changes what the core does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import pluggy

GROUP = "weft"

_specification = pluggy.HookspecMarker(GROUP)
implementation = pluggy.HookimplMarker(GROUP)


class Hooks:
    """The hooks. Types of higher rooms are named in words, since this file knows none of them."""

    @_specification
    def resources(self) -> Sequence[Any]:  # type: ignore[empty-body]
        """Further kinds of API objects: `weft.registry.resource.Resource`s, with their tables on `store.schema.METADATA`."""

    @_specification
    def backends(self) -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]
        """Further dataplanes by name: functions from `Config` to a `weft.backends.interface.Backend`."""

    @_specification
    def commands(self) -> Sequence[Any]:  # type: ignore[empty-body]
        """Further commands of the program `weft`: `click.Command`s."""


@lru_cache(maxsize=1)
def plugins() -> pluggy.PluginManager:
    """The installed plugins, looked up once."""
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(Hooks)
    manager.load_setuptools_entrypoints(GROUP)
    return manager


def every_resource(manager: pluggy.PluginManager | None = None) -> tuple[Any, ...]:
    """What plugins add to the API."""
    return tuple(one for found in (manager or plugins()).hook.resources() for one in found)


def every_backend(manager: pluggy.PluginManager | None = None) -> dict[str, Callable[..., Any]]:
    """What plugins add to the dataplanes, by name."""
    return {name: make for found in (manager or plugins()).hook.backends() for name, make in found.items()}


def every_command(manager: pluggy.PluginManager | None = None) -> tuple[Any, ...]:
    """What plugins add to the command line."""
    return tuple(one for found in (manager or plugins()).hook.commands() for one in found)
