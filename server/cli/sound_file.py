"""A WAV file that takes the sound of answers as it comes: PCM16, mono, 24 kHz. It plays nothing."""

import binascii
import wave
from types import TracebackType
from typing import Self

from protocol.realtime.session import PCM16_RATE_HZ, Session
from server.cli.command import CommandFailed

_PCM16 = "audio/pcm"


class SoundFile:
    """The file at ``path``, made anew. Written as it goes: a chat has no bound, and memory has one.

    Raises CommandFailed wherever it cannot be written.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            # Opened here, for a Wave_write that could not open it complains once more when it is collected.
            self._file = open(path, "wb")  # noqa: SIM115 - closed by __exit__
        except OSError as error:
            raise self._failed(error) from None
        self._wave = wave.Wave_write(self._file)
        self._wave.setnchannels(1)
        self._wave.setsampwidth(2)
        self._wave.setframerate(PCM16_RATE_HZ)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            with self._file:
                self._wave.close()
        except OSError as failure:
            if error is None:
                raise self._failed(failure) from None

    def check_format(self, session: Session) -> None:
        """Refuse a session whose sound is of another kind: it would be noise."""
        output = session.audio.output if session.audio else None
        format_ = output.format if output else None
        if format_ and format_.type != _PCM16:
            raise CommandFailed(f"The server speaks {format_.type}, and --wav can write {_PCM16} only.")

    def write(self, base64: str) -> None:
        """Add a piece of sound."""
        try:
            self._wave.writeframes(binascii.a2b_base64(base64))
        except binascii.Error as error:
            raise CommandFailed(f"The server sent sound that is no base64: {error}.") from None
        except OSError as error:
            raise self._failed(error) from None

    def _failed(self, error: OSError) -> CommandFailed:
        return CommandFailed(f"{self._path} cannot be written: {error.strerror or error}.")
