"""Keys and tokens: what opens the door, and what a file of tokens means while it changes."""

from pathlib import Path

import pytest

from server.simulator.credentials import Credentials
from server.simulator.service import TokensFileError
from server.simulator.settings import SimulatorSettings
from tests.simulator.driver import connected, raw_handshake, simulator

AT_AZURE = "/openai/v1/realtime?model=m"


def judged(credentials: Credentials, token: str) -> str:
    return credentials.judge("azure", {"authorization": f"Bearer {token}"}, {}, ())


def test_without_any_credential_everyone_is_welcome() -> None:
    assert not Credentials().needed
    assert judged(Credentials(), "anything") == "welcome"


def test_tokens_are_taken_and_taken_back_while_the_service_runs(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("first-token\n\n  second-token  \n")
    credentials = Credentials(tokens_file=str(file))
    assert judged(credentials, "first-token") == judged(credentials, "second-token") == "welcome"
    assert judged(credentials, "third-token") == "wrong_token"
    file.write_text("third-token\n")
    assert judged(credentials, "first-token") == "wrong_token"
    assert judged(credentials, "third-token") == "welcome"
    file.unlink()
    assert judged(credentials, "third-token") == "wrong_token"
    file.write_bytes(b"\xff\xfe")
    assert judged(credentials, "third-token") == "wrong_token"


def test_an_empty_file_accepts_nobody(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("\n \n")
    credentials = Credentials(tokens_file=str(tmp_path / "tokens"))
    assert judged(credentials, "x") == "wrong_token"
    assert credentials.judge("azure", {"api-key": ""}, {}, ()) == "wrong_key"


async def test_a_service_takes_entras_tokens_by_its_judge() -> None:
    def accepts(token: str) -> bool:
        return token == "good"

    async with simulator(SimulatorSettings(api_key="key"), accepts=accepts) as running:
        async with connected(running, AT_AZURE, extra_headers=[(b"authorization", b"Bearer good")]) as client:
            await client.until("session.created")
        status, _, body = await raw_handshake(running, AT_AZURE, "Authorization: Bearer expired\r\n")
        assert status == 401
        assert b"Access token is missing, invalid" in body


async def test_a_judge_that_fails_lets_nobody_in() -> None:
    def accepts(token: str) -> bool:
        raise ValueError(token)

    async with simulator(accepts=accepts) as running:
        with pytest.raises((IndexError, OSError)):
            await raw_handshake(running, AT_AZURE, "Authorization: Bearer x\r\n")


async def test_a_file_of_tokens_that_is_not_there_is_said_at_the_start(tmp_path: Path) -> None:
    settings = SimulatorSettings(tokens_file=str(tmp_path / "none"))
    unreadable = pytest.RaisesExc(TokensFileError, match="file of tokens .*none")
    with pytest.RaisesGroup(unreadable, flatten_subgroups=True):
        async with simulator(settings):
            pass
