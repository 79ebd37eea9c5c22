"""Frames that we make in the service's stead: the beginning or the end of a response that it did not tell."""

from decimal import Decimal
from typing import Any

import msgspec

from protocol.avatar.events import AvatarUsage
from protocol.prices.rates import dollars
from protocol.realtime.base import UNSET
from protocol.realtime.codec import encode
from protocol.realtime.usage import Usage


def created_from(event: dict[str, Any], event_id: str) -> bytes:
    """A ``response.created`` for a response of which only the end was seen: ``event`` is that end."""
    event["type"], event["event_id"] = "response.created", event_id
    event["response"] |= {"status": "in_progress", "status_details": None, "output": [], "usage": None}
    return encode(event)


def done_from(
    event: dict[str, Any],
    event_id: str,
    status: str,
    details: dict[str, Any],
    output: list[dict[str, Any]],
    usage: Usage | None,
) -> bytes:
    """A ``response.done`` for a response of which only the beginning was seen: ``event`` is that beginning."""
    event["type"], event["event_id"] = "response.done", event_id
    event["response"] |= {"status": status, "status_details": {"type": status, **details}, "output": output}
    if usage is not None:
        event["response"]["usage"] = msgspec.to_builtins(usage)
    return encode(event)


def sum_of(first: Usage | None, second: Usage | None) -> Usage | None:
    """The usage of both, None counting as nothing."""
    if first is None or second is None:
        return second if first is None else first
    return first + second


def usage_event(
    response_id: str, usage: Usage, usd: Decimal, session_usd: Decimal, left_usd: Decimal | None = None
) -> AvatarUsage:
    """Usage as avatar clients are told, with what it cost, what the session has cost so far, and what is left."""
    read, written = usage.input_token_details, usage.output_token_details
    return AvatarUsage(
        response_id=response_id,
        input_text_tokens=read.text_tokens,
        input_audio_tokens=read.audio_tokens,
        input_image_tokens=read.image_tokens,
        cached_tokens=read.cached_tokens,
        output_text_tokens=written.text_tokens,
        output_audio_tokens=written.audio_tokens,
        total_tokens=usage.total_tokens,
        cost_usd=dollars(usd),
        session_cost_usd=dollars(session_usd),
        budget_left_usd=UNSET if left_usd is None else dollars(left_usd),
    )
