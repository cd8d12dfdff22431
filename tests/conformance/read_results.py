"""What a run of the suites came to: subunit on standard input, one JSON list per case on standard output.

Runs in the suites' environment, which has python-subunit.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import subunit
import testtools

OUTCOMES = {"success": "passed", "skip": "skipped", "xfail": "passed"}
FAULT = re.compile(r"^[\w.]*(Error|Exception|Conflict|NotFound|BadRequest|Forbidden|Fault|Failure|Unauthorized)\b")


def reason(case: dict[str, Any]) -> str:
    """Why a case was skipped, or the line of the traceback that says most, and two more."""
    details = case["details"]
    if case["status"] == "skip":
        text = details["reason"].as_text() if "reason" in details else ""
        return text.strip().partition("\n")[0]
    text = "".join(detail.as_text() for name, detail in details.items() if "traceback" in name)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = max((number for number, line in enumerate(lines) if FAULT.match(line)), default=len(lines) - 1)
    return " | ".join(lines[last : last + 3])[:600] or "no traceback"


def main() -> None:
    cases: dict[str, tuple[str, float, str]] = {}

    def note(case: dict[str, Any]) -> None:
        if case["status"] == "exists" or case["id"] == "process-returncode":
            return
        begin, end = case["timestamps"]
        seconds = (end - begin).total_seconds() if begin and end else 0.0
        outcome = OUTCOMES.get(case["status"], "failed")
        cases[case["id"]] = (outcome, seconds, "" if outcome == "passed" else reason(case))

    result = testtools.StreamToDict(note)
    result.startTestRun()
    subunit.ByteStreamToStreamResult(sys.stdin.buffer, non_subunit_name="stdout").run(result)
    result.stopTestRun()
    for id, values in sorted(cases.items()):
        print(json.dumps([id, *values]))


if __name__ == "__main__":
    main()
