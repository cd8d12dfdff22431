"""`make lint` as tests: style, format, types, and who may import whom."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    ["ruff check --quiet", "ruff format --check --quiet", "mypy --no-error-summary", "lint-imports"],
    ids=["style", "format", "types", "imports"],
)
def test_lint(command: str) -> None:
    program, *arguments = command.split()
    if not (BIN / program).exists():
        pytest.skip(f"needs {program}: pip install -e .[dev]")
    run = subprocess.run([BIN / program, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
