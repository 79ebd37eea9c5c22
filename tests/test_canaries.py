"""Secrets are used and never seen: a canary for each, through whole runs with faults, at the loudest log level."""

import contextlib
import pickle
import shutil
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from server.app import KNOWLEDGE_FOLDER
from server.secret import Secret
from server.settings import TABLE, Settings, SettingsError, load
from server.simulator.settings import SimulatorSettings
from server.upstream.credentials import KeyCredential
from tests.running import HOST, PATIENCE_S, Process, serving_process, to_end
from tests.simulator.driver import simulator
from tests.telemetry.collector import collecting

pytestmark = pytest.mark.slow

SECRETS = {row.name: f"canary-of-{row.name.lower().replace('_', '-')}-5f3a9c" for row in TABLE if row.type == "secret"}
# Its exporter takes nothing but a UUID for a key.
SECRETS["APPLICATIONINSIGHTS_CONNECTION_STRING"] = "5f3a9c5f-77d1-4e0c-a9a9-0123456789ab"
# What the secret is a part of, where it does not stand alone. Nobody is at these addresses.
AS_SET = {
    "DATABASE_URL": f"postgresql://records:{SECRETS['DATABASE_URL']}@{HOST}:9/records",
    "OTEL_EXPORTER_OTLP_HEADERS": f"Authorization=Bearer%20{SECRETS['OTEL_EXPORTER_OTLP_HEADERS']}",
    "APPLICATIONINSIGHTS_CONNECTION_STRING": "InstrumentationKey="
    f"{SECRETS['APPLICATIONINSIGHTS_CONNECTION_STRING']};IngestionEndpoint=http://{HOST}:9/",
}
KEY = SECRETS["LIVEAVATAR_API_KEY"]
# What strangers show that nobody knows, in each place where a credential may travel.
SHOWN = {
    place: f"canary-shown-{place}-77d1e0"
    for place in (
        "bearer",
        "api-key",
        "subprotocol",
        "init-token",
        "init-api-key",
        "query",
        "query-ws",
        "basic",
        "cookie",
    )
}
UTTERANCE = "canary-utterance-what-opens-on-saturday"
QUESTION = "When does the museum open on Saturday?"


@dataclass
class Seen:
    """Everything that was shown to anybody: log lines, answers, frames; and the secrets that came up meanwhile.

    ``exported`` is what a collector got, ``kept`` what lies in the data folder: words belong there, secrets do not.
    """

    texts: list[str] = field(default_factory=list)
    exported: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    own: set[str] = field(default_factory=set)

    def add(self, *shown: object) -> None:
        self.texts += [text if isinstance(text, str) else repr(text) for text in shown]

    def hits(self, *canaries: str) -> list[tuple[str, str]]:
        return [(canary, text[:300]) for text in self.texts for canary in canaries if canary in text]

    def hits_elsewhere(self, *canaries: str) -> list[tuple[str, str]]:
        """In what was exported, and in what was kept."""
        texts = [*self.exported, *self.kept]
        return [(canary, text[:300]) for text in texts for canary in canaries if canary in text]


@pytest.fixture
def data(data_dir: Path, tmp_path: Path) -> Path:
    """A data folder that is searched at the end: it has its own copy of the knowledge bases, too."""
    return Path(shutil.copytree(data_dir, tmp_path / "copy"))


@asynccontextmanager
async def running(data: Path, *, level: str, **environ: str) -> AsyncIterator[tuple[Process, Seen]]:
    """A server with every secret set, behind it a service that takes the key; ``Seen`` has the whole log at the end."""
    service = SimulatorSettings(service="azure", api_key=SECRETS["AZURE_OPENAI_API_KEY"], models=("gpt-realtime",))
    with collecting() as collector:
        async with simulator(service) as azure:
            settings = {
                **{
                    name: AS_SET.get(name, value)
                    for name, value in SECRETS.items()
                    if not name.startswith(("AZURE_SEARCH", "LIVEAVATAR_SEARCH", "APPLICATIONINSIGHTS"))
                },
                "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
                "LIVEAVATAR_UPSTREAM": "azure",
                "AZURE_OPENAI_ENDPOINT": f"http://{HOST}:{azure.addresses[0][1]}",
                "AZURE_OPENAI_DEPLOYMENT": "gpt-realtime",
                "LIVEAVATAR_LOG_LEVEL": level,
                **environ,
            }
            seen = Seen()
            async with serving_process(data, **settings) as server:
                yield server, seen
                server.terminate()
                await server.exited(20)
                await trio.sleep(0.1)
            seen.add(*(msgspec.json.encode(entry).decode() for entry in server.log))
            assert len(server.log) > 3
        seen.exported += [body.decode("latin-1") for _, body in collector.bodies]
        shown = {headers["authorization"] for headers in collector.headers}
        assert shown <= {f"Bearer {SECRETS['OTEL_EXPORTER_OTLP_HEADERS']}"}
    seen.kept += texts_of(data)


