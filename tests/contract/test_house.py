"""The budgets of the house: sizes of files and functions, one base class, names that say something."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "weft").rglob("*.py"))

FILE_LINES = 450
FUNCTION_LINES = 60

TABLES = {
    "weft/errors.py": "a table: one class per fault of the API",
    "weft/store/migrations/versions/expand_first.py": "every table, made by scripts/schema",
}
"""Files that may be longer, and why."""

LONG_FUNCTIONS: dict[str, str] = {
    "weft/store/migrations/versions/expand_first.py:upgrade": "every table, made by scripts/schema",
}
"""Functions that may be longer, as file:name, and why."""

SAYS_NOTHING = {"base", "common", "helper", "helpers", "manager", "misc", "mixin", "util", "utils"}
"""Words that do not belong in the name of a module or class: they say that something is there, not what."""

OF_THE_FIELD = {"conntrack_helper"}
"""Names that hold such a word because the API calls the thing so."""

NO_BASES = {"Protocol", "Generic", "ABC", "NamedTuple", "TypedDict"}
"""What stands where a base class stands and passes nothing on."""


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in FILES:
        yield name(path), ast.parse(path.read_text())


def base_name(node: ast.expr) -> str:
    """`Protocol` of typing.Protocol, `Generic` of Generic[T]."""
    if isinstance(node, ast.Subscript):
        return base_name(node.value)
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def words(identifier: str) -> list[str]:
    """The words of snake_case or CamelCase, in lower case."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])|_+$", identifier)]


def test_files_are_short() -> None:
    lengths = {name(path): len(path.read_text().splitlines()) for path in FILES}
    long = {file: lines for file, lines in lengths.items() if lines > FILE_LINES and file not in TABLES}
    assert not long, f"longer than {FILE_LINES} lines; split it, or name it in TABLES with the reason"


def test_functions_are_short() -> None:
    long = {
        f"{file}:{node.name}": lines
        for file, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (lines := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES
    }
    assert long.keys() <= LONG_FUNCTIONS.keys(), f"longer than {FUNCTION_LINES} lines: {long}"


def test_exceptions_to_the_budgets_are_needed() -> None:
    for file in TABLES:
        assert len((ROOT / file).read_text().splitlines()) > FILE_LINES, f"{file} no longer needs to stand in TABLES"


def test_no_class_has_two_bases() -> None:
    several = {
        f"{file}:{node.name}": bases
        for file, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        if len(bases := [b for b in map(base_name, node.bases) if b not in NO_BASES]) > 1
    }
    assert not several


def test_names_of_modules_say_what_they_hold() -> None:
    stems = [(name(path), path.parent.name if path.stem == "__init__" else path.stem) for path in FILES]
    assert not [file for file, stem in stems if stem not in OF_THE_FIELD and set(words(stem)) & SAYS_NOTHING]


def test_names_of_classes_say_what_a_thing_is() -> None:
    classes = [(file, node.name) for file, tree in trees() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    vague = SAYS_NOTHING - {"helper"}  # a conntrack helper is a thing of the field
    assert not [f"{file}:{identifier}" for file, identifier in classes if words(identifier)[-1] in vague]


@pytest.mark.parametrize(
    ("identifier", "expected"),
    [("port_manager", ["port", "manager"]), ("PortMixin", ["port", "mixin"]), ("_IPHelper", ["ip", "helper"])],
)
def test_words_of_a_name(identifier: str, expected: list[str]) -> None:
    assert words(identifier) == expected


def test_every_package_is_importable() -> None:
    """A folder with code and without __init__.py would be missing from an installation's type checks."""
    folders = {path.parent for path in FILES}
    assert not [name(folder) for folder in folders if not (folder / "__init__.py").exists()]
