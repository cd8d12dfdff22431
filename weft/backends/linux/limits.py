"""How much one workload may ask of its host: token buckets. What one asks too much must not be missing to the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable


class Buckets:
    """One bucket per key: `burst` requests at once, refilled by `rate` a second."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._levels: dict[Hashable, tuple[float, float]] = {}

    def take(self, key: Hashable) -> bool:
        """Whether `key` may have one more now."""
        now = self._clock()
        level, since = self._levels.get(key, (self._burst, now))
        level = min(self._burst, level + (now - since) * self._rate)
        if len(self._levels) > 20_000:
            self._forget(now)
        if level < 1:
            self._levels[key] = (level, now)
            return False
        self._levels[key] = (level - 1, now)
        return True

    def _forget(self, now: float) -> None:
        """Drop the full ones: they are as good as new."""
        empty = self._burst / self._rate
        self._levels = {key: (level, since) for key, (level, since) in self._levels.items() if now - since < empty}


class Places:
    """At most `each` at the same time for one key, and `total` for all."""

    def __init__(self, each: int, total: int) -> None:
        self._each, self._total = each, total
        self._taken: dict[Hashable, int] = {}
        self._sum = 0

    def enter(self, key: Hashable) -> bool:
        """Whether there was room; `leave` gives it back."""
        if self._sum >= self._total or self._taken.get(key, 0) >= self._each:
            return False
        self._taken[key] = self._taken.get(key, 0) + 1
        self._sum += 1
        return True

    def leave(self, key: Hashable) -> None:
        self._sum -= 1
        self._taken[key] -= 1
        if not self._taken[key]:
            del self._taken[key]
