"""What the machine asks for, as data. The session performs each of these synchronously, in order."""

from dataclasses import dataclass, field
from typing import TypeAlias

from protocol.avatar.events import Source
from protocol.endings import EndReason
from protocol.realtime.usage import Usage


@dataclass(frozen=True, slots=True)
class ToClient:
    """Send a frame to the client. ``item_id`` and ``audio_ms`` (milliseconds of sound) are set for audio only."""

    frame: bytes
    item_id: str | None = None
    audio_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class ToUpstream:
    """Send a frame to the Realtime service. ``audio_ms``: milliseconds of sound in it; such frames may be dropped."""

    frame: bytes
    audio_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class PurgeAudio:
    """Drop what has not been sent yet of this item's audio: nobody will hear it."""

    item_id: str


@dataclass(frozen=True, slots=True)
class RunTool:
    """Run a server tool beside the conversation; its result comes back through ``on_result`` exactly once."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class SetDeadline:
    """Call ``on_deadline(name)`` at ``at`` (seconds on the machine's clock); None disarms it."""

    name: str
    at: float | None


@dataclass(frozen=True, slots=True)
class Charge:
    """A response of the service ended and is billed: once for each, cancelled and failed ones too."""

    response_id: str
    usage: Usage | None
    status: str


@dataclass(frozen=True, slots=True)
class Said:
    """A piece of the conversation for the record. ``heard_ms`` is None where all was heard, or nobody can know."""

    item_id: str
    role: str
    text: str
    heard_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Called:
    """A tool call for the record. ``outcome``: ``answered`` or ``lost`` (no result ever reached the model)."""

    call_id: str
    name: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Record:
    """Keep this for the record."""

    entry: Said | Called


@dataclass(frozen=True, slots=True)
class Ignored:
    """An event was dropped by rule: for the log. ``side`` is ``client`` or ``upstream``."""

    side: str
    event_type: str
    why: str


@dataclass(frozen=True, slots=True)
class Close:
    """End the session for this reason; asked for once, and nothing is asked for afterwards."""

    reason: EndReason
    message: str


Action: TypeAlias = ToClient | ToUpstream | PurgeAudio | RunTool | SetDeadline | Charge | Record | Ignored | Close


@dataclass(frozen=True, slots=True)
class Evidence:
    """A passage that a tool found: what people are shown of it, and its whole text."""

    source: Source
    text: str


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool gave back: ``output`` goes to the model as it is, the sources of ``evidence`` to avatar clients."""

    output: str
    evidence: tuple[Evidence, ...] = field(default=())
