"""Which identity is meant, and what is wrong with the settings for it, before anybody is asked."""

from pathlib import Path

import pytest
import structlog

from server.azure.base import AzureFault
from server.azure.identity import AuthMode, IdentitySettings, choose, open_identity
from server.azure.transport import HttpxTransport
from server.secret import Secret
from tests.azure.stand_ins.entra import CLIENT


@pytest.mark.parametrize(
    ("settings", "environ", "commands", "chassis", "kind", "why"),
    [
        (IdentitySettings(client_secret=Secret("x"), federated_token_file="f"), {}, (), "", "secret", "CLIENT_SECRET"),
        (IdentitySettings(federated_token_file="f"), {"IDENTITY_ENDPOINT": "x"}, (), "", "workload", "AZURE_FEDERATED"),
        (IdentitySettings(), {"IDENTITY_ENDPOINT": "x"}, ("az",), "", "managed", "IDENTITY_ENDPOINT"),
        (IdentitySettings(), {"MSI_ENDPOINT": "x"}, (), "", "managed", "MSI_ENDPOINT"),
        (IdentitySettings(), {}, ("az",), "7783-7084-3265-9085-8269-3286-77\n", "managed", "machine on Azure"),
        (IdentitySettings(), {}, ("az", "azd"), "Default string", "cli", "az is installed"),
        (IdentitySettings(), {}, ("azd",), "", "cli", "azd is installed"),
        (IdentitySettings(), {}, (), "", "managed", "nothing else"),
        (IdentitySettings(mode="cli", client_secret=Secret("x")), {}, (), "", "cli", "LIVEAVATAR_AZURE_AUTH"),
    ],
)  # fmt: skip
def test_which_identity_is_meant(
    settings: IdentitySettings,
    environ: dict[str, str],
    commands: tuple[str, ...],
    chassis: str,
    kind: str,
    why: str,
    tmp_path: Path,
) -> None:
    tag = tmp_path / "chassis_asset_tag"
    tag.write_text(chassis)
    chosen, because = choose(
        settings, environ, find_command=lambda name: name if name in commands else None, chassis_tag=tag
    )
    assert chosen == kind
    assert why in because


async def test_it_is_said_which_one(transport: HttpxTransport) -> None:
    with structlog.testing.capture_logs() as log:
        open_identity(IdentitySettings(mode="managed", client_id=CLIENT), transport)
    assert log == [
        {
            "event": "azure identity",
            "log_level": "info",
            "kind": "managed",
            "identity": f"managed identity {CLIENT}",
            "because": "LIVEAVATAR_AZURE_AUTH says so",
        }
    ]


@pytest.mark.parametrize(
    ("mode", "changes", "missing"),
    [
        ("secret", {}, ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")),
        ("auto", {"client_secret": Secret("x"), "tenant_id": "t"}, ("AZURE_CLIENT_ID",)),
        ("workload", {"tenant_id": "t", "client_id": "c"}, ("AZURE_FEDERATED_TOKEN_FILE",)),
        ("secret", {"tenant_id": "a b", "client_id": "c", "client_secret": Secret("x")}, ("AZURE_TENANT_ID",)),
        (
            "secret",
            {"tenant_id": "t", "client_id": "c", "client_secret": Secret.by_reference("keyvault:x")},
            ("AZURE_CLIENT_SECRET",),
        ),
        ("managed", {"authority_host": "http://login.example"}, ("AZURE_AUTHORITY_HOST",)),
    ],
)
async def test_what_is_missing_or_wrong_is_said_before_anybody_is_asked(
    transport: HttpxTransport, mode: AuthMode, changes: dict[str, str], missing: tuple[str, ...]
) -> None:
    with pytest.raises(AzureFault) as raised:
        open_identity(IdentitySettings(mode=mode, **changes), transport)  # type: ignore[arg-type]
    assert raised.value.settings == missing
    assert not raised.value.retryable
