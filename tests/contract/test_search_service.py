"""What the server relies on at Azure AI Search. Each test is a row of docs/verification.md.

Run live it makes an index of its own beside yours, and deletes it.
"""

import dataclasses
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
import trustme
from azure.core.credentials import AzureKeyCredential
from azure.search.documents.indexes.aio import SearchIndexClient

from server.app.cloud import Cloud, open_cloud
from server.app.knowledge import Search, open_search
from server.azure.transport import HttpxTransport
from server.knowledge.base import KnowledgeUnavailable, UnknownPassage
from server.secret import Secret
from server.settings import Settings, load
from tests.contract.targets import IS_LIVE, LIVE
from tests.knowledge.azure_search.stand_in.http import HttpServer
from tests.knowledge.azure_search.stand_in.service import ADMIN_KEY, SearchStandIn

INDEX = "liveavatar-contract-test"
SOURCES = "".join(f'[knowledge_bases.{kb_id}]\nindex = "{INDEX}"\n' for kb_id in ("contract-a", "contract-b"))
# A real index shows what it was given within seconds.
SETTLE_S = 30.0


@dataclass(frozen=True, slots=True)
class Place:
    """A search service with two knowledge bases in one index."""

    settings: Settings
    cloud: Cloud
    search: Search
    folder: Path

    async def ingest(self, kb_id: str, **files: str) -> None:
        folder = self.folder / kb_id
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            (folder / f"{name}.md").write_text(text)
        await self.search.filler.ingest(kb_id, [folder])

    async def found(self, kb_id: str, query: str, *, wanted: int = 1) -> list[str]:
        """The texts that are found, as soon as there are so many."""
        knowledge = await self.search.catalog.open(kb_id)
        with trio.move_on_after(SETTLE_S):
            while len(texts := [passage.text for passage in await knowledge.search(query)]) < wanted:  # noqa: ASYNC110 - an index tells nobody
                await trio.sleep(0.5)
        return texts

    @asynccontextmanager
    async def asked_with(self, **changes: object) -> AsyncIterator[Search]:
        """The same with other settings."""
        settings = dataclasses.replace(self.settings, **changes)  # type: ignore[arg-type]
        async with open_search(settings, self.cloud, deadline_s=10) as search:
            yield search


@pytest.fixture(params=["stand-in", *([LIVE] if IS_LIVE else [])])
async def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Place]:
    (tmp_path / "sources.toml").write_text(SOURCES)
    async with trio.open_nursery() as nursery:
        if request.param == LIVE:
            settings = load(os.environ, Path(".env"))
            if settings.search_endpoint is None or settings.search_api_key is None:
                pytest.skip("set AZURE_SEARCH_ENDPOINT and AZURE_SEARCH_API_KEY (an admin key) to run this live")
        else:
            settings = load(await _stand_in(nursery, tmp_path, monkeypatch))
        settings = dataclasses.replace(settings, search_sources=tmp_path / "sources.toml", search_semantic=None)
        async with open_cloud(settings) as cloud, open_search(settings, cloud, deadline_s=10) as search:
            yield Place(settings, cloud, search, tmp_path)
        await _delete_index(settings)
        nursery.cancel_scope.cancel()


async def _stand_in(nursery: trio.Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    authority = trustme.CA()
    (tmp_path / "ca.pem").write_bytes(authority.cert_pem.bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = HttpServer(SearchStandIn().handle)
    await nursery.start(server.serve, context)
    return {
        "AZURE_SEARCH_ENDPOINT": f"https://127.0.0.1:{server.port}",
        "AZURE_SEARCH_API_KEY": ADMIN_KEY,
        "AZURE_SEARCH_INDEX": INDEX,
    }


async def _delete_index(settings: Settings) -> None:
    transport = HttpxTransport(max_connections=1)
    assert settings.search_endpoint is not None
    assert settings.search_api_key is not None
    credential = AzureKeyCredential(settings.search_api_key.reveal())
    client = SearchIndexClient(settings.search_endpoint, credential, transport=transport, retry_total=0)
    try:
        await client.delete_index(INDEX)
    finally:
        await transport.aclose()


async def test_an_index_is_made_filled_and_searched(place: Place) -> None:
    await place.ingest("contract-a", hours="# Hours\n\nThe lighthouse opens at seven.\n")
    (text,) = await place.found("contract-a", "When does the lighthouse open?")
    assert "seven" in text


async def test_one_knowledge_base_never_answers_for_another(place: Place) -> None:
    await place.ingest("contract-a", hours="# Hours\n\nThe lighthouse opens at seven.\n")
    await place.ingest("contract-b", hours="# Hours\n\nThe lighthouse opens at noon.\n")
    assert all("seven" in text for text in await place.found("contract-a", "lighthouse opens"))
    assert all("noon" in text for text in await place.found("contract-b", "lighthouse opens"))


async def test_what_is_gone_from_a_folder_is_gone_from_the_index(place: Place) -> None:
    await place.ingest("contract-a", one="# One\n\nPuffins nest in May.\n", two="# Two\n\nSeals rest in June.\n")
    await place.found("contract-a", "seals")
    (place.folder / "contract-a" / "two.md").unlink()
    await place.ingest("contract-a")
    knowledge = await place.search.catalog.open("contract-a")
    with trio.fail_after(SETTLE_S):
        while await knowledge.search("seals"):  # noqa: ASYNC110 - an index tells nobody
            await trio.sleep(0.5)


async def test_a_passage_is_read_in_its_document(place: Place) -> None:
    await place.ingest("contract-a", hours="# Hours\n\nThe lighthouse opens at seven.\n")
    await place.found("contract-a", "lighthouse")
    knowledge = await place.search.catalog.open("contract-a")
    document = await knowledge.document("contract-a/hours.md#1")
    assert "opens at seven" in document.text[document.start : document.end]
    with pytest.raises(UnknownPassage):
        await knowledge.document("contract-a/gone.md#1")


async def test_a_question_is_plain_words_whatever_it_holds(place: Place) -> None:
    await place.ingest("contract-a", hours="# Hours\n\nThe lighthouse opens at seven.\n")
    await place.ingest("contract-b", hours="# Hours\n\nThe lighthouse opens at noon.\n")
    await place.found("contract-a", "lighthouse")
    for query in ("lighthouse' or kb_id ne 'x", '"light* | kb_id:contract-b', "lighthouse && (*)", "-seven +noon ~2"):
        assert all("noon" not in text for text in await place.found("contract-a", query, wanted=0))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"search_api_key": Secret("wrong")}, "AZURE_SEARCH_API_KEY"),
        ({"search_fields": "key=id, content=chunk"}, "LIVEAVATAR_SEARCH_FIELDS"),
        ({"search_filter_field": "tenant"}, "LIVEAVATAR_SEARCH_FILTER_FIELD"),
        ({"search_semantic": "none-such"}, "LIVEAVATAR_SEARCH_SEMANTIC"),
    ],
)
async def test_what_is_refused_names_the_setting(place: Place, changes: dict[str, object], named: str) -> None:
    await place.ingest("contract-a", hours="# Hours\n\nThe lighthouse opens at seven.\n")
    async with place.asked_with(**changes) as search:
        knowledge = await search.catalog.open("contract-a")
        with pytest.raises(KnowledgeUnavailable, match=named):
            await knowledge.search("lighthouse")
