"""Calls of server tools: each is run once and answered once, or recorded as lost. What follows is decided elsewhere."""

from dataclasses import dataclass
from typing import Any

import msgspec

from protocol.conversation.actions import Called, Ignored, Record, RunTool, SetDeadline, ToolResult
from protocol.conversation.configuration import Configuration
from protocol.conversation.outlet import Outlet
from protocol.conversation.turns import Turn
from protocol.conversation.visibility import HiddenItems
from protocol.realtime.codec import decode_object, encode
from protocol.realtime.items import Item
from protocol.realtime.response import Response
from protocol.realtime.server_events import ResponseDone
from protocol.realtime.usage import Usage

# The deadline of each call: this and its call id.
TOOL_DEADLINE = "tool:"
# What the model is told of a tool that gave no result at all.
NO_RESULT = ToolResult('{"error":"The tool did not answer. Say so, and go on.","unavailable":true}')


@dataclass(slots=True)
class ServerCall:
    """A call of a server tool. ``turn`` asked for it; None: it was not run, or is answered."""

    call_id: str
    item_id: str
    name: str
    turn: Turn | None
    answered: bool = False


class ServerCalls:
    """Every call of a server tool that was seen in this conversation."""

    __slots__ = ("_calls", "_configuration", "_hidden", "_outlet", "_tool_s", "_untold")

    def __init__(self, outlet: Outlet, configuration: Configuration, hidden: HiddenItems, tool_s: float) -> None:
        self._outlet = outlet
        self._configuration = configuration
        self._hidden = hidden
        self._tool_s = tool_s
        self._calls: dict[str, ServerCall] = {}
        # Calls whose results wait for a connection.
        self._untold: list[ServerCall] = []

    def __contains__(self, call_id: object) -> bool:
        return call_id in self._calls

    def is_one(self, item: Item) -> bool:
        """Whether an item is a call of a server tool."""
        return item.type == "function_call" and self._configuration.runs_here(item.name)

    def is_hidden(self, item: Item) -> bool:
        """Whether the client must not see an item."""
        return item.id in self._hidden or (self.is_one(item) and not self._configuration.show_tools)

    def shown_done(self, frame: bytes, event: ResponseDone, usage: Usage | None) -> bytes:
        """``response.done`` without the calls of server tools, and with ``usage`` where that is not the service's."""
        hides = any(self.is_hidden(item) for item in event.response.output)
        if not hides and usage is None:
            return frame
        shown = decode_object(frame)
        response = shown["response"]
        if hides:
            # Item for item as in the struct that was made of the same list.
            pairs = zip(response["output"], event.response.output, strict=True)
            response["output"] = [item for item, read in pairs if not self.is_hidden(read)]
        if usage is not None:
            response["usage"] = {**(response.get("usage") or {}), **msgspec.to_builtins(usage)}
        return encode(shown)

    def name_of(self, call_id: str) -> str:
        """The tool that a call that was seen here calls."""
        return self._calls[call_id].name

    def hide(self, item: Item) -> None:
        """Hides a call's item, unless the client asked to see tools at work."""
        if item.id and not self._configuration.show_tools:
            self._hidden.hide(item.id)

    def run(self, turn: Turn, item: Item) -> bool:
        """Runs a complete call for ``turn``; one that was cut short is lost. False if it was not run now."""
        call_id = item.call_id or ""
        if call_id in self._calls:
            return False
        if not call_id or (item.status or "completed") != "completed":
            self.lose(item)
            return False
        self.hide(item)
        self._calls[call_id] = ServerCall(call_id, item.id or "", item.name or "", turn)
        turn.pending.add(call_id)
        turn.calls_in_round += 1
        if item.id:
            turn.call_items.append(item.id)
        self._outlet.do(RunTool(call_id, item.name or "", item.arguments or ""))
        return True

    def started(self, call_id: str) -> None:
        """A call had its turn and runs: from now on its result is waited for."""
        call = self._calls.get(call_id)
        if call is not None and not call.answered:
            self._outlet.do(SetDeadline(TOOL_DEADLINE + call_id, self._outlet.now + self._tool_s))

    def lose(self, item: Item) -> None:
        """A call that is not run: it is cut short, or nobody waits for its result."""
        call_id = item.call_id or ""
        if call_id in self._calls:
            return
        self.hide(item)
        if call_id:
            self._calls[call_id] = ServerCall(call_id, item.id or "", item.name or "", None, answered=True)
        self._outlet.do(Record(Called(call_id, item.name or "", "lost")))

    def lose_those_of(self, response: Response) -> None:
        """A response ended beside the turn: nobody waits for its calls."""
        for item in response.output:
            if self.is_one(item):
                self.lose(item)

    def lose_unanswered(self) -> None:
        """The session ends: results that are still to come reach nobody."""
        for call in self._calls.values():
            if not call.answered or call in self._untold:
                call.answered = True
                self._outlet.do(Record(Called(call.call_id, call.name, "lost")))

    def told(self) -> None:
        """There is a connection: the results that waited for one are told."""
        for call in self._untold:
            self._outlet.do(Record(Called(call.call_id, call.name, "answered")))
        self._untold.clear()

    def answer(self, call_id: str, result: ToolResult) -> Turn | None:
        """Tells the service a call's result. Returns the turn that asked; None if the call needs no answer any more."""
        call = self._calls.get(call_id)
        if call is None or call.answered or call.turn is None:
            self._outlet.do(Ignored("tool", "result", "the call is unknown or already answered"))
            return None
        call.answered = True
        self._outlet.do(SetDeadline(TOOL_DEADLINE + call_id, None))
        item_id = self._outlet.new_item_id()
        if not self._configuration.show_tools:
            self._hidden.hide(item_id)
        create: dict[str, Any] = {
            "type": "conversation.item.create",
            "event_id": self._outlet.new_event_id(),
            "item": {"id": item_id, "type": "function_call_output", "call_id": call_id, "output": result.output},
        }
        if call.item_id:
            # Right behind its call, whatever was said meanwhile: the pair stays together when old items are dropped.
            create["previous_item_id"] = call.item_id
        self._outlet.send_event(create)
        self._untold.append(call)
        if self._outlet.is_open:
            self.told()
        # The call is remembered as long as the session lives, its turn need not be.
        turn, call.turn = call.turn, None
        turn.pending.discard(call_id)
        turn.call_items.append(item_id)
        return turn
