"""Records the sound of sessions, each side in a WAV file; off unless somebody wants it. It never delays the sound.

What comes is put aside and written by one task in a thread, some times a second. Where that is too slow, the disk has
no room or a file is at its greatest size, sound is dropped, and the record of the recording says so. Both files begin
at the same moment, with silence where a side was silent, so that they can be played together.
"""

import base64
import binascii
import contextlib
import datetime as dt
import hashlib
import math
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog
import trio

from server.store.base import Side
from server.store.records import AudioRecording
from server.store.wav import BYTES_PER_MS, HEAD_BYTES, WAV_MAX_BYTES, head, repair

__all__ = ["Recordings", "SessionRecording"]

_log = structlog.get_logger("liveavatar.store")

SIDES: Final[tuple[Side, ...]] = ("client", "avatar")

# Often enough that a kill costs little, seldom enough that a thousand sessions open few files.
_WRITE_EVERY_S: Final = 0.5
# Of all sessions: a minute of a hundred of them, both sides.
PENDING_MAX_BYTES: Final = 64 * 1024 * 1024
# Sound comes in bursts; a gap as short as this is none.
_GAP_MS: Final = 250
# A clock that jumped must not fill the disk with silence.
_SILENCE_MAX_MS: Final = 60_000
# At the end, for what is still in memory.
_CLOSE_S: Final = 5.0
_FILE_MODE: Final = 0o600
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")

TOO_SLOW: Final = "the disk was too slow"
NO_ROOM: Final = "recordings have no room left"
TOO_LONG: Final = "the file is at its greatest size"
REMOVED: Final = "the file was removed"
KILLED: Final = "the server ended without finishing it"


@dataclass(slots=True)
class _Piece:
    """Sound of a side at a moment of the session; without sound, what lies behind the moment is taken back."""

    at_ms: float
    audio: bytes | None
    is_base64: bool


@dataclass(slots=True)
class _Track:
    """One side's file. ``size`` is the bytes of sound in it."""

    file: Path
    pieces: list[_Piece] = field(default_factory=list)
    size: int = 0
    dropped_bytes: int = 0
    note: str = ""
    is_over: bool = False

    def drop(self, size: int, why: str) -> None:
        self.dropped_bytes += size
        self.note = self.note or why


class SessionRecording:
    """The recording of one session. Implements ``SessionSound``."""

    def __init__(
        self, owner: "Recordings", session_id: str, record: Callable[[AudioRecording], object], at: dt.datetime
    ) -> None:
        self.session_id = session_id
        self._owner = owner
        self._record = record
        self._at = at
        self._start = trio.current_time()
        self.tracks = {side: _Track(owner.file(session_id, side)) for side in SIDES}
        self.is_finished = False

    def take(self, side: Side, audio: bytes, *, is_base64: bool = False) -> None:
        """See ``SessionSound``."""
        size = len(audio) * 3 // 4 if is_base64 else len(audio)
        track = self.tracks[side]
        if self.is_finished:
            return
        if not self._owner.has_place(len(audio)):
            track.drop(size, TOO_SLOW)
            return
        track.pieces.append(_Piece(self._now_ms(), audio, is_base64))

    def miss(self, side: Side, missed_ms: float, why: str) -> None:
        """See ``SessionSound``."""
        if not self.is_finished:
            self.tracks[side].drop(round(missed_ms) * BYTES_PER_MS, why)

    def cut(self, side: Side) -> None:
        """See ``SessionSound``."""
        if not self.is_finished:
            self.tracks[side].pieces.append(_Piece(self._now_ms(), None, is_base64=False))

    def finish(self) -> None:
        """See ``SessionSound``: the files are finished and recorded a moment later."""
        self.is_finished = True

    def _now_ms(self) -> float:
        return (trio.current_time() - self._start) * 1000

    def tell(self) -> None:
        """Records how the files stand."""
        for side, track in self.tracks.items():
            self._record(
                AudioRecording(
                    session_id=self.session_id,
                    id=side,
                    at=self._at,
                    file=track.file.name,
                    duration_ms=track.size // BYTES_PER_MS,
                    size_bytes=HEAD_BYTES + track.size,
                    dropped_ms=track.dropped_bytes // BYTES_PER_MS,
                    note=track.note,
                )
            )


