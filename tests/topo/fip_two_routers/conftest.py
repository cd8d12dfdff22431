"""A fresh laboratory for each test."""

from __future__ import annotations

import pytest

from tests.topo.router_lab import Lab


@pytest.fixture
def lab(router_lab: Lab) -> Lab:
    return router_lab
