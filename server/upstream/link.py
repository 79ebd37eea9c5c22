"""The link of one session to its Realtime service: connects, fails over, backs off, and gives up in time."""

import random
from collections.abc import Callable, Sequence
from contextlib import suppress

import stamina
import structlog
import trio
from stamina.instrumentation import set_on_retry_hooks

from protocol.endings import EndReason
from protocol.errors import UpstreamFault
from server.breaker import Permit
from server.telemetry.base import UNOBSERVED, Observer
from server.upstream.base import Connector, NoCredential, UpstreamConnection, UpstreamResting, UpstreamUnreachable
from server.upstream.deployment import Deployment, deployment, in_order

# stamina would log each retry too, with the call's arguments and without the session it is for.
set_on_retry_hooks(())

_log = structlog.get_logger("liveavatar.upstream")

# A person waits for the first word: try again soon, and not much later the next time.
_WAIT_INITIAL_S = 0.1
_WAIT_MAX_S = 2.0
_WAIT_JITTER_S = 0.1
# After a breaker's cool-down: later by a little, so that rounding cannot make it earlier, and not all at once.
_AFTER_COOL_DOWN_S = 0.001
_SPREAD_S = 0.15
# While others ask whether the service is back, or the retries are spent. Looking again costs the service nothing.
_LOOK_AGAIN_S = 0.1
# A try that our own deadline cuts off tells something about the service only if it had a fair chance to answer.
_FAIR_TRY_S = 1.0


class UpstreamLink:
    """Opens the session's connections to the service.

    A round asks the deployments by priority and weight, each whose breaker lets it through, until one takes the
    session. Between rounds there is a back-off, or the wait until the first breaker opens to a question.

    Args:
        services: the deployments. A bare connector becomes a deployment of this link alone, asked in its place.
        attempts: how many rounds; deployments whose refusal will not change (a wrong key) are not asked again.
        timeout_s: seconds for all rounds together.
        chance: numbers from 0 to 1 that keep sessions from trying again all at once.
        observer: is told of every try.
    """

    def __init__(
        self,
        *services: Connector | Deployment,
        attempts: int,
        timeout_s: float,
        chance: Callable[[], float] = random.random,
        observer: Observer = UNOBSERVED,
    ) -> None:
        if not services:
            raise ValueError("a link needs a service to connect to")
        self._deployments = [
            service if isinstance(service, Deployment) else deployment(service, priority=place)
            for place, service in enumerate(services, start=1)
        ]
        self._attempts = attempts
        self._timeout_s = timeout_s
        self._chance = chance
        self._observer = observer

    @property
    def has_others(self) -> bool:
        """Whether there is more than one deployment to go to."""
        return len(self._deployments) > 1

    @property
    def name(self) -> str:
        """What it connects to; of several, all, most wanted first."""
        by_priority = sorted(self._deployments, key=lambda one: one.priority)
        return ", else ".join(one.connector.name for one in by_priority)

    async def connect(self, *, timeout_s: float | None = None, patient: bool = False) -> UpstreamConnection:
        """A new connection.

        Args:
            timeout_s: seconds for all rounds together, in place of the link's.
            patient: tries until the time is used up, however many rounds that is, and also where every breaker is open
                at first; for a session that is under way and has nowhere else to go.

        Raises:
            UpstreamFault: the last refusal or failure, when the rounds or the time are used up; ``UpstreamResting``
                at once when every breaker is open from the start (and will be until the time is used up, if it is
                patient). ``retry_after_s`` is when the next try can be made, if that is known.

        Cancelling it leaves nothing open, and gives back the place of a breaker's only question.
        """
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        asked = in_order(self._deployments, self._chance)
        errand = _Errand(
            asked, trio.current_time() + timeout_s, patient=patient, chance=self._chance, observer=self._observer
        )
        # stamina's own timeout looks at another clock than trio's, so the deadline is a cancel scope. What is raised
        # in the end follows from all rounds, not from the last.
        with trio.move_on_at(errand.give_up_at), suppress(UpstreamFault):
            async for attempt in stamina.retry_context(
                on=errand.wait_before_next,
                attempts=None if patient else self._attempts,
                timeout=None,
                wait_initial=_WAIT_INITIAL_S,
                wait_max=_WAIT_MAX_S,
                wait_jitter=_WAIT_JITTER_S,
            ):
                with attempt:
                    return await errand.round(attempt.num)
        raise errand.outcome() or UpstreamUnreachable(
            f"{self.name} did not answer within {timeout_s:g} seconds.",
            code="upstream_timeout",
            reason=EndReason.UPSTREAM_TOO_SLOW,
            retryable=True,
        )


