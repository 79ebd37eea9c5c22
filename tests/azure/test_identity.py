"""Who the server is: each kind of identity with Azure's own credentials, against a strict service of its kind."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from azure.identity import ClientSecretCredential as BlockingClientSecretCredential

from server.azure.base import ClientCredential
from server.azure.identity import IdentitySettings, open_identity
from server.azure.tokens import TokenSource
from server.azure.transport import HttpxTransport
from server.secret import Secret
from tests.azure.identities import CLIENT_SECRET, RESOURCE, SCOPE, by_secret, by_workload, managed, refused
from tests.azure.stand_ins.entra import CLIENT, TENANT, Entra
from tests.azure.stand_ins.host_identity import APP_SERVICE_PATH, HostIdentity, serve_app_service_identity, serve_imds
from tests.azure.stand_ins.http import Answer, Trust, json_answer
from tests.azure.stand_ins.proxy import serve_proxy

OTHER_TENANT = "11111111-2222-4333-8444-555555555555"


@pytest.fixture
async def imds(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HostIdentity]:
    async with serve_imds() as imds:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", imds.url)
        yield imds


@pytest.fixture
async def app_service(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HostIdentity]:
    async with serve_app_service_identity() as app_service:
        monkeypatch.setenv("IDENTITY_ENDPOINT", app_service.url + APP_SERVICE_PATH)
        monkeypatch.setenv("IDENTITY_HEADER", app_service.header)
        yield app_service


# A client secret


async def test_a_client_secret_is_exchanged_for_a_token(entra: Entra, transport: HttpxTransport) -> None:
    token = await by_secret(entra, transport).request(SCOPE)
    grant = entra.issuer.check(token.secret.reveal())
    assert grant is not None
    assert grant.resource == RESOURCE
    assert token.expires_on == pytest.approx(grant.expires_on, abs=2)
    assert entra.token_requests == [
        {"client_id": CLIENT, "client_secret": CLIENT_SECRET, "grant_type": "client_credentials", "scope": SCOPE}
    ]
    assert [request.path for request in entra.server.requests] == [f"/{TENANT}/oauth2/v2.0/token"], "nothing else"


async def test_each_request_asks_anew(entra: Entra, transport: HttpxTransport) -> None:
    identity = by_secret(entra, transport)
    first, second = await identity.request(SCOPE), await identity.request(SCOPE)
    assert first.secret != second.secret
    assert len(entra.token_requests) == 2
    assert entra.server.connections == 1


async def test_entra_may_say_when_to_renew(entra: Entra, transport: HttpxTransport) -> None:
    entra.lifetime_s, entra.refresh_in_s = 86400, 1000
    token = await by_secret(entra, transport).request(SCOPE)
    assert token.refresh_on is not None
    assert token.expires_on - token.refresh_on == pytest.approx(85400, abs=2)


async def test_a_renewed_client_secret_is_used_from_then_on(entra: Entra, transport: HttpxTransport) -> None:
    secret = Secret("old-secret-canary")
    settings = IdentitySettings(
        mode="secret", tenant_id=TENANT, client_id=CLIENT, client_secret=secret, authority_host=entra.url
    )
    identity = open_identity(settings, transport)
    assert (await refused(identity)).settings == ("AZURE_CLIENT_SECRET",)
    secret.renew(CLIENT_SECRET)
    await identity.request(SCOPE)


@pytest.mark.parametrize(
    ("changes", "said", "settings"),
    [
        ({"client_secret": "wrong-secret-canary"}, "AADSTS7000215", ("AZURE_CLIENT_SECRET",)),
        ({"client_id": OTHER_TENANT}, "AADSTS700016", ("AZURE_CLIENT_ID", "AZURE_TENANT_ID")),
        ({"tenant_id": OTHER_TENANT}, "AADSTS90002", ("AZURE_TENANT_ID", "AZURE_AUTHORITY_HOST")),
    ],
)
async def test_a_refusal_names_the_setting(
    entra: Entra, transport: HttpxTransport, changes: dict[str, str], said: str, settings: tuple[str, ...]
) -> None:
    fault = await refused(by_secret(entra, transport, **changes))
    assert (fault.said, fault.settings, fault.retryable) == (said, settings, False)
    assert len(entra.token_requests) == 1, "asked once, for it is refused for good"


async def test_a_refusal_that_is_not_in_our_table(entra: Entra, transport: HttpxTransport) -> None:
    entra.server.faults.append(json_answer(400, {"error": "invalid_client", "error_codes": [1234567]}))
    fault = await refused(by_secret(entra, transport))
    assert fault.said == "AADSTS1234567"
    assert fault.settings == ("AZURE_TENANT_ID", "AZURE_CLIENT_ID")


async def test_a_throttled_one_says_when_to_come_back(entra: Entra, transport: HttpxTransport) -> None:
    body = {"error": "temporarily_unavailable", "error_codes": [50196]}
    entra.server.faults.append(json_answer(429, body, (("Retry-After", "17"),)))
    fault = await refused(by_secret(entra, transport))
    assert (fault.code, fault.retryable, fault.retry_after_s) == ("azure_throttled", True, 17)
    assert len(entra.token_requests) == 1, "one policy of trying again, and it is not the library's"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(503, b"<html>An error occurred</html>", (("Content-Type", "text/html"),)),
        Answer(500),
        Answer(200, b"<html>error</html>", (("Content-Type", "text/html"),)),
        json_answer(200, {"token_type": "Bearer", "access_token": "half-token-canary"}),
        json_answer(200, []),
        Answer(200, b"{", (("Content-Type", "application/json"),)),
        Answer(302, headers=(("Location", "http://127.0.0.1:9/"),)),
        "reset",
    ],
    ids=str,
)
async def test_an_answer_that_is_none_may_be_better_next_time(
    entra: Entra, transport: HttpxTransport, answer: Answer
) -> None:
    entra.server.faults.append(answer)
    identity = by_secret(entra, transport)
    fault = await refused(identity)
    assert fault.retryable
    assert "canary" not in fault.message + fault.said
    assert len(entra.token_requests) == 1
    await identity.request(SCOPE)


async def test_entra_cannot_be_reached(entra: Entra, transport: HttpxTransport) -> None:
    fault = await refused(by_secret(entra, transport, authority_host="https://127.0.0.1:9"))
    assert (fault.code, fault.retryable, fault.settings) == (
        "azure_identity_unreachable",
        True,
        ("AZURE_AUTHORITY_HOST",),
    )


async def test_whoever_stands_in_the_way_of_entra_gets_no_secret(entra: Entra) -> None:
    distrustful = HttpxTransport(max_connections=1)
    assert (await refused(by_secret(entra, distrustful))).retryable
    assert not entra.server.requests
    await distrustful.aclose()


async def test_an_unhurried_entra_is_not_waited_for(
    entra: Entra, transport: HttpxTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.azure.identity.REQUEST_S", 0.05)
    entra.server.faults.append("hang")
    fault = await refused(by_secret(entra, transport))
    assert "within 0.05 seconds" in fault.message
    with trio.fail_after(1):
        await entra.server.closed.wait()


async def test_by_its_real_name_and_through_the_environments_proxy(
    entra: Entra, trust: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve_proxy({"login.microsoftonline.com": entra.server.port}) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        transport = HttpxTransport(max_connections=1, ssl_context=trust.client())
        await by_secret(entra, transport, authority_host="").request(SCOPE)
        assert proxy.asked == ["login.microsoftonline.com"]
        await transport.aclose()


async def test_the_stand_in_suits_the_librarys_own_ways_too(entra: Entra, trust: Trust, tmp_path: Path) -> None:
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(trust.pem)
    credential = BlockingClientSecretCredential(
        TENANT,
        CLIENT,
        CLIENT_SECRET,
        authority=entra.url,
        disable_instance_discovery=True,
        connection_verify=str(trusted),
    )
    info = await trio.to_thread.run_sync(credential.get_token_info, SCOPE)
    credential.close()
    assert entra.issuer.check(info.token) is not None


# A workload's federated token


async def test_a_federated_token_is_exchanged(entra: Entra, transport: HttpxTransport, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(entra.assertion())
    token = await by_workload(entra, transport, token_file).request(SCOPE)
    assert entra.issuer.check(token.secret.reveal()) is not None
    (form,) = entra.token_requests
    assert form.keys() == {"client_id", "client_assertion", "client_assertion_type", "grant_type", "scope"}


async def test_the_file_is_read_anew_each_time(entra: Entra, transport: HttpxTransport, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    identity = by_workload(entra, transport, token_file)
    fault = await refused(identity)
    assert (fault.settings, fault.retryable) == (("AZURE_FEDERATED_TOKEN_FILE",), True)
    token_file.write_text(entra.assertion(lifetime_s=-60))
    fault = await refused(identity)
    assert (fault.said, fault.settings) == ("AADSTS700024", ("AZURE_FEDERATED_TOKEN_FILE",))
    token_file.write_text(entra.assertion())
    await identity.request(SCOPE)


@pytest.mark.parametrize(
    ("assertion", "said"),
    [("", "AADSTS7000216"), ("no token", "AADSTS50027"), ("a.b.c", "AADSTS50027")],
)
async def test_a_file_without_a_token(
    entra: Entra, transport: HttpxTransport, tmp_path: Path, assertion: str, said: str
) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(assertion)
    fault = await refused(by_workload(entra, transport, token_file))
    assert fault.said == said
    assert "AZURE_FEDERATED_TOKEN_FILE" in fault.settings


async def test_an_application_without_that_federated_credential(
    entra: Entra, transport: HttpxTransport, tmp_path: Path
) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(entra.assertion(subject="system:serviceaccount:default:somebody"))
    fault = await refused(by_workload(entra, transport, token_file))
    assert (fault.said, fault.settings) == ("AADSTS700213", ("AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE"))


# A managed identity


async def test_the_hosts_own_identity_on_a_virtual_machine(imds: HostIdentity, transport: HttpxTransport) -> None:
    token = await managed(transport).request(SCOPE)
    assert imds.issuer.check(token.secret.reveal()) is not None
    assert token.refresh_on is not None, "half the life, by the library, where it is two hours or more"
    (request,) = imds.server.requests
    assert dict(request.query) == {"api-version": "2018-02-01", "resource": RESOURCE}


async def test_an_assigned_identity_on_a_virtual_machine(imds: HostIdentity, transport: HttpxTransport) -> None:
    identity = managed(transport, CLIENT)
    fault = await refused(identity)
    assert (fault.settings, fault.retryable) == (("AZURE_CLIENT_ID",), False)
    assert "not assigned" in fault.message
    imds.identities.add(CLIENT)
    await identity.request(SCOPE)


async def test_a_virtual_machine_without_an_identity(imds: HostIdentity, transport: HttpxTransport) -> None:
    imds.has_own = False
    assert "switched off" in (await refused(managed(transport))).message
    assert len(imds.server.requests) == 1


@pytest.mark.parametrize("status", [404, 410, 429, 500, 503])
async def test_a_metadata_service_that_is_being_updated(
    imds: HostIdentity, transport: HttpxTransport, status: int
) -> None:
    imds.server.faults.append(json_answer(status, {"error": "unavailable"}, (("Retry-After", "5"),)))
    identity = managed(transport)
    fault = await refused(identity)
    assert (fault.retryable, fault.retry_after_s) == (True, 5)
    assert len(imds.server.requests) == 1, "the library would try for 75 seconds"
    await identity.request(SCOPE)


async def test_no_metadata_service_here(transport: HttpxTransport) -> None:
    fault = await refused(managed(transport))
    assert (fault.code, fault.settings) == ("azure_identity_unreachable", ("LIVEAVATAR_AZURE_AUTH",))
    assert "host on Azure?" in fault.message


async def test_a_proxy_that_answers_for_the_metadata_service(imds: HostIdentity, transport: HttpxTransport) -> None:
    imds.server.faults.append(Answer(403, b"A socket operation was attempted to an unreachable network"))
    fault = await refused(managed(transport))
    assert "LIVEAVATAR_AZURE_AUTH" in fault.settings


@pytest.mark.parametrize("client_id", ["", CLIENT])
async def test_on_app_service(app_service: HostIdentity, transport: HttpxTransport, client_id: str) -> None:
    app_service.identities.add(CLIENT)
    token = await managed(transport, client_id).request(SCOPE)
    assert app_service.issuer.check(token.secret.reveal()) is not None
    (request,) = app_service.server.requests
    assert request.header("x-identity-header") == "identity-header-canary"
    assert dict(request.query).get("client_id", "") == client_id


async def test_on_app_service_with_a_header_that_is_out_of_date(
    app_service: HostIdentity, transport: HttpxTransport
) -> None:
    app_service.header = "another-header-canary"
    fault = await refused(managed(transport))
    assert "IDENTITY_HEADER" in fault.settings
    assert "canary" not in fault.message


async def test_managed_stays_managed_where_a_workload_identity_is_set_up(
    imds: HostIdentity, transport: HttpxTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_ID"):
        monkeypatch.setenv(name, "set")
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", "https://127.0.0.1:9")
    await managed(transport).request(SCOPE)


# Together


async def test_fifty_callers_at_once_are_one_request_to_entra(entra: Entra, transport: HttpxTransport) -> None:
    source = TokenSource(by_secret(entra, transport), SCOPE)
    got: list[Secret] = []

    async def call() -> None:
        got.append(await source.token())

    async with trio.open_nursery() as running:
        running.start_soon(source.run)
        async with trio.open_nursery() as callers:
            for _ in range(50):
                callers.start_soon(call)
        running.cancel_scope.cancel()
    assert len(got) == 50
    assert len(entra.token_requests) == 1


async def test_azures_client_libraries_take_a_token_source_for_a_credential(
    entra: Entra, transport: HttpxTransport
) -> None:
    source = TokenSource(by_secret(entra, transport), SCOPE)
    async with trio.open_nursery() as running:
        running.start_soon(source.run)
        async with ClientCredential(source) as credential:
            info = await credential.get_token_info(SCOPE)
        running.cancel_scope.cancel()
    assert entra.issuer.check(info.token) is not None
