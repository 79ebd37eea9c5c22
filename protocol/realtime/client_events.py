"""Every event that a client may send (GA). ``CLIENT_EVENT_TYPES`` is the service's own list of accepted types."""

from typing import TypeAlias

from protocol.realtime.base import UNSET, Maybe, Wire
from protocol.realtime.items import Item
from protocol.realtime.response import ResponseParams
from protocol.realtime.session import SessionParams

# "event_id ... at most 512 characters" (typed sources of the services).
EVENT_ID_MAX_CHARS = 512


class ClientEvent(Wire, tag_field="type", kw_only=True):
    """An event from a client. ``event_id`` comes back only as ``error.event_id``."""

    event_id: Maybe[str | None] = UNSET


class SessionUpdate(ClientEvent, tag="session.update", kw_only=True):
    """A deep partial update: an absent key stays, null switches off. An invalid one is rejected wholesale."""

    session: SessionParams


class InputAudioBufferAppend(ClientEvent, tag="input_audio_buffer.append", kw_only=True):
    """Audio in the session's input format, base64, at most 15 MiB. Has no reply."""

    audio: str


class InputAudioBufferCommit(ClientEvent, tag="input_audio_buffer.commit", kw_only=True):
    """Makes the buffered audio a user item. With server VAD the service commits by itself."""


class InputAudioBufferClear(ClientEvent, tag="input_audio_buffer.clear", kw_only=True):
    """Throws the buffered audio away."""


class ConversationItemCreate(ClientEvent, tag="conversation.item.create", kw_only=True):
    """Adds an item: at the end, at the front (``previous_item_id`` "root") or after the item named."""

    item: Item
    previous_item_id: Maybe[str | None] = UNSET


class ConversationItemRetrieve(ClientEvent, tag="conversation.item.retrieve", kw_only=True):
    """Asks for an item; user audio comes with its bytes."""

    item_id: str


class ConversationItemDelete(ClientEvent, tag="conversation.item.delete", kw_only=True):
    """Removes an item."""

    item_id: str


class ConversationItemTruncate(ClientEvent, tag="conversation.item.truncate", kw_only=True):
    """Cuts an assistant's audio at ``audio_end_ms`` and drops the transcript behind it."""

    item_id: str
    content_index: int
    audio_end_ms: int


class ResponseCreate(ClientEvent, tag="response.create", kw_only=True):
    """Asks for a response."""

    response: Maybe[ResponseParams | None] = UNSET


class ResponseCancel(ClientEvent, tag="response.cancel", kw_only=True):
    """Cancels a response: by default the active one of the default conversation."""

    response_id: Maybe[str | None] = UNSET


class OutputAudioBufferClear(ClientEvent, tag="output_audio_buffer.clear", kw_only=True):
    """WebRTC and SIP only; accepted here because the service lists it."""


RealtimeClientEvent: TypeAlias = (
    SessionUpdate
    | InputAudioBufferAppend
    | InputAudioBufferCommit
    | InputAudioBufferClear
    | ConversationItemCreate
    | ConversationItemRetrieve
    | ConversationItemDelete
    | ConversationItemTruncate
    | ResponseCreate
    | ResponseCancel
    | OutputAudioBufferClear
)

CLIENT_EVENTS: dict[str, type[ClientEvent]] = {
    str(event.__struct_config__.tag): event
    for event in (
        SessionUpdate,
        InputAudioBufferAppend,
        InputAudioBufferCommit,
        InputAudioBufferClear,
        ConversationItemCreate,
        ConversationItemRetrieve,
        ConversationItemDelete,
        ConversationItemTruncate,
        ResponseCreate,
        ResponseCancel,
        OutputAudioBufferClear,
    )
}
CLIENT_EVENT_TYPES: tuple[str, ...] = tuple(CLIENT_EVENTS)
