"""The budget of one conversation: what its next responses can cost is set aside before any of them may begin.

Where it is set aside, and for how many sessions together, is the caller's. The machine asks by ``Reserve`` and learns
by ``on_reserved``; it holds enough for the next response at all times, for where the service takes the turns it starts
responses by itself. What a response cost is booked when it has ended, and the next is set aside in the same request.

The stages: all is well; where little is left, or the whole of a response cannot be had, answers are short, and the
service is asked for each; where not even that can be had nothing is answered any more. The price of a goodbye is always
held besides, so that one can be said.
"""

import enum
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Protocol

from protocol.conversation.actions import BudgetReached, Reservation, Reserve
from protocol.conversation.configuration import RESPONSE_MAX_TOKENS, Configuration
from protocol.conversation.context_size import ContextSize
from protocol.conversation.ledger import Ledger
from protocol.conversation.next_price import GOODBYE_MAX_TOKENS, SHORT_MAX_TOKENS, WORDS_MAX_CHARS, NextPrice
from protocol.conversation.notes import BRIEFLY, GOODBYE_BUDGET
from protocol.conversation.outlet import Outlet
from protocol.conversation.requests import Request

# Of a budget: where its end is announced to the operator, and where answers become short.
WARNING_SHARE = Decimal("0.8")
SHORT_SHARE = Decimal("0.9")
# Updates of ours that the service may refuse before it is left as it is; what it then begins by itself is cancelled.
_REFUSALS_MAX = 3

_ZERO = Decimal(0)


class Stage(enum.IntEnum):
    """How much is left."""

    FULL = 0
    SHORT = 1
    SPENT = 2


class Responses(Protocol):
    """What the budget must know of responses, and have done."""

    @property
    def is_generating(self) -> bool:
        """A response of the conversation is active."""
        ...

    @property
    def owes_response(self) -> bool:
        """One was asked for and has not begun."""
        ...

    @property
    def is_asked(self) -> bool:
        """One was asked for in words and has not begun."""
        ...

    @property
    def is_at_rest(self) -> bool:
        """Nothing is being answered, nor about to be."""
        ...

    @property
    def beside(self) -> int:
        """Responses outside the conversation that were asked for and have not ended."""
        ...

    def ask_for_speech(self) -> None:
        """The service does not answer speech by itself: it is asked to."""

    def release_held(self) -> None:
        """Asks for what waits for money, as far as there is some."""

    def refuse_held(self, *, beside_only: bool = False) -> None:
        """What waits for money is not asked for any more; ``beside_only``: what is outside the conversation."""

    @property
    def held(self) -> int:
        """How many wait for money."""
        ...

    @property
    def waits_beside(self) -> bool:
        """A response outside the conversation waits for money."""
        ...

    def say_goodbye(self, params: dict[str, Any]) -> None:
        """The last response."""


