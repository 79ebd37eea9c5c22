"""What stays after many clients have come and gone, and what a slow tool costs everybody else, over real sockets."""

import base64
import contextlib
import gc
import os
import statistics
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from trio_websocket import ConnectionClosed, WebSocketRequest, serve_websocket

from server.knowledge.base import Passage
from server.knowledge.catalog import SqliteKnowledgeBase
from server.secret import Secret
from tests.running import PATIENCE_S, Running, serving
from tests.simulator.driver import Json

pytestmark = pytest.mark.slow

FULL = bool(os.environ.get("TESTS_FULL"))
CYCLES = 1000 if FULL else 200
WARM_UP_CYCLES = 60
AT_ONCE = 4
# An allocator that was warmed up still grows by a little; a session that stayed would cost some 200 KiB each.
GROWTH_MAX_KIB = 6 * 1024

SLOW_TOOL_S = 3.0
PIECE_S = 0.02
ADDED_P99_MAX_S = 0.020


def resident_kib() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


async def come_ask_and_go(server: Running, number: int) -> None:
    """One visit; some leave in the middle of the answer, some without a word."""
    path = "/ws" if number % 2 else "/v1/realtime"
    async with server.opened(path) as client:
        await client.type("Who founded the museum?")
        await client.send("response.create", response={"output_modalities": ["text"]})
        await client.until("response.created" if number % 5 == 0 else "response.done", PATIENCE_S)
        if number % 7 == 0:
            await client.websocket._stream.aclose()


async def visits(server: Running, count: int) -> None:
    numbers = iter(range(count))

    async def visitor() -> None:
        for number in numbers:
            await come_ask_and_go(server, number)

    async with trio.open_nursery() as nursery:
        for _ in range(AT_ONCE):
            nursery.start_soon(visitor)


def is_of_a_query_thread(descriptor: str) -> bool:
    """Whether it belongs to the index: each of the few query threads opens its own connection when first used."""
    with contextlib.suppress(OSError):  # the listing's own descriptor is gone by now
        return ".sqlite" in os.readlink(f"/proc/self/fd/{descriptor}")
    return False


async def at_rest() -> dict[str, int]:
    """Tasks, descriptors and memory once whatever is on its way out has gone."""
    await trio.sleep(1.5)
    gc.collect()
    return {
        "tasks": trio.lowlevel.current_statistics().tasks_living,
        "descriptors": sum(not is_of_a_query_thread(name) for name in os.listdir("/proc/self/fd")),
        "resident_kib": resident_kib(),
    }


async def test_many_visits_leave_nothing(data_dir: Path) -> None:
    # Some visitors vanish without a word; what is left of them is what is counted, once they are given up.
    async with serving(data_dir, resume_window=0.2) as server:
        await visits(server, WARM_UP_CYCLES)
        before = await at_rest()
        began = trio.current_time()
        await visits(server, CYCLES)
        took_s = trio.current_time() - began
        after = await at_rest()
        print(f"{CYCLES} cycles in {took_s:.1f} s: {before} -> {after}")
        assert after["tasks"] == before["tasks"]
        assert after["descriptors"] == before["descriptors"]
        assert after["resident_kib"] - before["resident_kib"] < GROWTH_MAX_KIB
        health = msgspec.json.decode((await server.get("/health"))[2])
        assert health["sessions"] == 0


def event(event_type: str, **fields: Any) -> str:
    return msgspec.json.encode({"type": event_type, "event_id": "event_1", **fields}).decode()


