"""The file of API keys: their digests, names and rights. Written by the command line, read by servers; never a key.

Each writer replaces the whole file at once and holds a lock meanwhile, so that a server reads the old or the new one,
and of two commands neither undoes what the other did.
"""

import contextlib
import fcntl
import os
import re
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import msgspec

from server.security.digest import KEY_PREFIX, digest_of, new_credential
from server.security.principal import MOST_MINUTES, MOST_SESSIONS, MOST_USD, Allowance, Principal, Scope

__all__ = ["KEYS_FILE", "KeyEntry", "KeyFile", "KeyFileError"]

# In LIVEAVATAR_DATA_DIR.
KEYS_FILE = "keys.json"

# A name is written in commands and logs.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MODE = 0o600
# Another command is done in milliseconds. Whoever holds the lock for longer is stuck or means no good, and a key that
# was seen by others must be revoked all the same.
LOCK_S = 5.0
_LOCK_LOOK_S = 0.05


class KeyFileError(Exception):
    """The file or what was asked of it cannot be used; the text says why, to a person."""


class KeyEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A key as it is kept.

    Attributes:
        digest: what `digest_of` makes of the key; empty for one that was revoked.
        kb_ids: the knowledge bases it may use; None is all.
        sessions, minutes_per_day, usd_per_day: see `Allowance`.
        created_at, revoked_at: Unix seconds.
    """

    id: str
    name: str
    digest: str
    scopes: tuple[Scope, ...]
    kb_ids: tuple[str, ...] | None = None
    sessions: int | None = None
    minutes_per_day: float | None = None
    usd_per_day: Decimal | None = None
    created_at: int
    revoked_at: int | None = None

    @property
    def is_live(self) -> bool:
        """Whether the key lets anybody in."""
        return self.revoked_at is None and bool(self.digest)

    def principal(self) -> Principal:
        """Whoever shows the key."""
        return Principal(
            id=f"key:{self.id}",
            name=self.name,
            kind="key",
            scopes=frozenset(self.scopes),
            kb_ids=None if self.kb_ids is None else frozenset(self.kb_ids),
            allowance=Allowance(self.sessions, self.minutes_per_day, self.usd_per_day),
        )


class _Contents(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    version: int = 1
    keys: list[KeyEntry] = []


_decoder = msgspec.json.Decoder(_Contents)


class KeyFile:
    """The file of keys in a data folder. What it does blocks, for as long as a small file takes.

    Args:
        now: the time of day in Unix seconds.
    """

    def __init__(self, data_dir: Path, *, now: Callable[[], float] = time.time) -> None:
        self.path = data_dir / KEYS_FILE
        self._now = now

    def stamp(self) -> tuple[int, ...] | None:
        """Something that changes whenever the file does; None if there is no file.

        Raises:
            KeyFileError: it cannot be told.
        """
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise KeyFileError(f"{self.path} cannot be read: {error.strerror}") from error
        return found.st_ino, found.st_mtime_ns, found.st_size

    def read(self) -> list[KeyEntry]:
        """Every key, revoked ones too, oldest first; none where there is no file.

        Raises:
            KeyFileError: the file cannot be read, or is no file of keys.
        """
        try:
            return _decoder.decode(self.path.read_bytes()).keys
        except FileNotFoundError:
            return []
        except OSError as error:
            raise KeyFileError(f"{self.path} cannot be read: {error.strerror}") from error
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            # Without the decoder's words of the place: nothing of the file belongs in a log.
            raise KeyFileError(f"{self.path} is no file of keys ({type(error).__name__})") from None

    def create(
        self,
        name: str,
        *,
        scopes: tuple[Scope, ...],
        kb_ids: tuple[str, ...] | None = None,
        sessions: int | None = None,
        minutes_per_day: float | None = None,
        usd_per_day: Decimal | None = None,
    ) -> str:
        """Make a key and return it: this once, for only its digest is kept.

        Raises:
            KeyFileError: there is one of that name, or something that makes no sense, or the file cannot be written.
        """
        if not _NAME.fullmatch(name):
            raise KeyFileError("a key's name is up to 64 letters, digits, dots, dashes or underscores")
        if kb_ids is not None and not all(kb_id.strip() for kb_id in kb_ids):
            raise KeyFileError("a knowledge base has a name; leave it out for a key that is for all")
        bounds: tuple[tuple[str, float | Decimal | None, float | Decimal], ...] = (
            ("sessions", sessions, MOST_SESSIONS),
            ("minutes", minutes_per_day, MOST_MINUTES),
            ("US dollars", usd_per_day, MOST_USD),
        )
        for what, number, most in bounds:
            if number is not None and not 0 < number <= most:
                raise KeyFileError(f"{what} are a number up to {most:,.0f}")
        with self._writing() as entries:
            if any(entry.is_live and entry.name == name for entry in entries):
                raise KeyFileError(f"there is a key {name!r} already; revoke it first, or take another name")
            key = new_credential(KEY_PREFIX)
            entries.append(
                KeyEntry(
                    id=secrets.token_hex(6),
                    name=name,
                    digest=digest_of(key),
                    scopes=scopes,
                    kb_ids=kb_ids,
                    sessions=sessions,
                    minutes_per_day=minutes_per_day,
                    usd_per_day=usd_per_day,
                    created_at=int(self._now()),
                )
            )
        return key

    def revoke(self, name: str) -> None:
        """Let a key open nothing any more. Its entry stays, so that it is known that there was one.

        Raises:
            KeyFileError: there is none of that name, or the file cannot be written.
        """
        with self._writing() as entries:
            for place, entry in enumerate(entries):
                if entry.is_live and entry.name == name:
                    entries[place] = msgspec.structs.replace(entry, digest="", revoked_at=int(self._now()))
                    return
            raise KeyFileError(f"there is no key {name!r}")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[list[KeyEntry]]:
        """The entries, to be changed; afterwards they are what is in the file, if nothing was raised."""
        folder = self.path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with self._locked(folder / f"{KEYS_FILE}.lock"):
                entries = self.read()
                yield entries
                contents = msgspec.json.format(msgspec.json.encode(_Contents(keys=entries)), indent=2)
                try:
                    _decoder.decode(contents)
                except msgspec.DecodeError as error:
                    raise KeyFileError("that cannot be kept, for it could not be read again") from error
                self._replace(contents)
        except OSError as error:
            raise KeyFileError(f"{self.path} cannot be written: {error.strerror}") from error

    @contextlib.contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        try:
            # Not even to be opened by others: a lock may be taken by whoever can read it.
            with contextlib.suppress(PermissionError):
                os.fchmod(descriptor, _MODE)
            _give_to_owner_of(path.parent, descriptor)
            give_up_at = time.monotonic() + LOCK_S
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= give_up_at:
                        text = (
                            f"{path} is held by another program (`fuser {path}` names it); end it, or remove the file"
                        )
                        raise KeyFileError(text) from None
                    time.sleep(_LOCK_LOOK_S)
            yield
        finally:
            os.close(descriptor)

    def _replace(self, contents: bytes) -> None:
        # Made by mkstemp: readable by its owner only, from its first byte.
        descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{KEYS_FILE}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, _MODE)
                _give_to_owner_of(self.path.parent, descriptor)
                file.write(contents + b"\n")
                file.flush()
                os.fsync(descriptor)
            Path(name).replace(self.path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise


def _give_to_owner_of(folder: Path, descriptor: int) -> None:
    """What root makes in a folder of the server's is the server's: it must be able to use it."""
    if os.geteuid() == 0:
        found = folder.stat()
        os.fchown(descriptor, found.st_uid, found.st_gid)
