"""What every tier shares: the order of the tiers, and who is skipped for want of root or of a program."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

TIERS = ("unit", "states", "contract", "api", "backends", "topo", "conformance")
"""Cheapest first: a broken renderer shows in a second, not after the packets."""

HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--conformance",
        choices=("smoke", "full", "page"),
        default="smoke",
        help="of the public tempest suites: what they mark as smoke, all, or all and write docs/conformance.md",
    )


def tier(path: Path) -> int:
    """Where a test stands in TIERS; what stands in no tier comes first."""
    parts = path.relative_to(HERE).parts
    return TIERS.index(parts[0]) if parts[0] in TIERS else -1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: tier(item.path))
    for item in items:
        reason = why_not(item)
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_make_parametrize_id(val: object) -> str | None:
    """A long text as a parameter would be the test's name, and the summary unreadable."""
    return f"{val[:40]}...{len(val)}" if isinstance(val, str) and len(val) > 60 else None


def why_not(item: pytest.Item) -> str:
    """Why this machine cannot run the test; empty when it can."""
    if item.get_closest_marker("needs_root") and os.geteuid() != 0:
        return "needs root"
    wanted = [name for marker in item.iter_markers("needs_programs") for name in marker.args]
    missing = [name for name in wanted if shutil.which(name) is None]
    if missing:
        return f"needs {', '.join(missing)}: scripts/system-packages test"
    if item.get_closest_marker("needs_openstackclient") and openstack_client() is None:
        return "needs python-openstackclient in this virtual environment"
    return ""


def openstack_client() -> str | None:
    """The `openstack` program beside the interpreter that runs the tests."""
    return shutil.which("openstack", path=str(Path(sys.executable).parent))


@pytest.fixture(scope="session")
def prefix() -> str:
    """Starts the names of namespaces and links of this test process, so that others on the machine keep theirs.

    At most 7 characters: a Linux interface name holds 15.
    """
    return f"w{os.getpid() % 0xFFFFFF:x}"
