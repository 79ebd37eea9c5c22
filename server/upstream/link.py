"""The link of one session to its Realtime service: connects, tries again with back-off, and gives up in time."""

import stamina
import structlog
import trio
from stamina.instrumentation import set_on_retry_hooks

from protocol.endings import EndReason
from protocol.errors import UpstreamFault
from server.upstream.base import Connector, UpstreamConnection, UpstreamUnreachable

# stamina would log each retry too, with the call's arguments and without the session it is for.
set_on_retry_hooks(())

_log = structlog.get_logger("liveavatar.upstream")

# A person waits for the first word: try again soon, and not much later the next time.
_WAIT_INITIAL_S = 0.1
_WAIT_MAX_S = 2.0
_WAIT_JITTER_S = 0.1


class UpstreamLink:
    """Opens the session's connections to the service.

    Args:
        attempts: how often to try; refusals that will not change (a wrong key) are not tried again.
        timeout_s: seconds for all tries together.
    """

    def __init__(self, connector: Connector, *, attempts: int, timeout_s: float) -> None:
        self._connector = connector
        self._attempts = attempts
        self._timeout_s = timeout_s

    @property
    def name(self) -> str:
        """What it connects to."""
        return self._connector.name

    async def connect(self) -> UpstreamConnection:
        """A new connection.

        Raises:
            UpstreamFault: the last refusal or failure, when the tries or the time are used up.

        Cancelling it leaves nothing open.
        """
        last: UpstreamFault | None = None
        give_up_at = trio.current_time() + self._timeout_s

        def wait_before_next(error: Exception) -> bool | float:
            """Whether to try again, or the seconds the service asked to wait, if as much time is left."""
            if not isinstance(error, UpstreamFault) or not error.retryable:
                return False
            if error.retry_after_s is None:
                return True
            return error.retry_after_s if trio.current_time() + error.retry_after_s < give_up_at else False

        # stamina's own timeout looks at another clock than trio's, so the deadline is a cancel scope.
        with trio.move_on_at(give_up_at):
            async for attempt in stamina.retry_context(
                on=wait_before_next,
                attempts=self._attempts,
                timeout=None,
                wait_initial=_WAIT_INITIAL_S,
                wait_max=_WAIT_MAX_S,
                wait_jitter=_WAIT_JITTER_S,
            ):
                with attempt:
                    try:
                        return await self._connector.connect()
                    except UpstreamFault as fault:
                        last = fault
                        _log.warning(
                            "upstream connect failed", attempt=attempt.num, error=fault.message, said=fault.said
                        )
                        raise
        if last is not None:
            raise last
        raise UpstreamUnreachable(
            f"{self.name} did not answer within {self._timeout_s:g} seconds.",
            code="upstream_timeout",
            reason=EndReason.UPSTREAM_TOO_SLOW,
            retryable=True,
        )
