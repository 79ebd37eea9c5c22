"""The transcript guard: what the person said is looked at before it is answered. It does not judge words itself.

The service is told to answer nothing by itself. An item of speech waits for its transcript, a typed one is not sent
before its words are checked, and nothing is asked of the service while an unchecked item may stand in the conversation.
What is stopped is taken out of the conversation, and a safe sentence is spoken in the place of an answer.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from protocol.conversation.actions import Check, Ignored, Record, SetDeadline, Stopped, Verdict
from protocol.conversation.answers import Answers
from protocol.conversation.avatar_states import AvatarStates
from protocol.conversation.configuration import Configuration
from protocol.conversation.outlet import Outlet
from protocol.realtime.client_events import ClientEvent
from protocol.realtime.codec import Head
from protocol.realtime.server_events import ErrorDetail

GUARD_DEADLINE = "guard"
# Of the error that tells a client so.
CODE = "guarded"
# What a client says that has its place in the conversation, so that none may overtake another.
_ORDERED = frozenset(
    {
        "conversation.item.create",
        "conversation.item.delete",
        "conversation.item.retrieve",
        "conversation.item.truncate",
        "response.create",
    }
)
# What may wait behind a check: the size of one message on /ws, and more events than a client asks in that time.
WAITING_MAX_BYTES = 1024 * 1024
WAITING_MAX = 256
# Unchecked items of speech at once; nobody says more while one transcript is waited for.
SPEECH_MAX = 32
# What a stopped response keeps of what the client asked with: how it is spoken, not what.
_KEPT_PARAMS = ("metadata", "output_modalities", "audio")
_MESSAGE = "This is not answered here."
_UNHEARD_MESSAGE = "What was said could not be checked, so it is not answered."


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardPolicy:
    """How a conversation is guarded.

    Attributes:
        sentence: spoken in the place of an answer that is not given.
        fails_open: what cannot be checked is answered; else it is not.
        wait_s: seconds for a transcript, and again for its check; then it cannot be checked.
    """

    sentence: str
    fails_open: bool = False
    wait_s: float = 10.0


@dataclass(slots=True, eq=False)
class _Unchecked:
    """Something that the person said.

    ``check_id`` is "" while its transcript is waited for. ``item_id`` is set for speech, which the service has already;
    ``go_on`` sends what was typed, and ``asks`` is the request for a response that the words came with.
    """

    text: str = ""
    check_id: str = ""
    item_id: str = ""
    event_id: str | None = None
    is_wanted: bool = False
    go_on: Callable[[], None] | None = None
    asks: dict[str, Any] | None = None


@dataclass(slots=True)
class _Waiting:
    """Events of the client that wait for their turn, in order."""

    events: deque[tuple[bytes, Head, ClientEvent]] = field(default_factory=deque)
    size: int = 0


class Guard:
    """What was said and not checked yet, and what waits for it.

    Args:
        policy: None: nothing is guarded, and nothing here has any effect.
    """

    def __init__(
        self,
        outlet: Outlet,
        configuration: Configuration,
        answers: Answers,
        states: AvatarStates,
        policy: GuardPolicy | None,
    ) -> None:
        self._outlet = outlet
        self._configuration = configuration
        self._answers = answers
        self._states = states
        self._policy = policy
        self._unchecked: list[_Unchecked] = []
        self._waiting = _Waiting()
        # Requests whose own words have passed, and that wait for the rest of what was said.
        self._passed: list[_Unchecked] = []
        # Speech is owed an answer, as the client set it.
        self._owes = False
        # Why the next answer is not given: what was said was stopped, or could not be checked.
        self._refused: Literal["", "stopped", "unheard"] = ""
        self._overdue = False
        self._armed = False

    @property
    def is_on(self) -> bool:
        """Whether anything is guarded."""
        return self._policy is not None

    # The client's events

    def holds(self, kind: str) -> bool:
        """Whether an event of the client has to wait for its turn."""
        if self._policy is None or kind not in _ORDERED:
            return False
        if self._waiting.events or self._passed or any(unchecked.go_on for unchecked in self._unchecked):
            return True
        return kind == "response.create" and (bool(self._unchecked) or self._is_heard_now)

    @property
    def _is_answering(self) -> bool:
        return self._answers.is_generating or self._answers.owes_response

    @property
    def _is_heard_now(self) -> bool:
        """Whether speech is about to become an item: the service may place it before it reads what is sent now."""
        journal = self._outlet.journal
        return journal.is_speaking or any(kept.kind == "input_audio_buffer.commit" for kept in journal)

    def hold(self, frame: bytes, head: Head, event: ClientEvent) -> None:
        """Keeps an event until its turn comes; too many of them are refused."""
        waiting = self._waiting
        if len(waiting.events) >= WAITING_MAX or waiting.size + len(frame) > WAITING_MAX_BYTES:
            message = "Too much waits for what was said before to be checked; send it again later."
            self._refuse(event.event_id or None, "too_much_waiting", message)
            return
        waiting.events.append((frame, head, event))
        waiting.size += len(frame)

    def cancel_waiting(self) -> bool:
        """The client wants no answer to what is being checked. True if one had been asked for."""
        owed, self._owes = self._owes, False
        kept: deque[tuple[bytes, Head, ClientEvent]] = deque()
        for frame, head, event in self._waiting.events:
            if head.type == "response.create":
                self._waiting.size -= len(frame)
                self._refuse(event.event_id or None, "response_cancelled", "The response was cancelled.")
            else:
                kept.append((frame, head, event))
        cancelled = owed or bool(self._passed) or len(kept) < len(self._waiting.events)
        for passed in self._passed:
            self._refuse(passed.event_id, "response_cancelled", "The response was cancelled.")
        self._passed.clear()
        self._waiting.events = kept
        for unchecked in self._unchecked:
            cancelled |= unchecked.is_wanted
            unchecked.is_wanted = False
        return cancelled

    def typed(
        self,
        text: str | None,
        event_id: str | None,
        go_on: Callable[[], None],
        *,
        asks: dict[str, Any] | None = None,
    ) -> None:
        """The person's words by keyboard; ``go_on`` is called once they have passed. None: no words, but a picture or

        a recording. ``asks``: the ``response.create`` that they came in.
        """
        if self._policy is None or text == "":
            go_on()
            return
        unchecked = _Unchecked(text or "", event_id=event_id, go_on=go_on, asks=asks)
        self._unchecked.append(unchecked)
        if text is None:
            self._unheard(unchecked)
        else:
            self._check(unchecked)

    def stands_in(self, asked: dict[str, Any]) -> bool:
        """The client asks for an answer. True if a safe sentence stands in its place, for what was said was stopped."""
        if not self._refused or self._is_answering:
            return False
        self._speak_safely(asked)
        return True

    # Speech

    def committed(self, item_id: str, *, is_wanted: bool) -> None:
        """Speech became an item; ``is_wanted``: the client expects an answer without asking."""
        if self._policy is None:
            return
        unchecked = _Unchecked(item_id=item_id, is_wanted=is_wanted)
        self._unchecked.append(unchecked)
        if is_wanted and not self._answers.is_generating:
            self._states.enter("thinking")
        if len(self._unchecked) > SPEECH_MAX:
            self._unheard(self._unchecked[0])
        self._arm()

    def transcribed(self, item_id: str, text: str) -> None:
        """The words of an item of speech are known."""
        unchecked = self._of_speech(item_id)
        if unchecked is None:
            return
        unchecked.text = text
        if text.strip():
            self._check(unchecked)
        else:
            self._pass(unchecked)

    def not_transcribed(self, item_id: str) -> None:
        """The words of an item of speech will not be known."""
        unchecked = self._of_speech(item_id)
        if unchecked is not None:
            self._unheard(unchecked)

    def _of_speech(self, item_id: str) -> _Unchecked | None:
        """The item, if its transcript is still waited for."""
        return next((one for one in self._unchecked if one.item_id == item_id and not one.check_id), None)

    def interrupted(self) -> None:
        """The person speaks again: no answer is wanted to what was said before. It is checked all the same."""
        self._owes, self._refused = False, ""
        for unchecked in self._unchecked:
            unchecked.is_wanted = False

    def connection_replaced(self) -> None:
        """No transcript comes of what was said to the old connection. A check that is under way goes on."""
        for unchecked in [one for one in self._unchecked if not one.check_id]:
            self._unheard(unchecked)

    # Checks

    def _check(self, unchecked: _Unchecked) -> None:
        unchecked.check_id = f"check_{self._outlet.new_event_id()}"
        self._outlet.do(Check(unchecked.check_id, unchecked.text))
        self._arm()

    def checked(self, check_id: str, verdict: Verdict) -> None:
        """A check has its verdict."""
        unchecked = next((one for one in self._unchecked if one.check_id == check_id), None)
        if unchecked is None:
            self._outlet.do(Ignored("guard", "verdict", "nobody waits for it any more"))
        elif verdict.passes:
            self._pass(unchecked)
        else:
            self._stop(unchecked, "stopped", verdict.rule)

    def overdue(self) -> None:
        """What is waited for did not come in time."""
        self._armed, self._overdue = False, True
        for unchecked in list(self._unchecked):
            self._unheard(unchecked)

    def _unheard(self, unchecked: _Unchecked) -> None:
        if self._policy is not None and self._policy.fails_open:
            self._pass(unchecked)
        else:
            self._stop(unchecked, "unheard", "")

    def _pass(self, unchecked: _Unchecked) -> None:
        self._unchecked.remove(unchecked)
        self._refused = ""
        self._owes |= unchecked.is_wanted
        if unchecked.asks is not None and self._unchecked:
            self._passed.append(unchecked)
        elif unchecked.go_on is not None:
            unchecked.go_on()

    def _stop(self, unchecked: _Unchecked, why: Literal["stopped", "unheard"], rule: str) -> None:
        self._unchecked.remove(unchecked)
        self._outlet.do(Record(Stopped(unchecked.item_id, rule or why, unchecked.text)))
        self._refuse(unchecked.event_id, CODE, _MESSAGE if why == "stopped" else _UNHEARD_MESSAGE)
        if unchecked.item_id:
            # It stands in the conversation, where later answers would read it.
            self._outlet.send_event(
                {
                    "type": "conversation.item.delete",
                    "event_id": self._outlet.new_event_id(),
                    "item_id": unchecked.item_id,
                }
            )
        asks = unchecked.asks
        if asks is None:
            self._refused = why
            self._owes |= unchecked.is_wanted
        elif (asks.get("response") or {}).get("conversation") != "none" and not self._is_answering:
            # What is asked beside the conversation is not spoken there; the error tells all.
            self._refused = why
            self._speak_safely(asks)

    def _refuse(self, event_id: str | None, code: str, message: str) -> None:
        named = None if self._outlet.is_anonymous(event_id) else event_id
        self._outlet.refuse(ErrorDetail(type="invalid_request_error", code=code, message=message, event_id=named))

    def _speak_safely(self, asked: dict[str, Any] | None) -> None:
        given = (asked or {}).get("response") or {}
        params = {name: given[name] for name in _KEPT_PARAMS if name in given}
        if self._refused == "stopped" and self._policy is not None:
            # Nothing of the conversation is shown to the model for it, so that nothing in it can have a say.
            params |= {"instructions": f"Say exactly: {self._policy.sentence}", "input": [], "tool_choice": "none"}
            self._answers.say_instead(params)
        else:
            self._answers.apologise_instead(params)
        self._refused = ""

    # The end of a step

    def look(self, take: Callable[[bytes, Head, ClientEvent], None]) -> None:
        """What waited for a check goes on once there is none under way. ``take`` handles an event of the client."""
        if self._policy is None:
            return
        if self._unchecked:
            self._answers.withhold(True)
        else:
            if self._owes and not self._is_answering:
                self._owes = False
                if self._refused:
                    self._speak_safely(None)
                else:
                    self._answers.ask_for_speech()
            while self._passed:
                if (go_on := self._passed.pop(0).go_on) is not None:
                    go_on()
            self._release(take)
            self._answers.withhold(bool(self._unchecked))
        self._arm(anew=False)

    def _release(self, take: Callable[[bytes, Head, ClientEvent], None]) -> None:
        waiting = self._waiting
        while waiting.events and not self._unchecked:
            if waiting.events[0][1].type == "response.create" and self._is_heard_now and not self._overdue:
                return
            frame, head, event = waiting.events.popleft()
            waiting.size -= len(frame)
            take(frame, head, event)

    def _arm(self, *, anew: bool = True) -> None:
        if self._policy is None:
            return
        waits = bool(self._unchecked or self._waiting.events)
        if waits and (anew or not self._armed):
            self._outlet.do(SetDeadline(GUARD_DEADLINE, self._outlet.now + self._policy.wait_s))
        elif not waits and self._armed:
            self._outlet.do(SetDeadline(GUARD_DEADLINE, None))
        self._armed = waits
        self._overdue &= bool(self._waiting.events)


def words_of_person(content: Any) -> str | None:
    """The words in the content of a user's message; None if something in it has none."""
    parts = content if isinstance(content, list) else []
    if any(not isinstance(part, dict) or part.get("type") not in ("input_text", "text") for part in parts):
        return None
    return "\n".join(str(part.get("text") or "") for part in parts).strip()


def words_of_input(items: Any) -> str | None:
    """The person's words in the ``input`` of a request for a response; None if something in it has none."""
    said = [
        words_of_person(item.get("content"))
        for item in (items if isinstance(items, list) else [])
        if isinstance(item, dict) and item.get("type", "message") == "message" and item.get("role") == "user"
    ]
    if any(words is None for words in said):
        return None
    return "\n".join(words for words in said if words)
