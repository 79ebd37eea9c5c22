"""The service at its endpoint: sends requests and brings their results. It knows no passages.

The tries of `server.knowledge.azure_search.tries` are the only ones: those of the library are off.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.search.documents import IndexDocumentsBatch, RequestEntityTooLargeError
from azure.search.documents.aio import SearchClient
from azure.search.documents.indexes.aio import SearchIndexClient
from azure.search.documents.indexes.models import SearchIndex
from azure.search.documents.models import IndexingResult

from server.azure.base import Identity
from server.azure.transport import HttpxTransport
from server.knowledge.azure_search.config import ENDPOINT_SETTING, KnowledgeBaseSource
from server.knowledge.azure_search.credential import Authentication
from server.knowledge.azure_search.faults import unavailable
from server.knowledge.azure_search.odata import Condition, all_of
from server.knowledge.azure_search.tries import TRIES, WRITE_TRIES, Tries
from server.secret import Secret

_Answer = TypeVar("_Answer")

# What Entra ID knows this service by.
TOKEN_SCOPE = "https://search.azure.com/.default"  # noqa: S105 - the name of a scope
# The most the service gives in one page.
PAGE = 1_000
# Seconds for a batch of documents, or for making an index; nobody waits for a word then.
WRITE_DEADLINE_S = 120.0


class SearchService:
    """Azure AI Search at one endpoint. Many tasks use it at once; cancelling a call closes its connection.

    Every method raises KnowledgeUnavailable, also when the deadline passes.

    Args:
        credential: the key, which may be renewed meanwhile, or the identity that gives tokens for ``TOKEN_SCOPE``.
        transport: shared with others; whoever made it closes it.
        semantic: the semantic configuration, for messages.
        tries: how to try again.
    """

    def __init__(
        self,
        endpoint: str,
        host: str,
        credential: Secret | Identity,
        transport: HttpxTransport,
        *,
        semantic: str = "",
        tries: Tries | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._host = host
        self._semantic = semantic
        self._tries = tries or Tries()
        self._clients: dict[str, SearchClient] = {}
        self._options: dict[str, Any] = {
            # The policy below brings the credential; the library only wants to see one.
            "credential": AzureKeyCredential("unused"),
            "authentication_policy": Authentication(credential, TOKEN_SCOPE),
            "transport": transport,
            "retry_total": 0,
            # A key is not to follow a redirect to another host.
            "permit_redirects": False,
        }

    def _client(self, index: str) -> SearchClient:
        client = self._clients.get(index)
        if client is None:
            client = self._clients[index] = SearchClient(self._endpoint, index_name=index, **self._options)
        return client

    async def search(
        self,
        source: KnowledgeBaseSource,
        conditions: tuple[Condition, ...],
        *,
        select: list[str],
        deadline_s: float,
        **parameters: Any,
    ) -> list[dict[str, Any]]:
        """The results of one request, which carries the knowledge base's own filter beside ``conditions``.

        ``parameters`` are those of ``SearchClient.search``; ``top`` bounds how many results come.
        """
        filtered = all_of((*source.conditions, *conditions)) or None

        async def ask() -> list[dict[str, Any]]:
            found = await self._client(source.index).search(filter=filtered, select=select, **parameters)
            return [result async for result in found]

        return await self._asked(source, ask, deadline_s)

    async def page(self, source: KnowledgeBaseSource, after: str | None, *, select: list[str]) -> list[dict[str, Any]]:
        """Some of what the knowledge base holds, in the order of its keys: what comes after the key ``after``.

        Not by skipping, which the service allows for the first 100,000 only. An empty page is the last one; a short
        one need not be.
        """
        key = source.fields.key
        later = () if after is None else (Condition(key, "gt", after),)
        return await self.search(
            source, later, select=select, deadline_s=WRITE_DEADLINE_S, search_text="*", order_by=[key], top=PAGE
        )

    async def get(
        self, source: KnowledgeBaseSource, key: str, *, select: list[str], deadline_s: float
    ) -> dict[str, Any] | None:
        """The document with this key, or None. A look-up carries no filter: whoever asks checks whose it is."""

        async def ask() -> dict[str, Any] | None:
            try:
                return dict(await self._client(source.index).get_document(key, selected_fields=select))
            except ResourceNotFoundError as error:
                # Without an index there is a message; without a document there is none.
                if error.error is not None and error.error.message:
                    raise
                return None

        return await self._asked(source, ask, deadline_s)

    async def write(self, source: KnowledgeBaseSource, batch: IndexDocumentsBatch) -> list[IndexingResult]:
        """Sends a batch; what became of each of its documents. Those that failed are the caller's to send again."""

        async def ask() -> list[IndexingResult]:
            try:
                return await self._client(source.index).index_documents(batch)
            except TypeError as error:
                # The library halves a batch that is too large, and then calls itself with an argument it does not have.
                if isinstance(error.__context__, RequestEntityTooLargeError):
                    raise error.__context__ from None
                raise

        return await self._asked(source, ask, WRITE_DEADLINE_S, tries=WRITE_TRIES)

    async def index(self, source: KnowledgeBaseSource) -> SearchIndex | None:
        """The definition of the knowledge base's index, or None."""

        async def ask() -> SearchIndex | None:
            try:
                return await self._indexes().get_index(source.index)
            except ResourceNotFoundError:
                return None

        return await self._asked(source, ask, WRITE_DEADLINE_S, tries=WRITE_TRIES)

    async def create(self, source: KnowledgeBaseSource, index: SearchIndex) -> None:
        """Makes an index. One that somebody else made meanwhile is good as well."""

        async def ask() -> None:
            try:
                await self._indexes().create_index(index)
            except ResourceExistsError:
                return

        await self._asked(source, ask, WRITE_DEADLINE_S, tries=WRITE_TRIES)

    def _indexes(self) -> SearchIndexClient:
        return SearchIndexClient(self._endpoint, **self._options)

    async def _asked(
        self,
        source: KnowledgeBaseSource,
        ask: Callable[[], Awaitable[_Answer]],
        deadline_s: float,
        *,
        tries: int = TRIES,
    ) -> _Answer:
        return await self._tries.run(
            ask,
            partial(unavailable, host=self._host, source=source, semantic=self._semantic),
            who=f"Azure AI Search at {self._host}",
            setting=ENDPOINT_SETTING,
            deadline_s=deadline_s,
            tries=tries,
        )
