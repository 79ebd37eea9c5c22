"""How each service refuses a handshake: HTTP bodies in its own shape, closes with its own codes. Judges nothing.

Azure refuses with HTTP and never upgrades. OpenAI upgrades, sends one ``error`` event and closes, wherever a refusal
has a ``close_code``; without one it refuses with HTTP as well.

Azure's 401 and its 400 for ``api-version`` are worded as the service words them; its 403, 404, 429, 500 and 503 follow
its other endpoints, for no capture of a Realtime handshake shows them. The same is true of OpenAI's HTTP refusals.
"""

from typing import Any, Literal, TypeAlias

import msgspec

from server.simulator.refusal import INVALID_REQUEST

Service: TypeAlias = Literal["azure", "openai"]

WRONG_KEY = (
    "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an "
    "active subscription and use a correct regional API endpoint for your resource."
)
UNAUTHORIZED = (
    "Unauthorized. Access token is missing, invalid, audience is incorrect (https://cognitiveservices.azure.com), or "
    "have expired."
)
NO_DEPLOYMENT = (
    "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, "
    "please wait a moment and try again."
)
DATED = "api-version query parameter is not allowed when using /v1 path"


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Why a handshake is refused, in the words of ``service``.

    ``close_code`` 0 means HTTP; ``retry_after`` is in s; ``kind`` is an error's ``type`` in OpenAI's bodies and events.
    ``bare`` leaves out the ``error`` object around an Azure body, as the gateway before the service does.
    """

    service: Service
    status: int
    code: str | None
    message: str
    close_code: int = 0
    kind: str = INVALID_REQUEST
    subprotocol: str | None = None
    retry_after: int | None = None
    bare: bool = False

    @property
    def close_reason(self) -> str:
        """The service's pattern, ``<type>.<code>``."""
        return f"{self.kind}.{self.code}"

    def body(self) -> dict[str, Any]:
        """The JSON body of the refusal over HTTP."""
        if self.service == "openai":
            return {"error": {"message": self.message, "type": self.kind, "param": None, "code": self.code}}
        if self.bare:
            return {"statusCode": self.status, "message": self.message}
        return {"error": {"code": self.code, "message": self.message}}


# By service and HTTP status: type, code and wording of a refusal that has no other cause than to be refused.
_BY_STATUS: dict[Service, dict[int, tuple[str, str | None, str]]] = {
    "azure": {
        400: ("", "BadRequest", "The request is invalid."),
        401: ("", "401", WRONG_KEY),
        403: ("", "403", "Access denied due to Virtual Network/Firewall rules."),
        404: ("", "DeploymentNotFound", NO_DEPLOYMENT),
        429: (
            "",
            "429",
            "Requests have exceeded the call rate limit of your current pricing tier. Please retry later.",
        ),
        500: ("", "InternalServerError", "The server had an error while processing your request."),
        503: ("", "ServiceUnavailable", "The service is temporarily unable to process your request."),
    },
    "openai": {
        400: (INVALID_REQUEST, None, "The request is invalid."),
        401: (INVALID_REQUEST, "invalid_api_key", "Incorrect API key provided."),
        403: (
            "request_forbidden",
            "unsupported_country_region_territory",
            "Country, region, or territory not supported",
        ),
        404: (INVALID_REQUEST, None, "Invalid URL"),
        429: ("requests", "rate_limit_exceeded", "Rate limit reached. Please try again later."),
        500: ("server_error", None, "The server had an error while processing your request."),
        503: ("server_error", None, "The engine is currently overloaded, please try again later."),
    },
}


def refused_over_http(
    service: Service,
    status: int,
    *,
    code: str | None = None,
    message: str | None = None,
    retry_after: int | None = None,
) -> Refused:
    """A refusal with the service's own code and wording for that status, where none are given."""
    kind, usual_code, usual_message = _BY_STATUS[service][status]
    return Refused(
        service=service,
        status=status,
        code=code or usual_code,
        message=message or usual_message,
        kind=kind or INVALID_REQUEST,
        retry_after=retry_after,
    )
