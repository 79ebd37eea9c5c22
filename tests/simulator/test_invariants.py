"""What holds in every session, whatever its client does: random clients in virtual time."""

import base64
from collections.abc import Sequence
from typing import Any

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from server.simulator.response import Plan
from server.simulator.settings import SimulatorSettings
from server.simulator.thinking import CallTool, Decision, Say
from tests.simulator.driver import Json
from tests.simulator.memory import MemoryClient, in_memory
from tests.simulator.scripts import ANSWER, LONG_ANSWER
from tests.simulator.sounds import silence, tone

CONTENTS: tuple[Sequence[Decision], ...] = (
    [Say(ANSWER)],
    [CallTool("look", {"query": "a rather long question about the opening hours"})],
    [Say("Let me look."), CallTool("look", {"n": 1}), CallTool("look", {"n": 2})],
    [Say(LONG_ANSWER)],
    [Say("")],
    [],
)


def think(plan: Plan) -> Sequence[Decision]:
    """Contents by the length of the history: no chance, but every kind."""
    return CONTENTS[len(plan.history) % len(CONTENTS)]


RESPONSES = st.fixed_dictionaries(
    {},
    optional={
        "conversation": st.sampled_from(["auto", "none"]),
        "output_modalities": st.sampled_from([["text"], ["audio"]]),
        "max_output_tokens": st.sampled_from(["inf", 1, 9, 60]),
        "input": st.just([]),
        "metadata": st.just({"k": "v"}),
    },
)
DETECTION = st.sampled_from(
    [
        None,
        {"type": "server_vad", "interrupt_response": False},
        {"type": "server_vad", "create_response": False},
        {"type": "server_vad", "idle_timeout_ms": 5000},
        {"type": "semantic_vad", "eagerness": "high"},
    ]
)
STEP = st.one_of(
    st.tuples(st.just("respond"), RESPONSES),
    st.tuples(st.just("respond"), st.just({})),
    st.tuples(st.just("type"), st.just("Hello.")),
    st.tuples(st.just("speak"), st.sampled_from([silence(100), tone(200), tone(500) + silence(300)])),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.01, 0.3, 2.0, 20.0])),
    st.tuples(st.just("detect"), DETECTION),
    st.tuples(st.just("truncate"), st.integers(0, 9)),
    st.tuples(st.just("delete"), st.integers(0, 9)),
    st.tuples(st.sampled_from(["cancel", "commit", "clear", "formats"]), st.none()),
)


async def take(client: MemoryClient, step: str, value: Any) -> None:
    """Do one thing that a client may do, sensible or not."""
    items = [event["item"]["id"] for event in client.of("conversation.item.added")] or ["none"]
    match step:
        case "respond":
            await client.send("response.create", response=value)
        case "type":
            await client.type(value)
        case "speak":
            await client.speak(value)
        case "wait":
            await client.quiet(value)
        case "detect":
            await client.send(
                "session.update", session={"type": "realtime", "audio": {"input": {"turn_detection": value}}}
            )
        case "truncate":
            cut = {"content_index": 0, "audio_end_ms": value * 150}
            await client.send("conversation.item.truncate", item_id=items[value % len(items)], **cut)
        case "delete":
            await client.send("conversation.item.delete", item_id=items[value % len(items)])
        case "cancel":
            await client.send("response.cancel")
        case "commit":
            await client.send("input_audio_buffer.commit")
        case "clear":
            await client.send("input_audio_buffer.clear")
        case "formats":
            audio = {"input": {"format": {"type": "audio/pcmu"}}, "output": {"format": {"type": "audio/pcma"}}}
            await client.send("session.update", session={"type": "realtime", "audio": audio})


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, min_size=2, max_size=16), st.sampled_from([0.0, 1.0, 5.0]))
def test_every_session_keeps_the_protocol(steps: list[tuple[str, Any]], pace: float) -> None:
    async def main() -> None:
        async with in_memory(SimulatorSettings(pace=pace), think=think) as client:
            for step, value in steps:
                await take(client, step, value)
            await client.send(
                "session.update", session={"type": "realtime", "audio": {"input": {"turn_detection": None}}}
            )
            await client.until("session.updated")
            await client.quiet(120)
            check(client)
            await client.send("input_audio_buffer.clear")
            await client.until("input_audio_buffer.cleared")

    trio.run(main, clock=MockClock(autojump_threshold=0))


