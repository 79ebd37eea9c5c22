"""What operators see of a running server and do with it: while somebody talks, afterwards, and after a power cut."""

import csv
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from server.cli.entry import main
from server.security.key_file import KeyFile
from server.security.principal import Scope
from server.simulator.settings import SimulatorSettings
from server.store.base import UNFINISHED
from tests.running import PATIENCE_S, Process, Running, serving_process, to_end
from tests.simulator.driver import Client, Json, simulator

pytestmark = pytest.mark.slow

SERVICE_KEY = "azure-key-0123456789abcdef"
QUESTION = "Who founded the museum?"
# Between a thing and its place in the database; see `server.store.journal`.
SOON_S = 5.0


def keys_of(data_dir: Path) -> dict[str, str]:
    """A key for each scope, and one for all."""
    file = KeyFile(data_dir)
    scopes: tuple[Scope, ...] = ("talk", "mint", "records", "administer")
    keys: dict[str, str] = {scope: file.create(scope, scopes=(scope,)) for scope in scopes}
    return {**keys, "all": file.create("all", scopes=scopes)}


async def ask(server: Running, method: str, path: str, key: str = "", body: bytes = b"") -> tuple[int, Any]:
    """A request by hand; what it is answered with, read where it is JSON."""
    fields = [f"Host: localhost:{server.port}", f"Content-Length: {len(body)}"]
    if key:
        fields.append(f"Authorization: Bearer {key}")
    head = "\r\n".join([f"{method} {path} HTTP/1.1", *fields, "", ""])
    async with await server.raw(head.encode() + body) as stream:
        answer = await to_end(stream)
    top, _, content = answer.partition(b"\r\n\r\n")
    is_json = b"application/json" in top
    return int(top.split(b" ")[1]), msgspec.json.decode(content) if is_json else content.decode()


async def read(server: Running, path: str, key: str = "") -> Any:
    status, answer = await ask(server, "GET", path, key)
    assert status == 200, answer
    return answer


async def kept(server: Running, session_id: str, key: str, *, turns: int) -> Json:
    """A session with everything, once so much of it is in the database."""
    with trio.fail_after(SOON_S):
        while True:
            found: Json = await read(server, f"/api/sessions/{session_id}", key)
            if len(found["turns"]) >= turns and all(turn["ended_ms"] for turn in found["turns"][1::2]):
                return found
            await trio.sleep(0.02)


