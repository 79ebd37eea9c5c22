"""Every kind of credential at the front door: what it opens, what it is bound to, and what others are told."""

import math
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from protocol.conversation.limits import Limits
from server.edge.head import read_head
from server.edge.upgrade import Upgrade, UpgradeRequest
from server.security.key_file import KeyFile
from server.security.keys import KeyRing
from server.security.minting import Wish
from server.security.principal import Allowance
from server.transport.client import handshake
from server.transport.errors import ConnectionLost, HandshakeRefused
from server.transport.memory import memory_wire_pair
from server.transport.websocket import WebSocketOptions
from tests.session.house import Caller, House, house
from tests.session.service import Json, Line, converse

LIMITS = Limits(resume_s=120)
PLACES = ("/ws", "/v1/realtime")


async def answers(line: Line, _: Json) -> None:
    await line.speak("resp_1", "Hello.", ms=100)


class Keyed:
    """A house with a key file."""

    def __init__(self, home: House, file: KeyFile, ring: KeyRing) -> None:
        self.home, self.file, self.ring = home, file, ring

    async def key(self, name: str = "site", *scopes: Any, **rights: Any) -> str:
        key = self.file.create(name, scopes=scopes or ("talk", "mint"), **rights)
        await self.look()
        return key

    async def look(self) -> None:
        """The keys' file is read in a thread, which a clock that jumps whenever no task runs would not wait for."""
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, trio.testing.MockClock)
        jumps_after_s, clock.autojump_threshold = clock.autojump_threshold, math.inf
        try:
            await self.ring.look()
        finally:
            clock.autojump_threshold = jumps_after_s

    async def minted(self, kind: str, key: str, wish: Wish | None = None) -> str:
        minter = await self.home.authenticator.check(key)
        mint = self.home.authenticator.mint
        make = mint.ticket if kind == "ticket" else mint.client_secret
        return (await make(minter, wish or Wish())).value

    async def revoke(self, name: str = "site") -> None:
        self.file.revoke(name)
        await self.look()
        self.home.registry.end_unwelcome()

    async def refused(self, **kwargs: Any) -> tuple[int, str]:
        with pytest.raises(HandshakeRefused) as refusal:
            await self.home.caller(**kwargs)
        return refusal.value.status, msgspec.json.decode(refusal.value.body_prefix)["error"]["code"]


@asynccontextmanager
async def keyed(tmp_path: Path, *scripts: Any, **kwargs: Any) -> AsyncIterator[Keyed]:
    file = KeyFile(tmp_path)
    file.create("spare", scopes=("records",))
    ring = KeyRing(None, file)
    async with house(*(scripts or (converse(answers),)), keys=ring, limits=LIMITS, **kwargs) as home:
        yield Keyed(home, file, ring)


def shown(path: str, credential: str, **init: Any) -> Json:
    """How a client shows a credential: on /ws in its first frame, else in a header."""
    if path == "/ws":
        return {"init": {"type": "session.init", "token": credential, **init}}
    query = "&".join(f"{name}={value}" for name, value in init.items())
    return {"path": f"{path}?{query}", "headers": {"Authorization": f"Bearer {credential}"}}


async def turned_away(caller: Caller) -> tuple[str, int | None]:
    error = await caller.until("error")
    code = await caller.closed()
    assert caller.types() == ["error"], "before a client is let in nothing of a session happens"
    return error["error"]["code"], code


# What opens


@pytest.mark.parametrize("path", PLACES)
async def test_a_key_of_the_file_and_a_client_secret_open_sessions(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, path: str
) -> None:
    async with keyed(tmp_path) as at:
        key = await at.key()
        secret = await at.minted("client_secret", key)
        for credential in (key, secret, secret):
            caller = await at.home.opened(**shown(path, credential))
            caller.leave()


