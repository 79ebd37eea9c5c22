"""The HTTP side by itself: pages, their files, the knowledge API, health, and who is refused; without a socket."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import trio
from quart_trio import QuartTrio

from protocol.errors import LiveAvatarError
from server.knowledge.base import (
    DocumentText,
    KnowledgeUnavailable,
    Passage,
    Profile,
    UnknownKnowledgeBase,
    UnknownPassage,
)
from server.lifecycle import Lifecycle
from server.security.minting import Mint
from server.security.principal import LOCAL, Principal
from server.security.ticket_store import MemoryTicketStore
from server.telemetry.health import Health
from server.web.access import Denial, Denied, Visit
from server.web.app import make_app
from server.web.assets import FOLDER, load

FACTS: dict[str, Any] = {"version": "0.1.0", "sessions": 2, "max_sessions": 200}
HOSTILE = "<script>alert(1)</script>\"'&"
# What a phone on a slow line should have to fetch before somebody smiles at its owner.
MAX_PAGE_BYTES = 300 * 1024


class Museum:
    """A knowledge base of one passage; implements `KnowledgeBase`."""

    kb_id = "museum"
    profile = Profile(
        kb_id="museum", title="Museum", greeting=HOSTILE, instructions="secret persona", sample_questions=["Open?"]
    )

    async def search(self, query: str, *, limit: int = 5) -> list[Passage]:
        await trio.lowlevel.checkpoint()
        return []

    async def document(self, passage_id: str) -> DocumentText:
        await trio.lowlevel.checkpoint()
        if passage_id != "museum/hours & prices.md#1":
            raise UnknownPassage(passage_id)
        return DocumentText(
            id=passage_id,
            title="Hours",
            uri="hours.md",
            text=f"Hours\n\n{HOSTILE}",
            start=7,
            end=7 + len(HOSTILE),
            headings=[(0, 5)],
            cut_before=False,
            cut_after=True,
        )


class Shelf:
    """A catalog with the museum in it; implements `KnowledgeCatalog`."""

    def __init__(self, *, available: bool = True) -> None:
        self._available = available

    async def open(self, kb_id: str) -> Museum:
        await trio.lowlevel.checkpoint()
        if kb_id != "museum":
            raise UnknownKnowledgeBase(kb_id)
        if not self._available:
            raise KnowledgeUnavailable("/srv/data/museum.sqlite3 is locked")
        return Museum()

    async def profiles(self) -> list[Profile]:
        await trio.lowlevel.checkpoint()
        return [Museum.profile]


class Porter:
    """Lets everybody in as `principal`, or nobody; implements `Gate`."""

    def __init__(self, principal: Principal, *, denied: bool = False, api_denied: bool = False) -> None:
        self._principal = principal
        self._denied = denied
        self._api_denied = api_denied

    def check_page(self, visit: Visit) -> None:
        assert visit.fields
        if self._denied:
            raise Denied(Denial(403, "not_local", {"error": {"code": "not_local"}}))

    async def admit(self, visit: Visit) -> Principal:
        await trio.lowlevel.checkpoint()
        self.check_page(visit)
        if self._api_denied:
            body = {"error": {"code": "missing_api_key"}}
            raise Denied(Denial(401, "missing_api_key", body, (("WWW-Authenticate", "Bearer"),)))
        return self._principal

    def denial(self, fault: LiveAvatarError) -> Denial:
        return Denial(fault.reason.http_status, fault.code, {"error": {"code": fault.code, "message": fault.message}})


def app(
    lifecycle: Lifecycle,
    *,
    denied: bool = False,
    api_denied: bool = False,
    available: bool = True,
    principal: Principal = LOCAL,
    mint: Mint | None = None,
) -> QuartTrio:
    return make_app(
        Health(lifecycle, lambda: FACTS),
        Shelf(available=available),
        mint or Mint(MemoryTicketStore()),
        gate=Porter(principal, denied=denied, api_denied=api_denied),
        default_kb="museum",
        hears_speech=False,
    )


@pytest.fixture
def ready() -> Lifecycle:
    lifecycle = Lifecycle()
    lifecycle.ready()
    return lifecycle


@pytest.mark.parametrize("path", ["/", "/embed"])
async def test_pages(ready: Lifecycle, path: str) -> None:
    client = app(ready).test_client()
    response = await client.get(path)
    assert response.status_code == 200
    assert response.content_type == "text/html; charset=utf-8"
    assert (await client.post(path)).status_code == 405


async def test_nothing_is_loaded_from_elsewhere_and_nothing_inline_runs(ready: Lifecycle) -> None:
    client = app(ready).test_client()
    for path in ("/", "/static/page.js", "/api/knowledge-bases", "/nothing", "/health"):
        response = await client.get(path, headers={"Host": "avatar.example:8000"})
        policy = dict(part.strip().split(" ", 1) for part in response.headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["worker-src"] == "'self'"
        assert policy["connect-src"] == "'self' ws://avatar.example:8000 wss://avatar.example:8000"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
    hostile = await client.get("/", headers={"Host": "a; script-src *"})
    assert "script-src *" not in hostile.headers["Content-Security-Policy"]


class Tags(HTMLParser):
    """What of a page would run or load."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.inline: list[str] = []
        self._within = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._within = tag
        for name, value in attrs:
            if name in {"src", "href"} and tag != "a":
                self.loaded.append(value or "")
            if name == "style" or name.startswith("on"):
                self.inline.append(f"{tag} {name}")

    def handle_data(self, data: str) -> None:
        if self._within in {"script", "style"} and data.strip():
            self.inline.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._within = ""


