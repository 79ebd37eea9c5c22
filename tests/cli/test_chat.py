"""Chatting line by line: from a pipe each line waits for its answer, at a terminal the next one interrupts."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator

import pytest
import trio

from tests.cli.avatar_server import Visitor, avatar_server
from tests.cli.talking import DEADLINE_S, one_answer, talk

Capture = pytest.CaptureFixture[str]


class Keyboard:
    """What stands in for standard input; ``press`` types on it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def press(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


@contextlib.contextmanager
def keyboard(writing: int, reading: int) -> Iterator[Keyboard]:
    held = Keyboard(writing)
    with io.TextIOWrapper(os.fdopen(reading, "rb")) as stdin, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", stdin)
        yield held
        held.close()  # first: whatever still reads must not wait for more


@pytest.fixture
def pipe() -> Iterator[Keyboard]:
    """Standard input is a pipe."""
    reading, writing = os.pipe()
    with keyboard(writing, reading) as held:
        yield held


@pytest.fixture
def terminal() -> Iterator[Keyboard]:
    """Standard input is a terminal."""
    with keyboard(*os.openpty()) as held:
        yield held


async def printed(capsys: pytest.CaptureFixture[str], text: str) -> str:
    """Waits until ``text`` was printed; all that was printed so far."""
    out = ""
    with trio.fail_after(DEADLINE_S):
        while text not in (out := out + capsys.readouterr().out):  # noqa: ASYNC110 - another trio prints
            await trio.sleep(0.005)
    return out


async def test_piped_lines_are_asked_one_after_the_other(pipe: Keyboard, capsys: Capture) -> None:
    async def script(visitor: Visitor) -> None:
        await visitor.welcome()
        await visitor.answer("At ten.")
        assert visitor.received[-2]["item"]["content"][0]["text"] == "When does it open?"
        await visitor.answer("Closed.")
        assert visitor.received[-2]["item"]["content"][0]["text"] == "And on Mondays? Ünïcode."

    pipe.press("When does it open?\n\nAnd on Mondays? Ünïcode.")
    pipe.close()
    async with avatar_server(script) as url:
        assert await talk("--url", url) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(("  ", "first", "Sources"))]
    assert lines == [
        "City Museum (museum); /quit ends the conversation",
        "avatar> Welcome to the museum.",
        "Try: When does it open? · What does it cost?",
        "you> When does it open?",
        "avatar> At ten.",
        "you> And on Mondays? Ünïcode.",
        "avatar> Closed.",
    ]


async def test_an_unanswered_line_does_not_end_the_chat_but_fails_the_command(pipe: Keyboard, capsys: Capture) -> None:
    async def script(visitor: Visitor) -> None:
        await visitor.welcome()
        await visitor.end(await visitor.begin(), "failed")
        await visitor.answer("Ten.")

    pipe.press("One?\nTwo?\n")
    pipe.close()
    async with avatar_server(script) as url:
        assert await talk("--url", url) == 1
    shown = capsys.readouterr()
    assert "avatar> Ten." in shown.out
    assert shown.err == "liveavatar: The answer failed: no reason was given\n"


async def test_quit_ends_the_chat_though_more_is_piped(pipe: Keyboard, capsys: Capture) -> None:
    pipe.press("/quit\nWhen?\n")
    pipe.close()
    async with avatar_server(one_answer) as url:
        assert await talk("--url", url) == 0
    assert "you>" not in capsys.readouterr().out


async def test_a_line_typed_while_it_speaks_interrupts_it(terminal: Keyboard, capsys: Capture) -> None:
    before: list[str] = []

    async def script(visitor: Visitor) -> None:
        await visitor.welcome()
        terminal.press("Tell me everything.\n")
        first = await visitor.begin()
        await visitor.say(first, "In the beginning")
        before.append(await printed(capsys, "In the beginning"))
        terminal.press("Stop! When does it open?\n")
        await visitor.receive("response.cancel")
        await visitor.say(first, " there was a lot more")
        await visitor.end(first, "cancelled", {"type": "cancelled", "reason": "client_cancelled"})
        await visitor.answer("At ten.")
        terminal.press("/quit\n")

    async with avatar_server(script) as url:
        assert await talk("--url", url) == 0
    shown = capsys.readouterr()
    out = before[0] + shown.out
    assert "avatar> In the beginning\navatar> At ten.\n" in out
    assert "a lot more" not in out
    assert out.endswith("you> \n")
    assert shown.err == ""


async def test_what_the_avatar_says_by_itself_is_shown(terminal: Keyboard, capsys: Capture) -> None:
    async def script(visitor: Visitor) -> None:
        await visitor.welcome()
        response_id = await visitor.speak_up()
        await visitor.say(response_id, "Are you still there?")
        await visitor.end(response_id)
        await visitor.send("avatar.state", state="degraded", detail="2 s of sound were dropped")
        terminal.press("/quit\n")

    async with avatar_server(script) as url:
        assert await talk("--url", url) == 0
    shown = capsys.readouterr()
    assert "avatar> Are you still there?\n" in shown.out
    assert shown.err == "liveavatar: degraded: 2 s of sound were dropped\n"


async def test_the_end_of_input_ends_the_chat_at_once(terminal: Keyboard, capsys: Capture) -> None:
    async def script(visitor: Visitor) -> None:
        await visitor.welcome()
        terminal.press("\x04")

    async with avatar_server(script) as url:
        assert await talk("--url", url) == 0
