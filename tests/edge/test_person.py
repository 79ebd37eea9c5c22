"""The user whom a client names: kept as it is, or refused with the reason."""

import pytest
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ClientFault
from server.edge.person import PERSON_MAX_CHARS, named_person, person_in_header
from tests.session.house import House, house
from tests.session.service import converse
from tests.session.test_session_reconnect import answers


@pytest.mark.parametrize("name", ["visitor-17", "Zoë Ångström", "a" * PERSON_MAX_CHARS, "山田"])
def test_a_name_is_kept_as_it_is(name: str) -> None:
    assert named_person(f" {name} ", "user") == name


@pytest.mark.parametrize("name", [None, "", "   ", "\t"])
def test_no_name_is_nobody(name: str | None) -> None:
    assert named_person(name, "user") is None


@pytest.mark.parametrize(
    "name", ["a\0b", "a\nb", "a\x1bb", "a\x85b", "a\u202eb", "a\ud800b", "a" * (PERSON_MAX_CHARS + 1)]
)
def test_what_cannot_be_shown_or_is_too_long_is_refused(name: str) -> None:
    with pytest.raises(ClientFault, match="Invalid 'user'") as refused:
        named_person(name, "user")
    assert refused.value.code == "invalid_value"
    assert name not in refused.value.message


@given(st.text())
def test_whatever_is_named_is_kept_or_refused(name: str) -> None:
    try:
        person = named_person(name, "user")
    except ClientFault:
        return
    assert person is None or (person.isprintable() and 0 < len(person) <= PERSON_MAX_CHARS)


def test_a_header_is_read_as_the_utf_8_that_clients_send() -> None:
    assert person_in_header("Zoë".encode().decode("latin-1")) == "Zoë"
    assert person_in_header("Zoë") == "Zoë"
    assert person_in_header(None) is None


def persons(home: House) -> list[str]:
    return [session.recorder.person for session in home.registry if session.recorder is not None]


async def test_an_avatar_names_its_user_in_its_first_frame(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers), records=True) as home:
        await home.opened({"type": "session.init", "kb_id": "museum", "user": "visitor-17"})
        assert persons(home) == ["visitor-17"]


async def test_other_clients_do_so_by_a_header(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers), records=True) as home:
        await home.opened(path="/v1/realtime", headers={"OpenAI-Safety-Identifier": "visitor-18"})
        assert persons(home) == ["visitor-18"]


async def test_who_names_nobody_is_found_by_the_credential(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers), records=True) as home:
        await home.opened()
        assert persons(home) == [session.principal.id for session in home.registry]


@pytest.mark.parametrize("user", ["a\nb", "x" * 300])
async def test_a_name_that_cannot_be_kept_opens_no_session(autojump_clock: trio.testing.MockClock, user: str) -> None:
    async with house(converse(answers), records=True) as home:
        caller = await home.caller({"type": "session.init", "user": user})
        error = (await caller.until("error"))["error"]
        assert error["code"] == "invalid_value"
        assert await caller.closed() == 4000
        assert len(home.registry) == 0


async def test_a_user_that_is_no_text_is_refused(autojump_clock: trio.testing.MockClock) -> None:
    async with house(converse(answers), records=True) as home:
        caller = await home.caller({"type": "session.init", "user": 17})
        assert (await caller.until("error"))["error"]["code"] == "invalid_type"
