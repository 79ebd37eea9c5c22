"""The page and its connection: cut, reloaded, taken over, and a server that restarts."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from server.secret import Secret
from tests.browser.conftest import killable, serving_on
from tests.browser.devtools import Page, browser
from tests.browser.test_page import CONNECTED, LONG, SPEAKING, told, write_wav
from tests.chaos.proxy import ChaosProxy, chaos_proxy
from tests.running import HOST, free_port

pytestmark = [pytest.mark.service, pytest.mark.slow]

FOUNDER = "Who founded the museum?"
QUIET = "page.avatar.state === 'listening'"

# Collects what the page's avatar tells and every event's id, from before the page's own scripts run.
WATCH = """
globalThis.told = {};
globalThis.ids = [];
globalThis.sent = [];
const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (data) {
  sent.push({ at: performance.now(), ...JSON.parse(data) });
  send.call(this, data);
};
import("/static/page.js").then(({ avatar }) => {
  for (const name of ["session", "resumed", "anew", "closed", "answered", "interrupted", "sources", "state", "error"])
    avatar.on(name, (detail) => (told[name] ??= []).push({ at: performance.now(), ...detail }));
  avatar.on("event", ({ type, event_id }) => {
    ids.push(event_id);
    (told[type] ??= []).push({ at: performance.now() });
  });
});
"""


async def visit(page: Page, port: int) -> None:
    """The page of a server at a port, connected, with what it is told collected."""
    await page.emulate()
    source = f"addEventListener('DOMContentLoaded', () => {{{WATCH}}})"
    await page.call("Page.addScriptToEvaluateOnNewDocument", source=source)
    await page.open(f"http://localhost:{port}/")
    await page.until(CONNECTED)


@asynccontextmanager
async def cuttable(
    data_dir: Path, profile: Path, *flags: str, **settings: Any
) -> AsyncIterator[tuple[Page, ChaosProxy]]:
    """The page, with something before its server that can cut what is between them."""
    async with (
        serving_on(data_dir, **settings) as port,
        chaos_proxy(HOST, port) as proxy,
        browser(profile, *flags) as page,
    ):
        await visit(page, proxy.port)
        yield page, proxy
        assert [line for line in page.console if line.startswith("thrown:")] == []


async def ids(page: Page) -> list[str]:
    found: list[str] = await page.evaluate("ids")
    return found


async def answered(page: Page, question: str, words: str) -> None:
    """Asks, and waits until the answer is there; it may still be spoken."""
    await page.ask(question)
    await page.until_text("#log", words)
    await page.until("told.answered?.length")


async def test_a_cut_in_an_answer_is_hardly_noticed(data_dir: Path, profile: Path) -> None:
    async with cuttable(data_dir, profile) as (page, proxy):
        await page.ask(FOUNDER)
        await page.until(SPEAKING)
        await trio.sleep(0.3)
        proxy.down()
        await page.until("page.avatar.state === 'reconnecting'")
        assert await page.run("page.avatar.speaking"), "what has come is played on"
        await trio.sleep(0.7)
        proxy.accept()
        await page.until("told.resumed?.length === 1")
        assert (await told(page, "resumed"))[0]["recovered"] is True
        await page.until("told.answered?.length")
        await page.until(QUIET)
        assert (await told(page, "answered"))[0]["status"] == "completed"
        assert len(await told(page, "answered")) == len(await told(page, "response.created")) == 1
        assert len(await told(page, "sources")) == 1
        assert len(await told(page, "session")) == 1
        got = await ids(page)
        assert len(got) == len(set(got))
        # What was heard in the end is all of it, and the server was told so.
        last = await page.evaluate("sent.filter(({ type }) => type === 'avatar.playback').at(-1)")
        heard = await page.run(f"page.avatar.heard({last['item_id']!r})")
        assert heard["share"] == 1
        assert abs(last["played_ms"] - heard["ms"]) <= 1
        assert "new conversation" not in await page.text("#log")
        assert await page.evaluate("document.querySelectorAll('.entry.avatar').length") == 2  # the greeting, the answer
        await answered(page, "When does the museum open on Saturday?", "10 am to 6 pm")


async def test_many_cuts_double_nothing_and_lose_nothing(data_dir: Path, profile: Path) -> None:
    async with cuttable(data_dir, profile) as (page, proxy):
        await page.ask(FOUNDER)
        for number in range(1, 6):
            await trio.sleep(0.25)
            proxy.reset_all()
            await page.until(f"told.resumed?.length === {number}")
        await page.until("told.answered?.length")
        await page.until(QUIET)
        assert all(resumed["recovered"] for resumed in await told(page, "resumed"))
        got = await ids(page)
        assert len(got) == len(set(got))
        (answer,) = await told(page, "answered")
        assert answer["status"] == "completed"
        heard = await page.run(f"page.avatar.heard({answer['itemId']!r})")
        assert heard["share"] == 1
        played = await page.evaluate(
            "sent.filter(({ type }) => type === 'avatar.playback').map((e) => [e.at, e.played_ms])"
        )
        assert [ms for _, ms in played] == sorted(ms for _, ms in played)
        assert played[-1][1] == pytest.approx(heard["ms"], abs=1)


async def test_a_cut_between_answers_keeps_the_conversation_and_a_question_meanwhile_is_answered(
    data_dir: Path, profile: Path
) -> None:
    async with cuttable(data_dir, profile) as (page, proxy):
        await answered(page, FOUNDER, "Ottilie Marsh")
        proxy.down()
        await page.until_text("#notice", "The connection to the server is lost.")
        assert await page.text("#connection") == "Connection lost, trying again…"
        assert "Ottilie Marsh" in await page.text("#log")
        await page.ask("When does the museum open on Saturday?")
        await trio.sleep(0.2)
        proxy.accept()
        await page.until_text("#log", "10 am to 6 pm")
        await page.until("document.querySelector('#notice').hidden")
        assert await page.text("#connection") == "Connected"
        assert len(await told(page, "session")) == 1
        assert await page.evaluate("document.querySelectorAll('.entry.person').length") == 2


async def test_a_question_that_was_lost_on_the_way_is_asked_again(data_dir: Path, profile: Path) -> None:
    async with cuttable(data_dir, profile) as (page, proxy):
        # What the page sends from now on reaches nobody, and it cannot know.
        await page.evaluate("""(() => {
          const send = WebSocket.prototype.send;
          globalThis.heal = () => (WebSocket.prototype.send = send);
          WebSocket.prototype.send = function () {};
        })()""")
        await page.ask(FOUNDER)
        await page.until("page.avatar.state === 'thinking'")
        await page.evaluate("heal()")
        proxy.reset_all()
        await page.until_text("#log", "Ottilie Marsh")
        await page.until(QUIET)
        assert len(await told(page, "answered")) == 1
        assert await page.evaluate("document.querySelectorAll('.entry.person').length") == 1


async def test_an_answer_that_was_stopped_while_the_line_was_dead_stays_stopped(data_dir: Path, profile: Path) -> None:
    async with cuttable(data_dir, profile) as (page, proxy):
        await page.ask(LONG)
        await page.until(SPEAKING)
        await trio.sleep(0.4)
        proxy.down()
        await page.until("page.avatar.state === 'reconnecting'")
        await page.press("Escape")
        await page.until("told.interrupted?.length")
        (cut,) = (await told(page, "interrupted"))[0]["heard"]
        proxy.accept()
        await page.until("told.resumed?.length")
        await page.until("sent.some(({ at, type }) => at > told.resumed[0].at && type === 'response.cancel')")
        sent = await page.evaluate("sent.map((event) => [event.type, event.item_id, event.played_ms])")
        place = sent.index(["avatar.playback", cut["itemId"], cut["playedMs"]])
        assert ["response.cancel", None, None] in sent[place:]
        await trio.sleep(0.5)
        assert await page.run("page.avatar.mouth().rms") == 0
        await page.ask(FOUNDER)
        await page.until_text("#log", "Ottilie Marsh")


async def test_words_said_while_the_line_is_dead_are_heard_after_it(
    data_dir: Path, profile: Path, tmp_path: Path
) -> None:
    sound = tmp_path / "speech.wav"
    write_wav(sound, [(1.5, False), (1.2, True), (30.0, False)])
    flag = f"--use-file-for-fake-audio-capture={sound}%noloop"
    async with cuttable(data_dir, profile, flag) as (page, proxy):
        await page.click("#microphone")
        await page.until("document.querySelector('#microphone').ariaPressed === 'true'")
        proxy.down()
        await page.until("page.avatar.state === 'reconnecting'")
        await page.until("Number(document.querySelector('#meter').getAttribute('aria-valuenow')) > 30")
        await page.until("Number(document.querySelector('#meter').getAttribute('aria-valuenow')) < 10")
        assert await page.evaluate("told['input_audio_buffer.speech_started'] ?? null") is None
        proxy.accept()
        await page.until("told['input_audio_buffer.speech_started']")
        await page.until("told['input_audio_buffer.speech_stopped']")
        await page.until_text("#log", "You spoke")


async def test_what_is_kept_of_the_microphone_is_bounded(data_dir: Path, profile: Path) -> None:
    async with cuttable(data_dir, profile) as (page, proxy):
        await page.click("#microphone")
        await page.until("document.querySelector('#microphone').ariaPressed === 'true'")
        proxy.down()
        await page.until("page.avatar.state === 'reconnecting'")
        await trio.sleep(11)
        proxy.accept()
        await page.until("told.resumed?.length")
        # Pieces of what was kept are longer than a frame of the microphone.
        pieces: list[int] = await page.evaluate(
            "sent.map(({ audio }) => audio?.length ?? 0).filter((size) => size > 4000)"
        )
        kept = sum(pieces) * 3 / 4 / 48_000
        assert 9 < kept < 10.7


async def test_a_reload_shows_the_conversation_again(data_dir: Path, profile: Path) -> None:
    async with cuttable(data_dir, profile) as (page, proxy):
        await answered(page, FOUNDER, "Ottilie Marsh")
        await page.until(QUIET)
        session = (await told(page, "session"))[0]["sessionId"]
        await page.open(f"http://localhost:{proxy.port}/")
        await page.until("told.resumed?.length")
        (resumed,) = await told(page, "resumed")
        assert resumed["recovered"] is False
        assert resumed["sessionId"] == session
        log = await page.text("#log")
        assert FOUNDER in log
        assert "Ottilie Marsh" in log
        assert "new conversation" not in log
        assert (await told(page, "session"))[0]["again"] is False
        stored = await page.evaluate("[Object.keys(localStorage).length, Object.keys(sessionStorage).length]")
        assert stored == [0, 1]
        # And again, in the middle of an answer.
        await page.ask(LONG)
        await page.until(SPEAKING)
        await page.open(f"http://localhost:{proxy.port}/")
        await page.until("told.resumed?.length")
        await page.until_text("#log", LONG)
        order = await page.evaluate("[...document.querySelectorAll('.entry .words')].map((e) => e.textContent)")
        places = [next(i for i, text in enumerate(order) if part in text) for part in (FOUNDER, "Ottilie", LONG)]
        assert places == sorted(places)
        await answered(page, "When does the museum open on Saturday?", "10 am to 6 pm")


async def test_a_reload_that_needs_the_key_again_comes_back_with_it(data_dir: Path, profile: Path) -> None:
    key = "opensesame-123456"
    async with serving_on(data_dir, api_key=Secret(key)) as port, browser(profile) as page:
        await page.emulate()
        for _ in range(2):
            await page.open(f"http://localhost:{port}/")
            await page.until_text("#notice", "This server needs a key")
            await page.click("#key")
            await page.type(key)
            await page.press("Enter")
            await page.until(CONNECTED)
            if FOUNDER not in await page.text("#log"):
                await page.ask(FOUNDER)
                await page.until_text("#log", "Ottilie Marsh")
                await page.until(QUIET)
        await page.until_text("#log", "Ottilie Marsh")
        assert "new conversation" not in await page.text("#log")


async def test_another_knowledge_base_is_another_conversation(data_dir: Path, profile: Path) -> None:
    async with cuttable(data_dir, profile) as (page, proxy):
        await answered(page, FOUNDER, "Ottilie Marsh")
        await page.open(f"http://localhost:{proxy.port}/?kb=liveavatar")
        await page.until("told.session?.length")
        assert await page.evaluate("told.resumed ?? null") is None
        assert await page.evaluate("told.anew ?? null") is None
        assert "Ottilie Marsh" not in await page.text("#log")


async def test_a_restarted_server_is_told_from_a_lost_connection(data_dir: Path, profile: Path) -> None:
    port = await free_port()
    async with browser(profile) as page:
        async with killable(data_dir, port):
            await visit(page, port)
            await answered(page, FOUNDER, "Ottilie Marsh")
        await page.until_text("#notice", "The connection to the server is lost.")
        async with killable(data_dir, port):
            await page.until(CONNECTED)
            await page.until_text("#log", "This is a new conversation: the avatar does not remember")
            (anew,) = await told(page, "anew")
            assert anew["code"] == 4410
            assert any(state["detail"] == anew["message"] for state in await told(page, "state"))
            assert "Ottilie Marsh" in await page.text("#log")
            await answered(page, "When does the museum open on Saturday?", "10 am to 6 pm")


async def test_a_server_that_is_replaced_lets_the_page_finish_and_come_back(data_dir: Path, profile: Path) -> None:
    port = await free_port()
    async with browser(profile) as page:
        async with killable(data_dir, port) as server:
            await visit(page, port)
            await page.ask(FOUNDER)
            await page.until(SPEAKING)
            server.terminate()
            await page.until("told['avatar.going_away']")
            await page.until("told.closed?.length")
            (closed,) = await told(page, "closed")
            assert closed["code"] == 1012
            assert closed["retryInMs"] <= 5000
            assert (await told(page, "answered"))[0]["status"] == "completed"
            with trio.fail_after(10):
                await server.wait()
        async with killable(data_dir, port):
            await page.until("told.anew?.length")
            await page.until(CONNECTED)
            await page.until_text("#log", "This is a new conversation")
            assert "The server is restarting" not in await page.text("#log")
            await answered(page, "When does the museum open on Saturday?", "10 am to 6 pm")


async def test_another_tab_takes_the_conversation_over(data_dir: Path, profile: Path) -> None:
    async with cuttable(data_dir, profile) as (page, _):
        await answered(page, FOUNDER, "Ottilie Marsh")
        # As a duplicated tab does: it has a copy of this tab's storage.
        await page.evaluate("""(() => {
          const copy = { ...sessionStorage };
          globalThis.other = import("/static/liveavatar.js").then(async ({ LiveAvatar }) => {
            Object.assign(sessionStorage, copy);
            const avatar = new LiveAvatar({ persist: "tab" });
            avatar.on("resumed", (detail) => (globalThis.taken = detail));
            await avatar.connect();
            return avatar;
          });
        })()""")
        await page.until("globalThis.taken?.messages.length >= 1")
        await page.until_text("#notice", "This conversation was taken over by another window or tab.")
        assert await page.text("#connection") == "Not connected"
        assert "taken over" not in await page.text("#log")
        assert "newer connection" not in await page.text("#log")
        await page.evaluate("other.then((avatar) => avatar.close())")
        await page.click("#notice-action")
        await page.until(CONNECTED)
        await answered(page, "When does the museum open on Saturday?", "10 am to 6 pm")


async def test_the_network_that_is_back_is_tried_at_once(data_dir: Path, profile: Path) -> None:
    async with cuttable(data_dir, profile) as (page, proxy):
        proxy.down()
        await page.until("(told.closed?.at(-1).attempt ?? 0) >= 3", 30)
        proxy.accept()
        await page.evaluate("dispatchEvent(new Event('online'))")
        await page.until("told.resumed?.length", 3)
        # A connection that seems to stand after the network was away is not trusted.
        await page.evaluate("dispatchEvent(new Event('offline')); dispatchEvent(new Event('online'))")
        await page.until("told.resumed?.length === 2", 3)
        await answered(page, FOUNDER, "Ottilie Marsh")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"idle_prompt": 1.0, "idle_end": 1.0}, "The session ended because nothing was said for a long time."),
        ({"session_max": 17.0}, "The conversation has reached its longest duration."),
    ],
)
async def test_a_session_that_ends_by_itself_offers_to_start_again(
    data_dir: Path, profile: Path, settings: dict[str, float], said: str
) -> None:
    async with cuttable(data_dir, profile, **settings) as (page, _):
        await page.until_text("#notice", said, 60)
        assert await page.text("#notice-action") == "Start again"
        assert await page.text("#connection") == "Not connected"
        await page.click("#notice-action")
        await page.until(CONNECTED)


async def test_what_is_played_is_told_regularly_and_never_goes_back(data_dir: Path, profile: Path) -> None:
    async with cuttable(data_dir, profile) as (page, _):
        await page.ask(LONG)
        await page.until(SPEAKING)
        await trio.sleep(2.5)
        sent = await page.evaluate("sent.filter(({ type }) => type === 'avatar.playback')")
        gaps = [later["at"] - earlier["at"] for earlier, later in itertools.pairwise(sent)]
        assert len(sent) >= 8
        assert max(gaps) < 450
        played = [event["played_ms"] for event in sent]
        assert played == sorted(played)
