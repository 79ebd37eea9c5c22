"""The end of the process: SIGTERM, a second one, and clients that do not go. The server has a process of its own."""

import signal
from pathlib import Path

import pytest
import trio

from tests.running import PATIENCE_S, handshake_bytes, serving_process
from tests.simulator.driver import Client
from tests.transport.peers import TEXT, frame

pytestmark = pytest.mark.slow

INIT_FRAME = frame(TEXT, b'{"kb_id":"museum"}')


async def told_to_go(client: Client) -> tuple[list[str], int]:
    """The codes of the errors and the close code."""
    code, _ = await client.closed()
    return [event["error"]["code"] for event in client.of("error")], code


@pytest.mark.parametrize(
    ("number", "reason", "code"), [(signal.SIGTERM, "restarting", 1012), (signal.SIGINT, "going_away", 1001)]
)
async def test_a_signal_ends_sessions_with_a_word_and_the_process_with_0(
    data_dir: Path, number: signal.Signals, reason: str, code: int
) -> None:
    async with serving_process(data_dir, LIVEAVATAR_SHUTDOWN_GRACE="3") as server:
        async with server.opened() as avatar, server.opened("/v1/realtime") as other, server.client(init={}) as silent:
            await avatar.type("Who founded the museum?")
            await avatar.send("response.create")
            await avatar.until("response.created", PATIENCE_S)
            stopping_at = trio.current_time()
            server.process.send_signal(number)
            assert await told_to_go(other) == ([reason], code)
            assert await told_to_go(silent) == ([reason], code)
            assert trio.current_time() - stopping_at < 2
            assert await told_to_go(avatar) == ([reason], code)
            # What it was saying was said to its end, or as far as the grace goes.
            (done,) = avatar.of("response.done")
            assert done["response"]["status"] == "completed"
            assert len(avatar.of("avatar.going_away")) == 1
            assert await server.exited(PATIENCE_S) == 0
            assert trio.current_time() - stopping_at < 3 + 2
        await trio.sleep(0.1)
        events = [entry["event"] for entry in server.log]
        assert events[-1] == "stopped"
        assert [entry["reason"] for entry in server.log if entry["event"] == "session ended"] == [reason] * 2
        assert not [entry for entry in server.log if entry["level"] in ("error", "critical")]


async def test_readiness_goes_first_and_nobody_new_is_let_in(data_dir: Path) -> None:
    async with serving_process(data_dir, LIVEAVATAR_SHUTDOWN_GRACE="1", LIVEAVATAR_CLOSE_TIMEOUT="1") as server:
        stubborn = await server.raw(handshake_bytes("/ws", server.port) + INIT_FRAME)
        async with stubborn:
            await stubborn.receive_some()
            server.terminate()
            await trio.sleep(0.3)
            with pytest.raises(OSError, match="all attempts to connect"):
                await server.raw()
            assert await server.exited(PATIENCE_S) == 0


async def test_clients_that_do_not_go_hold_the_process_no_longer_than_the_grace(data_dir: Path) -> None:
    """One takes nothing, one never says anything, one sent half a request."""
    async with serving_process(data_dir, LIVEAVATAR_SHUTDOWN_GRACE="2", LIVEAVATAR_CLOSE_TIMEOUT="1") as server:
        head = handshake_bytes("/ws", server.port)
        ask = frame(TEXT, b'{"type":"response.create"}')
        async with (
            await server.raw(head + INIT_FRAME + ask) as deaf,
            await server.raw(head) as mute,
            await server.raw(head[:40]),
        ):
            await deaf.receive_some(100)
            await mute.receive_some(100)
            await trio.sleep(0.5)
            stopping_at = trio.current_time()
            server.terminate()
            assert await server.exited(PATIENCE_S) == 0
            assert trio.current_time() - stopping_at < 2 + 2


async def test_a_second_signal_means_now(data_dir: Path) -> None:
    async with serving_process(data_dir, LIVEAVATAR_SHUTDOWN_GRACE="60", LIVEAVATAR_CLOSE_TIMEOUT="60") as server:
        stubborn = await server.raw(handshake_bytes("/ws", server.port) + INIT_FRAME)
        async with stubborn:
            await stubborn.receive_some()
            await trio.sleep(0.5)
            server.terminate()
            await trio.sleep(0.5)
            assert server.process.returncode is None
            again_at = trio.current_time()
            server.terminate()
            await server.exited(PATIENCE_S)
            assert trio.current_time() - again_at < 3


async def test_a_port_that_is_taken_is_said_in_a_sentence(data_dir: Path) -> None:
    async with serving_process(data_dir) as server:
        import subprocess
        import sys

        done = await trio.run_process(
            [sys.executable, "-m", "server.cli", "serve", "--port", str(server.port), "--data-dir", str(data_dir)],
            capture_stderr=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 1
        assert str(server.port).encode() in done.stderr
        assert b"Traceback" not in done.stderr