class Budget:
    """What is set aside for one conversation.

    Args:
        is_set: there is a budget; without one nothing here has any effect.

    Attributes:
        stage: how much is left.
        responses: to be set before anything is asked for.
    """

    responses: Responses

    def __init__(self, outlet: Outlet, configuration: Configuration, ledger: Ledger, *, is_set: bool) -> None:
        self._outlet = outlet
        self._configuration = configuration
        self._ledger = ledger
        self.is_set = is_set
        self.stage = Stage.FULL
        if is_set:
            configuration.budgeted = True
            # Until something is set aside nothing may begin.
            configuration.pause(True)
            configuration.answers_speech = False
            most = configuration.opening_session().get("max_output_tokens")
            configuration.max_output_tokens = most if isinstance(most, int) else RESPONSE_MAX_TOKENS
            outlet.size = ContextSize(configuration)
        self._held = _ZERO
        # Of what the session has cost, what the last answer had booked.
        self._booked = _ZERO
        self._asked: Reserve | None = None
        self._tried, self._tried_more = Stage.FULL, 0
        self._was_answered = False
        # More was asked for than there is while something was under way: its end may free what is missing.
        self._was_refused = False
        # Which budget has least, and how much of it is left.
        self._left: Decimal | None = None
        self._budget = ""
        self._share = _ZERO
        self._told: set[str] = set()
        # Speech is to be answered, and the service does not do so by itself.
        self._owes = False
        self._has_parted = False
        self._seen: object = None
        self._price = NextPrice(outlet, configuration, ledger)
        self._refusals = 0

    def _need(self, stage: Stage, part: Decimal, more: int = 0) -> Decimal | None:
        """US dollars that must be held: for the response of the conversation, those beside it, and the goodbye."""
        responses = 1 + more + self.responses.beside
        return self._price.of(responses, part_ahead=part, is_short=stage is not Stage.FULL)

    @property
    def _free(self) -> Decimal:
        """What is held, without what was spent of it since."""
        return self._held - (self._ledger.usd - self._booked)

    @property
    def left(self) -> Decimal | None:
        """US dollars that are left of the budget that has least, as far as is known; None: there is no budget."""
        return None if self._left is None else max(_ZERO, self._left - (self._ledger.usd - self._booked))

    # Requests for responses

    def admits(self, request: Request) -> bool:
        """Whether a response may be asked for now; one that may not waits until ``release_held``."""
        if not self.is_set or request.is_goodbye:
            return True
        asked = (request.params or {}).get("max_output_tokens")
        if asked == "inf":
            self._price.longest = RESPONSE_MAX_TOKENS
        elif isinstance(asked, int):
            self._price.longest = max(self._price.longest, min(asked, RESPONSE_MAX_TOKENS))
        if self.stage is Stage.SPENT or not self._was_answered:
            return False
        if not request.out_of_band and (self.responses.is_generating or self.responses.is_asked):
            return False  # what is held is for that one
        need = self._need(self.stage, _ZERO, more=1 if request.out_of_band else 0)
        return need is not None and self._free >= need

    def shaped(self, event: dict[str, Any], *, out_of_band: bool) -> dict[str, Any]:
        """A ``response.create`` as it is sent: no longer than what is held for it."""
        if not self.is_set:
            return event
        params = event.get("response")
        params = dict(params) if isinstance(params, dict) else {}
        asked = params.get("max_output_tokens")
        if self.stage is Stage.FULL:
            if asked == "inf" or (isinstance(asked, int) and asked > RESPONSE_MAX_TOKENS):
                params["max_output_tokens"] = RESPONSE_MAX_TOKENS
        elif "max_output_tokens" not in params or not isinstance(asked, int) or asked > SHORT_MAX_TOKENS:
            params["max_output_tokens"] = min(SHORT_MAX_TOKENS, self._configuration.max_output_tokens)
        if self.stage is not Stage.FULL and not out_of_band:
            instructions = params.get("instructions") or self._configuration.instructions
            params["instructions"] = f"{instructions}\n\n{BRIEFLY}".strip()
        return {**event, "response": params} if params else event

    @property
    def forbids_unasked(self) -> bool:
        """Whether a response that the service began by itself is to be cancelled."""
        return self.is_set and self._configuration.paused

    # What happens

    def heard_speech(self, *, is_wanted: bool) -> None:
        """Speech became an item that the service does not answer by itself; ``is_wanted``: it is to be answered."""
        if self.is_set and is_wanted and not self._configuration.guarded and self.stage is not Stage.SPENT:
            self._owes = True

    def interrupted(self) -> None:
        """The person speaks again: no answer is wanted to what was said before."""
        self._owes = False

    def update_refused(self) -> bool:
        """The service refused to be told whether to answer. True if it is to be told again."""
        self._refusals += 1
        return self._refusals < _REFUSALS_MAX

    def reserved(self, reservation: Reservation) -> None:
        """What was asked for is set aside, or is not to be had."""
        asked, self._asked = self._asked, None
        if asked is None:
            return
        self._was_answered = True
        self._held, self._booked = reservation.held, reservation.spent
        self._left, self._share = reservation.left, reservation.share
        self._was_refused = False
        if self.stage is Stage.SPENT:
            return
        if reservation.refused_by:
            self._budget = reservation.refused_by
            if self._tried_more:
                # What is outside the conversation is refused before the conversation suffers.
                self.responses.refuse_held(beside_only=True)
            else:
                self._refuse(self._tried)
        else:
            self.stage = self._tried
            if self._share >= SHORT_SHARE:
                self.stage = Stage.SHORT

    def _refuse(self, tried: Stage) -> None:
        if tried is Stage.FULL:
            self.stage = Stage.SHORT
            return
        need = self._need(Stage.SHORT, _ZERO)
        if need is not None and self._free >= need:
            self.stage = Stage.SHORT  # what is left of before will do for one more
            self._was_refused = True
        elif self._is_under_way:
            self._was_refused = True
        else:
            self.stage = Stage.SPENT

    @property
    def _is_under_way(self) -> bool:
        return self.responses.is_generating or self.responses.is_asked or self.responses.beside > 0

    # The end of a step

    def before_opening(self, connections: Iterable[int]) -> None:
        """A connection is open and not configured yet: where its prices are not covered, it begins nothing."""
        if not self.is_set:
            return
        self._price.connections = tuple(connections)
        need = self._need(self.stage, _ZERO)
        if self.stage is Stage.FULL and (need is None or self._free < need):
            self._configuration.pause(True)

    def look(self, connections: Iterable[int]) -> None:
        """Asks for what is missing, and lets go on what waited for it."""
        if not self.is_set or self._outlet.closed:
            return
        self._price.connections = tuple(connections)
        if self._standing == self._seen:
            return
        self._go_on()
        self._seen = self._standing

    def _go_on(self) -> None:
        self._ask()
        self._tell()
        need = self._need(self.stage, _ZERO)
        is_covered = self._was_answered and need is not None and self._free >= need
        if self.stage is not Stage.FULL:
            self._configuration.pause(True)
        elif is_covered:
            self._configuration.pause(False)
        if self.stage is Stage.SPENT:
            self._owes = False
            self.responses.refuse_held()
            return
        if self._owes and is_covered and not (self.responses.is_generating or self.responses.owes_response):
            self._owes = False
            self.responses.ask_for_speech()
        self.responses.release_held()

    @property
    def _standing(self) -> object:
        """All that matters here: at the end of most steps, within an answer, it is as before."""
        responses, size = self.responses, self._outlet.size
        return (
            (self._ledger.usd, self._ledger.changes, size.state if size is not None else None, self._price.connections),
            (self.stage, self._held, self._booked, self._asked is None, self._was_refused, self._owes),
            (responses.is_generating, responses.owes_response, responses.beside, responses.held),
            (self._configuration.version, self._configuration.max_output_tokens, self._price.longest),
        )

    def _ask(self) -> None:
        if self._asked is not None:
            return
        unbooked = self._ledger.usd - self._booked
        if self.stage is Stage.SPENT:
            # Nothing is set aside any more but for the goodbye.
            if unbooked:
                self._reserve(_ZERO if self._has_parted else max(_ZERO, self._free))
            return
        if self._was_refused and self._is_under_way and not unbooked:
            return
        # With every renewal the whole of a response is tried for again: others may have given back what they held.
        stage = Stage.FULL if unbooked and self._share < SHORT_SHARE else self.stage
        more = 1 if self.responses.waits_beside else 0
        enough = self._need(stage, Decimal("0.5"), more)
        if enough is None or (self._was_answered and not unbooked and self._free >= enough):
            return
        if self._was_refused and not unbooked:
            least = self._need(stage, _ZERO, more)
            if least is not None and self._free >= least:
                return  # there is no more to be had, and this will do
        hold = self._need(stage, Decimal(1), more)
        if hold is not None:
            self._tried, self._tried_more = stage, more
            self._reserve(hold)

    def _reserve(self, hold: Decimal) -> None:
        self._asked = Reserve(self._ledger.usd, hold)
        self._outlet.do(self._asked)

    # The end

    @property
    def owes_goodbye(self) -> bool:
        """Whether the end of the money is reached, and the last words are still to come."""
        return self.stage is Stage.SPENT and not self._has_parted

    def part(self, words: str, *, can_be_heard: bool, is_speaking: bool) -> None:
        """Says the last words, when nobody speaks; nothing, where nobody would hear them or they are not paid.

        Args:
            words: of the person, the last that are known, for the language; "" if none are.
        """
        if not self.owes_goodbye:
            return
        if not can_be_heard or self._held <= _ZERO or self._free < self._price.goodbye:
            self._has_parted = True
        elif self.responses.is_at_rest and not is_speaking:
            self._has_parted = True
            content = [{"type": "input_text", "text": words[-WORDS_MAX_CHARS:]}]
            item = {"type": "message", "role": "user", "content": content}
            # The conversation is not read for it: that would be most of its price.
            self.responses.say_goodbye(
                {
                    "instructions": f"{self._configuration.instructions}\n\n{GOODBYE_BUDGET}".strip(),
                    "input": [item] if words else [],
                    "tool_choice": "none",
                    "max_output_tokens": GOODBYE_MAX_TOKENS,
                }
            )

    def _tell(self) -> None:
        """Each stage is told once."""
        if self._share >= WARNING_SHARE or self.stage is not Stage.FULL:
            self._reach("warning")
        if self.stage is not Stage.FULL:
            self._reach("short")
        if self.stage is Stage.SPENT:
            self._reach("spent")

    def _reach(self, stage: Any) -> None:
        if stage not in self._told:
            self._told.add(stage)
            self._outlet.do(BudgetReached(stage, self._budget))
