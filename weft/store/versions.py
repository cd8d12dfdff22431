"""Which version a database is of, and its way to ours: made, expanded, contracted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Connection, MetaData, PrimaryKeyConstraint, String, Table, insert, inspect, select, text

from weft.registry.resource import Resource
from weft.store.engine import Store
from weft.store.migrations import FOLDER, HEADS
from weft.store.schema import METADATA

if TYPE_CHECKING:
    from alembic.config import Config

VERSIONS = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""Alembic's own table: one row for each branch."""

EXPAND, CONTRACT = "expand", "contract"


class SchemaError(RuntimeError):
    """The database cannot be used, or not be changed as asked; the message is for the operator."""


@dataclass(frozen=True, slots=True)
class Revision:
    """One step of a branch."""

    id: str
    says: str


@dataclass(frozen=True, slots=True)
class State:
    """How a database stands to this program.

    `fresh`: there is nothing in it. `ahead`: a newer Weft has expanded it, with which this one gets along.
    """

    fresh: bool = False
    ahead: bool = False
    expand: tuple[Revision, ...] = ()
    contract: tuple[Revision, ...] = ()

    @property
    def current(self) -> bool:
        return not (self.fresh or self.ahead or self.expand or self.contract)


def stored(connection: Connection) -> frozenset[str]:
    """The revisions that the database remembers; none: it has never seen Weft."""
    if not inspect(connection).has_table(VERSIONS.name):
        return frozenset()
    return frozenset(connection.execute(select(VERSIONS.c.version_num)).scalars())


def state(connection: Connection) -> State:
    """Compare the database with this program. Raises SchemaError where they do not fit."""
    found = stored(connection)
    if found == {HEADS.expand, HEADS.contract}:
        return State()
    if not found:
        ours = set(METADATA.tables) & set(inspect(connection).get_table_names())
        if ours:
            raise SchemaError(
                f"it has tables of Weft ({', '.join(sorted(ours)[:3])} ...) but no version: it was made before"
                " versions were kept, or by somebody else; give Weft an empty database"
            )
        return State(fresh=True)
    return _compare(found)


def _compare(found: frozenset[str]) -> State:
    expand, contract = _branch(EXPAND), _branch(CONTRACT)
    contracted = [position for position, one in enumerate(contract) if one.id in found]
    if len(found) != 2 or not contracted:
        raise SchemaError(
            f"it is newer than this program, or of another line of development: it is at {' and '.join(sorted(found))},"
            f" this program knows the way to {HEADS.expand} and {HEADS.contract}; start the version of Weft that made it"
        )
    expanded = [position for position, one in enumerate(expand) if one.id in found]
    return State(
        ahead=not expanded,
        expand=expand[expanded[0] + 1 :] if expanded else (),
        contract=contract[contracted[0] + 1 :],
    )


def create(connection: Connection) -> None:
    """All tables at once, as the declarations say; the tests prove that the revisions make the same."""
    METADATA.create_all(connection)
    VERSIONS.create(connection, checkfirst=True)
    connection.execute(insert(VERSIONS), [{"version_num": HEADS.expand}, {"version_num": HEADS.contract}])


def missing(connection: Connection, resources: Iterable[Resource]) -> list[Resource]:
    """Those of `resources` whose table is not there."""
    names = set(inspect(connection).get_table_names())
    return [one for one in resources if one.table.name not in names]


def upgrade(connection: Connection, branch: str, metadata: MetaData = METADATA) -> None:
    """Run the revisions of one branch that the database lacks, inside the caller's transaction."""
    from alembic import command

    command.upgrade(configuration(connection=connection, metadata=metadata), f"{branch}@head")


@contextmanager
def alone(store: Store) -> Iterator[Connection]:
    """A transaction of the one process that may change the schema; another one waits for its end and then sees it."""
    with store.engine.connect() as connection:
        if not store.sqlite:
            # one snapshot for the whole transaction would be from before the wait
            connection = connection.execution_options(isolation_level="READ COMMITTED")
            with connection.begin():
                connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('weft schema'))"))
                yield connection
            return
        raw: Any = connection.connection.dbapi_connection
        raw.execute("PRAGMA foreign_keys=OFF").close()  # a table that is made anew must not take its dependents along
        try:
            raw.execute("BEGIN IMMEDIATE").close()
            yield connection
            broken = raw.execute("PRAGMA foreign_key_check").fetchall()
            if broken:
                raise SchemaError(f"rows would refer to what is not there: {broken[:3]}")
            raw.execute("COMMIT").close()
        except BaseException:
            if raw.in_transaction:
                raw.execute("ROLLBACK").close()
            raise
        finally:
            raw.execute("PRAGMA foreign_keys=ON").close()


def expand(connection: Connection) -> None:
    """Make a fresh database; give an older one what this program needs."""
    found = state(connection)
    if found.fresh:
        create(connection)
    elif found.expand:
        upgrade(connection, EXPAND)


def configuration(**attributes: Any) -> Config:
    """Alembic's, for its commands; `attributes` are what migrations/env.py reads."""
    from alembic.config import Config

    made = Config(attributes=attributes)
    made.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    return made


def _branch(label: str) -> tuple[Revision, ...]:
    """The revisions of a branch, oldest first."""
    from alembic.script import ScriptDirectory

    script = ScriptDirectory.from_config(configuration())
    found = [Revision(one.revision, one.doc) for one in script.iterate_revisions(f"{label}@head", "base")]
    return tuple(reversed(found))
