"""A host of its own for every topology test: workloads in namespaces, a dataplane between them, and probes.

A scenario runs on Linux; one that is marked dataplanes("linux", "ovn") runs on OVN too, the same lines with the same
expectations. Where OVN does something differently, the test says so with a mark of its own and the reason.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from tests.ovn_db import Refused
from tests.ovn_lab import PROGRAMS, Ovn
from tests.topo.lab import Lab
from tests.topo.router_lab import Lab as RouterLab
from tests.topo.services_lab import Lab as ServicesLab

pytestmark = pytest.mark.needs_root

HOSTS = 3
"""Of the cloud that scenarios share: neighbours are usually on different ones."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Once for each dataplane that the module names; skipped, with the reason, where the test itself leaves one out."""
    if "dataplane" not in metafunc.fixturenames:
        return
    marks = list(metafunc.definition.iter_markers("dataplanes"))  # the nearest first
    wanted = marks[0].args if marks else ("linux",)
    of_module = marks[-1].args if marks else wanted
    skipped = marks[0].kwargs.get("because", "") if marks else ""
    parameters: list[Any] = []
    for name in of_module:
        needs = [pytest.mark.needs_programs(*PROGRAMS)] if name == "ovn" else []
        left_out = [] if name in wanted else [pytest.mark.skip(reason=f"not on {name}: {skipped}")]
        parameters.append(pytest.param(name, marks=[*needs, *left_out]))
    metafunc.parametrize("dataplane", parameters, indirect=True)


@pytest.fixture
def dataplane(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Clouds:
    """One OVN for all scenarios of a run, emptied for each; a new one after something in it broke."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._cloud: Ovn | None = None

    def empty(self) -> Ovn:
        if self._cloud is not None and not self._sound(self._cloud):
            self.close()
        self._cloud = self._cloud or Ovn(self._prefix, HOSTS)
        return self._cloud

    def _sound(self, cloud: Ovn) -> bool:
        try:
            cloud.clear()
        except (AssertionError, OSError, Refused) as error:
            warnings.warn(f"the laboratory of OVN is made anew: {error}; {cloud.broken()}", stacklevel=2)
            return False
        if broken := cloud.broken():
            warnings.warn(f"the laboratory of OVN is made anew: {broken}", stacklevel=2)
        return not broken and len(cloud.chassis) == HOSTS

    def close(self) -> None:
        if self._cloud is not None:
            self._cloud.close()
            self._cloud = None


@pytest.fixture(scope="session")
def clouds(prefix: str) -> Iterator[Clouds]:
    made = Clouds(prefix)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def lab(prefix: str, request: pytest.FixtureRequest, dataplane: str) -> Iterator[Lab]:
    """An empty host, or cloud; everything in it is gone after the test, also after a failure."""
    if dataplane == "ovn":
        from tests.topo.ovn_lab import OvnLab

        one: Lab = OvnLab(prefix, request.getfixturevalue("clouds").empty())
    else:
        one = Lab(prefix)
    try:
        yield one
    finally:
        one.close()


@pytest.fixture
def router_lab(prefix: str, request: pytest.FixtureRequest, dataplane: str) -> Iterator[RouterLab]:
    """The same of the scenarios that are about routers."""
    if dataplane == "ovn":
        from tests.topo.ovn_lab import OvnRouterLab

        made: RouterLab = OvnRouterLab(prefix, cloud=request.getfixturevalue("clouds").empty())
    else:
        made = RouterLab(prefix)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def services_lab(prefix: str, request: pytest.FixtureRequest, dataplane: str) -> Iterator[ServicesLab]:
    """The same of the scenarios that are about DHCP."""
    if dataplane == "ovn":
        from tests.topo.ovn_lab import OvnServicesLab

        made: ServicesLab = OvnServicesLab(prefix, cloud=request.getfixturevalue("clouds").empty())
    else:
        made = ServicesLab(prefix)
    try:
        yield made
    finally:
        made.close()
