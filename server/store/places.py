"""Where the records of a server are: names in the data folder, and the database. It opens nothing."""

from pathlib import Path
from typing import Final

from sqlalchemy.engine import URL

from server.secret import Secret
from server.store.sql_address import address_of, sqlite_address

__all__ = ["JOURNAL_FOLDER", "RECORDINGS_FOLDER", "RECORDS_FILE", "database_of"]

RECORDS_FILE: Final = "records.sqlite3"
"""The database in the data folder, where ``DATABASE_URL`` names no other."""
RECORDINGS_FOLDER: Final = "recordings"
"""Where in the data folder the sound is, where sound is recorded."""
JOURNAL_FOLDER: Final = "journal"
"""What is not in the database yet."""


def database_of(url: Secret | None, data_dir: Path) -> URL:
    """The address of the database. Raises as ``address_of``."""
    return address_of(url) if url else sqlite_address(data_dir / RECORDS_FILE)
