"""A fresh laboratory for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.topo.router_lab import Lab


@pytest.fixture
def lab(prefix: str) -> Iterator[Lab]:
    made = Lab(prefix)
    try:
        yield made
    finally:
        made.close()
