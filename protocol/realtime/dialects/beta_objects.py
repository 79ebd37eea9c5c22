"""The beta's objects beside GA's: sessions, responses, items. Translates whole objects, and knows no events.

Towards GA an object that the beta does not have is refused; towards the beta nothing is, and what cannot be read stays.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from protocol.realtime.dialects.beta_places import (
    REQUEST_PLACES,
    RESPONSE_PLACES,
    SESSION_PLACES,
    TRANSCRIPTION_PLACES,
    Place,
)
from protocol.realtime.dialects.beta_values import beta_value, ga_value, refuse
from protocol.realtime.dialects.fields import Fields, fields_of, list_of, text_of

# Taken from the beta's session and left out, for GA has nothing in their place: GA's models have one temperature, and
# ``disable_audio`` is a setting of VoiceRAG's that the services never had.
_SESSION_LEFT_OUT = frozenset({"temperature", "disable_audio"})
# ``commit`` and ``cancel_previous`` stand in Azure's preview documentation, with what happens anyway.
_REQUEST_LEFT_OUT = frozenset({"temperature", "commit", "cancel_previous"})
# What every beta session and response shows; the services' default, which is what GA's models go by.
_TEMPERATURE = 0.8
# Of a GA session, what the beta has no word for.
_GA_ONLY = frozenset({"type", "audio", "truncation", "prompt", "reasoning", "parallel_tool_calls"})
# Content parts of an assistant's item.
_GA_PARTS = {"text": "output_text", "audio": "output_audio"}
_BETA_PARTS = {ga: beta for beta, ga in _GA_PARTS.items()}


# To GA


def ga_settings(
    settings: Fields, path: str, places: Mapping[str, Place], left_out: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """The beta's settings where GA has them; an absent one stays absent, and null null.

    Raises:
        InvalidEvent: a setting or a value that the beta does not have, named by its beta path.
    """
    ga: dict[str, Any] = {}
    for name, raw in settings.items():
        if name in left_out:
            continue
        place = places.get(name)
        if place is None:
            refuse("unknown_parameter", f"Unknown parameter: '{path}.{name}'.", f"{path}.{name}")
        within = ga
        for step in place[:-1]:
            within = within.setdefault(step, {})
        within[place[-1]] = ga_value(name, raw, f"{path}.{name}")
    return ga


def ga_session(session: Fields) -> dict[str, Any]:
    """The object of a beta ``session.update``. Raises as ``ga_settings`` does."""
    return {"type": "realtime", **ga_settings(session, "session", SESSION_PLACES, _SESSION_LEFT_OUT)}


def ga_transcription_session(session: Fields) -> dict[str, Any]:
    """The object of a beta ``transcription_session.update``. Raises as ``ga_settings`` does."""
    return {"type": "transcription", **ga_settings(session, "session", TRANSCRIPTION_PLACES)}


def ga_request(request: Fields) -> dict[str, Any]:
    """The object of a beta ``response.create``; what is null in it is absent. Raises as ``ga_settings`` does."""
    given = {name: value for name, value in request.items() if bytes(value) != b"null"}
    ga = ga_settings(given, "response", REQUEST_PLACES, _REQUEST_LEFT_OUT)
    items = list_of(ga.get("input"))
    return ga if items is None else {**ga, "input": [ga_item(item) for item in items]}


def ga_item(item: msgspec.Raw) -> Any:
    """An item whose parts have GA's names."""
    fields = fields_of(item)
    return item if fields is None else _with_parts(fields, _GA_PARTS)


# To the beta


def beta_session(session: Fields) -> dict[str, Any]:
    """A session that is shown, flat. Only what is known of it: a part that is absent stays absent."""
    shown: dict[str, Any] = {name: session[name] for name in ("id", "object", "expires_at") if name in session}
    if is_transcription(session):
        shown |= _beta_settings(session, TRANSCRIPTION_PLACES)
    else:
        shown |= {**_beta_settings(session, SESSION_PLACES), "temperature": _TEMPERATURE}
    return shown | {"client_secret": None} | _others(session, SESSION_PLACES.values())


def is_transcription(session: Fields) -> bool:
    """Whether a GA session only transcribes."""
    return text_of(session.get("type")) == "transcription"


def beta_response(response: Fields) -> dict[str, Any]:
    """A response that is shown, flat."""
    shown = _others(response, RESPONSE_PLACES.values())
    shown |= _beta_settings(response, RESPONSE_PLACES)
    output = list_of(response.get("output"))
    if output is not None:
        shown["output"] = [beta_item(item) for item in output]
    return shown | {"temperature": _TEMPERATURE}


def beta_item(item: msgspec.Raw) -> Any:
    """An item as the beta shows it: with its ``object``, and its parts by the beta's names."""
    fields = fields_of(item)
    return item if fields is None else {"object": "realtime.item", **_with_parts(fields, _BETA_PARTS)}


def _beta_settings(ga: Fields, places: Mapping[str, Place]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, place in places.items():
        value = _at(ga, place)
        if value is not None:
            shown[name] = beta_value(name, value)
    return shown


def _at(ga: Fields, place: Place) -> msgspec.Raw | None:
    within: Fields | None = ga
    for step in place[:-1]:
        within = fields_of(within.get(step)) if within is not None else None
    return within.get(place[-1]) if within is not None else None


def _others(ga: Fields, places: Iterable[Place]) -> dict[str, Any]:
    """What has the same name in both, and what this version does not know."""
    placed = {place[0] for place in places}
    return {name: value for name, value in ga.items() if name not in placed and name not in _GA_ONLY}


def _with_parts(item: Fields, names: Mapping[str, str]) -> dict[str, Any]:
    """The item with its content parts renamed; only an assistant's have different names."""
    parts = list_of(item.get("content"))
    if parts is None or text_of(item.get("role")) != "assistant":
        return dict(item)
    return {**item, "content": [_renamed(part, names) for part in parts]}


def _renamed(part: msgspec.Raw, names: Mapping[str, str]) -> Any:
    fields = fields_of(part)
    name = names.get(text_of(fields.get("type")) or "") if fields is not None else None
    return part if fields is None or name is None else {**fields, "type": name}
