"""Makes the transcript guard that the settings ask for."""

from typing import cast

from protocol.conversation.guard import GuardPolicy
from protocol.errors import OperatorFault
from server.hook import BadHook, find_hook
from server.security.transcript_guard import Hook, TranscriptGuard
from server.security.transcript_rules import BadRules, read_rules
from server.settings import Settings


def open_transcript_guard(settings: Settings) -> tuple[TranscriptGuard, GuardPolicy] | None:
    """The guard and what follows of its verdicts; None where nothing is guarded.

    Raises:
        OperatorFault: the rules or the function cannot be used; the message names the setting.
    """
    if not settings.is_guarded:
        return None
    fails_open = settings.guard_fail == "open"
    try:
        rules = read_rules(settings.guard_rules) if settings.guard_rules is not None else None
    except BadRules as error:
        raise OperatorFault(f"LIVEAVATAR_GUARD_RULES: {error}", code="transcript_guard") from None
    try:
        hook = cast("Hook", find_hook(settings.guard_hook)) if settings.guard_hook is not None else None
    except BadHook as error:
        raise OperatorFault(f"LIVEAVATAR_GUARD_HOOK: {error}", code="transcript_guard") from None
    guard = TranscriptGuard(rules, hook, timeout_s=settings.guard_timeout, fails_open=fails_open)
    # The machine waits a little longer than the guard itself does.
    wait_s = max(GuardPolicy(sentence="").wait_s, 2 * settings.guard_timeout)
    return guard, GuardPolicy(sentence=settings.guard_sentence, fails_open=fails_open, wait_s=wait_s)
