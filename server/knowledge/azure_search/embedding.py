"""Embeddings: the port of what turns texts into vectors, and Azure OpenAI behind it. It keeps none.

A question needs none where the index has a vectorizer: then the service makes the vector. Ingestion always does, for
the service makes vectors only of what its own indexers read, not of what is sent to it.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol
from urllib.parse import urlsplit

from azure.core import AsyncPipelineClient
from azure.core.exceptions import AzureError, HttpResponseError
from azure.core.pipeline.policies import ContentDecodePolicy
from azure.core.rest import HttpRequest

from server.azure.base import Identity
from server.azure.transport import HttpxTransport
from server.knowledge.azure_search.config import (
    EMBEDDING_ENDPOINT_SETTING,
    EMBEDDING_KEY_SETTING,
    EMBEDDING_SETTING,
)
from server.knowledge.azure_search.credential import Authentication
from server.knowledge.azure_search.faults import said, status_of
from server.knowledge.azure_search.tries import Tries
from server.knowledge.base import KnowledgeUnavailable
from server.secret import Secret

TOKEN_SCOPE = "https://cognitiveservices.azure.com/.default"  # noqa: S105 - the name of a scope
# Texts in one request: some 20,000 tokens of passages, a fraction of a second of work.
_TEXTS = 64
# A question is one text and somebody waits; a batch of passages takes longer, and nobody does.
_QUESTION_DEADLINE_S = 4.0
_BATCH_DEADLINE_S = 60.0


class Embedder(Protocol):
    """Turns texts into vectors."""

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """A vector for each text, in their order. Raises KnowledgeUnavailable. Cancelled, it returns at once."""
        ...


class AzureOpenAIEmbedder:
    """An embedding deployment at Azure OpenAI. Implements ``Embedder``.

    Args:
        endpoint: the resource, ``https://NAME.openai.azure.com``.
        credential: its key, or the identity whose tokens (for ``TOKEN_SCOPE``) are taken.
        dimensions: how many numbers a vector has.
        transport: shared with others; whoever made it closes it.
    """

    def __init__(
        self,
        endpoint: str,
        deployment: str,
        credential: Secret | Identity,
        transport: HttpxTransport,
        *,
        dimensions: int,
        tries: Tries | None = None,
    ) -> None:
        self._url = f"{endpoint.rstrip('/')}/openai/v1/embeddings"
        self._who = f"the embedding model at {urlsplit(endpoint).netloc}"
        self._deployment = deployment
        self._dimensions = dimensions
        self._tries = tries or Tries()
        self._client: AsyncPipelineClient[HttpRequest, Any] = AsyncPipelineClient(
            endpoint, policies=[ContentDecodePolicy(), Authentication(credential, TOKEN_SCOPE)], transport=transport
        )

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """As ``Embedder.embed``."""
        vectors: list[list[float]] = []
        for start in range(0, len(texts), _TEXTS):
            part = list(texts[start : start + _TEXTS])
            vectors += await self._tries.run(
                partial(self._ask, part),
                self._translated,
                who=self._who,
                setting=EMBEDDING_ENDPOINT_SETTING,
                deadline_s=_QUESTION_DEADLINE_S if len(texts) == 1 else _BATCH_DEADLINE_S,
            )
        return vectors

    async def _ask(self, texts: list[str]) -> list[list[float]]:
        body = {"model": self._deployment, "input": texts, "dimensions": self._dimensions}
        response = await self._client.send_request(HttpRequest("POST", self._url, json=body))
        response.raise_for_status()
        data = sorted(response.json()["data"], key=lambda item: item["index"])
        vectors = [[float(number) for number in item["embedding"]] for item in data]
        if [len(vector) for vector in vectors] != [self._dimensions] * len(texts):
            raise ValueError("not a vector for each text")
        return vectors

    def _translated(self, error: AzureError) -> KnowledgeUnavailable:
        status = status_of(error)
        if status in (401, 403):
            return KnowledgeUnavailable(f"{self._who} refuses access ({status}): look at {EMBEDDING_KEY_SETTING}")
        if status == 404:
            return KnowledgeUnavailable(f"{self._who} is not there: look at {EMBEDDING_SETTING}={self._deployment}")
        if isinstance(error, HttpResponseError):
            return KnowledgeUnavailable(f"{self._who} answers {status}: {said(error)}")
        return KnowledgeUnavailable(f"{self._who} cannot be reached: look at {EMBEDDING_ENDPOINT_SETTING}")