async def echo_service(request: WebSocketRequest) -> None:
    """A Realtime service that sends the user's sound back as speech of a response beside the conversation."""
    websocket = await request.accept()
    response: Json = {"id": "resp_side", "status": "in_progress", "conversation_id": None, "output": []}
    try:
        await websocket.send_message(event("session.created", session={}))
        while True:
            said = msgspec.json.decode(await websocket.get_message())
            if said["type"] == "session.update":
                await websocket.send_message(event("session.updated", session=said["session"]))
                await websocket.send_message(event("response.created", response=response))
            elif said["type"] == "input_audio_buffer.append":
                place = {"response_id": "resp_side", "item_id": "item_side", "output_index": 0, "content_index": 0}
                await websocket.send_message(event("response.output_audio.delta", **place, delta=said["audio"]))
            elif said["type"] == "input_audio_buffer.clear":
                await websocket.send_message(event("input_audio_buffer.cleared"))
            elif said["type"] == "response.create" and "response" not in said:
                call = {
                    "id": "item_call",
                    "type": "function_call",
                    "call_id": "call_1",
                    "name": "search_knowledge_base",
                    "arguments": '{"query":"something"}',
                    "status": "completed",
                }
                turn = {"id": "resp_turn", "status": "in_progress", "conversation_id": "conv_1", "output": []}
                await websocket.send_message(event("response.created", response=turn))
                done = event("response.output_item.done", response_id="resp_turn", output_index=0, item=call)
                await websocket.send_message(done)
                await websocket.send_message(
                    event("response.done", response={**turn, "status": "completed", "output": [call]})
                )
    except ConnectionClosed:
        return


async def delays_of_sound_and_events(server: Running, *, with_tool: bool) -> list[float]:
    """Seconds from saying to hearing again, for sound and for events, while a tool runs or not."""
    delays: list[float] = []
    async with server.opened("/v1/realtime") as client:
        sent: dict[str, float] = {}
        cleared: list[float] = []

        async def listen() -> None:
            while True:
                heard = await client.receive(PATIENCE_S)
                now = trio.current_time()
                if heard["type"] == "response.output_audio.delta":
                    delays.append(now - sent.pop(heard["delta"]))
                elif heard["type"] == "input_audio_buffer.cleared":
                    delays.append(now - cleared.pop(0))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            if with_tool:
                await client.send("response.create")
            for number in range(int((SLOW_TOOL_S - 0.2) / PIECE_S)):
                sound = base64.b64encode(number.to_bytes(4, "big") * 240).decode()
                sent[sound] = trio.current_time()
                await client.send("input_audio_buffer.append", audio=sound)
                if number % 5 == 0:
                    cleared.append(trio.current_time())
                    await client.send("input_audio_buffer.clear")
                await trio.sleep(PIECE_S)
            await trio.sleep(0.3)
            nursery.cancel_scope.cancel()
        assert not sent
    return delays


async def test_a_slow_tool_is_not_felt(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searched = 0

    async def slow(_self: SqliteKnowledgeBase, _query: str, *, limit: int) -> list[Passage]:
        nonlocal searched
        searched += limit
        await trio.sleep(SLOW_TOOL_S)
        return []

    monkeypatch.setattr(SqliteKnowledgeBase, "search", slow)
    added = []
    async with trio.open_nursery() as nursery:
        upstream = await nursery.start(serve_websocket, echo_service, "127.0.0.1", 0, None)
        base_url = f"http://127.0.0.1:{upstream.port}/v1"
        key = Secret("sk-of-nobody-at-all")
        async with serving(data_dir, upstream="openai", openai_api_key=key, openai_base_url=base_url) as server:
            # The machine does other things too: what counts is what the tool adds at best.
            for _ in range(3):
                p99 = [
                    statistics.quantiles(await delays_of_sound_and_events(server, with_tool=with_tool), n=100)[98]
                    for with_tool in (False, True)
                ]
                added.append(p99[1] - p99[0])
                print(f"p99 without {p99[0] * 1000:.2f} ms, with a {SLOW_TOOL_S:g} s tool {p99[1] * 1000:.2f} ms")
                if added[-1] <= ADDED_P99_MAX_S:
                    break
        nursery.cancel_scope.cancel()
    assert searched
    assert min(added) <= ADDED_P99_MAX_S
