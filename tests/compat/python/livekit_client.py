"""The Realtime plugin of livekit-agents against a server: ``python -m tests.compat.python.livekit_client SERVICE``.

SERVICE is openai, azure, or azure-preview, where the plugin translates the beta itself. Its session is driven as
LiveKit's agent drives it, but without a room: what is looked at is what the plugin gives the agent. The server is where
COMPAT_URL says, its key in COMPAT_KEY.
"""

import asyncio
import os
import sys
from typing import Any

from livekit import rtc  # type: ignore[import-not-found]
from livekit.agents import llm  # type: ignore[import-not-found]
from livekit.plugins import openai  # type: ignore[import-not-found]
from openai.types.beta.realtime.session import TurnDetection  # type: ignore[import-not-found]

from tests.compat.python.reporting import expect, step
from tests.compat.python.sound import BYTES_PER_MS, PIECE_BYTES, silence, tone
from tests.compat.python.steps import FACT, LONG_SPEECH, QUESTION
from tests.compat.python.talk import PATIENCE_S

Facts = dict[str, Any]
MODEL = "gpt-realtime"
PLAYED_MS = 400
VAD = TurnDetection(type="server_vad", silence_duration_ms=300, create_response=True, interrupt_response=True)

asked: list[str] = []


@llm.function_tool  # type: ignore[untyped-decorator, unused-ignore]
async def get_weather(city: str) -> str:
    """Get the current weather in a city."""
    asked.append(city)
    return "It is sunny there, 21 degrees."


def realtime_model(service: str) -> Any:
    """The plugin's model as its user would make it."""
    url, key = os.environ["COMPAT_URL"], os.environ["COMPAT_KEY"]
    common = {"api_key": key, "turn_detection": VAD}
    if service == "openai":
        return openai.realtime.RealtimeModel(model=MODEL, base_url=f"{url}/v1", **common)
    version = {"api_version": "2024-10-01-preview"} if service == "azure-preview" else {}
    azure = openai.realtime.RealtimeModel.with_azure
    return azure(azure_deployment=MODEL, azure_endpoint=url, **version, **common)


class Answer:
    """What the plugin gave the agent of one generation."""

    def __init__(self) -> None:
        self.item_id = ""
        self.text = ""
        self.audio_bytes = 0
        self.calls: list[Any] = []

    async def read(self, generation: Any) -> "Answer":
        """All of it, up to its end."""
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
            tasks.create_task(self._messages(generation.message_stream))
            tasks.create_task(self._functions(generation.function_stream))
        return self

    async def _messages(self, stream: Any) -> None:
        async for message in stream:
            self.item_id = message.message_id
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._words(message.text_stream))
                tasks.create_task(self._sound(message.audio_stream))

    async def _words(self, stream: Any) -> None:
        async for piece in stream:
            self.text += str(piece)

    async def _sound(self, stream: Any) -> None:
        async for frame in stream:
            self.audio_bytes += len(frame.data) * 2

    async def _functions(self, stream: Any) -> None:
        async for call in stream:
            self.calls.append(call)


