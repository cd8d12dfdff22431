"""Slows the guessing of passwords, one user name at a time and without holding a thread."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

#: wrong passwords in a row that cost nothing
FREE = 5
#: seconds of the first pause; it doubles with every further failure
FIRST, LONGEST = 1.0, 30.0
#: names remembered at most; the oldest is forgotten
NAMES = 10_000


class Throttle:
    """Counts failed logins per name; after FREE of them a name has to pause."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._mutex = threading.Lock()
        #: name -> (failures in a row, when the next try is allowed)
        self._names: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def pause(self, name: str) -> float:
        """Seconds until this name may try again; 0: now."""
        with self._mutex:
            _, at = self._names.get(name, (0, 0.0))
        return max(0.0, at - self._clock())

    def failed(self, name: str) -> None:
        with self._mutex:
            failures, _ = self._names.pop(name, (0, 0.0))
            failures += 1
            beyond = failures - FREE
            pause = min(LONGEST, FIRST * 2.0 ** min(beyond, 10)) if beyond >= 0 else 0.0
            self._names[name] = (failures, self._clock() + pause)
            while len(self._names) > NAMES:
                self._names.popitem(last=False)

    def succeeded(self, name: str) -> None:
        with self._mutex:
            self._names.pop(name, None)
