"""What must hold for any conversation, checked from outside: from what went in and what came out, step by step.

Shares no state and no code with the machine but the decoders of frames. It is wrong to look into the machine here.
"""

import base64
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from protocol.conversation.actions import (
    Action,
    Called,
    Charge,
    Close,
    Disconnect,
    Record,
    RunTool,
    ToClient,
    ToUpstream,
)
from protocol.conversation.service_watch import RESPONSE_DEADLINE
from protocol.realtime.codec import InvalidEvent, decode_server, read_head
from tests.protocol.conversation.service import SERVER_TOOL

Event = dict[str, Any]

OUR_TOOL = SERVER_TOOL["name"]
# A field of ours in what the fake client sends: whatever lacks it was made by the machine.
BY_CLIENT = "x_client"


class Oracle:
    """Watches one conversation. ``begun_by``: the service's word for which request began a response."""

    def __init__(self, begun_by: Mapping[str, str | None], *, show_tools: bool, interrupts: bool) -> None:
        self._begun_by = begun_by
        self._show_tools, self._interrupts = show_tools, interrupts
        self.closed = False
        self.shown: dict[str, str] = {}
        self.hidden: set[str] = set()
        self.charged: Counter[str] = Counter()
        self._begun: set[str] = set()
        self._ended: set[str] = set()
        self._active: str | None = None
        # Server calls: their response, how often each was run, answered, lost.
        self.call_of: dict[str, str] = {}
        self.run: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        # Results told to the present connection.
        self.told: Counter[str] = Counter()
        # Answers that were lost with a connection, and may be asked for again.
        self.owed_again = 0
        # Answers of a guarded conversation that the machine asks for itself: one for what was said, at most.
        self.owed_by_guard = 0
        self.lost: Counter[str] = Counter()
        self._client_calls: set[str] = set()
        # Rounds: responses that completed with server calls; those followed; those that need not be.
        self.completed: list[str] = []
        self.followed: dict[str, str] = {}
        self.excused: set[str] = set()
        self._interrupted: set[str | None] = set()
        self.follow_ups: list[str] = []
        self.outstanding: str | None = None
        self.dropped: set[str] = set()
        # Sound
        self.sent_ms: Counter[str] = Counter()
        self.acknowledged_ms: dict[str, float] = {}
        self.bytes_per_ms = 48
        self._input: bytes | None = None
        self._input_event: Event | None = None

    # What goes in

    def client_says(self, frame: bytes) -> None:
        """The client sends a frame."""
        self._input, self._input_event = frame, None
        event = _read(frame)
        if event is None:
            return
        if event.get("type") == "response.cancel":
            self._drop_rounds()
        if event.get("type") == "response.create":
            # It may stand in for the machine's own follow-up.
            self.excused |= set(self.completed) - set(self.followed)
        item = event.get("item")
        if event.get("type") == "conversation.item.create" and isinstance(item, dict) and item.get("call_id"):
            self._client_calls.add(str(item["call_id"]))
        if event.get("type") == "avatar.playback":
            item_id, ms = event.get("item_id"), event.get("played_ms")
            if isinstance(item_id, str) and isinstance(ms, int | float) and ms >= 0 and item_id in self.sent_ms:
                heard = min(float(ms), self.sent_ms[item_id])
                self.acknowledged_ms[item_id] = max(heard, self.acknowledged_ms.get(item_id, 0.0))

    def service_says(self, frame: bytes) -> None:
        """The service's frame arrives."""
        self._input, self._input_event = frame, None
        event = _read(frame)
        if event is not None and not _fits(frame):
            event = _what_fits_of_an_end(event)
        if event is None:
            return
        self._input_event = event
        items: list[Any] = [event.get("item")]
        response = event.get("response")
        if isinstance(response, dict):
            items += response.get("output") or []
        for item in items:
            if isinstance(item, dict) and not self._show_tools:
                self._hide(item)
        kind = event.get("type")
        if kind == "response.created" and isinstance(response, dict):
            self._created(response)
        elif kind == "response.done" and isinstance(response, dict):
            self._done(response)
        elif kind == "error" and event["error"].get("event_id") == self.outstanding:
            self._resolve()
        elif kind == "input_audio_buffer.speech_started" and self._interrupts:
            self._interrupted |= set(self.completed) - set(self.followed)
            self._interrupted |= {self._active} - {None}
            self._drop_rounds()

    def result_comes(self, call_id: str) -> None:
        """A tool's result arrives."""
        self._input = self._input_event = None

    def deadline_passes(self, name: str) -> None:
        """A deadline fires."""
        self._input = self._input_event = None
        if name == RESPONSE_DEADLINE:
            # The service may be asked for the answer to speech that it owes.
            self.owed_again = 1

    def something_else(self) -> None:
        """Open or ended."""
        self._input = self._input_event = None

    def connection_lost(self) -> None:
        """The service knows nothing any more."""
        self.told.clear()
        self.owed_again = 1
        if self.outstanding is not None:
            self.dropped.add(self.outstanding)
        if self._active is not None:
            self.excused.add(self._active)
        self._active = None
        self._resolve()

    def _hide(self, item: Event) -> None:
        call_id = item.get("call_id")
        mine = item.get("type") == "function_call" and item.get("name") == OUR_TOOL
        mine = mine and call_id not in self._client_calls
        if mine or (item.get("type") == "function_call_output" and call_id in self.call_of):
            self.hidden |= {str(part) for part in (item.get("id"), call_id) if part}

    def _created(self, response: Event) -> None:
        again = response["id"] in self._begun | self._ended
        self._begun.add(response["id"])
        if response.get("conversation_id", "absent") is not None and not again:
            if self.outstanding is not None and self._begun_by.get(response["id"]) != self.outstanding:
                self.dropped.add(self.outstanding)
            self._resolve()
            # Whatever waited for its follow-up has been overtaken, unless this is that follow-up.
            self.excused |= set(self.completed) - set(self.followed)
            self._active = response["id"]

    def _done(self, response: Event) -> None:
        in_band = response.get("conversation_id", "absent") is not None or response["id"] == self._active
        if in_band and response["id"] not in self._begun and self._active is None:
            # An end without a beginning is both.
            self._created(response)
        if response["id"] == self._active:
            self._active = None
        calls = any(_is_ours(item) for item in response.get("output") or []) or response["id"] in self.call_of.values()
        if calls and in_band and response["status"] == "completed" and response["id"] not in self._ended:
            self.completed.append(response["id"])
            self.call_of.update(
                {item.get("call_id"): response["id"] for item in response.get("output") or [] if _is_ours(item)}
            )

    def _resolve(self) -> None:
        self.outstanding = None

    def _drop_rounds(self) -> None:
        """The user or the client goes on: no follow-up of what stands now is asked for any more."""
        self.excused |= set(self.completed) - set(self.followed)
        if self._active is not None:
            self.excused.add(self._active)
        if self.outstanding is not None:
            self.dropped.add(self.outstanding)
        self._resolve()

    # What comes out

    def check(self, actions: list[Action]) -> None:
        """The actions of the step whose input was told just before."""
        assert not (self.closed and actions), f"asked for after Close: {actions}"
        newly_charged: Counter[str] = Counter()
        for action in actions:
            assert not self.closed, f"asked for after Close: {action}"
            match action:
                case ToClient():
                    self._to_client(action)
                case ToUpstream():
                    self._to_upstream(action)
                case RunTool(call_id=call_id):
                    self.run[call_id] += 1
                    assert self.run[call_id] == 1, f"{call_id} is run again"
                    assert self.lost[call_id] == 0
                case Charge(kind="response", id=response_id):
                    newly_charged[response_id] += 1
                case Record(entry=Called(call_id=call_id, outcome="lost")):
                    self.lost[call_id] += 1
                    assert self.lost[call_id] == 1 or not call_id, f"{call_id} is lost twice"
                    assert self.answered[call_id] == 0, f"{call_id} is lost after it was answered"
                case Disconnect():
                    self.connection_lost()
                case Close():
                    self.closed = True
        self._check_charges(newly_charged)
        self._check_calls_are_taken_up()
        if self.closed:
            for call_id in self.run:
                once = bool(self.answered[call_id]) + self.lost[call_id]
                assert once == 1, f"{call_id} is neither answered nor lost"

    def _check_charges(self, newly: Counter[str]) -> None:
        event = self._input_event
        expected: Counter[str] = Counter()
        if event is not None and event["type"] == "response.done" and not (self.closed and not newly):
            response = event["response"]
            if response["id"] not in self._ended:
                expected[response["id"]] = 1
                self._ended.add(response["id"])
        assert newly == expected, f"charged {newly}, not {expected}"
        self.charged += newly

    def _check_calls_are_taken_up(self) -> None:
        event = self._input_event
        if event is None or self.closed:
            return
        items, response_id = [], None
        if event["type"] == "response.output_item.done":
            items, response_id = [event["item"]], event["response_id"]
        elif event["type"] == "response.done":
            items, response_id = event["response"].get("output") or [], event["response"]["id"]
        for item in items:
            if _is_ours(item) and item.get("call_id"):
                self.call_of.setdefault(item["call_id"], str(response_id))
                taken = self.run[item["call_id"]] + self.lost[item["call_id"]]
                assert taken >= 1, f"the call {item['call_id']} is neither run nor recorded as lost"

    def _to_client(self, action: ToClient) -> None:
        event = json.loads(action.frame)
        kind = event["type"]
        if kind != "error":
            for secret in self.hidden:
                assert f'"{secret}"'.encode() not in action.frame, f"{kind} shows {secret}"
        if kind.startswith("session.") and not self._show_tools:
            assert OUR_TOOL not in [tool.get("name") for tool in event["session"].get("tools", [])]
        if kind == "response.output_audio.delta":
            assert action.frame is self._input
            if (size := _size(event["delta"])) is not None:
                assert abs(action.audio_ms - size / self.bytes_per_ms) < 1e-6
            self.sent_ms[event["item_id"]] += action.audio_ms  # type: ignore[assignment]
        else:
            assert action.audio_ms == 0
        if kind.startswith("response."):
            self._check_place(kind, event)

    def _check_place(self, kind: str, event: Event) -> None:
        response_id = event["response"]["id"] if "response" in event else event.get("response_id")
        if response_id is None:
            return
        stands = self.shown.get(response_id)
        if kind == "response.created":
            assert stands is None, f"{response_id} begins again"
            self.shown[response_id] = "open"
        elif kind == "response.done":
            assert stands == "open", f"{response_id} ends while {stands}"
            self.shown[response_id] = "ended"
            if not self._show_tools:
                assert not any(_is_ours(item) for item in event["response"].get("output", []))
        else:
            assert stands == "open", f"{kind} of {response_id} while {stands}"

    def _to_upstream(self, action: ToUpstream) -> None:
        event = json.loads(action.frame)
        if BY_CLIENT in event:
            return
        kind = event["type"]
        if kind == "conversation.item.create" and event["item"]["type"] == "function_call_output":
            item = event["item"]
            call_id = item["call_id"]
            if call_id not in self.run:
                return  # the client's own
            self.answered[call_id] += 1
            self.told[call_id] += 1
            assert self.told[call_id] == 1, f"{call_id} is answered again"
            assert self.run[call_id] == 1
            assert self.lost[call_id] == 0
            if not self._show_tools:
                self.hidden.add(item["id"])
        elif kind == "response.create":
            self._follow_up(event)
        elif kind == "conversation.item.truncate":
            item_id, end_ms = event["item_id"], event["audio_end_ms"]
            assert 0 <= end_ms <= self.sent_ms[item_id] + 1e-6, f"{item_id} cut at {end_ms} of {self.sent_ms[item_id]}"
            assert end_ms <= self.acknowledged_ms.get(item_id, end_ms)

    def _follow_up(self, event: Event) -> None:
        assert self._active is None, f"a follow-up while {self._active} is active"
        # An error that names nothing leaves a request in doubt: what was said since is answered all the same.
        in_doubt = bool(self.owed_by_guard)
        assert in_doubt or self.outstanding is None, f"a follow-up while {self.outstanding} is unanswered"
        ready = [round_ for round_ in self.completed if round_ not in self.followed]
        if self.owed_again:
            # What the lost connection was answering, or had been asked for.
            self.owed_again -= 1
            self.outstanding = event["event_id"]
            self.followed |= dict.fromkeys(ready, str(event["event_id"]))
            return
        latest = ready[-1] if ready else None
        mine = [call_id for call_id, of in self.call_of.items() if of == latest and self.run[call_id]]
        has_all = all(self.answered[call_id] for call_id in mine)
        if self.owed_by_guard and (latest is None or latest in self._interrupted or not has_all):
            # What was said meanwhile is answered; what was looked up before is overtaken.
            self.owed_by_guard -= 1
            self.outstanding = event["event_id"]
            self.excused.update(ready)
            self.followed |= dict.fromkeys(ready, str(event["event_id"]))
            return
        assert latest is not None, "a follow-up of nothing"
        assert latest not in self._interrupted, "a follow-up to what was interrupted"
        assert has_all, "a follow-up before all results"
        self.followed[latest] = event["event_id"]
        self.follow_ups.append(event["event_id"])
        self.outstanding = event["event_id"]


def _read(frame: bytes) -> Event | None:
    try:
        event = json.loads(frame)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def _size(audio: str) -> int | None:
    try:
        return len(base64.b64decode(audio, validate=True))
    except ValueError:
        return None


def _fits(frame: bytes) -> bool:
    try:
        decode_server(frame, read_head(frame))
    except InvalidEvent:
        return False
    return True


def _what_fits_of_an_end(event: Event) -> Event | None:
    """A response's end counts even where its usage or output cannot be read."""
    response = event.get("response")
    if event.get("type") != "response.done" or not isinstance(response, dict):
        return None
    unreadable: tuple[Event, ...] = ({"usage": None}, {"output": []}, {"usage": None, "output": []})
    for lesser in unreadable:
        candidate = {**event, "response": {**response, **lesser}}
        if _fits(json.dumps(candidate).encode()):
            return candidate
    return None


def _is_ours(item: Event) -> bool:
    return item.get("type") == "function_call" and item.get("name") == OUR_TOOL
