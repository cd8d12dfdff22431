"""What the API says of its extensions: clients branch on an alias, some on the name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.conftest import caller
from tests.contract.everything import Everything, build, facts

FACTS: dict[str, dict[str, Any]] = {row["alias"]: row for row in facts("extensions")}

OUR_OWN = {"status-reason": "every status that is not good has a reason"}
"""Extensions that only this service has."""


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everything]:
    e = build(tmp_path_factory.mktemp("extensions"), caller)
    yield e
    e.api.store.close()


def test_extensions_are_described_as_the_api_does(everything: Everything) -> None:
    status, body = everything.api.get("extensions")
    assert status == 200
    words = ("alias", "name", "description", "updated")
    offered = {row["alias"]: row for row in body["extensions"]}
    for alias, row in offered.items():
        assert row["links"] == []
        if alias not in OUR_OWN:
            assert {word: row[word] for word in words} == {word: FACTS[alias][word] for word in words}
        assert everything.api.get(f"extensions/{alias}") == (200, {"extension": row})
    assert OUR_OWN.keys() <= offered.keys()


def test_every_extension_of_the_core_is_offered_where_the_dataplane_can_all(everything: Everything) -> None:
    offered = {row["alias"] for row in everything.api.get("extensions")[1]["extensions"]}
    assert offered == FACTS.keys() | OUR_OWN.keys()


def test_an_unknown_extension(everything: Everything) -> None:
    assert everything.api.get("extensions/nothing")[0] == 404
