"""What it takes to come back to a session whose connection was lost. It opens no connection."""

from collections import OrderedDict

from protocol.avatar.events import AvatarSession, Resume

# Ids of so many events are remembered, to know one that comes twice: some minutes of speech.
_REMEMBERED_EVENTS = 2048


class Resumption:
    """The session, the newest token for it, and the last event that came of it."""

    def __init__(self) -> None:
        self._session: AvatarSession | None = None
        self._last_event_id: str | None = None
        self._seen: OrderedDict[str, None] = OrderedDict()

    def welcomed(self, session: AvatarSession) -> None:
        """The server has greeted: this is the session now."""
        self._session = session if session.resume_token and session.resume_window_s > 0 else None

    def is_new(self, event_id: str | None) -> bool:
        """An event of the session came, with or without an id: whether it did not come before."""
        if not event_id:
            return True
        self._last_event_id = event_id
        if event_id in self._seen:
            return False
        self._seen[event_id] = None
        if len(self._seen) > _REMEMBERED_EVENTS:
            self._seen.popitem(last=False)
        return True

    @property
    def window_s(self) -> float:
        """How long the server waits after a loss; 0 where there is nothing to come back to."""
        return self._session.resume_window_s if self._session is not None else 0.0

    def claim(self) -> Resume | None:
        """What the first frame says to come back."""
        if self._session is None or self._session.resume_token is None:
            return None
        return Resume(
            session_id=self._session.session_id,
            token=self._session.resume_token,
            last_event_id=self._last_event_id,
        )

    def forget(self) -> None:
        """There is nothing to come back to any more."""
        self._session = self._last_event_id = None