class Recordings:
    """The recordings of one server, in a folder of its own.

    Args:
        max_bytes: of all files together; above it nothing is recorded.
        now: the time of day.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int,
        now: Callable[[], dt.datetime],
        pending_max_bytes: int = PENDING_MAX_BYTES,
    ) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._pending_max_bytes = pending_max_bytes
        self._now = now
        self._sessions: dict[str, SessionRecording] = {}
        self._pending_bytes = 0
        self._stored_bytes = 0
        self._thread = trio.CapacityLimiter(1)

    def file(self, session_id: str, side: Side) -> Path:
        """Where a side's sound is, or would be."""
        # Ids are ours and fit; what does not must still not be a path.
        name = session_id if _NAME.fullmatch(session_id) else hashlib.sha256(session_id.encode()).hexdigest()
        return self._folder / f"{name}.{side}.wav"

    def open(self, session_id: str, record: Callable[[AudioRecording], object]) -> SessionRecording:
        """Begins to record a session; ``record`` keeps what there is to know, at the beginning and at the end."""
        session = SessionRecording(self, session_id, record, self._now())
        self._sessions[session_id] = session
        # From now on an erasure finds the files by their record.
        session.tell()
        return session

    def has_place(self, size: int) -> bool:
        """Takes a place in memory for so many bytes, if there is one."""
        if self._pending_bytes + size > self._pending_max_bytes:
            return False
        self._pending_bytes += size
        return True

    async def run(
        self,
        on_repaired: Callable[[AudioRecording], object],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Writes until cancelled; then writes what is left, and finishes all files.

        ``on_repaired`` is told of the files that a killed server left. Raises OSError for a folder that cannot be used.
        """
        for repaired in await trio.to_thread.run_sync(self._repair, limiter=self._thread):
            on_repaired(repaired)
        task_status.started()
        try:
            while True:
                await trio.sleep(_WRITE_EVERY_S)
                await self._write()
        finally:
            with trio.move_on_after(_CLOSE_S, shield=True):
                for session in self._sessions.values():
                    session.finish()
                await self._write()

    async def _write(self) -> None:
        todo = [
            (session, {side: self._pieces(track) for side, track in session.tracks.items()}, session.is_finished)
            for session in self._sessions.values()
        ]
        if not todo:
            return
        await trio.to_thread.run_sync(self._put, todo, limiter=self._thread)
        for session, pieces, is_finished in todo:
            self._pending_bytes -= sum(_size(some) for some in pieces.values())
            if is_finished and self._sessions.get(session.session_id) is session:
                del self._sessions[session.session_id]
                session.tell()

    @staticmethod
    def _pieces(track: _Track) -> list[_Piece]:
        pieces, track.pieces = track.pieces, []
        return pieces

    async def discard(self, session_id: str, files: Iterable[str] = ()) -> None:
        """Removes a session's files, and others by their names; stops recording it. Raises OSError."""
        session = self._sessions.pop(session_id, None)
        if session is not None:
            session.finish()
            self._pending_bytes -= sum(_size(self._pieces(track)) for track in session.tracks.values())
        await self.remove([*(self.file(session_id, side).name for side in SIDES), *files])

    async def remove(self, files: Iterable[str]) -> None:
        """Removes files by their names; what is not there is gone already. Raises OSError."""
        await trio.to_thread.run_sync(self._remove, list(files), limiter=self._thread)

    # In the thread

    def _repair(self) -> list[AudioRecording]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        repaired: list[AudioRecording] = []
        for file in sorted(self._folder.glob("*.*.wav")):
            data_bytes = repair(file)
            status = file.stat()
            self._stored_bytes += status.st_size
            session_id, side = file.stem.rsplit(".", 1)
            if data_bytes is not None and side in SIDES:
                _log.warning("recording repaired", file=file.name, duration_ms=data_bytes // BYTES_PER_MS)
                duration_ms = data_bytes // BYTES_PER_MS
                ended_at = dt.datetime.fromtimestamp(status.st_mtime, dt.UTC)
                repaired.append(
                    AudioRecording(
                        session_id=session_id,
                        id=side,
                        at=ended_at - dt.timedelta(milliseconds=duration_ms),
                        file=file.name,
                        duration_ms=duration_ms,
                        size_bytes=HEAD_BYTES + data_bytes,
                        note=KILLED,
                    )
                )
        return repaired

    def _put(self, todo: list[tuple[SessionRecording, dict[Side, list[_Piece]], bool]]) -> None:
        for session, pieces, is_finished in todo:
            for side, track in session.tracks.items():
                try:
                    self._put_track(track, pieces[side], is_finished=is_finished)
                except FileNotFoundError:
                    track.is_over = True
                    track.note = track.note or REMOVED
                except OSError as error:
                    track.drop(_size(pieces[side]), error.strerror or type(error).__name__)
                    _log.error("sound cannot be recorded", session_id=session.session_id, side=side, error=str(error))

    def _put_track(self, track: _Track, pieces: list[_Piece], *, is_finished: bool) -> None:
        if track.is_over or not (pieces or (is_finished and track.size)):
            return
        if not track.size and not track.file.exists():
            os.close(os.open(track.file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE))
        # Without O_CREAT: a file that was erased meanwhile must not come back.
        descriptor = os.open(track.file, os.O_WRONLY | os.O_CLOEXEC)
        try:
            if not track.size:
                self._stored_bytes += os.pwrite(descriptor, head(0), 0)
            for piece in pieces:
                self._put_piece(descriptor, track, piece)
            if is_finished:
                os.pwrite(descriptor, head(track.size), 0)
        finally:
            os.close(descriptor)

    def _put_piece(self, descriptor: int, track: _Track, piece: _Piece) -> None:
        now = math.floor(piece.at_ms) * BYTES_PER_MS
        if piece.audio is None:
            if now < track.size:
                os.ftruncate(descriptor, HEAD_BYTES + now)
                self._stored_bytes -= track.size - now
                track.size = now
            return
        audio = _decoded(piece)
        gap = now - track.size
        silence = b""
        if gap > _GAP_MS * BYTES_PER_MS:
            silence = bytes(min(gap, _SILENCE_MAX_MS * BYTES_PER_MS))
        size = len(silence) + len(audio)
        if self._stored_bytes + size > self._max_bytes:
            track.drop(len(audio), NO_ROOM)
        elif track.size + size > WAV_MAX_BYTES - HEAD_BYTES:
            track.drop(len(audio), TOO_LONG)
        else:
            written = os.pwrite(descriptor, silence + audio, HEAD_BYTES + track.size) // 2 * 2
            track.size += written
            self._stored_bytes += written
            if written < size:
                track.drop(size - written, NO_ROOM)

    def _remove(self, names: list[str]) -> None:
        for name in names:
            file = self._folder / Path(name).name
            with contextlib.suppress(FileNotFoundError):
                size = file.stat().st_size
                file.unlink()
                self._stored_bytes -= size


def _size(pieces: Iterable[_Piece]) -> int:
    return sum(len(piece.audio or b"") for piece in pieces)


def _decoded(piece: _Piece) -> bytes:
    """The sound; whole samples. What is no base64 is no sound."""
    audio = piece.audio or b""
    if piece.is_base64:
        try:
            audio = base64.b64decode(audio, validate=True)
        except binascii.Error:
            return b""
    return audio[: len(audio) // 2 * 2]
