"""One machine, one command, with OVN: an installation with two workloads in one tenant network behind a router."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.topo.whole import Installation, installed
from tests.topo.whole_one_machine.conftest import Pair, plugged_pair

OUTSIDE = "203.0.113.1"
"""The machine's own address in the external network."""


@pytest.fixture
def installation(tmp_path: Path, prefix: str) -> Iterator[Installation]:
    with installed(tmp_path, prefix, "--backend", "ovn", "--external-cidr", f"{OUTSIDE}/24") as one:
        yield one


@pytest.fixture
def pair(installation: Installation) -> Pair:
    return plugged_pair(installation)
