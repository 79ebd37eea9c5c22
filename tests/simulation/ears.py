"""The ears of the model service: the user's sound, its turns by a simple rule, and what becomes of it. Answers nothing.

A piece of sound whose label says speech is speech; half a second of silence behind it ends the turn.
"""

from collections.abc import Callable

from tests.simulation import sound
from tests.simulation.mind import Json
from tests.simulation.sound import SPEECH, Sound

_SILENCE_MS = 500
_PREFIX_MS = 300
_MIN_COMMIT_MS = 100


class Ears:
    """Hears for one session.

    Args:
        detection: the effective ``turn_detection``.
        interrupted: somebody begins to speak, and that interrupts.
        commit: what was buffered becomes an item: its id, and the utterances in it.
        answer: the turn is over, and an answer is wanted.

    Attributes:
        heard: every piece of sound that arrived, in order.
        speech_item: the item that is being spoken; None in silence.
    """

    def __init__(
        self,
        *,
        say: Callable[[Json], None],
        new_item: Callable[[], str],
        detection: Callable[[], Json | None],
        interrupted: Callable[[], None],
        speaking: Callable[[], None],
        commit: Callable[[str, list[int]], None],
        answer: Callable[[], None],
    ) -> None:
        self._say, self._new_item, self._detection = say, new_item, detection
        self._interrupted, self._speaking, self._commit, self._answer = interrupted, speaking, commit, answer
        self.heard: list[Sound] = []
        self.speech_item: str | None = None
        self._buffer_ms = 0
        self._heard_ms = 0
        self._silent_ms = 0
        self._buffered: list[int] = []

    def append(self, audio: str) -> None:
        """A piece of sound."""
        piece = sound.decode(audio)
        self.heard.append(piece)
        self._heard_ms += piece.ms
        self._buffer_ms += piece.ms
        if piece.kind == SPEECH and piece.utterance not in self._buffered:
            self._buffered.append(piece.utterance)
        vad = self._detection()
        if vad is None:
            return
        if piece.kind == SPEECH:
            self._silent_ms = 0
            if self.speech_item is None:
                self._speech_starts(piece.ms, interrupts=vad.get("interrupt_response") is not False)
        elif self.speech_item is not None:
            self._silent_ms += piece.ms
            if self._silent_ms >= _SILENCE_MS:
                self._speech_stops(answers=vad.get("create_response") is not False)
        else:
            self._buffer_ms, self._buffered = 0, []  # only what surrounds speech is kept

    def _speech_starts(self, ms: int, *, interrupts: bool) -> None:
        self.speech_item = self._new_item()
        begun_ms = max(0, self._heard_ms - ms - _PREFIX_MS)
        event = {"type": "input_audio_buffer.speech_started", "audio_start_ms": begun_ms}
        self._say({**event, "item_id": self.speech_item})
        if interrupts:
            self._interrupted()
        self._speaking()

    def _speech_stops(self, *, answers: bool) -> None:
        item_id, self.speech_item = str(self.speech_item), None
        event = {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": self._heard_ms - _SILENCE_MS}
        self._say({**event, "item_id": item_id})
        self._empty_into(item_id)
        if answers:
            self._answer()

    def commit(self) -> bool:
        """The buffer becomes an item; False if there is too little in it."""
        if self._buffer_ms < _MIN_COMMIT_MS:
            return False
        item_id, self.speech_item = self.speech_item or self._new_item(), None
        self._empty_into(item_id)
        return True

    def _empty_into(self, item_id: str) -> None:
        utterances, self._buffered = self._buffered, []
        self._buffer_ms, self._silent_ms = 0, 0
        self._commit(item_id, utterances)

    def clear(self) -> None:
        """The buffer is thrown away."""
        self._buffer_ms, self._buffered, self.speech_item = 0, [], None
