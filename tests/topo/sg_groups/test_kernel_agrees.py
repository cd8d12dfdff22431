"""Changed step by step or loaded whole: the kernel holds the same rule set."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.backends.linux.test_firewall import differences, random_view
from weft.backends.linux import firewall, netns
from weft.backends.linux.nft import Nft
from weft.backends.linux.ruleset import Owner
from weft.backends.linux.tables import FAMILIES, Tables
from weft.logical.model import HostView

pytestmark = pytest.mark.needs_root


@pytest.fixture
def nft(prefix: str) -> Iterator[Nft]:
    name = f"{prefix}-agree"
    netns.create(name)
    one = Nft(name)
    yield one
    one.close()
    netns.delete(name)


def listing(nft: Nft) -> dict[str, Any]:
    """Everything by name, without handles, elements in order."""
    found: dict[str, Any] = {}
    for family in FAMILIES:
        for thing in nft.read(family, "weft"):
            ((kind, value),) = thing.items()
            value.pop("handle", None)
            if "elem" in value:
                value["elem"].sort(key=json.dumps)
            if kind == "rule":
                found.setdefault(f"rules {family} {value['chain']}", []).append(
                    json.dumps(value["expr"], sort_keys=True)
                )
            else:
                found[f"{kind} {family} {value['name']}"] = value
    for rules in found.values():
        for rule in range(len(rules) if isinstance(rules, list) else 0):
            rules[rule] = _sets_sorted(json.loads(rules[rule]))
    return found


def _sets_sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: sorted(map(_sets_sorted, v), key=json.dumps)
            if key == "set" and isinstance(v, list)
            else _sets_sorted(v)
            for key, v in value.items()
        }
    return [_sets_sorted(v) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize("seed", range(12))
def test_steps_and_whole(nft: Nft, seed: int) -> None:
    chance = random.Random(seed)
    tables = Tables(nft)
    now = HostView("h")
    tables.load(firewall.render(now, {}))
    for _ in range(6):
        then, now = now, random_view(chance)
        assert tables.loaded
        new, touched = firewall.update(tables.loaded, now, [Owner(*key) for key in differences(then, now)])
        tables.change(new, touched)
        assert not tables.disturbed()
        assert tables.drift() == []
    stepped = listing(nft)
    tables.load(new)
    assert stepped == listing(nft)
