"""The words of the user's audio: asks a recogniser where there is one, and says honestly when there is none."""

import math
from array import array
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import structlog
import trio

from protocol.realtime import server_events as ev
from protocol.realtime.usage import TranscriptionUsage
from server.simulator.conversation import Entry
from server.simulator.generation import Trouble
from server.simulator.manners import NO_DEPLOYMENT
from server.simulator.meter import USER_AUDIO_MS_PER_TOKEN, Meter, text_tokens
from server.simulator.response import LiveResponse, as_error
from server.simulator.voice import g711

_log = structlog.get_logger("liveavatar.simulator")

# From PCM16 mono at 24 kHz to the words in it.
Recogniser: TypeAlias = Callable[[bytes], Awaitable[str]]

# A recogniser that takes longer has heard nothing.
RECOGNISER_SECONDS = 10.0
TRANSCRIPTION_ERROR = "transcription_error"
_UNAVAILABLE = "This simulator has no speech recogniser: it cannot transcribe audio. Type instead."
_FAILED = "The audio could not be transcribed."
# At Azure a transcription model goes by its deployment, and a missing one shows only when there is something to
# transcribe. This one needs no deployment there.
_WITHOUT_DEPLOYMENT = "whisper-1"
# Billed by duration, as its price list says.
_BY_DURATION = "whisper-1"
_UPSAMPLING = 3


class Hearing:
    """What a session hears.

    ``emit`` sends to the client. ``deployments`` are those that exist where a model is named by its deployment; empty
    means that every name does.
    """

    def __init__(
        self,
        recogniser: Recogniser | None,
        trouble: Trouble,
        meter: Meter,
        emit: Callable[[ev.ServerEvent], None],
        deployments: tuple[str, ...] = (),
    ) -> None:
        self._recogniser = recogniser
        self._trouble = trouble
        self._meter = meter
        self._emit = emit
        self._deployments = deployments
        self._pending: dict[str, trio.Event] = {}

    def expect(self, entry: Entry) -> None:
        """The words of this item are being looked for from now on."""
        self._pending[entry.id] = trio.Event()

    async def settled(self, live: LiveResponse) -> None:
        """Wait until nothing of the response's history is still being listened to. Bounded by the recogniser's time."""
        for entry in live.plan.history:
            pending = self._pending.get(entry.id)
            if pending is not None:
                await pending.wait()

    async def listen(self, entry: Entry, audio_format: dict[str, Any], transcription: dict[str, Any] | None) -> None:
        """Find the words of an item that is expected, and tell the client where it asked for them."""
        if transcription is not None and self._is_undeployed(transcription.get("model")):
            self._failed(entry, "DeploymentNotFound", NO_DEPLOYMENT)
            # The conversation's own model hears all the same.
            transcription = None
        try:
            words = await self._words(entry, audio_format, asked_for=transcription is not None)
        finally:
            pending = self._pending.pop(entry.id, None)
            if pending is not None:
                pending.set()
        if words is None:
            return
        for part in entry.item.content or []:
            if part.type == "input_audio":
                part.transcript = words
        if transcription is not None:
            self._completed(entry, words, transcription)

    async def _words(self, entry: Entry, audio_format: dict[str, Any], *, asked_for: bool) -> str | None:
        if asked_for and self._trouble.takes("transcriptions_failing"):
            self._failed(entry, "transcription_failed", _FAILED)
            return None
        if self._recogniser is None:
            if asked_for:
                self._failed(entry, "transcription_unavailable", _UNAVAILABLE)
            return None
        try:
            with trio.fail_after(RECOGNISER_SECONDS):
                return await self._recogniser(_pcm(entry.audio, audio_format["type"]))
        except Exception:  # noqa: BLE001
            # A recogniser is foreign code, and its failure is an ordinary event of this protocol.
            _log.exception("simulated transcription failed", item=entry.id)
            if asked_for:
                self._failed(entry, "transcription_failed", _FAILED)
            return None

    def _is_undeployed(self, model: object) -> bool:
        return bool(self._deployments) and model not in (*self._deployments, _WITHOUT_DEPLOYMENT, None)

    def _failed(self, entry: Entry, code: str, message: str) -> None:
        error = as_error(TRANSCRIPTION_ERROR, code, message)
        self._emit(ev.InputTranscriptionFailed(item_id=entry.id, content_index=0, error=error))

    def _completed(self, entry: Entry, words: str, transcription: dict[str, Any]) -> None:
        seconds = entry.audio_ms / 1000
        self._meter.transcribed(seconds)
        if transcription.get("model") == _BY_DURATION:
            usage = TranscriptionUsage(type="duration", seconds=seconds)
        else:
            heard, written = math.ceil(entry.audio_ms / USER_AUDIO_MS_PER_TOKEN), text_tokens(words)
            usage = TranscriptionUsage(
                type="tokens", total_tokens=heard + written, input_tokens=heard, output_tokens=written
            )
        self._emit(ev.InputTranscriptionDelta(item_id=entry.id, content_index=0, delta=words))
        self._emit(ev.InputTranscriptionCompleted(item_id=entry.id, content_index=0, transcript=words, usage=usage))


def _pcm(audio: bytes, audio_format: str) -> bytes:
    """PCM16 at 24 kHz: G.711 is repeated up from its 8 kHz, which a recogniser's own filter smooths."""
    if audio_format == "audio/pcm":
        return audio
    narrow = g711.decode_mulaw(audio) if audio_format == "audio/pcmu" else g711.decode_alaw(audio)
    wide = array("h", bytes(len(narrow) * _UPSAMPLING))
    samples = array("h", narrow)
    for offset in range(_UPSAMPLING):
        wide[offset::_UPSAMPLING] = samples
    return wide.tobytes()
