"""The service on a real socket: handshakes, refusals, faults of the line, and that nothing is left behind."""

import gc
import os
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from server.simulator import connection as connection_module
from server.simulator import door as door_module
from server.simulator import wire as wire_module
from server.simulator.faults import fault_rules
from server.simulator.service import Simulator
from server.simulator.settings import SimulatorSettings
from tests.simulator.driver import HANDSHAKE, Client, connected, raw_handshake, simulator, talking
from tests.simulator.scripts import SAYS, TELLS

TARGET = "/v1/realtime?model=gpt-realtime"


async def rejected(running: Simulator, target: str = TARGET, headers: str = "") -> tuple[int, Any, dict[str, str]]:
    status, fields, body = await raw_handshake(running, target, headers)
    return status, msgspec.json.decode(body or b"null"), fields


async def answers(running: Simulator) -> None:
    """A whole turn works: the service lives."""
    async with connected(running) as client:
        await client.until("session.created")
        assert (await client.respond("Hello."))["status"] == "completed"


async def settled(running: Simulator) -> None:
    with trio.fail_after(5):
        # The service tells no one when a connection ends.
        while running.open_connections:  # noqa: ASYNC110
            await trio.sleep(0.01)
    await trio.testing.wait_all_tasks_blocked(0.01)


@pytest.mark.parametrize("path", ["/openai/v1/realtime", "/v1/realtime", "/realtime"])
async def test_each_path_opens_a_session_of_the_model_asked_for(path: str) -> None:
    async with simulator() as running, connected(running, f"{path}?model=my-deployment") as client:
        assert (await client.until("session.created"))["session"]["model"] == "my-deployment"


async def test_realtime_is_selected_iff_offered() -> None:
    async with simulator() as running:
        async with connected(running, subprotocols=["realtime", "openai-insecure-api-key.x"]) as client:
            assert client.websocket.subprotocol == "realtime"
        async with connected(running) as client:
            assert client.websocket.subprotocol is None


AZURE_TARGET = "/openai/v1/realtime?model=known"


async def test_azure_refuses_over_http() -> None:
    settings = SimulatorSettings(service="azure", api_key="right", models=("known",))
    async with simulator(settings) as running:
        status, body, headers = await rejected(running, AZURE_TARGET, "api-key: wrong\r\n")
        assert (status, body["error"]["code"], headers["content-type"]) == (401, "401", "application/json")
        key = "api-key: right\r\n"
        for target, refused in (
            ("/openai/v1/realtime?model=new", (404, "DeploymentNotFound")),
            (f"{AZURE_TARGET}&api-version=2024-10-01-preview", (400, "BadRequest")),
            ("/openai/realtime?api-version=2024-10-01-preview&deployment=known", (404, "404")),
            ("/v1/realtime?model=known", (404, "404")),
        ):
            status, body, _ = await rejected(running, target, key)
            assert (status, body["error"]["code"]) == refused
        async with connected(running, AZURE_TARGET, extra_headers=[(b"api-key", b"right")]) as client:
            await client.until("session.created")


@pytest.mark.parametrize(
    ("target", "headers", "code", "close"),
    [
        ("/v1/realtime?model=known", [], "invalid_api_key", 3000),
        ("/v1/realtime", [(b"authorization", b"Bearer right")], "missing_model", 4000),
        ("/v1/realtime?model=new", [(b"authorization", b"Bearer right")], "model_not_found", 4004),
        ("/v1/realtime?model=known", [(b"authorization", b"Bearer right"), (b"openai-beta", b"realtime=v1")],
         "beta_api_shape_disabled", 4000),
    ],
)  # fmt: skip
@pytest.mark.parametrize("service", ["openai", "both"])
async def test_openai_accepts_says_why_not_and_closes(
    service: Any, target: str, headers: Any, code: str, close: int
) -> None:
    settings = SimulatorSettings(service=service, api_key="right", models=("known",))
    async with simulator(settings) as running, connected(running, target, extra_headers=headers) as client:
        assert await client.closed() == (close, f"invalid_request_error.{code}")
        (error,) = client.events
        assert (error["type"], error["error"]["type"], error["error"]["code"]) == (
            "error",
            "invalid_request_error",
            code,
        )


async def test_each_path_has_the_lifetime_of_its_service() -> None:
    async with simulator() as running:
        now = time.time()
        for target, seconds in ((AZURE_TARGET, 1800), (TARGET, 3600)):
            async with connected(running, target) as client:
                expires_at = (await client.until("session.created"))["session"]["expires_at"]
                assert abs(expires_at - now - seconds) < 60