class Command:
    """``liveavatar sessions`` over a data folder. In a thread: as a program of its own it would mostly import."""

    def __init__(self, data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._data_dir = data_dir
        self._capsys = capsys

    async def __call__(self, *arguments: str, code: int = 0) -> str:
        """What it says."""
        self._capsys.readouterr()
        whole = ["sessions", *arguments, "--data-dir", str(self._data_dir)]
        assert await trio.to_thread.run_sync(main, whole) == code
        return "".join(self._capsys.readouterr())


@pytest.fixture
def command(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(data_dir, capsys)


def ids(page: Json) -> list[str]:
    return [session["session_id"] for session in page["sessions"]]


@asynccontextmanager
async def priced_server(data_dir: Path) -> AsyncIterator[Process]:
    """A server before a service that costs something."""
    async with simulator(SimulatorSettings(service="azure", api_key=SERVICE_KEY)) as service:
        environment = {
            "AZURE_OPENAI_ENDPOINT": f"http://127.0.0.1:{service.addresses[0][1]}",
            "AZURE_OPENAI_API_KEY": SERVICE_KEY,
            "AZURE_OPENAI_DEPLOYMENT": "gpt-realtime",
        }
        async with serving_process(data_dir, **environment) as server:
            yield server


async def answered(client: Client) -> Json:
    """Asks, and gives the ``avatar.usage`` of the answer."""
    await client.type(QUESTION)
    await client.send("response.create")
    return await client.until("avatar.usage", PATIENCE_S)


async def test_a_talk_is_seen_while_it_lives_and_kept_when_it_is_over(data_dir: Path, command: Command) -> None:
    key = keys_of(data_dir)["all"]
    async with priced_server(data_dir) as server:
        async with server.opened(init={"kb_id": "museum", "token": key}) as client:
            session_id = client.events[0]["session_id"]
            cost = (await answered(client))["session_cost_usd"]
            assert Decimal(cost) > 0

            (live,) = (await read(server, "/api/status", key))["live"]
            assert (live["session_id"], live["kb_id"], live["principal_name"]) == (session_id, "museum", "all")
            assert (Decimal(live["cost_usd"]), live["turns"], live["has_client"]) == (Decimal(cost), 2, True)
            assert 0 < live["first_audio_ms"] < 10_000
            found = await kept(server, session_id, key, turns=2)
            assert found["live"]["session_id"] == session_id
            assert found["session"]["ended_at"] is None
            assert ids(await read(server, "/api/sessions?state=live&kb_id=museum", key)) == [session_id]
            assert ids(await read(server, "/api/sessions?state=past", key)) == []
            assert session_id in await command("list", "--live")

            status, _ = await ask(server, "POST", f"/api/sessions/{session_id}/end", key)
            assert status == 200
            assert await client.closed() == (1000, "An operator ended the session.")
        await until_past(server, session_id, key)
        found = await kept(server, session_id, key, turns=2)
        assert (found["session"]["end_reason"], found["detail"]) == ("completed", "An operator ended the session.")
        assert found["live"] is None
        question, answer = found["turns"]
        assert (question["role"], question["text"], answer["role"]) == ("user", QUESTION, "assistant")
        assert "Ottilie Marsh" in answer["text"]
        times = [answer[name] for name in ("search_began_ms", "search_ended_ms", "first_token_ms", "first_audio_ms")]
        assert times == sorted(times)
        (call,) = found["tool_calls"]
        assert call["name"] == "search_knowledge_base"
        assert "Ottilie Marsh" in call["sources"][0]["snippet"]
        assert sum(Decimal(line["cost_usd"]) for line in found["usage"]) == Decimal(cost)
        assert Decimal(found["session"]["cost_usd"]) == Decimal(cost)

        costs = (await read(server, "/api/costs?by=day,kb_id", key))["lines"]
        assert [(line["kb_id"], Decimal(line["cost_usd"])) for line in costs] == [("museum", Decimal(cost))]
        ends = await read(server, "/api/end-reasons", key)
        assert ends == {"sessions": 1, "reasons": {"completed": 1}}
        rows = list(
            csv.DictReader(io.StringIO(await read(server, f"/api/sessions/{session_id}/export?format=csv", key)))
        )
        assert sum(Decimal(row["cost_usd"]) for row in rows) == Decimal(cost)
        shown = await command("show", session_id)
        assert QUESTION in shown
        assert "because:        An operator ended the session." in shown

        assert await ask(server, "DELETE", f"/api/sessions/{session_id}", key) == (200, {"sessions": 1})
        assert (await ask(server, "GET", f"/api/sessions/{session_id}", key))[0] == 404
        assert "There is no session" in await command("show", session_id, code=1)
        assert (await read(server, "/api/costs?by=day,kb_id", key))["lines"] == costs, "the sums remain"


async def until_past(server: Running, session_id: str, key: str) -> None:
    """Looks at the list until a session is past; it must stand there once each time."""
    with trio.fail_after(SOON_S):
        while True:
            (session,) = (await read(server, "/api/sessions", key))["sessions"]
            assert session["session_id"] == session_id
            living = ids(await read(server, "/api/sessions?state=live", key))
            past = ids(await read(server, "/api/sessions?state=past", key))
            assert session_id in living + past
            if past:
                break
    assert ids(await read(server, "/api/sessions?state=live", key)) == []


async def test_a_session_is_in_the_list_from_its_first_moment_on(data_dir: Path) -> None:
    async with serving_process(data_dir) as server:
        opened: list[str] = []
        for _ in range(4):
            async with server.client() as client:
                opened.insert(0, (await client.until("avatar.session", PATIENCE_S))["session_id"])
                assert ids(await read(server, "/api/sessions?state=live&limit=1"))[0] == opened[0]
                assert (await read(server, f"/api/sessions/{opened[0]}"))["live"] is not None
                assert opened[0] in [one["session_id"] for one in (await read(server, "/api/status"))["live"]]
            # The client said goodbye before the beginning was in the database; it comes there all the same.
            with trio.fail_after(SOON_S):
                while opened != ids(await read(server, "/api/sessions")):  # noqa: ASYNC110 - of another process
                    await trio.sleep(0.02)


async def test_every_operation_asks_for_the_scope_that_it_says(data_dir: Path) -> None:
    keys = keys_of(data_dir)
    body = {"post": b"{}"}
    async with serving_process(data_dir) as server:
        document = await read(server, "/api/openapi.json", keys["talk"])
        asked = 0
        for path, entry in document["paths"].items():
            for method, operation in entry.items():
                target = path.replace("{kb_id}", "museum").replace("{session_id}", "none").replace("{person}", "nobody")
                if operation["security"] == [{}]:
                    assert (await ask(server, method.upper(), target))[0] == 200, path
                    continue
                status, refusal = await ask(server, method.upper(), target, body=body.get(method, b""))
                assert (status, refusal["error"]["code"]) == (401, "missing_api_key"), path
                wanted = operation["security"][0]["bearer"]
                for scope in ("talk", "mint", "records", "administer"):
                    status, answer = await ask(server, method.upper(), target, keys[scope], body.get(method, b""))
                    is_let_in = not wanted or scope in wanted
                    is_refused = status == 403 and answer["error"]["code"] == "insufficient_scope"
                    assert is_refused is not is_let_in, (method, path, scope, answer)
                    asked += 1
        assert asked >= 4 * 14


async def test_a_session_that_its_server_lost_is_told_as_that(data_dir: Path, command: Command) -> None:
    async with priced_server(data_dir) as server, server.opened() as client:
        session_id = client.events[0]["session_id"]
        cost = (await answered(client))["session_cost_usd"]
        await kept(server, session_id, "", turns=2)
        server.process.kill()
        await server.process.wait()
        assert "live" in await command("list")
    async with serving_process(data_dir) as server:
        with trio.fail_after(SOON_S):
            while True:
                lost = (await read(server, f"/api/sessions?state=past&end_reason={UNFINISHED}"))["sessions"]
                if lost:
                    break
                await trio.sleep(0.05)
        assert [(one["session_id"], one["turns"], Decimal(one["cost_usd"])) for one in lost] == [
            (session_id, 2, Decimal(cost))
        ]
        assert (await read(server, "/api/end-reasons"))["reasons"] == {UNFINISHED: 1}
        assert session_id in await command("list", "--reason", UNFINISHED)
        assert "because:        The server stopped without being able to end it" in await command("show", session_id)


async def test_who_is_erased_by_the_command_while_they_talk_stays_erased(data_dir: Path, command: Command) -> None:
    async with serving_process(data_dir) as server:
        async with server.opened() as client:
            session_id = client.events[0]["session_id"]
            await answered(client)
            await kept(server, session_id, "", turns=2)
            assert await command("erase", session_id, "--yes") == "1 session erased.\n"
            await answered(client)
        await trio.sleep(1)
        assert ids(await read(server, "/api/sessions?state=past")) == []
        assert "There are no such sessions." in await command("list")
