"""The input audio buffer: uncommitted bytes and where in the session's audio they lie. Detects no speech."""

from server.simulator import refusal
from server.simulator.refusal import Refusal

# The service refuses to make a turn of less.
COMMIT_MIN_MS = 100
APPEND_MAX_BYTES = 15 * 1024 * 1024
# Not the service's: 23 minutes of PCM. Beyond it appends are refused, so that a client cannot fill the memory.
BUFFER_MAX_BYTES = 64 * 1024 * 1024


class InputBuffer:
    """Positions are milliseconds from the start of all audio that was written in this session."""

    def __init__(self, bytes_per_ms: int) -> None:
        self._bytes_per_ms = bytes_per_ms
        self._kept = bytearray()
        self._start_ms = 0.0

    @property
    def start_ms(self) -> float:
        """Position of the first byte that is kept."""
        return self._start_ms

    @property
    def end_ms(self) -> float:
        """Position behind the last byte written."""
        return self._start_ms + self.buffered_ms

    @property
    def buffered_ms(self) -> float:
        """How much is kept."""
        return len(self._kept) / self._bytes_per_ms

    def append(self, audio: bytes) -> None:
        """Write at the end.

        Raises:
            Refusal: one append of more than 15 MiB, or the buffer is full.
        """
        if len(audio) > APPEND_MAX_BYTES:
            raise refusal.invalid("Invalid 'audio': at most 15 MiB of audio can be appended at once.", "audio")
        if len(self._kept) + len(audio) > BUFFER_MAX_BYTES:
            raise refusal.invalid("The input audio buffer is full: commit or clear it first.", "audio")
        self._kept += audio

    def clear(self) -> None:
        """Throw the kept bytes away; positions go on."""
        self._start_ms = self.end_ms
        self._kept.clear()

    def drop_before(self, at_ms: float) -> None:
        """Forget what lies before a position."""
        count = min(len(self._kept), int((at_ms - self._start_ms) * self._bytes_per_ms))
        if count > 0:
            # Never half a sample.
            count -= count % 2
            del self._kept[:count]
            self._start_ms += count / self._bytes_per_ms

    def take(self, start_ms: float, end_ms: float) -> tuple[bytes, float]:
        """The audio between two positions and its length in ms; everything up to ``end_ms`` leaves the buffer."""
        self.drop_before(start_ms)
        count = max(0, int((end_ms - self._start_ms) * self._bytes_per_ms))
        taken = bytes(self._kept[:count])
        del self._kept[:count]
        self._start_ms += len(taken) / self._bytes_per_ms
        return taken, len(taken) / self._bytes_per_ms

    def commit(self) -> tuple[bytes, float]:
        """All that is kept and its length in ms; the buffer is empty afterwards.

        Raises:
            Refusal: there is less than 100 ms.
        """
        if self.buffered_ms < COMMIT_MIN_MS:
            message = (
                "Error committing input audio buffer: buffer too small. "
                f"Expected at least {COMMIT_MIN_MS}ms of audio, but buffer only has {self.buffered_ms:.2f}ms of audio."
            )
            raise Refusal("input_audio_buffer_commit_empty", message)
        return self.take(self._start_ms, self.end_ms)

    def change_format(self, bytes_per_ms: int) -> None:
        """Go on in another format. What is kept was written in the old one and is thrown away."""
        self.clear()
        self._bytes_per_ms = bytes_per_ms