class Conversation:
    """A session, and what it tells the agent."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.wire: list[Any] = []
        self.sent: list[Any] = []
        self.started = 0
        self.transcripts: list[str] = []
        self.troubles: list[Any] = []
        self.generations: asyncio.Queue[Any] = asyncio.Queue()
        session.on("openai_server_event_received", self.wire.append)
        session.on("openai_client_event_queued", self.sent.append)
        session.on("generation_created", self.generations.put_nowait)
        session.on("input_speech_started", lambda _event: setattr(self, "started", self.started + 1))
        session.on("input_audio_transcription_completed", lambda event: self.transcripts.append(event.transcript))
        session.on("error", self.troubles.append)

    async def until(self, kind: str, start: int = 0) -> Any:
        """The first event of this type since ``start``."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for event in self.wire[start:]:
                    if event["type"] == kind:
                        return event
                await asyncio.sleep(0.01)

    async def heard(self) -> Answer:
        """The next generation that the server begins by itself."""
        async with asyncio.timeout(PATIENCE_S):
            generation = await self.generations.get()
        return await Answer().read(generation)

    async def ask(self, text: str) -> Answer:
        """Say something in writing and have it answered."""
        context = self.session.chat_ctx.copy()
        context.add_message(role="user", content=text)
        await self.session.update_chat_ctx(context)
        return await self.reply()

    async def reply(self, **arguments: Any) -> Answer:
        """Have the model answer."""
        generation = await asyncio.wait_for(self.session.generate_reply(**arguments), PATIENCE_S)
        await self.generations.get()
        return await Answer().read(generation)

    def speak(self, sound: bytes) -> None:
        """Send sound as a microphone does, but faster."""
        for start in range(0, len(sound), PIECE_BYTES):
            piece = sound[start : start + PIECE_BYTES]
            self.session.push_audio(rtc.AudioFrame(piece, 24_000, 1, len(piece) // 2))


def _spoken(answer: Answer) -> Facts:
    expect(FACT in answer.text, "not what was asked for", answer.text)
    expect(answer.audio_bytes > 1000 * BYTES_PER_MS, "too little sound", answer.audio_bytes)
    expect(not answer.calls, "a server tool shows", answer.calls)
    return {"said": answer.text, "audio_bytes": answer.audio_bytes}


async def museum_question(talk: Conversation) -> Facts:
    """A question that the server's own search answers, unseen."""
    return _spoken(await talk.ask(QUESTION))


async def tool_call(talk: Conversation) -> Facts:
    """A function of the agent's is called, and its result spoken."""
    await talk.session.update_tools([get_weather])
    answer = await talk.ask("What is the weather in Paris?")
    (call,) = answer.calls
    expect(call.name == "get_weather" and '"Paris"' in call.arguments, "not the call", call)
    output = await get_weather(city="Paris")
    context = talk.session.chat_ctx.copy()
    context.insert(llm.FunctionCallOutput(call_id=call.call_id, name=call.name, output=output, is_error=False))
    await talk.session.update_chat_ctx(context)
    answer = await talk.reply()
    expect("21 degrees" in answer.text, "the result is not spoken", answer.text)
    return {"said": answer.text, "arguments": call.arguments}


async def audio_turn(talk: Conversation) -> Facts:
    """Speech, then silence: the server takes the turn."""
    talk.speak(silence(300) + tone(800) + silence(900))
    facts = _spoken(await talk.heard())
    expect(talk.started == 1, "the agent is not told that somebody speaks", talk.started)
    await talk.until("conversation.item.input_audio_transcription.completed")
    expect(talk.transcripts[-1] == QUESTION, "not what was said", talk.transcripts)
    return facts


async def barge_in(talk: Conversation) -> Facts:
    """The person speaks into an answer: it ends, and the agent says what was heard of it."""
    generation = await asyncio.wait_for(talk.session.generate_reply(instructions=LONG_SPEECH), PATIENCE_S)
    await talk.generations.get()
    start = len(talk.wire)
    await talk.until("response.output_audio.delta", start)
    talk.speak(tone(800))
    answer = await Answer().read(generation)
    done = (await talk.until("response.done", start))["response"]
    expect(done["status"] == "cancelled", "not cancelled", done["status"], done["status_details"])
    expect(done["status_details"]["reason"] == "turn_detected", "not by the person", done["status_details"])
    talk.session.truncate(message_id=answer.item_id, modalities=["audio"], audio_end_ms=PLAYED_MS)
    truncated = await talk.until("conversation.item.truncated", start)
    expect(truncated["audio_end_ms"] == PLAYED_MS, "not what was said", truncated)
    talk.speak(silence(900))
    return {**_spoken(await talk.heard()), "audio_end_ms": truncated["audio_end_ms"]}


async def push_to_talk(talk: Conversation) -> Facts:
    """Speech while a button is held."""
    start = len(talk.wire)
    talk.session.update_options(turn_detection=None)
    await talk.until("session.updated", start)
    talk.session.clear_audio()
    talk.speak(tone(800))
    talk.session.commit_audio()
    await talk.until("input_audio_buffer.committed", start)
    return _spoken(await talk.reply())


async def main(service: str) -> None:
    """All steps in one session."""
    model = realtime_model(service)
    talk = Conversation(model.session())
    with step("connect") as facts:
        created = await talk.until("session.created")
        await talk.until("session.updated")
        facts["session"] = created["session"]["id"]
    for play in (museum_question, tool_call, audio_turn, barge_in, push_to_talk):
        with step(play.__name__.replace("_", " ")) as facts:
            facts.update(await play(talk))
    with step("close") as facts:
        await asyncio.wait_for(talk.session.aclose(), PATIENCE_S)
        await model.aclose()
        expect(not talk.troubles, "the plugin met troubles", talk.troubles)
    with step("dialect") as facts:
        kinds = {event["type"] for event in talk.wire}
        strange = [kind for kind in kinds if kind.startswith(("avatar.", "extension."))]
        expect(not strange, "not for this client", strange)
        facts.update(events=len(talk.wire), sent=len(talk.sent), kinds=len(kinds))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
