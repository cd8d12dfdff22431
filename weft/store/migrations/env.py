"""What Alembic runs: revisions on a connection that the caller has opened, inside the caller's transaction."""

from __future__ import annotations

from alembic import context

given = context.config.attributes

context.configure(
    connection=given["connection"],
    target_metadata=given["metadata"],
    render_as_batch=True,  # SQLite alters a table by making it anew
    transactional_ddl=True,
    compare_server_default=False,  # PostgreSQL cannot compare JSON; the tests compare the schemas as text
)
context.run_migrations()
