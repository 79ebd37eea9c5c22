"""Speech from eSpeak NG, the C library inside the optional `espeakng_loader` wheel. Does not resample.

The library makes 22,050 samples a second and the protocol wants 24,000. Converting in Python would take more time
than making the speech (6 ms a second for linear interpolation). So the samples are handed on as they are, to be played
8.8 % faster, and the library is asked for speech that is as much slower and lower: tempo and pitch come out right,
only the formants move up, as of a speaker with a slightly shorter throat. The times of phones and words scale with it.

eSpeak NG is one instance per process, with its state in C globals: every call is made under one lock.
"""

import ctypes
import importlib
import re
import threading

import structlog
import trio
from msgspec import Struct

from server.simulator.voice.speech import (
    SAMPLE_RATE_HZ,
    Phone,
    Speech,
    VoiceUnavailableError,
    Word,
    clamped_speed,
)

_log = structlog.get_logger("liveavatar.simulator")

# Names and values of espeak-ng/speak_lib.h.
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_PHONEME_EVENTS = 0x0001
_INITIALIZE_PHONEME_IPA = 0x0002
_INITIALIZE_DONT_EXIT = 0x8000
_CHARS_UTF8 = 0x0001
# The pause that belongs after a sentence, since the next phrase is another call. SSML and [[phonemes]] stay off.
_ENDPAUSE = 0x1000
_POS_CHARACTER = 1
_PARAMETER_RATE = 1
_PARAMETER_PITCH = 3
_PARAMETER_WORDGAP = 7
_EVENT_LIST_TERMINATED = 0
_EVENT_WORD = 1
_EVENT_PHONEME = 7

# The library's own default, and the slowest it does.
_RATE_WPM = 175.0
_RATE_MIN_WPM = 80.0
# Below the slowest rate, words are set apart instead: gap units per unit of missing slowness, measured at 80 wpm.
_GAP_UNITS_PER_SLOWNESS = 19.0
# Eight steps of the pitch parameter are a factor of 1.088 (measured on three variants).
_PITCH_STEPS_FOR_RATE = 8

_PAUSE_MS = 120
_DEFAULT_LANGUAGE = "en-us"
# Two-letter codes under which the library has no voice, or one other than most mean.
_LANGUAGES = {"en": "en-us", "zh": "cmn", "no": "nb", "iw": "he", "in": "id"}
# Control characters carry eSpeak's embedded commands (0x01 ...); lone surrogates have no UTF-8.
_UNSPEAKABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_STRESS = {ord(mark): None for mark in "ˈˌ"}


class _Timbre(Struct, frozen=True):
    variant: str
    pitch: int


# Chosen to be told apart by ear: five women, five men, pitch 50 being each variant's own.
_TIMBRES = {
    "alloy": _Timbre("f2", 42),
    "ash": _Timbre("m3", 46),
    "ballad": _Timbre("m1", 60),
    "cedar": _Timbre("m7", 36),
    "coral": _Timbre("f4", 62),
    "echo": _Timbre("m2", 50),
    "marin": _Timbre("f3", 50),
    "sage": _Timbre("f1", 46),
    "shimmer": _Timbre("Annie", 50),
    "verse": _Timbre("Michael", 58),
}
_DEFAULT_TIMBRE = _TIMBRES["alloy"]


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_SynthCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))


