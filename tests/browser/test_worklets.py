"""The two worklets by themselves, in an offline audio context: what goes in, what comes out, at any rate."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import visiting

pytestmark = [pytest.mark.service, pytest.mark.slow]

# Records a tone through the capture worklet and measures it: level of the tone itself, and of everything.
CAPTURE = """(async (rate, hertz) => {
  const context = new OfflineAudioContext(1, rate * 1.5, rate);
  await context.audioWorklet.addModule("/static/capture-worklet.js");
  const node = new AudioWorkletNode(context, "liveavatar-capture", { numberOfOutputs: 0 });
  const frames = [];
  node.port.onmessage = ({ data }) => frames.push([...data.pcm]);
  const tone = new OscillatorNode(context, { frequency: hertz });
  tone.connect(new GainNode(context, { gain: 0.5 })).connect(node);
  tone.start();
  await context.startRendering();
  await new Promise((resolve) => setTimeout(resolve, 200));
  const samples = frames.flat().map((sample) => sample / 32767).slice(2400, 26400);
  let re = 0, im = 0, all = 0;
  samples.forEach((sample, i) => {
    re += sample * Math.cos((2 * Math.PI * hertz * i) / 24000);
    im += sample * Math.sin((2 * Math.PI * hertz * i) / 24000);
    all += sample * sample;
  });
  return { sizes: [...new Set(frames.map((frame) => frame.length))], count: frames.flat().length,
    tone: (2 * Math.hypot(re, im)) / samples.length, all: Math.sqrt((2 * all) / samples.length) };
})"""

# Plays 600 ms of a known sound in two items, and perhaps flushes it; gives the output and the messages.
PLAY = """(async (rate, steps) => {
  const context = new OfflineAudioContext(1, rate * 1.2, rate);
  await context.audioWorklet.addModule("/static/playback-worklet.js");
  const node = new AudioWorkletNode(context, "liveavatar-playback", { numberOfInputs: 0, outputChannelCount: [1] });
  node.connect(context.destination);
  const messages = [];
  node.port.onmessage = ({ data }) => messages.push(data);
  const tone = (i) => 12000 * Math.sin((2 * Math.PI * 300 * i) / 24000);
  const sound = (from, ms) => Int16Array.from({ length: ms * 24 }, (_, i) => tone(from * 24 + i));
  for (const { at, ...message } of steps) {
    context.suspend(at / 1000).then(async () => {
      if (message.ms) message.pcm = sound(message.from, message.ms);
      node.port.postMessage(message);
      // Messages travel by themselves; rendering must not overtake them.
      await new Promise((resolve) => setTimeout(resolve, 30));
      context.resume();
    });
  }
  const output = [...(await context.startRendering()).getChannelData(0)];
  await new Promise((resolve) => setTimeout(resolve, 100));
  const loud = output.map((value, i) => (Math.abs(value) > 0.002 ? (i / rate) * 1000 : -1)).filter((ms) => ms >= 0);
  return { first: loud[0] ?? null, last: loud.at(-1) ?? null, peak: Math.max(...output),
    jump: output.slice(1).reduce((most, value, i) => Math.max(most, Math.abs(value - output[i])), 0),
    messages: messages.filter(({ type }) => type !== "report"),
    frames: messages.filter(({ type }) => type === "report").flatMap(({ frames }) => frames) };
})"""


def audio(at: int, start: int, ms: int, item: str = "a") -> dict[str, Any]:
    return {"at": at, "type": "audio", "itemId": item, "contentIndex": 0, "from": start, "ms": ms}


async def play(profile: Path, data: Path, rate: int, *steps: dict[str, Any]) -> dict[str, Any]:
    async with visiting(data, profile) as visit:
        found: dict[str, Any] = await visit.page.evaluate(f"{PLAY}({rate}, {json.dumps(steps)})")
        return found


@pytest.mark.parametrize("rate", [16_000, 24_000, 44_100, 48_000])
async def test_any_rate_becomes_24_khz(data_dir: Path, profile: Path, rate: int) -> None:
    async with visiting(data_dir, profile) as visit:
        heard = await visit.page.evaluate(f"{CAPTURE}({rate}, 1000)")
        assert heard["sizes"] == [720]
        assert abs(heard["count"] - 36_000) <= 1_500
        assert heard["tone"] == pytest.approx(0.5, abs=0.01)
        assert heard["all"] == pytest.approx(0.5, abs=0.01)
        if rate > 32_000:
            # Above what 24 kHz can hold: it must vanish, not come back as another tone.
            assert (await visit.page.evaluate(f"{CAPTURE}({rate}, 15000)"))["all"] < 0.005


@pytest.mark.parametrize("rate", [24_000, 48_000])
async def test_what_comes_is_played_without_a_gap_and_counted_to_the_millisecond(
    data_dir: Path, profile: Path, rate: int
) -> None:
    played = await play(
        profile, data_dir, rate,
        audio(50, 0, 100), audio(60, 100, 200), {"at": 70, "type": "end", "itemId": "a"},
        audio(80, 300, 300, "b"), {"at": 90, "type": "end", "itemId": "b"},
    )  # fmt: skip
    assert 50 <= played["first"] < 75
    assert played["last"] == pytest.approx(played["first"] + 600, abs=9)
    assert played["peak"] == pytest.approx(12_000 / 32_768, abs=0.005)
    # The end fades out over a few milliseconds.
    assert played["jump"] < 0.04  # a 300 Hz tone of this strength moves 0.029 a sample; a gap would click
    finished = {m["itemId"]: m["playedMs"] for m in played["messages"] if m["type"] == "finished"}
    assert finished == {"a": pytest.approx(300, abs=0.1), "b": pytest.approx(300, abs=0.1)}
    assert max(frame["rms"] for frame in played["frames"]) == pytest.approx(0.259, abs=0.01)


async def test_a_short_first_piece_waits_for_more_but_not_for_long(data_dir: Path, profile: Path) -> None:
    played = await play(profile, data_dir, 24_000, audio(100, 0, 20), audio(200, 20, 200))
    assert 150 <= played["first"] <= 175


async def test_a_gap_in_the_supply_does_not_click(data_dir: Path, profile: Path) -> None:
    played = await play(profile, data_dir, 24_000, audio(50, 0, 97), audio(400, 97, 200))
    assert played["jump"] < 0.06
    assert played["last"] > 590


async def test_a_flush_is_silent_within_milliseconds_and_says_what_was_heard(data_dir: Path, profile: Path) -> None:
    played = await play(
        profile, data_dir, 24_000,
        audio(50, 0, 500), audio(60, 500, 500, "b"), {"at": 300, "type": "flush", "id": 7}, audio(700, 0, 100, "c"),
        {"at": 710, "type": "end", "itemId": "c"},
    )  # fmt: skip
    flushed = next(message for message in played["messages"] if message["type"] == "flushed")
    assert flushed["silentAt"] - flushed["askedAt"] < 0.02
    assert flushed["silentAt"] * 1000 == pytest.approx(310, abs=12)
    assert [(cut["itemId"], cut["contentIndex"]) for cut in flushed["cut"]] == [("a", 0), ("b", 0)]
    assert flushed["cut"][0]["playedMs"] == pytest.approx(flushed["silentAt"] * 1000 - played["first"], abs=4)
    assert flushed["cut"][1]["playedMs"] == 0
    assert played["jump"] < 0.04
    silent = [frame for frame in played["frames"] if 0.33 < frame["time"] < 0.69]
    assert all(frame["rms"] == 0 for frame in silent)
    assert played["last"] == pytest.approx(800, abs=12)


async def test_more_than_can_be_held_is_dropped_and_said(data_dir: Path, profile: Path) -> None:
    played = await play(profile, data_dir, 24_000, audio(50, 0, 599_000), audio(60, 0, 2_000), audio(70, 0, 500))
    assert [message["type"] for message in played["messages"]].count("overflow") == 1
