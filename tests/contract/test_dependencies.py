"""The package asks for what its code imports, and for nothing else."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def plain(requirement: str) -> str:
    """`oslo-config` of "oslo.config>=9.6"."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name is not None
    return re.sub(r"[._-]+", "-", name[0]).lower()


def imported() -> dict[str, str]:
    """Top-level package from outside -> a file that imports it."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "weft").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            modules: list[str] = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            for top in {module.partition(".")[0] for module in modules} - sys.stdlib_module_names - {"weft"}:
                found.setdefault(top, str(path.relative_to(ROOT)))
    return found


def test_what_is_imported_is_asked_for() -> None:
    extras = PROJECT["optional-dependencies"]
    wanted = [*PROJECT["dependencies"], *extras["postgresql"], *extras["notifications"]]
    asked = {plain(requirement) for requirement in wanted}
    provides = packages_distributions()
    missing = {
        package: file
        for package, file in imported().items()
        if not asked & {plain(distribution) for distribution in provides.get(package, [package])}
    }
    assert not missing


def test_what_is_asked_for_is_imported() -> None:
    provides = packages_distributions()
    used = {plain(distribution) for package in imported() for distribution in provides.get(package, [package])}
    unused = {plain(requirement) for requirement in PROJECT["dependencies"]} - used
    assert not unused
