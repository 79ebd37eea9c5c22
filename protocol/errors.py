"""The exception tree, by who is at fault. Carries the ending that follows; translates nothing by itself.

LiveAvatarError
 +-- ClientFault     the client asked for what it may not have, or broke a rule
 +-- UpstreamFault   the Realtime service refused, failed or went silent
 +-- OperatorFault   a setting or a file of the operator is wrong; the message names it
 +-- InternalFault   we are wrong
"""

from protocol.endings import EndReason


class LiveAvatarError(Exception):
    """An error that a person is told about.

    Attributes:
        reason: how a session that meets it ends.
        code: the ``error.code`` of the event the client gets.
        retry_after_s: seconds after which trying again makes sense, if that is known.
    """

    default_reason = EndReason.INTERNAL
    error_type = "server_error"

    def __init__(
        self, message: str, *, code: str, reason: EndReason | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason or self.default_reason
        self.retry_after_s = retry_after_s


class ClientFault(LiveAvatarError):
    """The client is at fault."""

    default_reason = EndReason.BAD_REQUEST
    error_type = "invalid_request_error"


class UpstreamFault(LiveAvatarError):
    """The Realtime service is at fault.

    Attributes:
        retryable: whether the same attempt may succeed a moment later.
        said: the service's own words, for the log alone: services quote keys in them.
    """

    default_reason = EndReason.UPSTREAM_UNAVAILABLE
    error_type = "upstream_error"

    def __init__(
        self,
        message: str,
        *,
        code: str,
        reason: EndReason | None = None,
        retry_after_s: float | None = None,
        retryable: bool = False,
        said: str = "",
    ) -> None:
        super().__init__(message, code=code, reason=reason, retry_after_s=retry_after_s)
        self.retryable = retryable
        self.said = said


class OperatorFault(LiveAvatarError):
    """A setting or file is wrong. The message names it; clients are told only that the server is misconfigured."""


class InternalFault(LiveAvatarError):
    """We are at fault."""
