"""What backends ask for: client secrets in OpenAI's shape, and tickets; and what is not given to them."""

import time
from typing import Any

import msgspec
import pytest
from quart_trio import QuartTrio

from server.lifecycle import Lifecycle
from server.security.minting import Mint, Wish
from server.security.principal import LOCAL, Allowance, Principal
from server.security.ticket_store import MemoryTicketStore
from tests.web.test_app import app

SECRETS = "/v1/realtime/client_secrets"
TICKETS = "/api/tickets"


def principal(*scopes: Any, **rights: Any) -> Principal:
    return Principal(id="key:abc", name="site", kind="key", scopes=frozenset(scopes or ("mint",)), **rights)


class Desk:
    """The application, asked by somebody."""

    def __init__(self, asking: Principal) -> None:
        self.mint = Mint(MemoryTicketStore())
        self.app: QuartTrio = app(Lifecycle(), principal=asking, mint=self.mint)

    async def ask(self, path: str, body: Any = None, **kwargs: Any) -> tuple[int, dict[str, Any]]:
        data = body if isinstance(body, bytes) else (b"" if body is None else msgspec.json.encode(body))
        response = await self.app.test_client().post(path, data=data, **kwargs)
        return response.status_code, await response.get_json()


@pytest.mark.parametrize("path", [SECRETS, "/openai/v1/realtime/client_secrets"])
async def test_a_client_secret_has_the_services_shape(path: str) -> None:
    desk = Desk(principal())
    session = {
        "type": "realtime",
        "model": "gpt-realtime",
        "instructions": "Be brief.",
        "audio": {"output": {"voice": "cedar"}},
    }
    before = int(time.time())
    status, answer = await desk.ask(
        path, {"expires_after": {"anchor": "created_at", "seconds": 120}, "session": session}
    )
    assert status == 200
    assert answer.keys() == {"value", "expires_at", "session"}
    assert answer["value"].startswith("ek_")
    assert 120 <= answer["expires_at"] - before <= 122
    assert answer["session"].items() >= session.items()
    assert answer["session"]["object"] == "realtime.session"
    assert answer["session"]["id"].startswith("sess_")
    guest = await desk.mint.redeem(answer["value"], origin=None)
    assert guest.instructions == "Be brief."
    assert guest.preset == {"audio": {"output": {"voice": "cedar"}}}
    assert guest.account == "key:abc"


async def test_without_a_body_it_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(LOCAL)
    status, answer = await desk.ask(SECRETS)
    assert status == 200
    assert 598 <= answer["expires_at"] - time.time() <= 601
    assert "instructions" not in answer["session"], "the persona of a knowledge base is nobody's to read"


async def test_a_ticket_is_bound_to_what_was_asked() -> None:
    desk = Desk(principal(kb_ids=frozenset({"museum", "zoo"}), allowance=Allowance(9, 90)))
    wish = {
        "kb_ids": ["zoo"],
        "origin": "https://shop.example:8443",
        "instructions": "Hum.",
        "limits": {"sessions": 2, "minutes_per_day": 5},
    }
    status, answer = await desk.ask(TICKETS, wish)
    assert status == 200
    assert answer.keys() == {"ticket", "expires_at"}
    assert answer["expires_at"] - time.time() <= 60
    guest = await desk.mint.redeem(answer["ticket"], origin="https://shop.example:8443")
    assert (guest.kb_ids, guest.instructions, guest.allowance) == (frozenset({"zoo"}), "Hum.", Allowance(2, 5))


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        (SECRETS, b"{", "invalid_json"),
        (SECRETS, b"\xff", "invalid_json"),
        (SECRETS, b'{"session":{"audio":' + b"[" * 10_000, "invalid_json"),
        (SECRETS, [], "invalid_value"),
        (SECRETS, {"session": "x"}, "invalid_value"),
        (SECRETS, {"unknown": 1}, "invalid_value"),
        (SECRETS, {"expires_after": {"anchor": "created_at", "seconds": 9}}, "invalid_value"),
        (SECRETS, {"expires_after": {"anchor": "created_at", "seconds": 7201}}, "invalid_value"),
        (SECRETS, {"expires_after": {"anchor": "used_at", "seconds": 60}}, "invalid_value"),
        (SECRETS, {"session": {"type": "transcription"}}, "invalid_value"),
        (SECRETS, {"session": {"type": "realtime", "turn_detection": {}}}, "unknown_parameter"),
        (SECRETS, {"session": {"instructions": 7}}, "invalid_type"),
        (SECRETS, {"session": {"audio": []}}, "invalid_type"),
        (SECRETS, {"session": {"tools": {}}}, "invalid_type"),
        (SECRETS, {"session": {"instructions": "x" * 70_000}}, "body_too_large"),
        (TICKETS, {"expires_after_s": 61}, "invalid_value"),
        (TICKETS, {"kb_ids": []}, "invalid_value"),
        (TICKETS, {"kb_ids": [1]}, "invalid_value"),
        (TICKETS, {"kb_ids": ["x"] * 101}, "invalid_value"),
        (TICKETS, {"origin": "https://shop.example/page"}, "invalid_value"),
        (TICKETS, {"origin": "null"}, "invalid_value"),
        (TICKETS, {"origin": "shop.example"}, "invalid_value"),
        (TICKETS, {"origin": "https://" + 300 * "x"}, "invalid_value"),
        (TICKETS, b'{"limits": {"sessions": 1' + 400 * b"0" + b"}}", "invalid_value"),
        (TICKETS, b'{"limits": {"minutes_per_day": 1' + 400 * b"0" + b"}}", "invalid_value"),
        (TICKETS, {"origin": "https://a.example\nhttps://b.example"}, "invalid_value"),
        (TICKETS, {"limits": {"sessions": 0}}, "invalid_value"),
        (TICKETS, {"session": {}}, "invalid_value"),
    ],
)
async def test_what_is_asked_wrongly_is_told(path: str, body: Any, code: str) -> None:
    status, answer = await Desk(principal()).ask(path, body)
    assert (status, answer["error"]["code"]) == (400, code)
    assert "xxxx" not in answer["error"]["message"]


