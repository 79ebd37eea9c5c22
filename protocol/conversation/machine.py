"""The session's brain: from what the client, the service, the tools and the clock say to what must happen next.

Pure and synchronous: ``on_client``, ``on_upstream``, ``on_result``, ``on_deadline`` and the like take an event and the
time and return actions, in the order in which they must be performed. It performs nothing itself.

What holds for any order of events (kept by property tests and by simulation):

* at most one response of the conversation is active upstream at our own request, and a follow-up is asked for once;
* every response that the client sees begin ends for it exactly once, and nothing of it follows its end;
* every server tool call is answered exactly once, or recorded as lost;
* no item is truncated later than it was heard, nor heard longer than it was sent;
* every ``response.done`` and every transcription is charged exactly once, at the prices of where it came from;
* where there is a budget, nothing is asked for before what it can cost is set aside;
* nothing that is said by a connection that is over counts, and what it had not settled is said to the next;
* a client that resumes gets all that it missed, once and in order, or is told that it cannot;
* Close is asked for once, and nothing is asked for after it.
"""

from collections.abc import Callable

from protocol.avatar.events import AvatarGoingAway, AvatarSession
from protocol.conversation import notes
from protocol.conversation.actions import Action, Ignored, Reservation, SetDeadline, ToolResult, Verdict
from protocol.conversation.answers import AGAIN_DEADLINE, Answers
from protocol.conversation.avatar_states import AvatarStates
from protocol.conversation.budget import Budget, Stage
from protocol.conversation.calls import NO_RESULT, TOOL_DEADLINE
from protocol.conversation.client_side import APPEND as CLIENT_AUDIO
from protocol.conversation.client_side import PLAYBACK, ClientSide, invalid
from protocol.conversation.configuration import Configuration
from protocol.conversation.connections import Connections
from protocol.conversation.departure import DEPARTURE_DEADLINE, Departure
from protocol.conversation.guard import GUARD_DEADLINE, Guard, GuardPolicy
from protocol.conversation.history import History
from protocol.conversation.idle_watch import IDLE_DEADLINE, IdleWatch, Silence
from protocol.conversation.interruption import Interruption
from protocol.conversation.ledger import Ledger
from protocol.conversation.limits import Limits
from protocol.conversation.lost_speech import LOST_SPEECH_DEADLINE, LostSpeech
from protocol.conversation.outlet import Outlet
from protocol.conversation.playback import Playback
from protocol.conversation.presence import RESUME_DEADLINE, Presence
from protocol.conversation.replay import Replay
from protocol.conversation.service_side import ServiceSide
from protocol.conversation.succession import Succession
from protocol.conversation.visibility import HiddenItems
from protocol.endings import EndReason
from protocol.prices.book import PriceBook
from protocol.prices.terms import Terms
from protocol.realtime.codec import InvalidEvent, read_head
from protocol.realtime.server_events import ErrorDetail

DURATION_DEADLINE = "duration"

# Seconds within which a client that is sent away is asked to connect again: as long as another server needs to be
# there in a rolling update, and not all of them at once.
_RECONNECT_WITHIN_S = 5.0
# Of a deployment of which nobody says what it costs.
_NO_TERMS = Terms(deployment="")


