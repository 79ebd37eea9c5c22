"""The life of answers: responses of the service, the server tools they call, and the follow-ups that speak the results.

Server tools are invisible to clients. A response is therefore held back until something visible comes of it; one that
consists of server calls only is never shown, and its follow-up stands in its place with the usage of both. Meanwhile
the client must take a response to be active. What a session is configured to be is decided next door.
"""

from collections import OrderedDict
from typing import Any

import msgspec

from protocol.avatar.events import AvatarCitations, AvatarState, AvatarUsage, State
from protocol.conversation.actions import Charge, Evidence, Ignored, Record, Said, SetDeadline, ToolResult
from protocol.conversation.calls import ServerCalls
from protocol.conversation.citations import by_support
from protocol.conversation.configuration import Configuration
from protocol.conversation.outlet import Outlet
from protocol.conversation.requests import Request, Requests
from protocol.conversation.turns import Phase, Turn
from protocol.conversation.visibility import HiddenItems
from protocol.realtime.codec import decode_object, encode
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

FOLLOW_UP_DEADLINE = "follow_up"
# Seconds for the service to begin a response it was asked for; captures show well under one.
FOLLOW_UP_DEADLINE_S = 15.0
# Responses of one turn that may end in server tool calls; the next one must answer. A model in a loop else spends
# the operator's money in silence.
MAX_TOOL_ROUNDS = 5
# Ended responses remembered, to tell a late or repeated event from a new one.
ENDED_KEPT = 256


