"""Writes the contents of a response as time goes by: thinks, speaks phrase by phrase, paces the audio.

Asynchronous, and the only part that takes time over a response. Cancelled from outside it just stops: whoever
cancelled has finished the response already.
"""

import itertools
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
import structlog
import trio

from server.simulator.refusal import Refusal
from server.simulator.response import LiveResponse, Message, OutputLimitReached, ResponseEnded, as_error
from server.simulator.thinking import CallTool, Decision, Think
from server.simulator.voice import Speech, Voice, g711, phrases, visemes

_log = structlog.get_logger("liveavatar.simulator")

# As captured: 4,800 B, 7,200 B, then 12,000 B of PCM, in ms.
DELTA_MS = (100, 150, 250)
PCM_BYTES_PER_MS = 48
# The transcript runs ahead of the sound by this much.
TRANSCRIPT_LEAD_MS = 500.0
# Arguments come in pieces of a few tokens.
ARGUMENTS_PIECE_CHARS = 12
# What a slowed-down service takes at least for thinking, and for a piece of text, each times its factor.
SLOW_THINK_S = 0.1
SLOW_PIECE_S = 0.01
# A content filter lets this many words through before it stops a response.
FILTERED_AFTER_WORDS = 3
FAILURE_MESSAGE = "The server had an error while processing your request."

_PIECE = re.compile(r"\s*\S+|\s+$")


@dataclass(slots=True)
class Trouble:
    """Faults that last: how the next responses and transcriptions of a session go wrong. -1 is always."""

    unbegun: int = 0
    failing: int = 0
    failure_code: str | None = None
    failure_message: str = FAILURE_MESSAGE
    filtered: int = 0
    transcriptions_failing: int = 0
    slowness: float = 1.0

    def takes(self, what: str) -> bool:
        """Whether the next one goes wrong; counts it down."""
        left: int = getattr(self, what)
        if left > 0:
            setattr(self, what, left - 1)
        return left != 0


@dataclass(slots=True)
class Generator:
    """What all responses of a session are written with.

    ``ready`` waits until the client has taken enough of what was sent; ``heard`` until the words of the history's
    audio are known or known to stay unknown. ``pace`` is times real time, 0 is unpaced.
    """

    think: Think
    voice: Voice
    think_s: float
    pace: float
    trouble: Trouble
    ready: Callable[[], Awaitable[None]]
    heard: Callable[[LiveResponse], Awaitable[None]]

    async def write(self, live: LiveResponse) -> None:
        """Fill a started response and finish it. Raises nothing; cancellation leaves it as it is."""
        try:
            await self._write(live)
        except ResponseEnded:
            return
        except OutputLimitReached:
            live.finish("incomplete", "max_output_tokens")
        except Refusal as refused:
            live.finish("failed", error=as_error(refused.detail.type, refused.detail.code, refused.detail.message))
        except Exception:  # noqa: BLE001
            # Whatever thinking or speaking raises ends this response only, as the service's own faults do.
            _log.exception("simulated response failed", response=live.id)
            live.finish("failed", error=as_error("server_error", None, FAILURE_MESSAGE))

    async def _write(self, live: LiveResponse) -> None:
        await self.heard(live)
        await self._think_a_while()
        if self.trouble.takes("failing"):
            code, message = self.trouble.failure_code, self.trouble.failure_message
            live.finish("failed", error=as_error("server_error", code, message))
            return
        filtered = self.trouble.takes("filtered")
        for decision in self.think(live.plan):
            await self._item(live, decision, filtered=filtered)
        if filtered:
            live.finish("incomplete", "content_filter")
        else:
            live.finish("completed")

    async def _think_a_while(self) -> None:
        seconds = self.think_s
        if self.trouble.slowness != 1.0:
            seconds = max(seconds, SLOW_THINK_S) * self.trouble.slowness
        await trio.sleep(seconds)

    async def _item(self, live: LiveResponse, decision: Decision, *, filtered: bool) -> None:
        if isinstance(decision, CallTool):
            await self._call(live, decision)
            return
        text = decision.text
        if filtered:
            text = "".join(_PIECE.findall(text)[:FILTERED_AFTER_WORDS])
        message = live.message()
        if live.plan.modality == "audio":
            await _Speaking(self, live, message).say(text)
        else:
            for piece in _PIECE.findall(text):
                await self.piece_ready()
                message.write(piece)
        message.close(status="incomplete" if filtered else "completed")

    async def _call(self, live: LiveResponse, decision: CallTool) -> None:
        arguments = msgspec.json.encode(decision.arguments).decode()
        call = live.call(decision.name)
        for start in range(0, len(arguments), ARGUMENTS_PIECE_CHARS):
            await self.piece_ready()
            call.write(arguments[start : start + ARGUMENTS_PIECE_CHARS])
        call.close("completed")

    async def piece_ready(self) -> None:
        """Wait for the moment of the next piece of text."""
        if self.trouble.slowness != 1.0:
            await trio.sleep(SLOW_PIECE_S * self.trouble.slowness)
        await self.ready()

    @property
    def audio_pace(self) -> float:
        """Times real time, faults included; 0 is unpaced."""
        if self.trouble.slowness == 1.0:
            return self.pace
        return (self.pace or 1.0) / self.trouble.slowness


