"""Identities as the tests of this room need them: made by the same function as the server's, with known secrets."""

import stat
from pathlib import Path

import pytest

from server.azure.base import AzureFault, Identity
from server.azure.identity import IdentitySettings, open_identity
from server.azure.transport import HttpxTransport
from server.secret import Secret
from tests.azure.stand_ins.entra import CLIENT, TENANT, Entra

RESOURCE = "https://cognitiveservices.azure.com"
SCOPE = f"{RESOURCE}/.default"
CLIENT_SECRET = "entra-client-secret-canary"


def by_secret(entra: Entra, transport: HttpxTransport, **changes: str) -> Identity:
    values = {"tenant_id": TENANT, "client_id": CLIENT, "authority_host": entra.url, "client_secret": CLIENT_SECRET}
    values.update(changes)
    secret = Secret(values.pop("client_secret"))
    return open_identity(IdentitySettings(mode="secret", client_secret=secret, **values), transport)


def by_workload(entra: Entra, transport: HttpxTransport, token_file: Path) -> Identity:
    settings = IdentitySettings(
        mode="workload",
        tenant_id=TENANT,
        client_id=CLIENT,
        federated_token_file=str(token_file),
        authority_host=entra.url,
    )
    return open_identity(settings, transport)


def managed(transport: HttpxTransport, client_id: str = "") -> Identity:
    return open_identity(IdentitySettings(mode="managed", client_id=client_id), transport)


def login(transport: HttpxTransport) -> Identity:
    return open_identity(IdentitySettings(mode="cli"), transport)


async def refused(identity: Identity) -> AzureFault:
    with pytest.raises(AzureFault) as raised:
        await identity.request(SCOPE)
    fault = raised.value
    assert all(name in fault.message for name in fault.settings)
    assert fault.__cause__ is None
    assert fault.__suppress_context__ or fault.__context__ is None
    return fault


def program(folder: Path, name: str, *, prints: str = "", complains: str = "", status: int = 0) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{prints}\nEND\ncat >&2 <<'END'\n{complains}\nEND\nexit {status}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
