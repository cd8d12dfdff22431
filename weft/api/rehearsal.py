"""What any write may be asked besides: to be tried only (dry_run=true), and to be done once (Idempotency-Key)."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import parse_qs

import falcon

from weft import errors
from weft.context import Context
from weft.store.repetitions import Key

LONGEST_KEY = 255
REPLAYED = "Idempotent-Replayed"


class Rehearsed(Exception):
    """Ends a transaction that was only tried: everything rolls back, and `result` is what it would have come to."""

    def __init__(self, result: Any) -> None:
        super().__init__("a dry run")
        self.result = result


def is_dry(query: str) -> bool:
    """Whether a query string asks for a dry run. Raises HTTPBadRequest for a value that is neither true nor false."""
    value = (parse_qs(query, keep_blank_values=True).get("dry_run") or ["false"])[-1].lower()
    if value not in ("true", "false", "1", "0"):
        raise errors.HTTPBadRequest(f"dry_run is '{value}', neither true nor false")
    return value in ("true", "1")


def key_of(request: falcon.Request, context: Context) -> Key:
    """The Idempotency-Key of a request whose body has been read. Raises HTTPBadRequest for one that cannot be kept."""
    key = request.get_header("Idempotency-Key", default="")
    if not 0 < len(key) <= LONGEST_KEY or not key.isascii() or not key.isprintable():
        raise errors.HTTPBadRequest(f"Idempotency-Key has to be 1 to {LONGEST_KEY} printable ASCII characters")
    asked = "\n".join((request.method, request.path, request.query_string)).encode() + b"\n"
    digest = hashlib.sha256(asked + getattr(request.context, "body", b"")).hexdigest()
    return Key(context.project_id, context.user_id, key, digest)
