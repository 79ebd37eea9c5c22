"""The journal on disk: files of frames that are appended to, read in order, and removed when all of them was applied.

Everything here blocks on the disk; one thread at a time may be in it. It does not know what a payload says, and nothing
of databases; `server.store.journal` does.
"""

import contextlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from server.store.base import JournalFault
from server.store.journal_files import Folder, OpenFile, disk_faults
from server.store.journal_frames import FILE_HEAD_BYTES, Damage, Frame, epoch_of, file_head, frame, frames

__all__ = ["SET_ASIDE_MAX_BYTES", "Batch", "Segments"]

_log = structlog.get_logger("liveavatar.store")

# So large that rolling costs nothing, so small that what is applied is gone from the disk soon.
SEGMENT_BYTES: Final = 4 * 1024 * 1024
# What one transaction takes: some hundred records.
BATCH_BYTES: Final = 128 * 1024
BATCH_FRAMES: Final = 200
# Nobody looks at more than the first thousands of the same fault.
SET_ASIDE_MAX_BYTES: Final = 16 * 1024 * 1024
_SUFFIX: Final = ".journal"
_NEW_SUFFIX: Final = ".new"
_SET_ASIDE: Final = "set-aside.frames"
_IDENTITY: Final = "identity"
_NO_EPOCH: Final = bytes(16)


