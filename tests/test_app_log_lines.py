"""Nobody who talks to the server writes its log: what strangers and services say stays in one line, of few."""

import contextlib
from pathlib import Path

import msgspec
import pytest
import trio

from server.simulator.settings import SimulatorSettings
from tests.running import HOST, PATIENCE_S, Process, serving_process, to_end
from tests.simulator.driver import simulator

pytestmark = pytest.mark.slow

MARK = "forged-by-a-stranger"
INJECTIONS = (
    f"x\n2026-01-01T00:00:00Z [error    ] {MARK} admin=1",
    f'x\r\n{{"event":"{MARK}","level":"error"}}',
    f"x\x1b[2K\x1b[1G{MARK}\x1b]0;t\x07",
    f"x\u2028{MARK}\u2029\x85{MARK}\x0b\x0c",
    f"x\u202e{MARK}\u2066\u200b\ufeff\U000e0041",
    f'x" level="error" event="{MARK}',
    f"x level=error event={MARK}",
    f"%s %(a)s {{event}} {MARK}",
)
# Of what a connection that means no good may write (reliability figures), at the level that servers run at.
LINES_MAX = 5


async def said_badly(server: Process, text: str) -> None:
    """One stranger, who says ``text`` wherever something can be said."""
    quoted = "".join(f"%{byte:02x}" for byte in text.encode())
    raw = text.encode().replace(b"\r", b"").replace(b"\n", b"")
    for head in (
        b"GET /" + quoted.encode() + b" HTTP/1.1\r\nHost: localhost\r\nUser-Agent: " + raw + b"\r\n\r\n",
        b"GET /ws?kb_id=" + quoted.encode() + b" HTTP/1.1\r\nHost: localhost\r\nOrigin: " + raw + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: " + raw + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: " + raw + b"\r\n" + raw + b": x\r\n\r\n",
        raw + b"\r\n\r\n",
    ):
        with contextlib.suppress(OSError, trio.BrokenResourceError):
            async with await server.raw(head) as stream:
                await to_end(stream)


async def talked_badly(server: Process, text: str) -> None:
    for init in (
        {"kb_id": text},
        {"kb_id": "museum", "dialect": text},
        {"resume": {"session_id": text, "token": text}},
    ):
        async with server.client(init=init) as client:
            with contextlib.suppress(Exception):
                while True:
                    await client.receive(0.3)
    async with server.opened() as client:
        await client.send(text)
        await client.send("conversation.item.delete", item_id=text, event_id=text)
        await client.send_text(text)
        await client.type(f"{text} When does the museum open on Saturday?")
        await client.send("response.create", event_id=text)
        await client.until("response.done", PATIENCE_S)


@pytest.mark.parametrize("log_format", ["json", "console"])
async def test_whatever_is_said_stays_in_its_line(data_dir: Path, log_format: str) -> None:
    environ = {"LIVEAVATAR_LOG_FORMAT": log_format, "LIVEAVATAR_LOG_LEVEL": "debug"}
    async with serving_process(data_dir, **environ) as server:
        for text in INJECTIONS:
            await said_badly(server, text)
            await talked_badly(server, text)
        await trio.sleep(0.2)
    assert len(server.lines) > 50
    for line in server.lines:
        assert not [char for char in line if not char.isprintable()], line[:300]
        if log_format == "json":
            entry = msgspec.json.decode(line)
            assert MARK not in entry["event"]
            assert entry["level"] in ("debug", "info", "warning")
        else:
            assert line[:5] == "2026-" or line[:2] == "20", line[:200]
            assert MARK not in line[:60], line[:200]


async def test_what_the_service_says_stays_in_its_line_too(data_dir: Path) -> None:
    settings = SimulatorSettings(service="azure", api_key="k" * 20, models=("gpt-realtime",))
    async with simulator(settings) as running:
        environ = {
            "AZURE_OPENAI_ENDPOINT": f"http://{HOST}:{running.addresses[0][1]}",
            "AZURE_OPENAI_DEPLOYMENT": "gone\u2028" + MARK,
            "AZURE_OPENAI_API_KEY": "x" * 20,
            "LIVEAVATAR_LOG_FORMAT": "console",
        }
        async with serving_process(data_dir, **environ) as server, server.client() as client:
            with contextlib.suppress(Exception):
                while True:
                    await client.receive(3)
    assert any("upstream" in line for line in server.lines)
    for line in server.lines:
        assert not [char for char in line if not char.isprintable()], line[:300]
        assert line[:2] == "20", line[:200]


async def test_a_connection_that_means_no_good_writes_few_lines(data_dir: Path) -> None:
    async with serving_process(data_dir, LIVEAVATAR_LOG_LEVEL="info", LIVEAVATAR_LOG_FORMAT="json") as server:
        for text in INJECTIONS:
            before = len(server.lines)
            async with server.client(init={"kb_id": "museum"}) as client:
                for _ in range(200):
                    await client.send_text(text)
                await client.send_text("x" * (2 * 1024 * 1024))
                with contextlib.suppress(Exception):
                    while True:
                        await client.receive(1)
            await trio.sleep(0.2)
            assert len(server.lines) - before <= LINES_MAX, server.lines[before:]
