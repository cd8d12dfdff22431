"""Cuts what the contract tests need out of the API's oracle: `extract.py FOLDER` writes *.json beside itself."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

STADIUM = ("firewall_v2", "vpn", "taas", "bgp", "bgpvpn", "fwaas", "l2gw", "sfc")
"""Modules of the reference's library that hold errors of sibling projects."""


def errors(oracle: dict[str, Any]) -> list[dict[str, Any]]:
    """Type and status of what a client of the core API can get; one row per (type, status)."""
    rows = {}
    for error in oracle["errors"]:
        project, *_, module = error["module"].split(".")
        if project not in ("neutron", "neutron_lib") or module in STADIUM:
            continue
        operations = [*error["operations_curated"], *error["operations_observed"]]
        if error["client_visible"] or operations:
            rows[error["type"], error["status"]] = {
                "type": error["type"],
                "status": error["status"],
                "operations": sorted(set(operations)),
            }
    for error in oracle["non_neutron_exception_types"]:
        rows[error["type"], error["status"]] = {"type": error["type"], "status": error["status"], "operations": []}
    return [rows[key] for key in sorted(rows)]


def write(name: str, rows: Any) -> None:
    """One row per line, so that a change of the facts is readable."""
    if isinstance(rows, dict):
        body = ",\n".join(f"{json.dumps(key)}: {_lines(value)}" for key, value in rows.items())
        text = "{\n" + body + "\n}\n"
    else:
        text = _lines(rows) + "\n"
    (HERE / name).write_text(text)


def _lines(rows: list[Any]) -> str:
    return "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]"


def main(folder: Path) -> None:
    write("errors.json", errors(json.loads((folder / "errors.json").read_text())))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