def texts_of(data: Path) -> list[str]:
    """Whatever a server keeps in its folder, but for the knowledge that came along."""
    files = [file for file in data.rglob("*") if file.is_file() and file.parent != data / KNOWLEDGE_FOLDER]
    return [file.read_text(encoding="latin-1") for file in files]


async def answer(server: Process, request: str, body: str = "", **headers: str) -> str:
    """What comes back for a request, head and all."""
    fields = {"Host": f"localhost:{server.port}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    if body:
        fields |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    async with await server.raw(f"{request} HTTP/1.1\r\n{head}\r\n{body}".encode()) as stream:
        return (await to_end(stream)).decode("latin-1")


UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec_WebSocket_Version": "13",
    "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


async def visit(server: Process, seen: Seen) -> None:
    """A good conversation, resumed once; the resume token is its owner's to see, and nobody else's."""
    async with server.opened(init={"kb_id": "museum", "token": KEY}) as client:
        await client.type(f"{UTTERANCE}? {QUESTION}")
        await client.send("response.create")
        await client.until("response.done", PATIENCE_S)
        hello = client.of("avatar.session")[0]
        await client.websocket._stream.aclose()
        seen.own.add(hello["resume_token"])
        shown = [event for event in client.events if event["type"] != "avatar.session"]
        seen.add(*(msgspec.json.encode(event).decode() for event in shown if UTTERANCE not in str(event)))
    resume = {"session_id": hello["session_id"], "token": hello["resume_token"], "last_event_id": hello["event_id"]}
    async with server.client(init={"token": KEY, "resume": resume}) as client:
        again = await client.until("avatar.session", PATIENCE_S)
        seen.own.add(again["resume_token"])
    wrong = {**resume, "token": "canary-resume-token-of-nobody"}
    async with server.client(init={"token": KEY, "resume": wrong}) as client:
        seen.add(await client.until("error", PATIENCE_S))
        seen.own.add(wrong["token"])


async def strangers(server: Process, seen: Seen) -> None:
    """Credentials of nobody's in every place, broken frames, and pages that are not there."""
    seen.add(
        await answer(server, "GET /v1/realtime", Authorization=f"Bearer {SHOWN['bearer']}", **UPGRADE),
        await answer(server, "GET /v1/realtime", Authorization=f"Basic {SHOWN['basic']}", **UPGRADE),
        await answer(server, "GET /v1/realtime", api_key=SHOWN["api-key"], **UPGRADE),
        await answer(server, f"GET /v1/realtime?api-key={SHOWN['query']}", **UPGRADE),
        await answer(server, f"GET /ws?token={SHOWN['query-ws']}", **UPGRADE),
        await answer(server, "GET /health", Authorization=f"Bearer {SHOWN['bearer']}"),
        await answer(server, "GET /api/knowledge-bases", Cookie=f"token={SHOWN['cookie']}"),
        await answer(server, "GET /health", Authorization=f"Bearer {KEY}"),
        *[
            await answer(server, f"GET {path}", Authorization=f"Bearer {KEY}")
            for path in ("/metrics", "/api/status", "/api/sessions", "/api/costs?by=day", "/api/sessions/sess_nobody")
        ],
        await answer(server, "GET /health/live"),
        await answer(server, "GET /"),
        await answer(server, "GET /nowhere", Authorization=f"Bearer {KEY}"),
        await answer(server, "POST /health", "{}", Authorization=f"Bearer {KEY}"),
    )
    offered = ["realtime", f"openai-insecure-api-key.{SHOWN['subprotocol']}"]
    async with server.client("/v1/realtime", subprotocols=offered) as client:
        seen.add(await client.until("error", PATIENCE_S))
    for name in ("token", "api_key"):
        async with server.client(init={"kb_id": "museum", name: SHOWN[f"init-{name.replace('_', '-')}"]}) as client:
            seen.add(await client.until("error", PATIENCE_S))
    for text in ("{", '{"token":' + f'"{KEY}"' + ",", f'["{KEY}"]', f'{{"kb_id":7,"token":"{KEY}"}}'):
        async with server.client(init={}) as client:
            await client.send_text(text)
            with contextlib.suppress(Exception):
                seen.add(await client.receive(2))


async def minted(server: Process, seen: Seen) -> None:
    """A short-lived credential: shown once to who asked for it."""
    said = await answer(server, "POST /v1/realtime/client_secrets", "{}", Authorization=f"Bearer {KEY}")
    if " 200 " not in said[:20]:
        pytest.fail(f"no client secret: {said[:200]}")
    value = msgspec.json.decode(said.partition("\r\n\r\n")[2])["value"]
    seen.own.add(value)
    async with server.opened("/v1/realtime", headers={"Authorization": f"Bearer {value}"}) as client:
        seen.add(*(msgspec.json.encode(event).decode() for event in client.events))


@pytest.mark.parametrize("level", ["debug", "info"])
async def test_a_whole_run_shows_no_secret_to_anybody(data: Path, level: str) -> None:
    async with running(data, level=level) as (server, seen):
        await visit(server, seen)
        await minted(server, seen)
        await strangers(server, seen)
        with trio.fail_after(PATIENCE_S):
            while not any(entry["event"] == "session ended" for entry in server.log):  # noqa: ASYNC110 - a log line
                await trio.sleep(0.05)
    assert seen.hits(*SECRETS.values()) == []
    assert seen.hits(*SHOWN.values()) == []
    assert seen.hits(*seen.own) == []
    assert len(seen.own) >= 4
    # What was said is for debugging only; there it shows that this test would see it.
    assert bool(seen.hits(UTTERANCE)) is (level == "debug")
    # A collector gets neither; and what waits for a database has words, and no secrets.
    assert seen.exported
    assert seen.hits_elsewhere(*SECRETS.values(), *SHOWN.values(), *seen.own) == []
    assert not [text for text in seen.exported if UTTERANCE in text]
    assert [text for text in seen.kept if UTTERANCE in text]


@pytest.mark.parametrize(
    "environ",
    [
        # A service that refuses the key, and may quote it.
        {"AZURE_OPENAI_API_KEY": "canary-wrong-azure-key-0123456789"},
        {"LIVEAVATAR_UPSTREAM": "openai", "OPENAI_API_KEY": "sk-canary-wrong-openai-key-0123456789"},
        # Nobody takes what is exported.
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{HOST}:9",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "APPLICATIONINSIGHTS_CONNECTION_STRING": AS_SET["APPLICATIONINSIGHTS_CONNECTION_STRING"],
        },
        # A search service that nobody answers for.
        {
            "AZURE_SEARCH_ENDPOINT": "https://127.0.0.1:9",
            "LIVEAVATAR_SEARCH_EMBEDDING_ENDPOINT": "https://127.0.0.1:9",
            "LIVEAVATAR_SEARCH_EMBEDDING_DEPLOYMENT": "vectors",
            "LIVEAVATAR_SEARCH_EMBEDDING_DIMENSIONS": "8",
            "LIVEAVATAR_SEARCH_MODE": "vector",
            "AZURE_SEARCH_INDEX": "passages",
            **{name: value for name, value in SECRETS.items() if "SEARCH" in name},
        },
    ],
    ids=["refused key", "refused key of OpenAI", "no collector", "search is down"],
)
async def test_faults_behind_the_server_show_none(data: Path, environ: dict[str, str]) -> None:
    async with simulator(SimulatorSettings(service="openai", api_key=SECRETS["OPENAI_API_KEY"])) as openai:
        base = {"OPENAI_BASE_URL": f"http://{HOST}:{openai.addresses[0][1]}/v1"}
        async with running(data, level="debug", **base, **environ) as (server, seen):
            for init in ({"token": KEY}, {"token": KEY, "kb_id": "museum"}):
                async with server.client(init=init) as client:
                    with contextlib.suppress(Exception):
                        while True:
                            await client.receive(5)
                    shown = [event for event in client.events if event["type"] != "avatar.session"]
                    seen.add(*(msgspec.json.encode(event).decode() for event in shown))
            seen.add(await answer(server, "GET /health", Authorization=f"Bearer {KEY}"))
    assert seen.hits(*SECRETS.values(), *(value for name, value in environ.items() if name.endswith("KEY"))) == []
    assert len(seen.texts) > 5


