"""A laboratory with a stand-in for Nova."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.topo.nova import Nova
from tests.topo.services_lab import Lab
from weft.config import Nova as Options


@pytest.fixture
def nova() -> Iterator[Nova]:
    made = Nova()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def lab(prefix: str, nova: Nova) -> Iterator[Lab]:
    options = Options(metadata_host="127.0.0.1", metadata_port=nova.port, metadata_proxy_shared_secret="a secret")
    made = Lab(prefix, nova=options)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def alone(prefix: str) -> Iterator[Lab]:
    """Without any Nova."""
    made = Lab(prefix)
    try:
        yield made
    finally:
        made.close()