@pytest.mark.parametrize("name", ["index.html", "embed.html", "dashboard.html"])
def test_a_page_has_nothing_inline_and_its_files_are_there(name: str) -> None:
    tags = Tags()
    tags.feed((FOLDER / name).read_text(encoding="utf-8"))
    assert tags.inline == []
    assert tags.loaded
    for path in tags.loaded:
        assert path.startswith("/static/")
        assert path.removeprefix("/static/") in load()


def test_scripts_import_only_what_is_served_and_never_write_markup() -> None:
    names = set(load())
    scripts = [file for file in FOLDER.iterdir() if file.suffix == ".js"]
    assert scripts
    for file in scripts:
        text = file.read_text(encoding="utf-8")
        for imported in re.findall(r"""(?:from|import)\s*\(?["']([^"']+)["']""", text):
            assert imported.startswith("./"), (file.name, imported)
            assert imported.removeprefix("./") in names, (file.name, imported)
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)


def test_the_page_is_light() -> None:
    assert sum(len(asset.body) for asset in load().values()) < MAX_PAGE_BYTES


async def test_files_are_kept_and_asked_for_again(ready: Lifecycle) -> None:
    client = app(ready).test_client()
    types = {"page.js": "text/javascript", "liveavatar.js": "text/javascript", "page.css": "text/css"}
    for name, content_type in types.items():
        response = await client.get(f"/static/{name}")
        assert response.content_type.startswith(content_type)
        assert response.headers["Cache-Control"] == "no-cache"
        etag = response.headers["ETag"]
        again = await client.get(f"/static/{name}", headers={"If-None-Match": etag})
        assert again.status_code == 304
        assert await again.get_data() == b""
        assert again.headers["ETag"] == etag
    assert (await client.get("/api/knowledge-bases")).headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/app.py",
        "/static//etc/passwd",
        "/static/..",
        "/static/",
    ],
)
async def test_no_path_leads_out_of_the_folder(ready: Lifecycle, path: str) -> None:
    response = await app(ready).test_client().get(path)
    assert response.status_code == 404
    assert b"make_app" not in await response.get_data()


def test_a_file_of_unknown_type_is_not_served_by_accident(tmp_path: Path) -> None:
    (tmp_path / "notes.xyz").write_text("x")
    with pytest.raises(KeyError):
        load(tmp_path)


