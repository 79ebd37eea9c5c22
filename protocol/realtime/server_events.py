"""Every event that the service sends (GA). Unknown ones pass by as bytes and have no struct here."""

from typing import Any

from protocol.realtime.base import UNSET, Maybe, Wire
from protocol.realtime.items import ContentPart, Item
from protocol.realtime.response import ErrorInfo, Response
from protocol.realtime.session import Session
from protocol.realtime.usage import TranscriptionUsage


class ServerEvent(Wire, tag_field="type", kw_only=True):
    """An event from the service. ``event_id`` is always sent, but for ``dtmf_event_received``."""

    event_id: str = ""


class ErrorDetail(Wire, kw_only=True):
    """What went wrong. ``event_id`` is the client event's id if it had one; ``param`` a dotted path.

    ``retry_after`` (seconds) is ours, where the server turns somebody away for now.
    """

    type: str
    code: str | None = None
    message: str
    param: str | None = None
    event_id: str | None = None
    retry_after: Maybe[float] = UNSET


class Error(ServerEvent, tag="error", kw_only=True):
    """Something was refused or failed; mostly the session goes on."""

    error: ErrorDetail


class SessionCreated(ServerEvent, tag="session.created", kw_only=True):
    """The first event of a connection."""

    session: Session


class SessionUpdated(ServerEvent, tag="session.updated", kw_only=True):
    """The full effective session after an update."""

    session: Session


class ConversationCreated(ServerEvent, tag="conversation.created", kw_only=True):
    """Seen in beta captures only."""

    conversation: Any = None


class ItemAdded(ServerEvent, tag="conversation.item.added", kw_only=True):
    """An item entered the conversation (GA)."""

    previous_item_id: Maybe[str | None] = UNSET
    item: Item


class ItemDone(ServerEvent, tag="conversation.item.done", kw_only=True):
    """An item is complete (GA)."""

    previous_item_id: Maybe[str | None] = UNSET
    item: Item


class ItemCreated(ServerEvent, tag="conversation.item.created", kw_only=True):
    """The beta's single event for added and done; still in the GA types."""

    previous_item_id: Maybe[str | None] = UNSET
    item: Item


class ItemRetrieved(ServerEvent, tag="conversation.item.retrieved", kw_only=True):
    """Answer to retrieve."""

    item: Item


class ItemDeleted(ServerEvent, tag="conversation.item.deleted", kw_only=True):
    """Answer to delete."""

    item_id: str


class ItemTruncated(ServerEvent, tag="conversation.item.truncated", kw_only=True):
    """Answer to truncate."""

    item_id: str
    content_index: int
    audio_end_ms: int


class InputTranscriptionDelta(ServerEvent, tag="conversation.item.input_audio_transcription.delta", kw_only=True):
    """A piece of the user's transcript; asynchronous to everything else."""

    item_id: str
    content_index: Maybe[int] = UNSET
    delta: Maybe[str] = UNSET


class InputTranscriptionCompleted(
    ServerEvent, tag="conversation.item.input_audio_transcription.completed", kw_only=True
):
    """The user's transcript; billed separately."""

    item_id: str
    content_index: int
    transcript: str
    usage: Maybe[TranscriptionUsage | None] = UNSET


class InputTranscriptionFailed(ServerEvent, tag="conversation.item.input_audio_transcription.failed", kw_only=True):
    """The user's audio could not be transcribed; the turn goes on all the same."""

    item_id: str
    content_index: int
    error: ErrorInfo


class InputTranscriptionSegment(ServerEvent, tag="conversation.item.input_audio_transcription.segment", kw_only=True):
    """A speaker-labelled segment (diarising models)."""

    item_id: str
    content_index: int
    id: str
    text: str
    speaker: str
    start: float
    end: float


class InputAudioBufferCommitted(ServerEvent, tag="input_audio_buffer.committed", kw_only=True):
    """The buffer became item ``item_id``."""

    previous_item_id: Maybe[str | None] = UNSET
    item_id: str


class InputAudioBufferCleared(ServerEvent, tag="input_audio_buffer.cleared", kw_only=True):
    """Answer to clear."""


class SpeechStarted(ServerEvent, tag="input_audio_buffer.speech_started", kw_only=True):
    """The user began to speak; ms from the start of all audio of the session, prefix padding included."""

    audio_start_ms: int
    item_id: str


class SpeechStopped(ServerEvent, tag="input_audio_buffer.speech_stopped", kw_only=True):
    """The user stopped; same ``item_id`` as started."""

    audio_end_ms: int
    item_id: str


class TimeoutTriggered(ServerEvent, tag="input_audio_buffer.timeout_triggered", kw_only=True):
    """``idle_timeout_ms`` passed without speech."""

    audio_start_ms: int
    audio_end_ms: int
    item_id: str


class DtmfReceived(ServerEvent, tag="input_audio_buffer.dtmf_event_received", kw_only=True):
    """SIP only; has no ``event_id``."""

    event: str
    received_at: int


class ResponseCreated(ServerEvent, tag="response.created", kw_only=True):
    """A response began."""

    response: Response


class ResponseDone(ServerEvent, tag="response.done", kw_only=True):
    """Generation ended, typically long before playback does."""

    response: Response


class OutputItemAdded(ServerEvent, tag="response.output_item.added", kw_only=True):
    """A response began an item."""

    response_id: str
    output_index: int
    item: Item


