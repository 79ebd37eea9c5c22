"""Puts together who is let in: keys, an issuer's tokens, what is minted; and keeps an eye on what is revoked."""

from collections.abc import Mapping
from dataclasses import dataclass

import structlog
import trio

from protocol.endings import EndReason
from protocol.errors import LiveAvatarError, OperatorFault
from server.app.cloud import Cloud
from server.edge.access import AccessPolicy, refusal_of
from server.edge.headers import Headers
from server.security.authenticator import Authenticator
from server.security.base import Unauthenticated
from server.security.key_file import KeyFile, KeyFileError
from server.security.keys import LOOK_S, KeyRing
from server.security.minting import Mint
from server.security.principal import Principal
from server.security.ticket_store import MemoryTicketStore
from server.session.registry import SessionRegistry
from server.settings import Settings, is_safe_for_keys
from server.web.access import Denial, Denied, Visit

__all__ = ["Access", "WebGate", "open_access"]

_log = structlog.get_logger("liveavatar.app")


@dataclass(frozen=True, slots=True)
class Access:
    """Who is let in."""

    keys: KeyRing
    authenticator: Authenticator
    policy: AccessPolicy

    async def watch(self, registry: SessionRegistry) -> None:
        """Ends the sessions of keys that are revoked, and of what was minted with them; until cancelled."""
        while True:
            await trio.sleep(LOOK_S)
            for minter_id in await self.keys.look():
                await self.authenticator.mint.forget(minter_id)
            # Also where nothing has changed: somebody may have been on the way in while it did.
            registry.end_unwelcome()


def open_access(settings: Settings, cloud: Cloud, services: trio.Nursery) -> Access:
    """The access rules that the settings mean.

    Raises:
        OperatorFault: the key file cannot be used; the message names it.
    """
    try:
        keys = KeyRing(settings.api_key, KeyFile(settings.data_dir))
    except KeyFileError as error:
        raise OperatorFault(f"{error}.", code="key_file_unusable", reason=EndReason.INTERNAL) from error
    tokens = None
    if settings.jwt_issuer is not None:
        from server.security.access_token import AccessTokens, ClaimNames
        from server.security.document import document_fetcher
        from server.security.issuer_keys import IssuerKeys

        issuer_keys = IssuerKeys(
            settings.jwt_issuer, settings.jwt_jwks_url, document_fetcher(cloud.transport), is_safe=is_safe_for_keys
        )
        services.start_soon(issuer_keys.run)
        tokens = AccessTokens(
            settings.jwt_issuer,
            frozenset((settings.jwt_audience or "").replace(",", " ").split()),
            issuer_keys,
            claims=ClaimNames(kb_ids=settings.jwt_kb_claim),
        )
    if not (settings.is_loopback or settings.open_access or keys.is_used or tokens):
        # The settings promised a file with a key in it.
        text = f"There is no key in {KeyFile(settings.data_dir).path}: `liveavatar keys create NAME` makes one."
        raise OperatorFault(text, code="no_credential", reason=EndReason.INTERNAL)
    authenticator = Authenticator(keys, Mint(MemoryTicketStore()), tokens, is_public=settings.open_access)
    if settings.open_access:
        _log.warning("open to anybody: no credential is asked for", setting="LIVEAVATAR_OPEN", host=settings.host)
    if settings.url_credentials:
        _log.warning("tickets and client secrets are accepted in URLs", setting="LIVEAVATAR_URL_CREDENTIALS")
    return Access(keys, authenticator, AccessPolicy(authenticator, url_credentials=settings.url_credentials))


class WebGate:
    """The access rules for the HTTP side; implements ``Gate``."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def check_page(self, visit: Visit) -> None:
        """See ``Gate``: where credentials are known pages are open, for they tell nothing; else this machine's only."""
        try:
            self._access.policy.check_place(_request(visit))
        except LiveAvatarError as fault:
            raise Denied(self.denial(fault)) from None

    async def admit(self, visit: Visit) -> Principal:
        """See ``Gate``."""
        try:
            principal = await self._access.policy.admit(_request(visit), to_socket=False)
        except LiveAvatarError as fault:
            raise Denied(self.denial(fault)) from None
        if principal is None:
            raise AssertionError("only avatars have a first frame for their credential")
        return principal

    def denial(self, fault: LiveAvatarError) -> Denial:
        """See ``Gate``."""
        refusal = refusal_of(fault)
        why = fault.why if isinstance(fault, Unauthenticated) else ""
        return Denial(refusal.status, refusal.code, refusal.body(), refusal.headers, why)


@dataclass(frozen=True, slots=True)
class _WebRequest:
    """A request to the HTTP side as the policy sees it: where only this machine is served, the listener is bound to it,
    so the peer is local.
    """

    headers: Headers
    query: Mapping[str, str]
    subprotocols: tuple[str, ...] = ()
    is_loopback: bool = True


def _request(visit: Visit) -> _WebRequest:
    return _WebRequest(Headers(visit.fields), visit.query)
