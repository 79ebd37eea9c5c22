"""The credential on each request: a key, or a token of an identity. It gets neither."""

from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import AsyncHTTPPolicy
from azure.core.rest import AsyncHttpResponse, HttpRequest

from server.azure.base import Identity
from server.secret import Secret


class Authentication(AsyncHTTPPolicy[HttpRequest, AsyncHttpResponse]):
    """Puts the credential on each request, as it is at that moment.

    Args:
        scope: what the tokens of an identity are to be good for.
    """

    def __init__(self, credential: Secret | Identity, scope: str) -> None:
        super().__init__()
        self._credential = credential
        self._scope = scope

    async def send(self, request: PipelineRequest[HttpRequest]) -> PipelineResponse[HttpRequest, AsyncHttpResponse]:
        """Sends the request on. Raises AzureFault without a token, UnresolvedSecret without a key."""
        headers = request.http_request.headers
        if isinstance(self._credential, Secret):
            headers["api-key"] = self._credential.reveal()
        else:
            headers["Authorization"] = f"Bearer {(await self._credential.request(self._scope)).secret.reveal()}"
        return await self.next.send(request)
