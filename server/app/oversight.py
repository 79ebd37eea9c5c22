"""What operators see of this server's sessions and do with them; implements the ports of the web room."""

import datetime as dt

from protocol.endings import EndReason
from server.session.registry import SessionRegistry
from server.session.session import Session
from server.web.live import LiveSession

__all__ = ["LiveRegistry"]

_ENDED = "An operator ended the session."


class LiveRegistry:
    """The sessions of a registry; implements ``LiveSessions``."""

    def __init__(self, registry: SessionRegistry) -> None:
        self._registry = registry

    def sessions(self) -> list[LiveSession]:
        """See ``LiveSessions``."""
        return [_view(session) for session in self._registry]

    def session(self, session_id: str) -> LiveSession | None:
        """See ``LiveSessions``."""
        session = self._registry.find(session_id)
        return None if session is None else _view(session)

    def end(self, session_id: str) -> bool:
        """See ``LiveSessions``."""
        session = self._registry.find(session_id)
        if session is None:
            return False
        session.end(EndReason.COMPLETED, _ENDED)
        return True


def _view(session: Session) -> LiveSession:
    recorder = session.recorder
    return LiveSession(
        session_id=session.session_id,
        began_at=dt.datetime.fromtimestamp(session.began_at, tz=dt.UTC),
        kb_id=session.kb_id,
        principal_id=session.principal.account,
        principal_name=session.principal.name,
        person=recorder.person if recorder is not None else session.principal.id,
        endpoint=session.endpoint,
        model=session.ledger.model,
        state=session.state or "listening",
        has_client=session.client is not None,
        turns=recorder.turns if recorder is not None else 0,
        cost_usd=session.ledger.usd,
        first_audio_ms=recorder.first_audio_ms if recorder is not None else None,
    )
