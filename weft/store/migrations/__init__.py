"""The way of the database from one version of Weft to the next: Alembic's revisions, in two branches.

`expand` adds what the new version needs and takes nothing from the old one, so both run on the result. `contract`
removes what only the old version used. A database remembers the newest revision of each in `alembic_version`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Heads:
    """The newest revision of each branch."""

    expand: str
    contract: str

    @property
    def text(self) -> str:
        return f"{self.expand} {self.contract}"


# Kept by scripts/schema and scripts/revision, and here so that a start need not load Alembic to compare.
HEADS = Heads(expand="e89101a44", contract="c89101a44")
