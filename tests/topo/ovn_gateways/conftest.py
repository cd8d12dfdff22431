"""A cloud of its own for each test: hosts are killed, come and go in these."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.ovn_lab import Ovn
from tests.topo.ovn_lab import OvnRouterLab

Make = Callable[..., OvnRouterLab]


@pytest.fixture
def make(prefix: str) -> Iterator[Make]:
    """A laboratory on so many hosts, with these options of [ovn]."""
    with ExitStack() as stack:

        def made(hosts: int = 3, **options: Any) -> OvnRouterLab:
            cloud = Ovn(prefix, hosts)
            stack.callback(cloud.close)
            lab = OvnRouterLab(prefix, cloud=cloud, options=options)
            stack.callback(lab.close)
            return lab

        yield made
