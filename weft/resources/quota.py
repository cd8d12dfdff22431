"""Quotas: how much of what a project may have, and how much it has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from weft import errors
from weft.registry import types as t
from weft.registry.attributes import Attribute
from weft.registry.resource import Resource
from weft.resources import router_routes
from weft.store import quota
from weft.store.transaction import Transaction

ALIASES = ("quota-check-limit", "quota-check-limit-default", "quota_details", "quotas")

Limits = dict[str, int]
"""Name of what is limited -> most that there may be; -1: no limit."""


def names(resources: Iterable[Resource]) -> tuple[str, ...]:
    """What has a limit: resources that are counted, and the routes of each single router."""
    found = list(dict.fromkeys(one.quota for one in resources if one.quota))
    if "router" in found:
        found.append(router_routes.LIMIT)
    return tuple(found)


def attributes(names: Iterable[str]) -> tuple[Attribute, ...]:
    """What the body of a PUT may hold. `force` sets limits below what is used; `check_limit`, its old opposite, is ignored."""
    flags = (Attribute(flag, t.boolean, post=False, extension="quota-check-limit") for flag in ("force", "check_limit"))
    return (*(Attribute(name, t.quota_limit, post=False, extension="quotas") for name in names), *flags)


def defaults(tx: Transaction, names: Iterable[str]) -> Limits:
    """The configured limits."""
    return {name: tx.default_limit(name) for name in names}


def limits(tx: Transaction, names: Iterable[str], project_id: str) -> Limits:
    """The limits of a project: its own, or the configured ones."""
    return {name: one["limit"] for name, one in details(tx, names, project_id).items()}


def details(tx: Transaction, names: Iterable[str], project_id: str) -> dict[str, dict[str, int]]:
    """Limit and use. Requests count when they commit, so nothing is ever reserved."""
    known = quota.usage(tx.connection, project_id)
    found = {}
    for name, limit in defaults(tx, names).items():
        used, own = known.get(name, (0, None))
        found[name] = {"limit": limit if own is None else own, "used": used, "reserved": 0}
    return found


def of_projects(tx: Transaction, names: Iterable[str]) -> dict[str, Limits]:
    """The limits of all projects that have limits of their own."""
    usual = defaults(tx, names)
    return {
        project: {name: own.get(name, limit) for name, limit in usual.items()}
        for project, own in quota.limits(tx.connection).items()
        if own.keys() & usual.keys()
    }


def change(tx: Transaction, project_id: str, wanted: Mapping[str, int], force: bool) -> None:
    """Give a project limits of its own. Raises HTTPBadRequest for one below what is used, unless `force`."""
    known = quota.usage(tx.connection, project_id)
    for name, limit in wanted.items():
        used = known.get(name, (0, None))[0]
        if not force and 0 <= limit < used:
            raise errors.HTTPBadRequest(
                f"Quota limit {limit} for {name} must be greater than or equal to already used {used}"
            )
        quota.set_limit(tx.connection, project_id, name, limit)


def reset(tx: Transaction, project_id: str) -> None:
    """Back to the configured limits. Raises TenantQuotaNotFound."""
    if not quota.reset(tx.connection, project_id):
        raise errors.TenantQuotaNotFound(id=project_id)
