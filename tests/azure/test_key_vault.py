"""Secrets by reference: looked up with Azure's own client in a strict vault, and renewed while they are held."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import structlog
import trio
from azure.core.credentials import TokenRequestOptions

from server.azure.base import AzureFault, Identity, Token
from server.azure.identity import IdentitySettings, open_identity
from server.azure.key_vault import VaultSecrets
from server.azure.transport import HttpxTransport
from server.secret import Secret
from tests.azure.identities import CLIENT_SECRET
from tests.azure.stand_ins.entra import CLIENT, TENANT, Entra, TokenIssuer
from tests.azure.stand_ins.http import Answer, Fault, Trust, json_answer
from tests.azure.stand_ins.key_vault import Vault, serve_vault
from tests.azure.stand_ins.proxy import serve_proxy

VALUE = "vault-value-canary"
SETTING = "AZURE_OPENAI_API_KEY"
BOTH = (SETTING, "LIVEAVATAR_AZURE_AUTH")
# Real time, for real sockets.
INTERVAL_S = 0.01


@pytest.fixture
async def vault(trust: Trust, entra: Entra) -> AsyncIterator[Vault]:
    async with serve_vault(trust, entra.issuer) as vault:
        vault.put("openai-key", VALUE)
        yield vault


@pytest.fixture
def identity(entra: Entra, transport: HttpxTransport) -> Identity:
    return identified(entra.url, transport)


def identified(authority: str, transport: HttpxTransport) -> Identity:
    settings = IdentitySettings(
        mode="secret",
        tenant_id=TENANT,
        client_id=CLIENT,
        client_secret=Secret(CLIENT_SECRET),
        authority_host=authority,
    )
    return open_identity(settings, transport)


def keeping(
    secrets: dict[str, Secret],
    identity: Identity,
    transport: HttpxTransport,
    *,
    interval_s: float = INTERVAL_S,
    problem_with: Callable[[str, str], str | None] = lambda _setting, _value: None,
) -> VaultSecrets:
    return VaultSecrets(secrets, identity, transport, interval_s=interval_s, problem_with=problem_with)


async def unresolved(secrets: VaultSecrets, *, timeout_s: float = 10) -> AzureFault:
    with pytest.raises(AzureFault) as raised:
        await secrets.resolve(timeout_s=timeout_s)
    return raised.value


@asynccontextmanager
async def renewed(secrets: VaultSecrets) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(secrets.run)
        yield
        nursery.cancel_scope.cancel()


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(5):
        # What it waits for happens behind sockets, in a server that does not know of it.
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.002)


async def test_a_reference_is_looked_up(
    vault: Vault, entra: Entra, identity: Identity, transport: HttpxTransport
) -> None:
    secret = Secret.by_reference(vault.reference("openai-key"))
    given = Secret("given-as-it-is")
    await keeping({SETTING: secret, "OPENAI_API_KEY": given}, identity, transport).resolve()
    assert secret.reveal() == VALUE
    assert given.reveal() == "given-as-it-is"
    asked, answered = vault.server.requests
    assert asked.header("authorization") is None, "the first one only asks whose token it takes"
    assert (answered.header("authorization") or "").startswith("Bearer ")
    (form,) = entra.token_requests
    assert form["scope"] == "https://vault.azure.net/.default"


async def test_a_version_is_looked_up_as_it_was(vault: Vault, identity: Identity, transport: HttpxTransport) -> None:
    old = vault.put("key", "old-canary")
    vault.put("key", "new-canary")
    secrets = {
        "A": Secret.by_reference(vault.reference("key", old)),
        "B": Secret.by_reference(vault.reference("key")),
    }
    await keeping(secrets, identity, transport).resolve()
    assert [secret.reveal() for secret in secrets.values()] == ["old-canary", "new-canary"]


async def test_by_its_real_name_its_challenge_is_verified(
    trust: Trust, entra: Entra, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = {
        "login.microsoftonline.com": entra.server.port,
        "museum.vault.azure.net": vault.server.port,
        "gallery.vault.azure.net": vault.server.port,
    }
    async with serve_proxy(ports) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        transport = HttpxTransport(max_connections=10, ssl_context=trust.client())
        identity = identified("", transport)
        secret = Secret.by_reference("@Microsoft.KeyVault(VaultName=museum;SecretName=openai-key)")
        await keeping({SETTING: secret}, identity, transport).resolve()
        assert secret.reveal() == VALUE
        # One that sends us to ask for a token for somebody else gets none.
        vault.resource = "https://evil.example"
        before = len(entra.token_requests)
        secret = Secret.by_reference("keyvault:https://gallery.vault.azure.net/secrets/openai-key")
        fault = await unresolved(keeping({SETTING: secret}, identity, transport))
        assert fault.settings == (SETTING,)
        assert "no vault" in fault.message
        assert len(entra.token_requests) == before
        await transport.aclose()


async def test_many_are_looked_up_side_by_side_with_one_token(
    vault: Vault, entra: Entra, identity: Identity, transport: HttpxTransport
) -> None:
    secrets = {}
    for number in range(8):
        vault.put(f"key-{number}", f"value-{number}")
        secrets[f"S{number}"] = Secret.by_reference(vault.reference(f"key-{number}"))
    secrets["TWIN"] = Secret.by_reference(vault.reference("key-0"))
    vault.server.delay_s = 0.05
    await keeping(secrets, identity, transport).resolve()
    assert vault.server.most_at_once == 8, "side by side"
    assert {name: secret.reveal() for name, secret in secrets.items()} == {
        **{f"S{number}": f"value-{number}" for number in range(8)},
        "TWIN": "value-0",
    }
    assert len(entra.token_requests) == 1
    assert len([request for request in vault.server.requests if request.header("authorization")]) == 8


# What goes wrong at the start


async def test_a_reference_that_cannot_be_read_names_the_setting(identity: Identity, transport: HttpxTransport) -> None:
    with pytest.raises(AzureFault, match=f"{SETTING}: the secret's address must end with /secrets/NAME"):
        keeping({SETTING: Secret.by_reference("keyvault:https://museum.vault.azure.net/")}, identity, transport)


def refusal(status: int, code: str, inner: str = "", **headers: str) -> Answer:
    error = {"code": code, "message": f"canary {VALUE}", "innererror": {"code": inner} if inner else None}
    return json_answer(
        status, {"error": error}, tuple((name.replace("_", "-"), value) for name, value in headers.items())
    )


@pytest.mark.parametrize(
    ("faults", "words", "settings", "retryable"),
    [
        ([refusal(403, "Forbidden", "ForbiddenByRbac")], "Key Vault Secrets User", BOTH, False),
        ([refusal(403, "Forbidden", "AccessDenied")], "Key Vault Secrets User", BOTH, False),
        ([refusal(403, "Forbidden", "ForbiddenByFirewall")], "network rules", (SETTING,), False),
        ([refusal(403, "Forbidden", "SecretDisabled")], "disabled", (SETTING,), False),
        ([refusal(404, "SecretNotFound")], "no secret openai-key", (SETTING,), False),
        ([refusal(401, "Unauthorized")], "another tenant", (SETTING, "AZURE_TENANT_ID"), False),
        ([refusal(400, "BadParameter")], "refuses", (SETTING,), False),
        ([refusal(429, "Throttled", Retry_After="7")], "too often", (SETTING,), True),
        ([refusal(503, "ServiceUnavailable")], "just now", (SETTING,), True),
        ([Answer(502, b"<html>")], "just now", (SETTING,), True),
        ([Answer(200, b"{", (("Content-Type", "application/json"),))], "no vault", (SETTING,), False),
        ([json_answer(200, {"value": ""})], "empty", (SETTING,), False),
        (["reset"], "cannot be reached", (SETTING,), True),
    ],
)  # fmt: skip
async def test_a_vault_that_refuses(
    vault: Vault,
    identity: Identity,
    transport: HttpxTransport,
    faults: list[Fault],
    words: str,
    settings: tuple[str, ...],
    retryable: bool,
) -> None:
    vault.server.faults.extend([refusal(401, "Unauthorized", WWW_Authenticate=challenge(vault)), *faults])
    secret = Secret.by_reference(vault.reference("openai-key"))
    fault = await unresolved(keeping({SETTING: secret}, identity, transport))
    assert words in fault.message
    assert fault.message.startswith(f"{SETTING} (keyvault:{vault.url}/secrets/openai-key): ")
    assert (fault.settings, fault.retryable) == (settings, retryable)
    assert "canary" not in fault.message + fault.said
    assert not secret.is_resolved
    assert len(vault.server.requests) == 2, "the library tries nothing again"


def challenge(vault: Vault) -> str:
    return f'Bearer authorization="{vault.login_url}/{vault.tenant}", resource="{vault.resource}"'


async def test_a_vault_of_another_tenant(vault: Vault, identity: Identity, transport: HttpxTransport) -> None:
    vault.tenant = "11111111-2222-4333-8444-555555555555"
    secret = Secret.by_reference(vault.reference("openai-key"))
    fault = await unresolved(keeping({SETTING: secret}, identity, transport))
    assert fault.settings == (SETTING, "AZURE_TENANT_ID")


async def test_an_identity_that_is_refused_is_named_too(
    vault: Vault, entra: Entra, identity: Identity, transport: HttpxTransport
) -> None:
    entra.client_secrets.clear()
    secrets = {name: Secret.by_reference(vault.reference(name.lower())) for name in ("A", "B", "C")}
    fault = await unresolved(keeping(secrets, identity, transport))
    assert set(fault.settings) == {"A", "B", "C", "AZURE_CLIENT_SECRET"}
    assert (fault.said, fault.retryable) == ("AADSTS7000215", False)
    assert fault.message.count("\n") == 2, "a line for each"
    assert len(entra.token_requests) == 1


async def test_a_vault_that_is_not_there(identity: Identity, transport: HttpxTransport) -> None:
    secret = Secret.by_reference("keyvault:https://127.0.0.1:9/secrets/key")
    fault = await unresolved(keeping({SETTING: secret}, identity, transport))
    assert (fault.code, fault.settings, fault.retryable) == ("key_vault_unreachable", (SETTING,), True)


async def test_a_vault_that_says_nothing_is_not_waited_for(
    vault: Vault, identity: Identity, transport: HttpxTransport
) -> None:
    vault.server.faults.append("hang")
    vault.put("other", "other-value")
    secrets = {
        "SLOW": Secret.by_reference(vault.reference("openai-key")),
        "FAST": Secret.by_reference(vault.reference("other")),
    }
    keeper = keeping(secrets, identity, transport)
    fault = await unresolved(keeper, timeout_s=0.3)
    assert fault.settings in {("SLOW",), ("FAST",)}
    assert sum(secret.is_resolved for secret in secrets.values()) == 1
    await keeper.resolve()
    assert all(secret.is_resolved for secret in secrets.values())


async def test_what_the_setting_does_not_take_is_not_put_in(
    vault: Vault, identity: Identity, transport: HttpxTransport
) -> None:
    secret = Secret.by_reference(vault.reference("openai-key"))
    keeper = keeping({SETTING: secret}, identity, transport, problem_with=lambda name, _: f"{name} is too short.")
    fault = await unresolved(keeper)
    assert "too short" in fault.message
    assert VALUE not in fault.message
    assert not secret.is_resolved


# While it runs


async def test_a_new_value_comes_to_its_holders_without_restart(
    vault: Vault, identity: Identity, transport: HttpxTransport
) -> None:
    secret = Secret.by_reference(vault.reference("openai-key"))
    keeper = keeping({SETTING: secret}, identity, transport)
    await keeper.resolve()
    async with renewed(keeper):
        vault.put("openai-key", "newer-canary")
        await until(lambda: secret.reveal() == "newer-canary")


async def test_a_version_is_not_asked_for_again(vault: Vault, identity: Identity, transport: HttpxTransport) -> None:
    version = vault.put("openai-key", "fixed")
    keeper = keeping({SETTING: Secret.by_reference(vault.reference("openai-key", version))}, identity, transport)
    await keeper.resolve()
    with trio.fail_after(1):
        await keeper.run()
    await keeping({"X": Secret("given")}, identity, transport).run()


@pytest.mark.parametrize(
    "outage",
    [
        refusal(503, "ServiceUnavailable"),
        refusal(403, "Forbidden", "SecretDisabled"),
        refusal(404, "SecretNotFound"),
        json_answer(200, {"value": ""}),
        "reset",
    ],
    ids=["down", "disabled", "deleted", "empty", "cut off"],
)
async def test_a_vault_that_fails_later_leaves_the_last_value_and_is_logged_once(
    vault: Vault, identity: Identity, transport: HttpxTransport, outage: Fault
) -> None:
    secret = Secret.by_reference(vault.reference("openai-key"))
    keeper = keeping({SETTING: secret}, identity, transport)
    await keeper.resolve()
    with structlog.testing.capture_logs() as log:
        async with renewed(keeper):
            vault.server.faults.extend([outage] * 5)
            await until(lambda: not vault.server.faults)
            assert secret.reveal() == VALUE
            vault.put("openai-key", "newer-canary")
            await until(lambda: secret.reveal() == "newer-canary")
            await until(lambda: len(log) == 2)
    assert [(entry["event"], entry["log_level"], entry["settings"]) for entry in log] == [
        ("secret not renewed", "warning", [SETTING]),
        ("secret renewed again", "info", [SETTING]),
    ]
    assert "canary" not in str(log)


async def test_a_new_value_that_the_setting_does_not_take_leaves_the_last_one(
    vault: Vault, identity: Identity, transport: HttpxTransport
) -> None:
    secret = Secret.by_reference(vault.reference("openai-key"))
    keeper = keeping(
        {SETTING: secret}, identity, transport, problem_with=lambda _, value: "it is bad." if "\n" in value else None
    )
    await keeper.resolve()
    with structlog.testing.capture_logs() as log:
        async with renewed(keeper):
            vault.put("openai-key", "with a line break\nin it")
            await until(lambda: bool(log))
            assert secret.reveal() == VALUE
            vault.put("openai-key", "good-again")
            await until(lambda: secret.reveal() == "good-again")


async def test_the_line_break_at_the_end_of_a_file_is_no_part_of_a_secret(
    vault: Vault, identity: Identity, transport: HttpxTransport
) -> None:
    vault.put("openai-key", f" {VALUE}\n")
    secret = Secret.by_reference(vault.reference("openai-key"))
    await keeping({SETTING: secret}, identity, transport).resolve()
    assert secret.reveal() == VALUE


async def test_its_token_is_renewed_when_the_vault_no_longer_takes_it(
    vault: Vault, entra: Entra, identity: Identity, transport: HttpxTransport
) -> None:
    secret = Secret.by_reference(vault.reference("openai-key"))
    entra.lifetime_s = 200
    keeper = keeping({SETTING: secret}, identity, transport)
    await keeper.resolve()
    async with renewed(keeper):
        before = len(entra.token_requests)
        await until(lambda: len(entra.token_requests) > before + 1)
    assert secret.reveal() == VALUE


class PatientIdentity:
    """Never answers."""

    name = "patient"

    async def request(self, scope: str, options: TokenRequestOptions | None = None) -> Token:
        await trio.sleep_forever()
        raise AssertionError


async def test_a_retry_after_that_is_longer_than_the_interval_is_kept(
    vault: Vault, identity: Identity, transport: HttpxTransport
) -> None:
    secret = Secret.by_reference(vault.reference("openai-key"))
    keeper = keeping({SETTING: secret}, identity, transport)
    await keeper.resolve()
    async with renewed(keeper):
        vault.server.faults.append(refusal(429, "Throttled", Retry_After="60"))
        await until(lambda: not vault.server.faults)
        asked = len(vault.server.requests)
        await trio.sleep(INTERVAL_S * 8)
        assert len(vault.server.requests) == asked


async def test_a_cancel_leaves_the_next_lookup_its_turn(vault: Vault, transport: HttpxTransport) -> None:
    keeper = keeping({SETTING: Secret.by_reference(vault.reference("openai-key"))}, PatientIdentity(), transport)
    for _ in range(2):
        with trio.move_on_after(0.05) as scope:
            await keeper.resolve()
        assert scope.cancelled_caught


async def test_no_value_is_shown_anywhere(
    vault: Vault,
    identity: Identity,
    transport: HttpxTransport,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name in ("", "azure", "azure.core", "azure.keyvault", "httpx"):
        caplog.set_level(logging.INFO, logger=name)
    secret = Secret.by_reference(vault.reference("openai-key"))
    keeper = keeping({SETTING: secret}, identity, transport)
    with structlog.testing.capture_logs() as log:
        await keeper.resolve()
        async with renewed(keeper):
            vault.server.faults.extend([refusal(500, VALUE), json_answer(200, [VALUE]), refusal(401, VALUE)])
            await until(lambda: not vault.server.faults)
            await until(lambda: len(log) >= 2)
    shown = "\n".join([str(log), caplog.text, repr(keeper), repr(vars(keeper)), *capfd.readouterr()])
    tokens = list(vault.issuer.grants)
    assert tokens
    for canary in (VALUE, CLIENT_SECRET, *tokens):
        assert canary not in shown


def test_an_issuer_knows_its_own_tokens_only() -> None:
    issuer = TokenIssuer()
    token = issuer.issue("https://vault.azure.net")
    assert issuer.check(token) is not None
    assert issuer.check(token + "x") is None
    assert issuer.check(issuer.issue("https://vault.azure.net", lifetime_s=-1)) is None
