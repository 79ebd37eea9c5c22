import itertools
from array import array

import pytest
import trio

from server.simulator.voice.espeak import ESpeakVoice
from server.simulator.voice.speech import VOICES, Speech

pytest.importorskip("espeakng_loader", reason="the optional extra `voice` (eSpeak NG) is not installed")

SENTENCE = "The lighthouse was built in eighteen ninety by a team of engineers."


async def speak(text: str, voice: str = "coral", language: str = "en", speed: float = 1.0) -> Speech:
    return await ESpeakVoice().speak(text, voice=voice, language=language, speed=speed)


async def test_a_sentence_is_heard_with_phones_and_words_at_their_times() -> None:
    speech = await speak(SENTENCE)
    assert 2_500 < speech.duration_ms < 5_000
    assert max(array("h", speech.pcm)) > 8_000
    assert [phone.symbol for phone in speech.phones][:6] == ["ð", "ə", "l", "aɪ", "t", "h"]
    assert [SENTENCE[word.char_start :][: word.char_len] for word in speech.words][:3] == ["The", "lighthouse", "was"]
    for times in ([phone.offset_ms for phone in speech.phones], [word.offset_ms for word in speech.words]):
        assert times == sorted(times)
        assert times[-1] <= speech.duration_ms


async def test_the_voices_can_be_told_apart() -> None:
    spoken = [await speak("Hello.", voice=name) for name in VOICES]
    # The library adds a little noise of its own, so waveforms are compared by their zero crossings and levels.
    marks = {
        (len(speech.pcm), sum(a < 0 <= b for a, b in itertools.pairwise(array("h", speech.pcm)))) for speech in spoken
    }
    assert len(marks) == len(VOICES)


@pytest.mark.parametrize("speed", [0.25, 0.5, 1.5])
async def test_speed_changes_the_length_as_asked(speed: float) -> None:
    normal = (await speak(SENTENCE)).duration_ms
    assert (await speak(SENTENCE, speed=speed)).duration_ms == pytest.approx(normal / speed, rel=0.12)


async def test_languages_differ_and_an_unknown_one_falls_back() -> None:
    english, german = await speak("Montag"), await speak("Montag", language="de-AT")
    assert [p.symbol for p in english.phones] != [p.symbol for p in german.phones]
    assert [p.symbol for p in (await speak("Montag", language="xx")).phones] == [p.symbol for p in english.phones]


async def test_text_is_spoken_as_text_and_never_as_a_command() -> None:
    plain = await speak("hi there")
    assert (await speak("hi\x01there")).duration_ms == pytest.approx(plain.duration_ms, rel=0.1)
    assert len((await speak("[[h@]]")).pcm) > 0
    assert len((await speak('<break time="60s"/> hi \ud800')).pcm) < 24_000 * 2 * 10
    assert len((await speak("")).pcm) > 0


async def test_speakers_at_once_wait_for_each_other_and_get_their_own_words() -> None:
    lengths: dict[str, int] = {}

    async def one(text: str) -> None:
        lengths[text] = len((await speak(text)).words)

    async with trio.open_nursery() as nursery:
        for count in range(1, 7):
            nursery.start_soon(one, " ".join(["word"] * count))
    assert {len(text.split()) for text in lengths} == set(lengths.values())


async def test_a_cancelled_speaker_leaves_the_voice_usable() -> None:
    voice = ESpeakVoice()
    with trio.CancelScope() as scope:
        scope.cancel()
        await voice.speak(SENTENCE, voice="ash", language="en", speed=1.0)
    assert scope.cancelled_caught
    assert (await voice.speak("Hello.", voice="ash", language="en", speed=1.0)).pcm
