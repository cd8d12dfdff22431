"""The same states, and the same ways to them, as a whole cloud and as OVN's Northbound rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.states import text
from tests.states.conftest import Install
from tests.states.follower import Follower
from tests.states.states import STATES
from tests.states.steps import Site
from tests.states.test_states import WAYS, Way, golden, straight
from weft.backends.ovn import render
from weft.backends.ovn.around import Neighbours
from weft.backends.ovn.paired import NONE
from weft.backends.ovn.rows import MARK, REVISION, Hold, Ref, Row
from weft.config import Config
from weft.logical.model import HostView, LogicalPort, PortGroup
from weft.reconcile.cloud import CloudLoader

CONFIG = Config()


def built(install: Install, name: str, way: Way = straight) -> str:
    site = Site(install(agents=()))
    follower = Follower(site.api, CloudLoader)
    way(site, follower, STATES[name])
    return written(text.named(follower.view, site))


def written(view: HostView) -> str:
    """The rows of everything, by the names of things. Gateways live on c1, or on c2."""
    for id, switch in view.switches.items():
        segments = tuple(replace(one, id=f"{id}-{number}") for number, one in enumerate(switch.segments))
        view.switches[id] = replace(switch, segments=segments)
    neighbours = Neighbours.of(view)
    places = {one.id: ("c1", "c2") for router in view.routers.values() for one in router.gateways}
    lines: list[str] = []
    for key in render.keys(view)[1:]:  # the group that drops is the same in every state
        value = view.of(key.kind)[key.id]
        around = neighbours.around(value) if isinstance(value, LogicalPort) else render.ALONE
        paired = neighbours.paired.around(value) if isinstance(value, PortGroup) else NONE
        for row in sorted(render.rows(view, key, CONFIG, around, places, paired), key=lambda row: row.ref):
            lines += _row(row)
    return "\n".join(lines) + "\n"


def _row(row: Row) -> Iterator[str]:
    yield f"{row.ref.table} {row.ref.id}"
    for column, value in row.columns.items():
        if isinstance(value, dict):
            value = {key: one for key, one in value.items() if key not in (REVISION, MARK) and one}
        said = column != "name" or row.ref.table == "ACL"  # of others the name is the identity
        if said and value not in (None, {}, frozenset(), "") and (column, value) != ("log", False):
            yield f"    {column}: {_word(value)}"
    for hold in (*([row.parent] if row.parent else []), *sorted(row.members)):
        yield f"    in {_held(hold)}"
    for hold, entries in row.entries.items():
        yield f"    puts into {_held(hold)}: {_word(entries)}"


def _held(hold: Hold) -> str:
    return f"{hold.row.id} {hold.column}"


def _word(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key}={_word(one)}" for key, one in sorted(value.items()))
    if isinstance(value, frozenset):
        return ", ".join(sorted(_word(one) for one in value))
    return value.id if isinstance(value, Ref) else " ".join(sorted(str(value).split())) if _many(value) else str(value)


def _many(value: Any) -> bool:
    """A list of ids, whose order says nothing."""
    return isinstance(value, str) and " " in value and "&&" not in value and "{" not in value


@pytest.mark.parametrize("name", STATES)
def test_golden(install: Install, name: str, request: pytest.FixtureRequest) -> None:
    """A change of these texts is a change of what OVN is told: `--update-goldens` writes them, a person reads."""
    found, path = built(install, name), golden(name, "ovn")
    if request.config.getoption("--update-goldens"):
        path.write_text(found)
    assert found == path.read_text()


@pytest.mark.parametrize("way", WAYS, ids=lambda way: str(way.__name__))
@pytest.mark.parametrize("name", [name for name, steps in STATES.items() if steps])
def test_the_way_does_not_show(install: Install, name: str, way: Way) -> None:
    assert built(install, name, way) == golden(name, "ovn").read_text()


def test_no_two_states_are_the_same() -> None:
    texts = [golden(name, "ovn").read_text() for name in STATES]
    assert len(set(texts)) == len(texts)
