"""Events of the server as the beta has them: others' names, one event for an item, flat objects. Never refuses one.

An event whose name alone differs is renamed in place: sound is neither decoded nor encoded. What is not known passes.
"""

from collections.abc import Callable, Sequence
from typing import Any

from protocol.realtime.codec import encode
from protocol.realtime.dialects import beta_objects as objects
from protocol.realtime.dialects.beta_places import beta_path
from protocol.realtime.dialects.fields import Fields, TypedFrame, fields_of, list_of, text_of

_RENAMED = {
    "response.output_audio.delta": "response.audio.delta",
    "response.output_audio.done": "response.audio.done",
    "response.output_audio_transcript.delta": "response.audio_transcript.delta",
    "response.output_audio_transcript.done": "response.audio_transcript.done",
    "response.output_text.delta": "response.text.delta",
    "response.output_text.done": "response.text.done",
}
# The beta tells an item once, where GA tells that it was added.
_UNTOLD = frozenset({"conversation.item.done"})
_ITEM_CREATED = "conversation.item.created"
# Events of our own begin so.
_OWN_EVENT_PREFIX = "event_la_"


def to_beta(typed: TypedFrame) -> Sequence[bytes]:
    """The frames that say the same in beta; none where it says nothing."""
    renamed = _RENAMED.get(typed.type)
    if renamed is not None:
        return (typed.retyped(renamed),)
    if typed.type in _UNTOLD:
        return ()
    handler = _HANDLERS.get(typed.type)
    if handler is None:
        return (typed.frame,)
    event = typed.fields()
    return (typed.frame,) if event is None else [encode(told) for told in handler(event)]


def _item_placed(event: Fields) -> list[dict[str, Any]]:
    return [{**told, "type": _ITEM_CREATED} for told in _with_item(event)]


def _with_item(event: Fields) -> list[dict[str, Any]]:
    item = event.get("item")
    return [dict(event) if item is None else {**event, "item": objects.beta_item(item)}]


def _session_created(event: Fields) -> list[dict[str, Any]]:
    [created] = _session_updated(event)
    if created["type"] == "transcription_session.created":
        return [created]
    # Clients of the beta may wait for it. Its id is left out, as it may be: GA tells none before the first response.
    conversation = {
        "type": "conversation.created",
        "event_id": _OWN_EVENT_PREFIX + (text_of(event.get("event_id")) or "conversation"),
        "conversation": {"object": "realtime.conversation"},
    }
    return [{**created, "type": "session.created"}, conversation]


def _session_updated(event: Fields) -> list[dict[str, Any]]:
    session = fields_of(event.get("session"))
    if session is None:
        return [dict(event)]
    told = {**event, "session": objects.beta_session(session)}
    if objects.is_transcription(session):
        told["type"] = f"transcription_{text_of(event['type'])}"
    return [told]


def _response(event: Fields) -> list[dict[str, Any]]:
    response = fields_of(event.get("response"))
    return [dict(event) if response is None else {**event, "response": objects.beta_response(response)}]


def _arguments_done(event: Fields) -> list[dict[str, Any]]:
    return [{name: value for name, value in event.items() if name != "name"}]


def _error(event: Fields) -> list[dict[str, Any]]:
    """An error names what the client said, where the client said it."""
    error = fields_of(event.get("error"))
    if error is None:
        return [dict(event)]
    said = {name: beta_path(text) for name in ("param", "message") if (text := text_of(error.get(name))) is not None}
    return [{**event, "error": {**error, **said}}]


def _avatar_session(event: Fields) -> list[dict[str, Any]]:
    """Our own greeting has the conversation so far for a client that comes back."""
    snapshot = fields_of(event.get("snapshot"))
    if snapshot is None:
        return [dict(event)]
    told: dict[str, Any] = dict(snapshot)
    items, session = list_of(snapshot.get("items")), fields_of(snapshot.get("session"))
    if items is not None:
        told["items"] = [objects.beta_item(item) for item in items]
    if session is not None:
        told["session"] = objects.beta_session(session)
    return [{**event, "snapshot": told}]


_HANDLERS: dict[str, Callable[[Fields], list[dict[str, Any]]]] = {
    "error": _error,
    "session.created": _session_created,
    "session.updated": _session_updated,
    "conversation.item.added": _item_placed,
    _ITEM_CREATED: _item_placed,
    "conversation.item.retrieved": _with_item,
    "response.created": _response,
    "response.done": _response,
    "response.output_item.added": _with_item,
    "response.output_item.done": _with_item,
    "response.function_call_arguments.done": _arguments_done,
    "avatar.session": _avatar_session,
}
