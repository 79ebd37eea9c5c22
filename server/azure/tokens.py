"""A token that is always there: kept in memory, renewed ahead of its end. How it is got is the identity's affair."""

import random
import time
from collections.abc import Callable
from typing import NoReturn

import structlog
import trio
from azure.core.credentials import TokenRequestOptions

from protocol.endings import EndReason
from server.azure.base import AzureFault, Identity, Token
from server.secret import Secret

_log = structlog.get_logger("liveavatar.azure")

# Seconds that a token must still be good for, where another can be had: clocks differ, and a handshake takes time.
FRESH_S = 60.0
# Entra's tokens are good for about an hour and come without a time to refresh: at four fifths, a dozen minutes are left
# to ride out an outage. A little of it is chance, so that replicas that were started together do not ask together.
_REFRESH_AT, _REFRESH_SPREAD = 0.8, 0.05
# An issuer may give the same token again until its last minutes; it is not asked more often than this.
MIN_INTERVAL_S = 30.0
# After failures: usually, and while there is no token and people wait for what may be over in a moment.
FIRST_PAUSE_S, MAX_PAUSE_S, MAX_PAUSE_WITHOUT_S = 1.0, 60.0, 5.0
# Seconds a caller waits for a token where there is none: more than one request may take.
TOKEN_S = 12.0
# The wall clock is looked at this often: it goes on while a machine sleeps, and Trio's does not.
_LOOK_S = 60.0


class TokenSource:
    """Tokens of one identity for one scope. ``run`` must be going on: it alone asks, one request at a time.

    Callers who find no token wait for the request that is under way, or for one that their wish starts. One that is
    cancelled leaves it to the others. After a failure nobody is asked for a while, longer each time, at least what
    ``Retry-After`` says; whoever needs a token meanwhile is told of the failure at once.

    Args:
        now: the wall clock, in seconds since the epoch.
        chance: a number from 0 to 1.
    """

    def __init__(
        self,
        identity: Identity,
        scope: str,
        *,
        now: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.name = identity.name
        self._identity = identity
        self._scope = scope
        self._now = now
        self._chance = chance
        self._token: Token | None = None
        self._refresh_on = 0.0
        # On Trio's clock, which nobody sets.
        self._ends_at = self._refresh_at = 0.0
        self._fault: AzureFault | None = None
        self._failures = 0
        self._resting_until = 0.0
        self._wanted = trio.Event()
        self._answered = trio.Event()

    async def token(self, *, timeout_s: float = TOKEN_S) -> Secret:
        """A token that is good now; from memory, at once, where there is one.

        Raises:
            AzureFault: there is none to be had, or not within ``timeout_s`` seconds.
        """
        return (await self._current(timeout_s)).secret

    async def request(self, scope: str, options: TokenRequestOptions | None = None) -> Token:
        """See ``Identity``: the kept token, but for a claims challenge, which needs one of its own."""
        if scope != self._scope:
            raise ValueError(f"tokens are for {self._scope}, not for {scope}")
        if options and options.get("claims"):
            return await self._identity.request(scope, options)
        return await self._current(TOKEN_S)

    async def run(self) -> NoReturn:
        """Gets the first token at once, and then each before the last one ends; goes on until it is cancelled."""
        while True:
            try:
                self._succeeded(await self._identity.request(self._scope))
            except AzureFault as fault:
                self._failed(fault)
            self._wanted = trio.Event()
            self._answered.set()
            self._answered = trio.Event()
            while (wait_s := self._wait_s()) > 0:
                with trio.move_on_after(wait_s):
                    await self._wanted.wait()
                    break

    async def _current(self, timeout_s: float) -> Token:
        token = self._good_for(FRESH_S)
        if token is not None:
            return token
        is_resting = trio.current_time() < self._resting_until
        # Only the wall clock goes on while a machine sleeps: a token may run out within a pause after a success.
        if not is_resting or (self._fault is None and self._good_for(0) is None):
            with trio.move_on_after(timeout_s) as waiting:
                self._wanted.set()
                await self._answered.wait()
            if waiting.cancelled_caught and self._good_for(0) is None:
                raise AzureFault(
                    f"{self.name}: no token came within {timeout_s:g} seconds.",
                    code="azure_identity_unreachable",
                    settings=("LIVEAVATAR_AZURE_AUTH", "AZURE_AUTHORITY_HOST"),
                    reason=EndReason.UPSTREAM_TOO_SLOW,
                    retryable=True,
                )
        token = self._good_for(0)
        if token is not None:
            return token
        if self._fault is None:
            # It has run out between the answer and here.
            raise AzureFault(f"{self.name}: the last token has expired.", code="azure_token_expired", retryable=True)
        rest_s = self._resting_until - trio.current_time()
        raise self._fault.again(retry_after_s=round(rest_s, 3) if self._fault.retryable and rest_s > 0 else None)

    def refused(self, token: Secret) -> bool:
        """A service did not take this token. True if another may be had: not of one that was just given."""
        if self._token is None or self._token.secret is not token:
            return True
        if trio.current_time() < self._resting_until:
            return False
        _log.warning("azure token refused by the service", identity=self.name, scope=self._scope)
        self._token = None
        self._wanted.set()
        return True

    def _good_for(self, seconds: float) -> Token | None:
        token = self._token
        if token is None or self._left_s(token) <= seconds:
            return None
        return token

    def _left_s(self, token: Token) -> float:
        """Seconds it is still good for, by the clock that says less: the wall clock may be set back."""
        return min(token.expires_on - self._now(), self._ends_at - trio.current_time())

    def _succeeded(self, token: Token) -> None:
        now = self._now()
        left_s = token.expires_on - now
        if left_s <= 0:
            raise AzureFault(
                f"{self.name}: the token that was given has expired already; is this machine's clock right?",
                code="azure_token_expired",
                retryable=True,
            )
        if self._failures:
            _log.info("azure token renewed again", identity=self.name, scope=self._scope, failures=self._failures)
        self._token, self._fault, self._failures = token, None, 0
        self._ends_at = trio.current_time() + left_s
        # One that is given in its last minute is used up before another is asked for.
        self._resting_until = trio.current_time() + min(left_s, MIN_INTERVAL_S)
        share = _REFRESH_AT - _REFRESH_SPREAD * self._chance()
        refresh_on = token.refresh_on if token.refresh_on is not None else now + share * left_s
        self._refresh_on = max(refresh_on, now + MIN_INTERVAL_S)
        self._refresh_at = trio.current_time() + self._refresh_on - now

    def _failed(self, fault: AzureFault) -> None:
        has_token = self._good_for(0) is not None
        if not self._failures:
            _log.warning(
                "azure token not renewed",
                identity=self.name,
                scope=self._scope,
                error=fault.message,
                said=fault.said,
                has_token=has_token,
            )
        self._fault = fault
        longest_s = MAX_PAUSE_WITHOUT_S if fault.retryable and not has_token else MAX_PAUSE_S
        # Beyond twenty the power says nothing that the longest pause has not said.
        pause_s = min(FIRST_PAUSE_S * 2.0 ** min(self._failures, 20), longest_s) * (0.5 + self._chance() / 2)
        self._failures += 1
        self._resting_until = trio.current_time() + max(pause_s, fault.retry_after_s or 0.0)

    def _wait_s(self) -> float:
        if self._failures:
            return self._resting_until - trio.current_time()
        return min(self._refresh_on - self._now(), self._refresh_at - trio.current_time(), _LOOK_S)
