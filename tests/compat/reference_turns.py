"""The turns A to H of the Realtime protocol as one scripted GA client plays them; how two logs of them are compared.

Knows no server: `play` takes a connected client. What it records is everything that came.
"""

import fnmatch
import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.compat.python.dialects import WEATHER
from tests.compat.python.sound import pieces, silence, tone
from tests.simulator.driver import Client, Json

PATIENCE_S = 20.0
# The shortest that the protocol allows, ms.
IDLE_TIMEOUT_MS = 5000
INSTRUCTIONS = "You are a guide. Keep it short."
SPEECH = "Say exactly: These are a few words, to be spoken."
LONG_SPEECH = "Say exactly: These are many more words, and they are spoken for so long that somebody loses patience."
# Sound comes in pieces of 100, 150 and then 250 ms: whoever interrupts after the third has 250 ms of sound to do so.
HEARD_DELTAS = 3
HEARD_MS = 300

# Events whose place among the others is nobody's promise; they are compared by themselves.
UNORDERED = ("conversation.item.input_audio_transcription.*", "rate_limits.updated")
# Names of fields that hold an id, which chance makes.
_ID_FIELDS = frozenset({"id", "item_id", "previous_item_id", "response_id", "call_id", "conversation_id", "event_id"})

Play = Callable[[Client], Awaitable[None]]


async def _update(client: Client, *, turn_detection: Json | None = None, tools: Sequence[Json] = ()) -> None:
    hearing = {"turn_detection": turn_detection, "transcription": {"model": "whisper-1"}}
    session = {
        "type": "realtime",
        "instructions": INSTRUCTIONS,
        "audio": {"input": hearing, "output": {"voice": "sage"}},
        "tools": list(tools),
        "max_output_tokens": 1000,
    }
    await client.send("session.update", session=session)
    await client.until("session.updated", PATIENCE_S)


async def _write(client: Client, text: str) -> None:
    content = [{"type": "input_text", "text": text}]
    item = {"id": "item_of_the_client", "type": "message", "role": "user", "content": content}
    await client.send("conversation.item.create", item=item)
    await client.until("conversation.item.done", PATIENCE_S)


async def _respond(client: Client, **response: Any) -> None:
    await client.send("response.create", response=response)
    await _end(client)


async def _end(client: Client) -> None:
    await client.until("response.done", PATIENCE_S)
    await client.until("rate_limits.updated", PATIENCE_S)


async def _speak(client: Client, sound: bytes) -> None:
    for piece in pieces(sound):
        await client.send("input_audio_buffer.append", audio=piece)


async def text_turn(client: Client) -> None:
    """A: a message in writing, answered in writing."""
    await _update(client)
    await _write(client, "Hello!")
    await _respond(client, output_modalities=["text"], metadata={"turn": "A"})


async def audio_turn(client: Client) -> None:
    """B: the same, answered in sound."""
    await _update(client)
    await _write(client, "Hello!")
    await _respond(client)


async def server_vad_turn(client: Client) -> None:
    """C: the service detects the turn and answers."""
    await _update(client, turn_detection={"type": "server_vad", "silence_duration_ms": 300})
    await _speak(client, silence(400) + tone(800) + silence(600))
    await _end(client)


async def push_to_talk(client: Client) -> None:
    """D: the client decides on the turn."""
    await _update(client)
    await _speak(client, tone(600))
    await client.send("input_audio_buffer.commit")
    await client.until("conversation.item.done", PATIENCE_S)
    await _respond(client)


async def function_call(client: Client) -> None:
    """E: a function of the client's is called, and its result spoken."""
    await _update(client, tools=[WEATHER])
    await _write(client, "What is the weather in Paris?")
    await client.send("response.create")
    (call,) = (await client.until("response.done", PATIENCE_S))["response"]["output"]
    await client.until("rate_limits.updated", PATIENCE_S)
    item = {"type": "function_call_output", "call_id": call["call_id"], "output": '{"message": "Sunny."}'}
    await client.send("conversation.item.create", item=item)
    await client.until("conversation.item.done", PATIENCE_S)
    await _respond(client)


