"""The revisions of the database are up to date with the declarations of its tables."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from weft.store import versions
from weft.store.migrations import HEADS

ROOT = Path(__file__).resolve().parents[2]


def test_the_first_revision_is_what_the_declarations_say() -> None:
    run = subprocess.run(
        [sys.executable, "scripts/schema", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


def test_each_branch_has_one_head_and_the_code_names_it() -> None:
    from alembic.script import ScriptDirectory

    script = ScriptDirectory.from_config(versions.configuration())
    assert set(script.get_heads()) == {HEADS.expand, HEADS.contract}
    assert script.get_revision(f"{versions.EXPAND}@head").revision == HEADS.expand
    assert script.get_revision(f"{versions.CONTRACT}@head").revision == HEADS.contract
