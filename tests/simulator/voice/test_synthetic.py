from array import array

from server.simulator.voice.speech import SAMPLE_RATE_HZ, VOICES
from server.simulator.voice.synthetic import SyntheticVoice

SENTENCE = "The lighthouse was built in 1890, and it is still in use."


async def test_it_is_heard_in_every_voice_and_the_voices_differ() -> None:
    voice = SyntheticVoice()
    spoken = [await voice.speak(SENTENCE, voice=name, language="en", speed=1.0) for name in VOICES]
    assert len({speech.pcm for speech in spoken}) == len(VOICES)
    assert all(max(array("h", speech.pcm)) > 5_000 for speech in spoken)


async def test_the_same_text_gives_the_same_sound() -> None:
    first, second = [await SyntheticVoice().speak(SENTENCE, voice="ash", language="en", speed=1.0) for _ in range(2)]
    assert first == second


async def test_its_times_fit_its_sound_and_its_words_the_text() -> None:
    speech = await SyntheticVoice().speak(SENTENCE, voice="coral", language="en", speed=1.0)
    offsets = [phone.offset_ms for phone in speech.phones]
    assert offsets == sorted(offsets)
    assert offsets[-1] < speech.duration_ms
    assert [SENTENCE[word.char_start :][: word.char_len] for word in speech.words][:3] == ["The", "lighthouse", "was"]


async def test_speed_shortens_it() -> None:
    voice = SyntheticVoice()
    lengths = [
        (await voice.speak(SENTENCE, voice="coral", language="en", speed=speed)).duration_ms
        for speed in (0.1, 0.25, 1.0, 1.5, 9)
    ]
    assert lengths[0] == lengths[1] > 3.9 * lengths[2] / 1.05
    assert lengths[2] > lengths[3] == lengths[4]


async def test_even_text_without_words_sounds_for_a_moment() -> None:
    for text in ("", "...", "\x00", "日本", "<speak>hi</speak>"):
        speech = await SyntheticVoice().speak(text, voice="nobody", language="xx", speed=1.0)
        assert len(speech.pcm) >= SAMPLE_RATE_HZ // 100
