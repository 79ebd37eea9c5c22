"""Events of a beta client as GA has them. What both have in common passes as it came, sound above all."""

from collections.abc import Callable
from typing import Any

import msgspec

from protocol.realtime.codec import InvalidEvent, encode
from protocol.realtime.dialects import beta_objects as objects
from protocol.realtime.dialects.fields import Fields, TypedFrame, fields_of, text_of


def to_ga(typed: TypedFrame) -> bytes:
    """The frame in GA. One that cannot be read passes: the receiver says what is wrong with it.

    Raises:
        InvalidEvent: it says something that the beta does not have; nothing of it is done.
    """
    handler = _HANDLERS.get(typed.type)
    if handler is None:
        return typed.frame
    event = typed.fields()
    if event is None:
        return typed.frame
    try:
        changed = handler(event)
    except InvalidEvent as error:
        event_id = text_of(event.get("event_id"))
        raise InvalidEvent(msgspec.structs.replace(error.detail, event_id=event_id)) from None
    return typed.frame if changed is None else encode({**event, **changed})


# Each tells what is different in GA; None where nothing is, or what it should be cannot be read.


def _session_update(event: Fields) -> dict[str, Any] | None:
    session = fields_of(event.get("session"))
    return None if session is None else {"session": objects.ga_session(session)}


def _transcription_session_update(event: Fields) -> dict[str, Any]:
    # A session of the other kind refuses it by itself, in the service's words.
    changed: dict[str, Any] = {"type": "session.update"}
    session = fields_of(event.get("session"))
    return changed if session is None else changed | {"session": objects.ga_transcription_session(session)}


def _response_create(event: Fields) -> dict[str, Any] | None:
    request = fields_of(event.get("response"))
    return None if request is None else {"response": objects.ga_request(request)}


def _item_create(event: Fields) -> dict[str, Any] | None:
    item = event.get("item")
    # The parts of all others have one name in both; they may hold minutes of sound.
    by_assistant = item is not None and text_of((fields_of(item) or {}).get("role")) == "assistant"
    return {"item": objects.ga_item(item)} if item is not None and by_assistant else None


_HANDLERS: dict[str, Callable[[Fields], dict[str, Any] | None]] = {
    "session.update": _session_update,
    "transcription_session.update": _transcription_session_update,
    "response.create": _response_create,
    "conversation.item.create": _item_create,
}