class _Speaking:
    """One message being spoken: phrases become words and sound, cut into the service's sizes."""

    def __init__(self, generator: Generator, live: LiveResponse, message: Message) -> None:
        self._generator = generator
        self._live = live
        self._message = message
        self._format: str = live.plan.audio_format["type"]
        self._bytes_per_ms = PCM_BYTES_PER_MS if self._format == "audio/pcm" else g711.G711_BYTES_PER_MS
        self._pending = bytearray()
        self._sent_ms = 0.0
        self._made_ms = 0.0
        self._deltas = 0
        self._words: list[tuple[float, str]] = []
        self._started_at = trio.current_time()

    async def say(self, text: str) -> None:
        """Speak a text, phrase by phrase."""
        plan = self._live.plan
        voice = plan.voice["id"] if isinstance(plan.voice, dict) else plan.voice
        for phrase in phrases(text):
            speech = await self._generator.voice.speak(
                phrase.text, voice=voice, language=plan.language, speed=plan.speed
            )
            if plan.visemes:
                for viseme in visemes(speech.phones, end_ms=speech.duration_ms):
                    await self._generator.ready()
                    self._message.viseme(round(self._made_ms + viseme.offset_ms, 1), viseme.viseme_id)
            self._words += _timed_words(phrase.text, speech, self._made_ms)
            self._made_ms += speech.duration_ms
            self._pending += _encoded(speech.pcm, self._format)
            while len(self._pending) >= (size := self._next_bytes()):
                await self._send(size)
        while self._pending:
            await self._send(min(len(self._pending), self._next_bytes()))
        await self._transcript_until(None)

    def _next_bytes(self) -> int:
        return DELTA_MS[min(self._deltas, len(DELTA_MS) - 1)] * self._bytes_per_ms

    async def _send(self, size: int) -> None:
        audio = bytes(self._pending[:size])
        audio_ms = size / self._bytes_per_ms
        await self._transcript_until(self._sent_ms + audio_ms + TRANSCRIPT_LEAD_MS)
        pace = self._generator.audio_pace
        if pace:
            await trio.sleep_until(self._started_at + self._sent_ms / 1000 / pace)
        await self._generator.ready()
        self._message.sound(audio, audio_ms)
        del self._pending[:size]
        self._sent_ms += audio_ms
        self._deltas += 1

    async def _transcript_until(self, until_ms: float | None) -> None:
        while self._words and (until_ms is None or self._words[0][0] < until_ms):
            offset_ms, piece = self._words.pop(0)
            await self._generator.ready()
            self._message.write(piece, offset_ms)


def _timed_words(text: str, speech: Speech, start_ms: float) -> list[tuple[float, str]]:
    """The text cut before each spoken word, with the time at which the piece begins to sound."""
    if not speech.words:
        return [(start_ms, text)] if text else []
    starts = [word.char_start for word in speech.words]
    # What stands before the first word (a quotation mark, a space) goes with it; spaces go in front of their word.
    # An engine may place a word behind the next one, or twice (a spelled-out number): cuts only go forward.
    spaces = (max(text.rfind(" ", 0, start + 1), 0) for start in starts[1:])
    cuts = [*itertools.accumulate([0, *spaces], max), len(text)]
    timed = [
        (start_ms + word.offset_ms, text[begin:end])
        for word, begin, end in zip(speech.words, cuts, cuts[1:], strict=False)
    ]
    return [(offset_ms, piece) for offset_ms, piece in timed if piece]


def _encoded(pcm: bytes, audio_format: str) -> bytes:
    if audio_format == "audio/pcm":
        return pcm
    narrow = g711.to_8_khz(pcm)
    return g711.encode_mulaw(narrow) if audio_format == "audio/pcmu" else g711.encode_alaw(narrow)
