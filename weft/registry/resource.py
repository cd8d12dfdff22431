"""What a kind of API object is: its names, attributes, table and strategy, declared once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import Table

from weft import errors
from weft.registry.attributes import Attribute, BodyReader

if TYPE_CHECKING:
    from weft.registry.strategy import Strategy

Row = dict[str, Any]
"""One API object with all its attributes under their API names, as `show` would return it to an administrator."""

EVERY_OPERATION = frozenset({"list", "show", "create", "update", "delete"})


@dataclass(frozen=True)
class Action:
    """A PUT (or GET) on one object that is none of the five operations: /routers/{id}/add_router_interface.

    `run(tx, row, body)` gets the object and the whole decoded body and returns the whole response body.
    `policy` is the rule asked besides get_<member>; '' means none. `guarded` are attributes in the body which have rules of
    their own. `needs_body` False: it may come without one. `extension`: the alias that brings it, where that is another
    than the resource's.
    """

    name: str
    run: Callable[[Any, Row, Any], Any]
    method: str = "PUT"
    status: int = 200
    policy: str = ""
    needs_body: bool = True
    guarded: tuple[str, ...] = ()
    extension: str = ""


@dataclass(frozen=True)
class Parent:
    """Where a sub-resource hangs: /floatingips/{floatingip_id}/port_forwardings. `column`: its attribute with the parent's id.

    `strangers_are_refused`: to create below a parent that one cannot see is forbidden (403), instead of unknown (404).
    """

    resource: Resource
    column: str
    strangers_are_refused: bool = False


@dataclass(frozen=True, eq=False)
class Resource:
    """A kind of API object.

    `member` names it in bodies and policy rules (port), `collection` in URLs (security-groups), under `prefix` (/qos).
    `extension` is the alias that brings the resource, `shims` those that only promise behaviour of it.
    `quota` names its limit; None: not counted. `visible_by_rbac`: RBAC actions that show it to other projects.
    `not_found` is raised for an id that is not there or not the caller's to see. `internal` columns are no attributes of
    the API; rows have them under their own names. `hidden` are attributes of extensions that this installation does not
    offer: rows have them, clients do not know them. `key` is the attribute by which URLs name an object; other keys than
    id tell the objects below one parent apart. `update_rule`: the policy rule of PUT where it is not `update_<rule>`.
    """

    member: str
    collection: str
    attributes: tuple[Attribute, ...]
    table: Table
    strategy: Strategy
    not_found: type[errors.NotFound]
    prefix: str = ""
    parent: Parent | None = None
    actions: tuple[Action, ...] = ()
    operations: frozenset[str] = EVERY_OPERATION
    bulk: bool = False
    tags: bool = False
    pagination: bool = True
    strict_marker: bool = False
    quota: str | None = None
    visible_by_rbac: tuple[str, ...] = ()
    extension: str = "core"
    shims: tuple[str, ...] = ()
    policy_name: str = ""
    plural: str = ""
    aliases: tuple[str, ...] = field(default=())
    internal: tuple[str, ...] = ()
    hidden: tuple[Attribute, ...] = ()
    key: str = "id"
    update_rule: str = ""

    def __post_init__(self) -> None:
        self.strategy.resource = self

    @cached_property
    def items(self) -> str:
        """The key of a list in bodies: security_groups."""
        return self.plural or self.collection.replace("-", "_")

    @cached_property
    def rule(self) -> str:
        """What policy rules call it: `create_<rule>`."""
        return self.policy_name or self.member

    @cached_property
    def by_name(self) -> Mapping[str, Attribute]:
        return {a.name: a for a in self.attributes}

    @cached_property
    def stored(self) -> tuple[tuple[str, str], ...]:
        """(attribute, column) of what stands in the table."""
        every = (*self.attributes, *self.hidden)
        own = tuple((a.name, a.column_name) for a in every if a.column_name in self.table.c)
        return own + tuple((name, name) for name in self.internal)

    @cached_property
    def shown(self) -> tuple[str, ...]:
        """Names of the attributes that responses may contain, in order of declaration."""
        return tuple(a.name for a in self.attributes if a.visible)

    @cached_property
    def guarded(self) -> frozenset[str]:
        """Attributes that have a policy rule of their own when set. The API has no such rules below a parent."""
        return frozenset() if self.parent else frozenset(a.name for a in self.attributes if a.policy)

    def missing(self, id: str, parent_id: str = "") -> errors.NotFound:
        """The fault for an object that is not there or not the caller's to see."""
        parent = {self.parent.column: parent_id} if self.parent else {}
        return self.not_found(**{self.key if self.parent else "id": id, **parent})

    @cached_property
    def reader(self) -> BodyReader:
        return BodyReader(self.member, self.attributes, self.hidden)

    def without(self, aliases: frozenset[str]) -> Resource:
        """This resource where those extensions are not offered: the same objects, less to say about them."""
        hidden = tuple(a for a in self.attributes if a.extension in aliases)
        shims = tuple(alias for alias in self.shims if alias not in aliases)
        actions = tuple(action for action in self.actions if action.extension not in aliases)
        if not hidden and shims == self.shims and actions == self.actions:
            return self
        known = tuple(a for a in self.attributes if a.extension not in aliases)
        made = replace(self, attributes=known, hidden=hidden, shims=shims, actions=actions)
        self.strategy.resource = self
        return made

    @cached_property
    def stamped(self) -> bool:
        """True for resources with revision_number and timestamps."""
        return "revision_number" in self.table.c
