"""A Realtime service that holds a conversation drawn by a seed: speech, text, tools, people who interrupt.

It decides nothing by what was said; it says what services say, in their order, one response at a time.
"""

import itertools
from dataclasses import dataclass, field
from random import Random

import trio

from tests.session.service import Json, Line, Script

__all__ = ["Talk", "talks"]

PIECE_MS = 40
WORDS = ("we", "open", "at", "ten", "and", "close", "late", "on", "every", "other", "day", "of", "the", "long", "week")


@dataclass
class Talk:
    """What a service is about to say, and what it said. ``turns`` of people whom it hears are left."""

    random: Random
    turns: int
    pause_s: float = 20.0
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    said: dict[str, str] = field(default_factory=dict)
    """The words of every finished item, by its id."""
    asked: int = 0
    done: int = 0

    @property
    def is_over(self) -> bool:
        return self.turns <= 0 and self.done >= self.asked


class _Voice:
    """One connection's voice: it answers what it is asked, one after the other."""

    def __init__(self, line: Line, talk: Talk) -> None:
        self.line, self.talk = line, talk
        self.interrupted = trio.Event()
        self.speaking: str | None = None
        self.ask, self.asked = trio.open_memory_channel[Json](1000)

    async def answer(self) -> None:
        """Answers for ever."""
        async for event in self.asked:
            asked = event.get("response") or {}
            marked = asked.get("metadata")
            number = next(self.talk.numbers)
            kind = self.talk.random.choice(("speech", "speech", "speech", "text", "tool"))
            if kind == "tool" and (asked.get("tool_choice") == "none" or self._just_called()):
                kind = "speech"
            await trio.sleep(self.talk.random.choice((0.0, 0.05, 1.0)))
            self.interrupted = trio.Event()
            if kind == "tool":
                call = (f"call_{number}", "search_knowledge_base", '{"query":"when"}')
                self.line.call(f"resp_{number}", call, metadata=marked)
            else:
                await self._say(number, kind, marked)
            self.talk.done += 1

    def _just_called(self) -> bool:
        results = [event for event in self.line.of("conversation.item.create") if "output" in event["item"]]
        return bool(results) and self.line.received[-1][1]["type"] == "response.create"

    async def _say(self, number: int, kind: str, marked: Json | None) -> None:
        line, random = self.line, self.talk.random
        response_id, item_id = f"resp_{number}", f"item_{number}"
        spoken = kind == "speech"
        where: Json = {"response_id": response_id, "item_id": item_id, "output_index": 0, "content_index": 0}
        item: Json = {"id": item_id, "type": "message", "role": "assistant", "status": "in_progress", "content": []}
        line.begin(response_id, metadata=marked)
        line.send("response.output_item.added", response_id=response_id, output_index=0, item=item)
        line.send("conversation.item.added", previous_item_id=None, item=item)
        part: Json = {"type": "audio", "transcript": ""} if spoken else {"type": "text", "text": ""}
        line.send("response.content_part.added", **where, part=part)
        text = ""
        # As services do, it says more in a second than can be heard in one.
        self.speaking = item_id
        for _ in range(random.randint(1, 12)):
            word = random.choice(WORDS) + " "
            text += word
            line.send(f"response.output_{'audio_transcript' if spoken else 'text'}.delta", **where, delta=word)
            for _ in range(random.randint(1, 6) if spoken else 0):
                line.audio(response_id, item_id, PIECE_MS, fill=random.randint(1, 250))
            with trio.move_on_after(random.choice((0.0, 0.02, 0.2))):
                await self.interrupted.wait()
            if self.interrupted.is_set():
                break
        self.speaking = None
        status = "cancelled" if self.interrupted.is_set() else "completed"
        full: Json = {"type": "output_audio", "transcript": text} if spoken else {"type": "output_text", "text": text}
        ended: Json = {**item, "status": "incomplete" if status == "cancelled" else "completed", "content": [full]}
        if spoken:
            line.send("response.output_audio.done", **where)
            line.send("response.output_audio_transcript.done", **where, transcript=text)
        else:
            line.send("response.output_text.done", **where, text=text)
        line.send("response.content_part.done", **where, part=part)
        line.send("response.output_item.done", response_id=response_id, output_index=0, item=ended)
        line.send("conversation.item.done", previous_item_id=None, item=ended)
        line.finish(response_id, ended, status=status, metadata=marked)
        self.talk.said[item_id] = text

    async def hear(self) -> None:
        """People speak, some into an answer, and get answers."""
        line, talk, random = self.line, self.talk, self.talk.random
        while talk.turns > 0:
            await trio.sleep(random.choice((0.3, 2.0, random.uniform(0, talk.pause_s))))
            talk.turns -= 1
            number = next(talk.numbers)
            item_id = f"user_{number}"
            line.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id=item_id)
            self.interrupted.set()
            await trio.sleep(random.uniform(0, 2))
            line.send("input_audio_buffer.speech_stopped", audio_end_ms=900, item_id=item_id)
            line.send("input_audio_buffer.committed", item_id=item_id, previous_item_id=None)
            content = [{"type": "input_audio", "transcript": None}]
            line.place({"id": item_id, "type": "message", "role": "user", "status": "completed", "content": content})
            talk.asked += 1
            self.ask.send_nowait({})
            await trio.sleep(0.1)
            words = f"question {number}"
            line.send(
                "conversation.item.input_audio_transcription.completed",
                item_id=item_id,
                content_index=0,
                transcript=words,
            )
            talk.said[item_id] = words


def talks(talk: Talk, *, hears: bool = True) -> Script:
    """A script for a connection that talks so; ``hears``: people speak by themselves."""

    async def script(line: Line) -> None:
        voice = _Voice(line, talk)
        line.greet()
        line.nursery.start_soon(voice.answer)
        confirmed = False
        while True:
            event = await line.receive()
            match event["type"]:
                case "session.update":
                    line.confirm(event)
                    if hears and not confirmed:
                        line.nursery.start_soon(voice.hear)
                    confirmed = True
                case "conversation.item.create":
                    item = {"id": f"item_{next(talk.numbers)}", **event["item"]}
                    line.place(item, event.get("previous_item_id"))
                case "conversation.item.delete":
                    line.send("conversation.item.deleted", item_id=event["item_id"])
                case "response.create":
                    talk.asked += 1
                    voice.ask.send_nowait(event)
                case "response.cancel":
                    voice.interrupted.set()
                case "conversation.item.truncate":
                    where = {key: event[key] for key in ("item_id", "content_index", "audio_end_ms")}
                    line.send("conversation.item.truncated", **where)

    return script
