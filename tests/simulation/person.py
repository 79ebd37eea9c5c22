"""A person at a page: types, speaks, interrupts and breaks off, by a script; waits as people do, and not for ever."""

from collections.abc import Callable
from random import Random
from typing import TypeAlias

import trio

from tests.simulation import sound
from tests.simulation.faults import break_off
from tests.simulation.mind import Json
from tests.simulation.page import Page
from tests.simulation.sound import SILENCE, SPEECH, Sound

Step: TypeAlias = tuple[str | float, ...]

PATIENCE_S = 15.0
CHUNK_MS = 100
# A little more than the silence after which the service takes a turn to be over.
PAUSE_MS = 600

# An item that nobody ever made.
NOBODY = "item_nobody"
RUBBISH: tuple[bytes, ...] = (
    b'{"type":',
    b"[]",
    b'{"type":"nothing.known"}',
    b'{"type":"avatar.playback","item_id":"item_nobody","played_ms":10}',
    b'{"type":"avatar.playback","item_id":"item_1","played_ms":-5}',
    b'{"type":"avatar.playback","item_id":"item_1","played_ms":"much"}',
    b'{"type":"session.init","kb_id":"museum"}',
    b'{"type":"conversation.item.truncate","item_id":"item_nobody","content_index":0,"audio_end_ms":5}',
    b'{"type":"conversation.item.delete","item_id":"item_nobody"}',
    b'{"type":"session.update","session":{"type":"realtime","nonsense":1}}',
    b'{"type":"input_audio_buffer.append"}',
    b'{"type":"response.create","response":{"conversation":"none","metadata":{"topic":"aside"}}}',
    b'{"type":"response.cancel","response_id":"resp_nobody"}',
)


class Talk:
    """What was said by people in a run: utterances by number, and every mark in order."""

    def __init__(self) -> None:
        self.utterances: dict[int, str] = {}
        self.marks = 0

    def words(self, verb: str) -> str:
        """New words, with a mark of their own."""
        self.marks += 1
        extra = {"remember": f" k{self.marks} v{self.marks}"}.get(verb, "")
        return f"u{self.marks} {verb}{extra}"

    def utterance(self, verb: str) -> int:
        """New words to be spoken; their number, which their sound carries."""
        words = self.words(verb)
        self.utterances[self.marks] = words
        return self.marks


class Person:
    """Plays a script on a page."""

    def __init__(self, page: Page, talk: Talk, random: Random, *, do: Callable[[Step], None]) -> None:
        self.page, self._talk, self._random, self._do = page, talk, random, do
        self.pieces = 0

    async def play(self, script: list[Step]) -> None:
        """Everything in turn."""
        await self.page.until(lambda: self.page.is_open, PATIENCE_S)
        for step in script:
            if self.page.is_over:
                return
            await self.perform(step)

    async def perform(self, step: Step) -> None:
        match step:
            case ("type", str(verb)):
                await self.ask(self._talk.words(verb))
            case ("speak", str(verb)):
                answered = self._ends()
                await self.speak(verb)
                await self.page.until(lambda: self._ends() > answered, PATIENCE_S)
            case ("interrupt", float(after_s)):
                await self._interrupt(after_s)
            case ("overstate", float(after_s)):
                await self._interrupt(after_s, overstates=True)
            case ("cancel", float(after_s)):
                self.put(self._talk.words("long"))
                await trio.sleep(after_s)
                self.page.say("response.cancel")
                await trio.sleep(0.5)
            case ("hurry",):
                self.put(self._talk.words("search"))
                await trio.sleep(self._random.choice((0.0, 0.3)))
                await self.ask(self._talk.words("say"))
            case ("rubbish", int(number)):
                self.page.utter(RUBBISH[number % len(RUBBISH)])
            case ("wait", float(seconds)):
                await trio.sleep(seconds)
            case ("break off", str(kind), float(seconds)):
                await self._break_off(kind, seconds)
            case _:
                self._do(step)
                await trio.sleep(0.5)

    def _ends(self) -> int:
        return self.page.counts["response.done"] + self.page.counts["error"]

    def put(self, words: str) -> bool:
        """Types something and asks for an answer."""
        item: Json = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": words}]}
        return self.page.say("conversation.item.create", item=item) and self.page.say("response.create")

    async def ask(self, words: str) -> bool:
        """Types something and waits for the answer; False if none came."""
        ends = self._ends()
        if not await self.page.until(lambda: self.page.is_open, PATIENCE_S):
            return False
        self.put(words)
        return await self.page.until(lambda: self._ends() > ends, PATIENCE_S)

    async def speak(self, verb: str) -> None:
        """Says something aloud, a second and a half of it, and falls silent."""
        utterance = self._talk.utterance(verb)
        for kind, ms in ((SPEECH, self._random.choice((600, 1500))), (SILENCE, PAUSE_MS)):
            for _ in range(ms // CHUNK_MS):
                self.hum(kind, utterance, CHUNK_MS)
                await trio.sleep(CHUNK_MS / 1000)

    def hum(self, kind: int, utterance: int, ms: int) -> None:
        """A piece of sound into the microphone."""
        self.pieces += 1
        self.page.say("input_audio_buffer.append", audio=sound.encode(Sound(kind, utterance, self.pieces, ms)))

    async def _interrupt(self, after_s: float, *, overstates: bool = False) -> None:
        heard = self.page.counts["response.output_audio.delta"]
        self.put(self._talk.words("long"))
        await self.page.until(lambda: self.page.counts["response.output_audio.delta"] > heard, PATIENCE_S)
        await trio.sleep(after_s)
        if overstates:
            self._overstate()
        await self.perform(("speak", "say"))

    def _overstate(self) -> None:
        """Says of the item that sounds that more was heard of it than there is, and less than nothing."""
        for delta in self.page.of("response.output_audio.delta")[-1:]:
            self.page.is_hindered = True  # what it tells is not what it plays
            self.page.say("avatar.playback", item_id=delta["item_id"], played_ms=-1)
            self.page.say("avatar.playback", item_id=delta["item_id"], played_ms=1e7)

    async def _break_off(self, kind: str, seconds: float) -> None:
        visit = self.page.current
        if visit is None or visit.is_over:
            return
        await break_off(visit.wire, kind, seconds, self._random)
        await self.page.until(lambda: self.page.is_open and self.page.current is not visit, 45)
