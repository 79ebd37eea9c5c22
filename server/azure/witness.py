"""What Azure answered to a client library's request, as it came; it judges nothing.

The libraries turn answers into exceptions of many kinds, some of which have lost the status, and a few into a
``TypeError``. What went wrong is therefore read from the answer, not from the exception.
"""

from dataclasses import dataclass
from typing import Any, Self

import msgspec
from azure.core.exceptions import ServiceRequestError, ServiceResponseError
from azure.core.pipeline.transport import AsyncHttpTransport
from azure.core.rest import AsyncHttpResponse, HttpRequest


@dataclass(frozen=True, slots=True)
class Answer:
    """Of an answer what is needed to say what is wrong."""

    status: int
    retry_after_s: float | None
    body: bytes

    def field(self, *names: str) -> object:
        """What stands in the JSON body at a path of names; None where there is no such thing."""
        try:
            found: object = msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        for name in names:
            if not isinstance(found, dict):
                return None
            found = found.get(name)
        return found


class Witness(AsyncHttpTransport[HttpRequest, AsyncHttpResponse]):
    """A transport for one question that somebody asks through a client library; sends over another one.

    Attributes:
        answer: the last answer, if there was one.
        failure: why the last request was not answered.

    Args:
        connect_s: seconds for a connection to come about, where that shall be less than usual.
    """

    def __init__(
        self, transport: AsyncHttpTransport[HttpRequest, AsyncHttpResponse], *, connect_s: float | None = None
    ) -> None:
        self._transport = transport
        self._connect_s = connect_s
        self.answer: Answer | None = None
        self.failure: ServiceRequestError | ServiceResponseError | None = None

    async def send(self, request: HttpRequest, **options: Any) -> AsyncHttpResponse:
        """See ``HttpxTransport.send``."""
        if self._connect_s is not None:
            options["connection_timeout"] = self._connect_s
        self.answer = self.failure = None
        try:
            response = await self._transport.send(request, **options)
        except (ServiceRequestError, ServiceResponseError) as error:
            self.failure = error
            raise
        self.answer = Answer(response.status_code, _retry_after_s(response), response.content)
        return response

    async def open(self) -> None:
        """Nothing: the transport is open."""

    async def close(self) -> None:
        """Nothing: the transport is not its own."""

    async def sleep(self, duration: float) -> None:
        """See ``HttpxTransport.sleep``."""
        await self._transport.sleep(duration)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing; see ``close``."""


def _retry_after_s(response: AsyncHttpResponse) -> float | None:
    # Azure's identity services and vaults give seconds; a date is as good as nothing said.
    text = response.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else None
