"""The openai-agents package's realtime session against a server: ``python -m tests.compat.python.agents_client``.

It validates every event with the strict types of the openai package, and tells its application what does not fit. The
server is where COMPAT_URL says, its key in COMPAT_KEY.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

from agents import function_tool, set_tracing_disabled  # type: ignore[import-not-found]
from agents.realtime import (  # type: ignore[import-not-found]
    RealtimeAgent,
    RealtimeModelSendRawMessage,
    RealtimeRunner,
    RealtimeSession,
)

from tests.compat.python.answers import check_dialect, check_no_calls, end, spoken
from tests.compat.python.dialects import GA, Json
from tests.compat.python.reporting import expect, step
from tests.compat.python.sound import BYTES_PER_MS, PIECE_BYTES, silence, tone
from tests.compat.python.steps import FACT, LONG_SPEECH, QUESTION
from tests.compat.python.talk import PATIENCE_S, names

VAD = {"type": "server_vad", "silence_duration_ms": 300, "create_response": True, "interrupt_response": True}
SETTINGS = {"model_name": "gpt-realtime", "audio": {"input": {"turn_detection": VAD}}}

asked: list[str] = []


@function_tool  # type: ignore[untyped-decorator, unused-ignore]
def get_weather(city: str) -> str:
    """Get the current weather in a city."""
    asked.append(city)
    return "It is sunny there, 21 degrees."


class Conversation:
    """A session, the events of the server in it (``wire``), and what the package tells its application (``told``)."""

    def __init__(self, session: RealtimeSession) -> None:
        self.session = session
        self.wire: list[Json] = []
        self.told: list[Any] = []
        self._events: AsyncIterator[Any] = session.__aiter__()

    async def until(self, wanted: str) -> list[Json]:
        """The events of the server up to the next one of this type, or up to what the package tells."""
        start = len(self.wire)
        while True:
            try:
                event = await asyncio.wait_for(anext(self._events), PATIENCE_S)
            except TimeoutError:
                expect(False, f"{wanted} did not come", names(self.wire[start:]))
            if event.type == "raw_model_event" and event.data.type == "raw_server_event":
                self.wire.append(event.data.data)
                if event.data.data["type"] == wanted:
                    return self.wire[start:]
                continue
            expect(event.type != "error", "an error was told", event, names(self.wire[start:]))
            self.told.append(event)
            if event.type == wanted:
                return self.wire[start:]

    async def send(self, kind: str, **fields: Any) -> None:
        """An event that the session has no method for."""
        message = RealtimeModelSendRawMessage(message={"type": kind, "other_data": fields})
        await self.session.model.send_event(message)

    async def speak(self, sound: bytes) -> None:
        """Send sound as a microphone does, but faster."""
        for start in range(0, len(sound), PIECE_BYTES):
            await self.session.send_audio(sound[start : start + PIECE_BYTES])

    def kinds(self) -> list[str]:
        """What was told to the application."""
        return [event.type for event in self.told]


async def museum_question(talk: Conversation) -> Json:
    """A question that the server's own search answers, unseen."""
    await talk.session.send_message(QUESTION)
    events = await talk.until("response.done")
    said = spoken(events, GA)
    expect(FACT in said, "the fact is not in the answer", said)
    check_no_calls(events)
    await talk.until("agent_end")
    heard = sum(len(event.audio.data) for event in talk.told if event.type == "audio")
    expect(heard > 1000 * BYTES_PER_MS, "no sound came to the application", heard)
    expect("tool_start" not in talk.kinds(), "a server tool shows", talk.kinds())
    return {"said": said, "audio_bytes": heard}


