"""A request that changes what Placement allocates to servers: Placement is asked between two tries of its transaction.

A try that comes to other differences than Placement has been told is rolled back (Untold), and Placement is told what is
missing. So what is committed is what was told, whatever others have committed meanwhile, and no lock is held while
Placement thinks. What remains: docs/design/events.md.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import MappingProxyType
from typing import TypeVar

from weft.context import Context
from weft.store import changes
from weft.store.engine import Store, unavailable
from weft.store.transaction import Differences, Environment

T = TypeVar("T")
LOG = logging.getLogger(__name__)

ROUNDS = 5
"""How often others may change the same while Placement is asked."""
NOTHING: Differences = MappingProxyType({})


class Untold(Exception):
    """Ends a try of a transaction that may be committed when Placement has been told `differences`."""

    def __init__(self, differences: Differences) -> None:
        super().__init__("Placement has not been told")
        self.differences = differences


def agreed(
    attempt: Callable[[Differences], T],
    wanted: Differences,
    environment: Environment,
    store: Store,
    context: Context,
) -> T:
    """The result of the first `attempt` that is committed, as what Placement was told, its argument, is what it comes to.

    What was told for nothing is taken back, as far as that can be done.
    """
    tell = environment.reallocate
    assert tell is not None, "differences without a Placement"
    told = NOTHING
    try:
        for _ in range(ROUNDS):
            tell(missing(told, wanted))
            told = wanted
            try:
                return attempt(told)
            except Untold as other:
                wanted = other.differences
        raise unavailable("What is asked for is changed by others all the time; try again.")
    except BaseException:
        if told:
            _take_back(told, tell, store, context)
        raise


def missing(told: Differences, wanted: Differences) -> dict[tuple[str, str, str], tuple[int, int]]:
    """What has to change so that who was told `told` has been told `wanted`. Pure.

    Where nothing is wanted any more that takes back the difference that was told, whatever there is besides.
    """
    found: dict[tuple[str, str, str], tuple[int, int]] = {}
    for key in {**told, **wanted}:
        was, now = told.get(key, (0, 0))
        before, after = wanted.get(key, (0, 0))
        here = before + now - was
        if here != after:
            found[key] = here, after
    return found


def _take_back(told: Differences, tell: Callable[[Differences], None], store: Store, context: Context) -> None:
    """Unless it is done: who did not hear how a COMMIT ended looks into the change log."""
    try:
        if not store.read(lambda connection: changes.has(connection, context.request_id)):
            tell(missing(told, NOTHING))
    except Exception:
        LOG.exception("placement: has been told of changes that did not happen, and not of that: %s", dict(told))
