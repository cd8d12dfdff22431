"""Metering labels and rules by the API, where the dataplane does not say what it can."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Answer, Api
from weft.registry.resource import Row

NOBODY = "6f3d1c3e-0000-4000-8000-000000000000"
LABELS, RULES = "metering/metering-labels", "metering/metering-label-rules"
PREFIX = "10.0.0.0/24"


@pytest.fixture
def options() -> dict[str, dict[str, Any]]:
    return {"api": {"backend": "elsewhere"}}


@pytest.fixture
def label(api: Api) -> Row:
    return api.admin.make(LABELS, name="l")


def ask(api: Api, label: Row, **more: Any) -> Answer:
    values = {"metering_label_id": label["id"], "direction": "ingress", **more}
    return api.admin.post(RULES, {"metering_label_rule": values})


def made(api: Api, label: Row, **more: Any) -> Row:
    status, body = ask(api, label, **more)
    assert status == 201, body
    return dict(body["metering_label_rule"])


def test_a_label(api: Api, label: Row) -> None:
    assert label == {
        "id": label["id"],
        "name": "l",
        "description": "",
        "shared": False,
        "project_id": "admin",
        "tenant_id": "admin",
    }
    assert api.admin.show(LABELS, label["id"]) == label
    assert api.admin.list("metering_labels") == api.admin.list(LABELS, "name=l") == [label]
    assert api.admin.delete(f"{LABELS}/{label['id']}")[0] == 204
    assert api.fault(api.admin.get(f"{LABELS}/{label['id']}")) == (404, "MeteringLabelNotFound")


def test_labels_and_rules_are_never_changed(api: Api, label: Row) -> None:
    assert api.admin.put(f"{LABELS}/{label['id']}", {"metering_label": {"name": "x"}})[0] == 405
    rule = made(api, label, remote_ip_prefix=PREFIX)
    body = {"metering_label_rule": {"source_ip_prefix": PREFIX}}
    assert api.admin.put(f"{RULES}/{rule['id']}", body)[0] == 405


def test_members_do_not_make_labels(api: Api, label: Row) -> None:
    assert api.fault(api.post(LABELS, {"metering_label": {"name": "l"}})) == (403, "PolicyNotAuthorized")
    assert api.list(LABELS) == []
    assert api.get(f"{LABELS}/{label['id']}")[0] == 404
    mine = api.as_("p1", "manager,member,reader").make(LABELS, name="mine")
    assert api.list(LABELS) == [mine]


def test_a_rule(api: Api, label: Row) -> None:
    found = made(api, label, remote_ip_prefix=PREFIX)
    assert found == {
        "id": found["id"],
        "metering_label_id": label["id"],
        "direction": "ingress",
        "excluded": False,
        "remote_ip_prefix": PREFIX,
        "source_ip_prefix": None,
        "destination_ip_prefix": None,
        "project_id": "admin",
        "tenant_id": "admin",
    }
    assert api.admin.show(RULES, found["id"]) == found
    assert api.admin.list(RULES, f"metering_label_id={label['id']}") == [found]
    assert api.admin.delete(f"{RULES}/{found['id']}")[0] == 204
    assert api.fault(api.admin.get(f"{RULES}/{found['id']}")) == (404, "MeteringLabelRuleNotFound")


@pytest.mark.parametrize(
    "prefixes",
    [
        {},
        {"remote_ip_prefix": PREFIX, "source_ip_prefix": PREFIX},
        {"remote_ip_prefix": PREFIX, "destination_ip_prefix": PREFIX},
    ],
)
def test_a_rule_says_whose_traffic_in_one_way(api: Api, label: Row, prefixes: Row) -> None:
    assert api.fault(ask(api, label, **prefixes)) == (400, "Invalid")


def test_prefixes_are_prefixes(api: Api, label: Row) -> None:
    assert ask(api, label, remote_ip_prefix="nowhere")[0] == 400
    assert ask(api, label, direction="sideways", remote_ip_prefix=PREFIX)[0] == 400


def test_rules_of_a_label_do_not_overlap(api: Api, label: Row) -> None:
    made(api, label, remote_ip_prefix=PREFIX)
    assert api.fault(ask(api, label, remote_ip_prefix="10.0.0.0/25")) == (409, "MeteringLabelRuleOverlaps")
    made(api, label, remote_ip_prefix="10.0.1.0/24")
    made(api, label, remote_ip_prefix="2001:db8::/64")
    made(api, label, remote_ip_prefix=PREFIX, direction="egress")
    made(api, label, remote_ip_prefix="10.0.0.0/25", excluded=True)
    made(api, api.admin.make(LABELS), remote_ip_prefix=PREFIX)


def test_source_and_destination(api: Api, label: Row) -> None:
    both = {"source_ip_prefix": PREFIX, "destination_ip_prefix": "10.9.0.0/16"}
    made(api, label, source_ip_prefix=PREFIX)
    made(api, label, **both)
    assert api.fault(ask(api, label, **both)) == (409, "MeteringLabelRuleOverlaps")
    assert api.fault(ask(api, label, source_ip_prefix="10.0.0.0/8")) == (409, "MeteringLabelRuleOverlaps")
    made(api, label, **{**both, "destination_ip_prefix": "10.8.0.0/16"})


def test_rules_have_a_label(api: Api) -> None:
    assert api.fault(ask(api, {"id": NOBODY}, remote_ip_prefix=PREFIX)) == (404, "MeteringLabelNotFound")


def test_a_label_takes_its_rules_along(api: Api, label: Row) -> None:
    made(api, label, remote_ip_prefix=PREFIX)
    assert api.admin.delete(f"{LABELS}/{label['id']}")[0] == 204
    assert api.admin.list(RULES) == []


def test_statements(api: Api, label: Row) -> None:
    def count(collection: str) -> int:
        with api.statements() as seen:
            api.admin.list(collection)
        return len(seen)

    before = count(LABELS), count(RULES)
    for number in range(10):
        made(api, label, remote_ip_prefix=f"10.1.{number}.0/24")
        api.admin.make(LABELS)
    assert (count(LABELS), count(RULES)) == before


def test_extensions(api: Api) -> None:
    aliases = {row["alias"] for row in api.list("extensions")}
    assert {"metering", "metering_source_and_destination_fields"} <= aliases


@pytest.mark.parametrize(("backend", "status"), [("linux", 200), ("ovn", 404)])
class TestDataplanes:
    """Linux hosts count, OVN's do not."""

    @pytest.fixture
    def options(self, backend: str) -> dict[str, dict[str, Any]]:
        return {"api": {"backends": [backend]}}

    def test_metering_is_offered_where_somebody_counts(self, api: Api, status: int) -> None:
        assert api.get("extensions/metering")[0] == status
        assert api.admin.get(LABELS)[0] == status