async def barge_in(client: Client) -> None:
    """F: somebody speaks into an answer, and the client says what was heard of it."""
    await _update(client, turn_detection={"type": "server_vad", "silence_duration_ms": 300, "create_response": False})
    await client.send("response.create", response={"instructions": LONG_SPEECH})
    for _ in range(HEARD_DELTAS):
        delta = await client.until("response.output_audio.delta", PATIENCE_S)
    await _speak(client, tone(500))
    await _end(client)
    await client.send("conversation.item.truncate", item_id=delta["item_id"], content_index=0, audio_end_ms=HEARD_MS)
    await client.until("conversation.item.truncated", PATIENCE_S)
    await _speak(client, silence(600))
    await client.until("conversation.item.done", PATIENCE_S)


async def cancelled(client: Client) -> None:
    """F, by the client: `response.cancel`, and once more when there is nothing to cancel."""
    await _update(client)
    await client.send("response.create", response={"instructions": LONG_SPEECH})
    for _ in range(HEARD_DELTAS):
        await client.until("response.output_audio.delta", PATIENCE_S)
    await client.send("response.cancel")
    await _end(client)
    await client.send("response.cancel", event_id="mine")
    await client.until("error", PATIENCE_S)


async def out_of_band(client: Client) -> None:
    """G: an answer beside the conversation."""
    await _update(client)
    await _write(client, "Hello!")
    topic = {"topic": "aside"}
    await _respond(client, conversation="none", metadata=topic, output_modalities=["text"], instructions=SPEECH)


async def idle_timeout(client: Client) -> None:
    """H: nobody says anything, and the service speaks first."""
    await _update(client, turn_detection={"type": "server_vad", "idle_timeout_ms": IDLE_TIMEOUT_MS})
    await _respond(client, instructions=SPEECH)
    await client.until("input_audio_buffer.timeout_triggered", PATIENCE_S)
    await _end(client)


TURNS: dict[str, Play] = {
    "A": text_turn,
    "B": audio_turn,
    "C": server_vad_turn,
    "D": push_to_talk,
    "E": function_call,
    "F": barge_in,
    "F, cancelled": cancelled,
    "G": out_of_band,
    "H": idle_timeout,
}


async def play(client: Client, turn: str) -> list[Json]:
    """Everything that a client gets in a turn, from its first event."""
    await client.until("session.created", PATIENCE_S)
    await TURNS[turn](client)
    return client.events


@dataclass(frozen=True)
class Difference:
    """A field of an event that one log has and the other has not, or has otherwise."""

    event: str
    path: str
    direct: Any
    through: Any


def ordered(log: Sequence[Json]) -> list[Json]:
    """The events whose order is promised."""
    return [event for event in log if not _is_unordered(event)]


def unordered(log: Sequence[Json]) -> list[Json]:
    """The others, in an order of their own."""
    return sorted((event for event in log if _is_unordered(event)), key=lambda event: str(event["type"]))


def _is_unordered(event: Json) -> bool:
    return any(fnmatch.fnmatch(event["type"], kind) for kind in UNORDERED)


def normal(events: Sequence[Json]) -> list[Json]:
    """The events without chance and clock: every id is replaced by its number in the order of first mention."""
    numbers: dict[str, str] = {}
    counts: dict[str, itertools.count[int]] = {}

    def number(found: str) -> str:
        kind = found.partition("_")[0]
        if found not in numbers:
            numbers[found] = f"{kind}#{next(counts.setdefault(kind, itertools.count(1)))}"
        return numbers[found]

    def replaced(value: Any, name: str) -> Any:
        if isinstance(value, dict):
            return {key: replaced(inner, key) for key, inner in value.items()}
        if isinstance(value, list):
            return [replaced(inner, name) for inner in value]
        if name == "expires_at":
            return type(value).__name__
        return number(value) if name in _ID_FIELDS and isinstance(value, str) else value

    return [replaced(event, "") for event in events]


def differences(direct: Sequence[Json], through: Sequence[Json]) -> list[Difference]:
    """Field by field, of logs with the same types in the same order."""
    return [
        difference
        for left, right in zip(direct, through, strict=True)
        for difference in _differences(left["type"], "", left, right)
    ]


def _differences(event: str, path: str, left: Any, right: Any) -> list[Difference]:
    if isinstance(left, dict) and isinstance(right, dict):
        return [
            difference
            for name in {**left, **right}
            for difference in _differences(
                event, f"{path}.{name}".lstrip("."), left.get(name, _ABSENT), right.get(name, _ABSENT)
            )
        ]
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        return [
            difference
            for place, (one, other) in enumerate(zip(left, right, strict=True))
            for difference in _differences(event, f"{path}.{place}", one, other)
        ]
    return [] if left == right else [Difference(event, path, left, right)]


_ABSENT = "(absent)"
