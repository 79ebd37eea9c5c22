"""The folder of a journal, operation by operation as a disk sees them. It knows names and bytes, not what they mean."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from server.store.base import JournalFault

__all__ = ["DiskFolder", "Folder", "OpenFile"]

# What is said to a server is its owner's business.
_FOLDER_MODE = 0o700
_FILE_MODE = 0o600


class OpenFile(Protocol):
    """A file that is appended to."""

    def write(self, data: bytes) -> None:
        """Appends all of it; raises OSError, after which any part of it may have been written."""

    def sync(self) -> None:
        """Returns when everything that was written is on the disk."""

    def truncate(self, size: int) -> None:
        """Cuts it; what is written next comes there."""

    def close(self) -> None:
        """Closes it. May be repeated, never raises."""


class Folder(Protocol):
    """A folder. Everything raises OSError."""

    def names(self) -> list[str]:
        """The names of its files, sorted."""

    def create(self, name: str) -> OpenFile:
        """A new file, or an old one of this name without its contents."""

    def append(self, name: str) -> OpenFile:
        """A file that is there or is made, to be appended to."""

    def read(self, name: str, start: int = 0, size: int = -1) -> bytes:
        """Bytes of a file; -1: up to its end."""

    def replace(self, name: str, by: str) -> None:
        """Puts a file in the place of another, at once."""

    def remove(self, name: str) -> None:
        """Removes a file."""

    def sync(self) -> None:
        """Returns when the names are on the disk."""


class _DiskFile:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)
        os.lseek(self._descriptor, size, os.SEEK_SET)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            # What matters was synced before; a disk that fails at closing says nothing new.
            with contextlib.suppress(OSError):
                os.close(descriptor)


class DiskFolder:
    """A folder on a local disk; made where it is not there. One process at a time has it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with disk_faults(f"the folder {path}"):
            path.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise JournalFault("in_use", f"another server uses {path}") from error

    def names(self) -> list[str]:
        """See ``Folder``."""
        return sorted(os.listdir(self.path))

    def create(self, name: str) -> OpenFile:
        """See ``Folder``."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        return _DiskFile(os.open(self.path / name, flags, _FILE_MODE))

    def append(self, name: str) -> OpenFile:
        """See ``Folder``."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        return _DiskFile(os.open(self.path / name, flags, _FILE_MODE))

    def read(self, name: str, start: int = 0, size: int = -1) -> bytes:
        """See ``Folder``."""
        with (self.path / name).open("rb") as file:
            file.seek(start)
            return file.read(size)

    def replace(self, name: str, by: str) -> None:
        """See ``Folder``."""
        os.replace(self.path / by, self.path / name)

    def remove(self, name: str) -> None:
        """See ``Folder``."""
        os.unlink(self.path / name)

    def sync(self) -> None:
        """See ``Folder``."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Lets another process have it."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)


@contextlib.contextmanager
def disk_faults(what: str, *, then: Callable[[], None] | None = None) -> Iterator[None]:
    """Translates what the disk raises; ``then`` is done first, to put things in order."""
    try:
        yield
    except OSError as error:
        if then is not None:
            then()
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        said = "the disk is full" if is_full else error.strerror or type(error).__name__
        raise JournalFault("full" if is_full else "broken", f"{what} cannot be used: {said}") from error
