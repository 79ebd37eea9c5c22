"""What the openai package's synchronous Realtime client does with a server; run by a Python of its own.

Usage: ``python realtime_client.py BASE_URL SCENARIO``. Prints one JSON object; exits non-zero where the package fails.
"""

import base64
import json
import math
import struct
import sys
from collections.abc import Callable
from typing import Any

import openai  # type: ignore[import-not-found]

RATE_HZ = 24_000
PIECE_BYTES = 4800
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the current weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def tone(ms: int) -> bytes:
    """Something that a voice detection takes for speech."""
    count = RATE_HZ * ms // 1000
    samples = (round(8000 * math.sin(2 * math.pi * 220 * number / RATE_HZ)) for number in range(count))
    return struct.pack(f"<{count}h", *samples)


def silence(ms: int) -> bytes:
    """And something that it does not."""
    return bytes(2 * RATE_HZ * ms // 1000)


class Talk:
    """A connection and what came over it."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.types: list[str] = []
        self.said = ""
        self.audio_bytes = 0
        self.errors: list[str] = []

    def until(self, *types: str) -> Any:
        """Receive up to an event of one of these types."""
        while True:
            event = self.connection.recv()
            self.types.append(event.type)
            if event.type == "response.output_audio.delta":
                self.audio_bytes += len(base64.b64decode(event.delta))
            elif event.type in ("response.output_audio_transcript.delta", "response.output_text.delta"):
                self.said += event.delta
            elif event.type == "error":
                self.errors.append(event.error.code)
            if event.type in types:
                return event

    def type(self, text: str) -> None:
        """Say something in writing."""
        content = [{"type": "input_text", "text": text}]
        self.connection.conversation.item.create(item={"type": "message", "role": "user", "content": content})

    def speak(self, sound: bytes) -> None:
        """Send sound as a microphone does, but faster."""
        for start in range(0, len(sound), PIECE_BYTES):
            piece = base64.b64encode(sound[start : start + PIECE_BYTES]).decode()
            self.connection.input_audio_buffer.append(audio=piece)

    def update(self, **session: Any) -> Any:
        """Change the session."""
        self.connection.session.update(session={"type": "realtime", **session})
        return self.until("session.updated", "error")


def text_turn(talk: Talk) -> dict[str, Any]:
    """Ask in writing, hear the answer."""
    talk.type("Who founded the museum?")
    talk.connection.response.create()
    response = talk.until("response.done").response
    return {"status": response.status, "output_tokens": response.usage.output_tokens}


def voice_turn(talk: Talk) -> dict[str, Any]:
    """Speak, fall silent, be answered: the server takes the turn."""
    talk.update(audio={"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 300}}})
    talk.speak(silence(200) + tone(800) + silence(800))
    return {"status": talk.until("response.done").response.status}


def push_to_talk(talk: Talk) -> dict[str, Any]:
    """Speak while a button is held."""
    talk.update(audio={"input": {"turn_detection": None}})
    talk.speak(tone(800))
    talk.connection.input_audio_buffer.commit()
    talk.until("input_audio_buffer.committed")
    talk.connection.response.create()
    return {"status": talk.until("response.done").response.status}


def client_tool(talk: Talk) -> dict[str, Any]:
    """A function of the client's own is called, answered, and its result spoken."""
    updated = talk.update(tools=[WEATHER])
    talk.type("What is the weather in Paris?")
    talk.connection.response.create()
    done = talk.until("response.done").response
    (call,) = [item for item in done.output if item.type == "function_call"]
    output = {"type": "function_call_output", "call_id": call.call_id, "output": '{"message":"Sunny, 21 degrees."}'}
    talk.connection.conversation.item.create(item=output)
    talk.connection.response.create()
    talk.until("response.done")
    tools = [tool.name for tool in updated.session.tools]
    return {"tools": tools, "called": call.name, "arguments": json.loads(call.arguments)}


def cancel(talk: Talk) -> dict[str, Any]:
    """Stop an answer, then go on."""
    talk.type("Tell me everything about the history of the building.")
    talk.connection.response.create()
    talk.until("response.created")
    talk.connection.response.cancel()
    first = talk.until("response.done").response.status
    talk.type("Who founded the museum?")
    talk.connection.response.create()
    return {"first": first, "second": talk.until("response.done").response.status}


def wrong_event(talk: Talk) -> dict[str, Any]:
    """An event that the service refuses is an error event, and no more."""
    talk.connection.input_audio_buffer.commit()
    talk.until("error")
    talk.type("Hello!")
    talk.connection.response.create()
    return {"status": talk.until("response.done").response.status}


SCENARIOS: dict[str, Callable[[Talk], dict[str, Any]]] = {
    scenario.__name__: scenario for scenario in (text_turn, voice_turn, push_to_talk, client_tool, cancel, wrong_event)
}


def main(base_url: str, scenario: str) -> None:
    """Connect, play, close."""
    client = openai.OpenAI(api_key="sk-none-is-needed-here", base_url=base_url, max_retries=0)
    with client.realtime.connect(model="gpt-realtime") as connection:
        talk = Talk(connection)
        talk.until("session.created")
        result = SCENARIOS[scenario](talk)
        connection.close()
    facts = {"types": talk.types, "said": talk.said, "audio_bytes": talk.audio_bytes, "errors": talk.errors}
    print(json.dumps({**result, **facts}))


if __name__ == "__main__":
    main(*sys.argv[1:])
