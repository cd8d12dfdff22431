"""An installation on each dataplane."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.topo.whole import Installation, installed


@pytest.fixture
def installation(dataplane: str, tmp_path: Path, prefix: str) -> Iterator[Installation]:
    with installed(tmp_path, prefix, "--backend", dataplane, "--external-cidr", "203.0.113.1/24") as one:
        yield one
