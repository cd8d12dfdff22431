"""Values of the plain types: what is taken, as what, and why something is refused."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft import errors
from weft.registry import types as t


def check(type_: t.Type, value: Any) -> str | None:
    return type_.validate(type_.convert(value))


@pytest.mark.parametrize("value", [True, 1, "1", "true", "TRUE"])
def test_boolean_true(value: Any) -> None:
    assert t.boolean.convert(value) is True
    assert t.boolean_or_none.convert(value) is True


@pytest.mark.parametrize("value", [False, 0, "0", "False"])
def test_boolean_false(value: Any) -> None:
    assert t.boolean.convert(value) is False


@pytest.mark.parametrize("value", ["maybe", "", "yes", 2, -1, 1.0, None, [], {}])
def test_no_boolean(value: Any) -> None:
    with pytest.raises(errors.InvalidInput) as fault:
        t.boolean.convert(value)
    assert fault.value.message == f"Invalid input for operation: '{value}' cannot be converted to boolean."


def test_null_where_it_is_allowed() -> None:
    assert t.boolean_or_none.convert(None) is None
    assert t.integer_or_none.convert(None) is None
    assert check(t.uuid_or_none, None) is None
    assert check(t.string_or_none(3), None) is None
    assert check(t.uuid, None) is not None
    assert check(t.string(3), None) == "'None' is not a valid string"


@pytest.mark.parametrize(("value", "result"), [(3, 3), ("3", 3), ("-1", -1), (4.0, 4), ("007", 7)])
def test_integer(value: Any, result: int) -> None:
    assert t.integer.convert(value) == result
    assert t.integer.validate(result) is None


@pytest.mark.parametrize("value", ["", "x", "1.5", 1.5, True, None, [], "1_000", " 1", "１", "9" * 5000, float("inf")])
def test_no_integer(value: Any) -> None:
    with pytest.raises(errors.InvalidInput, match="is not an integer"):
        t.integer.convert(value)


def test_range() -> None:
    assert check(t.quota_limit, "-2") == "'-2' is too small - must be at least '-1'"
    assert check(t.port_number, 65536) == "'65536' is too large - must be no larger than '65535'"
    assert check(t.integer, 2**31) is not None
    assert check(t.integer, -(2**31)) is None


@settings(deadline=None)
@given(st.integers())
def test_integers_are_taken_as_numbers_and_as_text(value: int) -> None:
    if abs(value) < 10**20:
        assert t.integer.convert(value) == t.integer.convert(str(value)) == value


def test_string() -> None:
    assert check(t.string(3), "abc") is None
    assert check(t.string(3), "") is None
    assert check(t.string(3), "abcd") == "'abcd' exceeds maximum length of 3"
    assert check(t.string(3), 3) == "'3' is not a valid string"
    assert check(t.string(9), "é\u4e2d\U0001f642") is None
    assert check(t.string(9), "a\x00b") is not None
    assert check(t.string(9), "\ud800") is not None


@settings(deadline=None)
@given(st.text())
def test_text_that_is_taken_can_be_stored(value: str) -> None:
    if t.text_fault(value) is None:
        assert b"\x00" not in value.encode()


def test_long_values_are_cut_in_messages() -> None:
    reason = check(t.string(255), "a" * 100_000)
    assert reason is not None
    assert len(reason) < 400


def test_names() -> None:
    assert check(t.not_empty_name_string, "x") is None
    assert check(t.not_empty_name_string, "  ") == "'  ' Blank strings are not permitted"
    assert check(t.name_string, "  ") is None
    assert check(t.name_not_default, "Defaults") is None
    with pytest.raises(errors.SecurityGroupDefaultAlreadyExists):
        check(t.name_not_default, "DeFault")


@settings(deadline=None)
@given(st.uuids())
def test_uuid_in_every_form(value: UUID) -> None:
    for text in (str(value), value.hex, str(value).upper()):
        assert check(t.uuid, text) is None
        assert t.uuid.convert(text) == text


@pytest.mark.parametrize("value", ["", "x", 1, "55182d26-86fe-4ad3-9638-51752abe5e9", "g" * 32, "a" * 32 + "\n"])
def test_no_uuid(value: Any) -> None:
    assert check(t.uuid, value) == f"'{value}' is not a valid UUID"


def test_enum() -> None:
    assert check(t.enum("a", None), None) is None
    assert check(t.enum("a", None), "b") == "'b' is not one of a, null"
    assert check(t.enum("a", "b"), ["a"]) is not None
    assert t.enum(4, 6).convert("4") == 4
    assert check(t.enum(4, 6), 5) == "'5' is not one of 4, 6"


def test_list() -> None:
    assert check(t.tags, ["a", "b"]) is None
    assert check(t.tags, ["a", "b", "a"]) == "Duplicate items in the list: 'a'"
    assert check(t.tags, "a") == "'a' is not a list"
    assert check(t.tags, ["a", 1]) == "'1' is not a valid string"
    assert check(t.tags, ["a" * 256]) is not None
    assert t.null_is_empty(t.tags).convert(None) == []
    assert t.list_of(t.integer).convert(["1", 2]) == [1, 2]
    assert check(t.list_of(t.dictionary), [{"a": 1, "b": 2}, {"b": 2, "a": 1}]) is not None


def test_record() -> None:
    inner = t.record({"on": t.boolean, "id": t.uuid}, required=("id",))
    outer = t.record({"inner": inner})
    id_ = "55182d26-86fe-4ad3-9638-51752abe5e9c"
    assert outer.convert({"inner": {"on": "true", "id": id_}}) == {"inner": {"on": True, "id": id_}}
    assert check(outer, {"inner": {"id": id_}}) is None
    assert check(outer, {"inner": {"on": 1}}) == "inner: Required keys not supplied: id"
    assert check(outer, {"inner": {"id": id_, "z": 1, "y": 1}}) == "inner: Unexpected keys supplied: y, z"
    assert check(outer, {"inner": []}) == "inner: '[]' is not a dictionary"
    assert check(outer, None) == "'None' is not a dictionary"


def test_conversion_does_not_change_what_the_client_sent() -> None:
    sent = {"inner": {"on": "true"}}
    t.record({"inner": t.record({"on": t.boolean})}).convert(sent)
    assert sent == {"inner": {"on": "true"}}


def test_filters() -> None:
    assert t.boolean.filter("False") is False
    assert t.integer_or_none.filter("7") == 7
    assert t.enum(4, 6).filter("6") == 6
    assert t.name_string.filter("7") == "7"
    assert t.key_value("ip_address=192.0.2.1") == ("ip_address", "192.0.2.1")
    assert t.key_value("a=") == ("a", "")
    with pytest.raises(errors.InvalidInput, match="'x' is not of the form <key>=\\[value\\]"):
        t.key_value("x")
    with pytest.raises(errors.InvalidInput):
        t.boolean.filter("maybe")
