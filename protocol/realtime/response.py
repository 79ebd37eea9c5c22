"""A response: what ``response.create`` may ask for, and what ``response.created`` and ``response.done`` carry."""

from typing import Any

from protocol.realtime.base import UNSET, Maybe, Wire
from protocol.realtime.items import Item
from protocol.realtime.session import Tool
from protocol.realtime.usage import Usage


class ResponseParams(Wire, kw_only=True):
    """The ``response`` object of ``response.create`` (GA). ``conversation`` "none" makes the response out-of-band.

    A member that is null counts as absent: typed clients (LiveKit) send all that they have no value for.
    """

    audio: Maybe[Any] = UNSET
    conversation: Maybe[str | None] = UNSET
    input: Maybe[list[Any] | None] = UNSET
    instructions: Maybe[str | None] = UNSET
    max_output_tokens: Maybe[int | str | None] = UNSET
    metadata: Maybe[dict[str, str] | None] = UNSET
    output_modalities: Maybe[list[str] | None] = UNSET
    parallel_tool_calls: Maybe[bool | None] = UNSET
    prompt: Maybe[Any] = UNSET
    reasoning: Maybe[Any] = UNSET
    tool_choice: Maybe[Any] = UNSET
    tools: Maybe[list[Tool] | None] = UNSET


class ErrorInfo(Wire, kw_only=True):
    """The error inside a failed response's ``status_details`` or a failed transcription."""

    type: Maybe[str | None] = UNSET
    code: Maybe[str | None] = UNSET
    message: Maybe[str | None] = UNSET
    param: Maybe[str | None] = UNSET


class StatusDetails(Wire, kw_only=True):
    """Why a response ended. ``reason``: turn_detected, client_cancelled, max_output_tokens or content_filter."""

    type: Maybe[str] = UNSET
    reason: Maybe[str | None] = UNSET
    error: Maybe[ErrorInfo | None] = UNSET


class Response(Wire, kw_only=True):
    """A response. Captures of the GA service show every key always, null where it does not apply.

    ``status`` is in_progress, completed, cancelled, failed or incomplete. ``conversation_id`` is null when the
    response is out-of-band. ``usage`` is null until ``response.done``.
    """

    object: str = "realtime.response"
    id: str
    status: str
    status_details: StatusDetails | None = None
    output: list[Item] = []
    conversation_id: Maybe[str | None] = UNSET
    output_modalities: Maybe[list[str]] = UNSET
    max_output_tokens: Maybe[int | str] = UNSET
    audio: Maybe[Any] = UNSET
    usage: Usage | None = None
    metadata: dict[str, str] | None = None
