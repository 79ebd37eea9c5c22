"""The page in a real browser: a question asked and answered, interrupted, spoken, and what happens when things fail."""

import itertools
import math
import struct
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from server.knowledge.ingest import ingest
from server.knowledge.sqlite import KnowledgeIndex
from server.prices.files import read_prices
from server.secret import Secret
from tests.browser.conftest import killable, serving_on, visiting
from tests.browser.devtools import Page, browser, correlation
from tests.running import free_port

pytestmark = [pytest.mark.service, pytest.mark.slow]

CONNECTED = "page.avatar.connected"
SPEAKING = "page.avatar.state === 'speaking'"
LONG = "Tell me about the Great Tide Machine."

# Collects what the page's avatar tells, with the time at which it told it.
LISTEN = """(() => {
  globalThis.told = {};
  for (const name of ["sound", "interrupted", "question", "answered", "usage", "closed", "session", "microphone"])
    page.avatar.on(name, (detail) => (told[name] ??= []).push({ at: performance.now(), ...detail }));
  page.avatar.on("event", ({ type }) => (told[type] ??= []).push({ at: performance.now() }));
})()"""


async def connected(page: Page) -> None:
    await page.until(CONNECTED)
    await page.run(LISTEN)


async def told(page: Page, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = await page.evaluate(f"told[{name!r}] ?? []")
    return found


def write_wav(file: Path, parts: Sequence[tuple[float, bool]], rate: int = 48_000) -> None:
    """Silence and something like speech: a buzz of 140 Hz in syllables, four a second."""
    samples: list[int] = []
    for seconds, speaks in parts:
        for i in range(int(seconds * rate)):
            t = i / rate
            syllable = 0.5 - 0.5 * math.cos(2 * math.pi * 4 * t)
            buzz = sum(math.sin(2 * math.pi * 140 * k * t) / k for k in range(1, 12))
            samples.append(int(9_000 * syllable * buzz) if speaks else 0)
    with wave.open(str(file), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(struct.pack(f"<{len(samples)}h", *samples))


async def test_the_face_is_there_at_once(data_dir: Path, profile: Path) -> None:
    async with visiting(data_dir, profile) as visit:
        page = visit.page
        took: list[float] = []
        # The browser's own start belongs to the first time only, and the machine may be busy at any time: what is
        # asked is that the page can, so a busy second gives it another try.
        while len(took) < 3 or (min(took) >= 500 and len(took) < 10):
            await page.call("Network.setCacheDisabled", cacheDisabled=True)
            await page.open(visit.url)
            # The face is drawn in a frame, which may come after the load event.
            await page.until("performance.getEntriesByName('liveavatar.face').length > 0")
            took.append(await page.evaluate("performance.getEntriesByName('liveavatar.face')[0].startTime"))
        weight = await page.evaluate(
            "performance.getEntriesByType('resource').reduce((sum, r) => sum + r.transferSize, 0)"
        )
        await page.until(CONNECTED)
        print(f"first frame of the face after {[round(ms) for ms in took]} ms, {weight / 1024:.0f} KiB transferred")
        assert min(took) < 500
        assert 0 < weight < 300 * 1024
        assert await page.text("#title") == "Pellhaven Museum of Sea and Sky"
        assert "Welcome to the Pellhaven Museum" in await page.text("#log")


# The mouth follows the server's visemes; where there are none, the sound alone.
@pytest.mark.parametrize("without", ["", "page.face.follow(() => ({ ...page.avatar.mouth(), visemes: null }))"])
async def test_a_typed_question_is_answered_with_its_sources_by_a_moving_mouth(
    data_dir: Path, profile: Path, without: str
) -> None:
    async with visiting(data_dir, profile) as visit:
        page = visit.page
        await connected(page)
        assert await page.text("#connection") == "Connected"
        assert await page.text("#state") == "Ready for your question"
        await page.run(without or "null")
        await page.ask("When does the museum open on Saturday?")
        await page.until(SPEAKING)
        assert await page.text("#state") == "Speaking"
        assert await page.run("page.face.state") == "speaking"
        pairs = await page.run("""new Promise((resolve) => {
          const pairs = [];
          const sample = () => {
            const { rms, loudness } = page.avatar.mouth();
            pairs.push([page.face.opening, rms, loudness]);
            if (page.avatar.state === "speaking" && pairs.length < 600) requestAnimationFrame(sample);
            else resolve(pairs);
          };
          requestAnimationFrame(sample);
        })""")
        await page.until("page.avatar.state === 'listening'")
        await page.until_text("#log", "10 am to 6 pm")
        await page.until_text("#log", "First sound after")
        await page.until_text("#log", "tokens")
        visemes = await page.evaluate("(told['avatar.visemes'] ?? []).length")
        moved = correlation([(opening, rms) for opening, rms, _ in pairs])
        print(f"{len(pairs)} frames, {visemes} viseme events, mouth and loudness correlate with {moved:.2f}")
        assert visemes > 0
        assert len(pairs) > 60
        assert max(opening for opening, _, _ in pairs) > 0.4
        assert moved >= 0.6
        first_delta = (await told(page, "response.output_audio.delta"))[0]["at"]
        first_sound = (await told(page, "sound"))[0]["at"]
        print(f"first sound {first_sound - first_delta:.0f} ms after the first delta")
        assert first_sound - first_delta < 150
        await page.until("page.face.opening < 0.02")

        await page.click(".source")
        await page.until("document.querySelector('.document mark')")
        assert "10 am to 6 pm" in await page.text(".document mark")
        assert "Mondays" in await page.text(".document")
        assert await page.evaluate("document.querySelector('.source').ariaExpanded") == "true"


async def test_what_was_heard_is_told_to_the_server(data_dir: Path, profile: Path) -> None:
    async with visiting(data_dir, profile) as visit:
        page = visit.page
        await connected(page)
        await page.evaluate("""(() => {
          globalThis.sent = [];
          const send = WebSocket.prototype.send;
          WebSocket.prototype.send = function (data) {
            sent.push([performance.now(), JSON.parse(data)]);
            send.call(this, data);
          };
        })()""")
        await page.ask("Thank you!")
        await page.until(SPEAKING)
        await page.until("page.avatar.state === 'listening'")
        await trio.sleep(0.2)
        sent = await page.evaluate("sent.filter(([, event]) => event.type === 'avatar.playback')")
        gaps = [later[0] - earlier[0] for earlier, later in itertools.pairwise(sent)]
        played = [event["played_ms"] for _, event in sent]
        item = sent[-1][1]["item_id"]
        heard = await page.run(f"page.avatar.heard({item!r})")
        assert played == sorted(played)
        assert len(played) >= 3
        assert max(gaps) < 450
        assert heard["share"] == 1
        assert abs(played[-1] - heard["ms"]) <= 1


@pytest.mark.parametrize("way", ["button", "escape", "question"])
async def test_an_interruption_silences_the_avatar_at_once(data_dir: Path, profile: Path, way: str) -> None:
    async with visiting(data_dir, profile) as visit:
        page = visit.page
        await connected(page)
        await page.evaluate("""for (const kind of ["pointerdown", "keydown"])
          addEventListener(kind, ({ timeStamp }) => (told.pressed = timeStamp), true)""")
        # A machine that is busy elsewhere may keep the browser from its core once; not every time.
        for times in range(1, 4):
            await page.ask(LONG)
            await page.until("page.avatar.mouth().rms > 0.02")
            await trio.sleep(0.6)
            if way == "button":
                await page.click("#stop")
            elif way == "escape":
                await page.press("Escape")
            else:
                await page.ask("Can I bring my dog?")
            await page.until(f"told.interrupted?.length >= {times}")
            interrupted = (await told(page, "interrupted"))[-1]
            from_key = interrupted["at"] - await page.evaluate("told.pressed")
            print(f"silent {interrupted['silentAfterMs']:.0f} ms after the interruption, {from_key:.0f} after the key")
            if interrupted["silentAfterMs"] < 100 and from_key < 150:
                break
            await page.until("page.avatar.state === 'listening'")
        assert interrupted["silentAfterMs"] < 100
        assert from_key < 150
        assert 300 < interrupted["heard"][0]["playedMs"] < 5_000
        await page.until_text("#log", "Interrupted.")
        if way == "question":
            await page.until_text("#log", "Assistance dogs", 10)
            await page.until(SPEAKING)
        else:
            await trio.sleep(0.1)
            quiet = await page.run("page.avatar.mouth().rms")
            assert quiet == 0
            assert await page.text("#state") == "Ready for your question"
            await page.ask("Who founded the museum?")
            await page.until_text("#log", "Ottilie Marsh")


async def test_speech_is_noticed_and_answered_honestly(data_dir: Path, profile: Path, tmp_path: Path) -> None:
    sound = tmp_path / "speech.wav"
    write_wav(sound, [(0.8, False), (1.4, True), (6.0, False)])
    flag = f"--use-file-for-fake-audio-capture={sound}%noloop"
    async with visiting(data_dir, profile, flag) as visit:
        page = visit.page
        await connected(page)
        await page.click("#microphone")
        await page.until("page.avatar.microphoneOn")
        assert "typed questions only" in await page.text("#hearing-note")
        await page.until("Number(document.querySelector('#meter').getAttribute('aria-valuenow')) > 30")
        await page.until("told['input_audio_buffer.speech_started']")
        await page.until("told['input_audio_buffer.speech_stopped']")
        await page.until(SPEAKING)
        await page.until_text("#log", "You spoke")
        await page.until("told.answered?.length")
        assert "can" in (await page.text(".entry.avatar:last-of-type")).lower()
        await page.click("#mute")
        assert await page.text("#mute") == "Muted"
        await page.click("#microphone")
        await page.until("!page.avatar.microphoneOn")
        assert await page.evaluate("document.querySelector('#live').hidden")


async def test_speaking_silences_the_avatar(data_dir: Path, profile: Path, tmp_path: Path) -> None:
    sound = tmp_path / "speech.wav"
    write_wav(sound, [(1.5, False), (1.2, True), (8.0, False)])
    flag = f"--use-file-for-fake-audio-capture={sound}%noloop"
    async with visiting(data_dir, profile, flag) as visit:
        page = visit.page
        await connected(page)
        await page.ask(LONG)
        await page.until("page.avatar.mouth().rms > 0.02")
        await page.click("#microphone")
        await page.until("told.interrupted?.length")
        interrupted = (await told(page, "interrupted"))[0]
        started = (await told(page, "input_audio_buffer.speech_started"))[0]["at"]
        print(f"silent {interrupted['at'] - started:.0f} ms after speech_started")
        assert interrupted["by"] == "speech"
        assert interrupted["at"] - started < 100
        await page.until_text("#log", "Interrupted.")


async def test_the_server_is_lost_and_found_again(data_dir: Path, profile: Path) -> None:
    port = await free_port()
    async with browser(profile) as page:
        await page.emulate()
        async with killable(data_dir, port):
            await page.open(f"http://localhost:{port}/")
            await connected(page)
            await page.ask("Thank you!")
            await page.until_text("#log", "tokens")
        await page.until_text("#notice", "The connection to the server is lost. Check that the server is running")
        await page.until_text("#notice", "Try now")
        assert await page.text("#connection") == "Connection lost, trying again…"
        assert await page.run("page.face.state") == "reconnecting"
        async with killable(data_dir, port) as server:
            await page.until(CONNECTED)
            await page.until_text("#log", "This is a new conversation: the avatar does not remember")
            assert await page.evaluate("document.querySelector('#notice').hidden")
            await page.ask("Who founded the museum?")
            await page.until_text("#log", "Ottilie Marsh")
            server.terminate()
            await page.until("told.closed.some(({ code }) => code === 1012)")


async def test_an_unknown_knowledge_base_is_said_and_another_one_chosen(data_dir: Path, profile: Path) -> None:
    async with visiting(data_dir, profile, path="?kb=nowhere") as visit:
        page = visit.page
        await page.until_text("#notice", "There is no such knowledge base")
        assert await page.text("#connection") == "Not connected"
        await page.run("""(() => {
          const chooser = document.querySelector("#knowledge-base");
          chooser.value = "liveavatar";
          chooser.dispatchEvent(new Event("change"));
        })()""")
        await page.until(CONNECTED)
        assert await page.evaluate("document.querySelector('#notice').hidden")
        assert await page.run("page.avatar.kb") == "liveavatar"
        assert "kb=liveavatar" in await page.evaluate("location.search")


async def test_a_key_is_asked_for_where_one_is_needed(data_dir: Path, profile: Path) -> None:
    async with serving_on(data_dir, api_key=Secret("opensesame-123456")) as port, browser(profile) as page:
        await page.emulate()
        await page.open(f"http://localhost:{port}/")
        await page.until_text("#notice", "This server needs a key")
        await page.click("#key")
        await page.type("wrong")
        await page.press("Enter")
        await page.until_text("#notice", "wrong or no longer valid")
        await page.until("document.activeElement.id === 'key'")
        await page.type("opensesame-123456")
        await page.press("Enter")
        await page.until(CONNECTED)
        await page.until_text("#knowledge-base", "Pellhaven")
        await page.ask("Who founded the museum?")
        await page.until("document.querySelector('.source')")
        await page.click(".source")
        await page.until("document.querySelector('.document mark')")


async def test_a_refused_microphone_is_said_and_questions_can_be_typed(data_dir: Path, profile: Path) -> None:
    async with visiting(data_dir, profile) as visit:
        page = visit.page
        await connected(page)
        await page.evaluate(
            "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError'))"
        )
        await page.click("#microphone")
        await page.until_text("#notice", "The microphone was refused. Allow it in the browser's address bar")
        assert await page.evaluate("document.querySelector('#microphone').ariaPressed") == "false"
        await page.ask("Who founded the museum?")
        await page.until_text("#log", "Ottilie Marsh")


@pytest.mark.parametrize(
    ("error", "said"), [("NotFoundError", "No microphone was found."), ("NotReadableError", "microphone")]
)
async def test_a_microphone_that_is_missing_or_taken_is_said(
    data_dir: Path, profile: Path, error: str, said: str
) -> None:
    async with visiting(data_dir, profile) as visit:
        page = visit.page
        await connected(page)
        await page.evaluate(
            f"navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', '{error}'))"
        )
        await page.click("#microphone")
        await page.until_text("#notice", said)
        await page.until_text("#notice", "type your questions")


# A browser's speech recognition, as the Web Speech API describes it: what a test puts into ``said`` is heard next.
RECOGNITION = """
globalThis.heard = [];
globalThis.SpeechRecognition = class {
  start() {
    if (globalThis.refused) return setTimeout(() => { this.onerror({ error: refused }); this.onend(); }, 10);
    this.timer = setInterval(() => {
      const next = heard.shift();
      if (!next) return;
      const result = Object.assign([{ transcript: next.text }], { isFinal: next.final });
      this.onresult({ resultIndex: 0, results: [result] });
      if (next.final) this.abort();
    }, 20);
  }
  abort() { clearInterval(this.timer); setTimeout(() => this.onend(), 10); }
};
"""


PRICED = """
[[price]]
models = ["liveavatar-simulator"]
unit = "1M tokens"
text = { input = 4, cached = 0.40, output = 16 }
audio = { input = 32, cached = 0.40, output = 64 }
"""


async def test_what_an_answer_cost_is_shown_where_it_costs(data_dir: Path, profile: Path, tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text(PRICED, encoding="utf-8")
    async with visiting(data_dir, profile, own_prices=read_prices(prices, [])) as visit:
        page = visit.page
        await connected(page)
        await page.ask("Who founded the museum?")
        await page.until_text("#log", " so far")
        await page.until("page.avatar.state === 'listening'")
        [usage] = await told(page, "usage")
        shown = await page.text(".facts")
        assert f"${float(usage['cost_usd']):.4f}, ${float(usage['session_cost_usd']):.4f} so far" in shown
        assert float(usage["cost_usd"]) > 0


# The server tells what it knows when the page has long been in use.
SLOW_FETCH = """
const fetchNow = globalThis.fetch;
globalThis.fetch = async (...about) => {
  await new Promise((soon) => setTimeout(soon, 700));
  return fetchNow(...about);
};
"""


async def test_the_browsers_own_speech_recognition_can_ask(data_dir: Path, profile: Path) -> None:
    async with visiting(data_dir, profile) as visit:
        page = visit.page
        await page.call("Page.addScriptToEvaluateOnNewDocument", source=RECOGNITION + SLOW_FETCH)
        await page.open(visit.url)
        await connected(page)
        await page.run("document.querySelector('#hearing').open = true")
        # It is the browser's, not ours, and says so.
        await page.until_text("#dictation-choice", "Let this browser write down what I say")
        await page.click("#dictation")
        await page.click("#microphone")
        await page.run("heard.push({ text: 'Who founded', final: false })")
        await page.until("document.querySelector('#question').value === 'Who founded'")
        await page.run("heard.push({ text: 'Who founded the museum?', final: true })")
        await page.until_text("#log", "Ottilie Marsh")
        await page.click("#microphone")
        await page.until("document.querySelector('#microphone').ariaPressed === 'false'")


async def test_a_speech_recognition_that_refuses_is_said(data_dir: Path, profile: Path) -> None:
    async with visiting(data_dir, profile) as visit:
        page = visit.page
        await page.call(
            "Page.addScriptToEvaluateOnNewDocument", source=RECOGNITION + "globalThis.refused = 'not-allowed';"
        )
        await page.open(visit.url)
        await connected(page)
        await page.run("document.querySelector('#hearing').open = true")
        await page.click("#dictation")
        await page.click("#microphone")
        await page.until_text("#notice", "The browser refused speech recognition.")


async def test_a_browser_without_worklets_shows_the_answers_as_text(data_dir: Path, profile: Path) -> None:
    async with visiting(data_dir, profile) as visit:
        page = visit.page
        await page.call("Page.addScriptToEvaluateOnNewDocument", source="delete globalThis.AudioWorkletNode")
        await page.open(visit.url)
        await connected(page)
        assert "too old to play the avatar’s voice" in await page.text("#hearing-note")
        await page.ask("Who founded the museum?")
        await page.until_text("#log", "Ottilie Marsh")
        await page.until("page.avatar.state === 'listening'")


async def test_an_upstream_that_is_gone_is_said(data_dir: Path, profile: Path) -> None:
    gone: dict[str, Any] = {
        "upstream": "openai",
        "openai_base_url": "http://127.0.0.1:9/v1",
        "openai_api_key": Secret("x" * 20),
    }
    async with (
        serving_on(data_dir, connect_attempts=1, connect_timeout=1.0, **gone) as port,
        browser(profile) as page,
    ):
        await page.emulate()
        await page.open(f"http://localhost:{port}/")
        await page.until_text("#notice", "The speech service behind the avatar cannot be reached.")
        await page.until_text("#notice", "liveavatar check")
        await page.until_text("#notice", "Try now")
        await page.run(LISTEN)
        await page.until("told.closed?.length > 1")
        assert await page.text("#log") == ""


async def test_markup_is_text(profile: Path, tmp_path: Path) -> None:
    hostile = "<img src=x onerror=window.hacked=1><script>window.hacked=1</script>"
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "lantern.txt").write_text(f"Lanterns\n\nThe lantern {hostile} costs 5 <b>euros</b> in the shop.\n")
    (sources / "profile.toml").write_text(
        f'title = "Shop {hostile}"\ngreeting = "Hello {hostile}"\nsample_questions = ["What is {hostile}?"]\n'
    )
    folder = tmp_path / "data" / "knowledge"
    folder.mkdir(parents=True)
    index = KnowledgeIndex(folder)
    await trio.to_thread.run_sync(ingest, index, "hostile", [sources])
    index.close()
    async with visiting(tmp_path / "data", profile, path="?kb=hostile") as visit:
        page = visit.page
        await connected(page)
        await page.ask(f"How much is the lantern {hostile}")
        await page.until("document.querySelector('.source')")
        await page.click(".source")
        await page.until("document.querySelector('.document mark')")
        await page.until("told.answered?.length")
        assert hostile in await page.text("#title")
        assert f"Hello {hostile}" in await page.text("#log")
        assert f"How much is the lantern {hostile}" in await page.text("#log")
        assert "<b>euros</b>" in await page.text(".document")
        found = "document.querySelectorAll('main script, main img, main b, header script').length"
        assert await page.evaluate(found) == 0
        assert await page.evaluate("window.hacked ?? 'no'") == "no"


async def test_the_keyboard_is_enough_and_motion_can_be_reduced(data_dir: Path, profile: Path) -> None:
    async with visiting(data_dir, profile) as visit:
        page = visit.page
        await page.prefer(prefers_reduced_motion="reduce")
        await connected(page)
        order = []
        for _ in range(14):
            await page.press("Tab")
            order.append(await page.evaluate("document.activeElement.id || document.activeElement.className"))
        for wanted in ("skip", "knowledge-base", "microphone", "log", "question", "ask"):
            assert wanted in order, order
        head = "document.querySelectorAll('#face svg > g > g > g')[0].getAttribute('transform')"
        assert await page.evaluate(head) == await page.evaluate(f"new Promise((r) => setTimeout(() => r({head}), 400))")


async def test_the_embedded_example_answers(data_dir: Path, profile: Path) -> None:
    async with visiting(data_dir, profile, path="embed") as visit:
        page = visit.page
        page.module = "/static/liveavatar.js"
        await page.until("document.querySelector('#face').dataset.state === 'listening'")
        await page.ask("Who founded the museum?")
        await page.until_text("#caption", "Ottilie Marsh")


async def test_a_very_long_answer_stays_readable(data_dir: Path, profile: Path) -> None:
    async with visiting(data_dir, profile) as visit:
        page = visit.page
        await connected(page)
        words = "x" * 400 + " word" * 3_000
        detail = f"{{ itemId: 'long', text: {words!r}, done: true }}"
        await page.run(f"page.avatar.dispatchEvent(new CustomEvent('caption', {{ detail: {detail} }}))")
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        log = "document.querySelector('#log')"
        assert await page.evaluate(f"{log}.scrollHeight - {log}.scrollTop - {log}.clientHeight < 100")
        assert await page.evaluate("document.querySelector('#ask').getBoundingClientRect().bottom <= innerHeight")
