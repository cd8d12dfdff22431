"""Waiting for what happens by itself, on a machine that does other things too."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 30.0
"""Seconds within which what is promised to happen by itself happens, as a rule in far less than one."""

T = TypeVar("T")


def wait_until(condition: Callable[[], T], seconds: float = PATIENCE, what: str = "") -> T:
    """The first true answer of `condition`; AssertionError when there is none in time."""
    end = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < end, f"it did not happen: {what or condition}"
        time.sleep(0.01)
    return answer
