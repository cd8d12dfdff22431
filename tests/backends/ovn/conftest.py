"""An OVN of two hosts for the tests of this folder, emptied before each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ovn_lab import Ovn


@pytest.fixture(scope="package")
def cloud(prefix: str) -> Iterator[Ovn]:
    made = Ovn(prefix, hosts=2)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def ovn(cloud: Ovn) -> Ovn:
    """Hosts h1 and h2, and nothing logical."""
    assert cloud.broken() == []
    cloud.clear()
    return cloud
