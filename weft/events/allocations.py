"""Placement allocates more or less to servers whose ports ask for other minimums (API: allocations). Asked by the API itself."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from keystoneauth1 import exceptions

from weft import config, errors
from weft.events import nova
from weft.events.providers import VERSION, checked, done
from weft.store.transaction import Differences

LOG = logging.getLogger(__name__)

LONGEST = 10
"""Seconds that a client waits for one answer of Placement, if its section does not say less."""
PATIENCE = 30.0
"""Seconds after which nothing more is begun."""
TRIES = 5
"""How often others may be quicker."""
COLLISION = "placement.concurrent_update"
"""Code of an error: somebody else has changed a consumer or a provider since it was read."""
NAMED = 5
"""Servers that a refusal names at most."""

FULL = "it would exceed the capacity available"
LACKING = "less of that is allocated there than there should be"
CHANGING = "others change it all the time"
SILENT = "Placement did not do it"

Parts = Mapping[tuple[str, str], tuple[int, int]]
"""(provider, resource class) -> how much a server should have of it now, and how much it shall have; others come on top."""


class _Lacking(Exception):
    """The server's allocations are not where its ports say, e.g. since it is about to move to another host."""


class Allocations:
    """What consumers have of providers."""

    def __init__(self, section: config.Placement) -> None:
        quick = replace(section, timeout=min(section.timeout, LONGEST))
        self._api = nova.client(quick, "placement", VERSION)

    def change(self, differences: Differences) -> None:
        """All of it or nothing. Raises QosPlacementAllocationUpdateConflict with the reason."""
        servers: dict[str, dict[tuple[str, str], tuple[int, int]]] = {}
        for (server, provider, name), amounts in sorted(differences.items()):
            servers.setdefault(server, {})[provider, name] = amounts
        if not servers:
            return
        try:
            reason = self._change(servers)
        except _Lacking:
            reason = LACKING
        except (exceptions.ClientException, AttributeError, LookupError, TypeError, ValueError) as error:
            # also what is no answer of Placement, but of something in between
            LOG.warning("placement: allocations of %s: %s", ", ".join(servers), error)
            reason = SILENT
        if reason:
            more = f" and {len(servers) - NAMED} others" if len(servers) > NAMED else ""
            raise errors.QosPlacementAllocationUpdateConflict(
                consumer=", ".join([*servers][:NAMED]) + more,
                difference=", ".join(sorted({f"{key[2]} {now - was:+d}" for key, (was, now) in differences.items()})),
                reason=reason,
            )

    def _change(self, servers: Mapping[str, Parts]) -> str:
        """Why it is refused; '' where it is done."""
        until = time.monotonic() + PATIENCE
        for _ in range(TRIES):
            wanted: dict[str, Any] = {}
            for server, parts in servers.items():
                if time.monotonic() > until:
                    return SILENT
                wanted[server] = changed(checked(self._api.get(f"/allocations/{server}", raise_exc=False)), parts)
            answer = self._api.post("/allocations", json=wanted, raise_exc=False)
            if answer.status_code != 409:
                done(answer)
                return ""
            if not any(one.get("code") == COLLISION for one in answer.json()["errors"]):
                LOG.info("placement: allocations of %s: %s", ", ".join(servers), answer.text)
                return FULL
        return CHANGING


def changed(found: Mapping[str, Any], parts: Parts) -> dict[str, Any]:
    """What a server is to be allocated, from what Placement says that it is. Raises where it lacks what should change. Pure."""
    if not found["allocations"]:
        raise _Lacking
    amounts = {provider: dict(one["resources"]) for provider, one in found["allocations"].items()}
    for (provider, name), (was, now) in parts.items():
        of_provider = amounts.setdefault(provider, {})
        before = of_provider.pop(name, 0)
        after = before - was + now
        if after < 0 or (was > 0 and not before):
            raise _Lacking
        if after:
            of_provider[name] = after
    kept = {provider: {"resources": one} for provider, one in amounts.items() if one}
    consumer = {name: found[name] for name in ("project_id", "user_id", "consumer_generation")}
    return {"allocations": kept, **consumer}