def check(client: MemoryClient) -> None:
    """Every invariant over all that one client received."""
    assert len({event["event_id"] for event in client.events}) == len(client.events)
    responses = responses_in_order(client.events)
    assert one_at_a_time(client.events)
    totals = 0
    for response_id, (created, own, done) in responses.items():
        assert done["id"] == created["id"] == response_id
        assert done["metadata"] == created["metadata"]
        assert (done["status"] == "completed") == (done["status_details"] is None)
        usage = done["usage"]
        totals += usage["total_tokens"]
        assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
        if done["max_output_tokens"] != "inf":
            assert usage["output_tokens"] <= done["max_output_tokens"]
        assert audio_tokens(own, done) == usage["output_token_details"]["audio_tokens"]
        items_of(own, done)
    assert client.connection.session.meter.usage.total_tokens == totals
    assert client.connection.session.meter.responses.total() == len(responses)


def responses_in_order(events: list[Json]) -> dict[str, tuple[Json, list[Json], Json]]:
    """By response id: what it was created as, its events, and what it ended as; each exactly once, in that order."""
    live: dict[str, tuple[Json, list[Json]]] = {}
    ended: dict[str, tuple[Json, list[Json], Json]] = {}
    for event in events:
        if event["type"] == "response.created":
            assert event["response"]["id"] not in live | ended
            assert (event["response"]["status"], event["response"]["usage"]) == ("in_progress", None)
            live[event["response"]["id"]] = (event["response"], [])
        elif event["type"] == "response.done":
            ended[event["response"]["id"]] = (*live.pop(event["response"]["id"]), event["response"])
        elif "response_id" in event:
            live[event["response_id"]][1].append(event)
    assert live == {}
    return ended


def one_at_a_time(events: list[Json]) -> bool:
    """Whether the conversation never had two responses in progress."""
    active = 0
    for event in events:
        if event["type"] in ("response.created", "response.done") and event["response"]["conversation_id"]:
            active += 1 if event["type"] == "response.created" else -1
            if active not in (0, 1):
                return False
    return True


def audio_tokens(own: list[Json], done: Json) -> int:
    """Tokens of the audio that was really sent."""
    rate = 48 if done["audio"]["output"]["format"]["type"] == "audio/pcm" else 8
    deltas = [event["delta"] for event in own if event["type"] == "response.output_audio.delta"]
    milliseconds = sum(len(base64.b64decode(delta)) for delta in deltas) / rate
    return int(-(-milliseconds // 50))


# The stages of an item, which its events pass in this order.
STAGES = (
    ("response.output_item.added",),
    ("response.content_part.added",),
    (
        "response.output_text.delta", "response.output_audio.delta", "response.output_audio_transcript.delta",
        "response.function_call_arguments.delta",
    ),
    (
        "response.output_text.done", "response.output_audio.done", "response.output_audio_transcript.done",
        "response.function_call_arguments.done",
    ),
    ("response.content_part.done",),
    ("response.output_item.done",),
)  # fmt: skip


def items_of(own: list[Json], done: Json) -> None:
    """Each item's events are in order, one item after the other, and its deltas make its whole."""
    index_of = {item["id"]: index for index, item in enumerate(done["output"])}
    assert [index_of[item_id(event)] for event in own] == sorted(index_of[item_id(event)] for event in own)
    for item in done["output"]:
        mine = [event for event in own if item_id(event) == item["id"]]
        stages = [next(n for n, names in enumerate(STAGES) if event["type"] in names) for event in mine]
        assert stages == sorted(stages)
        assert (stages[0], stages[-1]) == (0, len(STAGES) - 1)
        assert all(event["output_index"] == index_of[item["id"]] for event in mine)
        assert item["status"] in ("completed", "incomplete")
        for kind, field in (
            ("output_text", "text"),
            ("output_audio_transcript", "transcript"),
            ("function_call_arguments", "arguments"),
        ):
            whole = [event[field] for event in mine if event["type"] == f"response.{kind}.done"]
            deltas = "".join(event["delta"] for event in mine if event["type"] == f"response.{kind}.delta")
            assert whole in ([], [deltas])


def item_id(event: Json) -> str:
    """The item that an event of a response belongs to."""
    found: str = event["item_id"] if "item_id" in event else event["item"]["id"]
    return found
