"""The stand-in is as strict as the service: asked over HTTP without the adapter and without Azure's library."""

import json
import ssl
from collections.abc import AsyncIterator
from typing import Any

import httpx  # noqa: ASYNC127 - what the product has anyway
import pytest

from tests.knowledge.azure_search.conftest import Bench
from tests.knowledge.azure_search.stand_in import simple_query
from tests.knowledge.azure_search.stand_in.service import ADMIN_KEY, QUERY_KEY, TOKEN
from tests.knowledge.azure_search.stand_in.simple_query import Term

DEFINITION: dict[str, Any] = {
    "name": "things",
    "fields": [
        {"name": "id", "type": "Edm.String", "key": True, "searchable": False},
        {"name": "text", "type": "Edm.String", "analyzer": "en.lucene", "filterable": False, "sortable": False},
        {"name": "n", "type": "Edm.Int32", "searchable": False},
    ],
    "semantic": {
        "configurations": [
            {"name": "default", "prioritizedFields": {"prioritizedContentFields": [{"fieldName": "text"}]}}
        ]
    },
}
SEARCH = "/indexes('things')/docs/search.post.search"


class Client:
    def __init__(self, endpoint: str, http: httpx.AsyncClient) -> None:
        self._endpoint = endpoint
        self._http = http

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: dict[str, str] | None = None,
        version: str | None = "2026-04-01",
    ) -> tuple[int, Any]:
        answer = await self._http.request(
            method,
            self._endpoint + path,
            params={} if version is None else {"api-version": version},
            json=body,
            headers={"api-key": ADMIN_KEY} if headers is None else headers,
        )
        return answer.status_code, json.loads(answer.content) if answer.content else None

    async def search(self, **body: object) -> tuple[int, Any]:
        return await self.ask("POST", SEARCH, body)


@pytest.fixture
async def client(bench: Bench, trust: ssl.SSLContext) -> AsyncIterator[Client]:
    async with httpx.AsyncClient(verify=trust) as http:
        made = Client(bench.endpoint, http)
        assert (await made.ask("POST", "/indexes", DEFINITION))[0] == 201
        texts = ("a lost keeper", "the lantern of the keeper", "a lantern")
        actions = [{"@search.action": "upload", "id": str(n), "text": text, "n": n} for n, text in enumerate(texts)]
        status, results = await made.ask("POST", "/indexes('things')/docs/search.index", {"value": actions})
        assert status == 200
        assert [result["statusCode"] for result in results["value"]] == [201, 201, 201]
        yield made


async def test_the_version_and_the_credential_are_looked_at(client: Client) -> None:
    body = {"search": "keeper"}
    assert (await client.ask("POST", SEARCH, body))[0] == 200
    for version in (None, "", "2017-11-11"):
        assert (await client.ask("POST", SEARCH, body, version=version))[0] == 400
    for headers, status in (
        ({}, 403),
        ({"api-key": "x"}, 403),
        ({"Authorization": "Bearer x"}, 401),
        ({"Authorization": f"Bearer {TOKEN}"}, 200),
        ({"api-key": QUERY_KEY}, 200),
        ({"api-key": ADMIN_KEY, "Authorization": f"Bearer {TOKEN}"}, 400),
    ):
        assert (await client.ask("POST", SEARCH, body, headers))[0] == status, headers
    write = {"value": [{"id": "9"}]}
    assert (await client.ask("POST", "/indexes('things')/docs/search.index", write, {"api-key": QUERY_KEY}))[0] == 403


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"serach": "keeper"}, 400, "'serach' in the request payload is not a valid parameter"),
        ({"select": "id,colour"}, 400, "Could not find a property named 'colour' on type 'search.document'."),
        ({"select": ["id"]}, 400, "must be a string"),
        ({"orderby": "colour"}, 400, "Could not find a property named 'colour'"),
        ({"orderby": "text"}, 400, "not a sortable field"),
        ({"filter": "colour eq 'red'"}, 400, "Could not find a property named 'colour'"),
        ({"filter": "text eq 'red'"}, 400, "not a filterable field"),
        ({"filter": "id eq red"}, 400, "Expression expected"),
        ({"filter": "n eq 'one'"}, 400, "incompatible types"),
        ({"filter": "id eq 'a' or"}, 400, "Expression expected"),
        ({"filter": "id eq 'a"}, 400, "Syntax error"),
        ({"filter": "id like 'a'"}, 400, "Unknown operator"),
        ({"top": -1}, 400, "Value must be between"),
        ({"top": 5_000}, 400, "Value must be between"),
        ({"skip": 100_001}, 400, "Value must be between"),
        ({"searchMode": "some"}, 400, "Unknown search mode"),
        ({"queryType": "lucene"}, 400, "Unknown query type"),
        ({"queryType": "full"}, 501, "full syntax"),
        (
            {"queryType": "semantic", "search": "a", "semanticConfiguration": "no"},
            400,
            "Unknown semantic configuration",
        ),
        ({"queryType": "semantic", "semanticConfiguration": "default"}, 400, "needs a text"),
        ({"vectorQueries": [{"kind": "text", "text": "a", "fields": "vec"}]}, 400, "Unknown field 'vec'"),
        ({"vectorQueries": [{"kind": "text", "text": "a", "fields": "text"}]}, 400, "Unknown field 'text'"),
        ({"vectorQueries": [{"kind": "text", "txt": "a", "fields": "text"}]}, 400, "property 'txt' does not exist"),
        ({"facets": ["n"]}, 501, "does not do 'facets'"),
    ],
    ids=str,
)
async def test_what_the_service_refuses_is_refused(
    client: Client, body: dict[str, Any], status: int, says: str
) -> None:
    got, answer = await client.search(**body)
    assert got == status, answer
    assert answer["error"].keys() >= {"code", "message"}
    assert says in answer["error"]["message"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("keeper", "01"),
        ("keeper lantern", "012"),
        ("keeper + lantern", "1"),
        ('"lost keeper"', "0"),
        ("lan*", "12"),
        ("keeper + -lantern", "0"),
        ("-keeper", "2"),
        ("(lost | lantern) + keeper", "01"),
        ("\\-keeper", "01"),
        ("the", ""),
        ("*", "012"),
    ],
)
async def test_operators_of_the_simple_syntax_are_operators(client: Client, text: str, found: str) -> None:
    _, answer = await client.search(search=text)
    assert "".join(sorted(result["id"] for result in answer["value"])) == found


