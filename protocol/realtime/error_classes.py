"""What a refusal or an error of a Realtime service means for whoever depends on it: one table. It takes no action.

Sources: the services' documented and captured codes (docs/upstream.md lists which of them were verified, and how).
"""

import enum
from collections.abc import Mapping


class ErrorClass(enum.Enum):
    """How bad it is, from mild to final."""

    BENIGN = "benign"
    """Somebody asked for what cannot be; the session goes on."""
    RETRY = "retry"
    """The service failed; the same may succeed a moment later."""
    RECYCLE = "recycle"
    """This connection, or the quota behind it, is of no more use; another may be."""
    FATAL = "fatal"
    """No connection with these settings will do."""


# By the code of an error event, of ``response.status_details.error``, or of a refusal's JSON body.
OF_CODE: Mapping[str, ErrorClass] = {
    "session_expired": ErrorClass.RECYCLE,
    "insufficient_quota": ErrorClass.RECYCLE,
    "rate_limit_exceeded": ErrorClass.RETRY,
    "inference_rate_limit_exceeded": ErrorClass.RETRY,
    "server_error": ErrorClass.RETRY,
    "invalid_api_key": ErrorClass.FATAL,
    "missing_model": ErrorClass.FATAL,
    "invalid_model": ErrorClass.FATAL,
    "model_not_found": ErrorClass.FATAL,
    "beta_api_shape_disabled": ErrorClass.FATAL,
    "DeploymentNotFound": ErrorClass.FATAL,
}

# By the type of an error whose code says nothing.
OF_TYPE: Mapping[str, ErrorClass] = {
    "server_error": ErrorClass.RETRY,
    "rate_limit_error": ErrorClass.RETRY,
    "authentication_error": ErrorClass.FATAL,
    "permission_error": ErrorClass.FATAL,
}

# By the HTTP status of a refused handshake. Others in the 500s are of the service's making, too; all else is ours.
OF_STATUS: Mapping[int, ErrorClass] = {
    400: ErrorClass.FATAL,
    401: ErrorClass.FATAL,
    403: ErrorClass.FATAL,
    404: ErrorClass.FATAL,
    410: ErrorClass.FATAL,
    408: ErrorClass.RETRY,
    409: ErrorClass.RETRY,
    425: ErrorClass.RETRY,
    429: ErrorClass.RETRY,
    500: ErrorClass.RETRY,
    502: ErrorClass.RETRY,
    503: ErrorClass.RETRY,
    504: ErrorClass.RETRY,
}

# By the close code of a connection: OpenAI accepts a connection and then refuses it like this.
OF_CLOSE: Mapping[int, ErrorClass] = {
    3000: ErrorClass.FATAL,
    4000: ErrorClass.FATAL,
    4004: ErrorClass.FATAL,
}


def class_of_error(error_type: str | None, code: str | None) -> ErrorClass:
    """The class of an error event, or of the error a response failed with. What is not known is benign."""
    by_code = OF_CODE.get(code or "")
    return by_code or OF_TYPE.get(error_type or "", ErrorClass.BENIGN)


def class_of_status(status: int) -> ErrorClass:
    """The class of a refused handshake."""
    return OF_STATUS.get(status, ErrorClass.RETRY if status >= 500 else ErrorClass.FATAL)


def class_of_close(code: int | None) -> ErrorClass:
    """The class of a connection's end; one without a word is ``RECYCLE``."""
    return OF_CLOSE.get(code or 0, ErrorClass.RECYCLE)
