"""Client secrets: what is issued, what is refused, and what each opens."""

from typing import Any

import msgspec
import pytest
import trio

from server.simulator import client_secrets as module
from server.simulator.client_secrets import ClientSecrets
from server.simulator.settings import SimulatorSettings
from tests.simulator.driver import Json, connected, posted, raw_handshake, raw_request, simulator
from tests.simulator.scripts import SAYS

AT_OPENAI = "/v1/realtime/client_secrets"
AT_AZURE = "/openai/v1/realtime/client_secrets"
NOW = 1_760_000_000


class Wall:
    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


def issue(secrets: ClientSecrets, service: Any = "openai", **request: Any) -> Json:
    status, body = secrets.issue(service, msgspec.json.encode(request))
    assert status == 200, body
    return body


def test_a_secret_comes_with_its_expiry_and_the_effective_session() -> None:
    wanted = {"type": "realtime", "model": "gpt-realtime-2.1", "instructions": "Be brief."}
    issued = issue(ClientSecrets(SimulatorSettings(), wall_clock=Wall()), session=wanted)
    assert list(issued) == ["value", "expires_at", "session"]
    assert issued["value"].startswith("ek_")
    assert issued["expires_at"] == NOW + 600
    session = issued["session"]
    assert session["id"].startswith("sess_")
    assert {name: session[name] for name in ("type", "object", "expires_at", "model", "instructions")} == {
        "type": "realtime", "object": "realtime.session", "expires_at": 0, "model": "gpt-realtime-2.1",
        "instructions": "Be brief.",
    }  # fmt: skip
    assert len(session) == 15


def test_an_empty_request_is_enough() -> None:
    secrets = ClientSecrets(SimulatorSettings(), wall_clock=Wall())
    assert secrets.issue("openai", b"")[0] == 200
    assert issue(secrets, session={"type": "transcription"})["session"]["object"] == "realtime.transcription_session"


def test_a_secret_is_good_until_it_expires() -> None:
    wall = Wall()
    secrets = ClientSecrets(SimulatorSettings(), wall_clock=wall)
    value = issue(secrets, expires_after={"anchor": "created_at", "seconds": 10})["value"]
    wall.now += 9.9
    assert secrets.find(value) is not None
    wall.now += 0.1
    assert secrets.find(value) is None
    assert secrets.find("ek_never_issued") is None


