"""What comes by the connections to the service, and what becomes of the conversation when one is lost or of no use.

It decides when a connection is replaced; which is current, and how the next is told, is the succession's.
"""

from collections.abc import Callable

from protocol.conversation.actions import Ignored, LeaveAlone
from protocol.conversation.answers import Answers
from protocol.conversation.avatar_states import AvatarStates
from protocol.conversation.budget import Budget
from protocol.conversation.client_side import ClientSide
from protocol.conversation.configuration import Configuration
from protocol.conversation.idle_watch import IdleWatch
from protocol.conversation.ledger import RESPONSE_DONE, TRANSCRIBED, Ledger
from protocol.conversation.limits import Limits
from protocol.conversation.outlet import OWN_EVENT_PREFIX, Outlet
from protocol.conversation.playback import Playback
from protocol.conversation.presence import Presence
from protocol.conversation.service_side import AUDIO_DELTA, ServiceSide, read_event, unnamed
from protocol.conversation.service_watch import RESPONSE_DEADLINE, STALL_DEADLINE, ServiceWatch, Verdict
from protocol.conversation.succession import (
    OPENING_DEADLINE,
    OPENING_DEADLINE_S,
    RECONNECT_DEADLINE,
    ROLLOVER_DEADLINE,
    STANDBY_OPENING_DEADLINE,
    Connection,
    Phase,
    Succession,
)
from protocol.endings import EndReason
from protocol.prices.terms import Terms
from protocol.realtime import server_events as server
from protocol.realtime.codec import Head, decode_object, encode, read_head
from protocol.realtime.error_classes import ErrorClass
from protocol.realtime.server_events import ErrorDetail

# A quota is refilled by the minute at the earliest (the services' limits are per minute), or by paying; a deployment
# that was deleted, or a key that was revoked, comes back by hand.
REST_S = 60.0


