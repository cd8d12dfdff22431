"""What an attribute's value may be: plain types (booleans, integers, text, choices, ids) and how to combine them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from weft import errors

LARGEST_INTEGER = 2**31 - 1
"""What an INTEGER column holds; the API names no bound of its own."""

UUID_PATTERN = "[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}"
_UUID = re.compile(UUID_PATTERN)
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")

Schema = dict[str, Any]


def same(value: Any) -> Any:
    """The conversion of types that have none."""
    return value


def valid(value: Any) -> str | None:
    """The check of types that have none."""
    return None


@dataclass(frozen=True)
class Type:
    """A set of values.

    `convert` turns what a client sent into the value that is kept; it leaves alone what it does not understand, or
    raises InvalidInput where the API tells conversion from validation. `validate` gets the converted value and returns
    the reason why it is refused, or raises a fault that has a class of its own. `filter` turns the text of a query
    parameter into what stored values are compared with. `schema` is JSON Schema 2020-12.
    """

    name: str
    schema: Schema = field(default_factory=dict)
    convert: Callable[[Any], Any] = same
    validate: Callable[[Any], str | None] = valid
    filter: Callable[[str], Any] = same


def show(value: Any) -> str:
    """A client's value in an error message: quoted, and not longer than needed to recognise it."""
    text = str(value)
    return f"'{text}'" if len(text) <= 255 else f"'{text[:252]}...'"


def nullable(type_: Type, name: str | None = None) -> Type:
    """`type_` or null."""
    convert, validate = type_.convert, type_.validate
    return Type(
        name or f"{type_.name}|null",
        {"anyOf": [type_.schema, {"type": "null"}]} if type_.schema else {},
        convert=same if convert is same else lambda value: None if value is None else convert(value),
        validate=valid if validate is valid else lambda value: None if value is None else validate(value),
        filter=type_.filter,
    )


def null_is_empty(type_: Type) -> Type:
    """`type_`, a list, or null, which means the empty list."""
    convert = type_.convert
    return Type(
        type_.name,
        {"anyOf": [type_.schema, {"type": "null"}]},
        convert=lambda value: [] if value is None else convert(value),
        validate=type_.validate,
        filter=type_.filter,
    )


anything = Type("any")


# Booleans and integers.

_TRUE = frozenset({"true", "1"})
_FALSE = frozenset({"false", "0"})


def to_boolean(value: Any) -> bool:
    """true, false, 1, 0 and their text, in any case. Raises InvalidInput."""
    if value is True or value is False:
        return bool(value)
    if isinstance(value, int | str):
        text = str(value).lower()
        if text in _TRUE:
            return True
        if text in _FALSE:
            return False
    raise errors.InvalidInput(reason=f"{show(value)} cannot be converted to boolean")


boolean = Type("bool", {"type": "boolean"}, convert=to_boolean, filter=to_boolean)
boolean_or_none = nullable(boolean)


