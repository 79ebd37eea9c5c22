"""Tickets and client secrets: who may mint what, and that a ticket is spent once."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio

from protocol.conversation.configuration import BROWSER_FIELDS
from protocol.errors import ClientFault, InternalFault
from server.secret import Secret
from server.security.authenticator import Authenticator
from server.security.base import Unauthenticated
from server.security.key_file import KeyFile
from server.security.keys import KeyRing
from server.security.minting import MAX_TICKET_S, Mint, Wish
from server.security.principal import LOCAL, Allowance, Principal
from server.security.refusals import RateLimited
from server.security.ticket_store import MemoryTicketStore


@dataclass
class Wall:
    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def minter(**changes: Any) -> Principal:
    rights: dict[str, Any] = {"id": "key:abc", "name": "site", "kind": "key", "scopes": frozenset({"mint"}), **changes}
    return Principal(**rights)


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def mint(wall: Wall) -> Mint:
    return Mint(MemoryTicketStore(now=wall), now=wall)


async def refused(mint: Mint, credential: str, origin: str | None = None) -> None:
    with pytest.raises(Unauthenticated) as refusal:
        await mint.redeem(credential, origin=origin)
    assert credential not in f"{refusal.value} {refusal.value.why}"
    assert refusal.value.message == str((await anything(mint)).message), "which it was is not told"


async def anything(mint: Mint) -> Unauthenticated:
    with pytest.raises(Unauthenticated) as refusal:
        await mint.redeem("ek_never_issued", origin=None)
    return refusal.value


async def test_a_ticket_lets_in_once_and_a_client_secret_until_it_expires(mint: Mint, wall: Wall) -> None:
    ticket, secret = await mint.ticket(minter(), Wish()), await mint.client_secret(minter(), Wish())
    assert (ticket.value[:3], secret.value[:3]) == ("tk_", "ek_")
    assert min(len(ticket.value), len(secret.value)) >= 3 + 43
    assert ticket.value not in repr(ticket)
    assert (ticket.expires_at - wall.now, secret.expires_at - wall.now) == (60, 600)
    assert (await mint.redeem(ticket.value, origin=None)).kind == "ticket"
    await refused(mint, ticket.value)
    for _ in range(3):
        principal = await mint.redeem(secret.value, origin=None)
        assert (principal.kind, principal.account, principal.scopes) == (
            "client_secret",
            "key:abc",
            frozenset({"talk"}),
        )
        assert principal.settable == BROWSER_FIELDS
        assert secret.value not in repr(principal)
    wall.now += 600
    await refused(mint, secret.value)


async def test_a_ticket_lasts_no_longer_than_a_minute_whatever_is_asked_for(mint: Mint, wall: Wall) -> None:
    ticket = await mint.ticket(minter(), Wish(), 3600)
    wall.now += MAX_TICKET_S
    await refused(mint, ticket.value)


@pytest.mark.parametrize("seconds", [0, -5, 7201])
async def test_a_client_secret_lasts_as_long_as_the_services_allow(mint: Mint, wall: Wall, seconds: int) -> None:
    secret = await mint.client_secret(minter(), Wish(), seconds)
    assert 10 <= secret.expires_at - wall.now <= 7200


async def test_of_a_thousand_who_show_one_ticket_one_is_let_in(mint: Mint) -> None:
    ticket = await mint.ticket(minter(), Wish())
    let_in: list[Principal] = []
    refusals = 0

    async def show() -> None:
        nonlocal refusals
        try:
            let_in.append(await mint.redeem(ticket.value, origin=None))
        except Unauthenticated:
            refusals += 1

    async with trio.open_nursery() as nursery:
        for _ in range(1000):
            nursery.start_soon(show)
    assert (len(let_in), refusals) == (1, 999)


@pytest.mark.parametrize("make", [Mint.ticket, Mint.client_secret])
async def test_nobody_gives_more_than_they_have(mint: Mint, make: Callable[..., Any]) -> None:
    own = minter(kb_ids=frozenset({"museum", "zoo"}), allowance=Allowance(5, 60))
    minted = await make(mint, own, Wish(kb_ids=("zoo",), allowance=Allowance(100, 10)))
    principal = await mint.redeem(minted.value, origin=None)
    assert principal.kb_ids == frozenset({"zoo"})
    assert principal.allowance == Allowance(5, 10)
    minted = await make(mint, own, Wish())
    principal = await mint.redeem(minted.value, origin=None)
    assert principal.kb_ids == frozenset({"museum", "zoo"})
    assert principal.allowance == Allowance(5, 60)
    with pytest.raises(ClientFault) as secret:
        await make(mint, own, Wish(kb_ids=("zoo", "staff")))
    with pytest.raises(ClientFault) as missing:
        await make(mint, own, Wish(kb_ids=("there is none",)))
    assert secret.value.message == missing.value.message
    with pytest.raises(ClientFault, match="mint"):
        await make(mint, minter(scopes=frozenset({"talk", "administer"})), Wish())
    with pytest.raises(ClientFault, match="instructions"):
        await make(mint, minter(settable=BROWSER_FIELDS), Wish(instructions="Be rude."))
    with pytest.raises(ClientFault, match="mint"):
        await make(mint, principal, Wish())


async def test_what_is_bound_to_an_origin_is_for_its_pages_only(mint: Mint) -> None:
    bound = Wish(origin="https://shop.example")
    for wrong in (None, "https://shop.example.evil.example", "http://shop.example", "null", "https://shop.example:444"):
        await refused(mint, (await mint.client_secret(minter(), bound)).value, wrong)
        ticket = (await mint.ticket(minter(), bound)).value
        await refused(mint, ticket, wrong)
        await refused(mint, ticket, "https://shop.example")
    ticket = (await mint.ticket(minter(), bound)).value
    assert (await mint.redeem(ticket, origin="https://SHOP.example")).origin == "https://shop.example"


async def test_what_is_kept_is_bounded_and_a_full_store_takes_nobodys_away(wall: Wall) -> None:
    store = MemoryTicketStore(max_records=3, share=1, now=wall)
    mint = Mint(store, now=wall)
    kept = [await mint.ticket(minter(), Wish()) for _ in range(3)]
    with pytest.raises(InternalFault) as full:
        await mint.ticket(minter(id="key:other"), Wish())
    assert full.value.retry_after_s
    await mint.redeem(kept[0].value, origin=None)
    wall.now += 60
    await mint.ticket(minter(), Wish())
    assert len(store) == 1, "what has expired is not kept"


async def test_bytes_are_bounded_too(wall: Wall) -> None:
    mint = Mint(MemoryTicketStore(max_bytes=10_000, share=1, now=wall), now=wall)
    long = Wish(instructions="x" * 6000)
    await mint.ticket(minter(), long)
    with pytest.raises(RateLimited):
        await mint.ticket(minter(), long)
    with pytest.raises(InternalFault):
        await mint.ticket(minter(id="key:other"), long)
    for _ in range(50):
        wall.now += 60
        await mint.redeem((await mint.ticket(minter(), long)).value, origin=None)


async def test_one_minter_does_not_take_the_mint_from_the_others(wall: Wall) -> None:
    store = MemoryTicketStore(now=wall)
    mint = Mint(store, now=wall)
    long = Wish(instructions="x" * 65_000)
    minted = [await mint.client_secret(minter(), long, 7200) for _ in range(250)]

    async def fifty_more() -> None:
        for _ in range(50):
            await mint.client_secret(minter(), long, 7200)

    with pytest.raises(RateLimited) as refusal:
        await fifty_more()
    assert (refusal.value.code, refusal.value.reason.http_status) == ("mint_limit", 429)
    assert refusal.value.retry_after_s
    others = [await mint.client_secret(minter(id="key:other"), long) for _ in range(100)]
    await mint.forget("key:abc")
    assert len(store) == len(others)
    assert (await mint.redeem(others[0].value, origin=None)).account == "key:other"
    await refused(mint, minted[0].value)
    await mint.client_secret(minter(), long)
    wall.now += 10_000
    await mint.ticket(minter(), Wish())
    assert (len(store), store._bytes < 1000, len(store._used)) == (1, True, 1)


async def test_nor_by_numbers(wall: Wall) -> None:
    mint = Mint(MemoryTicketStore(max_records=40, now=wall), now=wall)
    for _ in range(10):
        # What is spent counts until it would have expired: it is still looked after.
        await mint.redeem((await mint.ticket(minter(), Wish())).value, origin=None)
    with pytest.raises(RateLimited):
        await mint.ticket(minter(), Wish())
    await mint.ticket(minter(id="key:other"), Wish())
    wall.now += 60
    await mint.ticket(minter(), Wish())


@pytest.mark.parametrize("make", [Mint.ticket, Mint.client_secret])
async def test_nobody_gives_more_time_than_they_have(mint: Mint, wall: Wall, make: Callable[..., Any]) -> None:
    for left_s in (5, 30.5):
        minted = await make(mint, minter(expires_at=wall.now + left_s), Wish())
        assert minted.expires_at == int(wall.now + left_s)
        await mint.redeem(minted.value, origin=None)
    assert (await make(mint, minter(expires_at=wall.now + 1e6), Wish())).expires_at <= wall.now + 600
    for late_s in (0, 50):
        with pytest.raises(Unauthenticated) as refusal:
            await make(mint, minter(expires_at=wall.now - late_s), Wish())
        assert refusal.value.reason.http_status == 401


async def test_a_store_keeps_no_credential(wall: Wall) -> None:
    class Seen(MemoryTicketStore):
        async def put(self, digest: str, record: bytes, **more: Any) -> None:
            seen.append(digest + record.decode())
            await super().put(digest, record, **more)

    seen: list[str] = []
    mint = Mint(Seen(now=wall), now=wall)
    minted = [await mint.ticket(minter(), Wish()), await mint.client_secret(minter(), Wish())]
    assert all(one.value not in text and one.value[3:] not in text for one in minted for text in seen)


# With a ring of keys


async def test_what_a_revoked_key_minted_is_revoked_with_it(tmp_path: Path, mint: Mint) -> None:
    file = KeyFile(tmp_path)
    key = file.create("site", scopes=("talk", "mint"), kb_ids=("museum",))
    ring = KeyRing(None, file)
    authenticator = Authenticator(ring, mint)
    holder = await authenticator.check(key)
    secret = (await mint.client_secret(holder, Wish())).value
    ticket = (await mint.ticket(holder, Wish())).value
    guest = await authenticator.check(secret)
    assert authenticator.objection(holder, "museum") is None
    assert authenticator.objection(guest, "museum") is None
    assert authenticator.objection(guest, "zoo") is not None
    file.revoke("site")
    await ring.look()
    for principal in (holder, guest):
        objection = authenticator.objection(principal, "museum")
        assert objection is not None
        assert objection.reason.close_code() == 4401
        assert "revoked" in objection.message
    for credential in (key, secret):
        with pytest.raises(Unauthenticated):
            await authenticator.check(credential)
    with pytest.raises(Unauthenticated) as refusal:
        await authenticator.check(ticket, takes_tickets=True)
    assert refusal.value.message == (await anything(mint)).message, "which it was is not told"


async def test_what_this_machine_minted_is_good_for_as_long_as_it_needs_no_credential(
    tmp_path: Path, mint: Mint
) -> None:
    file = KeyFile(tmp_path)
    ring = KeyRing(None, file)
    authenticator = Authenticator(ring, mint)
    secret = (await mint.client_secret(LOCAL, Wish())).value
    await authenticator.check(secret)
    file.create("site", scopes=("talk",))
    await ring.look()
    with pytest.raises(Unauthenticated):
        await authenticator.check(secret)


async def test_the_ring_says_whose_keys_are_gone(tmp_path: Path) -> None:
    file = KeyFile(tmp_path)
    keys = {name: file.create(name, scopes=("talk",)) for name in ("one", "two")}
    ring = KeyRing(None, file)
    assert await ring.look() == frozenset()
    one = ring.find(keys["one"])
    assert one is not None
    file.revoke("one")
    file.create("three", scopes=("talk",))
    assert await ring.look() == {one.id}
    assert await ring.look() == frozenset()


async def test_expiry_objects_to_nobody_who_is_in(mint: Mint, wall: Wall) -> None:
    authenticator = Authenticator(KeyRing(Secret("from-the-settings")), mint)
    holder = await authenticator.check("from-the-settings")
    guest = await authenticator.check((await mint.client_secret(holder, Wish())).value)
    wall.now += 100_000
    assert authenticator.objection(guest, "museum") is None


async def test_a_ticket_is_not_spent_where_none_is_taken(mint: Mint) -> None:
    authenticator = Authenticator(KeyRing(Secret("from-the-settings")), mint)
    ticket = (await mint.ticket(await authenticator.check("from-the-settings"), Wish())).value
    with pytest.raises(Unauthenticated, match="/ws"):
        await authenticator.check(ticket)
    assert (await authenticator.check(ticket, takes_tickets=True)).kind == "ticket"


async def test_without_any_key_whatever_is_shown_will_do_but_no_false_ticket(mint: Mint) -> None:
    authenticator = Authenticator(KeyRing(), mint)
    assert await authenticator.check("sk-anything") is LOCAL
    secret = await mint.client_secret(LOCAL, Wish(instructions="Be brief."))
    assert (await authenticator.check(secret.value)).instructions == "Be brief."
    with pytest.raises(Unauthenticated):
        await authenticator.check("ek_made_up")


async def test_a_key_may_look_like_anything(mint: Mint) -> None:
    for key in ("ek_a_key_of_the_settings", "tk_a_key_of_the_settings", "aaa.bbb.ccc"):
        assert (await Authenticator(KeyRing(Secret(key)), mint).check(key)).name == "env"


async def test_use_is_counted_on_what_was_shown_and_on_its_minter(mint: Mint, tmp_path: Path) -> None:
    file = KeyFile(tmp_path)
    key = file.create("site", scopes=("talk", "mint"), sessions=7)
    authenticator = Authenticator(KeyRing(None, file), mint)
    holder = await authenticator.check(key)
    guest = await authenticator.check((await mint.client_secret(holder, Wish(allowance=Allowance(2)))).value)
    assert authenticator.allowances(holder) == {holder.id: Allowance(7)}
    assert authenticator.allowances(guest) == {guest.id: Allowance(2), holder.id: Allowance(7)}
