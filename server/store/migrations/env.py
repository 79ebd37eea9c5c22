"""What Alembic runs: the migrations on the connection it is given, inside the transaction of whoever gave it."""

from alembic import context

from server.store.sql_tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    # SQLite cannot alter a column in place.
    render_as_batch=True,
)
context.run_migrations()