@dataclass(slots=True)
class _Segment:
    name: str
    epoch: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Frames of one epoch, in order."""

    epoch: str
    frames: list[Frame]


class Segments:
    """The journal in a folder. A journal has an identity that stays; each opening of it begins an epoch of its own.

    An epoch's frames are numbered upwards from one, and no number is used twice. All methods raise `JournalFault`.
    """

    def __init__(
        self,
        folder: Folder,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._random_bytes = random_bytes
        self._epoch = random_bytes(16)
        self._next = 1
        self._segments: list[_Segment] = []
        # In the first file: up to where it was released, and up to where it was taken.
        self._read_to = FILE_HEAD_BYTES
        self._taken_to = FILE_HEAD_BYTES
        self._current: OpenFile | None = None
        self._files_made = 0
        self._set_aside_bytes = 0
        self.identity = ""
        """Of the journal, from `open` on."""

    @property
    def epoch(self) -> str:
        """Of this opening."""
        return self._epoch.hex()

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(segment.size for segment in self._segments) + self._set_aside_bytes

    @property
    def waiting_bytes(self) -> int:
        """Of what was not released."""
        return max(
            0, sum(segment.size - FILE_HEAD_BYTES for segment in self._segments) + FILE_HEAD_BYTES - self._read_to
        )

    def open(self) -> None:
        """Looks through what an earlier process left. A torn end is cut off, and said in the log."""
        with disk_faults("the journal"):
            names = self._folder.names()
            for name in names:
                if name.endswith(_NEW_SUFFIX):
                    self._folder.remove(name)
            self._identify(names)
            for name in names:
                if name.endswith(_SUFFIX):
                    self._look_through(name)
            if _SET_ASIDE in names:
                self._set_aside_bytes = len(self._folder.read(_SET_ASIDE))
            self._folder.sync()

    def _identify(self, names: list[str]) -> None:
        if _IDENTITY in names:
            self.identity = self._folder.read(_IDENTITY).decode("ascii", "replace")
        if len(self.identity) != 32:
            self.identity = self._random_bytes(16).hex()
            self._write_whole(_IDENTITY, self.identity.encode())

    def _look_through(self, name: str) -> None:
        number = name.removesuffix(_SUFFIX)
        if not number.isdecimal():
            raise JournalFault("unreadable", f"{name} in the journal's folder is none of its files")
        self._files_made = max(self._files_made, int(number))
        data = self._folder.read(name)
        epoch = epoch_of(data)
        if epoch is None:
            if len(data) >= FILE_HEAD_BYTES:
                raise JournalFault("unreadable", f"{name} is no journal file of this version")
            _log.warning("journal file without a beginning removed", file=name, size_bytes=len(data))
            self._folder.remove(name)
            return
        size = len(data)
        for found in frames(data, FILE_HEAD_BYTES):
            if isinstance(found, Damage):
                cut = found.end - found.start
                if found.is_tail:
                    _log.warning("torn end of a journal file cut off", file=name, at=found.start, size_bytes=cut)
                    size = found.start
                    self._cut(name, size)
                else:
                    _log.error("journal file is damaged; what follows is kept", file=name, at=found.start, bytes=cut)
        self._segments.append(_Segment(name, epoch, size))

    def _cut(self, name: str, size: int) -> None:
        file = self._folder.append(name)
        try:
            file.truncate(size)
            file.sync()
        finally:
            file.close()

    # Writing

    def append(self, payloads: Sequence[bytes]) -> int:
        """Writes payloads; at its return they are on the disk. Returns the number of the last.

        Raises:
            JournalFault: none of them is acknowledged, and they may be appended again.
        """
        file, segment = self._writable()
        first = self._next
        # Whatever becomes of the write, these numbers are used: what a failed one left behind must not pass for others.
        self._next += len(payloads)
        data = b"".join(frame(number, payload) for number, payload in enumerate(payloads, first))
        with disk_faults("the journal", then=self._abandon):
            file.write(data)
            file.sync()
        segment.size += len(data)
        return self._next - 1

    def _writable(self) -> tuple[OpenFile, _Segment]:
        if self._current is not None and self._segments[-1].size < self._segment_bytes:
            return self._current, self._segments[-1]
        self._seal()
        self._files_made += 1
        name = f"{self._files_made:08d}{_SUFFIX}"
        with disk_faults("the journal", then=lambda: self._give_up(name)):
            self._current = self._folder.create(name)
            self._current.write(file_head(self._epoch))
            self._current.sync()
            self._folder.sync()
        self._segments.append(_Segment(name, self._epoch, FILE_HEAD_BYTES))
        return self._current, self._segments[-1]

    def _give_up(self, name: str) -> None:
        self._seal()
        # It holds nothing; where it cannot be removed, the next start does it.
        with contextlib.suppress(OSError):
            self._folder.remove(name)

    def _abandon(self) -> None:
        """After a failed write or sync nobody knows what of it is on the disk: that file is not written to again."""
        if self._current is not None:
            # A full disk takes this; where it fails, the next start cuts it, or finds records twice, which is harmless.
            with contextlib.suppress(OSError):
                self._current.truncate(self._segments[-1].size)
        self._seal()

    def _seal(self) -> None:
        if self._current is not None:
            self._current.close()
            self._current = None

    def set_aside(self, payloads: Sequence[bytes]) -> None:
        """Keeps what no database takes in a file of its own, for somebody to look at; up to `SET_ASIDE_MAX_BYTES`."""
        data = b"".join(frame(number, payload) for number, payload in enumerate(payloads, 1))
        if self._set_aside_bytes + len(data) > SET_ASIDE_MAX_BYTES:
            _log.error("no room to set records aside; they are lost", records=len(payloads))
            return
        with disk_faults("the journal"):
            file = self._folder.append(_SET_ASIDE)
            try:
                if not self._set_aside_bytes:
                    data = file_head(_NO_EPOCH) + data
                file.write(data)
                file.sync()
            finally:
                file.close()
            self._folder.sync()
        self._set_aside_bytes += len(data)

    # Reading

    def take(self) -> Batch | None:
        """The next frames that were not released; None where there are none. Again gives the same."""
        while self._segments:
            segment = self._segments[0]
            found: list[Frame] = []
            if self._read_to < segment.size:
                with disk_faults(f"the journal file {segment.name}"):
                    found = self._read(segment)
            if found:
                self._taken_to = self._read_to + found[-1].end
                return Batch(segment.epoch.hex(), found)
            if not self._drop_read():
                return None
        return None

    def _read(self, segment: _Segment) -> list[Frame]:
        """Frames from where the reading stands; their places count from there. Passes over what is damaged."""
        size = BATCH_BYTES
        while (rest := segment.size - self._read_to) > 0:
            try:
                data = self._folder.read(segment.name, self._read_to, min(rest, size))
            except FileNotFoundError:
                _log.error("a journal file was removed by somebody else", file=segment.name, lost_bytes=rest)
                self._read_to = segment.size
                return []
            found: list[Frame] = []
            for piece in frames(data):
                if isinstance(piece, Damage) or len(found) == BATCH_FRAMES:
                    break
                found.append(piece)
            if found:
                return found
            if size < rest:
                size = rest  # one frame is larger than a batch, or a damage is
                continue
            behind = next((piece.start for piece in frames(data) if isinstance(piece, Frame)), rest)
            _log.error("damage in a journal file passed over", file=segment.name, at=self._read_to, bytes=behind)
            self._read_to += behind
        return []

    def release(self) -> None:
        """What `take` gave last was applied; a file read to its end is removed, but the one being written."""
        self._read_to = max(self._read_to, self._taken_to)
        self._drop_read()

    def _drop_read(self) -> bool:
        """Removes the first file if it was read to its end and is not being written; whether it was."""
        if not self._segments or self._read_to < self._segments[0].size:
            return False
        if len(self._segments) == 1 and self._current is not None:
            return False
        with disk_faults("the journal"), contextlib.suppress(FileNotFoundError):
            self._folder.remove(self._segments[0].name)
        del self._segments[0]
        self._read_to = self._taken_to = FILE_HEAD_BYTES
        return True

    def clear(self) -> None:
        """Where everything was applied, leaves no record on the disk: the file that is written is removed, too."""
        if len(self._segments) == 1 and self._read_to == self._segments[0].size > FILE_HEAD_BYTES:
            self._seal()
            self._drop_read()

    # Forgetting, and looking for what was not applied

    def payloads(self) -> Iterator[bytes]:
        """Everything that was written and not removed, applied or not; a file at a time."""
        for segment in self._segments:
            with disk_faults("the journal"):
                data = self._folder.read(segment.name, 0, segment.size)
            for found in frames(data, FILE_HEAD_BYTES):
                if isinstance(found, Frame):
                    yield found.payload

    def forget(self, keep: Callable[[bytes], bool]) -> int:
        """Takes all payloads out that are not to be kept, whatever file they are in; returns how many.

        Raises:
            JournalFault: some files are as they were; the same call again does the rest.
        """
        self._seal()
        forgotten = 0
        with disk_faults("the journal"):
            for position, segment in enumerate(self._segments):
                data = self._folder.read(segment.name, 0, segment.size)
                kept, gone = _sift(data, keep)
                if gone:
                    segment.size = self._rewrite(segment.name, data, kept)
                    if position == 0:
                        self._read_to = _moved(kept, self._read_to)
                        self._taken_to = _moved(kept, self._taken_to)
                    forgotten += gone
            if self._set_aside_bytes:
                data = self._folder.read(_SET_ASIDE)
                kept, gone = _sift(data, keep)
                if gone:
                    self._set_aside_bytes = self._rewrite(_SET_ASIDE, data, kept)
                    forgotten += gone
            self._folder.sync()
        return forgotten

    def _rewrite(self, name: str, data: bytes, kept: list[Frame]) -> int:
        whole = data[:FILE_HEAD_BYTES] + b"".join(data[piece.start : piece.end] for piece in kept)
        self._write_whole(name, whole)
        return len(whole)

    def _write_whole(self, name: str, data: bytes) -> None:
        file = self._folder.create(name + _NEW_SUFFIX)
        try:
            file.write(data)
            file.sync()
        finally:
            file.close()
        # The last that may fail: from here on the file is the new one, and whoever called knows it.
        self._folder.replace(name, name + _NEW_SUFFIX)

    def close(self) -> None:
        """Closes the file that is written."""
        self._seal()


def _sift(data: bytes, keep: Callable[[bytes], bool]) -> tuple[list[Frame], int]:
    whole = [found for found in frames(data, FILE_HEAD_BYTES) if isinstance(found, Frame)]
    kept = [found for found in whole if keep(found.payload)]
    return kept, len(whole) - len(kept)


def _moved(kept: list[Frame], place: int) -> int:
    """Where a place between two frames is, when only these are left."""
    return FILE_HEAD_BYTES + sum(piece.end - piece.start for piece in kept if piece.end <= place)
