"""What the service answers to a request it does not carry out: its error codes and wordings. Sends nothing.

Codes are those of the services' own errors; where no capture gives the wording, it follows the vendor's HTTP API.
"""

from protocol.realtime.server_events import ErrorDetail

INVALID_REQUEST = "invalid_request_error"

# How much of a client's own value is quoted back.
_QUOTE_MAX_CHARS = 100
# Python refuses to write out integers of thousands of digits.
_SHOWN_BELOW = 10**_QUOTE_MAX_CHARS


class Refusal(Exception):
    """A client event that is refused; ``detail`` is the service's error for it. The session goes on."""

    def __init__(self, code: str, message: str, param: str | None = None, kind: str = INVALID_REQUEST) -> None:
        super().__init__(message)
        self.detail = ErrorDetail(type=kind, code=code, message=message, param=param)


def quoted(value: object) -> str:
    """A client's value as an error message shows it: short, in single quotes if it is a string."""
    text = str(value) if not isinstance(value, int) or abs(value) < _SHOWN_BELOW else "a huge number"
    if len(text) > _QUOTE_MAX_CHARS:
        text = text[:_QUOTE_MAX_CHARS] + "..."
    return f"'{text}'" if isinstance(value, str) else text


def listed(values: tuple[str, ...]) -> str:
    """``'a', 'b', and 'c'``."""
    names = [f"'{value}'" for value in values]
    if len(names) < 3:
        return " and ".join(names)
    return f"{', '.join(names[:-1])}, and {names[-1]}"


def missing(param: str) -> Refusal:
    """A required parameter is absent."""
    return Refusal("missing_required_parameter", f"Missing required parameter: '{param}'.", param)


def unknown(param: str) -> Refusal:
    """A parameter that the service has no name for."""
    return Refusal("unknown_parameter", f"Unknown parameter: '{param}'.", param)


def unsupported(value: object, supported: tuple[str, ...], param: str) -> Refusal:
    """A value outside an enumeration."""
    message = f"Invalid value: {quoted(value)}. Supported values are: {listed(supported)}."
    return Refusal("invalid_value", message, param)


def invalid(message: str, param: str | None) -> Refusal:
    """Any other bad value."""
    return Refusal("invalid_value", message, param)
