"""The arithmetic of telling Placement: what was told adds up to what is wanted, in however many steps."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from weft.api.allocations import NOTHING, missing
from weft.events.allocations import changed
from weft.store.transaction import Differences

KEYS = [("server", provider, name) for provider in ("one", "two") for name in ("EGRESS", "INGRESS")]
AMOUNTS = st.tuples(st.integers(0, 50), st.integers(0, 50))
WANTED = st.dictionaries(st.sampled_from(KEYS), AMOUNTS)


def tell(found: dict[str, Any], told: Differences, wanted: Differences) -> dict[str, Any]:
    steps = {key[1:]: amounts for key, amounts in missing(told, wanted).items()}
    return changed(found, steps) if steps else found


@given(st.lists(WANTED, min_size=1, max_size=4))
def test_steps_add_up_and_can_be_taken_back(rounds: list[Differences]) -> None:
    """1000 of each are there, of other ports: whatever was wanted in between, the last counts; and then nothing."""
    before = {provider: {"resources": {"EGRESS": 1000, "INGRESS": 1000}} for provider in ("one", "two")}
    found: dict[str, Any] = {"allocations": before, "project_id": "p", "user_id": "u", "consumer_generation": 1}
    told = NOTHING
    for wanted in rounds:
        found, told = tell(found, told, wanted), wanted
    for key in KEYS:
        was, now = told.get(key, (0, 0))
        assert found["allocations"][key[1]]["resources"][key[2]] == 1000 - was + now
    assert tell(found, told, told) == found
    assert tell(found, told, NOTHING)["allocations"] == before
