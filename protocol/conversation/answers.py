"""The life of answers: responses of the service, the server tools they call, and the follow-ups that speak the results.

Server tools are invisible to clients. A response is therefore held back until something visible comes of it; one that
consists of server calls only is never shown, and its follow-up stands in its place with the usage of both. Meanwhile
the client must take a response to be active. What a session is configured to be is decided next door.
"""

import math
from collections.abc import Callable
from typing import Any

import msgspec

from protocol.conversation.actions import Ignored, Record, Said, SetDeadline, ToolResult
from protocol.conversation.asking import MAX_TOOL_ROUNDS, Asking
from protocol.conversation.avatar_states import AvatarStates
from protocol.conversation.budget import Budget
from protocol.conversation.calls import ServerCalls
from protocol.conversation.configuration import Configuration
from protocol.conversation.findings import Findings
from protocol.conversation.history import History
from protocol.conversation.ledger import Ledger
from protocol.conversation.outlet import Outlet
from protocol.conversation.requests import Request
from protocol.conversation.shown_responses import LOST, ShownResponses
from protocol.conversation.synthetic import created_from, sum_of, usage_event
from protocol.conversation.times import Times
from protocol.conversation.turns import Phase, Turn
from protocol.conversation.visibility import HiddenItems
from protocol.endings import EndReason
from protocol.realtime.codec import Head, decode_object
from protocol.realtime.items import Item
from protocol.realtime.response import Response
from protocol.realtime.server_events import (
    Error,
    ErrorDetail,
    OutputItemAdded,
    OutputItemDone,
    ResponseCreated,
    ResponseDone,
)

AGAIN_DEADLINE = "again"
# An answer that failed and that nobody saw is asked for again so long after, each time. Together they are not much more
# than a person waits without asking.
AGAIN_S = (0.5, 2.0)


