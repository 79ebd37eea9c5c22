"""Secrets that settings only refer to: looked up in Azure Key Vault at the start, and again while the server runs.

It reads secrets and writes none. Its value goes into the ``Secret`` that its holders have.
"""

import math
import random
import time
from collections.abc import Callable, Iterable, Mapping

import structlog
import trio
from azure.core.credentials import TokenRequestOptions
from azure.core.credentials_async import AsyncTokenCredential
from azure.keyvault.secrets.aio import SecretClient

from server.azure.base import AzureFault, ClientCredential, Identity, Token
from server.azure.references import SecretReference, read_reference
from server.azure.transport import HttpxTransport
from server.azure.witness import Answer, Witness
from server.secret import Secret

_log = structlog.get_logger("liveavatar.azure")

# One lookup: two requests for a token and two to the vault at the first time.
LOOKUP_S = 15.0
# All lookups at the start, which the server waits for.
RESOLVE_S = 30.0
# A token that ends sooner is not used for a lookup.
_FRESH_S = 300.0
# Replicas that were started together do not ask together.
_SPREAD = 0.1


def _nothing_wrong(_setting: str, _value: str) -> str | None:
    return None


class VaultSecrets:
    """The secrets among the settings that are references.

    Settings that refer to the same secret share a lookup. A reference with a version is looked up once.

    Args:
        secrets: by the setting's name; those that are no reference are left alone.
        identity: who the vaults are asked by; a ``TokenSource`` does not do, for the vault says what the token is for.
        interval_s: seconds between two lookups.
        problem_with: what is wrong with a value for a setting, or None; a value that is wrong is not put in.
        chance: a number from 0 to 1.

    Raises:
        AzureFault: a reference cannot be read.
    """

    def __init__(
        self,
        secrets: Mapping[str, Secret],
        identity: Identity,
        transport: HttpxTransport,
        *,
        interval_s: float,
        problem_with: Callable[[str, str], str | None] = _nothing_wrong,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._interval_s = interval_s
        self._chance = chance
        tokens = _VaultTokens(identity)
        holders: dict[SecretReference, dict[str, Secret]] = {}
        for setting, secret in secrets.items():
            if secret.reference is not None:
                holders.setdefault(_read(setting, secret.reference), {})[setting] = secret
        self._lookups = [
            _Lookup(reference, held, tokens, transport, problem_with) for reference, held in holders.items()
        ]

    async def resolve(self, *, timeout_s: float = RESOLVE_S) -> None:
        """Looks all up, side by side.

        Raises:
            AzureFault: some could not be; the message has a line for each, ``settings`` has their names.
        """
        with trio.move_on_after(timeout_s):
            await self._look_up(self._lookups)
        faults = [
            fault
            for lookup in self._lookups
            if (fault := lookup.fault or (None if lookup.is_resolved else lookup.too_slow(timeout_s))) is not None
        ]
        if faults:
            raise AzureFault(
                "\n".join(fault.plain_message for fault in faults),
                code=faults[0].code,
                settings=dict.fromkeys(name for fault in faults for name in fault.settings),
                retryable=all(fault.retryable for fault in faults),
                said=faults[0].said,
            )

    async def run(self) -> None:
        """Looks up again and again, after ``resolve``; returns at once where nothing can change.

        What cannot be looked up keeps its last value, whatever the reason; it is logged when that begins and ends.
        """
        changing = [lookup for lookup in self._lookups if not lookup.reference.version]
        asked_for_s = 0.0
        while changing:
            wait_s = max(self._interval_s, asked_for_s)
            await trio.sleep(wait_s * (1 + _SPREAD * self._chance()))
            await self._look_up(changing)
            asked_for_s = max((lookup.fault.retry_after_s or 0.0) if lookup.fault else 0.0 for lookup in changing)

    @staticmethod
    async def _look_up(lookups: Iterable["_Lookup"]) -> None:
        async with trio.open_nursery() as nursery:
            for lookup in lookups:
                nursery.start_soon(lookup.look_up)


class _VaultTokens:
    """An identity's tokens for vaults, for all lookups together: one is kept for each tenant that vaults belong to."""

    def __init__(self, identity: Identity) -> None:
        self.name = identity.name
        self._identity = identity
        self._lock = trio.Lock()
        self._kept: dict[tuple[str, str], Token] = {}
        self._fault: AzureFault | None = None
        self._failed_at = -math.inf

    async def request(self, scope: str, options: TokenRequestOptions | None = None) -> Token:
        """See ``Identity``. Who waited while another was refused is told the same."""
        asked_at = trio.current_time()
        key = (scope, (options or {}).get("tenant_id") or "")
        async with self._lock:
            token = self._kept.get(key)
            is_challenge = bool(options and options.get("claims"))
            if token is not None and not is_challenge and token.expires_on - time.time() > _FRESH_S:
                return token
            if self._fault is not None and self._failed_at >= asked_at:
                raise self._fault.again()
            try:
                token = self._kept[key] = await self._identity.request(scope, options)
            except AzureFault as fault:
                self._fault, self._failed_at = fault, trio.current_time()
                raise
            return token


class _Lookup:
    """One secret in one vault, and who holds it."""

    def __init__(
        self,
        reference: SecretReference,
        holders: Mapping[str, Secret],
        identity: Identity,
        transport: HttpxTransport,
        problem_with: Callable[[str, str], str | None],
    ) -> None:
        self.reference = reference
        self.fault: AzureFault | None = None
        self._holders = holders
        self._problem_with = problem_with
        self._witness = Witness(transport)
        # The library's interface for credentials has two shapes; ours is the newer, and the annotation the older one.
        credential: AsyncTokenCredential = ClientCredential(identity)  # type: ignore[assignment]
        self._client = SecretClient(
            reference.vault_url,
            credential,
            transport=self._witness,
            retry_total=0,
            # On loopback no challenge can be for the domain that the vault is in.
            verify_challenge_resource=not reference.is_stand_in,
        )

    @property
    def is_resolved(self) -> bool:
        """Whether all holders have a value."""
        return all(secret.is_resolved for secret in self._holders.values())

    async def look_up(self) -> None:
        """Asks the vault once; puts the value in, or keeps the fault."""
        was_well = self.fault is None
        try:
            value = await self._value()
            self._put_in(value)
        except AzureFault as fault:
            self.fault = fault
            if was_well and self.is_resolved:
                _log.warning("secret not renewed", settings=list(self._holders), error=fault.message, said=fault.said)
            return
        self.fault = None
        if not was_well:
            _log.info("secret renewed again", settings=list(self._holders))

    async def _value(self) -> str:
        try:
            with trio.fail_after(LOOKUP_S):
                secret = await self._client.get_secret(self.reference.name, self.reference.version or None)
        except AzureFault as fault:
            raise self._fault(
                fault.plain_message,
                fault.code,
                also=fault.settings,
                retryable=fault.retryable,
                retry_after_s=fault.retry_after_s,
                said=fault.said,
            ) from None
        except trio.TooSlowError:
            raise self.too_slow(LOOKUP_S) from None
        # The libraries raise what they meet: their own errors, and others for an answer that they did not expect. Not
        # chained: what they say may repeat what the vault answered.
        except Exception as error:  # noqa: BLE001
            raise self._judge(error) from None
        # Files that were put into a vault end with a line break, as a rule.
        return (secret.value or "").strip()

    def _put_in(self, value: str) -> None:
        if not value:
            raise self._fault("the secret is empty.", "key_vault_secret_unusable")
        for setting in self._holders:
            problem = self._problem_with(setting, value)
            if problem is not None:
                raise self._fault(f"the secret cannot be used: {problem}", "key_vault_secret_unusable")
        for secret in self._holders.values():
            secret.renew(value)

    def _judge(self, error: Exception) -> AzureFault:
        answer = self._witness.answer
        if answer is None:
            what = "cannot be reached" if self._witness.failure else f"was not asked ({type(error).__name__})"
            return self._fault(f"the vault {what}.", "key_vault_unreachable", retryable=True)
        if isinstance(error, ValueError) or answer.status < 400:
            return self._fault(f"what answers there is no vault ({type(error).__name__}).", "key_vault_refused")
        return self._refused(answer)

    def _refused(self, answer: Answer) -> AzureFault:
        inner = answer.field("error", "innererror", "code")
        code = inner if isinstance(inner, str) else answer.field("error", "code")
        said = code if isinstance(code, str) and code.isalnum() else f"HTTP {answer.status}"
        if answer.status == 429:
            return self._fault(
                "the vault is asked too often.",
                "azure_throttled",
                retryable=True,
                retry_after_s=answer.retry_after_s,
                said=said,
            )
        if answer.status >= 500:
            return self._fault(
                f"the vault cannot answer just now (HTTP {answer.status}).",
                "key_vault_unreachable",
                retryable=True,
                retry_after_s=answer.retry_after_s,
                said=said,
            )
        what, also = {
            401: ("the vault does not know the identity; it may be of another tenant", ("AZURE_TENANT_ID",)),
            403: _forbidden(said),
            404: (
                f"the vault has no secret {self.reference.name}" + (" of that version" * bool(self.reference.version)),
                (),
            ),
        }.get(answer.status, ("the vault refuses", ()))
        return self._fault(f"{what} ({said}).", "key_vault_refused", also=also, said=said)

    def too_slow(self, seconds: float) -> AzureFault:
        """What it means that no answer came in time."""
        return self._fault(
            f"the vault did not answer within {seconds:g} seconds.", "key_vault_unreachable", retryable=True
        )

    def _fault(
        self,
        message: str,
        code: str,
        *,
        also: Iterable[str] = (),
        retryable: bool = False,
        retry_after_s: float | None = None,
        said: str = "",
    ) -> AzureFault:
        return AzureFault(
            f"{', '.join(self._holders)} ({self.reference}): {message}",
            code=code,
            settings=(*self._holders, *also),
            retryable=retryable,
            retry_after_s=retry_after_s,
            said=said,
        )


def _forbidden(said: str) -> tuple[str, tuple[str, ...]]:
    match said:
        case "SecretDisabled":
            return "the secret is disabled", ()
        case "ForbiddenByFirewall" | "ForbiddenByConnection":
            return "the vault's network rules keep the server out", ()
        case _:
            return "the identity may not read secrets there: it needs the role Key Vault Secrets User", (
                "LIVEAVATAR_AZURE_AUTH",
            )


def _read(setting: str, reference: str) -> SecretReference:
    try:
        return read_reference(reference)
    except ValueError as error:
        raise AzureFault(f"{setting}: {error}", code="key_vault_reference", settings=(setting,)) from None
