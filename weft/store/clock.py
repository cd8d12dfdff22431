"""The database's own clock, the one on which all machines agree."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Float
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class seconds(FunctionElement[float]):
    """Now, in seconds since 1970; also inside a transaction it goes on."""

    type = Float()
    inherit_cache = True


@compiles(seconds)
def _sqlite(element: seconds, compiler: Any, **kw: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(seconds, "postgresql")
def _postgresql(element: seconds, compiler: Any, **kw: Any) -> str:
    return "extract(epoch from clock_timestamp())::float"
