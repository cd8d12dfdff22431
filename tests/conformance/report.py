"""The page docs/conformance.md: what the suites' run came to, by module, and why cases were skipped."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.conformance import reasons, suites
from tests.conformance.suites import Case

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"

HEAD = """\
# Conformance

<!-- `make conformance` writes this page after a run without failures. -->

The public test suites of the Networking API, tempest {tempest} and neutron-tempest-plugin {plugin}, run against
`weft serve` with two workers on PostgreSQL, beside a real Keystone {keystone}: `make conformance`. All of the API is
offered there, and a host on paper takes it: no packets flow; that is what the tests in `tests/topo` are for. `make test`
runs the cases that the suites mark as smoke; with `CONFORMANCE=full`, all.

Every case ran. Passed: {passed}; failed: {failed}; skipped by the suites themselves: {skipped}, each for a reason that
is written below. A class of cases that is skipped as a whole counts once.

"""


def page(cases: Sequence[Case]) -> str:
    """The whole page."""
    total = Counter(case.outcome for case in cases)
    versions = suites.versions()
    head = HEAD.format(
        tempest=versions["tempest"],
        plugin=versions["neutron-tempest-plugin"],
        keystone=versions["keystone"],
        **{name: total[name] for name in ("passed", "failed", "skipped")},
    )
    return "\n".join([head + "## Skipped", "", *_skips(cases), "", "## By module", "", *_modules(cases), ""])


def _skips(cases: Iterable[Case]) -> list[str]:
    why: dict[tuple[str, str], list[Case]] = defaultdict(list)
    for case in cases:
        if case.outcome == "skipped":
            why[reasons.written(case.reason), case.reason].append(case)
    lines = ["| skipped | what the suite says | why that is right |", "| ---: | --- | --- |"]
    for (written, said), skipped in sorted(why.items()):
        lines.append(f"| {len(skipped)} | {said.replace('|', '/')} | {written} |")
    return lines


def _modules(cases: Iterable[Case]) -> list[str]:
    modules: dict[str, Counter[str]] = defaultdict(Counter)
    for case in cases:
        modules[case.module][case.outcome] += 1
    lines = ["| module | passed | failed | skipped |", "| --- | ---: | ---: | ---: |"]
    for module, counts in sorted(modules.items()):
        lines.append(f"| `{module}` | {counts['passed']} | {counts['failed']} | {counts['skipped']} |")
    return lines