class OutputItemDone(ServerEvent, tag="response.output_item.done", kw_only=True):
    """An item of a response is complete. For a function call this is the moment to run it."""

    response_id: str
    output_index: int
    item: Item


class _PartEvent(ServerEvent, kw_only=True):
    response_id: str
    item_id: str
    output_index: int
    content_index: int


class ContentPartAdded(_PartEvent, tag="response.content_part.added", kw_only=True):
    """A part of a message began; its ``type`` is ``text`` or ``audio``."""

    part: ContentPart


class ContentPartDone(_PartEvent, tag="response.content_part.done", kw_only=True):
    """A part of a message is complete."""

    part: ContentPart


class OutputTextDelta(_PartEvent, tag="response.output_text.delta", kw_only=True):
    """A piece of written answer."""

    delta: str


class OutputTextDone(_PartEvent, tag="response.output_text.done", kw_only=True):
    """The whole written answer."""

    text: str


class OutputAudioDelta(_PartEvent, tag="response.output_audio.delta", kw_only=True):
    """A piece of speech, base64. The relay never decodes this: it reads the head only."""

    delta: str


class OutputAudioDone(_PartEvent, tag="response.output_audio.done", kw_only=True):
    """All speech of the part was sent."""


class OutputAudioTranscriptDelta(_PartEvent, tag="response.output_audio_transcript.delta", kw_only=True):
    """A piece of what is being spoken, as text; normally ahead of the sound."""

    delta: str


class OutputAudioTranscriptDone(_PartEvent, tag="response.output_audio_transcript.done", kw_only=True):
    """The whole text of what was spoken."""

    transcript: str


class AnimationVisemeDelta(_PartEvent, tag="response.animation_viseme.delta", kw_only=True):
    """A mouth position of the speech, one of Azure's 22 visemes (Voice Live's event, which our simulator sends too).

    ``audio_offset_ms`` counts from the start of the item's audio.
    """

    audio_offset_ms: float
    viseme_id: int


class FunctionCallArgumentsDelta(ServerEvent, tag="response.function_call_arguments.delta", kw_only=True):
    """A piece of a call's arguments."""

    response_id: str
    item_id: str
    output_index: int
    call_id: str
    delta: str


class FunctionCallArgumentsDone(ServerEvent, tag="response.function_call_arguments.done", kw_only=True):
    """A call's whole arguments, as a JSON string. ``name`` on GA only."""

    response_id: str
    item_id: str
    output_index: int
    call_id: str
    arguments: str
    name: Maybe[str] = UNSET


class McpCallArgumentsDelta(ServerEvent, tag="response.mcp_call_arguments.delta", kw_only=True):
    """A piece of an MCP call's arguments."""

    response_id: str
    item_id: str
    output_index: int
    delta: str


class McpCallArgumentsDone(ServerEvent, tag="response.mcp_call_arguments.done", kw_only=True):
    """An MCP call's whole arguments."""

    response_id: str
    item_id: str
    output_index: int
    arguments: str


class _McpCall(ServerEvent, kw_only=True):
    output_index: int
    item_id: str


class McpCallInProgress(_McpCall, tag="response.mcp_call.in_progress", kw_only=True):
    """An MCP call runs."""


class McpCallCompleted(_McpCall, tag="response.mcp_call.completed", kw_only=True):
    """An MCP call succeeded."""


class McpCallFailed(_McpCall, tag="response.mcp_call.failed", kw_only=True):
    """An MCP call failed."""


class _McpListTools(ServerEvent, kw_only=True):
    item_id: str


class McpListToolsInProgress(_McpListTools, tag="mcp_list_tools.in_progress", kw_only=True):
    """The service asks an MCP server for its tools."""


class McpListToolsCompleted(_McpListTools, tag="mcp_list_tools.completed", kw_only=True):
    """The tools are known."""


class McpListToolsFailed(_McpListTools, tag="mcp_list_tools.failed", kw_only=True):
    """The MCP server did not answer."""


class RateLimit(Wire, kw_only=True):
    """One limit; ``name`` is ``requests`` or ``tokens``, ``reset_seconds`` in seconds."""

    name: Maybe[str] = UNSET
    limit: Maybe[int] = UNSET
    remaining: Maybe[int] = UNSET
    reset_seconds: Maybe[float] = UNSET


class RateLimitsUpdated(ServerEvent, tag="rate_limits.updated", kw_only=True):
    """Informational; its place in the order is not stable and it may be absent."""

    rate_limits: list[RateLimit] = []


class _OutputAudioBuffer(ServerEvent, kw_only=True):
    response_id: str


class OutputAudioBufferStarted(_OutputAudioBuffer, tag="output_audio_buffer.started", kw_only=True):
    """WebRTC and SIP only."""


class OutputAudioBufferStopped(_OutputAudioBuffer, tag="output_audio_buffer.stopped", kw_only=True):
    """WebRTC and SIP only."""


class OutputAudioBufferCleared(_OutputAudioBuffer, tag="output_audio_buffer.cleared", kw_only=True):
    """WebRTC and SIP only."""


def _concrete(base: type[ServerEvent]) -> list[type[ServerEvent]]:
    found = []
    for event in base.__subclasses__():
        tag = event.__struct_config__.tag
        if tag is not None and not event.__name__.startswith("_"):
            found.append(event)
        found += _concrete(event)
    return found


SERVER_EVENTS: dict[str, type[ServerEvent]] = {
    str(event.__struct_config__.tag): event for event in _concrete(ServerEvent)
}
