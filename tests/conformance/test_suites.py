"""The public tempest suites against a Weft beside a real Keystone: no case fails, and every skip has a reason of ours."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conformance import reasons, report, suites
from tests.conformance.identity_service import Keystone
from tests.conformance.suites import Case

LEAST = {"smoke": 50, "full": 900, "page": 900}
"""Cases that must have passed: fewer, and the run itself is broken."""


def broken(cases: list[Case]) -> list[str]:
    """The cases that failed, and those that were skipped for no reason that we know, in lines for the person."""
    failed = [f"{case.name}: {case.reason}" for case in cases if case.outcome == "failed"]
    skipped = [case for case in cases if case.outcome == "skipped" and not reasons.written(case.reason)]
    unknown = "was skipped, and tests/conformance/reasons.py has no reason for"
    return failed + [f"{case.name} {unknown}: {case.reason}" for case in skipped]


@pytest.mark.timeout(3600)
def test_public_suites(workplace: Path, keystone: Keystone, network_url: str, request: pytest.FixtureRequest) -> None:
    """--conformance says how many of them; WEFT_CONFORMANCE, an expression, names cases instead."""
    extent: str = request.config.getoption("--conformance")
    named = os.environ.get("WEFT_CONFORMANCE")
    folder = workplace / "suites"
    folder.mkdir()
    cases = suites.run(
        folder, keystone, network_url, named or (suites.SMOKE if extent == "smoke" else suites.EVERYTHING)
    )
    page = report.page(cases)
    print(page)
    assert not broken(cases), "\n".join(broken(cases))
    assert sum(case.outcome == "passed" for case in cases) >= (1 if named else LEAST[extent]), page
    if extent == "page" and not named:
        report.PAGE.write_text(page)
