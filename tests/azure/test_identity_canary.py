"""No secret and no token in anything that an identity says, logs or is printed as, whatever its service answers."""

import logging
from pathlib import Path

import pytest
import structlog

from server.azure.transport import HttpxTransport
from tests.azure.identities import CLIENT_SECRET, SCOPE, by_secret, by_workload, login, managed, program, refused
from tests.azure.stand_ins.entra import TokenIssuer, serve_entra
from tests.azure.stand_ins.host_identity import APP_SERVICE_PATH, serve_app_service_identity, serve_imds
from tests.azure.stand_ins.http import Trust, json_answer


@pytest.mark.parametrize("mode", ["secret", "workload", "imds", "app service", "login"])
async def test_no_secret_is_shown_anywhere(
    mode: str,
    trust: Trust,
    transport: HttpxTransport,
    tmp_path: Path,
    programs: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.INFO)
    for name in ("azure", "azure.core", "msal", "httpx"):
        caplog.set_level(logging.INFO, logger=name)
    issuer = TokenIssuer()
    shown: list[str] = []
    token_file = tmp_path / "token"
    with structlog.testing.capture_logs() as log:
        async with (
            serve_entra(trust, issuer) as entra,
            serve_imds(issuer) as imds,
            serve_app_service_identity(issuer) as app_service,
        ):
            token_file.write_text(entra.assertion())
            monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", imds.url)
            if mode == "app service":
                monkeypatch.setenv("IDENTITY_ENDPOINT", app_service.url + APP_SERVICE_PATH)
                monkeypatch.setenv("IDENTITY_HEADER", app_service.header)
            if mode == "login":
                program(programs, "az", prints='{"accessToken": "az-token-canary", "expires_on": 4102444800}')
            identity = {
                "secret": lambda: by_secret(entra, transport),
                "workload": lambda: by_workload(entra, transport, token_file),
                "imds": lambda: managed(transport),
                "app service": lambda: managed(transport),
                "login": lambda: login(transport),
            }[mode]()
            token = await identity.request(SCOPE)
            shown += [repr(token), str(token), repr(identity), repr(vars(identity)), identity.name]
            echo = {
                "error": "canary",
                "error_description": f"{CLIENT_SECRET} {token_file.read_text()} {app_service.header}",
                "access_token": token.secret.reveal(),
                "error_codes": [7000215],
            }
            for status in (200, 400, 401, 403, 500):
                for server in (entra.server, imds.server, app_service.server):
                    server.faults.clear()
                    server.faults.append(json_answer(status, echo))
                if mode == "login":
                    program(programs, "az", complains=f"ERROR: {token.secret.reveal()}", status=1)
                fault = await refused(identity)
                shown += [str(fault), repr(fault), fault.said, repr(vars(fault))]
    everything = "\n".join([*shown, str(log), *capfd.readouterr()])
    for secret in (CLIENT_SECRET, token_file.read_text(), "identity-header-canary", token.secret.reveal()):
        assert secret not in everything
        # Of the libraries' own records, those at info and above.
        assert secret not in caplog.text
