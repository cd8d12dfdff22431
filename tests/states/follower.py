"""A reader of the change log beside the API, as the reconciler is one, and the law that its view has to keep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

from tests.api.conftest import Api
from weft.context import internal
from weft.logical.model import HostView, Key
from weft.reconcile.load import HostLoader
from weft.store import changes
from weft.store.transaction import Environment, Transaction

T = TypeVar("T")
HOST = "here"
TABLES = tuple(one.name for one in fields(HostView) if one.name != "host")


class Follower:
    """Keeps a host's view by what the change log says; `restart` begins anew from the database."""

    def __init__(self, api: Api, make: Callable[[], HostLoader] = lambda: HostLoader(HOST)) -> None:
        self._api = api
        self._make = make
        self.restart()

    @property
    def view(self) -> HostView:
        return self._loader.view

    def restart(self) -> None:
        self._loader = self._make()

        def load(tx: Transaction) -> None:
            self._sequence = changes.last(tx.connection)
            self._loader.load(tx)

        self._reading(load)

    def follow(self, at_once: int = 1_000_000) -> None:
        """Read what has changed, `at_once` entries of the log at a time. The keys that it names are those that differ."""
        while True:
            before = copied(self.view)
            read = self._reading(lambda tx: self._step(tx, at_once))
            if read is None:
                return
            assert read == differences(before, copied(self.view))

    def _step(self, tx: Transaction, at_once: int) -> set[Key] | None:
        found = changes.after(tx.connection, self._sequence, at_once)
        if not found:
            return None
        self._sequence = found[-1].sequence
        return self._loader.refresh(tx, found)

    def fresh(self) -> HostView:
        """The view of a process that has just started."""
        loader = self._make()
        self._reading(loader.load)
        return loader.view

    def _reading(self, work: Callable[[Transaction], T]) -> T:
        environment = Environment(self._api.config)
        return self._api.store.read(lambda connection: work(Transaction(connection, internal(), environment)))


def copied(view: HostView) -> dict[str, dict[str, Any]]:
    """The tables of a view as they are now; its values never change, its tables do."""
    return {name: dict(getattr(view, name)) for name in TABLES}


def differences(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> set[Key]:
    """Keys of what is not the same in both."""
    found = set()
    for name in TABLES:
        for id in before[name].keys() | after[name].keys():
            old, new = before[name].get(id), after[name].get(id)
            if old != new:
                found.add((old or new).key)  # type: ignore[union-attr]
    return found


def obey(follower: Follower) -> None:
    """The law: what was reached step by step is what the database says now."""
    assert copied(follower.view) == copied(follower.fresh())