def test_the_oldest_goes_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECRETS_MAX", 2)
    secrets = ClientSecrets(SimulatorSettings(), wall_clock=Wall())
    values = [issue(secrets)["value"] for _ in range(3)]
    assert [secrets.find(value) is not None for value in values] == [False, True, True]


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"{", "invalid_value", None),
        (b"[]", "invalid_type", "event"),
        (b'{"seconds": 3}', "unknown_parameter", "seconds"),
        (b'{"expires_after": {"seconds": 9}}', "invalid_value", "expires_after.seconds"),
        (b'{"expires_after": {"seconds": 7201}}', "invalid_value", "expires_after.seconds"),
        (b'{"expires_after": {"anchor": "now"}}', "invalid_value", "expires_after.anchor"),
        (b'{"session": {}}', "missing_required_parameter", "session.type"),
        (b'{"session": {"type": "realtime", "voice": "alloy"}}', "unknown_parameter", "session.voice"),
        (b'{"session": {"type": "realtime", "model": 3}}', "invalid_type", "session.model"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(body: bytes, code: str, param: str | None) -> None:
    status, answer = ClientSecrets(SimulatorSettings()).issue("openai", body)
    assert (status, answer["error"]["code"], answer["error"]["param"]) == (400, code, param)


def test_no_secret_is_issued_for_a_model_that_there_is_not() -> None:
    secrets = ClientSecrets(SimulatorSettings(models=("known",)))
    body = msgspec.json.encode({"session": {"type": "realtime", "model": "other"}})
    status, answer = secrets.issue("azure", body)
    assert (status, answer["error"]["code"]) == (404, "DeploymentNotFound")


@pytest.mark.parametrize(
    ("path", "auth", "target"),
    [
        (AT_OPENAI, "Authorization: Bearer right\r\n", "/v1/realtime?model=gpt-realtime-2.1"),
        (AT_AZURE, "api-key: right\r\n", "/openai/v1/realtime?model=gpt-realtime-2.1"),
        (AT_AZURE, "api-key: right\r\n", "/openai/v1/realtime"),
    ],
)
async def test_a_secret_opens_sessions_as_they_were_ordered(path: str, auth: str, target: str) -> None:
    wanted = {"type": "realtime", "model": "gpt-realtime-2.1", "instructions": "Be brief."}
    async with simulator(SimulatorSettings(api_key="right"), think=SAYS) as running:
        status, issued = await posted(running, path, msgspec.json.encode({"session": wanted}), auth)
        assert status == 200
        for _ in range(2):
            headers = [(b"authorization", f"Bearer {issued['value']}".encode())]
            async with connected(running, target, extra_headers=headers) as client:
                session = (await client.until("session.created"))["session"]
                assert (session["instructions"], session["model"]) == ("Be brief.", "gpt-realtime-2.1")
                assert (await client.respond())["status"] == "completed"


async def test_a_browser_brings_it_as_a_subprotocol() -> None:
    async with simulator(SimulatorSettings(api_key="right")) as running:
        _, issued = await posted(running, AT_OPENAI, b"{}", "Authorization: Bearer right\r\n")
        offered = ["realtime", f"openai-insecure-api-key.{issued['value']}", "openai-agents-sdk.0.20.0"]
        async with connected(running, "/v1/realtime?model=gpt-realtime", subprotocols=offered) as client:
            await client.until("session.created")
            assert client.websocket.subprotocol == "realtime"


async def test_a_secret_for_listening_opens_a_session_that_listens() -> None:
    async with simulator() as running:
        _, issued = await posted(running, AT_OPENAI, b'{"session":{"type":"transcription"}}')
        headers = [(b"authorization", f"Bearer {issued['value']}".encode())]
        async with connected(running, "/v1/realtime", extra_headers=headers) as client:
            assert (await client.until("session.created"))["session"]["type"] == "transcription"


async def test_a_secret_that_was_never_issued_opens_nothing_even_where_no_key_is_needed() -> None:
    async with simulator() as running:
        headers = [(b"authorization", b"Bearer ek_made_up")]
        async with connected(running, "/v1/realtime?model=m", extra_headers=headers) as client:
            assert (await client.closed())[0] == 3000
        status, _, _ = await raw_handshake(
            running, "/openai/v1/realtime?model=m", "Authorization: Bearer ek_made_up\r\n"
        )
        assert status == 401


async def test_a_model_that_cannot_do_what_the_secret_says_is_refused_in_the_handshake() -> None:
    wanted = {"type": "realtime", "model": "gpt-realtime-2.1", "reasoning": {"effort": "low"}}
    async with simulator() as running:
        _, issued = await posted(running, AT_OPENAI, msgspec.json.encode({"session": wanted}))
        headers = [(b"authorization", f"Bearer {issued['value']}".encode())]
        async with connected(running, "/v1/realtime?model=gpt-realtime", extra_headers=headers) as client:
            assert await client.closed() == (4000, "invalid_request_error.unsupported_parameter")
        status, _, _ = await raw_handshake(
            running, "/openai/v1/realtime?model=gpt-realtime", f"Authorization: Bearer {issued['value']}\r\n"
        )
        assert status == 400


async def test_a_wrong_key_or_path_gets_no_secret() -> None:
    async with simulator(SimulatorSettings(api_key="right")) as running:
        status, body = await posted(running, AT_OPENAI, b"{}", "Authorization: Bearer wrong\r\n")
        assert (status, body["error"]["code"]) == (401, "invalid_api_key")
        assert (await posted(running, AT_AZURE, b"{}"))[0] == 401
        assert (await posted(running, "/v1/realtime/sessions", b"{}"))[0] == 404


async def test_a_request_may_come_in_pieces_and_wait_to_be_asked() -> None:
    async with simulator() as running, await trio.open_tcp_stream(*running.addresses[0]) as stream:
        for piece in (b"P", b"OST ", AT_OPENAI.encode(), b" HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"):
            await stream.send_all(piece)
            await trio.sleep(0.01)
        await stream.send_all(b"Content-Length: 2\r\n\r\n")
        with trio.fail_after(5):
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 100")
        await stream.send_all(b"{}")
        with trio.fail_after(5):
            assert b'"value":"ek_' in b"".join([part async for part in stream])


async def test_a_body_too_long_ends_its_connection_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.simulator.plain_http.BODY_MAX_BYTES", 1000)
    async with simulator() as running:
        request = f"POST {AT_OPENAI} HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n{'x' * 2000}"
        with pytest.raises((IndexError, trio.BrokenResourceError)):
            await raw_request(running, request.encode())
        assert (await posted(running, AT_OPENAI))[0] == 200
