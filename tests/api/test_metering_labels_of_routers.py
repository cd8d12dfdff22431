"""Which router counts for which metering label, and what for."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api
from weft.agent.metering import wanted
from weft.backends.linux.metering import Label, Rule
from weft.logical.model import LogicalRouter
from weft.registry.resource import Row
from weft.resources.metering import METERING_LABEL, METERING_LABEL_RULE

ROUTERS = [LogicalRouter(f"{project}-r", project_id=project) for project in ("p1", "p2")]


@pytest.fixture
def options() -> dict[str, dict[str, Any]]:
    return {"api": {"backend": "elsewhere"}}


def label(api: Api, project: str = "p1", *, shared: bool = False, **rule: Any) -> Row:
    made = api.admin.make("metering/metering-labels", project_id=project, shared=shared)
    body = {"metering_label_rule": {"metering_label_id": made["id"], "project_id": project, **rule}}
    assert api.admin.post("metering/metering-label-rules", body)[0] == 201
    return made


def asked(api: Api) -> dict[str, list[Label]]:
    return dict(api.inside(lambda tx: wanted(tx.list(METERING_LABEL), tx.list(METERING_LABEL_RULE), ROUTERS)))


def test_a_label_is_for_the_routers_of_its_project(api: Api) -> None:
    mine = label(api, direction="egress", remote_ip_prefix="203.0.113.0/24")
    rules = (Rule(ingress=False, excluded=False, destination="203.0.113.0/24"),)
    assert asked(api) == {"p1-r": [Label(mine["id"], rules)], "p2-r": []}


def test_a_shared_label_is_for_all(api: Api) -> None:
    every = label(api, shared=True, direction="ingress", remote_ip_prefix="203.0.113.0/24", excluded=True)
    rules = (Rule(ingress=True, excluded=True, source="203.0.113.0/24"),)
    assert asked(api) == {"p1-r": [Label(every["id"], rules)], "p2-r": [Label(every["id"], rules)]}


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_rules_by_sides(api: Api, direction: str) -> None:
    label(api, direction=direction, source_ip_prefix="203.0.113.0/24", destination_ip_prefix="10.0.0.0/8")
    (only,) = asked(api)["p1-r"]
    assert only.rules == (Rule(direction == "ingress", False, "203.0.113.0/24", "10.0.0.0/8"),)
