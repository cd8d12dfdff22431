"""What an attribute of a resource is, and how the body of a POST or PUT becomes checked values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal

from weft import errors
from weft.context import Context
from weft.registry.types import Type

Operation = Literal["create", "update"]


class Default(Enum):
    """What stands for a default that is no value."""

    REQUIRED = "required"
    UNSET = "unset"


REQUIRED: Final = Default.REQUIRED
"""The client must give the attribute on create."""

UNSET: Final = Default.UNSET
"""The attribute stays absent when the client does not give it: the resource's strategy knows better."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of a resource, of whatever extension.

    `post`, `put`: clients may set it on create, on update. `visible`: responses show it. `filter`, `sort`: lists can
    be filtered or sorted by it. `policy`: setting it asks a policy rule of its own (`create_port:mac_address`).
    `required_by_policy`: rules need it, so it is read even where the client asks for other fields.
    `extension`: the alias that brings it; core: the one that brings the resource.
    `default_overrides_none`: null on create means the default. `column` where it is not called like the attribute.
    """

    name: str
    type: Type
    default: Any = UNSET
    post: bool = True
    put: bool = True
    visible: bool = True
    filter: bool = True
    sort: bool = False
    policy: bool = False
    required_by_policy: bool = False
    primary_key: bool = False
    extension: str = "core"
    column: str | None = None
    default_overrides_none: bool = False

    @property
    def column_name(self) -> str:
        """Its column in the resource's table, if it has one."""
        return self.column or self.name.replace(":", "_").replace("-", "_")

    @property
    def required(self) -> bool:
        return self.post and self.default is REQUIRED


def read_only(
    name: str,
    type: Type,
    *,
    visible: bool = True,
    filter: bool = True,
    sort: bool = False,
    policy: bool = False,
    required_by_policy: bool = False,
    primary_key: bool = False,
    extension: str = "core",
    column: str | None = None,
) -> Attribute:
    """An attribute that the service fills in and clients only see."""
    return Attribute(
        name,
        type,
        post=False,
        put=False,
        visible=visible,
        filter=filter,
        sort=sort,
        policy=policy,
        required_by_policy=required_by_policy,
        primary_key=primary_key,
        extension=extension,
        column=column,
    )


def _raise(faults: list[errors.Fault]) -> None:
    if len(faults) == 1:
        raise faults[0]
    if faults:
        kinds = {type(fault) for fault in faults}
        kind = kinds.pop() if len(kinds) == 1 else errors.HTTPBadRequest
        raise kind("\n".join(dict.fromkeys(fault.message for fault in faults)))


