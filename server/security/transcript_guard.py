"""Looks at a person's words: by the rules of a file, and by a function of the operator's. It decides nothing else.

Implements ``server.session.base.TranscriptGuard``.
"""

import inspect
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import structlog
import trio

from protocol.conversation.actions import Verdict
from server.security.transcript_rules import TranscriptRules

_log = structlog.get_logger("liveavatar.security")

# Nobody says more at once: it is ten minutes of speech. What is longer is not looked through, but treated as what
# cannot be checked, so that nobody hides behind a long text.
TEXT_MAX_CHARS: Final = 8_000
# Plain functions that run side by side; more wait, within their time.
_THREADS_MAX: Final = 8
# Of the name of a rule, as it is recorded.
_RULE_MAX_CHARS: Final = 100
UNCHECKED: Final = "unchecked"

Hook: TypeAlias = Callable[[str], str | None] | Callable[[str], Awaitable[str | None]]
"""Looks at what was said; gives the reason to stop it, or None.

Plain functions run in a thread, async ones under Trio.
"""


class TranscriptGuard:
    """The look at a person's words.

    Args:
        rules: looked at first; None has none.
        hook: looked at then; None has none.
        timeout_s: seconds for both together.
        fails_open: what cannot be checked in time, or makes the hook fail, passes; else it is stopped.
    """

    def __init__(self, rules: TranscriptRules | None, hook: Hook | None, *, timeout_s: float, fails_open: bool) -> None:
        self._rules = rules
        self._hook = hook
        self._timeout_s = timeout_s
        self._fails_open = fails_open
        self._threads = trio.CapacityLimiter(_THREADS_MAX)

    async def check(self, text: str) -> Verdict:
        """Whether ``text`` may be answered. Raises nothing but ``trio.Cancelled``; takes no longer than it may."""
        if len(text) > TEXT_MAX_CHARS:
            return self._unchecked("too long")
        try:
            with trio.fail_after(self._timeout_s):
                reason = await self._reason_to_stop(text)
        except trio.TooSlowError:
            return self._unchecked("it took too long")
        except Exception as error:  # noqa: BLE001 - the function is the operator's, and its fault no session's end
            # Only the kind: the words of the error may be those of the person.
            return self._unchecked(type(error).__name__)
        return Verdict(passes=reason is None, rule=(reason or "")[:_RULE_MAX_CHARS])

    async def _reason_to_stop(self, text: str) -> str | None:
        if self._rules is not None and (rule := await self._rules.broken_by(text)) is not None:
            return rule
        if self._hook is None:
            return None
        if inspect.iscoroutinefunction(self._hook):
            reason = await self._hook(text)
        else:
            reason = await trio.to_thread.run_sync(self._hook, text, abandon_on_cancel=True, limiter=self._threads)
        if reason is not None and not isinstance(reason, str):
            raise TypeError("a hook gives a reason or None")
        return reason

    def _unchecked(self, why: str) -> Verdict:
        _log.warning("a transcript could not be checked", why=why, passes=self._fails_open)
        return Verdict(passes=self._fails_open, rule=UNCHECKED)
