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


ATTRIBUTE_FACTS = {
    "name": "name",
    "rule": "rule",
    "post": "allow_post",
    "put": "allow_put",
    "required": "required_on_post",
    "visible": "is_visible",
    "filter": "is_filter",
    "sort": "is_sort_key",
    "policy": "enforce_policy",
    "extension": "extension",
}
"""Our word -> the oracle's."""


def attributes(oracle: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Path of a resource -> its attributes; `default` is there only where the attribute has one."""
    return {
        resource["path"]: [_attribute(row) for row in resource["attributes"] if not row.get("definition_only")]
        for resource in oracle["resources"]
        if resource["project"] == "neutron" and not resource["phantom_route"]
    }


def _attribute(row: dict[str, Any]) -> dict[str, Any]:
    fact = {ours: row[theirs] for ours, theirs in ATTRIBUTE_FACTS.items()}
    if row["has_default"]:
        fact["default"] = row["default"]
    return fact


def extensions(oracle: dict[str, Any]) -> list[dict[str, Any]]:
    """What /v2.0/extensions says of each extension of the core project; `loaded`: the reference run had it."""
    keys = ("alias", "name", "description", "updated")
    return [
        {key: row[key] for key in keys} | {"loaded": row["loaded_in_reference_run"]}
        for row in oracle["extensions"]
        if row["project"] == "neutron"
    ]


PROMISES = ("bulk_create", "pagination", "sorting", "tags", "quota", "filter_validation", "revision", "timestamps")


def operations(oracle: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Path of a resource -> the keys of its bodies, what it can, and its operations and actions with their status."""
    return {
        resource["path"]: {
            "member": resource["body_key"],
            "items": resource["collection_body_key"],
            "extension": resource["extension"],
            **{word: resource[word] for word in PROMISES},
            "operations": _statuses(resource["operations"], "op"),
            "actions": _statuses([*resource["member_actions"], *resource["collection_actions"]], "name"),
        }
        for resource in oracle["resources"]
        if resource["project"] == "neutron" and not resource["phantom_route"]
    }


def _statuses(rows: list[dict[str, Any]], key: str) -> dict[str, list[Any]]:
    """name -> [method, path, status, rule]; what the reference only announces (`missing`) is left out."""
    there = [row for row in rows if row.get("state", "implemented") == "implemented"]
    return {row[key]: [row["method"], row["path"], row["status"], row.get("policy")] for row in there}


def policies(oracle: dict[str, Any]) -> list[dict[str, Any]]:
    """The default rules of the core project: what they say, for which scopes, of which requests."""
    return [
        {
            "name": rule["name"],
            "check": rule["check"],
            "scope_types": rule["scope_types"] or [],
            "operations": [
                f"{method} {operation['path'].rstrip('/')}"
                for operation in rule["operations"]
                for method in operation["method"]
            ],
        }
        for rule in oracle["rules"]
        if rule["project"] == "neutron"
    ]


def write(name: str, rows: Any) -> None:
    """One row per line, so that a change of the facts is readable."""
    if isinstance(rows, dict) and all(isinstance(value, dict) for value in rows.values()):
        text = "{\n" + ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in rows.items()) + "\n}\n"
    elif isinstance(rows, dict):
        body = ",\n".join(f"{json.dumps(key)}: {_lines(value)}" for key, value in rows.items())
        text = "{\n" + body + "\n}\n"
    else:
        text = _lines(rows) + "\n"
    (HERE / name).write_text(text)


def _lines(rows: list[Any]) -> str:
    return "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]"


def main(folder: Path) -> None:
    api = json.loads((folder / "api.json").read_text())
    write("errors.json", errors(json.loads((folder / "errors.json").read_text())))
    write("attributes.json", attributes(api))
    write("extensions.json", extensions(api))
    write("operations.json", operations(api))
    write("policies.json", policies(json.loads((folder / "policies.json").read_text())))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
