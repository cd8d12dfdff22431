"""The public tempest suites against a Weft beside a real Keystone: no case fails, and every skip has a reason of ours."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conformance import reasons, report, suites
from tests.conformance.identity_service import Keystone
from tests.conformance.suites import Case

LEAST = 500
"""Cases that must have passed: fewer, and the run itself is broken."""


def broken(cases: list[Case]) -> list[str]:
    """The cases that failed, and those that were skipped for no reason that we know, in lines for the person."""
    failed = [f"{case.name}: {case.reason}" for case in cases if case.outcome == "failed"]
    skipped = [case for case in cases if case.outcome == "skipped" and not reasons.written(case.reason)]
    return failed + [
        f"{case.name} was skipped, and tests/conformance/reasons.py has no reason for: {case.reason}"
        for case in skipped
    ]


@pytest.mark.full_conformance
def test_every_case(workplace: Path, keystone: Keystone, network_url: str) -> None:
    regex = os.environ.get("WEFT_CONFORMANCE", suites.EVERYTHING)
    folder = workplace / "suites"
    folder.mkdir()
    cases = suites.run(folder, keystone, network_url, regex)
    print(report.page(cases))
    assert not broken(cases), "\n".join(broken(cases))
    if regex == suites.EVERYTHING:
        assert sum(case.outcome == "passed" for case in cases) >= LEAST
        report.PAGE.write_text(report.page(cases))
