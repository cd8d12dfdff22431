"""Where contraction begins: nothing is old yet.

Made by scripts/schema (make schema).
"""

from __future__ import annotations

revision = "c89101a44"
down_revision = None
branch_labels = ("contract",)
depends_on = None


def upgrade() -> None:
    """Nothing."""
