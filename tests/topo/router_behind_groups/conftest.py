"""A host with the whole Linux backend: switching, security groups and routers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.topo.lab import Lab
from weft.backends.linux.backend import LinuxBackend
from weft.backends.linux.routers import Routers


class Whole(Lab):
    """A Lab whose backend has routers."""

    def __init__(self, prefix: str) -> None:
        super().__init__(prefix)
        self.restart()

    def restart(self) -> LinuxBackend:
        self.backend = LinuxBackend(self.config, Routers(self.host))
        return self.backend


@pytest.fixture
def lab(prefix: str) -> Iterator[Whole]:
    made = Whole(prefix)
    try:
        yield made
    finally:
        for router in list(made.view.routers.values()):
            del made.view.routers[router.id]
            made.backend.set(made.view, [router.key])
        made.close()
