"""pipecat's Realtime services in a pipeline against a server: ``python -m tests.compat.python.pipecat_client SERVICE``.

SERVICE is openai or azure. Every step is a pipeline of its own, user aggregator, service, assistant aggregator, without
a transport: what is looked at is the frames that would reach it. The server is where COMPAT_URL says, its key in
COMPAT_KEY.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from loguru import logger  # type: ignore[import-not-found]
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema  # type: ignore[import-not-found]
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema  # type: ignore[import-not-found]
from pipecat.frames.frames import (  # type: ignore[import-not-found]
    EndFrame,
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    LLMFullResponseEndFrame,
    LLMRunFrame,
    TTSAudioRawFrame,
    TTSTextFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline  # type: ignore[import-not-found]
from pipecat.pipeline.runner import WorkerRunner  # type: ignore[import-not-found]
from pipecat.pipeline.worker import PipelineWorker  # type: ignore[import-not-found]
from pipecat.processors.aggregators.llm_context import LLMContext  # type: ignore[import-not-found]
from pipecat.processors.aggregators.llm_response_universal import (  # type: ignore[import-not-found]
    LLMContextAggregatorPair,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor  # type: ignore[import-not-found]
from pipecat.services.azure.realtime.llm import AzureRealtimeLLMService  # type: ignore[import-not-found]
from pipecat.services.openai.realtime import events  # type: ignore[import-not-found]
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService  # type: ignore[import-not-found]

from tests.compat.python.reporting import expect, step
from tests.compat.python.sound import BYTES_PER_MS, PIECE_BYTES, silence, tone
from tests.compat.python.steps import FACT, QUESTION
from tests.compat.python.talk import PATIENCE_S

Facts = dict[str, Any]
MODEL = "gpt-realtime"
WEATHER = FunctionSchema(
    name="get_weather",
    description="Get the current weather in a city.",
    properties={"city": {"type": "string"}},
    required=["city"],
)
VAD = events.TurnDetection(silence_duration_ms=300)

asked: list[str] = []


async def get_weather(params: Any) -> None:
    """Get the current weather in a city."""
    asked.append(params.arguments["city"])
    await params.result_callback({"message": "It is sunny there, 21 degrees."})


class Speaker(FrameProcessor):  # type: ignore[misc, unused-ignore]
    """Stands where the transport would: takes what is to be played. ``ended``: an answer with sound is over."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.audio_bytes = 0
        self.ended = asyncio.Event()
        self.errors: list[str] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Take a frame, and hand it on."""
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSTextFrame):
            self.text += frame.text
        elif isinstance(frame, TTSAudioRawFrame):
            self.audio_bytes += len(frame.audio)
        elif isinstance(frame, LLMFullResponseEndFrame) and self.audio_bytes:
            self.ended.set()
        elif isinstance(frame, ErrorFrame):
            self.errors.append(frame.error)
        await self.push_frame(frame, direction)


class Bot:
    """A running pipeline, and the events of the server that its service reads (``wire``)."""

    def __init__(self, service: str, question: str | None, turn_detection: Any, tools: Sequence[Any] = ()) -> None:
        self.wire: list[Any] = []
        hearing = events.AudioInput(turn_detection=turn_detection, transcription=events.InputAudioTranscription())
        properties = events.SessionProperties(audio=events.AudioConfiguration(input=hearing))
        kind = AzureRealtimeLLMService if service == "azure" else OpenAIRealtimeLLMService
        path = "/openai/v1/realtime" if service == "azure" else "/v1/realtime"
        self.llm = kind(
            api_key=os.environ["COMPAT_KEY"],
            base_url=os.environ["COMPAT_URL"].replace("http", "ws", 1) + path,
            settings=kind.Settings(model=MODEL, session_properties=properties),
        )
        self.llm.register_function("get_weather", get_weather)
        self._record()
        messages = [{"role": "user", "content": question}] if question else []
        arguments = {"tools": ToolsSchema(standard_tools=list(tools))} if tools else {}
        self.context = LLMContext(messages, **arguments)
        pair = LLMContextAggregatorPair(self.context)
        self.speaker = Speaker()
        self.worker = PipelineWorker(Pipeline([pair.user(), self.llm, self.speaker, pair.assistant()]))
        self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(self.worker)
        await runner.run()

    def _record(self) -> None:
        """Keep what the service's own parser makes of each frame."""
        parse = events.parse_server_event

        def recorded(text: Any) -> Any:
            event = parse(text)
            self.wire.append(event)
            return event

        events.parse_server_event = recorded

    async def until(self, kind: str, count: int = 1) -> Any:
        """The ``count``-th event of this type."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    found = [event for event in self.wire if event is not None and event.type == kind]
                    if len(found) >= count:
                        return found[count - 1]
                    await asyncio.sleep(0.01)
        except TimeoutError:
            expect(False, f"{kind} did not come", [event and event.type for event in self.wire], self.speaker.errors)

    async def queue(self, *frames: Any) -> None:
        """Put frames in where the transport would."""
        for frame in frames:
            await self.worker.queue_frame(frame)

    async def speak(self, sound: bytes) -> None:
        """Send sound as a microphone does, but faster."""
        for start in range(0, len(sound), PIECE_BYTES):
            await self.queue(InputAudioRawFrame(sound[start : start + PIECE_BYTES], 24_000, 1))

    async def answer(self, response: Any) -> Facts:
        """What was to be heard of a completed answer about the museum."""
        expect(response.response.status == "completed", "not completed", response)
        await asyncio.wait_for(self.speaker.ended.wait(), PATIENCE_S)
        expect(self.speaker.audio_bytes > 1000 * BYTES_PER_MS, "too little sound", self.speaker.audio_bytes)
        expect(not self.speaker.errors, "the pipeline met troubles", self.speaker.errors)
        return {"said": self.speaker.text, "audio_bytes": self.speaker.audio_bytes}

    async def close(self) -> int | None:
        """End the pipeline; the code that its connection ended with."""
        socket = self.llm._websocket
        await self.queue(EndFrame())
        with suppress(TimeoutError):
            await asyncio.wait_for(self._running, PATIENCE_S)
        code: int | None = socket.close_code
        return code


async def museum_question(bot: Bot) -> Facts:
    """A question that the server's own search answers, unseen."""
    await bot.queue(LLMRunFrame())
    facts = await bot.answer(await bot.until("response.done"))
    expect(FACT in facts["said"], "the fact is not in the answer", facts)
    calls = [event for event in bot.wire if event is not None and "function_call" in event.type]
    expect(not calls, "a server tool shows", calls)
    return facts


