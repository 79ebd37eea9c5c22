"""The input side of a session: appended audio, turns by voice activity or by commit, the idle timeout.

Reports turns and edges; starts no response and sends nothing itself.
"""

from typing import Any, Protocol

from protocol.realtime import server_events as ev
from server.simulator.conversation import Entry, audio_entry
from server.simulator.identifiers import Ids
from server.simulator.input_buffer import InputBuffer
from server.simulator.request import bytes_per_ms
from server.simulator.vad import SpeechStarted, VoiceActivity


class Turns(Protocol):
    """Who hears of what the listener finds."""

    def emit(self, event: ev.ServerEvent) -> None:
        """Send an event to the client."""
        ...

    def speech_began(self) -> None:
        """The user began to speak (after ``speech_started`` was sent)."""
        ...

    def turn_committed(self, entry: Entry, *, by_detection: bool) -> None:
        """Audio became a user item (after ``input_audio_buffer.committed`` would be due)."""
        ...


class Listener:
    """The input audio buffer with the session's turn detection laid over it."""

    def __init__(self, turns: Turns, ids: Ids, audio_format: dict[str, Any], detection: dict[str, Any] | None) -> None:
        self._turns = turns
        self._ids = ids
        self._format = audio_format
        self._detection = detection
        self._buffer = InputBuffer(bytes_per_ms(audio_format))
        self._activity = self._new_activity()
        self._speech_item = ""
        self._speech_start_ms = 0.0
        self._idle_from_ms = 0.0

    @property
    def speaking(self) -> bool:
        """Whether a turn is being spoken, as far as the detection knows."""
        return self._activity is not None and self._activity.speaking

    def configure(self, audio_format: dict[str, Any], detection: dict[str, Any] | None) -> None:
        """Follow an update of the session. Another format drops what is buffered; other detection starts afresh."""
        if audio_format != self._format:
            self._format = audio_format
            self._buffer.change_format(bytes_per_ms(audio_format))
        elif detection == self._detection:
            return
        self._detection = detection
        self._activity = self._new_activity()

    def append(self, audio: bytes) -> None:
        """Hear some audio.

        Raises:
            Refusal: too much of it.
        """
        self._buffer.append(audio)
        activity = self._activity
        if activity is None:
            return
        for edge in activity.feed(audio):
            if isinstance(edge, SpeechStarted):
                self._started(edge.start_ms)
            else:
                self._stopped(edge.end_ms)
        if not activity.speaking:
            self._buffer.drop_before(min(activity.keep_from_ms, self._idle_keep_ms()))

    def commit(self) -> None:
        """Make a turn of what is buffered.

        Raises:
            Refusal: there is less than 100 ms.
        """
        audio, audio_ms = self._buffer.commit()
        item_id = self._speech_item if self.speaking else self._ids("item")
        if self._activity is not None:
            self._activity.turn_ended(self._buffer.end_ms)
        self._turns.turn_committed(audio_entry(item_id, audio, audio_ms), by_detection=False)

    def clear(self) -> None:
        """Forget what is buffered, a turn being spoken included."""
        self._buffer.clear()
        if self._activity is not None:
            self._activity.turn_ended(self._buffer.end_ms)

    def playback_ended(self) -> None:
        """The last answer has been heard: silence counts from here."""
        self._idle_from_ms = self._buffer.end_ms

    def idle_timeout(self) -> None:
        """Make a turn of the silence since the last answer."""
        end_ms = self._buffer.end_ms
        audio, audio_ms = self._buffer.take(self._idle_from_ms, end_ms)
        entry = audio_entry(self._ids("item"), audio, audio_ms)
        entry.idle = True
        if self._activity is not None:
            self._activity.turn_ended(end_ms)
        self._turns.emit(
            ev.TimeoutTriggered(audio_start_ms=round(self._idle_from_ms), audio_end_ms=round(end_ms), item_id=entry.id)
        )
        self._turns.turn_committed(entry, by_detection=True)

    def _started(self, start_ms: float) -> None:
        self._speech_item = self._ids("item")
        self._speech_start_ms = start_ms
        self._turns.emit(ev.SpeechStarted(audio_start_ms=round(start_ms), item_id=self._speech_item))
        self._turns.speech_began()

    def _stopped(self, end_ms: float) -> None:
        self._turns.emit(ev.SpeechStopped(audio_end_ms=round(end_ms), item_id=self._speech_item))
        audio, audio_ms = self._buffer.take(self._speech_start_ms, end_ms)
        self._turns.turn_committed(audio_entry(self._speech_item, audio, audio_ms), by_detection=True)

    def _idle_keep_ms(self) -> float:
        # With an idle timeout the silence itself may become a turn (at most 30 s of it are waited for).
        waits = self._detection is not None and self._detection.get("idle_timeout_ms") is not None
        return max(self._idle_from_ms, self._buffer.end_ms - 30_000) if waits else self._buffer.end_ms

    def _new_activity(self) -> VoiceActivity | None:
        if self._detection is None:
            return None
        return VoiceActivity(self._detection, self._format["type"], self._buffer.end_ms)
