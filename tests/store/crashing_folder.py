"""A folder in memory that stops at a chosen operation, and what a disk may hold after that. It tests nothing.

As on a real disk, what was written is safe when it was synced, and names are when their folder was; without that, all
of it may be there after a crash, or nothing, or the beginning of it.
"""

import errno
from typing import Literal

from server.store.journal_files import OpenFile

Survival = Literal["least", "torn", "most"]


class Crashed(BaseException):
    """The process was killed here. No code of ours catches it."""


class Countdown:
    """Counts points at which a process may be killed, and kills it at one of them."""

    def __init__(self, crash_at: int | None = None) -> None:
        self.points = 0
        self.has_crashed = False
        self._crash_at = crash_at

    def point(self) -> bool:
        """Passes a point; whether this is where it ends. Behind that, nothing may be done any more."""
        if self.has_crashed:
            raise Crashed
        self.points += 1
        self.has_crashed = self.points == self._crash_at
        return self.has_crashed


class _File:
    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)
        self.synced = bytes(data)

    def left(self, survival: Survival) -> bytes:
        if survival == "most":
            return bytes(self.data)
        if survival == "torn" and self.data.startswith(self.synced):
            return bytes(self.data[: (len(self.synced) + len(self.data) + 1) // 2])
        return self.synced


class CrashingFolder:
    """A ``Folder``. Every operation that changes something is a point of the countdown.

    ``full``: as long as it is set, writing fails as on a full disk, with half of it written.
    """

    def __init__(self, countdown: Countdown | None = None, files: dict[str, bytes] | None = None) -> None:
        self.countdown = countdown or Countdown()
        self.full = False
        self.fails_to_sync = False
        self._files = {name: _File(data) for name, data in (files or {}).items()}
        self._synced = dict(self._files)

    def left(self, survival: Survival) -> dict[str, bytes]:
        """What is on the disk after a crash."""
        names = self._files if survival == "most" else self._synced
        return {name: file.left(survival) for name, file in names.items()}

    def names(self) -> list[str]:
        return sorted(self._files)

    def create(self, name: str) -> OpenFile:
        crash = self.countdown.point()
        self._files[name] = _File()
        return self._opened(name, crash=crash)

    def append(self, name: str) -> OpenFile:
        crash = self.countdown.point()
        self._files.setdefault(name, _File())
        return self._opened(name, crash=crash)

    def _opened(self, name: str, *, crash: bool) -> OpenFile:
        if crash:
            raise Crashed
        return _Opened(self, self._files[name])

    def read(self, name: str, start: int = 0, size: int = -1) -> bytes:
        if name not in self._files:
            raise FileNotFoundError(errno.ENOENT, "no such file", name)
        data = bytes(self._files[name].data)
        return data[start:] if size < 0 else data[start : start + size]

    def replace(self, name: str, by: str) -> None:
        crash = self.countdown.point()
        self._files[name] = self._files.pop(by)
        if crash:
            raise Crashed

    def remove(self, name: str) -> None:
        crash = self.countdown.point()
        del self._files[name]
        if crash:
            raise Crashed

    def sync(self) -> None:
        if self.countdown.point():
            raise Crashed
        self._synced = dict(self._files)


class _Opened:
    def __init__(self, folder: CrashingFolder, file: _File) -> None:
        self._folder = folder
        self._file = file

    def write(self, data: bytes) -> None:
        crash = self._folder.countdown.point()
        if crash or self._folder.full:
            self._file.data += data[: len(data) // 2]
            if crash:
                raise Crashed
            raise OSError(errno.ENOSPC, "no space left on device")
        self._file.data += data

    def sync(self) -> None:
        if self._folder.countdown.point():
            raise Crashed
        if self._folder.fails_to_sync:
            raise OSError(errno.EIO, "input/output error")
        self._file.synced = bytes(self._file.data)

    def truncate(self, size: int) -> None:
        crash = self._folder.countdown.point()
        del self._file.data[size:]
        if crash:
            raise Crashed

    def close(self) -> None:
        pass
