"""What a connection that failed, was refused or was closed means to a person, and what to do. Closes nothing."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import msgspec

from protocol.endings import EndReason, Reconnect
from server.cli.terminal import one_line
from server.transport.errors import ConnectFailed, ConnectionLost, HandshakeRefused

_KEY = "Give the server's key in LIVEAVATAR_API_KEY, or with --key."
_LATER = "Try again a little later."
_SERVER_LOG = "The server's log says more."

_STATUS_ADVICE = {
    401: _KEY,
    403: "The server does not let this client in.",
    404: "Is this the address of a LiveAvatar server? It should end in /ws.",
    429: _LATER,
    500: _SERVER_LOG,
    502: _SERVER_LOG,
    503: _LATER,
}
_CLOSE_ADVICE = {
    1001: "Ask again when it is back.",
    1011: _SERVER_LOG,
    1012: "Ask again in a moment.",
    1013: _LATER,
    4401: _KEY,
    4402: _LATER,
    4403: "Another key, or another knowledge base (--kb), may be allowed.",
    4404: "Choose another one with --kb; `liveavatar check` on the server lists what it has.",
    4429: _LATER,
    4502: f"{_SERVER_LOG} `liveavatar check` looks at its settings.",
    4504: _LATER,
}
# A refusal's body is somebody else's text.
_MAX_MESSAGE_CHARS = 300


class _ErrorMessage(msgspec.Struct, frozen=True):
    message: str = ""


class _ErrorBody(msgspec.Struct, frozen=True):
    error: _ErrorMessage = _ErrorMessage()


def shown_url(url: str) -> str:
    """``url`` without what may be secret in it: name and password, and the query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def connect_failed(failure: ConnectFailed, url: str) -> str:
    """No connection came about."""
    if any(isinstance(cause, ConnectionRefusedError) for cause in _causes(failure)):
        return f"Nothing listens at {shown_url(url)}: start it with `make run` or `liveavatar serve`."
    return f"{shown_url(url)} cannot be reached: {one_line(failure.text)}."


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The exceptions behind an exception, those of its groups too."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for part in error.exceptions:
                yield from _causes(part)
        error = error.__cause__


def handshake_refused(refusal: HandshakeRefused, url: str) -> str:
    """The server answered, but not with a WebSocket."""
    said = f"{shown_url(url)} refuses the connection (HTTP {refusal.status})"
    try:
        message = msgspec.json.decode(refusal.body_prefix, type=_ErrorBody).error.message
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        message = ""
    if message:
        said += f": {one_line(message[:_MAX_MESSAGE_CHARS]).rstrip('.')}"
    advice = _STATUS_ADVICE.get(refusal.status, "")
    retry_after = refusal.headers.get("retry-after", "")
    if retry_after.isdecimal():
        advice = f"Try again in {retry_after[:10]} s."
    return f"{said}. {advice}".rstrip()


def connection_lost(loss: ConnectionLost, url: str) -> str:
    """The conversation is over; ``url`` is shown as it is."""
    if loss.code is None or loss.by == "network":
        return f"The connection to {url} broke: {one_line(loss.reason) or 'nobody said why'}."
    reason = _reason(loss)
    text = reason.text if reason is not None else ""
    said = one_line(text or loss.reason or "It did not say why").rstrip(".")
    return f"The server ended the conversation ({loss.code}): {said}. {_CLOSE_ADVICE.get(loss.code, '')}".rstrip()


def may_resume(loss: ConnectionLost) -> bool:
    """Whether the conversation may go on by another connection."""
    reason = _reason(loss)
    return loss.code is None or loss.by == "network" or (reason is not None and reason.reconnect is Reconnect.RESUME)


def must_begin_anew(loss: ConnectionLost) -> bool:
    """Whether the server knows nothing of the conversation any more."""
    reason = _reason(loss)
    return reason is not None and reason.reconnect is Reconnect.ANEW


def _reason(loss: ConnectionLost) -> EndReason | None:
    reasons = [reason for reason in EndReason if loss.code in _codes(reason)]
    # Several share a code; the server's words tell them apart.
    return next((reason for reason in reasons if reason.text == loss.reason), reasons[0] if reasons else None)


def _codes(reason: EndReason) -> tuple[int, int]:
    return reason.close_code(), reason.close_code(openai=True)
