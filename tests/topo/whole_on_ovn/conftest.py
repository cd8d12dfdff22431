"""One machine, one command, with OVN: an installation with two workloads in one tenant network behind a router."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.topo.whole import Installation
from tests.topo.whole_one_machine.conftest import Pair, plugged_pair

OUTSIDE = "203.0.113.1"
"""The machine's own address in the external network."""


@pytest.fixture
def installation(tmp_path: Path, prefix: str) -> Iterator[Installation]:
    options = ("--backend", "ovn", "--external-cidr", f"{OUTSIDE}/24")
    one = Installation(tmp_path / "state", prefix, *options)
    (tmp_path / "state").mkdir(mode=0o700)
    try:
        one.start()
        yield one
    finally:
        one.close()


@pytest.fixture
def pair(installation: Installation) -> Pair:
    return plugged_pair(installation)