class BodyReader:
    """Reads the inner objects of bodies, `{"port": {...}}` without its key, for one resource.

    All that can be said without the database is said here, about every attribute at once: unknown and forbidden names,
    missing ones, values. Raises HTTPBadRequest or InvalidInput (or the value's own fault) for mistakes of one
    kind, and HTTPBadRequest for several kinds, with a line for each. Bodies are not changed.
    """

    def __init__(self, member: str, attributes: Iterable[Attribute], hidden: Iterable[Attribute] = ()) -> None:
        """Of the `hidden` attributes, which clients do not know, a create has the defaults all the same."""
        self.member = member
        self.attributes = tuple(attributes)
        self._by_name = {attribute.name: attribute for attribute in self.attributes}
        self._postable = {a.name: a for a in self.attributes if a.post}
        self._puttable = {a.name: a for a in self.attributes if a.put}
        self._owned = "project_id" in self._by_name
        self._required = tuple(a.name for a in self.attributes if a.required and a.name != "project_id")
        defaults = {
            a.name: a.default if a.default is None else a.type.convert(a.default)
            for a in (*self.attributes, *hidden)
            if a.post and not isinstance(a.default, Default)
        }
        self._plain = {name: value for name, value in defaults.items() if not isinstance(value, list | dict)}
        self._mutable = tuple((name, value) for name, value in defaults.items() if isinstance(value, list | dict))
        self._defaults = defaults

    def create(self, body: Mapping[str, Any], context: Context) -> dict[str, Any]:
        """The values of a POST, converted and with defaults; `project_id` is the owner, `tenant_id` is gone."""
        faults: list[errors.Fault] = []
        given = self._reconcile(body, context, faults)
        if self._owned and "project_id" not in given:
            if context.project_id:
                given["project_id"] = context.project_id
            else:
                faults.append(
                    errors.HTTPBadRequest("Running without keystone AuthN requires that project_id is specified")
                )
        self._refuse(given, self._postable, faults, "Attribute '{}' not allowed in POST")
        faults.extend(
            errors.HTTPBadRequest(f"Failed to parse request. Required attribute '{name}' not specified")
            for name in self._required
            if name not in given
        )
        values = dict(self._plain)
        for name, value in self._mutable:
            values[name] = deepcopy(value)
        for name, value in given.items():
            attribute = self._postable.get(name)
            if attribute is None or (value is None and attribute.default_overrides_none):
                continue
            self._read(attribute, value, values, faults)
        _raise(faults)
        return values

    def update(self, body: Mapping[str, Any], context: Context) -> dict[str, Any]:
        """The values of a PUT, converted: only what the client sent."""
        faults: list[errors.Fault] = []
        given = self._reconcile(body, context, faults)
        self._refuse(given, self._puttable, faults, "Cannot update read-only attribute {}")
        values: dict[str, Any] = {}
        for name, value in given.items():
            attribute = self._puttable.get(name)
            if attribute is not None:
                self._read(attribute, value, values, faults)
        _raise(faults)
        return values

    def explicit(self, body: Mapping[str, Any], operation: Operation) -> tuple[str, ...]:
        """Names of the attributes with a policy rule of their own that `body`, which was read before, sets explicitly.

        On update these are all that it holds; on create those whose value is not the default.
        """
        names = []
        for name, value in body.items():
            attribute = self._by_name.get("project_id" if name == "tenant_id" else name)
            if attribute is None or not attribute.policy:
                continue
            if operation == "update" or not self._is_default(attribute, value):
                names.append(attribute.name)
        return tuple(dict.fromkeys(names))

    def _is_default(self, attribute: Attribute, value: Any) -> bool:
        if attribute.name not in self._defaults:
            return False
        if value is None and attribute.default_overrides_none:
            return True
        return bool(attribute.type.convert(value) == self._defaults[attribute.name])

    def _reconcile(self, body: Mapping[str, Any], context: Context, faults: list[errors.Fault]) -> dict[str, Any]:
        """`body` with `project_id` alone for the two names of the owner, and whether the caller may name that one."""
        given = dict(body)
        if not self._owned:
            return given
        if "tenant_id" in given:
            tenant = given.pop("tenant_id")
            if given.setdefault("project_id", tenant) != tenant:
                faults.append(errors.HTTPBadRequest("'project_id' and 'tenant_id' do not match"))
        if "project_id" in given and given["project_id"] != context.project_id and not context.sees_everything:
            faults.append(
                errors.HTTPBadRequest(
                    "Specifying 'project_id' other than the authenticated project in request "
                    "is not allowed for the current user."
                )
            )
        return given

    def _refuse(
        self, given: dict[str, Any], allowed: Mapping[str, Attribute], faults: list[errors.Fault], sentence: str
    ) -> None:
        if given.keys() <= allowed.keys():
            return
        unknown = sorted(str(name) for name in given if name not in self._by_name)
        if unknown:
            faults.append(errors.HTTPBadRequest(f"Unrecognized attribute(s) '{', '.join(unknown)}'"))
        faults.extend(
            errors.HTTPBadRequest(sentence.format(name))
            for name in given
            if name in self._by_name and name not in allowed
        )

    @staticmethod
    def _read(attribute: Attribute, value: Any, values: dict[str, Any], faults: list[errors.Fault]) -> None:
        try:
            value = attribute.type.convert(value)
            reason = attribute.type.validate(value)
        except errors.Fault as fault:
            faults.append(fault)
            return
        if reason is not None:
            faults.append(errors.HTTPBadRequest(f"Invalid input for {attribute.name}. Reason: {reason}."))
        values[attribute.name] = value


def read_body(
    attributes: Iterable[Attribute], member: str, body: Mapping[str, Any], operation: Operation, context: Context
) -> dict[str, Any]:
    """One inner object of a POST or PUT, read once; keep a BodyReader to read many."""
    reader = BodyReader(member, attributes)
    return reader.create(body, context) if operation == "create" else reader.update(body, context)


def extract(member: str, collection: str, body: Any) -> tuple[list[dict[str, Any]], bool]:
    """The inner objects of a decoded POST or PUT body, and whether they came as a list.

    A list stands under the member's name with an s, or under the collection's, spelt with - or _; its items may each
    be wrapped in the member's name again. Raises HTTPBadRequest.
    """
    if not isinstance(body, dict):
        raise errors.HTTPBadRequest("Body contains invalid data")
    if member in body:
        return [_inner(member, body[member])], False
    for key in (f"{member}s", collection, collection.replace("-", "_"), collection.replace("_", "-")):
        if key in body:
            items = body[key]
            if not items:
                raise errors.HTTPBadRequest("Resources required")
            if not isinstance(items, list):
                raise errors.HTTPBadRequest(f"Object '{key}' contains invalid data")
            return [_inner(member, _unwrap(member, item)) for item in items], True
    raise errors.HTTPBadRequest(f"Unable to find '{member}' in request body")


def _unwrap(member: str, item: Any) -> Any:
    return item[member] if isinstance(item, dict) and item.keys() == {member} else item


def _inner(member: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise errors.HTTPBadRequest(f"Object '{member}' contains invalid data")
    return value