async def test_the_knowledge_bases_are_listed_without_their_instructions(ready: Lifecycle) -> None:
    response = await app(ready).test_client().get("/api/knowledge-bases")
    assert await response.get_json() == {
        "knowledge_bases": [
            {"kb_id": "museum", "title": "Museum", "greeting": HOSTILE, "language": "", "sample_questions": ["Open?"]}
        ],
        "default_kb_id": "museum",
        "hears_speech": False,
    }
    assert response.content_type == "application/json"


async def test_a_passage_comes_in_its_document(ready: Lifecycle) -> None:
    client = app(ready).test_client()
    path = "/api/knowledge-bases/museum/passages"
    response = await client.get(path, query_string={"id": "museum/hours & prices.md#1"})
    document = await response.get_json()
    assert response.content_type == "application/json"
    assert document["text"][document["start"] : document["end"]] == HOSTILE
    assert document["headings"] == [[0, 5]]
    assert document["cut_after"]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/knowledge-bases/museum/passages?id=museum/none.md%231", 404, "unknown_passage"),
        ("/api/knowledge-bases/other/passages?id=other/a.md%231", 404, "unknown_knowledge_base"),
        ("/api/knowledge-bases/museum/passages", 400, "missing_required_parameter"),
        (f"/api/knowledge-bases/museum/passages?id={'x' * 5000}", 400, "invalid_value"),
        ("/api/other", 404, "not_found"),
    ],
)
async def test_what_the_api_does_not_have(ready: Lifecycle, path: str, status: int, code: str) -> None:
    response = await app(ready).test_client().get(path)
    assert response.status_code == status
    assert (await response.get_json())["error"]["code"] == code


@pytest.mark.parametrize(("method", "path"), [("POST", "/"), ("GET", "/api/tickets"), ("DELETE", "/health/live")])
async def test_a_wrong_method_is_told_as_everything_else_is(ready: Lifecycle, method: str, path: str) -> None:
    response = await getattr(app(ready).test_client(), method.lower())(path)
    assert response.status_code == 405
    assert (await response.get_json())["error"]["code"] == "method_not_allowed"
    assert response.headers["Allow"]


async def test_a_knowledge_base_that_cannot_be_read_shows_no_insides(ready: Lifecycle) -> None:
    path = "/api/knowledge-bases/museum/passages?id=x"
    response = await app(ready, available=False).test_client().get(path)
    assert response.status_code == 503
    assert "/srv" not in await response.get_data(as_text=True)


async def test_with_a_key_the_page_is_open_and_the_api_is_not(ready: Lifecycle) -> None:
    client = app(ready, api_denied=True).test_client()
    assert (await client.get("/")).status_code == 200
    for path in ("/api/knowledge-bases", "/api/knowledge-bases/museum/passages?id=x", "/api/nothing"):
        assert (await client.get(path)).status_code == 401


@pytest.mark.parametrize("path", ["/nothing", "/static/x", "/health/other", "/../etc/passwd", "/ws", "/v1/realtime"])
async def test_what_is_not_there(ready: Lifecycle, path: str) -> None:
    response = await app(ready).test_client().get(path)
    assert response.status_code == 404
    assert (await response.get_json())["error"]["code"] == "not_found"


async def test_health_while_ready_and_while_not(ready: Lifecycle) -> None:
    client = app(ready).test_client()
    for path in ("/health", "/health/ready", "/health/live"):
        assert (await client.get(path)).status_code == 200
    ready.drain()
    assert (await client.get("/health/live")).status_code == 200
    for path in ("/health", "/health/ready"):
        assert (await client.get(path)).status_code == 503
    assert (await (await client.get("/health")).get_json())["status"] == "draining"


async def test_who_is_refused_gets_health_only(ready: Lifecycle) -> None:
    client = app(ready, denied=True).test_client()
    for path in ("/", "/static/page.css", "/api/knowledge-bases", "/nothing"):
        response = await client.get(path)
        assert response.status_code == 403
        assert (await response.get_json())["error"]["code"] == "not_local"
    assert (await client.get("/health/live")).status_code == 200
