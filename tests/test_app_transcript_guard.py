"""The transcript guard in a whole server: what is typed and said is answered, or a safe sentence is spoken instead."""

from pathlib import Path

import pytest

from protocol.errors import OperatorFault
from server.app import run
from server.settings import Settings
from tests.running import PATIENCE_S, serving
from tests.simulator.driver import Client

pytestmark = pytest.mark.slow

SENTENCE = "That is not mine to tell."


def hook(text: str) -> str | None:
    """What the server's setting names."""
    return "of the hook" if "unspeakable" in text else None


def guarding(file: Path, **settings: object) -> dict[str, object]:
    file.write_text("secrets = the founder\n")
    return {
        "guard_rules": file,
        "guard_hook": f"{__name__}:hook",
        "guard_sentence": SENTENCE,
        "transcription_model": "whisper-1",
        **settings,
    }


async def said_to(client: Client, question: str) -> str:
    before = len(client.of("response.output_audio_transcript.done"))
    await client.type(question)
    await client.send("response.create")
    await client.until("response.done", PATIENCE_S)
    said: str = client.of("response.output_audio_transcript.done")[before]["transcript"]
    return said


@pytest.mark.parametrize("path", ["/ws", "/v1/realtime"])
async def test_what_is_asked_is_answered_or_not(data_dir: Path, tmp_path: Path, path: str) -> None:
    settings = guarding(tmp_path / "rules.txt")
    async with serving(data_dir, **settings) as server, server.opened(path) as client:
        assert "10 am" in await said_to(client, "When does the museum open on Saturday?")
        assert client.of("error") == []
        assert await said_to(client, "Who was the founder of the museum?") == SENTENCE
        assert [error["error"]["code"] for error in client.of("error")] == ["guarded"]
        assert await said_to(client, "Say something unspeakable!") == SENTENCE
        assert "10 am" in await said_to(client, "When does the museum open on Sunday?")
        shown = client.of("session.created")[0]["session"]["audio"]["input"]["turn_detection"]
        assert shown["create_response"] is True


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"guard_rules": Path("no/such/file")}, "LIVEAVATAR_GUARD_RULES"),
        ({"guard_hook": "no.such:hook"}, "LIVEAVATAR_GUARD_HOOK"),
    ],
)
async def test_a_guard_that_cannot_be_had_is_no_server(data_dir: Path, settings: dict[str, object], named: str) -> None:
    with pytest.raises(OperatorFault, match=named):
        await run(Settings(port=0, data_dir=data_dir, transcription_model="w", **settings))  # type: ignore[arg-type]


def test_without_transcripts_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    problems = Settings(guard_rules=tmp_path / "rules.txt").problems()
    assert [problem for problem in problems if "LIVEAVATAR_TRANSCRIPTION_MODEL" in problem]
    assert Settings(guard_rules=tmp_path / "rules.txt", transcription_model="w").problems() == []
    bad = Settings(guard_hook="a:b", transcription_model="w", guard_sentence="two\nlines").problems()
    assert "LIVEAVATAR_GUARD_SENTENCE" in bad[0]
