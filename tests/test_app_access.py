"""Who may come in, at a running server: keys made and revoked meanwhile, tickets, an issuer's tokens, and its log."""

import json
import time
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
import trio

from server.app import access as app_access
from server.cli.entry import main
from server.edge.access import AccessPolicy
from server.secret import Secret
from server.security.authenticator import Authenticator
from server.security.key_file import KeyFile
from server.security.keys import KeyRing
from server.security.minting import Mint, Wish
from server.security.ticket_store import MemoryTicketStore
from server.session.registry import SessionRegistry
from tests.azure.stand_ins.http import Request, json_answer, serve_http
from tests.running import PATIENCE_S, Process, Running, quiet, serving, serving_process, to_end
from tests.security.tokens import AUDIENCE, claims, rsa_jwk, rsa_key, token

KEY = "canary-of-the-settings-1234"
REVOKED_S = 5.0


async def post(server: Running, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    content = msgspec.json.encode(body) if body is not None else b""
    fields = {"Host": f"localhost:{server.port}", "Content-Length": str(len(content)), **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    async with await server.raw(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + content) as stream:
        answer = await to_end(stream)
    top, _, said = answer.partition(b"\r\n\r\n")
    return int(top.split(b" ")[1]), msgspec.json.decode(said)


async def ticket(server: Running, key: str, **wish: Any) -> str:
    status, answer = await post(server, "/api/tickets", wish, Authorization=f"Bearer {key}")
    assert status == 200, answer
    return str(answer["ticket"])


@pytest.mark.slow
async def test_keys_are_made_and_revoked_while_the_server_runs(data_dir: Path) -> None:
    file = KeyFile(data_dir)
    async with serving(data_dir) as server:
        async with server.opened():
            pass  # this machine only, and no key
        key = await trio.to_thread.run_sync(lambda: file.create("site", scopes=("talk", "mint")))
        began = time.monotonic()
        while (await server.get("/api/knowledge-bases"))[0] != 401:  # noqa: ASYNC110 - there is no event for it
            await trio.sleep(0.05)
        noticed_s = time.monotonic() - began
        assert noticed_s < 2, "and from the first key on one is needed"
        spent = await ticket(server, key)
        init = {"type": "session.init", "token": spent}
        async with server.opened(init=init) as guest, server.opened(init={"token": key}) as owner:
            await trio.to_thread.run_sync(file.revoke, "site")
            began = time.monotonic()
            for client in (guest, owner):
                assert (await client.until("error", PATIENCE_S))["error"]["code"] == "revoked"
                assert (await client.closed())[0] == 4401
            took_s = time.monotonic() - began
            assert took_s < REVOKED_S
            print(f"a new key is known after {noticed_s:.1f} s; sessions of a revoked one end after {took_s:.1f} s")
        status, error = await server.refused("/v1/realtime", Authorization=f"Bearer {key}")
        assert (status, error["code"]) == (401, "invalid_api_key")
        assert (await server.refused("/v1/realtime"))[0] == 401, "the last key is gone, and the door is not open"


async def test_a_page_of_a_server_with_keys_asks_it_for_a_ticket(data_dir: Path) -> None:
    async with serving(data_dir, api_key=Secret(KEY)) as server:
        assert (await post(server, "/api/tickets"))[0] == 401
        assert (await post(server, "/api/tickets", Authorization="Bearer wrong"))[0] == 401
        origin = f"http://127.0.0.1:{server.port}"
        once = await ticket(server, KEY, origin=origin, kb_ids=["museum"])
        init = {"type": "session.init", "token": once}
        async with server.opened(init=init, headers={"Origin": origin}):
            pass
        async with server.client(init=init, headers={"Origin": origin}) as again:
            assert (await again.until("error", PATIENCE_S))["error"]["code"] == "invalid_ticket"
            assert (await again.closed())[0] == 4401


async def test_a_client_secret_opens_the_realtime_path(data_dir: Path) -> None:
    async with serving(data_dir, api_key=Secret(KEY)) as server:
        body = {"session": {"type": "realtime", "instructions": "Be brief."}}
        status, answer = await post(server, "/v1/realtime/client_secrets", body, Authorization=f"Bearer {KEY}")
        assert status == 200
        protocols = ["realtime", f"openai-insecure-api-key.{answer['value']}"]
        async with server.opened("/v1/realtime", subprotocols=protocols) as client:
            assert client.websocket.subprotocol == "realtime"
        status, answer = await post(server, "/api/tickets", {}, Authorization=f"Bearer {answer['value']}")
        assert (status, answer["error"]["code"]) == (403, "insufficient_scope")


async def test_tokens_of_an_issuer_open_what_they_name(data_dir: Path) -> None:
    def answer(request: Request) -> Any:
        if request.path == "/tenant/.well-known/openid-configuration":
            return json_answer(200, {"issuer": issuer.url + "/tenant", "jwks_uri": issuer.url + "/keys"})
        return json_answer(200, {"keys": [rsa_jwk(rsa_key("one"), "one")]})

    async with serve_http(answer) as issuer:
        settings = {"jwt_issuer": f"{issuer.url}/tenant", "jwt_audience": AUDIENCE, "jwt_kb_claim": "kbs"}
        now = int(time.time())

        def made(**changes: Any) -> str:
            times = {"iat": now, "nbf": now, "exp": now + 600, "iss": f"{issuer.url}/tenant"}
            return token(claims(**{**times, "kbs": ["museum"], **changes}))

        async with serving(data_dir, **settings) as server:
            async with server.opened(init={"token": made()}) as client:
                assert client.of("avatar.session")[0]["kb_id"] == "museum"
            async with server.opened("/v1/realtime", headers={"Authorization": f"Bearer {made()}"}):
                pass
            for wrong, status in (
                (made(exp=now - 100), 401),
                (made(iss="https://elsewhere.example"), 401),
                (made(scp="user_impersonation"), 403),
                (made(kbs=["zoo"]) + "x", 401),
            ):
                assert (await server.refused("/v1/realtime", Authorization=f"Bearer {wrong}"))[0] == status
            headers = {"Authorization": f"Bearer {made(kbs=['zoo'])}"}
            assert (await server.refused("/v1/realtime?kb_id=museum", **headers))[0] == 403
            assert (await post(server, "/api/tickets", **headers))[0] == 403
            late = {"Authorization": f"Bearer {made(scp='LiveAvatar.Mint', exp=now - 20)}"}
            secrets = "/v1/realtime/client_secrets"
            assert (await post(server, secrets, **late))[1]["error"]["code"] == "invalid_token", "it mints no more time"
            ending = {"Authorization": f"Bearer {made(scp='LiveAvatar.Mint', exp=now + 100)}"}
            assert (await post(server, secrets, **ending))[1]["expires_at"] == now + 100
            minted = await ticket(server, made(scp="LiveAvatar.Mint"))
            async with server.opened(init={"token": minted}) as client:
                assert client.of("avatar.session")[0]["kb_id"] == "museum"
        assert len(issuer.requests) <= 3


async def test_what_a_key_minted_goes_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_access, "LOOK_S", 0.02)
    file, store = KeyFile(tmp_path), MemoryTicketStore()
    keys = {name: file.create(name, scopes=("mint",)) for name in ("one", "two")}
    ring = KeyRing(None, file)
    authenticator = Authenticator(ring, Mint(store))

    class Nobody:
        def end_unwelcome(self) -> None:
            pass

    with quiet():
        async with trio.open_nursery() as nursery:
            access = app_access.Access(ring, authenticator, AccessPolicy(authenticator))
            nursery.start_soon(access.watch, cast("SessionRegistry", Nobody()))
            for key in keys.values():
                for _ in range(3):
                    await authenticator.mint.client_secret(await authenticator.check(key), Wish())
            file.revoke("one")
            with trio.fail_after(PATIENCE_S):
                while len(store) > 3:  # noqa: ASYNC110 - files set no event
                    await trio.sleep(0.02)
            nursery.cancel_scope.cancel()
    assert len(store) == 3


@pytest.mark.slow
async def test_no_credential_stands_in_the_log_at_any_level(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = KeyFile(data_dir).create("site", scopes=("talk", "mint", "administer"))
    forged = token(claims(sub="canary-subject"))
    environ = {"LIVEAVATAR_API_KEY": KEY, "LIVEAVATAR_LOG_LEVEL": "debug"}
    async with serving_process(data_dir, **environ) as server:
        spent = await ticket(server, made)
        status, answer = await post(server, "/v1/realtime/client_secrets", {}, api_key=KEY)
        assert status == 200
        secrets = [KEY, made, spent, answer["value"], forged]
        for credential in (made, spent, answer["value"], KEY):
            async with server.opened(init={"type": "session.init", "token": credential}) as client:
                secrets.append(client.of("avatar.session")[0]["resume_token"])
        for credential in [*secrets, "la_canary-guess"]:
            for path in ("/ws", "/v1/realtime"):
                await server.refused(f"{path}?token={credential}")
            await server.get("/health", Authorization=f"Bearer {credential}")
            await server.get(f"/api/knowledge-bases?access_token={credential}")
            await post(server, "/api/tickets", {"origin": credential, "kb_ids": [credential]}, api_key=credential)
            async with server.client(init={"type": "session.init", "token": f"{credential}x"}) as client:
                await client.closed()
            await broken(server, credential)
        server.terminate()
        assert await server.exited(PATIENCE_S) == 0
        everything = json.dumps(server.log)
        for credential in [*secrets, "la_canary-guess", "canary-subject"]:
            assert credential not in everything
            assert credential[4:] not in everything
    assert main(["keys", "revoke", "site", "--data-dir", str(data_dir)]) == 0
    assert made not in capsys.readouterr().out


async def broken(server: Process, credential: str) -> None:
    """A request that no parser likes, with a credential in it."""
    for head in (
        f"GET /ws HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {credential}\x01\r\n\r\n",
        f"GET /{credential} HTTP/3.0\r\n\r\n",
        f"GET /ws?token={credential} HTTP/1.1\r\nHost: a\r\nUpgrade: {credential}\r\n\r\n",
    ):
        async with await server.raw(head.encode()) as stream:
            assert b" 4" in (answer := await to_end(stream))[:16] or b" 5" in answer[:16]
            assert credential.encode() not in answer


@pytest.mark.slow
async def test_the_command_gets_tickets_and_secrets_from_a_running_server(
    data_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIVEAVATAR_API_KEY", raising=False)
    made = KeyFile(data_dir).create("site", scopes=("talk", "mint"), kb_ids=("museum",))
    async with serving(data_dir) as server:
        url = f"ws://127.0.0.1:{server.port}"

        async def command(*arguments: str, key: str = made) -> tuple[int, str, str]:
            code = await trio.to_thread.run_sync(main, ["token", "--url", url, "--key", key, *arguments])
            shown = capsys.readouterr()
            return code, shown.out.strip(), shown.err

        code, once, _ = await command("--ticket", "--kb", "museum")
        assert code == 0
        async with server.opened(init={"type": "session.init", "token": once}):
            pass
        code, secret, _ = await command("--seconds", "60", "--instructions", "Be brief.")
        assert code == 0
        assert secret.startswith("ek_")
        assert json.loads((await command("--json"))[1])["session"]["type"] == "realtime"
        for arguments, key, said in (
            (("--kb", "zoo"), made, "HTTP 403"),
            ((), "wrong", "LIVEAVATAR_API_KEY"),
            (("--seconds", "9000"), made, "HTTP 400"),
        ):
            code, out, err = await command(*arguments, key=key)
            assert (code, out) == (1, "")
            assert said in err
            assert key not in err
    code, _, err = await command()
    assert code == 1
    assert "Nothing listens" in err


@pytest.mark.slow
async def test_open_to_all_is_warned_about_at_every_start(data_dir: Path) -> None:
    environ = {"LIVEAVATAR_OPEN": "yes", "LIVEAVATAR_HOST": "0.0.0.0", "LIVEAVATAR_ALLOW_PLAIN": "yes"}
    async with serving_process(data_dir, **environ) as server:
        warned = [entry for entry in server.log if entry.get("setting") == "LIVEAVATAR_OPEN"]
        assert [entry["level"] for entry in warned] == ["warning"]
        async with server.opened():
            pass
        assert (await post(server, "/api/tickets"))[0] == 403
        assert (await server.get("/health"))[0] == 403


async def test_who_is_refused_over_http_is_counted_and_stands_in_the_log(data_dir: Path) -> None:
    async with serving_process(data_dir, LIVEAVATAR_API_KEY=KEY) as server:
        for _ in range(7):
            assert (await post(server, "/api/tickets", {}, api_key="la_canary-guess"))[0] == 401
            assert (await server.get("/api/knowledge-bases", Authorization="Bearer la_canary-guess"))[0] == 401
        assert (await server.get("/api/knowledge-bases"))[0] == 401
        assert (await post(server, "/api/tickets", {"kb_ids": []}, api_key=KEY))[0] == 400
        assert (await server.get("/nothing/la_canary-guess"))[0] == 404
        assert (await server.refused("/nothing"))[0] == 404
        big = b"x" * 100_000
        async with await server.raw(
            b"POST /api/tickets HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000000\r\n\r\n" + big
        ) as stream:
            assert b" 413 " in await to_end(stream)
        status, _, body = await server.get("/health", api_key=KEY)
        assert status == 200
        assert json.loads(body)["refused"] == {
            "body_too_large": 1,
            "invalid_api_key": 14,
            "invalid_value": 1,
            "missing_api_key": 1,
            "not_found": 1,
            "unknown_path": 1,
        }
        with trio.fail_after(PATIENCE_S):
            while not (lines := [entry for entry in server.log if entry["event"] == "refused"]):  # noqa: ASYNC110 - log lines set none
                await trio.sleep(0.05)
        (line,) = lines
        assert line["address"] == "127.0.0.1"
        assert (line["code"], line["why"], line["path"]) == ("invalid_api_key", "no such key", "/api/tickets")
        assert "canary" not in json.dumps(server.log)
