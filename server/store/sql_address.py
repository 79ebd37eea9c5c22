"""Where the database is: a URL, read so that its password is never shown. It opens nothing."""

from pathlib import Path
from typing import Final

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from protocol.errors import OperatorFault
from server.secret import Secret

__all__ = ["address_of", "described", "sqlite_address"]

_POSTGRESQL: Final = frozenset({"postgres", "postgresql", "postgresql+psycopg"})
_SQLITE: Final = frozenset({"sqlite", "sqlite+pysqlite"})


def address_of(url: Secret) -> URL:
    """The address that ``DATABASE_URL`` gives: ``postgresql://`` or ``postgres://``, or ``sqlite:///path``.

    Raises:
        OperatorFault: it cannot be used; the text shows nothing of it but the scheme.
    """
    text = url.reveal().strip()
    scheme = text.partition(":")[0] if "://" in text else ""
    try:
        # What cannot be parsed, or has a port that is no number, is shown by SQLAlchemy with its password.
        address = make_url(text)
    except (ArgumentError, ValueError):
        raise _unusable(
            "it cannot be read as a URL; signs such as @, : and / in a password are written %40, %3A, %2F"
        ) from None
    if scheme in _POSTGRESQL:
        if not address.database:
            raise _unusable("it names no database: postgresql://user:password@host/database")
        return address.set(drivername="postgresql+psycopg")
    if scheme in _SQLITE:
        if not address.database or address.database == ":memory:":
            raise _unusable("records need a file: sqlite:///path/to/records.sqlite3")
        return sqlite_address(Path(address.database))
    # Only what looks like a scheme is shown: a password may stand there by mistake.
    shown = (
        f"{scheme}:// is not known here"
        if scheme.replace("+", "").isalnum() and len(scheme) < 30
        else "it has no scheme"
    )
    raise _unusable(f"{shown}; postgresql:// and sqlite:/// are")


def sqlite_address(file: Path) -> URL:
    """The address of a SQLite file."""
    return URL.create("sqlite+pysqlite", database=str(file))


def described(address: URL) -> str:
    """An address for people: without user, password and parameters."""
    if address.get_backend_name() == "sqlite":
        return f"SQLite file {address.database}"
    host = address.host or address.query.get("host") or "this machine"
    port = f":{address.port}" if address.port else ""
    return f"PostgreSQL database {address.database} at {host}{port}"


def _unusable(why: str) -> OperatorFault:
    return OperatorFault(f"DATABASE_URL cannot be used: {why}.", code="bad_database_url")
