"""A host of its own for every topology test: workloads in namespaces, the Linux backend between them, and probes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.topo.lab import Lab

pytestmark = pytest.mark.needs_root


@pytest.fixture
def lab(prefix: str, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """An empty host; everything in it is gone after the test, also after a failure."""
    one = Lab(prefix)
    try:
        yield one
    finally:
        one.close()
