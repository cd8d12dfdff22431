"""Messages in whatever pieces they come."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from weft.backends.ovn.messages import Parser

text = st.text(alphabet=st.sampled_from('ab"\\{}[],:\n é'), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
messages = st.lists(st.dictionaries(text, values, max_size=3), min_size=1, max_size=4)


def read(stream: str, size: int) -> list[Any]:
    """As ovs.jsonrpc.Connection does: a piece is offered again as far as it was not taken."""
    found, parser = [], Parser()
    for start in range(0, len(stream), size):
        piece = stream[start : start + size]
        while piece:
            piece = piece[parser.feed(piece) :]
            if parser.is_done():
                found.append(parser.finish())
                parser = Parser()
    return found


@settings(deadline=None, max_examples=300)
@given(messages, st.integers(1, 40), st.sampled_from(("", "\n")), st.booleans())
def test_pieces_of_any_size(sent: list[Any], size: int, between: str, ascii_only: bool) -> None:
    stream = between.join(json.dumps(one, ensure_ascii=ascii_only) for one in sent)
    assert read(stream, size) == sent
    assert read(stream, len(stream)) == sent


def test_what_is_no_message() -> None:
    (found,) = read('{"a": nonsense}', 100)
    assert isinstance(found, str)


def test_a_long_text_within_a_message_is_looked_at_once() -> None:
    """Servers tell their schema so: JSON within JSON, with more escapes than anything else."""
    sent = {"schema": json.dumps({str(number): "x" for number in range(20_000)})}
    parser = Parser()
    stream = json.dumps(sent)
    for start in range(0, len(stream), 4096):
        assert sum(map(len, parser._parts)) in (start, start - 1)
        parser.feed(stream[start : start + 4096])
    assert parser.is_done() and parser.finish() == sent
