"""What the service is asked for, by the client and by us, and what it owes. Knows no answers."""

from collections.abc import Callable
from typing import Any

import msgspec

from protocol.conversation.budget import Budget
from protocol.conversation.configuration import Configuration
from protocol.conversation.notes import APOLOGISE, UNHEARD, go_on_after
from protocol.conversation.outlet import Outlet
from protocol.conversation.requests import REQUESTS_KEPT, Request, Requests
from protocol.conversation.turns import Phase, Turn
from protocol.realtime.server_events import ErrorDetail

# Responses of one turn that may end in server tool calls; the next one must answer. A model in a loop else spends
# the operator's money in silence.
MAX_TOOL_ROUNDS = 5


class Asking:
    """Sends each ``response.create`` of one conversation, and remembers it until it is answered.

    Attributes:
        requests: those that are not answered.
        owed_to_speech: the user's speech became an item, and the service owes the answer that it gives by itself.
        withheld: something was said that must be checked before anything more is asked for.
    """

    __slots__ = ("_budget", "_configuration", "_held", "_outlet", "owed_to_speech", "requests", "withheld")

    def __init__(self, outlet: Outlet, configuration: Configuration, budget: Budget) -> None:
        self._outlet = outlet
        self._configuration = configuration
        self._budget = budget
        # What waits for money, in order.
        self._held: list[tuple[Request, dict[str, Any]]] = []
        self.requests = Requests(outlet.journal)
        self.owed_to_speech = False
        self.withheld = False

    @property
    def is_owed(self) -> bool:
        """Whether the service has been asked for an answer and has not begun it."""
        return self.requests.is_owed(self._outlet.now)

    @property
    def is_wanted(self) -> bool:
        """Whether an answer is asked for: the service was, or will be when there is money."""
        return self.is_owed or any(not held.out_of_band for held, _ in self._held)

    # The client's

    def for_client(self, event: dict[str, Any], *, out_of_band: bool) -> None:
        """The client's ``response.create``."""
        params = event.get("response")
        if isinstance(params, dict):
            params = self._with_tools(params, out_of_band=out_of_band)
            event = {**event, "response": params}
        # An error names the request only by event_id, so each has one.
        event_id = event.get("event_id") or self._outlet.name_for_client()
        request = Request(event_id, params, self._outlet.now, out_of_band=out_of_band, by_client=True)
        self._ask(request, {**event, "event_id": event_id})

    def _ask(self, request: Request, event: dict[str, Any]) -> None:
        """Asks for a response now, or when there is money for it."""
        if not self._held and self._budget.admits(request):
            self._send_now(request, event)
        elif len(self._held) < REQUESTS_KEPT:
            self._held.append((request, event))
        elif request.by_client:
            self._refuse(request.event_id, "too_much_waiting", "Too many responses are waited for; ask again later.")

    def _send_now(self, request: Request, event: dict[str, Any]) -> None:
        request.asked_at = self._outlet.now
        self.requests.add(request)
        if not request.is_goodbye:
            event = self._budget.shaped(event, out_of_band=request.out_of_band)
        self._outlet.send_event(event)

    # What waits for money

    @property
    def held(self) -> int:
        """How many wait for money."""
        return len(self._held)

    @property
    def waits_beside(self) -> bool:
        """Whether the first that waits is outside the conversation."""
        return bool(self._held) and self._held[0][0].out_of_band

    def release_held(self) -> None:
        """Asks for what waits, as far as there is money for it, in order."""
        while self._held and self._budget.admits(self._held[0][0]):
            self._send_now(*self._held.pop(0))

    @property
    def first_held(self) -> Request | None:
        """The first that waits."""
        return self._held[0][0] if self._held else None

    def take_held(self, request: Request) -> None:
        """One that waits is not asked for any more."""
        self._take_held(lambda held: held is request)

    def take_held_for(self, turn: Turn) -> bool:
        """What waits for this turn is not asked for any more; False if there is nothing."""
        return bool(self._take_held(lambda held: held.turn is turn))

    def take_own_held(self) -> None:
        """What we would have asked for by ourselves, and for no turn, is not wanted any more."""
        self._take_held(lambda held: not held.by_client and held.turn is None)

    def take_all_held(self, *, beside: bool | None = None) -> list[Request]:
        """Takes out all that waits, or what is outside the conversation, or within it."""
        return self._take_held(lambda held: beside is None or held.out_of_band is beside)

    def _take_held(self, is_meant: Callable[[Request], bool]) -> list[Request]:
        taken = [request for request, _ in self._held if is_meant(request)]
        self._held = [held for held in self._held if not is_meant(held[0])]
        return taken

    def _with_tools(self, params: dict[str, Any], *, out_of_band: bool) -> dict[str, Any]:
        """A response outside the conversation is offered no server tool: nobody would see or speak the result."""
        tools = params.get("tools")
        if out_of_band:
            own = self._configuration.own_tools_of_client if tools is None else tools
            return {**params, "tools": self._configuration.client_tools(own)} if isinstance(own, list) else params
        return {**params, "tools": self._configuration.merged_tools(tools)} if isinstance(tools, list) else params

    def refuse(self, event_id: str | None, error: ErrorDetail) -> None:
        """Tells the client that one of its requests comes to nothing."""
        named = None if self._outlet.is_anonymous(event_id) else event_id
        self._outlet.refuse(msgspec.structs.replace(error, event_id=named))

    def refuse_second(self, response_id: str, event_id: str | None) -> None:
        """One answer at a time."""
        message = (
            f"Conversation already has an active response in progress: {response_id}. "
            "Wait until the response is finished before creating a new one."
        )
        self._refuse(event_id, "conversation_already_has_active_response", message)

    def refuse_cancelled(self, event_id: str | None) -> None:
        """What was asked for is not wanted any more, and no service will say so."""
        self._refuse(event_id, "response_cancelled", "The response was cancelled: the conversation went on.")

    def _refuse(self, event_id: str | None, code: str, message: str) -> None:
        self.refuse(event_id, ErrorDetail(type="invalid_request_error", code=code, message=message))

    # Ours

    def _send(self, request: Request) -> None:
        event: dict[str, Any] = {"type": "response.create", "event_id": request.event_id}
        if request.params:
            event["response"] = request.params
        self._ask(request, event)

    def for_speech(self) -> None:
        """The service did not answer speech by itself."""
        self.owed_to_speech = False
        self._send(Request(self._outlet.new_event_id(), None, self._outlet.now))

    def by_note(self, note: str) -> None:
        """A response of our own making, whose instructions end with ``note``."""
        params = {"instructions": self._noted(None, note), "tool_choice": "none"}
        self._send(Request(self._outlet.new_event_id(), params, self._outlet.now))

    def instead(self, params: dict[str, Any]) -> None:
        """A response of our own making in the place of one that is not given."""
        self._send(Request(self._outlet.new_event_id(), params, self._outlet.now))

    def goodbye(self, params: dict[str, Any]) -> None:
        """The last response of a session."""
        self._send(Request(self._outlet.new_event_id(), params, self._outlet.now, is_goodbye=True))

    def apology(self, params: dict[str, Any]) -> None:
        """An apology in the place of an answer: the person is asked to say it again."""
        self.instead({**params, "instructions": self._noted(None, UNHEARD), "tool_choice": "none"})

    def for_turn(self, turn: Turn, params: dict[str, Any]) -> None:
        """The next response of a turn that is under way."""
        turn.phase = Phase.REQUESTED
        self._send(Request(self._outlet.new_event_id(), params, self._outlet.now, turn=turn))

    def for_answer(self, turn: Turn) -> None:
        """What a turn waits for: the response that speaks the results of its tools, or its first one once more."""
        self.for_turn(turn, self._follow_up_params(turn) if turn.rounds else dict(turn.params or {}))

    def for_rest(self, turn: Turn, said: str) -> None:
        """The rest of an answer of which ``said`` was said; an apology, if it had broken off before."""
        params = dict(turn.params or {})
        if turn.breaks:
            params["instructions"] = self._noted(None, APOLOGISE)
        elif said:
            params["instructions"] = self._noted(params, go_on_after(said))
        self._send(Request(self._outlet.new_event_id(), params, self._outlet.now, breaks=turn.breaks + 1))

    def _noted(self, params: dict[str, Any] | None, note: str) -> str:
        instructions = (params or {}).get("instructions") or self._configuration.instructions
        return f"{instructions}\n\n{note}".strip()

    def _follow_up_params(self, turn: Turn) -> dict[str, Any]:
        params = dict(turn.params or {})
        if isinstance(params.get("input"), list):
            # ``input`` replaces the context, so the calls and their results must be named in it.
            params["input"] = params["input"] + [{"type": "item_reference", "id": id_} for id_ in turn.call_items]
        if (params.get("tool_choice") or "auto") not in ("auto", "none") or self._configuration.forces_tools:
            # Inherited, a forced call would be made again and again.
            params["tool_choice"] = "auto"
        if turn.rounds >= MAX_TOOL_ROUNDS:
            params["tool_choice"] = "none"
        return params

    def withdraw(self, turn: Turn) -> bool:
        """Takes back the request for ``turn``, if no service has it yet."""
        if self.take_held_for(turn):
            return True
        return not self._outlet.is_open and self.requests.withdraw(turn)
