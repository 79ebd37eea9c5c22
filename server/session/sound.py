"""What of a session's frames is sound to be recorded, and what nobody hears of it. It decodes and keeps nothing."""

from collections.abc import Callable
from typing import Final

import msgspec
import structlog

from protocol.conversation.configuration import Configuration
from protocol.realtime.codec import InvalidEvent, base64_size, read_head
from server.store.base import SessionSound, Side

__all__ = ["SoundTap"]

_log = structlog.get_logger("liveavatar.session")

_APPEND: Final = "input_audio_buffer.append"
_APPEND_BYTES: Final = _APPEND.encode()
# PCM of 16 bits at 24 kHz; no other format of the protocol has as much.
_PCM_BYTES_PER_MS: Final = 48
OTHER_FORMAT: Final = "it is not PCM16"


class SoundTap:
    """The sound of one session, taken from the frames that pass. Plain functions that never wait.

    Sound is handed over as the base64 that came. What is no PCM16 is missing in the recording, which says so.

    Args:
        open_sound: begins to record; None where no sound is recorded.
        configuration: of the session: it knows in which formats is spoken.
    """

    def __init__(self, session_id: str, open_sound: Callable[[], SessionSound | None], configuration: Configuration):
        self._session_id = session_id
        self._open_sound = open_sound
        self._configuration = configuration
        self._sound: SessionSound | None = None
        self._told: set[Side] = set()

    def begin(self) -> bool:
        """The session begins. False if nothing is to be recorded: then there is nothing more to call."""
        self._sound = self._open_sound()
        return self._sound is not None

    def from_client(self, frame: bytes) -> None:
        """A message of the client's, of whatever kind."""
        if _APPEND_BYTES not in frame:
            return
        try:
            head = read_head(frame)
        except InvalidEvent:
            return  # the client is told so; it is no sound
        if head.type == _APPEND and isinstance(head.audio, msgspec.Raw):
            self._take("client", head.audio, self._configuration.input_bytes_per_ms)

    def to_client(self, frame: bytes) -> None:
        """A frame with sound for the client."""
        head = read_head(frame)
        if isinstance(head.delta, msgspec.Raw):
            self._take("avatar", head.delta, self._configuration.output_bytes_per_ms)

    def cut(self) -> None:
        """Of what the avatar was to say, nothing more is heard: somebody interrupted, or nobody is there."""
        if self._sound is not None:
            self._sound.cut("avatar")

    def finish(self) -> None:
        """The session is over."""
        if self._sound is not None:
            self._sound.finish()

    def _take(self, side: Side, raw: msgspec.Raw, bytes_per_ms: int) -> None:
        if self._sound is None:
            return
        if bytes_per_ms == _PCM_BYTES_PER_MS:
            text = bytes(raw)
            if text[:1] == b'"':
                # Some write a slash as JSON allows; base64 is full of them.
                text = text[1:-1].replace(b"\\/", b"/")
                self._sound.take(side, text, is_base64=True)
            return
        self._sound.miss(side, base64_size(raw) / bytes_per_ms, OTHER_FORMAT)
        if side not in self._told:
            self._told.add(side)
            _log.warning("sound is not recorded", session_id=self._session_id, side=side, why=OTHER_FORMAT)