async def test_one_connection_too_many_is_asked_to_come_back() -> None:
    async with simulator(SimulatorSettings(max_connections=2), think=SAYS) as running:
        async with connected(running), connected(running):
            status, _, headers = await rejected(running)
            assert (status, headers["retry-after"]) == (429, "1")
        await settled(running)
        await answers(running)


@pytest.mark.parametrize("target", [AZURE_TARGET, TARGET])
async def test_beyond_the_quota_of_a_minute_it_is_429_until_the_minute_is_over(target: str) -> None:
    async with simulator(SimulatorSettings(quota=2, models=("known", "gpt-realtime"))) as running:
        # What is refused for another reason costs nothing.
        assert (await rejected(running, "/openai/v1/realtime?model=new"))[0] == 404
        for _ in range(2):
            async with connected(running, target) as client:
                await client.until("session.created")
        status, body, headers = await rejected(running, target)
        assert status == 429
        assert body["error"]["code"] == ("429" if target == AZURE_TARGET else "rate_limit_exceeded")
        assert 55 <= int(headers["retry-after"]) <= 60


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
@pytest.mark.parametrize("target", [AZURE_TARGET, TARGET])
async def test_a_handshake_is_refused_by_script_in_the_words_of_the_service(status: int, target: str) -> None:
    rule = {"do": "http", "when": "handshake", "status": status, "retry_after": 7, "connection": 1}
    async with simulator(SimulatorSettings(faults=fault_rules([rule])), think=SAYS) as running:
        got, body, headers = await rejected(running, target)
        assert (got, headers["retry-after"]) == (status, "7")
        assert set(body["error"]) == (
            {"code", "message"} if target == AZURE_TARGET else {"code", "message", "type", "param"}
        )
        await answers(running)
        assert running.faults.fired == {"http": 1}


async def test_a_script_may_put_its_own_words_into_a_refusal() -> None:
    rule = {"do": "http", "when": "handshake", "status": 429, "code": "insufficient_quota", "message": "Pay first."}
    async with simulator(SimulatorSettings(faults=fault_rules([rule]))) as running:
        assert (await rejected(running, AZURE_TARGET))[1] == {
            "error": {"code": "insufficient_quota", "message": "Pay first."}
        }


async def test_the_first_connections_are_refused_and_every_third_hangs() -> None:
    rules = [
        {"do": "http", "when": "handshake", "status": 503, "first": 2},
        {"do": "stall", "when": "handshake", "every": 3},
    ]
    async with simulator(SimulatorSettings(faults=fault_rules(rules)), think=SAYS) as running:
        for _ in range(2):
            assert (await rejected(running))[0] == 503
        with trio.move_on_after(0.2) as patience:
            await rejected(running)
        assert patience.cancelled_caught
        for _ in range(2):
            await answers(running)
        assert running.faults.fired == {"http": 2, "stall": 1}


async def test_compression_is_declined() -> None:
    async with simulator() as running:
        request = HANDSHAKE.format(target=TARGET, headers="Sec-WebSocket-Extensions: permessage-deflate\r\n")
        async with await trio.open_tcp_stream(*running.addresses[0]) as stream:
            await stream.send_all(request.encode())
            head = b""
            with trio.fail_after(5):
                while b"\r\n\r\n" not in head:
                    head += await stream.receive_some()
        assert head.startswith(b"HTTP/1.1 101")
        assert b"permessage-deflate" not in head.partition(b"\r\n\r\n")[0]


@pytest.mark.parametrize("action", ["drop", "reset"])
async def test_a_connection_dies_at_the_handshake(action: str) -> None:
    rule = {"do": action, "when": "handshake", "connection": 1}
    async with simulator(SimulatorSettings(faults=fault_rules([rule])), think=SAYS) as running:
        with pytest.raises((IndexError, trio.BrokenResourceError)):
            await raw_handshake(running, TARGET)
        await answers(running)


@pytest.mark.parametrize("action", ["drop", "reset"])
async def test_a_connection_dies_in_the_middle_without_a_close_frame(action: str) -> None:
    rule = {"do": action, "when": "response.output_audio.delta", "nth": 2, "connection": 1}
    async with simulator(SimulatorSettings(faults=fault_rules([rule])), think=SAYS) as running:
        async with connected(running) as client:
            await client.send("response.create")
            assert (await client.closed())[0] == 1006
        await settled(running)
        await answers(running)


