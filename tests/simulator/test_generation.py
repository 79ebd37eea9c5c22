"""How responses are written: phrases to words and sound, and what happens when thinking or speaking goes wrong."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from server.simulator.generation import _timed_words
from server.simulator.response import Plan
from server.simulator.thinking import Decision
from server.simulator.voice import Speech, Word
from tests.simulator.driver import SYNTHETIC
from tests.simulator.memory import in_memory
from tests.simulator.scripts import LONG_ANSWER, SAYS, TELLS


class RecordingVoice:
    """The synthetic voice, with what it was asked for; the phrase numbered ``breaks_at`` cannot be spoken."""

    name = "recording"

    def __init__(self, breaks_at: int = -1) -> None:
        self.asked: list[tuple[str, str, str, float]] = []
        self._breaks_at = breaks_at

    async def speak(self, text: str, *, voice: str, language: str, speed: float) -> Speech:
        if len(self.asked) == self._breaks_at:
            raise RuntimeError("hoarse")
        self.asked.append((text, voice, language, speed))
        return await SYNTHETIC.speak(text, voice=voice, language=language, speed=speed)


async def test_phrases_are_spoken_one_by_one_with_the_sessions_voice(autojump_clock: MockClock) -> None:
    voice = RecordingVoice()
    async with in_memory(think=SAYS, voice=voice) as client:
        audio = {
            "input": {"transcription": {"model": "whisper-1", "language": "de"}},
            "output": {"voice": "cedar", "speed": 1.25},
        }
        await client.update(audio=audio)
        await client.respond()
        assert voice.asked == [
            ("It opens at ten. ", "cedar", "de", 1.25),
            ("It closes at six.", "cedar", "de", 1.25),
        ]
        await client.respond(conversation="none", audio={"output": {"voice": {"id": "custom"}}})
        assert voice.asked[-1][1] == "custom"


async def test_a_mind_that_fails_fails_its_response_and_nothing_else(autojump_clock: MockClock) -> None:
    def think(plan: Plan) -> Sequence[Decision]:
        raise RuntimeError("no idea")

    async with in_memory(think=think) as client:
        done = await client.respond()
        assert (done["status"], done["usage"]) == ("failed", None)
        assert done["status_details"]["error"]["type"] == "server_error"
        assert "no idea" not in str(done)
        assert (await client.respond())["status"] == "failed"


async def test_a_voice_that_breaks_leaves_an_incomplete_item_that_is_billed(autojump_clock: MockClock) -> None:
    async with in_memory(think=TELLS, voice=RecordingVoice(breaks_at=2)) as client:
        done = await client.respond()
        assert done["status"] == "failed"
        assert done["output"][0]["status"] == "incomplete"
        said = done["output"][0]["content"][0]["transcript"]
        assert said
        assert LONG_ANSWER.startswith(said)
        assert done["usage"]["output_tokens"] > 0


TEXTS = st.text(st.sampled_from("ab '-.,\"é"), max_size=30)


@given(TEXTS, st.lists(st.tuples(st.floats(0, 1000), st.integers(0, 30), st.integers(1, 5)), max_size=8))
def test_whatever_words_an_engine_reports_the_pieces_make_the_text(
    text: str, words: list[tuple[float, int, int]]
) -> None:
    timed = [Word(offset_ms, min(start, len(text)), length) for offset_ms, start, length in words]
    pieces = _timed_words(text, Speech(b"", (), tuple(timed)), 100.0)
    assert "".join(piece for _, piece in pieces) == text
    assert all(offset_ms >= 100 for offset_ms, _ in pieces)


def test_spaces_go_in_front_of_their_word_and_quotes_with_it() -> None:
    words = (Word(0.0, 1, 2), Word(200.0, 6, 5))
    assert _timed_words('"Go – there."', Speech(b"", (), words), 0.0) == [(0.0, '"Go –'), (200.0, ' there."')]