async def tool_call(talk: Conversation) -> Json:
    """A function of the agent's is called by the package, and its result spoken."""
    await talk.session.send_message("What is the weather in Paris?")
    (call,) = end(await talk.until("response.done"))["output"]
    expect(call["name"] == "get_weather", "not the call", call)
    said = spoken(await talk.until("response.done"), GA)
    expect(asked == ["Paris"], "the tool was not run once with its argument", asked)
    expect("21 degrees" in said, "the result is not spoken", said)
    expect("tool_end" in talk.kinds(), "the application was not told", talk.kinds())
    return {"said": said, "arguments": call["arguments"]}


async def audio_turn(talk: Conversation) -> Json:
    """Speech, then silence: the server takes the turn."""
    await talk.speak(silence(300) + tone(800) + silence(900))
    events = await talk.until("response.done")
    heard = names([event for event in events if event["type"].startswith("input_audio_buffer.")])
    steps = [f"input_audio_buffer.{name}" for name in ("speech_started", "speech_stopped", "committed")]
    expect(heard == steps, "not a turn", names(events))
    return {"said": spoken(events, GA)}


async def barge_in(talk: Conversation) -> Json:
    """The person speaks into an answer: the package truncates it and tells its application to stop."""
    await talk.send("response.create", response={"instructions": LONG_SPEECH})
    for _ in range(4):
        await talk.until("response.output_audio.delta")
    await talk.speak(tone(700))
    events = await talk.until("response.done")
    response = end(events)
    expect(response["status"] == "cancelled", "not cancelled", response)
    expect(response["status_details"]["reason"] == "turn_detected", "not by the person", response)
    if "conversation.item.truncated" not in names(events):
        events += await talk.until("conversation.item.truncated")
    (truncated,) = (event for event in events if event["type"] == "conversation.item.truncated")
    expect(truncated["item_id"] == response["output"][0]["id"], "not this item", truncated)
    expect("audio_interrupted" in talk.kinds(), "the application was not told", talk.kinds())
    await talk.speak(silence(900))
    said = spoken(await talk.until("response.done"), GA)
    return {"said": said, "audio_end_ms": truncated["audio_end_ms"]}


async def push_to_talk(talk: Conversation) -> Json:
    """Speech while a button is held."""
    await talk.send("session.update", session={"type": "realtime", "audio": {"input": {"turn_detection": None}}})
    await talk.until("session.updated")
    await talk.speak(tone(800))
    await talk.send("input_audio_buffer.commit")
    await talk.until("input_audio_buffer.committed")
    await talk.send("response.create")
    return {"said": spoken(await talk.until("response.done"), GA)}


async def main() -> None:
    """All steps in one session."""
    set_tracing_disabled(True)
    agent = RealtimeAgent(name="Guide", instructions="You guide visitors.", tools=[get_weather])
    runner = RealtimeRunner(agent, config={"model_settings": SETTINGS})
    address = os.environ["COMPAT_URL"].replace("http", "ws", 1) + "/v1/realtime?model=gpt-realtime"
    session = await runner.run(model_config={"url": address, "api_key": os.environ["COMPAT_KEY"]})
    await session.enter()
    talk = Conversation(session)
    with step("connect") as facts:
        events = await talk.until("session.updated")
        expect(names(events) == ["session.created", "session.updated"], "not in order", names(events))
        effective = events[-1]["session"]
        expect([tool["name"] for tool in effective["tools"]] == ["get_weather"], "not the agent's tools", effective)
        expect("You guide visitors." in effective["instructions"], "not the agent's instructions", effective)
        facts["session"] = effective["id"]
    for play in (museum_question, tool_call, audio_turn, barge_in, push_to_talk):
        with step(play.__name__.replace("_", " ")) as facts:
            facts.update(await play(talk))
    with step("close") as facts:
        socket = session.model._websocket
        await session.close()
        facts["code"] = socket.close_code
        expect(socket.close_code == 1000, "not closed normally", socket.close_code)
    with step("dialect") as facts:
        check_dialect(talk.wire, GA)
        facts["events"] = len(talk.wire)
        facts["kinds"] = len(set(names(talk.wire)))


if __name__ == "__main__":
    asyncio.run(main())
