"""The one event that VoiceRAG's page knows beside the beta's: what its search found. Knows nothing of when it is sent.

VoiceRAG is Microsoft's sample of a spoken search (aisearch-openai-rag-audio). Its page shows the sources of every such
event as buttons; the name of the event is the one on its wire, its TypeScript types have another.
"""

from collections.abc import Iterable

import msgspec

from protocol.realtime.codec import encode
from protocol.realtime.server_events import ServerEvent


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """A passage as the page shows it: ``chunk`` is its text."""

    chunk_id: str
    title: str
    chunk: str


class MiddleTierToolResponse(ServerEvent, tag="extension.middle_tier_tool_response", kw_only=True):
    """What a tool of the server's found. ``tool_result`` is JSON within JSON: ``{"sources": [Chunk, ...]}``.

    ``previous_item_id`` is the item before the tool's call: what the user said.
    """

    previous_item_id: str | None
    tool_name: str
    tool_result: str


def sources_result(chunks: Iterable[Chunk]) -> str:
    """The ``tool_result`` of passages."""
    return encode({"sources": list(chunks)}).decode()
