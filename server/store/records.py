"""The records: what a session hands over to be kept, as values. They know neither a file nor a database.

Each has an ``id`` that whoever records it gives it. Of one session, records of one kind and id are about the same
thing: written twice they count once, and what a later one says takes the place of what an earlier one said.
"""

import datetime as dt
from decimal import Decimal
from typing import Final, Literal, TypeAlias

import msgspec

from protocol.avatar.events import Source
from server.store.money import to_picodollars

__all__ = [
    "TOKENS_MAX",
    "AudioRecording",
    "HeardText",
    "Record",
    "SaidText",
    "SessionBegun",
    "SessionEnded",
    "StoppedText",
    "Tokens",
    "ToolCall",
    "TurnTimes",
    "UsageLine",
]

# Of one kind in one line: a thousand times the largest context there is. More is a mistake.
TOKENS_MAX: Final = 10**9

Role: TypeAlias = Literal["user", "assistant", "system"]


class _Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", omit_defaults=True):
    """What all records have. ``at``: when what it tells happened, with a time zone."""

    session_id: str
    id: str
    at: dt.datetime


class SessionBegun(_Record, frozen=True, kw_only=True, tag="session_begun"):
    """A session began. Its ``id`` is the session's.

    Attributes:
        principal_id: whom its use is counted on (``Principal.account``).
        person: by whom all of somebody's sessions are found to be erased: the user id that the client gave, else the
            principal's id.
        endpoint: the path it came by.
    """

    kb_id: str
    principal_id: str
    principal_name: str
    person: str
    endpoint: str
    model: str = ""


class SaidText(_Record, frozen=True, kw_only=True, tag="said"):
    """A piece of the conversation as it was typed, transcribed or generated. Its ``id`` is the item's.

    ``at`` orders the conversation: when it began to be said, not when its words were known.
    """

    role: Role
    text: str


class HeardText(_Record, frozen=True, kw_only=True, tag="heard"):
    """Of an assistant's item only this was heard, for somebody interrupted. Its ``id`` is the item's."""

    text: str
    heard_ms: int
    sent_ms: int


class StoppedText(_Record, frozen=True, kw_only=True, tag="stopped"):
    """What a person said was not answered, by a rule. Its ``id`` is the item's; ``text`` "" is not known."""

    rule: str
    text: str


class TurnTimes(_Record, frozen=True, kw_only=True, tag="turn_times"):
    """How long the parts of an answer took. Its ``id`` is that of the assistant's item.

    ``at`` is when the person had finished speaking, or a text came; the rest is in milliseconds since then, and None
    where it did not happen.
    """

    response_id: str
    status: str
    search_began_ms: float | None = None
    search_ended_ms: float | None = None
    first_token_ms: float | None = None
    first_audio_ms: float | None = None
    ended_ms: float | None = None


class ToolCall(_Record, frozen=True, kw_only=True, tag="tool_call"):
    """A tool was called. Its ``id`` is the call's; ``at``: when it began.

    What is None is not known to this record, and stays as an earlier one of the same call said it.

    Attributes:
        status: ``answered``, ``lost`` (no result ever reached the model), or what the tool failed of.
    """

    name: str
    status: str
    arguments: str | None = None
    sources: tuple[Source, ...] | None = None
    duration_ms: float | None = None
    response_id: str | None = None


class Tokens(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens by modality, of one line or of many. The cached ones are a part of the input, not an addition."""

    input_text: int = 0
    input_audio: int = 0
    input_image: int = 0
    cached_text: int = 0
    cached_audio: int = 0
    cached_image: int = 0
    output_text: int = 0
    output_audio: int = 0


class UsageLine(_Record, frozen=True, kw_only=True, tag="usage"):
    """What one response or transcription used and cost. Its ``id`` is the response's, or the transcribed item's.

    Unlike other records, the first of an id counts and later ones change nothing: money is not counted anew.

    Attributes:
        what: ``response`` or ``transcription``.
        status: as the service reported the response's end; "" of a transcription.
        audio_ms: of a transcription that is paid by its length.
        cost_usd: with at most 12 decimals: `server.store.money.USD_QUANTUM`.
        prices: the version of the price table it was priced by.
        is_estimate: it was priced by more than is known, as of an unknown model.

    Raises:
        ValueError: the cost cannot be kept exactly, or is no cost; a number is negative or above `TOKENS_MAX`.
    """

    what: Literal["response", "transcription"]
    principal_id: str
    kb_id: str
    model: str
    deployment: str
    cost_usd: Decimal
    tokens: Tokens = Tokens()
    audio_ms: int = 0
    status: str = ""
    prices: str = ""
    is_estimate: bool = False

    def __post_init__(self) -> None:
        to_picodollars(self.cost_usd)
        for name in self.tokens.__struct_fields__:
            if not 0 <= getattr(self.tokens, name) <= TOKENS_MAX:
                raise ValueError(f"{name} is between 0 and {TOKENS_MAX} tokens")
        if not 0 <= self.audio_ms <= TOKENS_MAX:
            raise ValueError(f"audio_ms is between 0 and {TOKENS_MAX}")

    @property
    def day(self) -> str:
        """The UTC day it is counted on, as ``2026-07-01``."""
        return self.at.astimezone(dt.UTC).date().isoformat()


class AudioRecording(_Record, frozen=True, kw_only=True, tag="audio_recording"):
    """A file with one side's sound. Its ``id`` is the side's name, ``client`` or ``avatar``.

    Attributes:
        file: its name in the folder of recordings.
        dropped_ms: sound that is missing, silence in the file.
        note: why it is; "" where nothing is.
    """

    file: str
    duration_ms: int
    size_bytes: int
    dropped_ms: int = 0
    note: str = ""


class SessionEnded(_Record, frozen=True, kw_only=True, tag="session_ended"):
    """A session ended. Its ``id`` is the session's; ``reason`` is the label of its ``EndReason``."""

    reason: str
    detail: str = ""


Record: TypeAlias = (
    SessionBegun | SaidText | HeardText | StoppedText | TurnTimes | ToolCall | UsageLine | AudioRecording | SessionEnded
)
