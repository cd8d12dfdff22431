"""A plain client of an OVSDB server (RFC 7047) for tests: what it says is what the server has now, no replica between."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class Refused(Exception):
    """The server did not do what a transaction asked for; its words."""


class Database:
    """One database of servers that listen on unix sockets: a cluster's, or one. Every call is a connection to the first
    that answers: a restart hurts nobody."""

    def __init__(self, name: str, *paths: Path) -> None:
        self._paths, self._name = paths, name

    def transact(self, *operations: Mapping[str, Any]) -> list[Row]:
        """The results of the operations, all done or none. Refused, or OSError where nobody listens."""
        for path in self._paths[:-1]:
            try:
                return self._transact(path, operations)
            except (OSError, TimeoutError):
                continue
        return self._transact(self._paths[-1], operations)

    def _transact(self, path: Path, operations: Sequence[Mapping[str, Any]]) -> list[Row]:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(10)
            sock.connect(str(path))
            request = {"method": "transact", "params": [self._name, *operations], "id": 1}
            sock.sendall(json.dumps(request).encode())
            answer = self._answer(sock)
        results: list[Row] = answer["result"] or []
        faults = [one for one in results if one and one.get("error")]
        if answer["error"] or faults:
            raise Refused(f"{answer['error']} {faults}")
        return results

    def _answer(self, sock: socket.socket) -> Row:
        """The reply; what the server says besides (that it would like to be asked elsewhere) is passed over."""
        data, decoder = "", json.JSONDecoder()
        while chunk := sock.recv(1 << 20):
            data += chunk.decode()
            while data:
                try:
                    message, end = decoder.raw_decode(data)
                except json.JSONDecodeError:
                    break
                data = data[end:].lstrip()
                if "result" in message:
                    return dict(message)
        raise ConnectionError("the server hung up")

    def rows(self, table: str, *columns: str, **where: Any) -> list[Row]:
        """Rows whose columns equal `where`, sets as lists, maps as dicts, UUIDs as text."""
        conditions = [[column, "==", value] for column, value in where.items()]
        operation: Row = {"op": "select", "table": table, "where": conditions}
        if columns:
            operation["columns"] = list(columns)
        (result,) = self.transact(operation)
        return [{name: plain(value) for name, value in row.items()} for row in result["rows"]]

    def add(self, table: str, **row: Any) -> str:
        """Insert a row of a root table; returns its UUID."""
        (result,) = self.transact({"op": "insert", "table": table, "row": row})
        return str(plain(result["uuid"]))

    def update(self, table: str, row: Row, **where: Any) -> None:
        """Change columns of the rows whose columns equal `where`."""
        conditions = [[column, "==", value] for column, value in where.items()]
        self.transact({"op": "update", "table": table, "where": conditions, "row": row})

    def clear(self, *tables: str) -> None:
        """Delete every row of these tables at once."""
        self.transact(*({"op": "delete", "table": table, "where": []} for table in tables))


def plain(value: Any) -> Any:
    """RFC 7047's notation as Python's: ["set", [...]] a list, ["map", [...]] a dict, ["uuid", "..."] text."""
    match value:
        case ["set", members]:
            return [plain(member) for member in members]
        case ["map", pairs]:
            return {plain(key): plain(member) for key, member in pairs}
        case ["uuid" | "named-uuid", text]:
            return text
        case _:
            return value


def mapped(values: Mapping[str, str]) -> list[Any]:
    """A map in RFC 7047's notation."""
    return ["map", [[key, value] for key, value in values.items()]]