class _Engine:
    """The one C instance: loaded once, never unloaded, used under its lock by worker threads only."""

    def __init__(self) -> None:
        try:
            loader = importlib.import_module("espeakng_loader")
            self._library = ctypes.CDLL(loader.get_library_path())
            data_path: str = loader.get_data_path()
        except (ImportError, OSError, RuntimeError) as error:
            raise VoiceUnavailableError(f"eSpeak NG cannot be loaded: {error}") from error
        options = _INITIALIZE_PHONEME_EVENTS | _INITIALIZE_PHONEME_IPA | _INITIALIZE_DONT_EXIT
        rate_hz: int = self._library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, data_path.encode(), options)
        if rate_hz <= 0:
            raise VoiceUnavailableError(f"eSpeak NG refuses its data in {data_path}")
        self._stretch = rate_hz / SAMPLE_RATE_HZ
        self._samples: list[bytes] = []
        self._phones: list[tuple[int, str]] = []
        self._words: list[tuple[int, int, int]] = []
        self._selected = ""
        # ctypes keeps no reference of its own to the callback.
        self._callback = _SynthCallback(self._on_samples)
        self._library.espeak_SetSynthCallback(self._callback)
        self.lock = threading.Lock()

    def _on_samples(self, samples: int | None, count: int, events: "ctypes._Pointer[_Event]") -> int:
        if samples and count > 0:
            self._samples.append(ctypes.string_at(samples, count * 2))
        index = 0
        while (event := events[index]).type != _EVENT_LIST_TERMINATED:
            if event.type == _EVENT_PHONEME:
                symbol = event.id.string.decode("utf-8", "ignore").translate(_STRESS)
                self._phones.append((event.audio_position, symbol))
            elif event.type == _EVENT_WORD:
                self._words.append((event.audio_position, event.text_position - 1, event.length))
            index += 1
        return 0

    def _select(self, language: str, variant: str) -> None:
        code = language.lower().replace("_", "-")
        primary = code.partition("-")[0]
        for candidate in (code, _LANGUAGES.get(primary, primary), _DEFAULT_LANGUAGE):
            name = f"{_LANGUAGES.get(candidate, candidate)}+{variant}"
            # Loading a voice reads its files again, so the one in use is kept.
            if name == self._selected:
                return
            if self._library.espeak_SetVoiceByName(name.encode("utf-8", "ignore")) == 0:
                self._selected = name
                return
        raise VoiceUnavailableError(f"eSpeak NG has no voice {_DEFAULT_LANGUAGE}+{variant}")

    def speak(self, text: str, timbre: _Timbre, language: str, speed: float) -> Speech:
        """Make the speech; about 2 ms per second of sound. Runs to its end, in a worker thread."""
        with self.lock:
            self._samples, self._phones, self._words = [], [], []
            self._select(language, timbre.variant)
            rate_wpm = _RATE_WPM * speed * self._stretch
            slowness = max(0.0, _RATE_MIN_WPM / rate_wpm - 1)
            self._set(_PARAMETER_RATE, round(max(_RATE_MIN_WPM, rate_wpm)))
            self._set(_PARAMETER_WORDGAP, round(slowness * _GAP_UNITS_PER_SLOWNESS))
            self._set(_PARAMETER_PITCH, timbre.pitch - _PITCH_STEPS_FOR_RATE)
            data = text.encode()
            status: int = self._library.espeak_Synth(
                data, len(data) + 1, 0, _POS_CHARACTER, 0, _CHARS_UTF8 | _ENDPAUSE, None, None
            )
            if status != 0:
                raise VoiceUnavailableError(f"eSpeak NG failed with status {status}")
            return Speech(
                pcm=b"".join(self._samples),
                phones=tuple(Phone(round(ms * self._stretch, 1), symbol) for ms, symbol in self._phones),
                words=tuple(Word(round(ms * self._stretch, 1), at, size) for ms, at, size in self._words),
            )

    def _set(self, parameter: int, value: int) -> None:
        self._library.espeak_SetParameter(parameter, value, 0)


_engine: _Engine | None = None
_engine_lock = threading.Lock()


def _shared_engine() -> _Engine:
    global _engine  # noqa: PLW0603 - the C library is one instance per process, whoever asks
    with _engine_lock:
        if _engine is None:
            _engine = _Engine()
            _log.debug("voice loaded", engine="espeak-ng")
        return _engine


class ESpeakVoice:
    """A `Voice` that eSpeak NG speaks. Making one loads the library (some 15 ms).

    Raises VoiceUnavailableError when the wheel is not installed or its data is not accepted.
    """

    name = "espeak-ng"

    def __init__(self) -> None:
        self._engine = _shared_engine()
        # More than one thread would only wait for the lock.
        self._limiter = trio.CapacityLimiter(1)

    async def speak(self, text: str, *, voice: str, language: str, speed: float) -> Speech:
        """See `Voice.speak`. Cancelled while another phrase is being made, it leaves at once."""
        # One space for one character keeps the word positions true.
        plain = _UNSPEAKABLE.sub(" ", text)
        timbre = _TIMBRES.get(voice, _DEFAULT_TIMBRE)
        speech = await trio.to_thread.run_sync(
            self._engine.speak, plain, timbre, language, clamped_speed(speed), limiter=self._limiter
        )
        if speech.pcm:
            return speech
        return Speech(bytes(_PAUSE_MS * SAMPLE_RATE_HZ // 1000 * 2), (Phone(0.0, ""),), ())
