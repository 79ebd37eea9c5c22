"""One conversation with an avatar, from the client's side: what is asked, and what becomes of each answer."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import trio

from protocol.avatar.events import AvatarCitations, AvatarGoingAway, AvatarSession, AvatarState
from protocol.realtime import server_events as ev
from protocol.realtime.codec import Head, InvalidEvent, read_head
from protocol.realtime.response import Response
from server.cli.answer import Answer
from server.cli.avatar_connection import AvatarConnection
from server.cli.command import CommandFailed
from server.cli.sound_file import SoundFile
from server.cli.talk_output import Output
from server.cli.typed_lines import Lines

QUIT = "/quit"
# The answer was over before the wish to interrupt it arrived: nothing to tell anybody.
_NOTHING_TO_CANCEL = "response_cancel_not_active"
# States of the avatar that a person should know of; the others show in what it says.
_TOLD_STATES = frozenset({"reconnecting", "degraded", "ending"})

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
        self._opened = trio.Event()
        self._idle = trio.Event()
        self._patience = trio.CancelScope()
        self._handlers: dict[str, Callable[[bytes, Head], None]] = {
            "avatar.session": self._introduced,
            "avatar.citations": self._cited,
            "avatar.state": self._state,
            "avatar.going_away": self._going_away,
            "session.created": self._session_created,
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
        event_ids = self._connection.ask(question)
        self._begin(Answer(trio.current_time(), event_ids))

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
            with trio.CancelScope() as self._patience:
                self._be_patient()
                frame = await self._connection.receive()
            if self._patience.cancelled_caught:
                raise CommandFailed(
                    f"The server has said nothing for {self._timeout_s:g} s: its log may say why; "
                    "--timeout makes the wait longer."
                )
            self._take(frame)

    def _be_patient(self) -> None:
        """Wait from now: for good while nothing is owed to us."""
        owed = self._answer is not None or not self._opened.is_set()
        self._patience.deadline = trio.current_time() + self._timeout_s if owed else float("inf")

    def _take(self, frame: bytes) -> None:
        try:
            head = read_head(frame)
            self._output.event(frame)
            if (handler := self._handlers.get(head.type)) is not None:
                handler(frame, head)
        except (InvalidEvent, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CommandFailed(f"The server sent something that is no event of this protocol: {error}") from None

    def _introduced(self, frame: bytes, _head: Head) -> None:
        self._output.introduced(_decoded(frame, AvatarSession))

    def _session_created(self, frame: bytes, _head: Head) -> None:
        if self._sound is not None:
            self._sound.check_format(_decoded(frame, ev.SessionCreated).session)
        self._opened.set()

    def _response_created(self, frame: bytes, _head: Head) -> None:
        if self._answer is None:  # nobody asked: the avatar speaks by itself
            self._begin(Answer(trio.current_time()))
        if self._answer is not None:
            self._answer.response_id = _decoded(frame, ev.ResponseCreated).response.id

    def _current(self, head: Head) -> Answer | None:
        answer = self._answer
        return answer if answer is not None and answer.response_id == head.response_id else None

    def _words(self, frame: bytes, head: Head) -> None:
        answer = self._current(head)
        if answer is not None and not answer.silenced:
            if answer.first_text_at is None:
                answer.first_text_at = trio.current_time()
            self._output.words(_decoded(frame, _Delta).delta)

    def _audio(self, frame: bytes, head: Head) -> None:
        answer = self._current(head)
        if answer is not None and not answer.silenced:
            if answer.first_audio_at is None:
                answer.first_audio_at = trio.current_time()
            if self._sound is not None:
                self._sound.write(_decoded(frame, _Delta).delta)

    def _cited(self, frame: bytes, head: Head) -> None:
        if (answer := self._current(head)) is not None:
            answer.sources += _decoded(frame, AvatarCitations).sources

    def _response_done(self, frame: bytes, _head: Head) -> None:
        response = _decoded(frame, ev.ResponseDone).response
        answer = self._answer
        if answer is None or answer.response_id != response.id:
            return
        answer.usage = response.usage
        if not answer.silenced:
            self._output.answered(answer)
            if response.status != "completed":
                self._output.problem(_why_not(response))
        self._end(answered=response.status == "completed")

    def _error(self, frame: bytes, _head: Head) -> None:
        detail = _decoded(frame, ev.Error).error
        if detail.code == _NOTHING_TO_CANCEL:
            return
        self._output.problem(detail.message)
        if self._answer is not None and detail.event_id in self._answer.event_ids and not self._answer.response_id:
            self._end(answered=False)

    def _state(self, frame: bytes, _head: Head) -> None:
        state = _decoded(frame, AvatarState)
        if state.state in _TOLD_STATES:
            self._output.note(f"{state.state}: {state.detail}" if state.detail else state.state)

    def _going_away(self, frame: bytes, _head: Head) -> None:
        self._output.note(f"The server is going away: {_decoded(frame, AvatarGoingAway).reason}")


class _Delta(msgspec.Struct):
    delta: str


def _decoded(frame: bytes, type_: type[_E]) -> _E:
    return msgspec.json.decode(frame, type=type_)


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