class Answers:
    """The turn under way, the responses live beside it, and the tool calls in flight."""

    def __init__(
        self, outlet: Outlet, configuration: Configuration, hidden: HiddenItems, *, avatar_events: bool
    ) -> None:
        self._outlet = outlet
        self._configuration = configuration
        self._hidden = hidden
        self._avatar_events = avatar_events
        self._state: State | None = None
        self._turn: Turn | None = None
        self._calls = ServerCalls(outlet, configuration, hidden)
        self._requests = Requests()
        self._last_response_id = ""
        self._out_of_band: set[str] = set()
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

    def _send_request(self, event: dict[str, Any], event_id: str | None, *, out_of_band: bool) -> None:
        params = event.get("response")
        if isinstance(params, dict):
            event = {**event, "response": self._with_tools(params, out_of_band=out_of_band)}
            params = event["response"]
        request = Request(event_id or self._outlet.new_event_id(), params, self._outlet.now, out_of_band)
        self._requests.add(request, anonymous=event_id is None)
        # An error names the request only by event_id, so each has one.
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
            requested = turn.phase is Phase.REQUESTED
            self._supersede(turn, "client_cancelled")
            if known_to_client and not requested:
                return
        self._outlet.to_upstream(frame)

    def interrupted(self) -> None:
        """The user began to speak over the answer: one that waits for tools will not be spoken any more."""
        turn = self._turn
        if turn is None:
            return
        if turn.phase is Phase.GENERATING:
            # The service cancels it; if it was just complete, nothing follows all the same.
            turn.interrupted = True
            return
        if turn.phase is Phase.REQUESTED:
            self._outlet.send_event({"type": "response.cancel", "event_id": self._outlet.new_event_id()})
        self._supersede(turn, "turn_detected")

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
            self._out_of_band.add(response.id)
            self._outlet.to_client(frame)
            return
        self._begin(response.id, frame, request)

    def _begin(self, response_id: str, created: bytes, request: Request | None) -> None:
        turn = self._turn
        if turn is not None and request is not None and request.turn is turn:
            self._outlet.do(SetDeadline(FOLLOW_UP_DEADLINE, None))
            turn.response_id, turn.created, turn.held = response_id, created, True
            turn.phase, turn.calls_in_round, turn.client_called = Phase.GENERATING, 0, False
        else:
            if turn is not None:
                self._leave(turn)
            turn = self._turn = Turn(response_id, request.params if request else None, created)
            turn.superseded = request is not None and request.turn is not None
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
                _created_from(whole, self._outlet.new_event_id()),
                self._requests.answered_by(response, self._outlet.now, out_of_band=False),
            )
        turn = self._turn
        if turn is None:
            raise AssertionError("a response that just began is the current turn")
        for item in response.output:
            if self._calls.is_one(item):
                self._call(turn, item)
        follows = (
            turn.calls_in_round > 0
            and response.status == "completed"
            and not (turn.superseded or turn.interrupted)
            and turn.rounds < MAX_TOOL_ROUNDS
        )
        if follows and turn.held:
            turn.hidden_usage = _sum(turn.hidden_usage, response.usage)
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
        usage = _sum(turn.hidden_usage, event.response.usage)
        self._outlet.to_client(self._shown_done(frame, event, usage if turn.hidden_usage is not None else None))
        turn.open_to_client, turn.hidden_usage = False, None
        if usage is not None and self._avatar_events:
            self._outlet.announce(_usage_event(event.response.id, usage))

    def _finish_beside(self, frame: bytes, event: ResponseDone, *, shown: bool) -> None:
        """The end of a response that is not the turn's: nobody waits for its calls."""
        response = event.response
        self._calls.lose_those_of(response)
        if response.id not in self._out_of_band and shown:
            self._requests.answered_by(response, self._outlet.now, out_of_band=response.conversation_id is None)
            self._outlet.to_client(_created_from(decode_object(frame), self._outlet.new_event_id()))
        self._out_of_band.discard(response.id)
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
        self._outlet.to_client(frame)

    def item_done(self, frame: bytes, event: OutputItemDone) -> None:
        """``response.output_item.done``: the moment to run a server tool."""
        item = event.item
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
        request = Request(self._outlet.new_event_id(), turn.params, self._outlet.now, turn=turn)
        turn.phase = Phase.REQUESTED
        self._requests.add(request)
        event = {"type": "response.create", "event_id": request.event_id}
        if params := self._follow_up_params(turn):
            event["response"] = params
        self._outlet.send_event(event)
        self._outlet.do(SetDeadline(FOLLOW_UP_DEADLINE, self._outlet.now + FOLLOW_UP_DEADLINE_S))
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
            self._outlet.do(SetDeadline(FOLLOW_UP_DEADLINE, None))
            if error.code == "conversation_already_has_active_response":
                # The service began a response by itself: the user went on, and that response answers.
                self._supersede(turn, "turn_detected")
            else:
                self._fail(turn, error)
        return True

    def is_anonymous_request(self, event_id: str | None) -> bool:
        """Whether this event id was given by us to a client's request that had none."""
        return self._requests.is_anonymous(event_id)

    def follow_up_overdue(self) -> None:
        """The service did not begin the follow-up in time."""
        turn = self._turn
        if turn is not None and turn.phase is Phase.REQUESTED:
            self._requests.forget(turn)
            message = f"The service did not answer within {FOLLOW_UP_DEADLINE_S:.0f} seconds."
            self._fail(turn, ErrorDetail(type="server_error", code="response_timeout", message=message))

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
        self._outlet.do(SetDeadline(FOLLOW_UP_DEADLINE, None))
        turn.superseded = True
        if turn.active_to_client:
            self._end_for_client(turn, "cancelled", None, reason)
        if turn.client_create is not None:
            message = "The response was cancelled before it began: the conversation went on."
            event_id = turn.client_create.get("event_id") or None
            self._outlet.refuse(
                ErrorDetail(type="invalid_request_error", code="response_cancelled", message=message, event_id=event_id)
            )
        self._turn, self._evidence = None, []
        self._enter("listening")

    def upstream_lost(self) -> None:
        """The service's connection is gone: whatever the client takes to be active has ended."""
        if self._turn is not None and self._turn.active_to_client:
            self._end_for_client(self._turn, "failed", {"type": "server_error", "code": "upstream_lost"})
        self._turn = None
        self._out_of_band.clear()
        self._requests.clear()

    def lose_calls(self) -> None:
        """The session ends: results that are still to come reach nobody."""
        self._calls.lose_unanswered()

    def _end_for_client(self, turn: Turn, status: str, error: dict[str, Any] | None, reason: str | None = None) -> None:
        """Ends a response for the client that the service did not end, or that the client never saw begin."""
        self._show(turn)
        turn.open_to_client = False
        event = decode_object(turn.created)
        details: dict[str, Any] = {"type": status}
        if reason:
            details["reason"] = reason
        if error:
            details["error"] = error
        event["type"], event["event_id"] = "response.done", self._outlet.new_event_id()
        event["response"] |= {"status": status, "status_details": details, "output": []}
        if turn.hidden_usage is not None:
            event["response"]["usage"] = msgspec.to_builtins(turn.hidden_usage)
            turn.hidden_usage = None
        self._outlet.to_client(encode(event))

    # Small things

    def _mark_ended(self, response_id: str, *, billed: bool) -> None:
        self._ended[response_id] = billed
        while len(self._ended) > ENDED_KEPT:
            self._ended.popitem(last=False)

    def _enter(self, state: State) -> None:
        if state != self._state:
            self._state = state
            if self._avatar_events:
                self._outlet.announce(AvatarState(state=state))


def _sum(first: Usage | None, second: Usage | None) -> Usage | None:
    if first is None or second is None:
        return second if first is None else first
    return first + second


def _created_from(event: dict[str, Any], event_id: str) -> bytes:
    """A ``response.created`` for a response of which only the end was seen."""
    event["type"], event["event_id"] = "response.created", event_id
    event["response"] |= {"status": "in_progress", "status_details": None, "output": [], "usage": None}
    return encode(event)


def _usage_event(response_id: str, usage: Usage) -> AvatarUsage:
    read, written = usage.input_token_details, usage.output_token_details
    return AvatarUsage(
        response_id=response_id,
        input_text_tokens=read.text_tokens,
        input_audio_tokens=read.audio_tokens,
        input_image_tokens=read.image_tokens,
        cached_tokens=read.cached_tokens,
        output_text_tokens=written.text_tokens,
        output_audio_tokens=written.audio_tokens,
        total_tokens=usage.total_tokens,
    )