class Connections:
    """The service's side of one conversation, whatever connections it is on.

    Args:
        end: ends the session for want of a service: reason, message, and when to try again if that is known.
        person_is_there: called when the person has been heard.
    """

    def __init__(
        self,
        outlet: Outlet,
        configuration: Configuration,
        answers: Answers,
        client: ClientSide,
        service: ServiceSide,
        succession: Succession,
        playback: Playback,
        states: AvatarStates,
        presence: Presence,
        idle: IdleWatch,
        ledger: Ledger,
        budget: Budget,
        limits: Limits,
        *,
        end: Callable[[EndReason, str, float | None], None],
        person_is_there: Callable[[], None],
    ) -> None:
        self._outlet = outlet
        self._configuration = configuration
        self._answers = answers
        self._client = client
        self._service = service
        self._succession = succession
        self._playback = playback
        self._states = states
        self._presence = presence
        self._idle = idle
        self._ledger = ledger
        self._budget = budget
        self._limits = limits
        self._end = end
        self._person_is_there = person_is_there
        self._watch = ServiceWatch(outlet, limits)
        # The code of the last error that made a connection useless, for the words of the end.
        self._last_error = ""
        self._expired = False
        self._has_others = False
        self.deadlines: dict[str, Callable[[], None]] = {
            OPENING_DEADLINE: self._opening_overdue,
            STANDBY_OPENING_DEADLINE: lambda: succession.lose_standby("it was not confirmed in time"),
            ROLLOVER_DEADLINE: succession.rollover_due,
            RECONNECT_DEADLINE: succession.reconnect,
            RESPONSE_DEADLINE: self._response_overdue,
            STALL_DEADLINE: self._look_for_stall,
        }

    def look(self) -> None:
        """The end of a step: a successor may take over, and the service may owe something from now on."""
        self._take_over_in_time()
        owes = self._outlet.is_open and self._answers.owes_response
        self._watch.see(owes=owes, generating=self._answers.is_generating)

    # They open, speak and end

    def opened(
        self, number: int, wall: float, transcription_model: str | None, terms: Terms, *, has_others: bool
    ) -> None:
        """A connection is open; see ``Conversation.on_upstream_open``."""
        self._ledger.opened(number, terms, wall)
        opened = self._known(number, "open")
        if opened is None:
            return
        opened.transcription_model = transcription_model
        self._has_others = has_others
        self._client.settle_truncations()
        self._budget.before_opening(self._succession.numbers)
        self._succession.opened(opened, wall)
        if opened is self._succession.current:
            self._answers.sent_again()
            self._watch.connection_replaced()

    def heard(self, number: int, frame: bytes) -> bool:
        """A text frame came. False if nothing in it is worth a look at the end of the step.

        Raises:
            InvalidEvent: it is no event.
        """
        head = read_head(frame)
        by = self._known(number, head.type)
        if head.type in (RESPONSE_DONE, TRANSCRIBED) and self._succession.was_asked_for(number):
            # Whoever it comes by, and whatever becomes of it: it is billed.
            is_new = self._ledger.take(number, frame, head.type)
            if head.type == RESPONSE_DONE and (by is None or not is_new):
                self._done_for_nobody(frame, head, why="" if by is None else "the response has already ended")
                return by is not None
        if by is None:
            return False
        if by is self._succession.standby:
            self._heard_of_standby(by, frame, head)
            return True
        self._watch.heard_at = self._outlet.now
        self._heard_of_service(by, frame, head)
        # There is much sound, and by itself it settles nothing.
        return head.type != AUDIO_DELTA

    def lost(
        self, number: int, reason: EndReason, message: str, *, retryable: bool, retry_after_s: float | None
    ) -> None:
        """A connection is gone, or could not be had; see ``Conversation.on_upstream_lost``."""
        lost = self._known(number, "lost")
        if lost is None:
            return
        if lost is self._succession.standby:
            self._succession.lose_standby(message)
        elif not self._succession.was_confirmed or (lost.phase is Phase.CONNECTING and not retryable):
            self._end_without_service(reason, message, retry_after_s)
        else:
            self._replace_connection(reason, message, retry_after_s)

    def _known(self, connection: int, what: str) -> Connection | None:
        """The connection, if it still counts."""
        known = self._succession.of(connection)
        if known is None:
            self._outlet.do(Ignored("upstream", what, "it came by a connection that is over"))
        return known

    def _done_for_nobody(self, frame: bytes, head: Head, *, why: str) -> None:
        _, event = read_event(frame, head)
        if isinstance(event, server.ResponseDone):
            self._answers.done_for_nobody(event)
            if why:
                self._outlet.do(Ignored("upstream", RESPONSE_DONE, why))

    def _heard_of_standby(self, standby: Connection, frame: bytes, head: Head) -> None:
        item_id = None
        match read_event(frame, head)[1]:
            case server.SessionCreated(event_id=event_id, session=session):
                self._ledger.told(standby.number, decode_object(frame)["session"])
                self._succession.greeted(standby, event_id, session.expires_at or None)
            case server.SessionUpdated(session=session):
                self._ledger.told(standby.number, decode_object(frame)["session"])
                self._succession.expires(standby, session.expires_at or None)
            case server.ItemAdded(item=item) | server.ItemCreated(item=item):
                item_id = item.id or None
            case server.Error(error=error) if error.event_id in (None, standby.opening_id):
                self._succession.lose_standby(error.code or error.type)
                return
        self._succession.standing_by(standby, head, item_id)

    def _heard_of_service(self, connection: Connection, frame: bytes, head: Head) -> None:
        match head.type:
            case "session.created":
                _, created = read_event(frame, head)
                if isinstance(created, server.SessionCreated):
                    self._ledger.told(connection.number, decode_object(frame)["session"])
                    # Shown when our configuration is confirmed: the client never sees a session that is not yet ours.
                    self._succession.greeted(connection, created.event_id, created.session.expires_at or None)
            case "session.updated":
                _, updated = read_event(frame, head)
                if isinstance(updated, server.SessionUpdated):
                    self._session_updated(connection, frame, updated)
            case "error":
                _, event = read_event(frame, head)
                if isinstance(event, server.Error):
                    self._error(connection, frame, event)
            case "input_audio_buffer.speech_started" | "input_audio_buffer.committed":
                self._person_is_there()
                self._service.take(connection, frame, head)
            case "response.done":
                self._response_done(connection, frame, head)
            case _:
                self._service.take(connection, frame, head)

    def _response_done(self, connection: Connection, frame: bytes, head: Head) -> None:
        _, done = read_event(frame, head)
        if not isinstance(done, server.ResponseDone):
            return
        if self._outlet.size is not None and done.response.conversation_id is not None:
            self._outlet.size.ended(done.response.usage)
        kind = self._watch.ended(done.response)
        if kind is ErrorClass.RETRY and self._answers.asks_again(done):
            return
        details = done.response.status_details
        code = (details.error.code or None) if details and details.error else None
        is_useless = self._is_useless(kind, code)
        if not (is_useless and self._answers.failed_here(done)):
            self._service.take(connection, frame, head)
        if is_useless:
            self._replace_useless(connection, kind, code)

    def _session_updated(self, connection: Connection, frame: bytes, event: server.SessionUpdated) -> None:
        is_first = not self._succession.was_confirmed
        self._last_error = ""
        self._succession.expires(connection, event.session.expires_at or None)
        updated = decode_object(frame)
        self._ledger.told(connection.number, updated["session"])
        is_own = is_opening = self._succession.confirmed_own(connection)
        if not is_own:
            is_own = not self._configuration.confirmed()
        self._configuration.learn(updated["session"])
        self._outlet.journal.manual = not self._configuration.takes_turns
        updated["session"] = self._presence.shown_session = self._configuration.shown(updated["session"])
        if not is_own:
            self._outlet.journal.settle("session.updated")
            self._outlet.to_client(encode(updated))
        elif is_first:
            updated["type"], updated["event_id"] = "session.created", connection.created_event_id or event.event_id
            self._outlet.to_client(encode(updated))
            self._states.enter("listening")
            self._idle.start()
        elif is_opening:
            self._states.connection_found()

    def _error(self, connection: Connection, frame: bytes, event: server.Error) -> None:
        error = event.error
        if error.event_id is None:
            self._unattributed_error(connection, frame, error)
            return
        self._outlet.journal.take(error.event_id)
        if self._configuration.refused(error.event_id) and self._budget.update_refused():
            connection.paused = not connection.paused
        if error.event_id == connection.opening_id and connection.own_updates:
            message = f"The Realtime service refused this server's session settings: {error.message}"
            self._end(EndReason.UPSTREAM_UNAVAILABLE, message, None)
        elif self._answers.refused(error) or error.event_id.startswith(OWN_EVENT_PREFIX):
            if self._outlet.is_anonymous(error.event_id):
                self._outlet.to_client(encode(server.Error(event_id=event.event_id, error=unnamed(error))))
            else:
                why = f"{error.code} for an event of ours: {error.message}"
                self._outlet.do(Ignored("upstream", "error", why))
        else:
            self._outlet.to_client(frame)

    def _unattributed_error(self, connection: Connection, frame: bytes, error: ErrorDetail) -> None:
        if not self._succession.was_confirmed:
            # OpenAI refuses a key or a model with an event before it closes; that is between it and the operator.
            # Its words may quote the key, so only their code goes on.
            self._last_error = error.code or error.type
        elif error.code == "session_expired":
            self._expired = True
            self._replace_connection(EndReason.UPSTREAM_EXPIRED, EndReason.UPSTREAM_EXPIRED.text, None)
        else:
            self._answers.doubt_requests()
            self._outlet.to_client(frame)
            kind = self._watch.erred(error.type, error.code)
            if self._is_useless(kind, error.code):
                self._replace_useless(connection, kind, error.code)

    def _is_useless(self, kind: ErrorClass, code: str | None) -> bool:
        """Whether another connection may do better: where the deployment says that it cannot serve, one elsewhere."""
        if kind not in (ErrorClass.RECYCLE, ErrorClass.FATAL):
            return False
        return self._has_others or not _is_of_the_deployment(kind, code)

    def _replace_useless(self, connection: Connection, kind: ErrorClass, code: str | None) -> None:
        """The service fails, or says that it will: then its deployment is left alone."""
        why = f"It fails ({code})." if code else "Its responses fail one after the other."
        self._last_error = code or ""
        if _is_of_the_deployment(kind, code):
            self._outlet.do(LeaveAlone(connection.number, REST_S, why))
        self._replace_stuck(why)

    def _replace_stuck(self, why: str) -> None:
        """The connection lives and is of no use any more."""
        self._outlet.do(Ignored("upstream", "connection", f"replaced: {why}"))
        message = f"The Realtime service does not work. {why}"
        self._replace_connection(EndReason.UPSTREAM_TOO_SLOW, message, None)

    def _replace_connection(self, reason: EndReason, message: str, retry_after_s: float | None) -> None:
        """The current connection is gone or of no use: what it was about to say is asked of the next."""
        self._outlet.lose_upstream()
        self._service.connection_replaced()
        self._client.settle_truncations()
        self._answers.broken_off(self._playback.sent_ms)
        self._watch.connection_replaced()
        if self._succession.can_take_over:
            self._take_over()
        elif self._succession.lost():
            if not self._outlet.is_open:
                self._states.connection_lost()
        else:
            self._end_without_service(reason, message, retry_after_s)

    def _take_over(self) -> None:
        self._service.connection_replaced()
        self._client.settle_truncations()
        self._succession.take_over()
        # Else the next answer would be taken for theirs.
        self._answers.lose_cancelled()
        self._answers.sent_again()
        self._watch.connection_replaced()

    def _take_over_in_time(self) -> None:
        """A successor that is ready takes over between two turns, or, when time is short, whatever is being said."""
        if not self._succession.can_take_over:
            return
        journal = self._outlet.journal
        if self._answers.is_at_rest and journal.is_quiet and not self._service.awaits_transcript:
            self._take_over()
        elif self._succession.must_take_over:
            self._replace_connection(EndReason.UPSTREAM_EXPIRED, EndReason.UPSTREAM_EXPIRED.text, None)

    def _opening_overdue(self) -> None:
        if not self._succession.was_confirmed:
            message = f"The Realtime service did not confirm the session within {OPENING_DEADLINE_S:.0f} seconds."
            self._end(EndReason.UPSTREAM_TOO_SLOW, message, None)
        elif (current := self._succession.current) is not None and current.phase is Phase.OPENING:
            self._replace_stuck("It did not confirm the session.")

    def _response_overdue(self) -> None:
        match self._watch.overdue(to_speech=self._answers.is_owed_to_speech):
            case Verdict.ASK:
                self._answers.ask_for_speech()
            case Verdict.REPLACE:
                self._replace_stuck(f"It did not begin an answer within {self._limits.response_s:g} seconds.")
            case Verdict.GIVE_UP:
                message = f"The service did not answer within {self._limits.response_s:g} seconds."
                detail = ErrorDetail(type="server_error", code="response_timeout", message=message)
                self._answers.give_up_requests(detail)

    def _look_for_stall(self) -> None:
        if self._watch.stalled():
            self._replace_stuck(f"It fell silent within an answer for {self._limits.stall_s:g} seconds.")

    def _end_without_service(self, reason: EndReason, message: str, retry_after_s: float | None) -> None:
        self._answers.end_of_session()
        if self._expired:
            reason = EndReason.UPSTREAM_EXPIRED
        if self._last_error:
            message = f"{message} It refused the session ({self._last_error})."
        self._end(reason, message, retry_after_s)


def _is_of_the_deployment(kind: ErrorClass, code: str | None) -> bool:
    """Whether every connection to the same deployment would fare the same."""
    return kind is ErrorClass.FATAL or code == "insufficient_quota"
