"""How the server proves who it is to Azure: the kinds of identity, and which one is meant. It keeps no token.

Azure's own credentials ask, each anew for every token: they would else keep one that could not be renewed and hide the
failure, read a federated token file only every ten minutes, and try again by rules of their own. Who keeps tokens and
asks again is ``TokenSource``.
"""

import logging
import os
import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import structlog
import trio
from azure.core.credentials import TokenRequestOptions
from azure.core.credentials_async import AsyncSupportsTokenInfo
from azure.core.exceptions import ClientAuthenticationError
from azure.identity.aio import ClientSecretCredential, ManagedIdentityCredential, WorkloadIdentityCredential

from protocol.endings import EndReason
from server.azure.base import AzureFault, Identity, Token
from server.azure.login import DeveloperLogin
from server.azure.transport import HttpxTransport
from server.azure.witness import Answer, Witness
from server.secret import Secret

_log = structlog.get_logger("liveavatar.azure")

AuthMode = Literal["auto", "managed", "workload", "secret", "cli"]
Kind = Literal["managed", "workload", "secret", "cli"]

# The setting that says which; ours, so that every fault can name it.
MODE_SETTING = "LIVEAVATAR_AZURE_AUTH"
TENANT, CLIENT, CLIENT_SECRET = "AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"
TOKEN_FILE, AUTHORITY = "AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST"
# What App Service, Functions, Container Apps, Arc, Cloud Shell and Azure ML set for a managed identity.
_HOST_ENDPOINTS = ("IDENTITY_ENDPOINT", "MSI_ENDPOINT")

# Entra answers in well under a second. Whoever waits for a token has a person waiting.
REQUEST_S = 10.0
# The host's own identity service is one hop away; where there is none, nothing answers at its address.
IMDS_CONNECT_S = 2.0

# The chassis asset tag of every virtual machine on Azure, and of no other Hyper-V guest; cloud-init tells by it too.
_CHASSIS_TAG = Path("/sys/class/dmi/id/chassis_asset_tag")
_AZURE_CHASSIS = "7783-7084-3265-9085-8269-3286-77"

