"""What the tests of this room share. None of them leaves loopback: a machine in a cloud has a real identity service."""

import ipaddress
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from server.azure.transport import HttpxTransport
from tests.azure.stand_ins.entra import Entra, serve_entra
from tests.azure.stand_ins.http import Trust


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuses connections to other hosts, and forgets what the environment says about identities and proxies."""
    open_tcp_stream = trio.open_tcp_stream

    async def guarded(host: str | bytes, port: int, **options: Any) -> trio.SocketStream:
        name = host.decode() if isinstance(host, bytes) else host
        name.encode("idna")  # what is no name is not looked up: it raises here, as it does there
        if name != "localhost" and not ipaddress.ip_address(name).is_loopback:
            pytest.fail(f"a test was about to connect to {name}:{port}")
        return await open_tcp_stream(host, port, **options)

    monkeypatch.setattr(trio, "open_tcp_stream", guarded)
    for name in (
        "IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IDENTITY_SERVER_THUMBPRINT", "IMDS_ENDPOINT", "MSI_ENDPOINT",
        "MSI_SECRET", "AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE",
        "AZURE_AUTHORITY_HOST", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy",
        "all_proxy", "no_proxy",
    ):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    # Where the library looks for the metadata service; nothing listens on this port.
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:9")


@pytest.fixture(scope="session")
def trust() -> Trust:
    """Whom the stand-ins' certificates are from; the real names are for those that are reached by a proxy."""
    return Trust("login.microsoftonline.com", "museum.vault.azure.net", "gallery.vault.azure.net", "museum.example")


@pytest.fixture
async def transport(trust: Trust) -> AsyncIterator[HttpxTransport]:
    transport = HttpxTransport(max_connections=10, ssl_context=trust.client())
    yield transport
    await transport.aclose()


@pytest.fixture
async def entra(trust: Trust) -> AsyncIterator[Entra]:
    async with serve_entra(trust) as entra:
        yield entra


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is on the path."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/bin{os.pathsep}/usr/bin")
    return folder
