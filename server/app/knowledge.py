"""Opens the knowledge bases that the settings mean: embedded ones on this machine, or those of Azure AI Search."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from protocol.errors import OperatorFault
from server.app.cloud import Cloud
from server.knowledge.base import KnowledgeCatalog, KnowledgeError
from server.knowledge.catalog import SqliteCatalog
from server.knowledge.shipped import load_shipped
from server.knowledge.sqlite import KnowledgeIndex
from server.settings import Settings

if TYPE_CHECKING:
    from server.azure.base import Identity
    from server.azure.transport import HttpxTransport
    from server.knowledge.azure_search.catalog import AzureSearchCatalog
    from server.knowledge.azure_search.config import SearchConfig
    from server.knowledge.azure_search.embedding import Embedder
    from server.knowledge.azure_search.filler import IndexFiller
    from server.knowledge.azure_search.index import Vectors
    from server.knowledge.azure_search.service import SearchService
    from server.secret import Secret

KNOWLEDGE_FOLDER = "knowledge"
# Whoever guards a knowledge base gives it a little longer than it gives itself, so that its own words are heard.
_OWN_SHARE = 0.9
# Seconds for closing connections to the search service.
_CLOSE_S = 2.0


@asynccontextmanager
async def open_knowledge(settings: Settings, cloud: Cloud, *, deadline_s: float) -> AsyncIterator[KnowledgeCatalog]:
    """The knowledge bases of this server; ``deadline_s`` is what a question may take in seconds.

    Raises:
        OperatorFault: they cannot be used; the message names the setting.
    """
    if settings.search_endpoint is None:
        async with _embedded(settings.data_dir) as catalog:
            yield catalog
        return
    async with open_search(settings, cloud, deadline_s=_OWN_SHARE * deadline_s) as search:
        yield search.catalog


@asynccontextmanager
async def _embedded(data_dir: Path) -> AsyncIterator[SqliteCatalog]:
    """The embedded knowledge bases, the shipped ones brought up to date."""
    folder = data_dir / KNOWLEDGE_FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        text = f"LIVEAVATAR_DATA_DIR={data_dir} cannot be used: {error.strerror}."
        raise OperatorFault(text, code="data_dir") from None
    index = KnowledgeIndex(folder)
    try:
        try:
            await trio.to_thread.run_sync(load_shipped, index)
        except KnowledgeError as error:
            text = f"The knowledge bases in {folder} cannot be used: {error}."
            raise OperatorFault(text, code="knowledge") from None
        yield SqliteCatalog(index)
    finally:
        index.close()


@dataclass(frozen=True, slots=True)
class Search:
    """Azure AI Search as the settings mean it: to be asked, and to be filled."""

    config: "SearchConfig"
    service: "SearchService"
    catalog: "AzureSearchCatalog"
    filler: "IndexFiller"


@asynccontextmanager
async def open_search(settings: Settings, cloud: Cloud, *, deadline_s: float) -> AsyncIterator[Search]:
    """Opens the way to the search service; its tokens are refreshed from the cloud's ``start`` on.

    Raises:
        OperatorFault: a setting cannot be used; the message names it.
    """
    from server.azure.transport import HttpxTransport
    from server.knowledge.azure_search.catalog import AzureSearchCatalog
    from server.knowledge.azure_search.filler import IndexFiller
    from server.knowledge.azure_search.service import TOKEN_SCOPE, SearchService

    config = _config(settings, deadline_s)
    # Of its own, so that a bound on searches is none on tokens.
    transport = HttpxTransport(max_connections=settings.search_connections)
    try:
        credential: Secret | Identity = settings.search_api_key or cloud.tokens(TOKEN_SCOPE)
        service = SearchService(config.endpoint, config.host, credential, transport, semantic=config.semantic)
        embedder, vectors = _embedding(settings, cloud, transport)
        yield Search(
            config,
            service,
            AzureSearchCatalog(config, service, embedder=embedder),
            IndexFiller(config, service, analyzer=settings.search_analyzer or "", vectors=vectors, embedder=embedder),
        )
    finally:
        with trio.move_on_after(_CLOSE_S, shield=True):
            await transport.aclose()  # noqa: ASYNC102 - shielded above, with a deadline


def _config(settings: Settings, deadline_s: float) -> "SearchConfig":
    from server.knowledge.azure_search.config import IndexFields, SearchConfig, SearchConfigError, parse_fields
    from server.knowledge.azure_search.sources_file import read_sources, sources_in_one_index

    try:
        fields = parse_fields(settings.search_fields) if settings.search_fields else IndexFields()
        index, filter_field = settings.search_index, settings.search_filter_field
        sources = (
            read_sources(settings.search_sources, index=index, filter_field=filter_field, fields=fields)
            if settings.search_sources is not None
            else sources_in_one_index([settings.default_kb], index, filter_field=filter_field, fields=fields)
        )
        return SearchConfig(
            endpoint=settings.search_endpoint or "",
            sources=sources,
            mode=settings.search_mode,
            semantic=settings.search_semantic or "",
            deadline_s=deadline_s,
        )
    except SearchConfigError as error:
        raise OperatorFault(f"{error}.", code="settings") from None


def _embedding(
    settings: Settings, cloud: Cloud, transport: "HttpxTransport"
) -> "tuple[Embedder | None, Vectors | None]":
    """What makes vectors here, and what an index that is made is told to make them with; None without a model."""
    from server.knowledge.azure_search.embedding import TOKEN_SCOPE, AzureOpenAIEmbedder
    from server.knowledge.azure_search.index import Vectors

    endpoint, deployment = settings.embedding_endpoint, settings.embedding_deployment
    if endpoint is None or deployment is None or settings.embedding_dimensions is None:
        return None, None
    credential: Secret | Identity = settings.embedding_api_key or cloud.tokens(TOKEN_SCOPE)
    embedder = AzureOpenAIEmbedder(
        endpoint, deployment, credential, transport, dimensions=settings.embedding_dimensions
    )
    vectors = Vectors(
        dimensions=settings.embedding_dimensions,
        endpoint=endpoint,
        deployment=deployment,
        model=settings.embedding_model or deployment,
        key=settings.embedding_api_key,
    )
    return embedder, vectors
