"""The whole way with Azure AI Search: filled by the command, asked by a session, down and up again."""

import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
import trustme

from tests.knowledge.azure_search.stand_in.http import HttpServer
from tests.knowledge.azure_search.stand_in.service import ADMIN_KEY, SearchStandIn
from tests.running import PATIENCE_S, serving_process
from tests.simulator.driver import Client

pytestmark = pytest.mark.slow

HOURS = "# Opening hours\n\nThe lighthouse of Skerry opens at seven in the morning and closes at nine.\n"
QUESTION = "When does the lighthouse of Skerry open?"


@dataclass
class Place:
    """The stand-in, and the environment that names it."""

    stand_in: SearchStandIn
    environment: dict[str, str]
    folder: Path

    async def run(self, *command: str, **changes: str) -> "subprocess.CompletedProcess[str]":
        """A command of ours in a process of its own."""
        ours = ("LIVEAVATAR_", "AZURE_", "OPENAI_")
        plain = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        found = await trio.run_process(
            [sys.executable, "-m", "server.cli", *command],
            env={**plain, **self.environment, **changes},
            cwd=str(Path(__file__).parents[1]),
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
        assert ADMIN_KEY.encode() not in found.stdout + found.stderr
        return subprocess.CompletedProcess(found.args, found.returncode, found.stdout.decode(), found.stderr.decode())


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    authority = trustme.CA()
    (tmp_path / "ca.pem").write_bytes(authority.cert_pem.bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    stand_in = SearchStandIn()
    server = HttpServer(stand_in.handle)
    folder = tmp_path / "skerry"
    folder.mkdir()
    (folder / "hours.md").write_text(HOURS)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, context)
        environment = {
            "SSL_CERT_FILE": str(tmp_path / "ca.pem"),
            "AZURE_SEARCH_ENDPOINT": f"https://127.0.0.1:{server.port}",
            "AZURE_SEARCH_API_KEY": ADMIN_KEY,
            "AZURE_SEARCH_INDEX": "avatars",
            "LIVEAVATAR_DEFAULT_KB": "skerry",
            "LIVEAVATAR_SEARCH_CACHE_TTL": "0",
            "LIVEAVATAR_DATA_DIR": str(tmp_path / "data"),
        }
        yield Place(stand_in, environment, folder)
        nursery.cancel_scope.cancel()


async def answer_to(client: Client, question: str) -> str:
    await client.type(question)
    await client.send("response.create")
    await client.until("response.done", PATIENCE_S)
    said: str = client.of("response.output_audio_transcript.done")[-1]["transcript"]
    return said


async def test_an_index_is_made_filled_searched_and_answers(place: Place, data_dir: Path) -> None:
    filled = await place.run("ingest", "skerry", str(place.folder))
    assert filled.returncode == 0, filled.stderr
    assert "skerry: 1 added" in filled.stdout
    assert list(place.stand_in.indexes) == ["avatars"]
    found = await place.run("search", "skerry", "When does it open?")
    assert "opens at seven" in found.stdout
    checked = await place.run("check")
    assert checked.returncode == 0, checked.stdout
    assert "knowledge base skerry in 127.0.0.1" in checked.stdout

    async with serving_process(data_dir, **place.environment) as server:
        async with server.opened(init={"kb_id": "skerry"}) as client:
            assert "seven" in await answer_to(client, QUESTION)
            (citations,) = client.of("avatar.citations")
            assert citations["sources"][0]["id"] == "skerry/hours.md#1"

            # The service is down: the avatar says so, and the session goes on.
            place.stand_in.fail(500, times=1000)
            said = await answer_to(client, "When does the lighthouse of Skerry close?")
            assert "nine" not in said
            assert client.of("error") == []
            place.stand_in.faults.clear()
            with trio.fail_after(PATIENCE_S):
                while "seven" not in await answer_to(client, QUESTION):  # noqa: ASYNC110 - it answers, or not yet
                    await trio.sleep(1)
        # Every question carried the filter of its knowledge base.
        asked = [body for body in place.stand_in.bodies if body.get("search") not in (None, "*")]
        assert len(asked) > 4
        assert {body["filter"] for body in asked} == {"kb_id eq 'skerry'"}
        assert ADMIN_KEY not in str(server.log)
        async with server.client(init={"kb_id": "museum"}) as client:
            assert (await client.until("error", PATIENCE_S))["error"]["code"] == "unknown_knowledge_base"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"AZURE_SEARCH_API_KEY": "wrong-key"}, "AZURE_SEARCH_API_KEY"),
        ({"AZURE_SEARCH_INDEX": "gone"}, "AZURE_SEARCH_INDEX"),
        ({"AZURE_SEARCH_INDEX": "Not An Index"}, "AZURE_SEARCH_INDEX"),
        ({"LIVEAVATAR_SEARCH_FIELDS": "key=id, content=chunk"}, "LIVEAVATAR_SEARCH_FIELDS"),
        ({"LIVEAVATAR_SEARCH_FIELDS": "key=id, wrong=chunk"}, "LIVEAVATAR_SEARCH_FIELDS"),
        ({"LIVEAVATAR_SEARCH_FILTER_FIELD": "tenant"}, "LIVEAVATAR_SEARCH_FILTER_FIELD"),
        ({"LIVEAVATAR_SEARCH_SEMANTIC": "none-such"}, "LIVEAVATAR_SEARCH_SEMANTIC"),
        ({"AZURE_SEARCH_ENDPOINT": "https://127.0.0.1:1"}, "AZURE_SEARCH_ENDPOINT"),
        ({"AZURE_SEARCH_ENDPOINT": "http://search.example"}, "AZURE_SEARCH_ENDPOINT"),
        ({"AZURE_SEARCH_ENDPOINT": ""}, "AZURE_SEARCH_INDEX"),
        ({"LIVEAVATAR_SEARCH_EMBEDDING_ENDPOINT": "https://e.example"}, "LIVEAVATAR_SEARCH_EMBEDDING_DEPLOYMENT"),
    ],
)
async def test_the_check_names_the_setting_to_look_at(place: Place, changes: dict[str, str], named: str) -> None:
    assert (await place.run("ingest", "skerry", str(place.folder))).returncode == 0
    checked = await place.run("check", **changes)
    assert checked.returncode == 1, checked.stdout
    problems = [line for line in checked.stdout.splitlines() if line.startswith("PROBLEM")]
    assert any(named in line for line in problems), checked.stdout
    assert "Traceback" not in checked.stderr


async def test_a_server_starts_while_the_search_service_is_down_and_says_so_aloud(place: Place, data_dir: Path) -> None:
    place.stand_in.fail(503, times=10_000)
    async with (
        serving_process(data_dir, **place.environment) as server,
        server.opened(init={"kb_id": "skerry"}) as client,
    ):
        said = await answer_to(client, QUESTION)
        assert "seven" not in said
        assert said
