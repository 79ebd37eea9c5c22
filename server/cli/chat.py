"""One conversation with an avatar, from the client's side: what is asked, and what becomes of each answer."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import trio

from protocol.avatar.events import AvatarCitations, AvatarGoingAway, AvatarSession, AvatarState, Snapshot
from protocol.realtime import server_events as ev
from protocol.realtime.base import UNSET
from protocol.realtime.codec import Head, InvalidEvent, read_head
from protocol.realtime.response import Response
from server.cli.answer import Answer
from server.cli.avatar_connection import AvatarConnection, ConnectionBroke
from server.cli.command import CommandFailed
from server.cli.sound_file import SoundFile
from server.cli.talk_output import Output
from server.cli.typed_lines import Lines

QUIT = "/quit"
# The answer was over before the wish to interrupt it arrived: nothing to tell anybody.
_NOTHING_TO_CANCEL = "response_cancel_not_active"
_ANSWERED_ALREADY = "conversation_already_has_active_response"
# The server's answer to a claim of a session that is over; a new one follows.
_RESUME_REFUSED = "resume_refused"
# States of the avatar that a person should know of; the others show in what it says.
_TOLD_STATES = {
    "reconnecting": "The server has lost its speech service and is connecting again",
    "degraded": "degraded",
    "ending": "ending",
}
_BUSY_STATES = frozenset({"thinking", "searching", "speaking"})
# An answer that ends as incomplete for one of these was wanted no longer; for no reason: the service was lost in it,
# and the server asks for the rest.
_FINAL_REASONS = frozenset({"max_output_tokens", "content_filter", "turn_detected", "client_cancelled"})
# Seconds within which a server that is at rest must say that it goes on with a broken answer: it does so at once.
_GOES_ON_WITHIN_S = 2.0

_E = TypeVar("_E")


class Chat:
    """Asks what the lines say, one after the other, and hands to the output what comes back.

    Args:
        timeout_s: longest silence of a server that owes something: the session's beginning, or an answer.
    """

    def __init__(
        self, connection: AvatarConnection, output: Output, sound: SoundFile | None, *, timeout_s: float
    ) -> None:
        self.unanswered = 0
        """Questions that got no answer, or half of one."""
        self._connection = connection
        self._output = output
        self._sound = sound
        self._timeout_s = timeout_s
        self._answer: Answer | None = None
        self._state: str | None = None
        self._opened = trio.Event()
        self._idle = trio.Event()
        self._patience = trio.CancelScope()
        # The event that asks whether a question has arrived.
        self._looking_up: str | None = None
        self._handlers: dict[str, Callable[[bytes, Head], None]] = {
            "avatar.session": self._greeted,
            "avatar.citations": self._cited,
            "avatar.state": self._entered,
            "avatar.going_away": self._going_away,
            "session.created": self._session_created,
            "conversation.item.retrieved": self._looked_up,
            "response.created": self._response_created,
            "response.output_audio_transcript.delta": self._words,
            "response.output_text.delta": self._words,
            "response.output_audio.delta": self._audio,
            "response.done": self._response_done,
            "error": self._error,
        }

    async def run(self, lines: Lines, *, interrupting: bool) -> None:
        """Ask every line until there is none, or ``/quit``.

        With ``interrupting`` lines are read while an answer is being given, and the next one cuts it short; without,
        each answer is waited for. Raises CommandFailed when the conversation cannot go on.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen)
            await self._ask_all(lines, interrupting=interrupting)
            nursery.cancel_scope.cancel()
        self._output.farewell()

    async def _ask_all(self, lines: Lines, *, interrupting: bool) -> None:
        await self._opened.wait()
        self._output.prompt()
        while (line := await lines.next()) is not None and line.strip() != QUIT:
            if not line.strip():
                self._output.prompt()
                continue
            if self._answer is not None:
                await self._interrupt(self._answer)
            self._ask(line.strip())
            if not interrupting:
                await self._idle.wait()

    async def _interrupt(self, answer: Answer) -> None:
        answer.silenced = True
        self._connection.cancel()
        self._be_patient()
        await self._idle.wait()

    def _ask(self, question: str) -> None:
        self._output.question(question)
        asked = self._connection.ask(question)
        self._begin(Answer(trio.current_time(), question=question, item_id=asked.item_id, event_ids=asked.event_ids))

    def _begin(self, answer: Answer) -> None:
        self._answer = answer
        self._idle = trio.Event()
        self._be_patient()

    def _end(self, *, answered: bool) -> None:
        interrupted = self._answer is not None and self._answer.silenced
        self._answer = None
        self._idle.set()
        if not answered and not interrupted:
            self.unanswered += 1
        if not interrupted:
            self._output.prompt()

    # Listening

    async def _listen(self) -> None:
        while True:
            try:
                with trio.CancelScope() as self._patience:
                    self._be_patient()
                    frame = await self._connection.receive()
            except ConnectionBroke as loss:
                self._output.aside(f"{loss} Connecting again.")
                await self._connection.resume()
                continue
            if not self._patience.cancelled_caught:
                self._take(frame)
            elif not self._end_broken():
                raise CommandFailed(
                    f"The server has said nothing for {self._timeout_s:g} s: its log may say why; "
                    "--timeout makes the wait longer."
                )

    def _be_patient(self) -> None:
        """Wait from now: for good while nothing is owed to us."""
        self._patience.deadline = trio.current_time() + self._longest_wait_s()

    def _longest_wait_s(self) -> float:
        if self._is_broken_for_good():
            return min(_GOES_ON_WITHIN_S, self._timeout_s)
        owed = self._answer is not None or not self._opened.is_set()
        return self._timeout_s if owed else float("inf")

    def _is_broken_for_good(self) -> bool:
        """Whether an answer broke off, and nothing says that the rest of it will come."""
        return self._answer is not None and self._answer.broken and self._state in (None, "listening")

    def _take(self, frame: bytes) -> None:
        try:
            head = read_head(frame)
            if not self._connection.is_new(head.type, head.event_id):
                return
            self._output.event(frame)
            if (handler := self._handlers.get(head.type)) is not None:
                handler(frame, head)
        except (InvalidEvent, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CommandFailed(f"The server sent something that is no event of this protocol: {error}") from None

    # The session

    def _greeted(self, frame: bytes, _head: Head) -> None:
        session = _decoded(frame, AvatarSession)
        self._connection.welcomed(session)
        if session.recovered is not UNSET and self._opened.is_set():
            self._output.aside("Connected again; the conversation goes on.")
            self._resumed(session.snapshot or None)
        elif self._opened.is_set():
            self._output.problem("This is a new conversation: the avatar does not remember what was said before.")
        else:
            self._output.introduced(session)

    def _session_created(self, frame: bytes, _head: Head) -> None:
        if self._sound is not None:
            self._sound.check_format(_decoded(frame, ev.SessionCreated).session)
        if not self._opened.is_set():
            self._opened.set()
        elif self._answer is not None:
            self._lose_answer(self._answer)

    def _lose_answer(self, answer: Answer) -> None:
        """The server that was asked is gone, and the one that is there knows nothing of it."""
        self._state = None
        if answer.question is not None and not answer.text and not answer.silenced:
            answer.response_id, answer.broken = None, False
            self._ask_again(answer)
            return
        if not answer.silenced:
            self._output.answered(answer)
            self._output.problem("The answer was lost in the middle, with the conversation. Ask again.")
        self._end(answered=False)

    def _ask_again(self, answer: Answer) -> None:
        if answer.question is not None:
            asked = self._connection.ask(answer.question, answer.item_id)
            answer.event_ids = asked.event_ids

    def _resumed(self, snapshot: Snapshot | None) -> None:
        answer = self._answer
        if snapshot is not None:
            self._state = snapshot.state
        if answer is None:
            return
        if answer.silenced:
            self._connection.cancel()
        elif snapshot is not None:
            self._catch_up(answer, snapshot)
        if self._answer is answer and answer.response_id is None and answer.item_id is not None:
            # The question may not have arrived. The server answers this behind all that we missed, and then it shows.
            self._looking_up = self._connection.look_up(answer.item_id)

    def _catch_up(self, answer: Answer, snapshot: Snapshot) -> None:
        """The server cannot say again what was missed, but where the conversation stands."""
        said = _said_after(answer.item_id, snapshot.items)
        if new := answer.missed(said):
            self._output.words(new)
        if snapshot.response_id is not None:
            answer.begin(snapshot.response_id)
        elif said:
            self._output.answered(answer)
            self._output.problem("The connection was away for too long: sound and sources of the answer are missing.")
            self._end(answered=True)
        else:
            answer.response_id = None

    def _looked_up(self, _frame: bytes, _head: Head) -> None:
        answer, looking_up, self._looking_up = self._answer, self._looking_up, None
        if looking_up is None or answer is None or answer.response_id is not None or self._state in _BUSY_STATES:
            return
        answer.event_ids |= {self._connection.ask_for_answer()}

    # Answers

    def _response_created(self, frame: bytes, _head: Head) -> None:
        if self._answer is None:  # nobody asked: the avatar speaks by itself
            self._begin(Answer(trio.current_time()))
        if self._answer is not None:
            self._answer.begin(_decoded(frame, ev.ResponseCreated).response.id)

    def _current(self, head: Head) -> Answer | None:
        answer = self._answer
        return answer if answer is not None and answer.response_id == head.response_id else None

    def _words(self, frame: bytes, head: Head) -> None:
        answer = self._current(head)
        if answer is not None and not answer.silenced:
            if answer.first_text_at is None:
                answer.first_text_at = trio.current_time()
            if new := answer.add(_decoded(frame, _Delta).delta):
                self._output.words(new)

    def _audio(self, frame: bytes, head: Head) -> None:
        answer = self._current(head)
        if answer is not None and not answer.silenced:
            if answer.first_audio_at is None:
                answer.first_audio_at = trio.current_time()
            if self._sound is not None:
                self._sound.write(_decoded(frame, _Delta).delta)

    def _cited(self, frame: bytes, head: Head) -> None:
        if (answer := self._current(head)) is not None:
            answer.cite(_decoded(frame, AvatarCitations).sources)

    def _response_done(self, frame: bytes, _head: Head) -> None:
        response = _decoded(frame, ev.ResponseDone).response
        answer = self._answer
        if answer is None or answer.response_id != response.id:
            return
        answer.count(response.usage)
        if (held := answer.end()) and not answer.silenced:
            self._output.words(held)
        if _broke_off(response) and not answer.silenced:
            answer.broken = True
            return
        if not answer.silenced:
            self._output.answered(answer)
            if response.status != "completed":
                self._output.problem(_why_not(response))
        self._end(answered=response.status == "completed")

    def _end_broken(self) -> bool:
        """The rest of an answer that broke off does not come. False if that is not why we waited."""
        if self._answer is None or not self._is_broken_for_good():
            return False
        self._output.answered(self._answer)
        self._output.problem("The answer was cut short: the server lost its speech service.")
        self._end(answered=False)
        return True

    def _error(self, frame: bytes, _head: Head) -> None:
        detail = _decoded(frame, ev.Error).error
        answer = self._answer
        if detail.code == _RESUME_REFUSED:
            return  # what follows says it better
        if detail.code == _NOTHING_TO_CANCEL:
            if answer is not None and answer.silenced and answer.broken:
                self._end(answered=False)
            return
        if detail.event_id is not None and detail.event_id == self._looking_up:
            self._looking_up = None
            if answer is not None and answer.response_id is None:
                self._ask_again(answer)
            return
        if detail.code == _ANSWERED_ALREADY and answer is not None and detail.event_id in answer.event_ids:
            return
        self._output.problem(detail.message)
        if answer is not None and detail.event_id in answer.event_ids and not answer.response_id:
            self._end(answered=False)

    def _entered(self, frame: bytes, _head: Head) -> None:
        state = _decoded(frame, AvatarState)
        self._state = state.state
        if (told := _TOLD_STATES.get(state.state)) is not None:
            self._output.note(f"{told}: {state.detail}" if state.detail else told)

    def _going_away(self, frame: bytes, _head: Head) -> None:
        event = _decoded(frame, AvatarGoingAway)
        self._connection.going_away(event.reconnect_within_s)
        self._output.note(f"The server is going away: {event.reason}")


class _Delta(msgspec.Struct):
    delta: str


def _decoded(frame: bytes, type_: type[_E]) -> _E:
    return msgspec.json.decode(frame, type=type_)


def _said_after(item_id: str | None, items: list[dict[str, Any]]) -> str:
    """What the avatar said after an item."""
    places = [place for place, item in enumerate(items) if item.get("id") == item_id]
    said = []
    for item in items[places[0] + 1 :] if places else []:
        if item.get("role") == "assistant":
            said += [part.get("transcript") or part.get("text") or "" for part in item.get("content") or []]
    return " ".join(words for words in said if words)


def _broke_off(response: Response) -> bool:
    """Whether the server lost its service within the answer."""
    reason = response.status_details.reason if response.status_details else None
    return response.status == "incomplete" and reason not in _FINAL_REASONS


def _why_not(response: Response) -> str:
    """Why an answer is none, or not a whole one."""
    details: Any = response.status_details
    error = details.error if details else None
    message = (error.message or error.code) if error else None
    reason = message or (details.reason if details else None) or "no reason was given"
    begin = {
        "failed": "The answer failed",
        "cancelled": "The answer was stopped",
        "incomplete": "The answer was cut short",
    }.get(response.status, f"The answer is {response.status}")
    return f"{begin}: {reason}"
