"""The API keeps to its own description: schemathesis reads /openapi.json and asks every operation, rightly and wrongly.

WEFT_FUZZ=50 asks each operation so often; without it a few times, always the same.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import pytest
from falcon import testing
from hypothesis import HealthCheck, Phase, given, settings

from tests.api.conftest import Api, caller
from tests.api.fuzz_site import Site, build
from weft import app, config, errors
from weft.api import watch
from weft.resources import RESOURCES
from weft.store.engine import Store

schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis: pip install -e .[test]")

EXAMPLES = int(os.environ.get("WEFT_FUZZ", "0"))
FEW, SOME = 2, 15
"""How often an operation is asked; and how often with a body that is wrong."""


def profile(examples: int) -> settings:
    return settings(
        max_examples=EXAMPLES or examples,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )


TOKEN = "a-token-of-an-administrator"
MEMBERS = {one.collection: one.member for one in RESOURCES}


def authenticate(environ: Mapping[str, Any]) -> Any:
    """Who asks: with the one token an administrator of p1, else nobody."""
    if environ.get("HTTP_X_AUTH_TOKEN") != TOKEN:
        raise errors.Unauthorized
    return caller({"HTTP_X_USER_ID": "u", "HTTP_X_PROJECT_ID": "p1", "HTTP_X_ROLES": "admin,member,reader"})


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    chosen = config.load(api={"state_path": str(tmp_path_factory.mktemp("schemathesis")), "backend": "paper"})
    store = Store(chosen)
    app.create_schema(store)
    made = build(Api(testing.TestClient(app.make_api(chosen, caller, store=store)), store, chosen))
    yield made
    made.close()
    store.close()


def known(site: Site, path: str) -> dict[str, str]:
    """Path parameters that name objects which are there."""
    parts = path.split("/")
    found = {}
    for before, part in pairwise(parts):
        ids = site.ids.get(MEMBERS.get(before, ""))
        if part.startswith("{") and ids:
            found[part[1:-1]] = ids[1 if before == "networks" else 0]
    return found


def test_every_operation_keeps_to_its_description(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from schemathesis import GenerationMode
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    every = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
        checks.negative_data_rejection,
    ]
    monkeypatch.setattr(watch, "LONGEST", 0.0)  # a stream ends after what it has missed
    service = app.make_api(site.api.config, authenticate, store=site.api.store)
    schema = schemathesis.openapi.from_wsgi("/openapi.json", service)
    answers: Counter[int] = Counter()
    for operation in (one.ok() for one in schema.get_all_operations()):
        parameters = bool(operation.path_parameters or operation.query or operation.headers or operation.body)
        for mode in GenerationMode if parameters else [GenerationMode.POSITIVE]:

            @profile(SOME if operation.body and mode == GenerationMode.NEGATIVE else FEW)
            @given(operation.as_strategy(generation_mode=mode))
            def ask(case: Any) -> None:
                site.reset()
                for name, value in known(site, case.operation.path).items():
                    case.path_parameters[name] = value
                said = {**(case.headers or {})}
                if "X-Auth-Token" in said:
                    said["X-Auth-Token"] = TOKEN
                case.headers = said
                answers[case.call_and_validate(checks=every).status_code // 100] += 1

            ask()
    assert answers[2] > 100 and answers[4] > 100, answers
