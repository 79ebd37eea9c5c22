"""The schema of the records' database: brings it up to date by the migrations that come along. Knows no rows."""

from pathlib import Path
from typing import Final

import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from server.store.base import SchemaFault
from server.store.sql_tables import metadata

__all__ = ["migrate"]

_log = structlog.get_logger("liveavatar.store")

_FOLDER: Final = Path(__file__).parent / "migrations"
# Any number that others are unlikely to have: servers that start together migrate one after the other.
_ADVISORY_LOCK: Final = 0x4C41_5245_4344


def migrate(connection: Connection, name: str, folder: Path = _FOLDER) -> None:
    """Brings the schema up to date inside the transaction of ``connection``; ``name`` is the database's, for people.

    Raises:
        SchemaFault: it is newer than we are, or none of ours, or a migration failed; nothing was changed.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _ADVISORY_LOCK})
    config = Config()
    # Alembic reads % as the beginning of a variable.
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
    newest = scripts.get_current_head()
    present = MigrationContext.configure(connection).get_current_revision()
    if present == newest:
        return
    known = {script.revision for script in scripts.walk_revisions()}
    if present is not None and present not in known:
        raise SchemaFault(
            f"The {name} has schema {present}, which this version does not know (its newest is {newest}): a newer "
            "version wrote it. Run that one, or give this one another database."
        )
    if present is None:
        _refuse_foreign(connection, name)
    try:
        command.upgrade(config, "head")
    except (DBAPIError, CommandError) as error:
        origin = error.orig if isinstance(error, DBAPIError) else error
        said = next(iter(str(origin).strip().splitlines()), type(origin).__name__)
        raise SchemaFault(f"The {name} could not be brought from schema {present} to {newest}: {said}") from error
    _log.info("records schema migrated", database=name, was=present, now=newest)


def _refuse_foreign(connection: Connection, name: str) -> None:
    """A database without our mark that has tables of our names is somebody else's; nothing of it is to be touched."""
    foreign = sorted(set(inspect(connection).get_table_names()) & set(metadata.tables))
    if foreign:
        raise SchemaFault(f"The {name} has tables of these names that are not ours: {', '.join(foreign)}.")
