"""Figures for Prometheus: for administrators alone."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from tests.api.conftest import Api


def _scrape(api: Api) -> tuple[int, dict[tuple[str, tuple[tuple[str, str], ...]], float]]:
    headers = {"X-User-Id": "u", "X-Project-Id": api.project, "X-Roles": api.roles}
    answer = api.client.simulate_get("/metrics", headers=headers)
    if answer.status_code != 200:
        return answer.status_code, {}
    samples = [sample for family in text_string_to_metric_families(answer.text) for sample in family.samples]
    return 200, {(one.name, tuple(sorted(one.labels.items()))): one.value for one in samples}


def test_members_are_told_nothing(api: Api) -> None:
    assert _scrape(api)[0] == 403


def test_objects_and_requests_are_counted(api: Api) -> None:
    api.make("networks")
    api.make("networks")
    status, found = _scrape(api.admin)
    assert status == 200
    assert found["weft_objects", (("kind", "networks"), ("status", "ACTIVE"))] == 2
    labels = (("method", "POST"), ("route", "/v2.0/networks"), ("status", "201"))
    assert found["weft_http_requests_total", labels] == 2
