"""Changelog fragments have names that towncrier understands and the README explains."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
KINDS = [
    kind["directory"] for kind in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["towncrier"]["type"]
]


def test_fragments_are_named_by_topic_and_kind() -> None:
    pattern = re.compile(rf"(\d+|\+[a-z0-9-]+)\.({'|'.join(KINDS)})(\.\d+)?\.md")
    names = [path.name for path in (ROOT / "changelog.d").iterdir() if path.name != "README.md"]
    assert [name for name in names if not pattern.fullmatch(name)] == []


def test_readme_explains_every_kind() -> None:
    text = (ROOT / "changelog.d" / "README.md").read_text()
    assert [kind for kind in KINDS if f"| `{kind}` |" not in text] == []