async def test_a_ticket_opens_one_session_on_ws_and_none_elsewhere(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with keyed(tmp_path) as at:
        ticket = await at.minted("ticket", await at.key())
        assert await at.refused(**shown("/v1/realtime", ticket)) == (401, "invalid_ticket")
        await at.home.opened(**shown("/ws", ticket))
        assert await turned_away(await at.home.caller(**shown("/ws", ticket))) == ("invalid_ticket", 4401)


async def test_a_ticket_may_come_in_the_handshake_too(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with keyed(tmp_path) as at:
        ticket = await at.minted("ticket", await at.key())
        protocols = ("realtime", f"openai-insecure-api-key.{ticket}")
        caller = await at.home.opened(subprotocols=protocols)
        assert ticket not in str(caller.websocket.headers)
        assert await at.refused(subprotocols=protocols) == (401, "invalid_ticket")


@pytest.mark.parametrize("name", ["token", "ticket"])
async def test_the_url_carries_no_credential_unless_a_setting_says_so(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, name: str
) -> None:
    async with keyed(tmp_path) as at:
        key = await at.key()
        for path in PLACES:
            for credential in (key, await at.minted("client_secret", key)):
                refused = await at.refused(path=f"{path}?{name}={credential}")
                assert refused == (401, "credential_in_url")
                assert credential not in str(at.home.log)
    async with keyed(tmp_path / "2", url_credentials=True) as at:
        key = await at.key()
        assert await at.refused(path=f"/ws?{name}={key}") == (401, "credential_in_url")
        ticket = await at.minted("ticket", key)
        await at.home.opened({"type": "session.init"}, path=f"/ws?{name}={ticket}")
        await at.home.opened(path=f"/v1/realtime?{name}={await at.minted('client_secret', key)}")
        assert ticket not in str(at.home.log)


@pytest.mark.parametrize("path", PLACES)
async def test_a_key_without_the_scope_opens_nothing(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, path: str
) -> None:
    async with keyed(tmp_path) as at:
        key = await at.key("reader", "records", "administer", "mint")
        if path == "/ws":
            assert await turned_away(await at.home.caller(**shown(path, key))) == ("insufficient_scope", 4403)
        headers = {"Authorization": f"Bearer {key}"}
        assert await at.refused(path=path, headers=headers) == (403, "insufficient_scope")


async def test_two_peoples_credentials_are_nobodys(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with keyed(tmp_path) as at:
        one, two = await at.key("one"), await at.key("two")
        headers = {"Authorization": f"Bearer {one}"}
        caller = await at.home.caller({"token": two}, headers=headers)
        assert await turned_away(caller) == ("ambiguous_credential", 4401)
        await at.home.opened({"token": await at.minted("ticket", one)}, headers=headers)


# What it is bound to


@pytest.mark.parametrize("kind", ["key", "ticket", "client_secret"])
@pytest.mark.parametrize("wanted", ["zoo", "there-is-none", "Museum", "museum/../zoo", "museum\u0000"])
async def test_another_knowledge_base_is_refused_whether_there_is_one_or_not(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, kind: str, wanted: str
) -> None:
    async with keyed(tmp_path) as at:
        key = await at.key(kb_ids=("museum",))
        credential = key if kind == "key" else await at.minted(kind, key)
        caller = await at.home.caller(**shown("/ws", credential, kb_id=wanted))
        error = await caller.until("error")
        assert await caller.closed() == 4403
        assert error["error"]["code"] == "knowledge_base_not_allowed"
        assert error["error"]["type"] == "permission_error"
        assert wanted not in error["error"]["message"]


async def test_on_the_realtime_paths_that_is_said_before_the_upgrade(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with keyed(tmp_path) as at:
        key = await at.key(kb_ids=("museum",))
        for wanted in ("zoo", "none"):
            refused = await at.refused(**shown("/v1/realtime", key, kb_id=wanted))
            assert refused == (403, "knowledge_base_not_allowed")
        # A page cannot see a status, so it is told.
        page = await at.home.caller(
            path="/v1/realtime?kb_id=zoo", subprotocols=("realtime", f"openai-insecure-api-key.{key}")
        )
        assert await turned_away(page) == ("knowledge_base_not_allowed", 4403)


async def test_the_only_knowledge_base_is_the_default_and_another_default_is_not_opened(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with keyed(tmp_path) as at:
        only = await at.home.opened(**shown("/ws", await at.key("zoo", kb_ids=("zoo",))))
        assert only.of("avatar.session")[0]["kb_id"] == "zoo"
        two = await at.key("two", kb_ids=("zoo", "harbour"))
        assert await turned_away(await at.home.caller(**shown("/ws", two))) == ("knowledge_base_not_allowed", 4403)
        await at.home.opened(**shown("/ws", two, kb_id="zoo"))
        lists_a_missing_one = await turned_away(await at.home.caller(**shown("/ws", two, kb_id="harbour")))
        assert lists_a_missing_one == ("unknown_knowledge_base", 4404)


@pytest.mark.parametrize("path", PLACES)
async def test_what_was_minted_brings_its_own_instructions_and_settings(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, path: str
) -> None:
    tool = {"type": "function", "name": "wave", "parameters": {"type": "object", "properties": {}}}
    stolen = {**tool, "name": "search_knowledge_base", "description": "mine"}
    preset = {"audio": {"output": {"voice": "cedar"}}, "tools": [tool, stolen], "max_output_tokens": 100}
    async with keyed(tmp_path) as at:
        wish = Wish(instructions="Speak like a pirate.", preset=preset)
        secret = await at.minted("client_secret", await at.key(), wish)
        caller = await at.home.opened(**shown(path, secret))
        opening = at.home.line.of("session.update")[0]["session"]
        assert opening["instructions"] == "Speak like a pirate."
        assert opening["audio"]["output"]["voice"] == "cedar"
        assert opening["max_output_tokens"] == 100
        assert [entry["name"] for entry in opening["tools"]] == ["search_knowledge_base", "wave"]
        assert opening["tools"][0].get("description") != "mine"
        caller.send("session.update", session={"type": "realtime", "instructions": "Be rude.", "tools": []})
        caller.send("session.update", session={"type": "realtime", "audio": {"output": {"voice": "marin"}}})
        await trio.sleep(1)
        updates = [event["session"] for event in at.home.line.of("session.update")[1:]]
        assert all("instructions" not in update and "tools" not in update for update in updates)
        assert updates[-1]["audio"]["output"]["voice"] == "marin"


async def test_a_page_sends_no_larger_events_by_one_way_than_by_the_other(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with keyed(tmp_path) as at:
        key = await at.key()
        for credential, path, closes in (
            (key, "/v1/realtime", False),
            (await at.minted("client_secret", key), "/v1/realtime", True),
            (await at.minted("client_secret", key), "/ws", True),
        ):
            caller = await at.home.opened(**shown(path, credential))
            caller.send("conversation.item.create", item={"type": "message", "role": "user", "x": "y" * 2**21})
            await trio.sleep(5)
            assert (caller.lost is not None) == closes, path
            if caller.lost is not None:
                assert caller.lost.code == 1009


async def test_a_key_may_set_what_a_minted_credential_may_not(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with keyed(tmp_path) as at:
        caller = await at.home.opened(**shown("/ws", await at.key()))
        caller.send("session.update", session={"type": "realtime", "instructions": "Be brief."})
        await trio.sleep(1)
        assert at.home.line.of("session.update")[-1]["session"]["instructions"] == "Be brief."


async def test_a_ticket_for_one_origin_is_for_its_pages(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with keyed(tmp_path) as at:
        key = await at.key()
        wish = Wish(origin="https://shop.example")
        for origin in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {}):
            ticket = await at.minted("ticket", key, wish)
            caller = await at.home.caller(**shown("/ws", ticket), headers=origin)
            assert await turned_away(caller) == ("invalid_ticket", 4401)
        ticket = await at.minted("ticket", key, wish)
        right = {"Origin": "https://shop.example"}
        first = await at.home.opened(**shown("/ws", ticket), headers=right)
        claim = resume(first)
        await cut(first)
        assert await turned_away(await at.home.caller(claim)) == ("resume_refused", 4410)
        second = await at.home.caller(claim, headers=right)
        assert (await second.until("avatar.session"))["recovered"] is True


# Coming back


def resume(caller: Caller) -> Json:
    hello = caller.of("avatar.session")[-1]
    last = caller.events[-1][1]["event_id"]
    claim = {"session_id": hello["session_id"], "token": hello["resume_token"], "last_event_id": last}
    return {"type": "session.init", "resume": claim}


async def cut(caller: Caller) -> None:
    caller.wire.close()
    with trio.fail_after(60):
        await caller.gone.wait()
    await trio.sleep(0.1)


@pytest.mark.parametrize("kind", ["ticket", "client_secret"])
async def test_the_resume_token_stands_for_what_was_minted(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, kind: str
) -> None:
    async with keyed(tmp_path) as at:
        credential = await at.minted(kind, await at.key())
        caller = await at.home.opened(**shown("/ws", credential))
        await trio.sleep(700)  # past what any of them lasts
        for extra in ({}, {"token": credential}):
            claim = {**resume(caller), **extra}
            await cut(caller)
            caller = await at.home.caller(claim)
            assert (await caller.until("avatar.session"))["recovered"] is True


async def test_of_a_keys_session_it_does_not(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with keyed(tmp_path) as at:
        one, two = await at.key("one"), await at.key("two")
        first = await at.home.opened(**shown("/ws", one))
        claim = resume(first)
        await cut(first)
        assert await turned_away(await at.home.caller(claim)) == ("missing_api_key", 4401)
        assert await turned_away(await at.home.caller({**claim, "token": two})) == ("resume_refused", 4410)
        assert await turned_away(await at.home.caller({**claim, "token": "wrong"})) == ("invalid_api_key", 4401)
        again = await at.home.caller({**claim, "token": one})
        assert (await again.until("avatar.session"))["recovered"] is True


async def test_a_stranger_learns_nothing_of_sessions(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with keyed(tmp_path) as at:
        first = await at.home.opened(**shown("/ws", await at.key()))
        real = resume(first)
        wrong = {"type": "session.init", "resume": {**real["resume"], "token": "guess"}}
        made_up = {"type": "session.init", "resume": {**real["resume"], "session_id": "sess_la_none"}}
        told = []
        for claim in (wrong, made_up):
            caller = await at.home.caller(claim)
            told.append((await caller.until("error"))["error"])
            assert await caller.closed() == 4410
        assert told[0] == told[1]


# Revocation


@pytest.mark.parametrize("kind", ["key", "ticket", "client_secret"])
async def test_revocation_ends_sessions_and_says_so(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, kind: str
) -> None:
    async with keyed(tmp_path) as at:
        key, other = await at.key(), await at.key("other")
        credential = key if kind == "key" else await at.minted(kind, key)
        caller = await at.home.opened(**shown("/ws", credential))
        stays = await at.home.opened(**shown("/ws", other))
        await at.revoke()
        error = (await caller.until("error"))["error"]
        assert await caller.closed() == 4401
        assert error["code"] == "revoked"
        assert "revoked" in error["message"]
        await at.home.ended()
        assert at.home.endings == ["revoked"]
        await trio.sleep(10)
        assert stays.lost is None
        assert (await turned_away(await at.home.caller(**shown("/ws", credential))))[1] == 4401


async def test_on_the_realtime_paths_it_is_the_services_own_code(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with keyed(tmp_path) as at:
        caller = await at.home.opened(**shown("/v1/realtime", await at.key()))
        await at.revoke()
        assert await caller.closed() == 3000


async def test_a_session_that_waits_for_its_client_ends_too(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with keyed(tmp_path) as at:
        ticket = await at.minted("ticket", await at.key())
        caller = await at.home.opened(**shown("/ws", ticket))
        claim = resume(caller)
        await cut(caller)
        await at.revoke()
        await at.home.ended()
        assert await turned_away(await at.home.caller(claim)) == ("resume_refused", 4410)


async def test_whoever_comes_back_is_looked_at_again(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with keyed(tmp_path) as at:
        ticket = await at.minted("ticket", await at.key())
        caller = await at.home.opened(**shown("/ws", ticket))
        claim = resume(caller)
        await cut(caller)
        at.file.revoke("site")
        await at.look()  # and nobody has ended the sessions yet
        assert await turned_away(await at.home.caller(claim)) == ("revoked", 4401)
        at.home.registry.end_unwelcome()


async def test_a_key_that_is_revoked_on_the_way_in_opens_nothing(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with keyed(tmp_path, furnish_s=5.0) as at:
        key = await at.key()
        caller = await at.home.caller(**shown("/ws", key))
        await trio.sleep(1)
        await at.revoke()
        assert await turned_away(caller) == ("revoked", 4401)
        assert len(at.home.registry) == 0


async def test_expiry_ends_nobody(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with keyed(tmp_path) as at:
        caller = await at.home.opened(**shown("/ws", await at.minted("client_secret", await at.key())))
        await trio.sleep(3000)
        at.home.registry.end_unwelcome()
        assert caller.lost is None


# Replays, noise and lines


async def test_of_a_thousand_connections_with_one_ticket_one_becomes_a_session(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with keyed(tmp_path, max_sessions=2000) as at:
        ticket = await at.minted("ticket", await at.key())
        began: list[int] = []
        refused: list[int | None] = []

        async def replay(number: int) -> None:
            caller = await at.home.caller(**shown("/ws", ticket))
            await trio.sleep(30)
            if caller.of("session.created"):
                began.append(number)
            else:
                refused.append(await caller.closed())

        async with trio.open_nursery() as nursery:
            for number in range(1000):
                nursery.start_soon(replay, number)
        assert len(began) == 1
        assert refused == [4401] * 999
        assert len(at.home.registry) == 1


FIRST_FRAMES = 10_000
_PIECES = [
    b'{"type":"session.init"', b'"token":', b'"api_key":', b'"resume":', b'"kb_id":"museum"', b"null", b"true", b"{}",
    b'{"session_id":"sess_la_1","token":"x"}', b'"ek_guess"', b'"tk_guess"', b'"la_guess"', b'"a.b.c"', b",", b"}",
    b"{", b"[", b"\x00", b"\xff", b'"dialect":"beta"', b'{"type":"response.create"}',
    b'{"type":"session.update","session":{}}',
    b'{"type":"conversation.item.create","item":{"type":"message","role":"user","content":[]}}', b'"\\ud800"',
    b'{"type":"session.init","token":"%s"}' % (b"k" * 500), b'{"type":"session.init","token":7}',
]  # fmt: skip


@pytest.mark.slow
async def test_no_first_frame_without_a_right_credential_begins_anything(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    chance = random.Random(6)
    async with keyed(tmp_path) as at:
        await at.key()

        async def one(frames: list[bytes]) -> None:
            near, far = memory_wire_pair(capacity_bytes=64 * 1024)

            async def serve() -> None:
                head = await read_head(near)
                assert head is not None
                request = UpgradeRequest(head, near.peer)
                try:
                    await at.home.admission.on_websocket(request, Upgrade(request, near, head.rest))
                except* ConnectionLost:
                    pass
                finally:
                    near.close()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(serve)
                websocket = await handshake(far, "ws://localhost/ws", options=WebSocketOptions(ping_interval_s=1e9))
                nursery.start_soon(websocket.run)
                for frame in frames:
                    websocket.send(frame)
                told = []
                try:
                    while True:
                        told.append(msgspec.json.decode((await websocket.receive()).data)["type"])
                except ConnectionLost:
                    pass
                assert set(told) <= {"error"}, frames
                assert len(told) <= 1
                far.close()
                nursery.cancel_scope.cancel()

        for _ in range(FIRST_FRAMES):
            frames = [b"".join(chance.choices(_PIECES, k=chance.randint(1, 6))) for _ in range(chance.randint(1, 3))]
            await one(frames)
        assert len(at.home.registry) == 0
        assert at.home.service.lines == []
        started = [entry for entry in at.home.log if entry["event"] == "session started"]
        assert started == []


@pytest.mark.parametrize("path", PLACES)
async def test_a_bad_connection_writes_few_lines_and_none_with_what_it_showed(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, path: str
) -> None:
    bad = [
        "la_canary-1",
        "ek_canary-2",
        "tk_canary-3",
        "canary.four.x",
        "canary\r\nfive",
        "canary-6" * 100,
        "\x1b[31mcanary",
    ]
    async with keyed(tmp_path) as at:
        before = len(at.home.log)
        for credential in bad:
            if path == "/ws":
                await turned_away(await at.home.caller({"token": credential}))
            else:
                fits = credential.isprintable() and credential.isascii()
                await at.refused(path=path, headers={"api-key": credential if fits else "canary"})
        lines = at.home.log[before:]
        assert 1 <= len(lines) <= 5 * len(bad)
        counts = at.home.admission._allowances.refusals.counts
        assert sum(counts.values()) == len(bad), "and somebody can see that it happened"
        assert "canary" not in str(lines)


async def test_what_is_right_stands_in_no_line_either(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with keyed(tmp_path) as at:
        key = await at.key()
        ticket, secret = await at.minted("ticket", key), await at.minted("client_secret", key)
        callers = [await at.home.opened(**shown("/ws", credential)) for credential in (key, ticket, secret)]
        tokens = [caller.of("avatar.session")[0]["resume_token"] for caller in callers]
        await at.revoke()
        for caller in callers:
            await caller.closed()
        everything = str(at.home.log) + str([caller.of("error") for caller in callers])
        for text in (key, ticket, secret, *tokens):
            assert text not in everything
            assert text[3:] not in everything


# Open to all


async def test_a_server_that_is_open_to_all_lets_in_anybody_with_a_pages_rights(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with keyed(tmp_path, is_public=True) as at:
        far = {"X-Forwarded-For": "203.0.113.7"}
        for path in PLACES:
            caller = await at.home.opened({"kb_id": "museum"} if path == "/ws" else None, path=path, headers=far)
            caller.send("session.update", session={"type": "realtime", "instructions": "Be rude."})
            await trio.sleep(1)
            assert "instructions" not in at.home.line.of("session.update")[-1]["session"]
            caller.leave()
        assert await at.refused(headers={"api-key": "wrong"}) == (401, "invalid_api_key")
        first = await at.home.opened(**shown("/ws", await at.key()))
        claim = resume(first)
        await cut(first)
        assert await turned_away(await at.home.caller(claim)) == ("missing_api_key", 4401)
        await at.revoke()


async def test_the_check_itself_takes_far_less_than_a_millisecond(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with keyed(tmp_path) as at:
        key = await at.key()
        secret = await at.minted("client_secret", key, Wish(allowance=Allowance(5)))
        for what, credential in (("key", key), ("client secret", secret)):
            took = []
            for _ in range(300):
                before = time.perf_counter()
                principal = await at.home.authenticator.check(credential)
                assert at.home.authenticator.objection(principal, "museum") is None
                took.append(time.perf_counter() - before)
            median_us = sorted(took)[150] * 1e6
            print(f"checking a {what}: {median_us:.0f} us (p99 {sorted(took)[297] * 1e6:.0f} us)")
            assert median_us < 1000
