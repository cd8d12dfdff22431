"""Which agents are chosen: pure."""

from __future__ import annotations

import pytest

from weft.resources.placing import Candidate, choose, slots


def names(*chosen: Candidate) -> str:
    return " ".join(one.id for one in chosen)


def found(text: str) -> list[Candidate]:
    """Agents as words: name@zone:load."""
    made = []
    for word in text.split():
        name, _, rest = word.partition("@")
        zone, _, load = rest.partition(":")
        made.append(Candidate(name, name, zone or None, int(load or 0)))
    return made


@pytest.mark.parametrize(
    ("agents", "having", "number", "zones", "chosen"),
    [
        ("a@z b@z c@z", "", 1, "", "a"),
        ("b@z a@z", "", 1, "", "a"),
        ("a@z:2 b@z:1 c@z:1", "", 1, "", "b"),
        ("a@z:2 b@z:1 c@z:1", "", 5, "", "b c a"),
        ("a@z b@z", "a", 1, "", "b"),
        ("a@z b@z", "a b", 1, "", ""),
        ("a@z b@y:9", "", 1, "y", "b"),
        ("a@z b@y:9", "", 1, "x", ""),
        ("a@z b@z c@y:9", "", 2, "", "a c"),
        ("a@z b@z c@y:9", "a", 1, "", "c"),
        ("a@z b@z c@y", "", 2, "z", "a b"),
        ("a@ b@z", "", 1, "z", "b"),
        ("a@z", "", 0, "", ""),
        ("a@z", "", -3, "", ""),
        ("", "", 2, "", ""),
    ],
)
def test_choice(agents: str, having: str, number: int, zones: str, chosen: str) -> None:
    assert names(*choose(found(agents), having.split(), number, zones.split())) == chosen


def test_what_was_given_weighs() -> None:
    agents = found("a@z b@z:1 c@z:5")
    assert [names(*choose(agents, (), 1, ())) for _ in range(4)] == ["a", "a", "b", "a"]


@pytest.mark.parametrize(
    ("taken", "number", "free"), [((), 2, [0, 1]), ((0, 2), 3, [1, 3, 4]), ((1,), 1, [0]), ((0,), 0, [])]
)
def test_slots(taken: tuple[int, ...], number: int, free: list[int]) -> None:
    assert slots(taken, number) == free
