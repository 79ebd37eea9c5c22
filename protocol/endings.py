"""Why a session ended: one ``EndReason`` per session: its close code, metric label, log field and text.

The codes and their advice are those of docs/client-wire.md; a test holds the two together.
"""

import enum
from dataclasses import dataclass


class Reconnect(enum.Enum):
    """What a client should do about it."""

    NO = "no"
    RESUME = "resume"
    BACK_OFF = "with back-off"
    LATER = "later"
    ANEW = "start anew"


@dataclass(frozen=True, slots=True)
class _Ending:
    label: str
    close_code: int
    reconnect: Reconnect
    text: str
    # The services' own close code, for clients of the drop-in endpoints, where it differs.
    openai_close_code: int | None = None


# The status of the same reason where there is no WebSocket yet, or never will be, by close code.
_HTTP_STATUS = {
    1009: 413,
    1012: 503,
    1013: 503,
    4000: 400,
    4004: 404,
    4401: 401,
    4402: 429,
    4403: 403,
    4404: 404,
    4408: 408,
    4429: 429,
    4502: 502,
    4504: 504,
}


class EndReason(enum.Enum):
    """Every way a session can end."""

    COMPLETED = _Ending("completed", 1000, Reconnect.NO, "The client ended the session.")
    CLIENT_LOST = _Ending("client_lost", 1000, Reconnect.RESUME, "The client's connection was lost.")
    GOING_AWAY = _Ending("going_away", 1001, Reconnect.RESUME, "The server is shutting down.")
    RESTARTING = _Ending("restarting", 1012, Reconnect.RESUME, "The server is restarting.")
    UPSTREAM_EXPIRED = _Ending(
        "upstream_expired", 1001, Reconnect.RESUME, "The Realtime service ended its session at its maximum duration."
    )
    PROTOCOL_ERROR = _Ending("protocol_error", 1002, Reconnect.NO, "The client broke the WebSocket protocol.")
    BINARY = _Ending("binary", 1003, Reconnect.NO, "The first frame must be text.")
    BAD_UTF8 = _Ending("bad_utf8", 1007, Reconnect.NO, "A text frame was not UTF-8.")
    TOO_BIG = _Ending("too_big", 1009, Reconnect.NO, "A message was larger than allowed.")
    INTERNAL = _Ending("internal", 1011, Reconnect.BACK_OFF, "The server failed; it is our fault.")
    OVERLOADED = _Ending("overloaded", 1013, Reconnect.BACK_OFF, "The server has no room for another session.")
    BAD_REQUEST = _Ending("bad_request", 4000, Reconnect.NO, "The request is not valid.")
    UNKNOWN_MODEL = _Ending("unknown_model", 4004, Reconnect.NO, "There is no such model here.")
    NOT_AUTHENTICATED = _Ending(
        "not_authenticated",
        4401,
        Reconnect.NO,
        "A valid credential is needed.",
        openai_close_code=3000,
    )
    REVOKED = _Ending(
        "revoked",
        4401,
        Reconnect.NO,
        "The credential was revoked, and the session ends with it.",
        openai_close_code=3000,
    )
    BUDGET_SPENT = _Ending("budget_spent", 4402, Reconnect.LATER, "The budget is spent.")
    NOT_ALLOWED = _Ending("not_allowed", 4403, Reconnect.NO, "This is not allowed.")
    UNKNOWN_KNOWLEDGE_BASE = _Ending("unknown_knowledge_base", 4404, Reconnect.NO, "There is no such knowledge base.")
    INIT_TIMEOUT = _Ending("init_timeout", 4408, Reconnect.NO, "The first frame did not come in time.")
    IDLE_TIMEOUT = _Ending("idle_timeout", 4408, Reconnect.NO, "Nothing was said for too long.")
    SUPERSEDED = _Ending("superseded", 4409, Reconnect.NO, "A newer connection took the session over.")
    MAX_DURATION = _Ending(
        "max_duration", 4410, Reconnect.ANEW, "The session has reached its longest duration; another may be begun."
    )
    OVER = _Ending("over", 4410, Reconnect.ANEW, "The session is over, or can no longer be resumed.")
    SLOW_CONSUMER = _Ending("slow_consumer", 4413, Reconnect.RESUME, "The client does not take what is sent to it.")
    RATE_LIMITED = _Ending("rate_limited", 4429, Reconnect.LATER, "Too much at once.")
    UPSTREAM_UNAVAILABLE = _Ending(
        "upstream_unavailable", 4502, Reconnect.BACK_OFF, "The Realtime service cannot be used."
    )
    UPSTREAM_TOO_SLOW = _Ending("upstream_too_slow", 4504, Reconnect.BACK_OFF, "The Realtime service does not keep up.")

    @property
    def label(self) -> str:
        """Metric label and log field."""
        return self.value.label

    @property
    def text(self) -> str:
        """A plain sentence for people."""
        return self.value.text

    @property
    def reconnect(self) -> Reconnect:
        """What the client should do."""
        return self.value.reconnect

    @property
    def http_status(self) -> int:
        """The HTTP status that says the same before the upgrade."""
        return _HTTP_STATUS.get(self.value.close_code, 500)

    def close_code(self, *, openai: bool = False) -> int:
        """The WebSocket close code; ``openai``: for the drop-in endpoints, whose clients know the services' codes."""
        return self.value.openai_close_code if openai and self.value.openai_close_code else self.value.close_code
