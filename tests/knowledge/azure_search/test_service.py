"""What goes wrong at the service or on the way to it, and what every request costs."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs

from server.azure.base import AzureFault, Token
from server.knowledge.azure_search.config import IndexFields, KnowledgeBaseSource
from server.knowledge.base import KnowledgeUnavailable
from server.secret import Secret
from tests.knowledge.azure_search.conftest import CONNECTIONS, Bench
from tests.knowledge.azure_search.stand_in.http import Response
from tests.knowledge.azure_search.stand_in.service import ADMIN_KEY, QUERY_KEY, TOKEN, Fault

KEEPER = {"keeper.md": "# The keeper\n\nThe keeper Elin Strand lived here.\n"}
WRONG_KEY = "canary-7c1f0e9d8b6a54321"


async def _refusal(bench: Bench, mode: Any = "keyword", semantic: str = "", **options: Any) -> str:
    """What a search says that fails."""
    base = await bench.catalog(mode, semantic, **options).open("kb")
    with pytest.raises(KnowledgeUnavailable) as caught, capture_logs() as logs:
        await base.search("keeper")
    shown = json.dumps(logs, default=str) + str(caught.value)
    assert ADMIN_KEY not in shown
    assert WRONG_KEY not in shown
    return str(caught.value)


async def test_a_missing_index_names_its_setting(bench: Bench) -> None:
    said = await _refusal(bench)
    assert "no index 'shared'" in said
    assert "AZURE_SEARCH_INDEX" in said


async def test_a_wrong_key_names_its_setting_and_is_not_shown(bench: Bench) -> None:
    bench.key = Secret(WRONG_KEY)
    said = await _refusal(bench)
    assert "(403)" in said
    assert "AZURE_SEARCH_API_KEY" in said


async def test_a_query_key_can_search_and_not_fill(bench: Bench) -> None:
    await bench.fill(KEEPER)
    bench.key = Secret(QUERY_KEY)
    assert await (await bench.catalog().open("kb")).search("keeper")
    with pytest.raises(KnowledgeUnavailable, match=r"AZURE_SEARCH_API_KEY.*Search Index Data Contributor"):
        await bench.fill(KEEPER)


async def test_a_key_that_is_renewed_is_the_next_requests_key(bench: Bench) -> None:
    await bench.fill(KEEPER)
    bench.key = Secret(WRONG_KEY)
    base = await bench.catalog().open("kb")
    bench.key.renew(ADMIN_KEY)
    assert await base.search("keeper")


class _Identity:
    name = "a test's"

    def __init__(self, token: str) -> None:
        self.token = token
        self.scopes: list[str] = []

    async def request(self, scope: str, options: object = None) -> Token:
        await trio.lowlevel.checkpoint()
        self.scopes.append(scope)
        if not self.token:
            raise AzureFault("There is no token.", code="no_token", settings=("AZURE_CLIENT_ID",), reason=None)
        return Token(Secret(self.token), 4_000_000_000.0)


async def test_an_identity_shows_its_token(bench: Bench) -> None:
    await bench.fill(KEEPER)
    bench.key = _Identity(TOKEN)
    assert await (await bench.catalog().open("kb")).search("keeper")
    assert set(bench.key.scopes) == {"https://search.azure.com/.default"}
    assert "api-key" not in bench.stand_in.requests[-1].headers


async def test_a_token_that_is_refused_or_not_to_be_had_is_said(bench: Bench) -> None:
    bench.key = _Identity("old.entra.token")
    assert "(401)" in await _refusal(bench)
    bench.key = _Identity("")
    assert "AZURE_CLIENT_ID" in await _refusal(bench)


@pytest.mark.parametrize("role", ["content", "title", "headings", "uri", "document", "number", "start"])
async def test_a_field_that_is_not_in_the_index_names_the_mapping(bench: Bench, role: str) -> None:
    await bench.fill(KEEPER)
    fields = IndexFields(**{role: "nowhere"})
    bench.sources = (KnowledgeBaseSource(kb_id="kb", index="shared", fields=fields),)
    said = await _refusal(bench)
    assert f"LIVEAVATAR_SEARCH_FIELDS, {role}=nowhere" in said
    assert "Could not find a property named 'nowhere'" in said


async def test_a_filter_field_that_is_not_in_the_index_names_its_setting(bench: Bench) -> None:
    await bench.fill(KEEPER)
    bench.sources = (KnowledgeBaseSource(kb_id="kb", index="shared", filter_field="tenant"),)
    assert "LIVEAVATAR_SEARCH_FILTER_FIELD=tenant" in await _refusal(bench)


async def test_an_unknown_semantic_configuration_names_its_setting(bench: Bench) -> None:
    await bench.fill(KEEPER)
    assert "LIVEAVATAR_SEARCH_SEMANTIC=mine" in await _refusal(bench, semantic="mine")


async def test_an_index_without_vectors_names_the_mapping(bench: Bench) -> None:
    await bench.fill(KEEPER)
    said = await _refusal(bench, "hybrid")
    assert "LIVEAVATAR_SEARCH_FIELDS, vector=vector" in said


async def test_numbers_of_another_type_name_the_mapping(bench: Bench) -> None:
    await bench.fill(KEEPER)
    bench.sources = (KnowledgeBaseSource(kb_id="kb", index="shared", fields=IndexFields(number="title")),)
    assert "number=title" in await _refusal(bench)


async def test_another_version_of_the_service_names_the_endpoint(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.knowledge.azure_search.stand_in.service.API_VERSIONS", frozenset(("1999-01-01",)))
    said = await _refusal(bench)
    assert "AZURE_SEARCH_ENDPOINT" in said
    assert "version" in said


@pytest.mark.parametrize("body", [b"<html>Welcome</html>", b"{}", b'{"value": 3}', b'{"value": [7]}', b"[]"])
async def test_what_is_no_search_service_names_the_endpoint(bench: Bench, body: bytes) -> None:
    base = await bench.catalog().open("kb")
    bench.stand_in.faults.append(Fault(1_000, Response(200, body)))
    with pytest.raises(KnowledgeUnavailable, match=r"AZURE_SEARCH_ENDPOINT|answers 200"):
        await base.search("keeper")


async def test_a_refused_connection_names_the_endpoint(bench: Bench) -> None:
    bench.server.port = 1
    assert "AZURE_SEARCH_ENDPOINT" in await _refusal(bench)


async def test_a_busy_service_is_asked_again(bench: Bench) -> None:
    await bench.fill(KEEPER)
    base = await bench.catalog().open("kb")
    bench.stand_in.fail(503, times=1)
    bench.stand_in.fail(429, times=1, retry_after="0")
    with capture_logs() as logs:
        assert await base.search("keeper")
    assert [entry["number"] for entry in logs if entry["event"] == "asked again"] == [2, 3]


async def test_a_wait_that_the_deadline_does_not_allow_is_not_begun(bench: Bench) -> None:
    base = await bench.catalog(deadline_s=1.0).open("kb")
    bench.stand_in.fail(429, times=1_000, Retry_After="30")
    asked = len(bench.stand_in.requests)
    began = trio.current_time()
    with pytest.raises(KnowledgeUnavailable, match="too busy"):
        await base.search("keeper")
    assert trio.current_time() - began < 0.5
    assert len(bench.stand_in.requests) == asked + 1


@pytest.mark.parametrize("header", [{"retry_after_ms": "150"}, {"Retry_After": "0.15"}])
async def test_a_wait_that_the_service_asks_for_is_kept(bench: Bench, header: dict[str, Any]) -> None:
    await bench.fill(KEEPER)
    base = await bench.catalog().open("kb")
    bench.stand_in.fail(429, times=1, **header)
    began = trio.current_time()
    assert await base.search("keeper")
    assert 0.15 <= trio.current_time() - began < 1.0


async def test_what_is_wrong_is_not_asked_twice(bench: Bench) -> None:
    base = await bench.catalog().open("kb")
    asked = len(bench.stand_in.requests)
    with pytest.raises(KnowledgeUnavailable):
        await base.search("keeper")
    assert len(bench.stand_in.requests) == asked + 1


async def test_a_slow_service_is_left_at_the_deadline(bench: Bench) -> None:
    base = await bench.catalog(deadline_s=0.2).open("kb")
    bench.stand_in.delay_s = 30.0
    began = trio.current_time()
    with pytest.raises(KnowledgeUnavailable, match=r"within 0\.2 s"):
        await base.search("keeper")
    assert trio.current_time() - began < 0.5


async def test_a_redirect_does_not_carry_the_key_away(bench: Bench) -> None:
    base = await bench.catalog().open("kb")
    bench.stand_in.faults.append(Fault(9, Response(307, headers={"Location": "https://127.0.0.1:1/elsewhere"})))
    with pytest.raises(KnowledgeUnavailable, match="307"):
        await base.search("keeper")


async def _until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(5):
        # What is watched are plain attributes of a server that knows no events.
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.001)


async def test_a_cancelled_search_closes_its_request_within_50_ms(bench: Bench) -> None:
    await bench.fill(KEEPER)
    base = await bench.catalog().open("kb")
    bench.stand_in.delay_s = 30.0
    took: list[float] = []
    for _ in range(5):
        before = len(bench.stand_in.requests)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(base.search, "keeper")
            await _until(lambda before=before: len(bench.stand_in.requests) > before)  # type: ignore[misc]
            request = bench.stand_in.requests[-1]
            cancelled = trio.current_time()
            nursery.cancel_scope.cancel()
        returned = trio.current_time()
        await _until(lambda request=request: request.left is not None)  # type: ignore[misc]
        assert request.left is not None
        took.append(max(request.left, returned) - cancelled)
    # The middle one: a test machine may be busy with something else for once.
    assert sorted(took)[2] < 0.05, took


async def test_twenty_searches_at_once_need_no_more_connections_and_no_thread(bench: Bench) -> None:
    await bench.fill(KEEPER)
    base = await bench.catalog().open("kb")
    threads = threading.active_count()
    bench.stand_in.delay_s = 0.05
    most_threads = 0

    async def watch() -> None:
        nonlocal most_threads
        while True:
            most_threads = max(most_threads, threading.active_count())
            await trio.sleep(0.005)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        async with trio.open_nursery() as searches:
            for _ in range(20):
                searches.start_soon(base.search, "keeper")
        nursery.cancel_scope.cancel()
    assert bench.server.most <= CONNECTIONS
    assert most_threads <= threads
    async with trio.open_nursery() as searches:
        for _ in range(20):
            searches.start_soon(base.search, "keeper")
    # Connections are kept: there were never more, all in all.
    assert bench.server.accepted <= CONNECTIONS


async def test_a_check_names_what_is_wrong_with_each_knowledge_base(bench: Bench) -> None:
    await bench.fill(KEEPER)
    bench.sources = (
        KnowledgeBaseSource(kb_id="good", index="shared"),
        KnowledgeBaseSource(kb_id="missing", index="nowhere"),
        KnowledgeBaseSource(kb_id="wrong", index="shared", fields=IndexFields(content="text")),
    )
    wrong = await bench.catalog().check()
    assert wrong["good"] == ""
    assert "AZURE_SEARCH_INDEX" in wrong["missing"]
    assert "content=text" in wrong["wrong"]
