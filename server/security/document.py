"""Fetches an issuer's documents over the transport that Azure's libraries use here. It reads nothing in them."""

from typing import Any

from azure.core.exceptions import AzureError
from azure.core.rest import HttpRequest

from server.azure.transport import HttpxTransport
from server.security.base import Fetch, FetchFailed

__all__ = ["document_fetcher"]


def document_fetcher(transport: HttpxTransport) -> Fetch:
    """What fetches documents by this transport, which follows no redirect and bounds an answer's size."""

    async def fetch(url: str) -> bytes:
        try:
            answer: Any = await transport.send(HttpRequest("GET", url, headers={"Accept": "application/json"}))
            if answer.status_code != 200:
                raise FetchFailed(f"it answered with the status {answer.status_code}")
            return bytes(await answer.read())
        except AzureError as error:
            raise FetchFailed(str(error)) from error

    return fetch
