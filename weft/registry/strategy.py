"""What differs between resources: the ordered verbs prepare, validate, write, settle around one generic flow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement

if TYPE_CHECKING:
    from weft.registry.resource import Resource, Row

Filter = Callable[[Any, Sequence[Any]], ColumnElement[bool]]
"""(transaction, values of one query parameter) -> WHERE clause."""


class Strategy:
    """The generic life of an API object; a resource overrides the verbs in which it differs.

    All verbs run inside the caller's transaction `tx` (weft.store.transaction.Transaction) and see only API rows: dicts
    with every attribute under its API name. `prepare` fills in what the client left out and may read; `validate` never
    changes anything; `write` puts the rows into tables; `settle` does what follows for others, e.g. status, dependents.
    """

    #: filled in by Resource users: which resource this strategy serves
    resource: Resource

    #: creating or deleting one decides nothing by rows that others may change meanwhile, but what constraints hold, its own
    #: revision, and a lock that is taken before what refers to it is read (Store.write)
    patient = False

    #: who deletes one locks it, so that nobody makes what refers to it before it has gone
    locked = False

    #: updating one, and its actions, create and delete others that a quota counts
    moves_counters = False

    # -- reading

    def columns(self) -> Mapping[str, ColumnElement[Any]]:
        """SQL for attributes that are not plain columns of the table (`:project_id` is the caller's project)."""
        return {}

    def visible(self) -> ColumnElement[bool] | None:
        """Further rows that a caller without global sight may see, besides his project's and those shared by RBAC."""
        return None

    def filters(self) -> Mapping[str, Filter]:
        """Query parameters that are more than equality with a column."""
        return {}

    def view(self, tx: Any, row: Row) -> None:
        """Complete a row read from the database with attributes that are computed from it, in place. Reads nothing."""

    def view_many(self, tx: Any, rows: list[Row]) -> None:
        """Complete a page of rows; override where that needs (a constant number of) statements."""
        for row in rows:
            self.view(tx, row)

    def listed(self, tx: Any, query: Any) -> list[Row] | None:
        """What a list shows of a kind that stands in no table; None: the page of the table."""
        return None

    def shown(self, tx: Any, id: str) -> Row | None:
        """One object of a kind that stands in no table; None: the row of the table."""
        return None

    def check_parent(self, tx: Any, parent: Row) -> None:
        """Raise the fault if the object `parent` has no sub-resources of this kind."""

    def lists_write(self, tx: Any, query: Any) -> bool:
        """True if something is to be created before this list (weft.store.rows.Query) can be answered: a project's default
        security group. The list then starts again in a write transaction, with `before_list`."""
        return False

    def before_list(self, tx: Any, query: Any) -> None:
        """Create what `lists_write` misses."""

    def related(self) -> Mapping[str, Callable[[Any, Row], Any]]:
        """Keys that policy rules ask of a target and that are no attribute: `network:project_id`."""
        return {}

    def was_visible(self, tx: Any, row: Row) -> bool:
        """The pendant of `visible` for a row that is gone: the caller could see it, not being its owner."""
        return False

    def facts(self, old: Row | None, new: Row) -> Mapping[str, Any]:
        """What the change log remembers of the object for readers that come when it is different again or gone.

        `old` is None on create. Names that begin with `was` keep their first value when a transaction changes it twice.
        """
        return {}

    def install(self, connection: Any) -> None:
        """Write the rows that are there from the start; called once, when the table has just been made."""

    # -- writing

    def create(self, tx: Any, values: Row) -> Row:
        """Create one object from converted, validated `values`; returns the complete row, rendered from memory."""
        self.prepare(tx, values)
        self.validate(tx, values, None)
        self.write(tx, values)
        self.settle(tx, values, None)
        return values

    def create_many(self, tx: Any, many: list[Row]) -> list[Row]:
        """Create several, all or nothing. Override where a batch can be cheaper than one by one."""
        return [self.create(tx, values) for values in many]

    def update(self, tx: Any, old: Row, changes: Row) -> Row:
        """Apply `changes` (converted, validated; only what the client sent) to `old`; returns the complete new row."""
        new = {**old, **changes}
        self.prepare_update(tx, old, changes, new)
        self.validate(tx, new, old)
        self.write_update(tx, old, new)
        self.settle(tx, new, old)
        return new

    def delete(self, tx: Any, row: Row) -> None:
        """Delete `row`, or raise why not."""
        self.validate_delete(tx, row)
        self.write_delete(tx, row)
        self.settle_delete(tx, row)

    def prepare(self, tx: Any, values: Row) -> None:
        """Complete `values` in place with everything that the client left out."""

    def prepare_update(self, tx: Any, old: Row, changes: Row, new: Row) -> None:
        """Complete `new` in place with what follows from `changes`."""

    def validate(self, tx: Any, new: Row, old: Row | None) -> None:
        """Raise the fault if `new` may not be; `old` is None on create."""

    def validate_delete(self, tx: Any, row: Row) -> None:
        """Raise the fault if `row` may not go."""

    def write(self, tx: Any, row: Row) -> None:
        tx.insert(self.resource, row)

    def write_update(self, tx: Any, old: Row, new: Row) -> None:
        tx.update(self.resource, old, new)

    def write_delete(self, tx: Any, row: Row) -> None:
        tx.delete(self.resource, row)

    def settle(self, tx: Any, new: Row, old: Row | None) -> None:
        """What follows for other objects, in the same transaction."""

    def settle_delete(self, tx: Any, row: Row) -> None:
        """What follows for other objects, in the same transaction."""
