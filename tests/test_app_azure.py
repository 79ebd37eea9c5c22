"""The server as a team with an Azure subscription runs it: an identity, secrets in a vault, several deployments."""

import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from server.simulator.settings import SimulatorSettings
from tests.azure.stand_ins.entra import CLIENT, TENANT, Entra, TokenIssuer, serve_entra
from tests.azure.stand_ins.http import Trust
from tests.azure.stand_ins.key_vault import Vault, serve_vault
from tests.running import INIT, PATIENCE_S, Process, free_port, listening_process, serving_process
from tests.simulator.driver import simulator

pytestmark = pytest.mark.slow

OPENAI_AUDIENCE = "https://cognitiveservices.azure.com"
CLIENT_SECRET = "entra-client-secret-canary"
FIRST_KEY = "first-access-key-canary-0001"
SECOND_KEY = "second-access-key-canary-0002"
AZURE_KEY = "azure-key-canary-0123456789ab"
# And a token (RFC 7519: three parts, dots between): base64 of a sound holds any three letters now and then, but no dot.
SECRET = re.compile(f"{CLIENT_SECRET}|{FIRST_KEY}|{SECOND_KEY}|{AZURE_KEY}|" + r"eyJ[\w-]+\.[\w-]+\.")
QUESTION = "Who founded the museum?"


@dataclass
class Subscription:
    """Everything of a team's at Azure, and the environment that names it."""

    entra: Entra
    vault: Vault
    endpoint: str
    tokens_shown: list[str]
    environment: dict[str, str]


@pytest.fixture
async def subscription(tmp_path: Path) -> AsyncIterator[Subscription]:
    trust, issuer = Trust(), TokenIssuer()
    (tmp_path / "ca.pem").write_bytes(trust.pem)
    tokens: list[str] = []

    def accepts(token: str) -> bool:
        tokens.append(token)
        grant = issuer.check(token)
        return grant is not None and grant.resource == OPENAI_AUDIENCE

    service = SimulatorSettings(service="azure", api_key=AZURE_KEY, models=("gpt-realtime",))
    async with (
        serve_entra(trust, issuer) as entra,
        serve_vault(trust, issuer) as vault,
        simulator(service, accepts=accepts) as running,
    ):
        entra.client_secrets = {CLIENT_SECRET}
        vault.put("access-key", FIRST_KEY)
        endpoint = f"http://127.0.0.1:{running.addresses[0][1]}"
        environment = {
            "SSL_CERT_FILE": str(tmp_path / "ca.pem"),
            "AZURE_AUTHORITY_HOST": entra.url,
            "AZURE_TENANT_ID": TENANT,
            "AZURE_CLIENT_ID": CLIENT,
            "AZURE_CLIENT_SECRET": CLIENT_SECRET,
            "AZURE_OPENAI_ENDPOINT": endpoint,
            "AZURE_OPENAI_DEPLOYMENT": "gpt-realtime",
            "LIVEAVATAR_API_KEY": vault.reference("access-key"),
            "LIVEAVATAR_KEY_VAULT_INTERVAL": "1",
        }
        yield Subscription(entra, vault, endpoint, tokens, environment)


async def answered(server: Process, key: str | None = None) -> str:
    """What a visitor hears who asks."""
    init = {**INIT, "token": key} if key else INIT
    async with server.opened(init=init) as client:
        await client.type(QUESTION)
        await client.send("response.create")
        await client.until("response.done", PATIENCE_S)
        said: str = client.of("response.output_audio_transcript.done")[-1]["transcript"]
        assert not SECRET.findall(str(client.events))
        return said


async def is_let_in(server: Process, key: str) -> bool:
    async with server.client(init={**INIT, "token": key}) as client:
        first = await client.receive(PATIENCE_S)
        assert first["type"] == "avatar.session" or first["error"]["code"] == "invalid_api_key"
        return bool(first["type"] == "avatar.session")


async def assert_no_canary(server: Process) -> None:
    """No secret stands in the log, or on a page."""
    pages = [(await server.get(path))[2].decode() for path in ("/", "/health", "/api/kb")]
    shown = str(server.log) + "".join(pages)
    assert not SECRET.findall(shown)


async def test_an_identity_in_place_of_keys_and_a_key_that_is_rotated(
    data_dir: Path, subscription: Subscription
) -> None:
    async with serving_process(data_dir, **subscription.environment) as server:
        for _ in range(2):
            assert "Ottilie Marsh" in await answered(server, FIRST_KEY)
        # Of one good token there are two connections; nobody asked Entra on the way.
        for_openai = [form for form in subscription.entra.token_requests if form["scope"].startswith(OPENAI_AUDIENCE)]
        assert len(for_openai) == 1
        assert len(set(subscription.tokens_shown)) == 1
        assert len(subscription.tokens_shown) == 2
        assert not await is_let_in(server, SECOND_KEY)
        subscription.vault.put("access-key", SECOND_KEY)
        with trio.fail_after(PATIENCE_S):
            while await is_let_in(server, FIRST_KEY):  # noqa: ASYNC110 - the other end tells nobody
                await trio.sleep(0.2)
        assert "Ottilie Marsh" in await answered(server, SECOND_KEY)
        await assert_no_canary(server)


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("a wrong client secret", ["AZURE_CLIENT_SECRET"]),
        ("another tenant", ["AZURE_TENANT_ID"]),
        ("no such deployment", ["AZURE_OPENAI_DEPLOYMENT"]),
        ("a wrong key", ["AZURE_OPENAI_API_KEY"]),
    ],
)
async def test_what_is_wrong_is_said_to_the_client_and_by_the_check_with_the_setting_to_look_at(
    data_dir: Path, subscription: Subscription, what: str, names: list[str]
) -> None:
    environment = {**subscription.environment, "LIVEAVATAR_API_KEY": ""}
    match what:
        case "a wrong client secret":
            environment["AZURE_CLIENT_SECRET"] = "not-the-secret"
        case "another tenant":
            environment["AZURE_TENANT_ID"] = "00000000-1111-4222-8333-444444444444"
        case "no such deployment":
            environment["AZURE_OPENAI_DEPLOYMENT"] = "gone"
        case "a wrong key":
            environment["AZURE_OPENAI_API_KEY"] = "not-the-key"
    async with serving_process(data_dir, **environment) as server, server.client() as client:
        error = (await client.until("error", PATIENCE_S))["error"]
        assert all(name in error["message"] for name in names), error
        code, _ = await client.closed(PATIENCE_S)
        assert code == 4502
        await assert_no_canary(server)
    checked = await run_check(data_dir, environment)
    assert checked.returncode == 1
    problems = [line for line in checked.stdout.splitlines() if line.startswith("PROBLEM")]
    assert all(name in problems[0] for name in names), problems


