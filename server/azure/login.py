"""The identity of a developer who is logged in with ``az`` or ``azd``; for machines at which somebody sits.

Both are programs that take seconds to start and are run in a worker thread.
"""

import base64
import binascii
import shutil
from collections.abc import Callable
from typing import Protocol

import msgspec
import trio
from azure.core.credentials import AccessTokenInfo, TokenRequestOptions
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import AzureCliCredential, AzureDeveloperCliCredential, CredentialUnavailableError

from server.azure.base import AzureFault, Token
from server.secret import Secret

# A cold start of az takes several seconds on a small machine.
PROCESS_S = 15
# A program that is given up runs on to its own end: so many at once, and nobody starts more.
_PROGRAMS = 2


class _Program(Protocol):
    def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo: ...


class DeveloperLogin:
    """Asks ``az``, and where that is not installed or has no login, ``azd``. See ``Identity``.

    Args:
        tenant_id: whose tokens; empty for that of the login.
        find_command: says where a program is, or None.
    """

    name = "developer's login (az or azd)"

    def __init__(self, tenant_id: str, *, find_command: Callable[[str], str | None] = shutil.which) -> None:
        self._find_command = find_command
        self._limiter = trio.CapacityLimiter(_PROGRAMS)
        self._programs: dict[str, _Program] = {
            "az": AzureCliCredential(tenant_id=tenant_id, process_timeout=PROCESS_S),
            "azd": AzureDeveloperCliCredential(tenant_id=tenant_id, process_timeout=PROCESS_S),
        }

    async def request(self, scope: str, options: TokenRequestOptions | None = None) -> Token:
        """See ``Identity``. A challenge's claims are not met: that needs a person. Cancelling leaves the program."""
        tenant = {"tenant_id": options["tenant_id"]} if options and "tenant_id" in options else {}
        fault = _none_installed()
        for command, program in self._programs.items():
            if self._find_command(command) is None:
                continue
            try:
                with trio.fail_after(2 * PROCESS_S):
                    info = await trio.to_thread.run_sync(
                        _ask, program, scope, tenant, abandon_on_cancel=True, limiter=self._limiter
                    )
            except trio.TooSlowError:
                fault = _too_slow(command)
            # Not chained: what the programs print may hold what was sent.
            except CredentialUnavailableError as error:
                timed_out = type(error.__cause__).__name__ == "TimeoutExpired"
                fault = _too_slow(command) if timed_out else _not_logged_in(command)
            except ClientAuthenticationError:
                fault = _not_logged_in(command)
            else:
                return Token(Secret(info.token), _expiry(info))
        raise fault


def _ask(program: _Program, scope: str, options: dict[str, str]) -> AccessTokenInfo:
    return program.get_token_info(scope, options=TokenRequestOptions(**options))  # type: ignore[typeddict-item]


def _none_installed() -> AzureFault:
    return AzureFault(
        "Neither az nor azd is installed, so there is no developer's login.",
        code="azure_identity_misconfigured",
        settings=("LIVEAVATAR_AZURE_AUTH",),
    )


def _not_logged_in(command: str) -> AzureFault:
    login = "az login" if command == "az" else "azd auth login"
    return AzureFault(
        f"{command} has no login that Entra ID accepts: run `{login}`.",
        code="azure_identity_refused",
        settings=("AZURE_TENANT_ID", "LIVEAVATAR_AZURE_AUTH"),
    )


def _too_slow(command: str) -> AzureFault:
    return AzureFault(
        f"{command} gave no token within {PROCESS_S} seconds.", code="azure_identity_unreachable", retryable=True
    )


class _Claims(msgspec.Struct):
    exp: float


def _expiry(info: AccessTokenInfo) -> float:
    """When the token expires, by what stands in it, if that can be read.

    ``azd`` prints the time in UTC and the library takes it for local time (azure-identity 1.27).
    """
    try:
        payload = info.token.split(".")[1]
        return msgspec.json.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)), type=_Claims).exp
    except (IndexError, binascii.Error, ValueError):
        return info.expires_on
