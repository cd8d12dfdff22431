"""No statement is put together from text: what clients say is bound, always."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2] / "weft"
SQL = {"text", "literal_column", "exec_driver_sql", "TextClause", "DDL"}
"""Functions of SQLAlchemy that take SQL as it stands."""

DECLARED = {"store/schema.py"}
"""Where the text is that of a table's declaration."""


def imported_from_sqlalchemy(tree: ast.Module) -> set[str]:
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sqlalchemy")
        for alias in node.names
    }


def raw(path: Path) -> Iterator[str]:
    """Calls that hand SQL over which is no constant."""
    tree = ast.parse(path.read_text())
    known = imported_from_sqlalchemy(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        of_sqlalchemy = name in known if isinstance(node.func, ast.Name) else name not in ("text", "DDL")
        if name in SQL and of_sqlalchemy and not isinstance(node.args[0], ast.Constant):
            yield f"{path.relative_to(ROOT)}:{node.lineno}"


def test_sql_is_constant() -> None:
    files = sorted(path for path in ROOT.rglob("*.py") if str(path.relative_to(ROOT)) not in DECLARED)
    assert len(files) > 50
    assert [place for path in files for place in raw(path)] == []
