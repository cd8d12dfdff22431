"""What the agent makes of metering labels, and what the message bus hears of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest

from tests.api.conftest import Api
from weft.agent.metering import EVENT, Metering
from weft.backends.linux.metering import Count, Label, Meters, Rule
from weft.logical.model import HostView, LogicalRouter
from weft.registry.resource import Row
from weft.store import changes


@pytest.fixture
def options() -> dict[str, dict[str, Any]]:
    return {"api": {"backend": "elsewhere", "host": "h1"}, "notifications": {"driver": ["log"]}}


class Routers(Meters):
    """Counters of routers that are not there: what the kernel would be told, and what it would tell."""

    def __init__(self) -> None:
        super().__init__("")
        self.wanted: Mapping[str, Sequence[Label]] = {}
        self.counts: dict[str, Count] = {}

    def measure(self, routers: Iterable[LogicalRouter], labels: Mapping[str, Sequence[Label]]) -> None:
        self.wanted = labels

    def take(self, routers: Iterable[LogicalRouter]) -> dict[str, Count]:
        taken, self.counts = self.counts, {}
        return taken


@pytest.fixture
def routers() -> Routers:
    return Routers()


@pytest.fixture
def metering(api: Api, routers: Routers) -> Metering:
    view = HostView("h1", routers={name: LogicalRouter(name, project_id=name[:2]) for name in ("p1-r", "p2-r")})
    return Metering(api.config, api.store, routers, lambda: view)


def label(api: Api, project: str = "p1", *, shared: bool = False, **rule: Any) -> Row:
    made = api.admin.make("metering/metering-labels", project_id=project, shared=shared)
    if rule:
        body = {"metering_label_rule": {"metering_label_id": made["id"], "project_id": project, **rule}}
        assert api.admin.post("metering/metering-label-rules", body)[0] == 201
    return made


def messages(api: Api) -> list[Any]:
    found = api.store.read(lambda connection: connection.execute(changes.CHANGES.select()).all())
    return [one.facts["payload"] for one in found if one.kind == "notification" and one.facts["event"] == EVENT]


def test_a_label_is_for_the_routers_of_its_project_or_for_all(api: Api, metering: Metering, routers: Routers) -> None:
    mine = label(api, direction="egress", remote_ip_prefix="203.0.113.0/24")
    every = label(api, shared=True, direction="ingress", remote_ip_prefix="203.0.113.0/24", excluded=True)
    metering.measure()
    found = {id: {one.id: one.rules for one in labels} for id, labels in routers.wanted.items()}
    of_all = {every["id"]: (Rule(True, True, source="203.0.113.0/24"),)}
    assert found == {
        "p1-r": {mine["id"]: (Rule(False, False, destination="203.0.113.0/24"),), **of_all},
        "p2-r": of_all,
    }


def test_both_sides(api: Api, metering: Metering, routers: Routers) -> None:
    label(api, direction="ingress", source_ip_prefix="203.0.113.0/24", destination_ip_prefix="10.0.0.0/8")
    metering.measure()
    (only,) = routers.wanted["p1-r"]
    assert only.rules == (Rule(True, False, "203.0.113.0/24", "10.0.0.0/8"),)


def test_the_bus_hears_what_was_counted(api: Api, metering: Metering, routers: Routers) -> None:
    mine = label(api, direction="egress", remote_ip_prefix="203.0.113.0/24")
    routers.counts = {mine["id"]: Count(7, 700), "of nobody": Count(1, 1)}
    metering.report()
    (told,) = messages(api)
    assert told == {
        "label_id": mine["id"],
        "project_id": "p1",
        "tenant_id": "p1",
        "pkts": 7,
        "bytes": 700,
        "time": told["last_update"] - told["first_update"],
        "first_update": told["first_update"],
        "last_update": told["last_update"],
        "host": "h1",
    }


def test_what_a_label_counted_before_it_was_deleted_is_told(api: Api, metering: Metering, routers: Routers) -> None:
    mine = label(api)
    metering.measure()
    assert api.admin.delete(f"metering/metering-labels/{mine['id']}")[0] == 204
    routers.counts = {mine["id"]: Count(7, 700)}
    metering.report()
    assert [one["pkts"] for one in messages(api)] == [7]


class TestWithoutABus:
    @pytest.fixture
    def options(self) -> dict[str, dict[str, Any]]:
        return {"api": {"backend": "elsewhere"}}

    def test_it_goes_on_counting(self, api: Api, metering: Metering, routers: Routers) -> None:
        routers.counts = {label(api)["id"]: Count(7, 700)}
        metering.report()
        assert list(routers.counts.values()) == [Count(7, 700)]