async def test_a_delayed_handshake_comes_late() -> None:
    rule = {"do": "delay", "when": "handshake", "ms": 150}
    async with simulator(SimulatorSettings(faults=fault_rules([rule]))) as running:
        start = trio.current_time()
        async with connected(running) as client:
            await client.until("session.created")
        assert trio.current_time() - start >= 0.15


@pytest.mark.slow
async def test_killed_and_started_again_on_its_port_it_serves_at_once() -> None:
    port = "0"
    for _ in range(3):
        command = [sys.executable, "-m", "server.cli", "simulate", "--port", port, "--voice", "synthetic"]
        process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout is not None
        try:
            hint = b""
            with trio.fail_after(20):
                while b"\n" not in hint:
                    data = await process.stdout.receive_some()
                    assert data, "it did not come up"
                    hint += data
            port = hint.split(b"ws://127.0.0.1:")[1].split(b"/")[0].decode()
            running = Simulator([("127.0.0.1", int(port))])
            async with connected(running) as client:
                await client.until("session.created")
                await client.send("response.create")
                await client.until("response.output_audio.delta")
                # In the middle of an answer, its connection open.
                process.kill()
                assert (await client.closed())[0] == 1006
        finally:
            process.kill()
            await process.wait()
            await process.stdout.aclose()


RUBBISH = [
    b"",
    b"\x16\x03\x01\x02\x00\x01\x00",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /v1/realtime/client_secrets HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc",
    b"POST  \r\n\r\n",
    b"POST /v1/realtime?model=m HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    b"GET /v1/realtime?model=m HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    HANDSHAKE.format(target=TARGET, headers="X: ÿþ\r\nSec-WebSocket-Protocol: ÿ\r\n").encode("latin-1"),
    HANDSHAKE.format(target=TARGET, headers="Sec-WebSocket-Extensions: ÿ\r\n").encode("latin-1"),
    b"GET /v1/realtime?model=m HTTP/1.1\r\nHost: x\r\nUpgr",
]


@pytest.mark.parametrize("rubbish", RUBBISH)
async def test_rubbish_in_place_of_a_handshake_hurts_no_one_else(rubbish: bytes) -> None:
    async with simulator(think=SAYS) as running:
        stream = await trio.open_tcp_stream(*running.addresses[0])
        async with stream:
            if rubbish:
                await stream.send_all(rubbish)
            with trio.move_on_after(0.1):
                await stream.receive_some(4096)
        await settled(running)
        await answers(running)


async def test_frames_after_the_handshake_may_be_rubbish_too() -> None:
    head = HANDSHAKE.format(target=TARGET, headers="").encode()
    ping_then_close_then_ping = b"\x89\x80\x00\x00\x00\x00" + b"\x88\x80\x00\x00\x00\x00" + b"\x89\x80\x00\x00\x00\x00"
    async with simulator(think=SAYS) as running:
        for rubbish in (
            b"\xff" * 64,
            b"\x81\xfe\x00",
            b"\x81\x85\x00\x00\x00\x00\xff\xff\xff\xff\xff",
            ping_then_close_then_ping,
        ):
            async with await trio.open_tcp_stream(*running.addresses[0]) as stream:
                await stream.send_all(head + rubbish)
                with trio.move_on_after(0.1):
                    while await stream.receive_some(4096):
                        pass
        await settled(running)
        await answers(running)


async def test_silence_in_place_of_a_handshake_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module, "HANDSHAKE_SECONDS", 0.05)
    async with simulator() as running, await trio.open_tcp_stream(*running.addresses[0]) as stream:
        with trio.fail_after(2):
            assert await stream.receive_some(10) == b""


async def test_a_message_too_big_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module, "MESSAGE_MAX_BYTES", 300_000)
    async with simulator(think=SAYS) as running:
        async with connected(running) as client:
            await client.until("session.created")
            await client.send_text("x" * 1_000_000)
            assert (await client.closed())[0] == 1009
        await settled(running)
        await answers(running)


async def test_fragments_without_end_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_module, "UNFINISHED_MAX_BYTES", 20_000)
    async with simulator(think=SAYS) as running:
        stream = await trio.open_tcp_stream(*running.addresses[0])
        async with stream:
            await stream.send_all(HANDSHAKE.format(target=TARGET, headers="").encode())
            empty_start, empty_fragments = b"\x01\x80" + bytes(4), (b"\x00\x80" + bytes(4)) * 500
            await stream.send_all(empty_start)
            with trio.fail_after(5), suppress(trio.BrokenResourceError):
                while True:
                    await stream.send_all(empty_fragments)
                    await trio.sleep(0.005)
        await settled(running)
        await answers(running)