def shown_anyhow(value: Any) -> str:
    """Every way in which Python shows a value by accident."""
    ways = [repr(value), str(value), f"{value}", f"{value!r:>30}", "%s" % (value,), "%r" % (value,), str([value])]  # noqa: UP031
    with contextlib.suppress(TypeError):
        ways.append(str(vars(value)))
    with contextlib.suppress(TypeError):
        ways.append(msgspec.json.encode(value).decode())
    with contextlib.suppress(TypeError, pickle.PicklingError):
        ways.append(repr(pickle.dumps(value)))
    try:
        raise ValueError(value)
    except ValueError as error:
        ways.append("".join(traceback.format_exception(error)))
    return "\n".join(ways)


def test_no_object_that_holds_one_shows_it() -> None:
    attributes: dict[str, Any] = {row.attribute: Secret(SECRETS[row.name]) for row in TABLE if row.type == "secret"}
    settings = Settings(**attributes)
    credential = KeyCredential(attributes["azure_api_key"], name="api-key")
    for value in (settings, credential, *attributes.values(), *settings.deployments, TABLE):
        shown = shown_anyhow(value)
        assert not [secret for secret in SECRETS.values() if secret in shown], type(value)


@pytest.mark.parametrize("name", SECRETS)
def test_settings_that_are_wrong_do_not_show_them(name: str) -> None:
    for value in (f"{SECRETS[name]}\n", f" {SECRETS[name]}\u200b", SECRETS[name][:9]):
        with pytest.raises(SettingsError) as refused:
            load({name: value, "LIVEAVATAR_UPSTREAM": "nonsense", "PORT": "x"})
        assert value.strip() not in str(refused.value) + repr(refused.value.problems)
