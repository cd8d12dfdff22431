"""The documentation says what the code says, and builds without a broken link."""

from __future__ import annotations

import dataclasses
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from weft import config, hooks

ROOT = Path(__file__).parents[2]


def test_every_option_is_documented() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    options = [f.name for _, _, section in config.sections() for f in dataclasses.fields(section)]
    assert [option for option in options if f"| `{option}` |" not in text] == []


def test_every_hook_is_documented() -> None:
    text = (ROOT / "docs" / "hooks.md").read_text()
    named = [name for name in vars(hooks.Hooks) if not name.startswith("_")]
    assert named
    assert [name for name in named if f"\n## {name}\n" not in text] == []


def test_generated_pages_are_up_to_date() -> None:
    run = subprocess.run(
        [sys.executable, "scripts/reference", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


def test_documentation_builds(tmp_path: Path) -> None:
    if not (importlib.util.find_spec("sphinx") and importlib.util.find_spec("myst_parser")):
        pytest.skip("needs sphinx and myst-parser: pip install -e .[docs]")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "dummy", "-d", tmp_path, "docs"]
    run = subprocess.run([*command, tmp_path / "out"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
