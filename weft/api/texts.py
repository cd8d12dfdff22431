"""Rows as the JSON text of an answer, a long list in pieces."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from weft.registry.resource import Row

_encoder = msgspec.json.Encoder()
encode = _encoder.encode


def picked(found: Sequence[Row], shown: Sequence[str], hidden: Collection[str], fields: Collection[str]) -> list[Row]:
    """The attributes `shown` of every row, as far as it has them, without those `hidden`, and if `fields` are named these
    alone; tenant_id is what project_id was called."""
    names = [name for name in shown if name not in hidden and (not fields or name in fields)]
    stored = [name for name in names if name != "tenant_id" or "project_id" not in found[0]]
    if len(stored) < len(names):
        return [
            {**{name: row[name] for name in stored if name in row}, "tenant_id": row["project_id"]} for row in found
        ]
    return [{name: row[name] for name in stored if name in row} for row in found]


class ListText:
    """{items: [...]} as JSON text that grows by rows, so that neither they nor copies of it are in memory all at once."""

    def __init__(self, items: str) -> None:
        self._text = bytearray(b'{"%s":[]' % items.encode())
        self._empty = True

    def add(self, found: Sequence[Row]) -> None:
        """Append rows, at least one."""
        at = len(self._text) - (2 if self._empty else 1)
        _encoder.encode_into(found, self._text, at)  # its [ where our [ or our last ] was
        if not self._empty:
            self._text[at] = ord(",")
        self._empty = False

    def end(self, more: Mapping[str, Any]) -> bytes:
        """The whole text, with the members `more` beside the items."""
        self._text += b"," + encode(more)[1:] if more else b"}"
        return bytes(self._text)
