"""Says whom a credential lets in, and whether somebody who is in may stay. It reads no request and answers nobody."""

from protocol.endings import EndReason
from protocol.errors import ClientFault, LiveAvatarError
from server.security.base import TokenChecker, Unauthenticated
from server.security.keys import KeyRing
from server.security.minting import Mint, kind_of, unusable
from server.security.principal import LOCAL, PUBLIC, Allowance, Principal, not_allowed_kb

__all__ = ["Authenticator"]


class Authenticator:
    """Checks credentials of every kind.

    Args:
        tokens: checks an issuer's tokens; None takes none.
        is_public: whoever shows no credential is let in, from anywhere.
    """

    def __init__(
        self, keys: KeyRing, mint: Mint, tokens: TokenChecker | None = None, *, is_public: bool = False
    ) -> None:
        self.mint = mint
        self._keys = keys
        self._tokens = tokens
        self._is_public = is_public

    @property
    def knows_credentials(self) -> bool:
        """Whether there is, or was, a credential that lets in. Then this machine is a place like any other."""
        return self._keys.is_used or self._tokens is not None

    @property
    def anonymous(self) -> Principal | None:
        """Whoever shows no credential; None where one must be shown. `LOCAL` is for callers from this machine only."""
        if self._is_public:
            return PUBLIC
        return None if self.knows_credentials else LOCAL

    def is_minted(self, credential: str) -> bool:
        """Whether a credential has the form of one that is minted here, and is no key that happens to look like it."""
        return kind_of(credential) is not None and self._keys.find(credential) is None

    async def check(self, credential: str, *, origin: str | None = None, takes_tickets: bool = False) -> Principal:
        """Whom a credential lets in. Waits for nothing but the store of tickets, and the keys of a token's issuer.

        Args:
            origin: of the page that shows it; None if it is no page.
            takes_tickets: a ticket may be spent here; elsewhere none is, so that none is spent in vain.

        Raises:
            Unauthenticated: nobody.
            InternalFault: it cannot be told now.
        """
        # What is no key costs the same as what is one, whatever it looks like: a key of the settings may look like
        # anything.
        principal = self._keys.find(credential)
        if principal is not None:
            return principal
        kind = kind_of(credential)
        if kind == "ticket" and not takes_tickets:
            text = "A ticket opens one WebSocket to /ws and nothing else; here a key or token is needed."
            raise Unauthenticated(text, code="invalid_ticket", why="a ticket at the wrong place")
        if kind is not None:
            principal = await self.mint.redeem(credential, origin=origin)
            # This machine may mint for as long as it needs no credential itself.
            if self.objection(principal) is not None or (
                principal.minted_by == LOCAL.id and self.anonymous is not LOCAL
            ):
                raise unusable("its minter was revoked")
            return principal
        if not self.knows_credentials and (anonymous := self.anonymous) is not None:
            # Clients that demand a key of their users are given anything where none is needed.
            return anonymous
        if self._tokens is not None and credential.count(".") == 2:
            return await self._tokens.check(credential)
        text = "The credential is not valid. Check that it is whole, and that it was not revoked."
        raise Unauthenticated(text, code="invalid_api_key", why="no such key")

    def objection(self, principal: Principal, kb_id: str | None = None) -> LiveAvatarError | None:
        """Why somebody who was let in must leave, or None: the key was revoked, or is no longer for the knowledge base.

        What expires objects to nobody who is in.
        """
        if not principal.account.startswith("key:"):
            return None
        holder = self._keys.current(principal.account)
        if holder is None:
            reason = EndReason.REVOKED
            return ClientFault(reason.text, code=reason.label, reason=reason)
        if kb_id is not None and not holder.may_use(kb_id):
            return not_allowed_kb()
        return None

    def allowances(self, principal: Principal) -> dict[str, Allowance]:
        """Everything that a session of this principal is counted on: its own name, and that of its minter."""
        found = {principal.id: principal.allowance}
        if principal.minted_by is not None:
            minter = self._keys.current(principal.minted_by)
            found[principal.minted_by] = minter.allowance if minter is not None else Allowance()
        return found
