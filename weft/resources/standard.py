"""What most resources share: the owner's two names, the standard attributes, availability zones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from weft import errors
from weft.registry import types
from weft.registry.attributes import REQUIRED, Attribute, read_only
from weft.registry.resource import Row
from weft.store.transaction import Transaction


def project(*, extension: str = "core", sort: bool = True) -> tuple[Attribute, ...]:
    """project_id, and tenant_id, its older name."""
    return (
        Attribute(
            "project_id",
            types.project_id,
            default=REQUIRED,
            put=False,
            sort=sort,
            required_by_policy=True,
            extension=extension,
        ),
        read_only("tenant_id", types.project_id, sort=sort, required_by_policy=True, extension=extension),
    )


def stamps(*, tags_in_post: bool = False) -> tuple[Attribute, ...]:
    """description, tags, revision_number, created_at, updated_at."""
    tags = (
        Attribute("tags", types.tags, default=[], put=False, extension="standard-attr-tag")
        if tags_in_post
        else read_only("tags", types.tags, extension="standard-attr-tag")
    )
    return (
        *described(),
        tags,
        *versions(),
    )


def described() -> tuple[Attribute, ...]:
    """description."""
    return (Attribute("description", types.description, default="", extension="standard-attr-description"),)


def versions() -> tuple[Attribute, ...]:
    """revision_number, created_at, updated_at."""
    return (
        read_only("revision_number", types.integer, extension="standard-attr-revisions"),
        read_only("created_at", types.anything, filter=False, extension="standard-attr-timestamp"),
        read_only("updated_at", types.anything, filter=False, extension="standard-attr-timestamp"),
    )


def zones(tx: Transaction, kind: str) -> list[str]:
    """Names of the availability zones whose agents serve networks (`kind` network) or routers."""
    return sorted(tx.environment.zones(tx, kind))


def check_zone_hints(tx: Transaction, kind: str, hints: Sequence[Any]) -> None:
    """Raise AvailabilityZoneNotFound for a hint that names no zone."""
    if hints:
        known = tx.environment.zones(tx, kind)
        for hint in hints:
            if hint not in known:
                raise errors.AvailabilityZoneNotFound(name=hint)


def display(row: Row) -> str:
    """The name for messages; the id where it has none."""
    return str(row["name"] or row["id"])
