"""The life of answers: responses of the service, the server tools they call, and the follow-ups that speak the results.

Server tools are invisible to clients. A response is therefore held back until something visible comes of it; one that
consists of server calls only is never shown, and its follow-up stands in its place with the usage of both. Meanwhile
the client must take a response to be active. What a session is configured to be is decided next door.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import msgspec

from protocol.avatar.events import AvatarCitations, AvatarState, State
from protocol.conversation.actions import Charge, Evidence, Ignored, Record, Said, ToolResult
from protocol.conversation.calls import ServerCalls
from protocol.conversation.citations import by_support
from protocol.conversation.configuration import Configuration
from protocol.conversation.history import History
from protocol.conversation.notes import APOLOGISE, go_on_after
from protocol.conversation.open_items import OpenItems
from protocol.conversation.outlet import Outlet
from protocol.conversation.requests import Request, Requests
from protocol.conversation.synthetic import created_from, done_from, sum_of, usage_event
from protocol.conversation.turns import Phase, Turn
from protocol.conversation.visibility import HiddenItems
from protocol.realtime.codec import Head, decode_object, encode
from protocol.realtime.items import Item
from protocol.realtime.server_events import (
    Error,
    ErrorDetail,
    OutputItemAdded,
    OutputItemDone,
    ResponseCreated,
    ResponseDone,
)
from protocol.realtime.usage import Usage

# Responses of one turn that may end in server tool calls; the next one must answer. A model in a loop else spends
# the operator's money in silence.
MAX_TOOL_ROUNDS = 5
_LOST = {"type": "server_error", "code": "upstream_lost", "message": "The connection to the Realtime service was lost."}
# Ended responses remembered, to tell a late or repeated event from a new one.
ENDED_KEPT = 256


class Answers:
    """The turn under way, the responses live beside it, and the tool calls in flight."""

    def __init__(
        self,
        outlet: Outlet,
        configuration: Configuration,
        hidden: HiddenItems,
        history: History,
        *,
        avatar_events: bool,
        tool_s: float,
    ) -> None:
        self._outlet = outlet
        self._configuration = configuration
        self._history = history
        self._open_items = OpenItems()
        self._avatar_events = avatar_events
        self._state: State | None = None
        # What the state will be when the connection is there again; None while there is one.
        self._state_behind: State | None = None
        self._turn: Turn | None = None
        self._calls = ServerCalls(outlet, configuration, hidden, tool_s)
        self._requests = Requests(outlet.journal)
        self._last_response_id = ""
        # Responses outside the conversation that the client sees, with the frame each began with.
        self._out_of_band: dict[str, bytes] = {}
        # The user's speech became an item, and the service owes the answer that it gives by itself.
        self._owed_to_speech = False
        # Responses that are over for the client, and whether their end was billed.
        self._ended: OrderedDict[str, bool] = OrderedDict()
        # What was found since the last answer; the next message is what rests on it.
        self._evidence: list[Evidence] = []

    # The client asks

    def ask(self, event: dict[str, Any], event_id: str | None) -> None:
        """The client's ``response.create``, decoded."""
        params = event.get("response")
        params = params if isinstance(params, dict) else None
        out_of_band = params is not None and params.get("conversation") == "none"
        turn = self._turn
        if turn is not None and not out_of_band and turn.phase is not Phase.GENERATING:
            if turn.active_to_client or turn.client_create is not None:
                self._refuse_second(turn, event_id)
                return
            if turn.phase is Phase.TOOLS:
                # What the client asks for shall know our tools' results: it stands in for our own follow-up.
                turn.client_create = event
                return
        self._send_request(event, event_id, out_of_band=out_of_band)

    def ask_ourselves(self, note: str) -> None:
        """Asks for a response of our own making, whose instructions end with ``note``."""
        params = {"instructions": self._noted(None, note), "tool_choice": "none"}
        self._request(Request(self._outlet.new_event_id(), params, self._outlet.now))

    def _noted(self, params: dict[str, Any] | None, note: str) -> str:
        instructions = (params or {}).get("instructions") or self._configuration.instructions
        return f"{instructions}\n\n{note}".strip()

    def _request(self, request: Request) -> None:
        """Sends a request of our own."""
        self._requests.add(request)
        event: dict[str, Any] = {"type": "response.create", "event_id": request.event_id}
        if request.params:
            event["response"] = request.params
        self._outlet.send_event(event)

    def _send_request(self, event: dict[str, Any], event_id: str | None, *, out_of_band: bool) -> None:
        params = event.get("response")
        if isinstance(params, dict):
            event = {**event, "response": self._with_tools(params, out_of_band=out_of_band)}
            params = event["response"]
        # An error names the request only by event_id, so each has one.
        own_id = event_id or self._outlet.name_for_client()
        request = Request(own_id, params, self._outlet.now, out_of_band=out_of_band, by_client=True)
        self._requests.add(request)
        self._outlet.send_event({**event, "event_id": request.event_id})

    def _with_tools(self, params: dict[str, Any], *, out_of_band: bool) -> dict[str, Any]:
        """A response outside the conversation is offered no server tool: nobody would see or speak the result."""
        tools = params.get("tools")
        if out_of_band:
            own = self._configuration.own_tools_of_client if tools is None else tools
            return {**params, "tools": self._configuration.client_tools(own)} if isinstance(own, list) else params
        return {**params, "tools": self._configuration.merged_tools(tools)} if isinstance(tools, list) else params

    def _refuse_second(self, turn: Turn, event_id: str | None) -> None:
        self._outlet.refuse(
            ErrorDetail(
                type="invalid_request_error",
                code="conversation_already_has_active_response",
                message=f"Conversation already has an active response in progress: {turn.response_id}. "
                "Wait until the response is finished before creating a new one.",
                event_id=event_id,
            )
        )

    def cancel(self, frame: bytes, response_id: str | None) -> None:
        """The client's ``response.cancel``."""
        turn = self._turn
        if turn is not None and turn.phase is not Phase.GENERATING and response_id in (None, turn.response_id):
            # Nothing is active upstream while tools run: the answer ends here.
            known_to_client = turn.active_to_client
            asked_of_service = turn.phase is Phase.REQUESTED and not self._withdraw(turn)
            self._supersede(turn, "client_cancelled")
            if known_to_client and not asked_of_service:
                return
        if self._outlet.is_open and not self._is_generating() and response_id is None:
            self._requests.cancel()
        self._outlet.to_upstream(frame, kind="response.cancel")

    def interrupted(self) -> None:
        """The user began to speak over the answer: one that waits for tools will not be spoken any more."""
        turn = self._turn
        if turn is None:
            return
        if turn.phase is Phase.GENERATING:
            # The service cancels it; if it was just complete, nothing follows all the same.
            turn.interrupted = True
            return
        if turn.phase is Phase.REQUESTED and not self._withdraw(turn):
            self._requests.cancel()
            self._outlet.send_event({"type": "response.cancel", "event_id": self._outlet.new_event_id()})
        self._supersede(turn, "turn_detected")

    def _withdraw(self, turn: Turn) -> bool:
        """Takes back the request for ``turn``, if no service has it yet."""
        return not self._outlet.is_open and self._requests.withdraw(turn)

    def heard_speech(self) -> None:
        """The user's speech became an item, and the service answers by itself."""
        self._owed_to_speech = True

    # The service answers

    def created(self, frame: bytes, event: ResponseCreated) -> None:
        """``response.created``."""
        response = event.response
        if response.id in self._ended or response.id in self._out_of_band or self._is_live(response.id):
            self._outlet.do(Ignored("upstream", "response.created", "the response is already known"))
            return
        # The turn's end may be made of this frame, at a time when nothing can be done about a bad one.
        decode_object(frame)
        out_of_band = response.conversation_id is None
        request = self._requests.answered_by(response, self._outlet.now, out_of_band=out_of_band)
        if out_of_band:
            self._out_of_band[response.id] = frame
            self._outlet.to_client(frame)
            return
        self._begin(response.id, frame, request)

    def _begin(self, response_id: str, created: bytes, request: Request | None) -> None:
        turn = self._turn
        self._owed_to_speech = False
        if turn is not None and request is not None and request.turn is turn:
            turn.response_id, turn.created, turn.held = response_id, created, True
            turn.phase, turn.calls_in_round, turn.client_called, turn.items_done = Phase.GENERATING, 0, False, 0
        else:
            if turn is not None:
                self._leave(turn)
            turn = self._turn = Turn(response_id, request.params if request else None, created)
            turn.superseded = request is not None and request.turn is not None
            turn.breaks = request.breaks if request else 0
        self._last_response_id = response_id
        self._enter("thinking")
        if self._configuration.show_tools:
            self._show(turn)

    def _leave(self, turn: Turn) -> None:
        """Another response began while ``turn`` was not at its end: the service lost one, or the user went on."""
        if turn.phase is Phase.GENERATING:
            self._mark_ended(turn.response_id, billed=False)
            self._end_for_client(turn, "incomplete", None)
            self._turn = None
        else:
            self._supersede(turn, "turn_detected")

    def done(self, frame: bytes, event: ResponseDone) -> None:
        """``response.done``."""
        response = event.response
        known_as_ended = response.id in self._ended
        if self._ended.get(response.id):
            self._calls.lose_those_of(response)
            self._outlet.do(Ignored("upstream", "response.done", "the response has already ended"))
            return
        whole = decode_object(frame)
        self._mark_ended(response.id, billed=True)
        self._outlet.do(Charge(response.id, response.usage, response.status))
        live = self._is_live(response.id)
        out_of_band = response.conversation_id is None or response.id in self._out_of_band
        if not live and (known_as_ended or out_of_band or self._is_generating()):
            self._finish_beside(frame, event, shown=not known_as_ended)
            return
        if not live:
            # Seen when a cancel races with creation: an end without a beginning. The client gets both.
            self._begin(
                response.id,
                created_from(whole, self._outlet.new_event_id()),
                self._requests.answered_by(response, self._outlet.now, out_of_band=False),
            )
        turn = self._turn
        if turn is None:
            raise AssertionError("a response that just began is the current turn")
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
            turn.hidden_usage = sum_of(turn.hidden_usage, response.usage)
        elif turn.held and turn.superseded:
            pass  # the client was told of this turn's end when it was superseded
        else:
            self._finish(turn, frame, event)
        if follows:
            turn.phase, turn.rounds = Phase.TOOLS, turn.rounds + 1
            self._follow_up_if_ready(turn)
        else:
            self._turn, self._evidence = None, []
            self._enter("listening")

    def _finish(self, turn: Turn, frame: bytes, event: ResponseDone) -> None:
        self._show(turn)
        usage = sum_of(turn.hidden_usage, event.response.usage)
        self._outlet.to_client(self._shown_done(frame, event, usage if turn.hidden_usage is not None else None))
        turn.open_to_client, turn.hidden_usage = False, None
        if usage is not None and self._avatar_events:
            self._outlet.announce(usage_event(event.response.id, usage))

    def _finish_beside(self, frame: bytes, event: ResponseDone, *, shown: bool) -> None:
        """The end of a response that is not the turn's: nobody waits for its calls."""
        response = event.response
        self._calls.lose_those_of(response)
        if response.id not in self._out_of_band and shown:
            self._requests.answered_by(response, self._outlet.now, out_of_band=response.conversation_id is None)
            self._outlet.to_client(created_from(decode_object(frame), self._outlet.new_event_id()))
        self._out_of_band.pop(response.id, None)
        if shown:
            self._outlet.to_client(self._shown_done(frame, event, None))

    def _shown_done(self, frame: bytes, event: ResponseDone, usage: Usage | None) -> bytes:
        """``response.done`` without the calls of server tools, and with ``usage`` where that is not the service's."""
        hides = any(self._calls.is_hidden(item) for item in event.response.output)
        if not hides and usage is None:
            return frame
        shown = decode_object(frame)
        response = shown["response"]
        if hides:
            # Item for item as in the struct that was made of the same list.
            pairs = zip(response["output"], event.response.output, strict=True)
            response["output"] = [item for item, read in pairs if not self._calls.is_hidden(read)]
        if usage is not None:
            response["usage"] = {**(response.get("usage") or {}), **msgspec.to_builtins(usage)}
        return encode(shown)

    def item_added(self, frame: bytes, event: OutputItemAdded) -> None:
        """``response.output_item.added``."""
        if self._calls.is_hidden(event.item):
            self._calls.hide(event.item)
            return
        if not self.passes(event.response_id):
            return
        self._open_items.added(event.response_id, event.output_index, decode_object(frame)["item"])
        self._outlet.to_client(frame)

    def saw(self, frame: bytes, head: Head) -> None:
        """An event within a response goes to the client."""
        words = self._open_items.saw(frame, head)
        if words is not None:
            self.speaking()
            if head.item_id:
                self._history.grew(head.item_id, words)

    def item_done(self, frame: bytes, event: OutputItemDone) -> None:
        """``response.output_item.done``: the moment to run a server tool."""
        item = event.item
        if event.response_id not in self._out_of_band:
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
        self._open_items.done(item.id or None)
        self._outlet.to_client(frame)
        if item.type == "message":
            text = item.spoken_text()
            if text:
                self._outlet.do(Record(Said(item.id or "", "assistant", text)))
            if self._is_live(event.response_id):
                self._cite(event.response_id, item.id or "", text)

    def _cite(self, response_id: str, item_id: str, text: str) -> None:
        """Names what the answer rests on, when it is known what was answered: well before it was played."""
        evidence, self._evidence = self._evidence, []
        if evidence and self._avatar_events:
            sources = by_support(text, evidence)
            self._outlet.announce(AvatarCitations(response_id=response_id, item_id=item_id, sources=sources))

    def passes(self, response_id: str | None) -> bool:
        """Whether an event of this response may go to the client; shows the response if it was still held back."""
        if self._turn is not None and self._is_live(response_id):
            self._show(self._turn)
            return True
        return response_id in self._out_of_band

    def speaking(self) -> None:
        """Words or sound of the answer go to the client."""
        self._enter("speaking")

    def listening(self) -> None:
        """The session is ready for the user."""
        self._enter("listening")

    def searching(self) -> None:
        """A tool runs."""
        self._enter("searching")

    def degraded(self, detail: str) -> None:
        """Something of the conversation was lost; what it is doing now is told again behind it."""
        state, self._state = self._state, None
        if self._avatar_events:
            self._outlet.announce(AvatarState(state="degraded", detail=detail))
        if state is not None:
            self._enter(state)

    def ending(self) -> None:
        """The session is about to end."""
        self._enter("ending")

    @property
    def state(self) -> State | None:
        """What the client was last told that the avatar is doing."""
        return self._state

    @property
    def shown_response_id(self) -> str | None:
        """The response that the client sees under way."""
        return self._turn.response_id if self._turn is not None and self._turn.open_to_client else None

    def speaking_item(self, item_id: str | None) -> str | None:
        """The item, if the service is still generating it."""
        return item_id if self._open_items.response_of(item_id) is not None else None

    def is_current(self, response_id: str) -> bool:
        """Whether a response is the one being answered with, or was the last."""
        return response_id == (self._turn.response_id if self._turn is not None else self._last_response_id)

    def _is_generating(self) -> bool:
        return self._turn is not None and self._turn.phase is Phase.GENERATING

    def _is_live(self, response_id: str | None) -> bool:
        return self._turn is not None and self._is_generating() and self._turn.response_id == response_id

    def _show(self, turn: Turn) -> None:
        if turn.held:
            turn.held, turn.open_to_client = False, True
            self._outlet.to_client(turn.created)

    # Server tools

    def is_server_call(self, call_id: str | None) -> bool:
        """Whether this call is answered here, so that nobody else may answer it."""
        return call_id in self._calls

    def _call(self, turn: Turn, item: Item) -> None:
        if self._calls.run(turn, item):
            self.searching()

    def tool_started(self, call_id: str) -> None:
        """A tool begins to run."""
        self._calls.started(call_id)

    def result(self, call_id: str, result: ToolResult) -> None:
        """A tool has finished."""
        turn = self._calls.answer(call_id, result)
        if turn is None:
            return
        if turn is self._turn:
            known = {found.source.id for found in self._evidence}
            self._evidence += [found for found in result.evidence if found.source.id not in known]
        self._follow_up_if_ready(turn)

    def _follow_up_if_ready(self, turn: Turn) -> None:
        """Asks for the answer once: when every call has its result, and no response is active."""
        if turn is not self._turn or turn.phase is not Phase.TOOLS or turn.pending or turn.superseded:
            return
        if turn.client_called or turn.client_create is not None:
            # The client asks for what follows: it has, or it will when its own tools are done.
            self._turn = None
            if turn.client_create is not None:
                event = turn.client_create
                self._send_request(event, event.get("event_id") or None, out_of_band=False)
            return
        self._request_for(turn, self._follow_up_params(turn))

    def _request_for(self, turn: Turn, params: dict[str, Any]) -> None:
        """Asks for the next response of a turn that is under way."""
        turn.phase = Phase.REQUESTED
        self._request(Request(self._outlet.new_event_id(), params, self._outlet.now, turn=turn))
        self._enter("thinking")

    def _follow_up_params(self, turn: Turn) -> dict[str, Any]:
        params = dict(turn.params or {})
        if isinstance(params.get("input"), list):
            # ``input`` replaces the context, so the calls and their results must be named in it.
            params["input"] = params["input"] + [{"type": "item_reference", "id": id_} for id_ in turn.call_items]
        if params.get("tool_choice", "auto") not in ("auto", "none") or self._configuration.forces_tools:
            # Inherited, a forced call would be made again and again.
            params["tool_choice"] = "auto"
        if turn.rounds >= MAX_TOOL_ROUNDS:
            params["tool_choice"] = "none"
        return params

    # Endings out of the ordinary

    def refused(self, error: ErrorDetail) -> bool:
        """An error that names one of the requests; True if the client must not see it, for the request was ours."""
        request = self._requests.refused(error.event_id)
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
        return self._owed_to_speech or self._requests.is_owed(self._outlet.now)

    @property
    def is_owed_to_speech(self) -> bool:
        """Whether it was speech that the service owes an answer to, and nobody asked for it in words."""
        return self._owed_to_speech and not self._requests.is_owed(self._outlet.now)

    @property
    def is_generating(self) -> bool:
        """Whether a response is active at the service."""
        return self._is_generating()

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is being answered, nor about to be."""
        return self._turn is None and not self._out_of_band and not self.owes_response

    def sent_again(self) -> None:
        """Another connection was sent what was not settled, so what is owed is owed from now on."""
        self._requests.sent_again(self._outlet.now)
        self._calls.told()

    def is_aside(self, item_id: str | None) -> bool:
        """Whether an item belongs to a response outside the conversation."""
        return self._open_items.response_of(item_id) in self._out_of_band

    def was_ended_here(self, item_id: str | None) -> bool:
        """Whether the client was told of an item's end before the service ended it."""
        return self._open_items.was_wound_down(item_id)

    def ask_for_speech(self) -> None:
        """The service does not answer speech by itself: it is asked to. What was looked up before is overtaken."""
        self._owed_to_speech = False
        if self._turn is not None:
            self._supersede(self._turn, "turn_detected")
        self._request(Request(self._outlet.new_event_id(), None, self._outlet.now))

    def doubt_requests(self) -> None:
        """The service reported an error that names nothing: it may mean any request."""
        self._requests.doubt()

    def give_up_requests(self, error: ErrorDetail) -> None:
        """The service does not begin what it was asked for, and another connection did not help."""
        self._owed_to_speech = False
        for request in self._requests.give_up():
            if request.turn is not None and request.turn is self._turn:
                self._fail(request.turn, error)
            elif request.by_client:
                named = None if self._outlet.is_anonymous(request.event_id) else request.event_id
                self._outlet.refuse(msgspec.structs.replace(error, event_id=named))
        self._enter("listening")

    def _fail(self, turn: Turn, error: ErrorDetail) -> None:
        if turn.active_to_client:
            self._end_for_client(turn, "failed", {"type": error.type, "code": error.code, "message": error.message})
        else:
            self._outlet.announce(Error(error=msgspec.structs.replace(error, event_id=None)))
        turn.superseded = True
        self._turn, self._evidence = None, []
        self._enter("listening")

    def _supersede(self, turn: Turn, reason: str) -> None:
        """The turn's follow-up is not wanted any more; its calls are still answered, for the model's history."""
        turn.superseded = True
        self._requests.cancel(turn)
        if turn.active_to_client:
            self._end_for_client(turn, "cancelled", None, reason)
        if turn.client_create is not None:
            self._refuse_cancelled(turn.client_create.get("event_id") or None)
        self._turn, self._evidence = None, []
        self._enter("listening")

    def _refuse_cancelled(self, event_id: str | None) -> None:
        message = "The response was cancelled before it began: the conversation went on."
        self._outlet.refuse(
            ErrorDetail(type="invalid_request_error", code="response_cancelled", message=message, event_id=event_id)
        )

    def broken_off(self, sent_ms: Callable[[str], float]) -> None:
        """The connection is gone, and with it what was being generated. What the conversation needs is asked for again.

        An answer that nobody has seen is asked for anew, and nobody notices. One that was begun ends for the client as
        incomplete, and the model is asked for the rest of it; should that break off too, for an apology. One that the
        person interrupts is not continued. Responses outside the conversation fail.

        Args:
            sent_ms: how much of an item's sound was sent, in milliseconds.
        """
        self._fail_out_of_band()
        for request in self._requests.lose_cancelled():
            if request.by_client:
                named = None if self._outlet.is_anonymous(request.event_id) else request.event_id
                self._refuse_cancelled(named)
        turn = self._turn
        owed, self._owed_to_speech = self._owed_to_speech, False
        if turn is not None and turn.phase is Phase.GENERATING:
            self._break_off(turn, sent_ms)
        elif owed and not self._requests.is_owed(self._outlet.now):
            self.ask_for_speech()
        self._history.forget_unfinished()

    def _fail_out_of_band(self) -> None:
        for response_id, created in self._out_of_band.items():
            self._mark_ended(response_id, billed=False)
            self._end_response(response_id, created, "failed", {"error": _LOST})
        self._out_of_band.clear()

    def _break_off(self, turn: Turn, sent_ms: Callable[[str], float]) -> None:
        said = []
        for item_id, item in self._open_items.of(turn.response_id).items():
            words = self._history.broken_off(item_id, math.inf if item.is_written else sent_ms(item_id))
            if words:
                said.append(words)
                self._outlet.do(Record(Said(item_id, "assistant", words)))
        self._mark_ended(turn.response_id, billed=False)
        nothing_shown = turn.held
        if turn.open_to_client:
            self._end_for_client(turn, "incomplete", None)
        unwanted = turn.interrupted or turn.superseded
        if turn.calls_in_round and not unwanted:
            # The calls are under way; what follows them follows all the same.
            turn.phase, turn.rounds, turn.held = Phase.TOOLS, turn.rounds + 1, nothing_shown
            self._follow_up_if_ready(turn)
        elif nothing_shown and not unwanted:
            self._request_for(turn, self._follow_up_params(turn) if turn.rounds else dict(turn.params or {}))
        else:
            self._turn = None
            self._enter("listening")
            asked_since = self._requests.is_owed(self._outlet.now)
            if not (unwanted or turn.items_done or turn.client_called or asked_since):
                self._ask_for_rest(turn, " ".join(said))

    def _ask_for_rest(self, turn: Turn, said: str) -> None:
        params = dict(turn.params or {})
        if turn.breaks:
            params["instructions"] = self._noted(None, APOLOGISE)
        elif said:
            params["instructions"] = self._noted(params, go_on_after(said))
        self._request(Request(self._outlet.new_event_id(), params, self._outlet.now, breaks=turn.breaks + 1))
        self._enter("thinking")

    def connection_lost(self) -> None:
        """There is no connection to the service, and another is looked for."""
        if self._state_behind is None:
            behind: State = self._state or "listening"
            self._enter("reconnecting")
            self._state_behind = behind

    def connection_found(self) -> None:
        """There is one again."""
        behind, self._state_behind = self._state_behind, None
        if behind is not None:
            self._enter(behind)

    def end_of_session(self) -> None:
        """The session ends for want of a service: whatever the client takes to be active has ended."""
        self._fail_out_of_band()
        if self._turn is not None and self._turn.active_to_client:
            self._end_for_client(self._turn, "failed", _LOST)
        self._turn = None
        self._requests.clear()

    def lose_calls(self) -> None:
        """The session ends: results that are still to come reach nobody."""
        self._calls.lose_unanswered()

    def _end_for_client(self, turn: Turn, status: str, error: dict[str, Any] | None, reason: str | None = None) -> None:
        """Ends a response for the client that the service did not end, or that the client never saw begin."""
        self._show(turn)
        turn.open_to_client = False
        usage, turn.hidden_usage = turn.hidden_usage, None
        details = {"reason": reason} if reason else {"error": error} if error else {}
        self._end_response(turn.response_id, turn.created, status, details, usage)

    def _end_response(
        self, response_id: str, created: bytes, status: str, details: dict[str, Any], usage: Usage | None = None
    ) -> None:
        """Ends what is open of a response, and the response: ``details`` go with its status."""
        output = []
        for event in self._open_items.wind_down(response_id):
            if event["type"] == "response.output_item.done":
                output.append(event["item"])
            self._outlet.to_client(encode({**event, "event_id": self._outlet.new_event_id()}))
        done = done_from(decode_object(created), self._outlet.new_event_id(), status, details, output, usage)
        self._outlet.to_client(done)

    # Small things

    def _mark_ended(self, response_id: str, *, billed: bool) -> None:
        self._ended[response_id] = billed
        while len(self._ended) > ENDED_KEPT:
            self._ended.popitem(last=False)

    def _enter(self, state: State) -> None:
        if self._state_behind is not None:
            self._state_behind = state
        elif state != self._state:
            self._state = state
            if self._avatar_events:
                self._outlet.announce(AvatarState(state=state))
