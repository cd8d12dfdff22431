"""JSON of an OVSDB server's stream, read by the standard library: the `ovs` package's own reader, where it was not built in C,
looks at each character in Python and costs more than everything else that is done with a message."""

from __future__ import annotations

import json
import re
from typing import Any

import ovs.json

_ESCAPED = re.compile(r"\\.", re.DOTALL)
_MARKS = re.compile(r"\\.|[\"{}\[\]]", re.DOTALL)
_BORDER = re.compile(r"\}\s*\{")
_STEP = {"{": 1, "[": 1, "}": -1, "]": -1}


class Parser:
    """Reads one message, an object, from pieces of text (as ovs.json.Parser)."""

    def __init__(self, check_trailer: bool = False) -> None:
        self._parts: list[str] = []
        self._backslash = ""  # at the end of the last piece: what it escapes comes with the next
        self._inside = False  # of a string
        self._depth = 0
        self._done = False

    def feed(self, text: str) -> int:
        """Take `text` in as far as it belongs to the message; returns how many characters that are."""
        whole = self._backslash + text
        pieces = _ESCAPED.sub("", whole).split('"')
        bare = '"'.join(pieces[self._inside :: 2])
        depth = self._depth + sum(bare.count(mark) * step for mark, step in _STEP.items())
        if (depth <= 0 and "}" in bare) or _BORDER.search(bare):
            end = self._end(whole)
            if end:
                self._parts.append(whole[:end])
                self._done = True
                return end - len(self._backslash)
        self._inside ^= len(pieces) % 2 == 0
        self._depth = depth
        self._backslash = "\\" if pieces[-1].endswith("\\") else ""
        self._parts.append(whole[: len(whole) - len(self._backslash)])
        return len(text)

    def _end(self, text: str) -> int:
        """Where the message ends in `text`, just behind its last brace; 0 if it goes on."""
        depth, inside = self._depth, self._inside
        for mark in _MARKS.finditer(text):
            if mark[0] == '"':
                inside = not inside
            elif not inside and mark[0] in _STEP:
                depth += _STEP[mark[0]]
                if depth == 0:
                    return mark.end()
        return 0

    def is_done(self) -> bool:
        return self._done

    def finish(self) -> Any:
        """The message; text that says what is wrong with it, if anything is."""
        try:
            return json.loads("".join(self._parts))
        except ValueError as error:
            return str(error)


def install() -> None:
    """Have connections that are made from now on use it, unless there is a faster one."""
    if ovs.json.PARSER == ovs.json.PARSER_PY:
        ovs.json.Parser = Parser