async def run_check(data_dir: Path, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """``liveavatar check`` in a process of its own."""
    found = await trio.run_process(
        [sys.executable, "-m", "server.cli", "check"],
        env={**plain_environment(), **environment, "LIVEAVATAR_DATA_DIR": str(data_dir)},
        cwd=str(Path(__file__).parents[1]),
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )
    return subprocess.CompletedProcess(found.args, found.returncode, found.stdout.decode(), found.stderr.decode())


def plain_environment() -> dict[str, str]:
    ours = ("LIVEAVATAR_", "AZURE_", "OPENAI_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


@pytest.mark.parametrize("what", ["the vault is down", "the secret is not there", "it is too short"])
async def test_a_secret_that_cannot_be_had_stops_the_start_and_names_the_setting(
    data_dir: Path, subscription: Subscription, what: str
) -> None:
    environment = dict(subscription.environment)
    match what:
        case "the vault is down":
            environment["LIVEAVATAR_API_KEY"] = f"keyvault:https://127.0.0.1:{await free_port()}/secrets/access-key"
        case "the secret is not there":
            environment["LIVEAVATAR_API_KEY"] = subscription.vault.reference("other")
        case "it is too short":
            subscription.vault.put("access-key", "short")
    found = await trio.run_process(
        [sys.executable, "-m", "server.cli", "serve", "--port", "0", "--data-dir", str(data_dir)],
        env={**plain_environment(), **environment},
        cwd=str(Path(__file__).parents[1]),
        capture_stderr=True,
        check=False,
    )
    said = found.stderr.decode()
    assert found.returncode == 1
    assert "LIVEAVATAR_API_KEY" in said
    assert "Traceback" not in said
    assert CLIENT_SECRET not in said


# Several deployments


def two_deployments(tmp_path: Path, first_port: int, second_port: int) -> dict[str, str]:
    """The settings of two deployments, the first preferred."""
    rows = "".join(
        f'[[deployment]]\nname = "{name}"\nendpoint = "http://127.0.0.1:{port}"\ndeployment = "gpt-realtime"\n'
        f'priority = {priority}\napi_key_variable = "BOTH_KEY"\n'
        for name, port, priority in (("first", first_port, 1), ("second", second_port, 2))
    )
    (tmp_path / "deployments.toml").write_text(rows)
    return {"LIVEAVATAR_DEPLOYMENTS": str(tmp_path / "deployments.toml"), "BOTH_KEY": AZURE_KEY}


async def test_a_deployment_that_has_no_place_left_sends_to_the_next(data_dir: Path, tmp_path: Path) -> None:
    azure = SimulatorSettings(service="azure", api_key=AZURE_KEY)
    scarce = SimulatorSettings(service="azure", api_key=AZURE_KEY, quota=1)
    async with simulator(scarce) as first, simulator(azure) as second:
        environment = two_deployments(tmp_path, first.addresses[0][1], second.addresses[0][1])
        async with serving_process(data_dir, **environment) as server, server.opened() as one:
            assert (first.open_connections, second.open_connections) == (1, 0)
            for _ in range(2):
                assert "Ottilie Marsh" in await answered(server)
            await one.type(QUESTION)
            await one.send("response.create")
            await one.until("response.done", PATIENCE_S)
            refused = [entry for entry in server.log if entry["event"] == "upstream connect failed"]
            # The first said when to come back, so the second visitor did not even ask.
            assert [entry["deployment"] for entry in refused] == ["first"]
            await assert_no_canary(server)


async def test_a_session_goes_on_at_the_other_deployment_when_its_own_dies(data_dir: Path, tmp_path: Path) -> None:
    port = await free_port()
    command = ("simulate", "--service", "azure", "--key", AZURE_KEY)
    async with (
        simulator(SimulatorSettings(service="azure", api_key=AZURE_KEY)) as second,
        listening_process(*command, port=port) as dying,
    ):
        environment = two_deployments(tmp_path, port, second.addresses[0][1])
        async with serving_process(data_dir, **environment) as server, server.opened() as client:
            await client.type("My name is Ada.")
            await client.send("response.create")
            await client.until("response.done", PATIENCE_S)
            dying.kill()
            await client.until_that(
                lambda event: event["type"] == "avatar.state" and event["state"] == "reconnecting", PATIENCE_S
            )
            await client.type(QUESTION)
            await client.send("response.create")
            await client.until("response.done", PATIENCE_S)
            assert "Ottilie Marsh" in client.of("response.output_audio_transcript.done")[-1]["transcript"]
            assert second.open_connections == 1
            assert client.of("error") == []