async def test_filters_orders_and_pages_are_applied(client: Client) -> None:
    for text, found in (
        ("n ge 1", "21"),
        ("n gt 1 or id eq '0'", "20"),
        ("not (n lt 2) and id ne '9'", "2"),
        ("id eq 'it''s'", ""),
        ("id eq null", ""),
    ):
        _, answer = await client.search(filter=text, orderby="n desc", select="id")
        assert answer == {"value": [{"@search.score": 1.0, "id": name} for name in found]}, text
    _, answer = await client.search(orderby="n", skip=1, top=1)
    assert [result["id"] for result in answer["value"]] == ["1"]


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"id": "a", "colour": "red"}, "The property 'colour' does not exist"),
        ({"id": "a", "n": "one"}, "Cannot convert"),
        ({"id": "a b"}, "Invalid document key"),
        ({"text": "a"}, "Invalid document key"),
    ],
)
async def test_documents_are_looked_at(client: Client, document: dict[str, Any], says: str) -> None:
    status, answer = await client.ask("POST", "/indexes('things')/docs/search.index", {"value": [document]})
    assert status == 400
    assert says in answer["error"]["message"]


async def test_each_document_of_a_batch_has_its_own_status(client: Client, bench: Bench) -> None:
    actions = [{"@search.action": "merge", "id": "7", "n": 1}, {"@search.action": "delete", "id": "0"}]
    status, answer = await client.ask("POST", "/indexes('things')/docs/search.index", {"value": actions})
    assert status == 207
    assert [(one["status"], one["statusCode"]) for one in answer["value"]] == [(False, 404), (True, 200)]
    assert (await client.ask("GET", "/indexes('things')/docs('0')"))[0] == 404
    assert (await client.ask("GET", "/indexes('things')/docs('1')"))[1] == {
        "id": "1",
        "text": "the lantern of the keeper",
        "n": 1,
    }


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Bad Name"},
        {"colour": "red"},
        {"fields": [{"name": "id", "type": "Edm.String"}]},
        {"fields": [{"name": "id", "type": "Edm.String", "key": True, "analyzer": "no.such"}]},
        {
            "fields": [
                {"name": "id", "type": "Edm.String", "key": True},
                {"name": "v", "type": "Collection(Edm.Single)"},
            ]
        },
        {"defaultScoringProfile": "none"},
        {"semantic": {"configurations": [{"name": "a", "prioritizedFields": {"titleField": {"fieldName": "no"}}}]}},
    ],
    ids=str,
)
async def test_definitions_are_looked_at(client: Client, change: dict[str, Any]) -> None:
    status, _ = await client.ask("POST", "/indexes", {**DEFINITION, "name": "more", **change})
    assert status == 400


async def test_indexes_are_made_once_shown_and_taken_away(client: Client) -> None:
    assert (await client.ask("POST", "/indexes", DEFINITION))[0] == 409
    assert (await client.ask("GET", "/indexes('things')"))[1]["name"] == "things"
    assert (await client.ask("DELETE", "/indexes('things')"))[0] == 204
    assert (await client.ask("GET", "/indexes('things')"))[0] == 404
    assert "was not found" in (await client.search())[1]["error"]["message"]


def test_queries_are_taken_apart() -> None:
    assert simple_query.parse("wi-fi -dogs", "any").nodes[0] == Term("wi-fi")
    assert simple_query.wanted(simple_query.parse("a -b c*", "any")) == [Term("a"), Term("c", is_prefix=True)]
