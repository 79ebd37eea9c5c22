"""Conversation items and their content parts, as both sides write them. Knows no order of items."""

from typing import Any

from protocol.realtime.base import UNSET, Maybe, Wire


class ContentPart(Wire, kw_only=True):
    """One part of a message.

    ``type`` is ``input_text``, ``input_audio``, ``input_image`` (user, system) or ``output_text``, ``output_audio``
    (assistant); in ``response.content_part.*`` it is ``text`` or ``audio``. ``audio`` is base64; servers leave it out
    except in ``conversation.item.retrieved``.
    """

    type: str
    text: Maybe[str | None] = UNSET
    transcript: Maybe[str | None] = UNSET
    audio: Maybe[str | None] = UNSET
    image_url: Maybe[str] = UNSET
    detail: Maybe[str] = UNSET


class Item(Wire, kw_only=True):
    """A conversation item of any kind: message, function call, its output, or an MCP item (fields unread)."""

    id: Maybe[str] = UNSET
    type: str
    object: Maybe[str] = UNSET
    status: Maybe[str] = UNSET
    role: Maybe[str] = UNSET
    content: Maybe[list[ContentPart]] = UNSET
    name: Maybe[str] = UNSET
    call_id: Maybe[str] = UNSET
    arguments: Maybe[str] = UNSET
    output: Maybe[Any] = UNSET

    def spoken_text(self) -> str:
        """What was typed, written or transcribed, parts joined by a space; "" if there is nothing."""
        parts = self.content or []
        return " ".join(text for part in parts if (text := part.text or part.transcript))
