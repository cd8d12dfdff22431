"""Named states: each has one text, and whatever way leads to a state, the text is the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.states import text
from tests.states.conftest import Install
from tests.states.follower import Follower, obey
from tests.states.states import STATES
from tests.states.steps import Site, Step, backwards, shuffled

GOLDEN = Path(__file__).parent / "golden"

Steps = Sequence[Step]
Way = Callable[[Site, Follower, Steps], None]


# -- ways to a state


def straight(site: Site, follower: Follower, steps: Steps) -> None:
    """Step by step, read on after each."""
    for step in steps:
        site.do(step)
        follower.follow()


def straight_back(site: Site, follower: Follower, steps: Steps) -> None:
    for step in reversed(steps):
        site.undo(step)
        follower.follow()


def reverse(site: Site, follower: Follower, steps: Steps) -> None:
    """The last thing first, as far as that is legal."""
    straight(site, follower, backwards(steps))


def any_order(site: Site, follower: Follower, steps: Steps) -> None:
    """In an order by lot; after every step the view is that of a process that has just started."""
    for step in shuffled(steps, seed=len(steps)):
        site.do(step)
        follower.follow()
        obey(follower)


def at_once(site: Site, follower: Follower, steps: Steps) -> None:
    """Nothing is read before everything is there, in another order."""
    for step in shuffled(steps, seed=1):
        site.do(step)
    follower.follow()


def entry_by_entry(site: Site, follower: Follower, steps: Steps) -> None:
    """The change log read one entry at a time, while the database is far ahead."""
    for step in shuffled(steps, seed=2):
        site.do(step)
    follower.follow(at_once=1)


def empty_between(site: Site, follower: Follower, steps: Steps) -> None:
    """There, away again, and there once more."""
    straight(site, follower, steps)
    straight_back(site, follower, steps)
    assert not follower.view.ports and not follower.view.routers and not follower.view.switches
    straight(site, follower, shuffled(steps, seed=3))


def each_twice(site: Site, follower: Follower, steps: Steps) -> None:
    """Every step is taken, taken back, and taken again, read on only then."""
    for step in steps:
        site.do(step)
        site.undo(step)
        site.do(step)
        follower.follow()


def restart_midway(site: Site, follower: Follower, steps: Steps) -> None:
    middle = len(steps) // 2
    straight(site, follower, steps[:middle])
    follower.restart()
    straight(site, follower, steps[middle:])


WAYS: tuple[Way, ...] = (reverse, any_order, at_once, entry_by_entry, empty_between, each_twice, restart_midway)


# -- tests


def built(install: Install, name: str, way: Way = straight) -> tuple[str, str]:
    """(logical model, what the Linux backend makes of it) of a state that was reached by that way."""
    site = Site(install())
    follower = Follower(site.api)
    way(site, follower, STATES[name])
    view = text.named(follower.view, site)
    return text.logical(view), text.linux(view)


def golden(name: str, kind: str) -> Path:
    return GOLDEN / f"{name.replace(' ', '_')}.{kind}.txt"


@pytest.mark.parametrize("name", STATES)
def test_golden(install: Install, name: str, request: pytest.FixtureRequest) -> None:
    """A change of these texts is a change of what the dataplane is told: `--update-goldens` writes them, a person reads."""
    for kind, found in zip(("logical", "linux"), built(install, name), strict=True):
        path = golden(name, kind)
        if request.config.getoption("--update-goldens"):
            path.write_text(found)
        assert found == path.read_text()


@pytest.mark.parametrize("way", WAYS, ids=lambda way: str(way.__name__))
@pytest.mark.parametrize("name", [name for name, steps in STATES.items() if steps])
def test_the_way_does_not_show(install: Install, name: str, way: Way) -> None:
    logical, linux = built(install, name, way)
    assert logical == golden(name, "logical").read_text()
    assert linux == golden(name, "linux").read_text()


def test_no_two_states_are_the_same() -> None:
    texts = [golden(name, "logical").read_text() for name in STATES]
    assert len(set(texts)) == len(texts) - 1, "only `empty` and `network without ports` look alike to a host"


def test_no_golden_without_a_state() -> None:
    assert set(GOLDEN.iterdir()) == {golden(name, kind) for name in STATES for kind in ("logical", "linux", "ovn")}
