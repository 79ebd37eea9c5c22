"""A stand-in for Azure AI Search on a port of the test's own, and the adapter over it."""

import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

from server.azure.transport import HttpxTransport
from server.knowledge.azure_search.catalog import AzureSearchCatalog
from server.knowledge.azure_search.config import KnowledgeBaseSource, Mode, SearchConfig
from server.knowledge.azure_search.embedding import AzureOpenAIEmbedder, Embedder
from server.knowledge.azure_search.filler import IndexFiller
from server.knowledge.azure_search.index import Vectors
from server.knowledge.azure_search.service import SearchService
from server.knowledge.azure_search.tries import Tries
from server.knowledge.ingest import IngestReport
from server.secret import Secret
from tests.knowledge.azure_search.stand_in.http import HttpServer
from tests.knowledge.azure_search.stand_in.service import ADMIN_KEY, SearchStandIn

CONNECTIONS = 20
DIMENSIONS = 32


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def trust(authority: trustme.CA) -> ssl.SSLContext:
    """Trusts the authority and nobody else: the system's list takes a tenth of a second to read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


@dataclass
class Bench:
    """Everything a test of the adapter needs."""

    stand_in: SearchStandIn
    server: HttpServer
    transport: HttpxTransport
    folder: Path
    sources: tuple[KnowledgeBaseSource, ...] = (KnowledgeBaseSource(kb_id="kb", index="shared"),)
    key: Any = field(default_factory=lambda: Secret(ADMIN_KEY))

    @property
    def endpoint(self) -> str:
        return f"https://127.0.0.1:{self.server.port}"

    def config(self, mode: Mode = "keyword", semantic: str = "", **options: Any) -> SearchConfig:
        return SearchConfig(endpoint=self.endpoint, sources=self.sources, mode=mode, semantic=semantic, **options)

    def service(self, config: SearchConfig) -> SearchService:
        return SearchService(
            config.endpoint,
            config.host,
            self.key,
            self.transport,
            semantic=config.semantic,
            tries=Tries(chance=lambda: 0.5, clock=lambda: 1_000_000.0),
        )

    def catalog(
        self, mode: Mode = "keyword", semantic: str = "", embedder: Embedder | None = None, **options: Any
    ) -> AzureSearchCatalog:
        config = self.config(mode, semantic, **options)
        return AzureSearchCatalog(config, self.service(config), embedder=embedder)

    def embedder(self, deployment: str = "embedding") -> AzureOpenAIEmbedder:
        return AzureOpenAIEmbedder(self.endpoint, deployment, Secret(ADMIN_KEY), self.transport, dimensions=DIMENSIONS)

    def vectors(self) -> Vectors:
        return Vectors(
            dimensions=DIMENSIONS,
            endpoint="https://models.example",
            deployment="embedding",
            model="text-embedding-3-small",
        )

    def filler(self, mode: Mode = "keyword", *, vectors: bool = False, analyzer: str = "") -> IndexFiller:
        config = self.config(mode)
        return IndexFiller(
            config,
            self.service(config),
            analyzer=analyzer,
            vectors=self.vectors() if vectors else None,
            embedder=self.embedder() if vectors else None,
        )

    def write(self, files: Mapping[str, str], kb_id: str = "kb") -> Path:
        folder = self.folder / kb_id
        for name, text in files.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        return folder

    def unlink(self, name: str, kb_id: str = "kb") -> None:
        (self.folder / kb_id / name).unlink()

    async def fill(self, files: Mapping[str, str], kb_id: str = "kb", *, vectors: bool = False) -> IngestReport:
        return await self.filler(vectors=vectors).ingest(kb_id, [self.write(files, kb_id)])

    def documents(self, index: str = "shared") -> list[dict[str, Any]]:
        return list(self.stand_in.indexes[index].documents.values())


@pytest.fixture
async def bench(authority: trustme.CA, trust: ssl.SSLContext, tmp_path: Path) -> AsyncIterator[Bench]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    stand_in = SearchStandIn(dimensions=DIMENSIONS)
    server = HttpServer(stand_in.handle)
    transport = HttpxTransport(max_connections=CONNECTIONS, ssl_context=trust)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, context)
        yield Bench(stand_in, server, transport, tmp_path)
        await transport.aclose()
        nursery.cancel_scope.cancel()
