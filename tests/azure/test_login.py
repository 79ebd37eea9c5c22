"""A developer's login, with Azure's own credentials and programs that stand in for ``az`` and ``azd``."""

import time
from pathlib import Path

import pytest
import trio

from server.azure.transport import HttpxTransport
from tests.azure.identities import SCOPE, login, program, refused


async def test_the_login_of_az(programs: Path, transport: HttpxTransport) -> None:
    program(programs, "az", prints='{"accessToken": "az-token", "expires_on": 4102444800, "tokenType": "Bearer"}')
    token = await login(transport).request(SCOPE)
    assert (token.secret.reveal(), token.expires_on) == ("az-token", 4102444800)


@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles", "Asia/Tokyo"])
async def test_the_login_of_azd_whatever_the_time_zone(
    programs: Path, transport: HttpxTransport, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    program(
        programs,
        "azd",
        # {"exp":4102444800}, which is what is printed, in UTC
        prints='{"token": "e30.eyJleHAiOjQxMDI0NDQ4MDB9.sig", "expiresOn": "2100-01-01T00:00:00Z"}',
    )
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert (await login(transport).request(SCOPE)).expires_on == 4102444800
    finally:
        monkeypatch.undo()
        time.tzset()


async def test_azd_is_asked_where_az_has_no_login(programs: Path, transport: HttpxTransport) -> None:
    program(programs, "az", complains="Please run 'az login' to setup account.", status=1)
    fault = await refused(login(transport))
    assert "run `az login`" in fault.message
    program(programs, "azd", prints='{"token": "azd-token", "expiresOn": "2100-01-01T00:00:00Z"}')
    assert (await login(transport).request(SCOPE)).secret.reveal() == "azd-token"


async def test_a_login_that_entra_no_longer_accepts(programs: Path, transport: HttpxTransport) -> None:
    program(programs, "az", complains="AADSTS700082: The refresh token token-canary has expired", status=1)
    fault = await refused(login(transport))
    assert "run `az login`" in fault.message
    assert "canary" not in fault.message + fault.said


async def test_neither_is_installed(tmp_path: Path, transport: HttpxTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    fault = await refused(login(transport))
    assert fault.settings == ("LIVEAVATAR_AZURE_AUTH",)


async def test_a_program_that_hangs_does_not_hold_up_who_gives_it_up(programs: Path, transport: HttpxTransport) -> None:
    path = programs / "az"
    path.write_text("#!/bin/sh\nexec sleep 0.5\n")
    path.chmod(0o755)
    began = trio.current_time()
    with trio.move_on_after(0.05) as scope:
        await login(transport).request(SCOPE)
    assert scope.cancelled_caught
    assert trio.current_time() - began < 0.4
