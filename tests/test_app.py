"""The whole server over real sockets: questions answered, clients let in or not, pages and health."""

import gc
from pathlib import Path

import msgspec
import pytest

from protocol.errors import OperatorFault
from server.app import run
from server.secret import Secret
from server.settings import Settings
from tests.running import INIT, PATIENCE_S, serving
from tests.simulator.driver import Client, Json

pytestmark = pytest.mark.slow

KEY = "a-key-of-enough-characters"


async def answer_to(client: Client, question: str) -> tuple[str, Json]:
    """The words of the spoken answer, and its response.done."""
    await client.type(question)
    await client.send("response.create")
    done = await client.until("response.done", PATIENCE_S)
    said = client.of("response.output_audio_transcript.done")[-1]["transcript"]
    return said, done["response"]


async def test_a_question_on_the_avatar_endpoint_is_answered_with_its_sources(data_dir: Path) -> None:
    async with serving(data_dir) as server, server.opened() as client:
        said, done = await answer_to(client, "Who founded the museum?")
        assert "Ottilie Marsh" in said
        assert done["status"] == "completed"
        await client.until("avatar.usage")
        (citations,) = client.of("avatar.citations")
        assert citations["sources"][0]["uri"].endswith(".md")
        assert citations["response_id"] == done["id"]
        assert client.events[0]["type"] == "avatar.session"
        assert client.events[0]["kb_id"] == "museum"
        assert sum(len(event["delta"]) for event in client.of("response.output_audio.delta")) > 48_000
        assert client.of("error") == []


@pytest.mark.parametrize("path", ["/v1/realtime?model=gpt-realtime", "/openai/v1/realtime?model=gpt-realtime"])
async def test_a_question_on_the_drop_in_endpoints(data_dir: Path, path: str) -> None:
    async with serving(data_dir) as server, server.opened(path) as client:
        said, _ = await answer_to(client, "Who founded the museum?")
        assert "Ottilie Marsh" in said
        kinds = set(client.types())
        assert not [kind for kind in kinds if kind.startswith("avatar.")]
        shown = [event for event in client.events if event["type"] != "session.created"]  # which has the instructions
        assert "search_knowledge_base" not in str(shown)


async def test_another_knowledge_base_has_other_answers(data_dir: Path) -> None:
    async with serving(data_dir) as server:
        async with server.opened("/v1/realtime?kb_id=liveavatar") as client:
            said, _ = await answer_to(client, "Who founded the museum?")
            assert "Ottilie Marsh" not in said
        async with server.client(init={**INIT, "kb_id": "nowhere"}) as client:
            error = await client.until("error")
            assert error["error"]["code"] == "unknown_knowledge_base"
            assert (await client.closed())[0] == 4404