def to_integer(value: Any) -> int:
    """Integers, their decimal text, and floats without a fraction. Raises InvalidInput."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    raise errors.InvalidInput(reason=f"{show(value)} is not an integer")


def filter_integer(text: str) -> int:
    """An integer to compare with; in the place of one too large for a column stands the least of all, which nothing has."""
    value = to_integer(text)
    return value if -LARGEST_INTEGER <= value <= LARGEST_INTEGER else -LARGEST_INTEGER - 1


def integer_between(smallest: int | None, largest: int) -> Type:
    """An integer of an inclusive range. `smallest` None: only what a column holds."""
    least = -largest - 1 if smallest is None else smallest

    def validate(value: Any) -> str | None:
        if value < least:
            return f"{show(value)} is too small - must be at least '{least}'"
        if value > largest:
            return f"{show(value)} is too large - must be no larger than '{largest}'"
        return None

    schema = {"type": "integer", "minimum": least, "maximum": largest}
    return Type(f"int {least}..{largest}", schema, convert=to_integer, validate=validate, filter=filter_integer)


integer = integer_between(None, LARGEST_INTEGER)
integer_or_none = nullable(integer)
non_negative = integer_between(0, LARGEST_INTEGER)
quota_limit = integer_between(-1, LARGEST_INTEGER)
port_number = integer_between(1, 65535)
port_number_or_none = nullable(port_number)


# Text.


def text_fault(value: Any, limit: int | None = None) -> str | None:
    """Why `value` is no text of at most `limit` characters that a database can hold, or None."""
    if not isinstance(value, str):
        return f"{show(value)} is not a valid string"
    if limit is not None and len(value) > limit:
        return f"{show(value)} exceeds maximum length of {limit}"
    if "\x00" in value or (not value.isascii() and not _encodable(value)):
        return "the string contains characters that are no text (NUL or half of a surrogate pair)"
    return None


def _encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def string(limit: int) -> Type:
    """Text of at most `limit` characters, which may be empty."""
    return Type(f"string <={limit}", _text_schema(limit), validate=lambda value: text_fault(value, limit))


def _text_schema(limit: int) -> Schema:
    return {"type": "string", "maxLength": limit}


def string_or_none(limit: int) -> Type:
    """Text of at most `limit` characters, or null."""
    return nullable(string(limit))


def to_string(value: Any) -> Any:
    """Numbers and booleans as text; containers stay what they are, to be refused."""
    return value if value is None or isinstance(value, list | dict) else str(value)


def stringified(type_: Type) -> Type:
    """`type_` after turning numbers into text."""
    return Type(type_.name, type_.schema, convert=to_string, validate=type_.validate, filter=type_.filter)


name_string = string(255)
name_string_or_none = nullable(name_string)
description = string(255)
long_description = string(1024)
project_id = string(255)


def _not_blank(value: Any) -> str | None:
    fault = text_fault(value, 255)
    if fault is None and not value.strip():
        fault = f"{show(value)} Blank strings are not permitted"
    return fault


not_empty_name_string = Type(
    "not_empty_name_string", {"type": "string", "minLength": 1, "maxLength": 255}, validate=_not_blank
)


def _not_default(value: Any) -> str | None:
    if isinstance(value, str) and value.lower() == "default":
        raise errors.SecurityGroupDefaultAlreadyExists
    return text_fault(value, 255)


name_not_default = Type("name_not_default <=255", _text_schema(255), validate=_not_default)


def matching(pattern: str) -> Type:
    """Text that matches a regular expression as a whole."""
    compiled = re.compile(pattern)

    def validate(value: Any) -> str | None:
        fault = text_fault(value)
        if fault is None and not compiled.fullmatch(value):
            fault = f"{show(value)} is not of the form {pattern}"
        return fault

    return Type(f"regex {pattern}", {"type": "string", "pattern": f"^{pattern}$"}, validate=validate)


def enum(*values: Any) -> Type:
    """One of `values`; None among them allows null. Integers are converted."""
    allowed = ", ".join("null" if value is None else str(value) for value in values)
    numbers = all(isinstance(value, int) for value in values)

    def validate(value: Any) -> str | None:
        return None if value in values else f"{show(value)} is not one of {allowed}"

    convert = to_integer if numbers else same
    filter_ = filter_integer if numbers else same
    return Type(f"enum[{allowed}]", {"enum": list(values)}, convert=convert, validate=validate, filter=filter_)


# Ids.


def uuid_fault(value: Any) -> str | None:
    """Why `value` is no UUID, or None. Dashes and case are free; the form is kept."""
    if isinstance(value, str) and _UUID.fullmatch(value):
        return None
    return f"{show(value)} is not a valid UUID"


uuid = Type("uuid", {"type": "string", "pattern": f"^{UUID_PATTERN}$"}, validate=uuid_fault)
uuid_or_none = nullable(uuid)


# Containers.


def _list_fault(value: Any) -> str | None:
    return None if isinstance(value, list) else f"{show(value)} is not a list"


def list_of(item: Type, unique: bool = True, filter: Callable[[str], Any] = same) -> Type:
    """A list of `item`s, each at most once when `unique`."""
    convert_item, validate_item = item.convert, item.validate

    def convert(value: Any) -> Any:
        return [convert_item(one) for one in value] if isinstance(value, list) else value

    def validate(value: Any) -> str | None:
        fault = _list_fault(value)
        if fault is not None:
            return fault
        seen = set()
        for one in value:
            fault = validate_item(one)
            if fault is not None:
                return fault
            key = one if isinstance(one, str) else repr(sorted(one.items()) if isinstance(one, dict) else one)
            if unique and key in seen:
                return f"Duplicate items in the list: {show(one)}"
            seen.add(key)
        return None

    schema = {"type": "array", "items": item.schema, "uniqueItems": unique}
    name = f"list<{item.name}>"
    return Type(name, schema, convert=same if convert_item is same else convert, validate=validate, filter=filter)


def record(fields: Mapping[str, Type], required: tuple[str, ...] = ()) -> Type:
    """An object with these keys and no others, of which `required` must be there."""

    def convert(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: fields[key].convert(one) if key in fields else one for key, one in value.items()}

    def validate(value: Any) -> str | None:
        if not isinstance(value, dict):
            return f"{show(value)} is not a dictionary"
        if unknown := sorted(str(key) for key in value if key not in fields):
            return f"Unexpected keys supplied: {', '.join(unknown)}"
        if missing := [key for key in required if key not in value]:
            return f"Required keys not supplied: {', '.join(missing)}"
        for key, one in value.items():
            fault = fields[key].validate(one)
            if fault is not None:
                return f"{key}: {fault}"
        return None

    schema = {
        "type": "object",
        "properties": {key: type_.schema for key, type_ in fields.items()},
        "required": list(required),
        "additionalProperties": False,
    }
    return Type(f"dict{{{', '.join(fields)}}}", schema, convert=convert, validate=validate)


dictionary = Type(
    "dict",
    {"type": "object"},
    validate=lambda value: None if isinstance(value, dict) else f"{show(value)} is not a dictionary",
)
dictionary_or_none = nullable(dictionary)

uuid_list = list_of(uuid)
tags = list_of(string(255))


def key_value(text: str) -> tuple[str, str]:
    """A filter on one key of a list of records: `ip_address=192.0.2.1`. Raises InvalidInput."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise errors.InvalidInput(reason=f"{show(text)} is not of the form <key>=[value]")
    return key, value
