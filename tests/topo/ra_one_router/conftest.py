"""A fresh laboratory for each test."""

from __future__ import annotations

import pytest

from tests.topo.services_lab import Lab


@pytest.fixture
def lab(services_lab: Lab) -> Lab:
    return services_lab