async def test_a_key_is_asked_for_where_there_is_one(data_dir: Path) -> None:
    async with serving(data_dir, api_key=Secret(KEY)) as server:
        status, error = await server.refused("/v1/realtime")
        assert (status, error["code"]) == (401, "missing_api_key")
        status, error = await server.refused("/v1/realtime", Authorization="Bearer wrong")
        assert (status, error["code"]) == (401, "invalid_api_key")
        status, error = await server.refused(api_key="wrong")
        assert (status, error["code"]) == (401, "invalid_api_key")
        for headers in ({"Authorization": f"Bearer {KEY}"}, {"api-key": KEY}):
            async with server.opened("/v1/realtime", headers=headers):
                pass
        offered = ["realtime", f"openai-insecure-api-key.{KEY}"]
        async with server.opened("/v1/realtime", subprotocols=offered) as client:
            assert client.websocket.subprotocol == "realtime"
        async with server.client("/v1/realtime", subprotocols=["realtime", "openai-insecure-api-key.no"]) as client:
            assert (await client.until("error"))["error"]["code"] == "invalid_api_key"
            assert (await client.closed())[0] == 3000
        async with server.client(init={"kb_id": "museum"}) as client:
            assert (await client.until("error"))["error"]["code"] == "missing_api_key"
            assert (await client.closed())[0] == 4401
        async with server.opened(init={"token": KEY}):
            pass


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Origin": "https://evil.example"},
        {"X-Forwarded-For": "10.1.2.3"},
        {"Forwarded": "for=10.1.2.3"},
    ],
)
async def test_without_a_key_only_this_machine_comes_in(data_dir: Path, headers: dict[str, str]) -> None:
    async with serving(data_dir) as server:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if name != "Host")
        host = headers.get("Host", f"localhost:{server.port}")
        for path, upgrade in (("/ws", True), ("/v1/realtime", True), ("/", False)):
            more = (
                "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                if upgrade
                else ""
            )
            stream = await server.raw(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{lines}{more}\r\n".encode())
            async with stream:
                answer = await stream.receive_some()
            assert answer.startswith(b"HTTP/1.1 403 "), (path, answer[:80])
        async with server.opened(headers={"Origin": f"http://localhost:{server.port}"}):
            pass


async def test_a_data_folder_that_cannot_be_used_is_named_and_nothing_stays_open(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("no folder")
    with pytest.raises(OperatorFault, match=r"LIVEAVATAR_DATA_DIR=.*file"):
        await run(Settings(port=0, data_dir=file))
    gc.collect()  # an open listener would be a ResourceWarning, and that an error


async def test_health(data_dir: Path) -> None:
    async with serving(data_dir) as server:
        status, _, body = await server.get("/health/live")
        assert (status, msgspec.json.decode(body)) == (200, {"status": "alive"})
        status, _, body = await server.get("/health/ready")
        assert (status, msgspec.json.decode(body)) == (200, {"ready": True})
        async with server.opened():
            status, _, body = await server.get("/health")
            health = msgspec.json.decode(body)
            assert status == 200
            assert health["status"] == "ready"
            assert health["sessions"] == 1
            assert "simulator" in health["upstream"]
            assert {base["kb_id"] for base in health["knowledge_bases"]} >= {"museum", "liveavatar"}


async def test_the_page_is_served_with_its_files_and_the_knowledge_api(data_dir: Path) -> None:
    async with serving(data_dir) as server:
        status, headers, body = await server.get("/")
        assert status == 200
        assert headers["content-type"] == "text/html; charset=utf-8"
        assert f"ws://localhost:{server.port}" in headers["content-security-policy"]
        assert headers["connection"] == "close"
        assert b"LiveAvatar" in body
        assert (await server.get("/static/liveavatar.js"))[0] == 200
        status, _, body = await server.get("/nothing/here")
        assert status == 404
        assert msgspec.json.decode(body)["error"]["code"] == "not_found"
        status, _, body = await server.get("/api/knowledge-bases")
        listed = msgspec.json.decode(body)
        assert {base["kb_id"] for base in listed["knowledge_bases"]} == {"museum", "liveavatar"}
        assert listed["hears_speech"] is False
        status, _, body = await server.get("/api/knowledge-bases/museum/passages?id=museum/opening-hours.md%231")
        document = msgspec.json.decode(body)
        assert status == 200
        assert "9:30 am" in document["text"][document["start"] : document["end"]]


async def test_the_page_and_the_probes_are_open_with_a_key_and_show_no_secret(data_dir: Path) -> None:
    async with serving(data_dir, api_key=Secret(KEY), allowed_hosts="avatars.example") as server:
        for path in ("/", "/health/live", "/health/ready"):
            status, _, body = await server.get(path, Host="avatars.example", X_Forwarded_For="10.1.2.3")
            assert status == 200
            assert KEY.encode() not in body
        assert (await server.get("/health"))[0] == 401
        assert (await server.get("/health", Authorization=f"Bearer {KEY}"))[0] == 200
        assert (await server.get("/api/knowledge-bases"))[0] == 401
        assert (await server.get("/api/knowledge-bases", Authorization=f"Bearer {KEY}"))[0] == 200