@pytest.mark.slow
async def test_fifteen_mebibytes_of_audio_fit_into_one_append() -> None:
    async with talking() as client:
        await client.update(audio={"input": {"turn_detection": None}})
        await client.send("input_audio_buffer.append", audio="A" * (20 * 1024 * 1024))
        committed = await client.ask("input_audio_buffer.commit", "input_audio_buffer.committed")
        assert committed["type"] == "input_audio_buffer.committed"
        await client.send("input_audio_buffer.append", audio="A" * (20 * 1024 * 1024 + 4))
        assert (await client.until("error"))["error"]["code"] == "invalid_value"


async def test_a_client_that_does_not_read_is_cut_off() -> None:
    settings = SimulatorSettings(send_seconds=0.3)
    async with simulator(settings, think=TELLS) as running:
        ask = b'{"type":"response.create","response":{"conversation":"none"}}'
        frame = b"\x81" + bytes([0x80 | len(ask)]) + bytes(4) + ask
        async with await trio.open_tcp_stream(*running.addresses[0]) as stream:
            await stream.send_all(HANDSHAKE.format(target=TARGET, headers="").encode())
            with trio.fail_after(10):
                while running.open_connections:
                    try:
                        await stream.send_all(frame * 4)
                    except trio.BrokenResourceError:
                        break
                    await trio.sleep(0.02)
        await settled(running)


async def test_a_close_that_is_not_answered_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "CLOSE_SECONDS", 0.1)
    settings = SimulatorSettings(session_seconds=0.2)
    async with simulator(settings) as running, await trio.open_tcp_stream(*running.addresses[0]) as stream:
        await stream.send_all(HANDSHAKE.format(target=TARGET, headers="").encode())
        await settled(running)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.slow
async def test_two_hundred_connections_leave_nothing_behind() -> None:
    async with simulator(think=SAYS) as running:
        await answers(running)
        await settled(running)
        gc.collect()
        tasks, files = trio.lowlevel.current_statistics().tasks_living, descriptors()

        async def come_and_go(nth: int) -> None:
            async with connected(running) as client:
                await client.until("session.created")
                if nth % 4 == 0:
                    await client.respond()
                elif nth % 4 == 1:
                    await client.send("response.create")
                    await client.until("response.output_audio.delta")

        for start in range(0, 200, 10):
            async with trio.open_nursery() as nursery:
                for nth in range(start, start + 10):
                    nursery.start_soon(come_and_go, nth)
        await settled(running)
        gc.collect()
        assert trio.lowlevel.current_statistics().tasks_living == tasks
        assert descriptors() == files
        assert running.accepted == 201


async def test_cancelling_the_service_takes_its_connections_with_it() -> None:
    clients: list[Client] = []
    begun, over = trio.Event(), trio.Event()
    async with trio.open_nursery() as nursery:
        async with simulator(SimulatorSettings(pace=1.0), think=TELLS) as running:

            async def talk() -> None:
                async with connected(running) as client:
                    clients.append(client)
                    await client.send("response.create")
                    await client.until("response.output_audio.delta")
                    begun.set()
                    await client.closed()
                over.set()

            nursery.start_soon(talk)
            await begun.wait()
        with trio.fail_after(3):
            await over.wait()
    assert clients[0].of("response.done") == []


async def test_sessions_of_one_seed_have_the_same_ids() -> None:
    async def ids() -> list[str]:
        async with talking(SimulatorSettings(seed=7), think=SAYS) as client:
            await client.respond()
            return [event["event_id"] for event in client.events if event["type"] != "rate_limits.updated"]

    assert await ids() == await ids()


async def test_the_services_meter_counts_every_session() -> None:
    async with simulator(think=SAYS) as running:
        total = 0
        for _ in range(2):
            async with connected(running) as client:
                await client.until("session.created")
                total += (await client.respond())["usage"]["total_tokens"]
        assert running.meter.responses == {"completed": 2}
        assert running.meter.usage.total_tokens == total


def test_a_setting_that_makes_no_sense_is_named() -> None:
    for wrong in (
        {"port": 70_000},
        {"voice": "nova"},
        {"pace": -1.0},
        {"max_connections": 0},
        {"quota": -1},
        {"tls_key": "key.pem"},
    ):
        with pytest.raises(ValueError, match=f"simulator setting '{next(iter(wrong))}'"):
            SimulatorSettings(**wrong)


def test_the_key_is_not_shown() -> None:
    assert "hunter2" not in repr(SimulatorSettings(api_key="hunter2"))
