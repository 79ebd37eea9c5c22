"""What the machine asks for, as data. The session performs each of these synchronously, in order."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, TypeAlias

from protocol.avatar.events import Source
from protocol.endings import EndReason
from protocol.prices.cost import Cost
from protocol.realtime.usage import Usage


@dataclass(frozen=True, slots=True)
class ToClient:
    """Send a frame to the client. ``item_id`` and ``audio_ms`` (milliseconds of sound) are set for audio only."""

    frame: bytes
    item_id: str | None = None
    audio_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class ToUpstream:
    """Send a frame to the Realtime service. ``audio_ms``: milliseconds of sound in it; such frames may be dropped.

    ``connection`` is the number of the connection it goes by; a frame for one that is gone goes nowhere.
    """

    frame: bytes
    audio_ms: float = 0.0
    connection: int = 1


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a connection to the service, trying for at most ``patience_s`` seconds; None leaves it to the caller.

    Its number comes back with everything that is heard of it: ``on_upstream_open``, ``on_upstream``,
    ``on_upstream_lost``.
    """

    connection: int
    patience_s: float | None = None


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Close a connection, or stop opening it; nothing that is still heard of it counts."""

    connection: int


@dataclass(frozen=True, slots=True)
class LeaveAlone:
    """Where this connection goes to, nobody shall ask for another for ``seconds``: it cannot serve now, and ``why``."""

    connection: int
    seconds: float
    why: str


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
class Check:
    """Look at what the person said before it is answered; the verdict comes back through ``on_checked``, once."""

    check_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Reserve:
    """Book what the session has cost, and set aside what its next responses can cost; comes back through

    ``on_reserved``, once. There is one at a time.

    Attributes:
        spent: US dollars, all of the session so far.
        hold: US dollars to be set aside, in the place of what is.
    """

    spent: Decimal
    hold: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """How money is set aside for a session.

    Attributes:
        spent: what was booked: of the request that this answers.
        held: US dollars that are set aside now; where more was asked for than there is, what is left of those before.
        refused_by: the budget that has too little, by its name; "" where all was granted.
        left: US dollars that nobody has spent, of the budget that has least.
        share: of a budget that is spent, of the one where that is most; 1 is all.
    """

    spent: Decimal
    held: Decimal
    refused_by: str = ""
    left: Decimal
    share: Decimal


@dataclass(frozen=True, slots=True)
class BudgetReached:
    """A budget nears its end, told once for each stage.

    ``warning``: most of it is spent; ``short``: answers are short from now on; ``spent``: nothing is answered any more.
    """

    stage: Literal["warning", "short", "spent"]
    budget: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a look at the person's words found. ``rule`` names what they are stopped by, for the record."""

    passes: bool
    rule: str = ""


@dataclass(frozen=True, slots=True)
class SetDeadline:
    """Call ``on_deadline(name)`` at ``at`` (seconds on the machine's clock); None disarms it."""

    name: str
    at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """Something of the service's is billed: once for each response that ended, cancelled and failed ones too, and for

    each transcription.

    Attributes:
        id: of the response, or of the item that was transcribed.
        connection: the one that it came by; deployment: where that went to.
        model: whose work it was, as far as it is known.
        usage: tokens, as far as they make sense; None if the service told nothing.
        seconds: of sound, where that is what is billed.
    """

    kind: Literal["response", "transcription"]
    id: str
    status: str
    connection: int
    deployment: str
    model: str
    usage: Usage | None
    seconds: Decimal = Decimal(0)
    cost: Cost


@dataclass(frozen=True, slots=True)
class Said:
    """A piece of the conversation for the record, as it was typed, transcribed or generated.

    ``at``: when it began to be said, on the machine's clock; a transcript comes later than what follows it.
    """

    item_id: str
    role: str
    text: str
    at: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Heard:
    """Of an assistant's item, only this was heard: ``heard_ms`` of its sound, ``text`` of its words (an estimate).

    Comes when somebody interrupts; an item without one was heard wholly. ``sent_ms`` of it had been sent.
    """

    item_id: str
    heard_ms: int
    sent_ms: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """How long the parts of an answer took, for the record.

    Attributes:
        item_id: the first thing that was said in it.
        at: when the person had finished speaking, or an answer was asked for, on the machine's clock; the rest is in
            milliseconds since then, and None where it did not happen.
    """

    item_id: str
    response_id: str
    status: str
    at: float
    search_began_ms: float | None
    search_ended_ms: float | None
    first_token_ms: float | None
    first_audio_ms: float | None
    ended_ms: float | None


@dataclass(frozen=True, slots=True)
class Called:
    """A tool call for the record. ``outcome``: ``answered`` or ``lost`` (no result ever reached the model)."""

    call_id: str
    name: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """Something that the person said was not answered. ``text`` is "" where its words are not known."""

    item_id: str
    rule: str
    text: str


@dataclass(frozen=True, slots=True)
class Record:
    """Keep this for the record."""

    entry: Said | Heard | Timed | Called | Stopped


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


Action: TypeAlias = (
    ToClient
    | ToUpstream
    | Connect
    | Disconnect
    | LeaveAlone
    | PurgeAudio
    | RunTool
    | Check
    | Reserve
    | BudgetReached
    | SetDeadline
    | Charge
    | Record
    | Ignored
    | Close
)


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