async def tool_call(bot: Bot) -> Facts:
    """A function of the pipeline's is called, and its result spoken."""
    await bot.queue(LLMRunFrame())
    facts = await bot.answer(await bot.until("response.done", 2))
    expect(asked == ["Paris"], "the function was not called once with its argument", asked)
    expect("21 degrees" in facts["said"], "the result is not spoken", facts)
    return facts


async def audio_turn(bot: Bot) -> Facts:
    """Speech, then silence: the server takes the turn."""
    await bot.until("session.updated")
    await bot.speak(silence(300) + tone(800) + silence(900))
    await bot.until("input_audio_buffer.speech_started")
    facts = await bot.answer(await bot.until("response.done"))
    heard = await bot.until("conversation.item.input_audio_transcription.completed")
    expect(heard.transcript == QUESTION, "not what was said", heard)
    expect(FACT in facts["said"], "not what was asked for", facts)
    return facts


async def barge_in(bot: Bot) -> Facts:
    """The person speaks into an answer: it ends, and the service says what was heard of it."""
    await bot.queue(LLMRunFrame())
    await bot.until("response.output_audio.delta")
    await bot.speak(tone(800))
    response = (await bot.until("response.done")).response
    expect(response.status == "cancelled", "not cancelled", response)
    truncated = await bot.until("conversation.item.truncated")
    await bot.speak(silence(900))
    facts = await bot.answer(await bot.until("response.done", 2))
    return {**facts, "audio_end_ms": truncated.audio_end_ms}


async def push_to_talk(bot: Bot) -> Facts:
    """Speech while a button is held."""
    await bot.until("session.updated")
    await bot.queue(UserStartedSpeakingFrame())
    await bot.speak(tone(800))
    await bot.queue(UserStoppedSpeakingFrame())
    facts = await bot.answer(await bot.until("response.done"))
    expect(FACT in facts["said"], "not what was asked for", facts)
    return facts


async def main(service: str) -> None:
    """All steps, each in a pipeline of its own."""
    logger.remove()
    plays = (
        (museum_question, Bot, {"question": QUESTION, "turn_detection": VAD}),
        (tool_call, Bot, {"question": "What is the weather in Paris?", "turn_detection": VAD, "tools": [WEATHER]}),
        (audio_turn, Bot, {"question": None, "turn_detection": VAD}),
        (barge_in, Bot, {"question": QUESTION, "turn_detection": VAD}),
        (push_to_talk, Bot, {"question": None, "turn_detection": False}),
    )
    code: int | None = None
    for play, make, arguments in plays:
        with step(play.__name__.replace("_", " ")) as facts:
            bot = make(service, **arguments)
            facts.update(await play(bot))
            code = await bot.close()
    with step("close") as facts:
        facts["code"] = code
        expect(code == 1000, "not closed normally", code)


if __name__ == "__main__":
    # A pipeline that a failed step leaves behind must not keep the script: its report is complete.
    with asyncio.Runner() as runner:
        try:
            runner.run(main(*sys.argv[1:]))
        except Exception:  # noqa: BLE001 - the step has reported it
            os._exit(1)
