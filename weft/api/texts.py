"""Rows as the JSON text of an answer, a long list in pieces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from weft.registry.resource import Row

encode = msgspec.json.Encoder().encode


def picked(found: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """The attributes `names` of every row, as far as it has them; tenant_id is what project_id was called."""
    stored = [name for name in names if name != "tenant_id" or "project_id" not in found[0]]
    if len(stored) < len(names):
        return [
            {**{name: row[name] for name in stored if name in row}, "tenant_id": row["project_id"]} for row in found
        ]
    return [{name: row[name] for name in stored if name in row} for row in found]


def whole(items: str, texts: Iterable[bytes], more: dict[str, Any]) -> bytes:
    """{items: all elements of the arrays `texts`, **more} as JSON text."""
    rest = b"," + encode(more)[1:] if more else b"}"
    return b'{"%s":[%s]%s' % (items.encode(), b",".join(text[1:-1] for text in texts), rest)