# What Entra says, by its number, and where to look: "Microsoft Entra authentication and authorization error codes".
_ENTRA_SAYS: Mapping[int, tuple[str, tuple[str, ...]]] = {
    7000215: ("The client secret is wrong; it takes the secret's value, not its id.", (CLIENT_SECRET,)),
    7000222: ("The client secret has expired.", (CLIENT_SECRET,)),
    700016: ("There is no such application in the tenant.", (CLIENT, TENANT)),
    7000112: ("The application is disabled.", (CLIENT,)),
    90002: ("There is no such tenant.", (TENANT, AUTHORITY)),
    900021: ("That is no tenant.", (TENANT,)),
    900023: ("That is no tenant.", (TENANT,)),
    7000216: ("There was nothing to prove it by.", (CLIENT_SECRET, TOKEN_FILE)),
    700024: ("The federated token has expired, or is not valid yet.", (TOKEN_FILE,)),
    700027: ("The federated token is not signed as its issuer signs.", (TOKEN_FILE,)),
    50027: ("The federated token cannot be read.", (TOKEN_FILE,)),
    70021: ("The application has no federated credential for this subject and issuer.", (CLIENT, TOKEN_FILE)),
    700211: ("The application has no federated credential for this issuer.", (CLIENT, TOKEN_FILE)),
    700212: ("The application has no federated credential for this audience.", (CLIENT, TOKEN_FILE)),
    700213: ("The application has no federated credential for this subject.", (CLIENT, TOKEN_FILE)),
    500011: ("The tenant does not know the service that the token is for.", (TENANT, AUTHORITY)),
    53003: ("A conditional-access policy of the tenant forbids it.", (CLIENT,)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentitySettings:
    """What the settings say about the identity; see ``MODE_SETTING`` and Azure's own variables."""

    mode: AuthMode = "auto"
    tenant_id: str = ""
    client_id: str = ""
    client_secret: Secret | None = None
    federated_token_file: str = ""
    authority_host: str = ""


def choose(
    settings: IdentitySettings,
    environ: Mapping[str, str],
    *,
    find_command: Callable[[str], str | None] = shutil.which,
    chassis_tag: Path = _CHASSIS_TAG,
) -> tuple[Kind, str]:
    """Which identity is meant, and why: a setting or the first of these that is there.

    1. ``secret``: AZURE_CLIENT_SECRET is set.
    2. ``workload``: AZURE_FEDERATED_TOKEN_FILE is set, as on Kubernetes with workload identity.
    3. ``managed``: the host names an endpoint for it (IDENTITY_ENDPOINT, MSI_ENDPOINT), or is a machine on Azure.
    4. ``cli``: ``az`` or ``azd`` is installed.
    5. ``managed`` all the same: some hosts on Azure do not show it.

    Nobody is asked over the network.
    """
    if settings.mode != "auto":
        return settings.mode, f"{MODE_SETTING} says so"
    if settings.client_secret is not None:
        return "secret", f"{CLIENT_SECRET} is set"
    if settings.federated_token_file:
        return "workload", f"{TOKEN_FILE} is set"
    for name in _HOST_ENDPOINTS:
        if environ.get(name):
            return "managed", f"{name} is set"
    if _is_azure_machine(chassis_tag):
        return "managed", "this is a machine on Azure"
    for command in ("az", "azd"):
        if find_command(command):
            return "cli", f"{command} is installed"
    return "managed", "nothing else is there"


def open_identity(
    settings: IdentitySettings, transport: HttpxTransport, *, environ: Mapping[str, str] = os.environ
) -> Identity:
    """The identity that the settings mean; logs which. Nobody is asked yet.

    Azure's credential for managed identities reads the host's variables from the process's environment itself.

    Raises:
        AzureFault: a setting that this kind of identity needs is missing, or cannot be used.
    """
    # Its warnings repeat what was answered, and so perhaps what was sent. What is to be known of it we say.
    logging.getLogger("azure.identity").setLevel(logging.CRITICAL)
    kind, why = choose(settings, environ)
    _check(kind, settings)
    identity: Identity
    match kind:
        case "secret" | "workload":
            identity = EntraIdentity(kind, settings, transport)
        case "managed":
            identity = ManagedIdentity(settings.client_id, transport)
        case "cli":
            identity = DeveloperLogin(settings.tenant_id)
    _log.info("azure identity", kind=kind, identity=identity.name, because=why)
    return identity


class _HttpIdentity(ABC):
    """An identity that is proved over HTTP by one of Azure's asynchronous credentials."""

    name: str
    _connect_s: float | None = None

    def __init__(self, transport: HttpxTransport) -> None:
        self._transport = transport

    async def request(self, scope: str, options: TokenRequestOptions | None = None) -> Token:
        """See ``Identity``."""
        witness = Witness(self._transport, connect_s=self._connect_s)
        try:
            with trio.fail_after(REQUEST_S):
                info = await self._credential(witness).get_token_info(scope, options=options or {})
        except AzureFault:
            raise
        except trio.TooSlowError:
            raise self._unreachable(f"did not answer within {REQUEST_S:g} seconds") from None
        # The libraries raise what they meet: their own errors, and others for an answer that they did not expect. Not
        # chained: what they say may repeat what was sent.
        except Exception as error:  # noqa: BLE001
            raise self._fault(witness, error) from None
        return Token(Secret(info.token), info.expires_on, info.refresh_on)

    def _fault(self, witness: Witness, error: Exception) -> AzureFault:
        if isinstance(error, OSError):
            return self._unreadable(error)
        was_not_asked = witness.answer is None and witness.failure is None
        if was_not_asked and type(error) is ClientAuthenticationError:
            return AzureFault(
                f"{self.name}: who asks for the token belongs to another tenant.",
                code="azure_identity_misconfigured",
                settings=(TENANT,),
            )
        if witness.answer is None:
            return self._unreachable("cannot be reached" if witness.failure else f"was not asked ({_kind(error)})")
        if witness.answer.status < 400:
            return self._unreachable("gave an answer that is no token")
        return self._refused(witness.answer)

    @abstractmethod
    def _credential(self, transport: Witness) -> AsyncSupportsTokenInfo:
        """A credential of Azure's that asks over this transport, without trying again."""

    @abstractmethod
    def _refused(self, answer: Answer) -> AzureFault:
        """What a refusal means."""

    @abstractmethod
    def _unreachable(self, what: str) -> AzureFault:
        """What it means that no answer came, or none that can be used."""

    def _unreadable(self, error: OSError) -> AzureFault:
        return self._unreachable(f"was not asked ({_kind(error)})")


class EntraIdentity(_HttpIdentity):
    """An application in Entra ID, by its client secret or by a federated token that the host renews in a file."""

    def __init__(
        self, kind: Literal["secret", "workload"], settings: IdentitySettings, transport: HttpxTransport
    ) -> None:
        super().__init__(transport)
        self._kind = kind
        self._settings = settings
        self.name = f"Entra application {settings.client_id} by {'client secret' if kind == 'secret' else 'workload'}"

    def _credential(self, transport: Witness) -> AsyncSupportsTokenInfo:
        settings = self._settings
        # Empty would be the environment's; the settings have read that.
        options: dict[str, Any] = {"transport": transport, "retry_total": 0}
        if settings.authority_host:
            options["authority"] = settings.authority_host
        if self._kind == "workload":
            return WorkloadIdentityCredential(
                tenant_id=settings.tenant_id,
                client_id=settings.client_id,
                token_file_path=settings.federated_token_file,
                **options,
            )
        assert settings.client_secret is not None, "checked when it was opened"  # noqa: S101
        return ClientSecretCredential(
            settings.tenant_id, settings.client_id, settings.client_secret.reveal(), **options
        )

    def _refused(self, answer: Answer) -> AzureFault:
        codes = answer.field("error_codes")
        number = next((code for code in codes if isinstance(code, int)), 0) if isinstance(codes, list) else 0
        if answer.status == 429 or answer.status >= 500:
            return _passing(f"{self.name}: Entra ID", answer, said=_aadsts(number))
        what, where = _ENTRA_SAYS.get(
            number, (f"Entra ID refuses it ({_aadsts(number)}, HTTP {answer.status}).", (TENANT, CLIENT))
        )
        return AzureFault(f"{self.name}: {what}", code="azure_identity_refused", settings=where, said=_aadsts(number))

    def _unreachable(self, what: str) -> AzureFault:
        host = self._settings.authority_host or "login.microsoftonline.com"
        return AzureFault(
            f"{self.name}: Entra ID ({host.removeprefix('https://').rstrip('/')}) {what}.",
            code="azure_identity_unreachable",
            settings=(AUTHORITY,) if self._settings.authority_host else (),
            retryable=True,
        )

    def _unreadable(self, error: OSError) -> AzureFault:
        return AzureFault(
            f"{self.name}: the federated token file cannot be read ({_kind(error)}).",
            code="azure_identity_misconfigured",
            settings=(TOKEN_FILE,),
            # It is swapped for a new one while the server runs.
            retryable=True,
        )


class ManagedIdentity(_HttpIdentity):
    """The identity of the host on Azure, its own or an assigned one; a service on the spot vouches for it."""

    _connect_s = IMDS_CONNECT_S

    def __init__(self, client_id: str, transport: HttpxTransport) -> None:
        super().__init__(transport)
        self._client_id = client_id
        self.name = f"managed identity {client_id}" if client_id else "managed identity of the host"

    def _credential(self, transport: Witness) -> AsyncSupportsTokenInfo:
        return ManagedIdentityCredential(
            client_id=self._client_id or None,
            transport=transport,
            # Its own would try for 75 seconds.
            retry_total=0,
            # `managed` was chosen; the library would else take a workload identity where it finds one.
            _exclude_workload_identity_credential=True,
        )

    def _refused(self, answer: Answer) -> AzureFault:
        # By "How to use managed identities on an Azure VM", error handling: 404 and 410 while the service is updated.
        if answer.status in (404, 410, 429) or answer.status >= 500:
            return _passing(f"{self.name}: the host's identity service", answer)
        if answer.status == 400:
            what = "is not assigned to this host" if self._client_id else "is switched off, or there are several"
            return AzureFault(
                f"{self.name}: {what}.", code="azure_identity_refused", settings=(CLIENT,), said="HTTP 400"
            )
        return AzureFault(
            f"{self.name}: the host's identity service refuses the server (HTTP {answer.status}).",
            code="azure_identity_refused",
            settings=("IDENTITY_HEADER", MODE_SETTING),
            said=f"HTTP {answer.status}",
        )

    def _unreachable(self, what: str) -> AzureFault:
        return AzureFault(
            f"{self.name}: the host's identity service {what}; is this a host on Azure?",
            code="azure_identity_unreachable",
            settings=(MODE_SETTING,),
            retryable=True,
        )


def _passing(who: str, answer: Answer, said: str = "") -> AzureFault:
    is_throttled = answer.status == 429
    return AzureFault(
        f"{who} {'is asked too often' if is_throttled else 'cannot answer just now'} (HTTP {answer.status}).",
        code="azure_throttled" if is_throttled else "azure_identity_unreachable",
        retryable=True,
        retry_after_s=answer.retry_after_s,
        reason=EndReason.UPSTREAM_UNAVAILABLE,
        said=said or f"HTTP {answer.status}",
    )


def _check(kind: Kind, settings: IdentitySettings) -> None:
    needed: dict[str, object] = {}
    if kind in ("secret", "workload"):
        needed = {TENANT: settings.tenant_id, CLIENT: settings.client_id}
    if kind == "secret":
        needed[CLIENT_SECRET] = settings.client_secret
    if kind == "workload":
        needed[TOKEN_FILE] = settings.federated_token_file
    missing = [name for name, value in needed.items() if not value]
    if missing:
        raise AzureFault(
            f"The identity by {kind} needs what is not set.", code="azure_identity_misconfigured", settings=missing
        )
    if kind == "secret" and settings.client_secret is not None and settings.client_secret.reference is not None:
        raise AzureFault(
            "The client secret that opens Key Vault cannot be kept there.",
            code="azure_identity_misconfigured",
            settings=(CLIENT_SECRET,),
        )
    if settings.tenant_id and not re.fullmatch(r"[A-Za-z0-9.-]+", settings.tenant_id):
        raise AzureFault("A tenant is an id or a domain name.", code="azure_identity_misconfigured", settings=(TENANT,))
    if "://" in settings.authority_host and not settings.authority_host.startswith("https://"):
        raise AzureFault(
            "Secrets are sent to Entra ID over https:// only.",
            code="azure_identity_misconfigured",
            settings=(AUTHORITY,),
        )


def _is_azure_machine(chassis_tag: Path) -> bool:
    try:
        return chassis_tag.read_text(encoding="ascii", errors="replace").strip() == _AZURE_CHASSIS
    except OSError:
        return False


def _aadsts(number: int) -> str:
    return f"AADSTS{number}" if number else "no AADSTS code"


def _kind(error: Exception) -> str:
    return type(error).__name__