class Answers:
    """The turn under way, the responses live beside it, and the tool calls in flight."""

    def __init__(
        self,
        outlet: Outlet,
        configuration: Configuration,
        hidden: HiddenItems,
        history: History,
        states: AvatarStates,
        ledger: Ledger,
        budget: Budget,
        *,
        avatar_events: bool,
        voicerag_events: bool,
        tool_s: float,
    ) -> None:
        self._outlet = outlet
        self._configuration = configuration
        self._history = history
        self._states = states
        self._ledger = ledger
        self._budget = budget
        budget.responses = self
        self._shown = ShownResponses(outlet)
        self._asking = Asking(outlet, configuration, budget)
        self._avatar_events = avatar_events
        self._turn: Turn | None = None
        self._calls = ServerCalls(outlet, configuration, hidden, tool_s)
        self._last_response_id = ""
        self.times = Times(outlet)
        self._findings = Findings(outlet, history, hidden, avatar_events=avatar_events, voicerag_events=voicerag_events)

    # The client asks

    def ask(self, event: dict[str, Any], event_id: str | None) -> None:
        """The client's ``response.create``, decoded."""
        params = event.get("response")
        params = params if isinstance(params, dict) else None
        out_of_band = params is not None and params.get("conversation") == "none"
        if not out_of_band:
            self.times.question_ended()
        turn = self._turn
        if turn is not None and not out_of_band and turn.phase is not Phase.GENERATING:
            if turn.active_to_client or turn.client_create is not None:
                self._asking.refuse_second(turn.response_id, event_id)
                return
            if turn.phase is Phase.TOOLS:
                # What the client asks for shall know our tools' results: it stands in for our own follow-up.
                turn.client_create = event
                return
        if self._budget.is_set and not out_of_band and self._refuses_second(event_id):
            return
        self._asking.for_client(event, out_of_band=out_of_band)

    def ask_ourselves(self, note: str) -> None:
        """Asks for a response of our own making, whose instructions end with ``note``."""
        self._asking.by_note(note)

    def cancel(self, frame: bytes, response_id: str | None) -> None:
        """The client's ``response.cancel``."""
        turn = self._turn
        if turn is not None and turn.phase is not Phase.GENERATING and response_id in (None, turn.response_id):
            # Nothing is active upstream while tools run: the answer ends here.
            known_to_client = turn.active_to_client
            asked_of_service = turn.phase is Phase.REQUESTED and not self._asking.withdraw(turn)
            self._supersede(turn, "client_cancelled")
            if known_to_client and not asked_of_service:
                return
        if turn is not None and self._is_generating() and response_id in (None, turn.response_id):
            turn.cancelled = True
        if response_id is None:
            for request in self._asking.take_all_held(beside=False):
                if request.by_client:
                    self._asking.refuse_cancelled(request.event_id)
        if self._outlet.is_open and not self._is_generating() and response_id is None:
            self._asking.requests.cancel()
        self._outlet.to_upstream(frame, kind="response.cancel")

    def interrupted(self) -> None:
        """The user began to speak over the answer: one that waits for tools will not be spoken any more."""
        turn = self._turn
        self._asking.take_own_held()
        if turn is None:
            return
        if turn.phase is Phase.GENERATING:
            # The service cancels it; if it was just complete, nothing follows all the same.
            turn.interrupted = True
            return
        if turn.phase is Phase.REQUESTED and not self._asking.withdraw(turn):
            self._asking.requests.cancel()
            self._outlet.send_event({"type": "response.cancel", "event_id": self._outlet.new_event_id()})
        self._supersede(turn, "turn_detected")

    def heard_speech(self) -> None:
        """The user's speech became an item, and the service answers by itself."""
        self._asking.owed_to_speech = True

    # The service answers

    def created(self, frame: bytes, event: ResponseCreated) -> None:
        """``response.created``."""
        response = event.response
        if self._shown.has_ended(response.id) or response.id in self._shown.out_of_band or self._is_live(response.id):
            self._outlet.do(Ignored("upstream", "response.created", "the response is already known"))
            return
        # The turn's end may be made of this frame, at a time when nothing can be done about a bad one.
        decode_object(frame)
        out_of_band = response.conversation_id is None
        request = self._asking.requests.answered_by(response, self._outlet.now, out_of_band=out_of_band)
        if out_of_band:
            self._shown.out_of_band[response.id] = frame
            self._outlet.to_client(frame)
            return
        self._begin(response.id, frame, request)
        if request is None and self._budget.forbids_unasked:
            # It began before the service learned that it may not. Its question is answered when there is money.
            cancel = {"type": "response.cancel", "event_id": self._outlet.new_event_id(), "response_id": response.id}
            self._outlet.send_event(cancel)
            self._budget.heard_speech(is_wanted=True)

    def _begin(self, response_id: str, created: bytes, request: Request | None) -> None:
        turn = self._turn
        self._asking.owed_to_speech = False
        if self._outlet.size is not None:
            self._outlet.size.began()
        if turn is not None and request is not None and request.turn is turn:
            turn.response_id, turn.created, turn.held = response_id, created, True
            turn.phase, turn.calls_in_round, turn.client_called, turn.items_done = Phase.GENERATING, 0, False, 0
            turn.cancelled = False
        else:
            if turn is not None:
                self._leave(turn)
            self.times.answer_began()
            turn = self._turn = Turn(response_id, request.params if request else None, created)
            turn.superseded = request is not None and request.turn is not None
            turn.breaks = request.breaks if request else 0
        self._last_response_id = response_id
        self._states.enter("thinking")
        if self._configuration.show_tools:
            self._shown.show(turn)

    def _leave(self, turn: Turn) -> None:
        """Another response began while ``turn`` was not at its end: the service lost one, or the user went on."""
        if turn.phase is Phase.GENERATING:
            self._shown.ended(turn.response_id)
            self._shown.end_turn(turn, "incomplete", None)
            self._over(turn, "incomplete")
        else:
            self._supersede(turn, "turn_detected")

    def done(self, frame: bytes, event: ResponseDone) -> None:
        """``response.done``."""
        response = event.response
        known_as_ended = self._shown.has_ended(response.id)
        whole = decode_object(frame)
        self._shown.ended(response.id)
        live = self._is_live(response.id)
        out_of_band = response.conversation_id is None or response.id in self._shown.out_of_band
        if not live and (known_as_ended or out_of_band or self._is_generating()):
            self._finish_beside(frame, event, shown=not known_as_ended)
            return
        if not live:
            # Seen when a cancel races with creation: an end without a beginning. The client gets both.
            self._begin(
                response.id,
                created_from(whole, self._outlet.new_event_id()),
                self._asking.requests.answered_by(response, self._outlet.now, out_of_band=False),
            )
        turn = self._turn
        if turn is None:
            raise AssertionError("a response that just began is the current turn")
        for item_id in self._shown.open_items.forget(response.id):
            self._history.left(item_id)
        for item in response.output:
            self._history.finished(item)
            if self._calls.is_one(item):
                self._call(turn, item)
        follows = (
            turn.calls_in_round > 0
            and response.status == "completed"
            and not (turn.superseded or turn.interrupted)
            and turn.rounds < MAX_TOOL_ROUNDS
        )
        if follows and turn.held:
            self._hide_usage(turn, response)
        elif turn.held and turn.superseded:
            pass  # the client was told of this turn's end when it was superseded
        else:
            self._finish(turn, frame, event)
        if follows:
            turn.phase, turn.rounds = Phase.TOOLS, turn.rounds + 1
            self._follow_up_if_ready(turn)
        else:
            self._over(turn, response.status)
            self._findings.forget()
            self._states.enter("listening")

    def failed_here(self, event: ResponseDone) -> bool:
        """A response failed, for want of another connection. True if it was the answer, which is broken off.

        Its end is not shown: whoever calls this replaces the connection, and ``broken_off`` asks for the answer again.
        """
        turn, response = self._turn, event.response
        if turn is None or not self._is_live(response.id) or any(self._calls.is_one(item) for item in response.output):
            return False
        self._hide_usage(turn, response)
        return True

    def asks_again(self, event: ResponseDone) -> bool:
        """A response failed, and the same may succeed a moment later. True if it is asked for again: nobody saw it."""
        turn, response = self._turn, event.response
        if turn is None or not self._is_live(response.id):
            return False
        if not turn.held or turn.interrupted or turn.superseded or response.output or turn.calls_in_round:
            return False
        if turn.retries >= len(AGAIN_S):
            return False
        for item_id in self._shown.open_items.forget(response.id):
            self._history.deleted(item_id)
        self._hide_usage(turn, response)
        turn.phase = Phase.TOOLS
        self._outlet.do(SetDeadline(AGAIN_DEADLINE, self._outlet.now + AGAIN_S[turn.retries]))
        turn.retries += 1
        return True

    def ask_again(self) -> None:
        """Time to ask again for the answer that failed, if it is still wanted."""
        if self._turn is not None:
            self._follow_up_if_ready(self._turn)

    def done_for_nobody(self, event: ResponseDone) -> None:
        """The end of a response is repeated, or comes by a connection that was left: its calls are lost, each once."""
        self._calls.lose_those_of(event.response)
        self._shown.ended(event.response.id)

    def _over(self, turn: Turn, status: str) -> None:
        """The turn is over, and nothing is being answered."""
        self._turn = None
        self.times.answer_ended(turn.response_id, status)

    def _hide_usage(self, turn: Turn, response: Response) -> None:
        """The client does not see this response end: what it took is told with the next."""
        self._shown.ended(response.id)
        turn.hide(response.usage, self._ledger.usd_of(response.id))

    def _finish(self, turn: Turn, frame: bytes, event: ResponseDone) -> None:
        self._shown.show(turn)
        hidden, usd = turn.take_hidden()
        usage = sum_of(hidden, event.response.usage)
        self._outlet.to_client(self._calls.shown_done(frame, event, usage if hidden is not None else None))
        turn.open_to_client = False
        if usage is not None and self._avatar_events:
            usd += self._ledger.usd_of(event.response.id)
            self._outlet.announce(usage_event(event.response.id, usage, usd, self._ledger.usd, self._budget.left))

    def _finish_beside(self, frame: bytes, event: ResponseDone, *, shown: bool) -> None:
        """The end of a response that is not the turn's: nobody waits for its calls."""
        response = event.response
        self._calls.lose_those_of(response)
        if response.id not in self._shown.out_of_band and shown:
            self._asking.requests.answered_by(response, self._outlet.now, out_of_band=response.conversation_id is None)
            self._outlet.to_client(created_from(decode_object(frame), self._outlet.new_event_id()))
        self._shown.out_of_band.pop(response.id, None)
        if shown:
            self._outlet.to_client(self._calls.shown_done(frame, event, None))

    def item_added(self, frame: bytes, event: OutputItemAdded) -> None:
        """``response.output_item.added``."""
        if self._calls.is_hidden(event.item):
            self._calls.hide(event.item)
            return
        if not self.passes(event.response_id):
            self._outlet.do(Ignored("upstream", "response.output_item.added", "its response is not active"))
            return
        self.times.item_began(event.item.id or None)
        self._shown.open_items.added(event.response_id, event.output_index, decode_object(frame)["item"])
        self._outlet.to_client(frame)

    def item_placed(self, item_id: str | None, *, ended: bool) -> None:
        """The client saw an item placed in the conversation, or its end there."""
        self._shown.open_items.placed(item_id, ended=ended)

    def saw(self, frame: bytes, head: Head) -> None:
        """An event within a response goes to the client."""
        words = self._shown.open_items.saw(frame, head)
        if words is not None:
            self.times.words(head.item_id)
            self._states.enter("speaking")
            if head.item_id:
                self._history.grew(head.item_id, words)

    def item_done(self, frame: bytes, event: OutputItemDone) -> None:
        """``response.output_item.done``: the moment to run a server tool."""
        item = event.item
        if event.response_id not in self._shown.out_of_band:
            self._history.finished(item)
        if self._calls.is_one(item):
            if self._turn is not None and self._is_live(event.response_id):
                self._call(self._turn, item)
            else:
                self._calls.lose(item)
        if self._calls.is_hidden(item):
            return
        if not self.passes(event.response_id):
            return
        if item.type == "function_call" and self._turn is not None and self._is_live(event.response_id):
            self._turn.client_called |= not self._calls.is_one(item)
        if self._turn is not None and self._is_live(event.response_id):
            self._turn.items_done += 1
        self._shown.open_items.done(item.id or None)
        self._outlet.to_client(frame)
        if item.type == "message":
            text = item.spoken_text()
            if text:
                self._outlet.do(Record(Said(item.id or "", "assistant", text, self.times.onset(item.id or None))))
            if self._is_live(event.response_id):
                self._findings.cite(event.response_id, item.id or "", text)

    def passes(self, response_id: str | None) -> bool:
        """Whether an event of this response may go to the client; shows the response if it was still held back."""
        if self._turn is not None and self._is_live(response_id):
            self._shown.show(self._turn)
            return True
        return response_id in self._shown.out_of_band

    @property
    def shown_response_id(self) -> str | None:
        """The response that the client sees under way."""
        return self._turn.response_id if self._turn is not None and self._turn.open_to_client else None

    def speaking_item(self, item_id: str | None) -> str | None:
        """The item, if the service is still generating it."""
        return item_id if self._shown.open_items.response_of(item_id) is not None else None

    def is_current(self, response_id: str) -> bool:
        """Whether a response is the one being answered with, or was the last."""
        return response_id == (self._turn.response_id if self._turn is not None else self._last_response_id)

    def _is_generating(self) -> bool:
        return self._turn is not None and self._turn.phase is Phase.GENERATING

    def _is_live(self, response_id: str | None) -> bool:
        return self._turn is not None and self._is_generating() and self._turn.response_id == response_id

    # Server tools

    def is_server_call(self, call_id: str | None) -> bool:
        """Whether this call is answered here, so that nobody else may answer it."""
        return call_id in self._calls

    def _call(self, turn: Turn, item: Item) -> None:
        if self._calls.run(turn, item):
            self.times.search_began()
            self._states.enter("searching")

    def tool_started(self, call_id: str) -> None:
        """A tool begins to run."""
        self._calls.started(call_id)

    def result(self, call_id: str, result: ToolResult) -> None:
        """A tool has finished."""
        turn = self._calls.answer(call_id, result)
        if turn is None:
            return
        if turn is self._turn:
            self.times.search_ended()
            self._findings.add(self._calls.name_of(call_id), result)
        self._follow_up_if_ready(turn)

    def _follow_up_if_ready(self, turn: Turn) -> None:
        """Asks for the answer once: when every call has its result, and no response is active."""
        if turn is not self._turn or turn.phase is not Phase.TOOLS or turn.pending or turn.superseded:
            return
        if self._asking.withheld:
            return
        if turn.client_called or turn.client_create is not None:
            # The client asks for what follows: it has, or it will when its own tools are done.
            self._over(turn, "completed")
            if turn.client_create is not None:
                self._asking.for_client(turn.client_create, out_of_band=False)
            return
        self._asking.for_answer(turn)
        self._states.enter("thinking")

    # Endings out of the ordinary

    def refused(self, error: ErrorDetail) -> bool:
        """An error that names one of the requests; True if the client must not see it, for the request was ours."""
        request = self._asking.requests.refused(error.event_id)
        turn = request.turn if request is not None else None
        if turn is None:
            return False
        if turn is self._turn and turn.phase is Phase.REQUESTED:
            if error.code == "conversation_already_has_active_response":
                # The service began a response by itself: the user went on, and that response answers.
                self._supersede(turn, "turn_detected")
            else:
                self._fail(turn, error)
        return True

    @property
    def owes_response(self) -> bool:
        """Whether the service has been asked for an answer, or owes one to speech, and has not begun it."""
        if self._is_generating():
            return False
        return self._asking.owed_to_speech or self._asking.is_owed

    @property
    def is_owed_to_speech(self) -> bool:
        """Whether it was speech that the service owes an answer to, and nobody asked for it in words."""
        return self._asking.owed_to_speech and not self._asking.is_owed

    @property
    def is_generating(self) -> bool:
        """Whether a response is active at the service."""
        return self._is_generating()

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is being answered, nor about to be."""
        at_rest = self._turn is None and not self._shown.out_of_band and not self.owes_response
        return at_rest and not self._asking.withheld and not self._asking.held

    # What the budget goes by

    @property
    def is_asked(self) -> bool:
        """See ``Responses``."""
        return self._asking.is_owed

    @property
    def beside(self) -> int:
        """See ``Responses``."""
        return len(self._shown.out_of_band) + self._asking.requests.beside(self._outlet.now)

    @property
    def held(self) -> int:
        """See ``Responses``."""
        return self._asking.held

    @property
    def waits_beside(self) -> bool:
        """See ``Responses``."""
        return self._asking.waits_beside

    def release_held(self) -> None:
        """See ``Responses``."""
        while (first := self._asking.first_held) is not None and first.by_client and not first.out_of_band:
            if not self._refuses_second(first.event_id):
                break
            self._asking.take_held(first)
        self._asking.release_held()

    def _refuses_second(self, event_id: str | None) -> bool:
        """Refuses what the service would, were it asked now: nothing need be set aside for that. False if it would not.

        What the client cancelled is over for it, and what it asks for next may come.
        """
        turn = self._turn
        if turn is None or turn.cancelled or not self._is_generating():
            return False
        self._asking.refuse_second(turn.response_id, event_id)
        return True

    def refuse_held(self, *, beside_only: bool = False) -> None:
        """See ``Responses``."""
        if not beside_only:
            self._asking.owed_to_speech = False
        for request in self._asking.take_all_held(beside=True if beside_only else None):
            message = "The budget is spent: no response can be paid."
            error = ErrorDetail(type="insufficient_quota", code=EndReason.BUDGET_SPENT.label, message=message)
            if request.turn is not None and request.turn is self._turn:
                self._fail(request.turn, error)
            elif request.by_client:
                self._asking.refuse(request.event_id, error)

    def say_goodbye(self, params: dict[str, Any]) -> None:
        """See ``Responses``."""
        self._asking.goodbye(params)

    def sent_again(self) -> None:
        """Another connection was sent what was not settled, so what is owed is owed from now on."""
        self._asking.requests.sent_again(self._outlet.now)
        self._calls.told()

    def is_aside(self, item_id: str | None) -> bool:
        """Whether an item belongs to a response outside the conversation."""
        return self._shown.open_items.response_of(item_id) in self._shown.out_of_band

    def was_ended_here(self, item_id: str | None) -> bool:
        """Whether the client was told of an item's end before the service ended it."""
        return self._shown.open_items.was_wound_down(item_id)

    def ask_for_speech(self) -> None:
        """The service does not answer speech by itself: it is asked to. What was looked up before is overtaken."""
        if self._turn is not None:
            self._supersede(self._turn, "turn_detected")
        self._asking.for_speech()

    def withhold(self, withheld: bool) -> None:
        """Whether follow-ups wait, for something that was said is not checked yet."""
        was, self._asking.withheld = self._asking.withheld, withheld
        if was and not withheld and self._turn is not None:
            self._follow_up_if_ready(self._turn)

    def say_instead(self, params: dict[str, Any]) -> None:
        """A response of our own making stands in the place of an answer. What was looked up before is overtaken."""
        if self._turn is not None:
            self._supersede(self._turn, "turn_detected")
        self._asking.instead(params)

    def apologise_instead(self, params: dict[str, Any]) -> None:
        """The person is asked to say it again, in the place of an answer."""
        if self._turn is not None:
            self._supersede(self._turn, "turn_detected")
        self._asking.apology(params)

    def doubt_requests(self) -> None:
        """The service reported an error that names nothing: it may mean any request."""
        self._asking.requests.doubt()

    def give_up_requests(self, error: ErrorDetail) -> None:
        """The service does not begin what it was asked for, and another connection did not help."""
        self._asking.owed_to_speech = False
        for request in self._asking.requests.give_up():
            if request.turn is not None and request.turn is self._turn:
                self._fail(request.turn, error)
            elif request.by_client:
                self._asking.refuse(request.event_id, error)
        self._states.enter("listening")

    def _fail(self, turn: Turn, error: ErrorDetail) -> None:
        if turn.active_to_client:
            self._shown.end_turn(turn, "failed", {"type": error.type, "code": error.code, "message": error.message})
        else:
            self._outlet.announce(Error(error=msgspec.structs.replace(error, event_id=None)))
        turn.superseded = True
        self._over(turn, "failed")
        self._findings.forget()
        self._states.enter("listening")

    def _supersede(self, turn: Turn, reason: str) -> None:
        """The turn's follow-up is not wanted any more; its calls are still answered, for the model's history."""
        turn.superseded = True
        self._asking.requests.cancel(turn)
        self._asking.take_held_for(turn)
        if turn.active_to_client:
            self._shown.end_turn(turn, "cancelled", None, reason)
        if turn.client_create is not None:
            self._asking.refuse_cancelled(turn.client_create.get("event_id") or None)
        self._over(turn, "cancelled")
        self._findings.forget()
        self._states.enter("listening")

    def broken_off(self, sent_ms: Callable[[str], float]) -> None:
        """The connection is gone, and with it what was being generated. What the conversation needs is asked for again.

        An answer that nobody has seen is asked for anew, and nobody notices. One that was begun ends for the client as
        incomplete, and the model is asked for the rest of it; should that break off too, for an apology. One that the
        person interrupts is not continued. Responses outside the conversation fail.

        Args:
            sent_ms: how much of an item's sound was sent, in milliseconds.
        """
        self._shown.fail_out_of_band()
        self.lose_cancelled()
        turn = self._turn
        owed, self._asking.owed_to_speech = self._asking.owed_to_speech, False
        if turn is not None and turn.phase is Phase.GENERATING:
            self._break_off(turn, sent_ms)
        elif owed and not self._asking.is_wanted:
            self.ask_for_speech()
        self._history.forget_unfinished()
        for entry in self._history.unanswered_calls():
            # Placed, and lost before it could be run: another connection would wait for its result for ever.
            if self._configuration.runs_here(entry.item["name"]) and entry.item["call_id"] not in self._calls:
                self._history.deleted(entry.id)

    def lose_cancelled(self) -> None:
        """The connection is left, and with it the end of what was asked for and cancelled before it had begun."""
        for request in self._asking.requests.lose_cancelled():
            if request.by_client:
                self._asking.refuse_cancelled(request.event_id)

    def _break_off(self, turn: Turn, sent_ms: Callable[[str], float]) -> None:
        said = []
        for item_id, item in self._shown.open_items.of(turn.response_id).items():
            words = self._history.broken_off(item_id, math.inf if item.is_written else sent_ms(item_id))
            if words:
                said.append(words)
                self._outlet.do(Record(Said(item_id, "assistant", words, self.times.onset(item_id))))
        self._shown.ended(turn.response_id)
        nothing_shown = turn.held
        if turn.open_to_client:
            self._shown.end_turn(turn, "incomplete", None)
        unwanted = turn.interrupted or turn.superseded
        # The person has said something since that is not checked yet: what was being said is not gone on with.
        unwanted |= self._asking.withheld
        if turn.calls_in_round and not unwanted:
            # The calls are under way; what follows them follows all the same.
            turn.phase, turn.rounds, turn.held = Phase.TOOLS, turn.rounds + 1, nothing_shown
            self._follow_up_if_ready(turn)
        elif nothing_shown and not unwanted:
            self._asking.for_answer(turn)
            self._states.enter("thinking")
        else:
            self._over(turn, "incomplete")
            self._states.enter("listening")
            if not (unwanted or turn.items_done or turn.client_called or self._asking.is_wanted):
                self._asking.for_rest(turn, " ".join(said))
                self._states.enter("thinking")

    def end_of_session(self) -> None:
        """The session ends for want of a service: whatever the client takes to be active has ended."""
        self._shown.fail_out_of_band()
        if self._turn is not None and self._turn.active_to_client:
            self._shown.end_turn(self._turn, "failed", LOST)
        if self._turn is not None:
            self._over(self._turn, "failed")
        self._asking.requests.clear()
        self._asking.take_all_held()

    def lose_calls(self) -> None:
        """The session ends: results that are still to come reach nobody."""
        self._calls.lose_unanswered()