@pytest.mark.parametrize(
    ("origin", "shown"),
    [
        ("https://shop.example/", "https://shop.example"),
        ("https://Shop.example:443", "https://shop.example"),
        ("http://localhost:80", "http://localhost"),
        ("http://localhost:443", "http://localhost:443"),
        ("https://[2001:db8::443]", "https://[2001:db8::443]"),
    ],
)
async def test_an_origin_is_kept_as_browsers_write_it(origin: str, shown: str) -> None:
    desk = Desk(principal())
    _, answer = await desk.ask(TICKETS, {"origin": origin})
    assert (await desk.mint.redeem(answer["ticket"], origin=shown)).origin == shown


async def test_what_is_wrong_with_an_origin_is_said_in_words() -> None:
    _, answer = await Desk(principal()).ask(TICKETS, {"origin": "shop.example"})
    assert answer["error"]["message"].startswith("The origin must be scheme and host")


@pytest.mark.parametrize("path", [SECRETS, TICKETS])
async def test_without_the_scope_nothing_is_minted(path: str) -> None:
    status, answer = await Desk(principal("talk", "records", "administer")).ask(path, {})
    assert (status, answer["error"]["code"]) == (403, "insufficient_scope")
    assert (await app(Lifecycle(), api_denied=True).test_client().post(path)).status_code == 401


@pytest.mark.parametrize("path", [SECRETS, TICKETS])
async def test_a_knowledge_base_of_others_is_not_given_away(path: str) -> None:
    desk = Desk(principal(kb_ids=frozenset({"museum"})))
    answers = [await desk.ask(path, {"kb_ids": [kb_id]}) for kb_id in ("zoo", "there-is-none")]
    assert answers[0] == answers[1]
    assert (answers[0][0], answers[0][1]["error"]["code"]) == (403, "knowledge_base_not_allowed")


async def test_a_full_store_says_when_to_come_back() -> None:
    asked = []
    for others in (False, True):
        desk = Desk(principal())
        desk.mint = Mint(MemoryTicketStore(max_records=4, share=1.0 if others else 0.25))
        desk.app = app(Lifecycle(), principal=principal(), mint=desk.mint)
        for _ in range(3 if others else 0):
            await desk.mint.ticket(LOCAL, Wish())
        await desk.ask(TICKETS)
        status, answer = await desk.ask(TICKETS)
        asked.append((status, answer["error"]["code"]))
    assert asked == [(429, "mint_limit"), (503, "too_many_tickets")]


# What else the scopes and knowledge bases open


async def test_details_of_health_are_for_those_who_administer(monkeypatch: pytest.MonkeyPatch) -> None:
    lifecycle = Lifecycle()
    lifecycle.ready()
    assert (await app(lifecycle, principal=principal("talk", "mint")).test_client().get("/health")).status_code == 403
    assert (await app(lifecycle, principal=principal("administer")).test_client().get("/health")).status_code == 200


async def test_knowledge_bases_are_shown_to_those_who_may_use_them() -> None:
    async def shown(asking: Principal, path: str = "/api/knowledge-bases") -> tuple[int, Any]:
        response = await app(Lifecycle(), principal=asking).test_client().get(path)
        return response.status_code, await response.get_json()

    assert (await shown(principal("records")))[0] == 403
    status, everything = await shown(principal("talk"))
    assert (status, [entry["kb_id"] for entry in everything["knowledge_bases"]]) == (200, ["museum"])
    _, nothing = await shown(principal("talk", kb_ids=frozenset({"zoo"})))
    assert (nothing["knowledge_bases"], nothing["default_kb_id"]) == ([], "zoo")
    mine = "/api/knowledge-bases/museum/passages?id=museum/hours %26 prices.md%231"
    assert (await shown(principal("talk"), mine))[0] == 200
    for path in (mine, mine.replace("bases/museum", "bases/none")):
        status, answer = await shown(principal("talk", kb_ids=frozenset({"zoo"})), path)
        assert (status, answer["error"]["code"]) == (403, "knowledge_base_not_allowed")