class Conversation:
    """One conversation: a client on one side, the Realtime service on the other.

    Args:
        configuration: the service's session as we open it, and what the client may change.
        avatar_events: the client understands the extension events (``/ws``, ``?extensions=avatar``).
        voicerag_events: it understands VoiceRAG's event with the sources of an answer.
        new_id: makes unique ids of at most 20 characters; chance is the caller's.
        limits: how long it waits for what.
        guard: what the person says is looked at before it is answered; the configuration must be guarded, too.
        prices: what models cost.
        budgeted: there is a budget: no response begins before money is set aside for it, by ``Reserve``.

    Attributes:
        ledger: what it has cost so far; to be read only.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        avatar_events: bool,
        new_id: Callable[[], str],
        limits: Limits | None = None,
        voicerag_events: bool = False,
        guard: GuardPolicy | None = None,
        prices: PriceBook,
        budgeted: bool = False,
    ) -> None:
        self._configuration = configuration
        self._avatar_events = avatar_events
        self._limits = limits = limits or Limits()
        self._outlet = outlet = Outlet(new_id, _replay(limits))
        self._hidden = HiddenItems()
        self._history = History()
        self._playback = Playback()
        self._states = AvatarStates(outlet, told=avatar_events)
        self.ledger = Ledger(outlet, prices)
        self._budget = Budget(outlet, configuration, self.ledger, is_set=budgeted)
        self._answers = Answers(
            outlet,
            configuration,
            self._hidden,
            self._history,
            self._states,
            self.ledger,
            self._budget,
            avatar_events=avatar_events,
            voicerag_events=voicerag_events,
            tool_s=limits.tool_s,
        )
        self._guard = Guard(outlet, configuration, self._answers, self._states, guard)
        self._succession = Succession(outlet, configuration, self._history, self._hidden, limits)
        self._interruption = Interruption(
            outlet, self._playback, self._history, self._succession, truncates=avatar_events
        )
        self._lost_speech = LostSpeech(outlet, self._states, avatar_events=avatar_events)
        self._client = ClientSide(
            outlet,
            configuration,
            self._answers,
            self._playback,
            self._interruption,
            self._hidden,
            self._lost_speech,
            self._guard,
            avatar_events=avatar_events,
        )
        service = ServiceSide(
            outlet,
            configuration,
            self._answers,
            self._states,
            self._playback,
            self._interruption,
            self._hidden,
            self._history,
            self._client,
            self._guard,
            self._budget,
            avatar_events=avatar_events,
        )
        self._idle = IdleWatch(outlet, limits)
        self._is_out_of_money = False
        self._departure = Departure(outlet, self._playback)
        self._presence = Presence(
            outlet,
            self._answers,
            self._states,
            self._playback,
            self._interruption,
            self._history,
            self._hidden,
            limits,
        )
        self._connections = Connections(
            outlet,
            configuration,
            self._answers,
            self._client,
            service,
            self._succession,
            self._playback,
            self._states,
            self._presence,
            self._idle,
            self.ledger,
            self._budget,
            limits,
            end=self._end_for_want_of_service,
            person_is_there=self._person_is_there,
        )
        self._deadlines: dict[str, Callable[[], None]] = {
            **self._connections.deadlines,
            AGAIN_DEADLINE: self._answers.ask_again,
            GUARD_DEADLINE: self._guard.overdue,
            LOST_SPEECH_DEADLINE: self._lost_speech.tell,
            IDLE_DEADLINE: self._look_for_silence,
            DURATION_DEADLINE: self._last_long_enough,
            RESUME_DEADLINE: self._not_back,
            DEPARTURE_DEADLINE: lambda: None,
        }

    # The client's connections

    @property
    def state(self) -> str | None:
        """What the avatar is doing, as ``avatar.state`` tells it."""
        return self._states.present

    def on_start(self, now: float) -> list[Action]:
        """The session begins: a connection to the service is asked for."""
        self._outlet.now = now
        if self._limits.duration_s:
            self._outlet.do(SetDeadline(DURATION_DEADLINE, now + self._limits.duration_s - self._last_words_s))
        self._succession.start()
        return self._outlet.take()

    def on_attached(self, hello: AvatarSession | None, now: float) -> list[Action]:
        """The client is there. ``hello`` is the first event of an avatar client."""
        self._outlet.now = now
        self._presence.came(hello)
        return self._finish()

    def on_resumed(self, hello: AvatarSession, last_event_id: str | None, now: float) -> list[Action]:
        """The client is back by another connection, the newest to count. ``last_event_id``: what it got last.

        It is greeted, and gets what it missed: all of it, or a snapshot instead.
        """
        self._outlet.now = now
        self._idle.active()
        self._presence.came_back(hello, last_event_id)
        return self._finish()

    def on_detached(self, reason: EndReason, message: str, now: float) -> list[Action]:
        """The client's connection is gone. One that may come back is waited for; else the session ends."""
        self._outlet.now = now
        if not self._presence.went(reason) or self._departure.is_set:
            self._end(reason, message, "server_error")
        return self._finish()

    def _not_back(self) -> None:
        self._end(EndReason.CLIENT_LOST, f"The client did not come back within {self._limits.resume_s:g} seconds.")

    def on_client(self, frame: bytes, now: float, *, is_text: bool = True) -> list[Action]:
        """A message came from the client. What it may not say is answered with the service's own error."""
        self._outlet.now = now
        try:
            if not is_text:
                raise InvalidEvent(invalid("invalid_event", "Expected a text WebSocket message; got a binary one."))
            head = read_head(frame)
            if head.type not in (CLIENT_AUDIO, PLAYBACK):
                self._person_is_there()
            self._client.take(frame, head)
            if head.type == CLIENT_AUDIO:
                # Sound by itself settles nothing that the end of a step looks at, and there is much of it.
                return self._outlet.take()
        except InvalidEvent as error:
            self._outlet.refuse(error.detail)
        return self._finish()

    # The service's connections

    def on_upstream_open(
        self,
        connection: int,
        now: float,
        *,
        wall: float,
        transcription_model: str | None = None,
        has_others: bool = False,
        terms: Terms = _NO_TERMS,
    ) -> list[Action]:
        """A connection to the service is open. ``wall`` is the time of day, in Unix seconds.

        ``transcription_model``: what transcribes speech at this service, where it is called otherwise than elsewhere.
        ``has_others``: another deployment may serve where this one says that it cannot.
        ``terms``: what using it costs.
        """
        self._outlet.now = now
        self._connections.opened(connection, wall, transcription_model, terms, has_others=has_others)
        return self._finish()

    def on_upstream(self, connection: int, frame: bytes, now: float) -> list[Action]:
        """A text frame came from the service. A frame that is no event is dropped and noted."""
        self._outlet.now = now
        try:
            if not self._connections.heard(connection, frame):
                return self._outlet.take()
        except InvalidEvent as error:
            self._outlet.do(Ignored("upstream", "malformed", error.detail.message))
        return self._finish()

    def on_upstream_lost(
        self,
        connection: int,
        reason: EndReason,
        message: str,
        now: float,
        *,
        retryable: bool = True,
        retry_after_s: float | None = None,
    ) -> list[Action]:
        """A connection is gone, or could not be had within its patience.

        ``message`` goes to the client should the session end of it; ``retryable``: another may do better;
        ``retry_after_s`` is when the service said to try again.
        """
        self._outlet.now = now
        self._connections.lost(connection, reason, message, retryable=retryable, retry_after_s=retry_after_s)
        return self._finish()

    # Tools, deadlines, sound

    def on_tool_started(self, call_id: str, now: float) -> list[Action]:
        """A tool that was asked for begins to run; it may have waited for others."""
        self._outlet.now = now
        self._answers.tool_started(call_id)
        return self._finish()

    def on_result(self, call_id: str, result: ToolResult, now: float) -> list[Action]:
        """A tool has finished, well or not: ``result.output`` is what the model is told."""
        self._outlet.now = now
        self._answers.result(call_id, result)
        return self._finish()

    def on_checked(self, check_id: str, verdict: Verdict, now: float) -> list[Action]:
        """A look at what the person said has found this."""
        self._outlet.now = now
        self._guard.checked(check_id, verdict)
        return self._finish()

    def on_reserved(self, reservation: Reservation, now: float) -> list[Action]:
        """Money was set aside as the last ``Reserve`` asked, or is not to be had."""
        self._outlet.now = now
        self._budget.reserved(reservation)
        return self._finish()

    def on_audio_dropped(self, dropped_ms: float, now: float) -> list[Action]:
        """The service takes audio too slowly; the oldest was dropped."""
        self._outlet.now = now
        self._outlet.journal.not_taken(dropped_ms)
        self._lost_speech.add(dropped_ms)
        return self._finish()

    def on_deadline(self, name: str, now: float) -> list[Action]:
        """A deadline that was set has passed."""
        self._outlet.now = now
        if name.startswith(TOOL_DEADLINE):
            self._answers.result(name.removeprefix(TOOL_DEADLINE), NO_RESULT)
        elif (passed := self._deadlines.get(name)) is not None:
            passed()
        return self._finish()

    # The person, and the end

    def _person_is_there(self) -> None:
        self._idle.active()
        self._departure.revoke(EndReason.IDLE_TIMEOUT)

    def _look_for_silence(self) -> None:
        busy = not self._answers.is_at_rest or self._outlet.journal.is_speaking or not self._presence.attached
        heard_out_at = self._playback.heard_out_at(self._outlet.now)
        match self._idle.look(busy=busy, heard_out_at=heard_out_at):
            case Silence.ASK:
                self._answers.ask_ourselves(notes.STILL_THERE)
            case Silence.LEAVE:
                self._say_goodbye(EndReason.IDLE_TIMEOUT, notes.GOODBYE_IDLE, self._limits.goodbye_s)

    @property
    def _last_words_s(self) -> float:
        """For a goodbye at the end of the longest duration; a short session keeps half of its time."""
        return min(self._limits.goodbye_s, self._limits.duration_s / 2)

    def _last_long_enough(self) -> None:
        self._say_goodbye(EndReason.MAX_DURATION, notes.GOODBYE_DURATION, self._last_words_s)

    def _say_goodbye(self, reason: EndReason, note: str, within_s: float) -> None:
        # Clients of the service's own protocol are not made to say what they did not ask for.
        if (
            self._avatar_events
            and self._presence.attached
            and self._succession.was_confirmed
            and self._answers.is_at_rest
        ):
            self._answers.ask_ourselves(note)
        self._departure.announce(reason, reason.text, within_s)

    def _part_for_want_of_money(self) -> None:
        """Nothing can be paid any more: a goodbye, if one was, and the end."""
        if self._budget.stage is not Stage.SPENT:
            return
        if not self._is_out_of_money:
            self._is_out_of_money = True
            self._departure.announce(EndReason.BUDGET_SPENT, EndReason.BUDGET_SPENT.text, self._limits.goodbye_s)
        # As other goodbyes: clients of the service's own protocol are told by an error alone.
        can_be_heard = self._avatar_events and self._presence.attached and self._succession.was_confirmed
        words = "" if self._guard.is_on else self._history.last_words_of_person()
        self._budget.part(words, can_be_heard=can_be_heard, is_speaking=self._outlet.journal.is_speaking)

    def on_drain(self, reason: EndReason, message: str, within_s: float, now: float) -> list[Action]:
        """The server goes away: what is being said may be finished within so many seconds, then the session ends."""
        self._outlet.now = now
        if not self._presence.attached:
            self._end(reason, message, "server_error")
        elif self._avatar_events:
            self._states.enter("ending")
            self._outlet.announce(AvatarGoingAway(reason=message, reconnect_within_s=_RECONNECT_WITHIN_S))
        self._departure.announce(reason, message, within_s)
        return self._finish()

    def on_end(
        self, reason: EndReason, message: str, now: float, *, retry_after_s: float | None = None
    ) -> list[Action]:
        """The session must end now for a reason from outside: shutdown, a fault of ours, a limit that is reached."""
        self._outlet.now = now
        self._end(reason, message, "server_error", retry_after_s)
        return self._outlet.take()

    def _end_for_want_of_service(self, reason: EndReason, message: str, retry_after_s: float | None) -> None:
        self._end(reason, message, "upstream_error", retry_after_s)

    def _end(
        self, reason: EndReason, message: str, error_type: str = "server_error", retry_after_s: float | None = None
    ) -> None:
        self._answers.lose_calls()
        if reason not in (EndReason.COMPLETED, EndReason.CLIENT_LOST):
            if reason is EndReason.BUDGET_SPENT:
                error_type = "insufficient_quota"
            detail = ErrorDetail(type=error_type, code=reason.label, message=message)
            if retry_after_s is not None:
                detail.retry_after = retry_after_s
            self._outlet.refuse(detail)
        self._outlet.close(reason, message)

    def _finish(self) -> list[Action]:
        """The end of a step: what follows from where the conversation stands now."""
        if not self._outlet.closed:
            self._guard.look(self._client.take_held)
            self._connections.look()
            if self._budget.is_set:
                self._budget.look(self._succession.numbers)
                self._succession.tell_whether_to_answer()
                self._part_for_want_of_money()
            if self._departure.is_set:
                at_rest = self._answers.is_at_rest and not self._budget.owes_goodbye
                if leave := self._departure.due(at_rest=at_rest):
                    self._end(*leave)
        return self._outlet.take()


def _replay(limits: Limits) -> Replay | None:
    if not limits.resume_s:
        return None
    return Replay(
        control_bytes=limits.replay_control_bytes, audio_bytes=limits.replay_audio_bytes, age_s=limits.resume_s
    )