class _Errand:
    """One ``connect``: whom it has asked, and what came of it."""

    def __init__(
        self,
        deployments: Sequence[Deployment],
        give_up_at: float,
        *,
        patient: bool,
        chance: Callable[[], float],
        observer: Observer,
    ) -> None:
        self.give_up_at = give_up_at
        self._left = list(deployments)
        # By deployment, how often its breaker had closed again when this errand last asked it.
        self._asked: dict[Deployment, int] = {}
        self._is_cut_off = False
        self._last: UpstreamFault | None = None
        self._patient = patient
        self._chance = chance
        self._observer = observer

    async def round(self, number: int) -> UpstreamConnection:
        """Asks each deployment that may be asked, until one says yes. Raises the last one's fault."""
        while True:
            fault: UpstreamFault | None = None
            for candidate in list(self._left):
                permit = self._admit(candidate)
                if permit is None:
                    continue
                with permit:
                    try:
                        return await self._ask(candidate, permit)
                    except UpstreamFault as refusal:
                        self._last = fault = refusal
                        _log.warning(
                            "upstream connect failed",
                            attempt=number,
                            upstream=candidate.connector.name,
                            deployment=candidate.name,
                            error=refusal.message,
                            said=refusal.said,
                        )
            if fault is not None:
                raise fault
            if self._may_ask_in_s() > 0:
                raise self._resting()
            await trio.sleep(_LOOK_AGAIN_S * (1 + self._chance()))

    def _admit(self, candidate: Deployment) -> Permit | None:
        permit = candidate.breaker.admit()
        if permit is None:
            return None
        recoveries = candidate.breaker.recoveries
        if self._asked.get(candidate) != recoveries:
            # The first try, or the first since the service was found to be back, which nobody can count as a retry.
            candidate.retries.earn()
        # A half-open breaker's question is no retry: it is one in a cool-down, whoever asks, and without it nobody
        # would learn that the service is back.
        elif not permit.is_probe and not candidate.retries.spend():
            permit.give_back()
            return None
        self._asked[candidate] = recoveries
        return permit

    async def _ask(self, candidate: Deployment, permit: Permit) -> UpstreamConnection:
        began = trio.current_time()
        try:
            connection = await self._connect(candidate)
        except NoCredential as fault:
            # Nobody was asked, so nothing was learnt of the service.
            permit.give_back()
            candidate.last_fault = fault.message
            if not fault.retryable:
                self._left.remove(candidate)
            raise
        except UpstreamFault as fault:
            candidate.last_fault = fault.message
            if fault.retryable:
                permit.failed(fault.retry_after_s)
            else:
                # It is there and answers, only not for us: other settings are needed, not a pause.
                permit.succeeded()
                self._left.remove(candidate)
            raise
        except trio.Cancelled:
            now = trio.current_time()
            self._is_cut_off = now >= self.give_up_at
            if self._is_cut_off and now - began >= _FAIR_TRY_S:
                permit.failed()
            raise
        permit.succeeded()
        candidate.last_fault = ""
        connection.origin = candidate
        return connection

    async def _connect(self, candidate: Deployment) -> UpstreamConnection:
        with self._observer.errand("connect", candidate.name) as tried:
            try:
                connection = await candidate.connector.connect()
            except UpstreamFault as fault:
                kinds = {NoCredential: "no_credential", UpstreamUnreachable: "unreachable"}
                tried.outcome = kinds.get(type(fault), "refused")
                raise
            tried.outcome = "connected"
            return connection

    def wait_before_next(self, error: Exception) -> bool | float:
        """Whether there shall be another round, or the seconds to wait for it."""
        if not isinstance(error, UpstreamFault) or not self._left:
            return False
        wait_s = self._may_ask_in_s()
        if wait_s == 0:
            return True
        worth_waiting = self._patient or bool(self._asked)
        in_time = trio.current_time() + wait_s < self.give_up_at
        return wait_s + _AFTER_COOL_DOWN_S + _SPREAD_S * self._chance() if worth_waiting and in_time else False

    def outcome(self) -> UpstreamFault | None:
        """What is told when it came to nothing; None when nobody said anything."""
        last = self._last
        if not self._left:
            return last
        if last is None or not last.retryable:
            return None if self._is_cut_off else self._resting()
        wait_s = round(self._may_ask_in_s(), 3)
        if wait_s in (0.0, last.retry_after_s):
            return last
        return UpstreamFault(
            last.message, code=last.code, reason=last.reason, retry_after_s=wait_s, retryable=True, said=last.said
        )

    def _may_ask_in_s(self) -> float:
        return min(candidate.breaker.retry_in_s() for candidate in self._left)

    def _resting(self) -> UpstreamResting:
        wait_s = self._may_ask_in_s()
        why = " ".join(dict.fromkeys(one.last_fault for one in self._left if one.last_fault))
        return UpstreamResting(
            f"The Realtime service cannot be used and is left alone for a moment. {why}".rstrip(),
            code="upstream_resting",
            retryable=True,
            retry_after_s=round(max(wait_s, _LOOK_AGAIN_S), 3),
        )
