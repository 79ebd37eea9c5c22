"""What was refused and how often, in numbers and in the log; it refuses nothing itself.

Whoever is refused a thousand times a second must not fill the log: of one address the first refusal is a line, and
what follows is one line a minute.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
import trio

from protocol.endings import EndReason
from protocol.errors import ClientFault

__all__ = ["REFUSED_IN_SCOPE", "RateLimited", "Refusals", "TellRefused"]

_log = structlog.get_logger("liveavatar.security")

# What follows a logged refusal of an address within this time is counted, and said in one line at its end.
SUMMED_UP_S = 60.0

# Addresses with a line of their own in that time; what comes from further ones is summed up as one.
MAX_ADDRESSES = 256
ELSEWHERE = "(elsewhere)"

# How often sums that are due are looked for.
_FLUSH_S = 10.0

# The front door knows who sends a request, and the web application why it is refused: the door leaves this in the ASGI
# scope of each request.
REFUSED_IN_SCOPE = "liveavatar.refused"
TellRefused = Callable[[str, str | None, str], None]
"""Takes the code of a refusal; why, for the log (None: it is not worth a line); and which of our own routes it was."""


class RateLimited(ClientFault):
    """More was asked for than is allowed; `retry_after_s` says when trying again makes sense."""

    default_reason = EndReason.RATE_LIMITED
    error_type = "rate_limit_error"


@dataclass(slots=True)
class _Spell:
    """An address that was refused lately, and for what since its last line."""

    until: float
    more: Counter[str] = field(default_factory=Counter)


class Refusals:
    """Counts refusals by their code, and logs them in bounded number."""

    def __init__(self, *, clock: Callable[[], float] = trio.current_time) -> None:
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._spells: OrderedDict[str, _Spell] = OrderedDict()

    @property
    def counts(self) -> dict[str, int]:
        """How often each code was refused since the start."""
        return dict(sorted(self._counts.items()))

    def count(self, code: str) -> None:
        """A refusal happened that is not worth a line: a probe of the port, a request that never came."""
        self._counts[code] += 1

    def note(self, code: str, address: str, **details: str) -> None:
        """A refusal happened. `address` is the client's; `details` stand in the first line of an address only, and
        contents of a request have no place there.
        """
        self._counts[code] += 1
        self.flush()
        key = address if address in self._spells or len(self._spells) < MAX_ADDRESSES else ELSEWHERE
        spell = self._spells.get(key)
        if spell is None:
            self._spells[key] = _Spell(self._clock() + SUMMED_UP_S)
            _log.info("refused", address=key, code=code, **details)
        else:
            spell.more[code] += 1

    def flush(self, *, all_of_them: bool = False) -> None:
        """Log the sums that are due; of an address that went on, the next one is due a minute later."""
        now = self._clock()
        while self._spells:
            address, spell = next(iter(self._spells.items()))
            if spell.until > now and not all_of_them:
                return
            del self._spells[address]
            if spell.more:
                _log.info("refused repeatedly", address=address, within_s=SUMMED_UP_S, **spell.more)
                if not all_of_them:
                    self._spells[address] = _Spell(now + SUMMED_UP_S)

    async def run(self) -> None:
        """Log sums when they are due, until cancelled; then at once."""
        try:
            while True:
                await trio.sleep(_FLUSH_S)
                self.flush()
        finally:
            self.flush(all_of_them=True)
