"""If-Match: the revision of an object that the caller insists on (RFC 9110)."""

from __future__ import annotations

import falcon

from weft import errors
from weft.registry.resource import Row

_ETAG = "revision_number="


def revision(request: falcon.Request) -> int | None:
    """The revision that the caller insists on. Other entity tags are ignored, as RFC 9110 asks of what never matches here."""
    header = request.get_header("If-Match")
    if not header:
        return None
    wanted = [tag.strip().strip('"') for tag in header.split(",") if tag.strip().strip('"').startswith(_ETAG)]
    if not wanted:
        return None
    if len(wanted) > 1 or not wanted[0][len(_ETAG) :].removeprefix("-").isdecimal():
        raise errors.BadRequest(
            resource="if-match", reason="Revision number etag must be in the format of revision_number=<int>"
        )
    return int(wanted[0][len(_ETAG) :])


def check(row: Row, expected: int | None) -> None:
    """Raise RevisionNumberConstraintFailed unless the object is at that revision."""
    if expected is None:
        return
    current = row.get("revision_number")
    if current != expected:
        raise errors.RevisionNumberConstraintFailed(expected=expected, current=current)
