"""The issuer's keys: asked for once, kept while it is down, and not asked for at a stranger's wish."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from server.security.issuer_keys import MAX_KEYS, REFRESH_S, UNKNOWN_S, IssuerKey, IssuerKeys, IssuerUnavailable
from tests.security.tokens import ISSUER, Issuer, rsa_jwk, rsa_key

JWKS = f"{ISSUER}/keys"


@asynccontextmanager
async def keys_of(issuer: Issuer, url: str | None = JWKS) -> AsyncIterator[IssuerKeys]:
    keys = IssuerKeys(ISSUER, url, issuer.fetch, is_safe=lambda address: address.startswith("https://"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keys.run)
        yield keys
        nursery.cancel_scope.cancel()


async def test_fifty_who_ask_at_once_make_one_request(autojump_clock: trio.testing.MockClock) -> None:
    issuer = Issuer()
    found: list[IssuerKey | None] = []
    async with keys_of(issuer) as keys, trio.open_nursery() as nursery:

        async def ask() -> None:
            found.append(await keys.find("one"))

        for _ in range(50):
            nursery.start_soon(ask)
    assert len(found) == 50
    assert None not in found
    assert issuer.asked == [JWKS]


async def test_where_the_keys_are_is_asked_of_the_issuer(autojump_clock: trio.testing.MockClock) -> None:
    issuer = Issuer()
    async with keys_of(issuer, None) as keys:
        assert await keys.find("one") is not None
    assert issuer.asked == [f"{ISSUER}/.well-known/openid-configuration", JWKS]


@pytest.mark.parametrize(
    "configuration",
    [
        {"issuer": "https://elsewhere.example", "jwks_uri": JWKS},
        {"issuer": ISSUER, "jwks_uri": "http://login.example/keys"},
        {"issuer": ISSUER, "jwks_uri": "file:///etc/passwd"},
        {"issuer": ISSUER},
        {"jwks_uri": JWKS},
        {"issuer": ISSUER, "jwks_uri": [JWKS]},
    ],
)
async def test_a_configuration_that_is_not_the_issuers_is_not_followed(
    autojump_clock: trio.testing.MockClock, configuration: dict[str, object]
) -> None:
    issuer = Issuer()
    issuer.documents[f"{ISSUER}/.well-known/openid-configuration"] = configuration
    async with keys_of(issuer, None) as keys:
        with pytest.raises(IssuerUnavailable):
            await keys.find("one")
    assert JWKS not in issuer.asked


async def test_a_new_key_is_found_at_once_and_strangers_make_us_ask_once_a_minute(
    autojump_clock: trio.testing.MockClock,
) -> None:
    issuer = Issuer()
    async with keys_of(issuer) as keys:
        await keys.find("one")
        await trio.sleep(UNKNOWN_S)
        issuer.publish(rsa_jwk(rsa_key("one"), "one"), rsa_jwk(rsa_key("two"), "two"))
        assert await keys.find("two") is not None
        asked = len(issuer.asked)
        began = trio.current_time()
        for number in range(100):
            assert await keys.find(f"made up {number}") is None
        assert len(issuer.asked) == asked
        assert trio.current_time() == began, "nobody waits for what is not asked"
        await trio.sleep(UNKNOWN_S)
        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(keys.find, f"made up {number}")
        assert len(issuer.asked) == asked + 1


async def test_keys_are_kept_while_the_issuer_is_down_and_go_when_it_withdraws_them(
    autojump_clock: trio.testing.MockClock,
) -> None:
    issuer = Issuer()
    async with keys_of(issuer) as keys:
        assert await keys.find("one") is not None
        issuer.down = True
        await trio.sleep(10 * REFRESH_S)
        assert await keys.find("one") is not None
        assert await keys.find("two") is None
        issuer.down = False
        issuer.publish(rsa_jwk(rsa_key("two"), "two"))
        await trio.sleep(REFRESH_S + 1)
        assert await keys.find("one") is None
        assert await keys.find("two") is not None


async def test_an_issuer_that_was_down_at_the_start_is_asked_again(autojump_clock: trio.testing.MockClock) -> None:
    issuer = Issuer(down=True)
    async with keys_of(issuer) as keys:
        for _ in range(20):
            with pytest.raises(IssuerUnavailable):
                await keys.find("one")
        assert len(issuer.asked) == 1
        issuer.down = False
        await trio.sleep(6)
        assert await keys.find("one") is not None


async def test_a_mute_issuer_holds_nobody_longer_than_a_handshake(autojump_clock: trio.testing.MockClock) -> None:
    issuer = Issuer(takes_s=3600)
    async with keys_of(issuer) as keys:
        began = trio.current_time()
        with pytest.raises(IssuerUnavailable):
            await keys.find("one")
        assert trio.current_time() - began <= 5


async def test_what_is_kept_is_bounded(autojump_clock: trio.testing.MockClock) -> None:
    issuer = Issuer()
    issuer.publish(*(rsa_jwk(rsa_key("one"), f"key {number}") for number in range(MAX_KEYS + 10)))
    async with keys_of(issuer) as keys:
        assert await keys.find("key 0") is not None
        assert await keys.find(f"key {MAX_KEYS + 5}") is None


_ODD: tuple[Any, ...] = (None, True, 5, 1.5, "", "x" * 2000, [], [None], {}, {"a": []}, [["verify"]], -1)


@pytest.mark.parametrize("member", ["kty", "use", "alg", "key_ops", "kid", "n", "e", "crv", "x", "y"])
async def test_no_value_of_any_member_ends_the_look_out_or_hides_the_other_keys(
    autojump_clock: trio.testing.MockClock, member: str
) -> None:
    issuer = Issuer()
    odd = [{**rsa_jwk(rsa_key("one"), f"odd {number}"), member: value} for number, value in enumerate(_ODD)]
    issuer.publish(*odd, rsa_jwk(rsa_key("one"), "one"))
    async with keys_of(issuer) as keys:
        assert await keys.find("one") is not None
        await trio.sleep(REFRESH_S + 1)
        assert len(issuer.asked) == 2


async def test_a_fault_of_ours_in_reading_them_keeps_the_keys_that_are_known(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    issuer = Issuer()
    broken = False

    async def fetch(url: str) -> bytes:
        if broken:
            raise UnicodeError("label too long")
        return await issuer.fetch(url)

    keys = IssuerKeys(ISSUER, JWKS, fetch, is_safe=lambda _: True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keys.run)
        assert await keys.find("one") is not None
        broken = True
        await trio.sleep(REFRESH_S + 1)
        assert await keys.find("one") is not None
        nursery.cancel_scope.cancel()
