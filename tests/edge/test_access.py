from collections.abc import Mapping
from typing import NamedTuple

import pytest
import trio

from protocol.errors import LiveAvatarError
from server.edge.access import AccessPolicy, credential_of, is_relayed, refusal_of
from server.edge.headers import Headers
from server.edge.upgrade import is_loopback
from server.secret import Secret
from server.security.authenticator import Authenticator
from server.security.keys import KeyRing
from server.security.minting import Mint, Wish
from server.security.principal import LOCAL, PUBLIC
from server.security.ticket_store import MemoryTicketStore


class Request(NamedTuple):
    """As much of a request as the policy looks at."""

    headers: Headers
    subprotocols: tuple[str, ...] = ()
    is_loopback: bool = True
    query: Mapping[str, str] = {}


def request(
    *fields: tuple[str, str],
    host: str | None = "localhost:8000",
    local: bool = True,
    subprotocols: tuple[str, ...] = (),
    query: Mapping[str, str] | None = None,
) -> Request:
    items = [("Host", host), *fields] if host is not None else list(fields)
    return Request(Headers(items), subprotocols, local, query or {})


def policy_for(key: str | None, *, is_public: bool = False, url_credentials: bool = False) -> AccessPolicy:
    keys = KeyRing(Secret(key) if key is not None else None)
    return AccessPolicy(
        Authenticator(keys, Mint(MemoryTicketStore()), is_public=is_public), url_credentials=url_credentials
    )


OPEN = policy_for(None)
KEYED = policy_for("sk-key")


def fault_of(policy: AccessPolicy, arrival: Request, *, may_follow: bool = False) -> LiveAvatarError | None:
    async def admit() -> None:
        principal = await policy.admit(arrival, to_avatar=may_follow)
        assert principal is not None or may_follow

    try:
        trio.run(admit)
    except LiveAvatarError as fault:
        return fault
    return None


def refused(policy: AccessPolicy, arrival: Request, *, may_follow: bool = False) -> tuple[int, str] | None:
    fault = fault_of(policy, arrival, may_follow=may_follow)
    return None if fault is None else (refusal_of(fault).status, fault.code)


# Without a key


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8000", "LOCALHOST", "127.0.0.1", "127.0.0.1:80", "127.1.2.3", "[::1]", "[::1]:8000"],
)
def test_without_a_key_this_machines_names_are_let_in(host: str) -> None:
    assert refused(OPEN, request(host=host)) is None


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "notlocalhost", "localhost@evil.example",
     "127.0.0.1@evil", "128.0.0.1", "127.0.0.256", "127.0.1", "0.0.0.0", "[::2]", "[::ffff:1.2.3.4]", "10.0.0.1:8000",
     "localhost:8000:1", "localhost:abc", "", " ", "localhost evil", "h\xf6st", "2130706433", "localhost,evil"],
)  # fmt: skip
def test_without_a_key_every_other_host_is_refused(host: str) -> None:
    assert refused(OPEN, request(host=host)) == (403, "host_not_allowed")


def test_a_host_that_is_missing_or_there_twice_is_refused() -> None:
    assert refused(OPEN, request(host=None)) == (403, "host_not_allowed")
    assert refused(OPEN, request(("Host", "localhost"))) == (403, "host_not_allowed")


@pytest.mark.parametrize(
    "origin",
    ["http://localhost", "http://localhost:3000", "https://localhost:8000", "http://127.0.0.1:8000", "http://[::1]:9",
     "HTTP://LOCALHOST".lower(), "http://127.9.9.9"],
)  # fmt: skip
def test_without_a_key_local_pages_are_let_in(origin: str) -> None:
    assert refused(OPEN, request(("Origin", origin))) is None


@pytest.mark.parametrize(
    "origin",
    ["null", "", "http://evil.example", "https://evil.example", "http://localhost.evil.example",
     "http://evil.example/localhost", "http://evil.example?localhost", "http://evil.example#localhost",
     "http://localhost@evil.example", "http://evil.example@localhost", "http://localhost:8000@evil.example",
     "http://127.0.0.1.evil.example", "http://127.0.0.1:8000.evil.example", "http://notlocalhost", "localhost",
     "//localhost", "file://localhost", "chrome-extension://localhost", "http://localhost:8000/", "http://localhost/path",
     "http:localhost", "http:///localhost", " http://localhost", "http://localhost http://evil.example",
     "http://localhost, http://evil.example", "http://xn--localhst-d4a", "http://loc\xe4lhost", "http://10.0.0.1",
     "http://[::ffff:7f00:1]", "http://localhost:99999999", "http://0x7f.1", "http://127.1", "javascript:localhost"],
)  # fmt: skip
def test_without_a_key_pages_from_elsewhere_are_refused(origin: str) -> None:
    assert refused(OPEN, request(("Origin", origin))) == (403, "origin_not_allowed")


def test_two_origins_are_refused_even_if_one_is_local() -> None:
    arrival = request(("Origin", "http://localhost"), ("Origin", "http://localhost"))
    assert refused(OPEN, arrival) == (403, "origin_not_allowed")


def test_without_a_key_another_machine_is_refused() -> None:
    assert refused(OPEN, request(local=False)) == (403, "not_local")


@pytest.mark.parametrize(
    "name",
    ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Anything", "X-Real-IP",
     "Via", "x-forwarded-for", "CF-Connecting-IP", "True-Client-IP", "X-Client-IP"],
)  # fmt: skip
def test_a_relayed_request_is_not_local(name: str) -> None:
    arrival = request((name, "127.0.0.1"))
    assert is_relayed(arrival.headers)
    assert refused(OPEN, arrival) == (403, "not_local")


def test_ordinary_headers_make_no_relay() -> None:
    assert not is_relayed(Headers([("User-Agent", "x"), ("Accept", "*/*"), ("X-Request-Id", "1")]))


# With a key


@pytest.mark.parametrize(
    ("fields", "subprotocols"),
    [
        ([("Authorization", "Bearer sk-key")], ()),
        ([("authorization", "bearer   sk-key ")], ()),
        ([("api-key", "sk-key")], ()),
        ([("Api-Key", "sk-key")], ()),
        ([], ("realtime", "openai-insecure-api-key.sk-key")),
        ([("Authorization", "Basic abc"), ("api-key", "sk-key")], ()),
    ],
)
def test_with_a_key_whoever_shows_it_is_let_in_from_anywhere(
    fields: list[tuple[str, str]], subprotocols: tuple[str, ...]
) -> None:
    arrival = request(*fields, ("X-Forwarded-For", "1.2.3.4"), ("Origin", "https://app.example"), host="a.example",
                      local=False, subprotocols=subprotocols)  # fmt: skip
    assert refused(KEYED, arrival) is None


@pytest.mark.parametrize(
    "fields",
    [
        [("Authorization", "Bearer wrong")],
        [("Authorization", "Bearer ")],
        [("Authorization", "Bearer sk-key2")],
        [("Authorization", "Bearer sk-ke")],
        [("Authorization", "Bearer SK-KEY")],
        [("api-key", "wrong")],
        [("api-key", "")],
        [("Authorization", "Bearer sk-key"), ("Authorization", "Bearer sk-key")],
        [("Authorization", "Bearer wrong"), ("api-key", "sk-key")],
        [("Authorization", "Bearer sk-key\xff")],
    ],
)
@pytest.mark.parametrize("may_follow", [False, True])
def test_a_wrong_credential_is_401(fields: list[tuple[str, str]], may_follow: bool) -> None:
    assert refused(KEYED, request(*fields), may_follow=may_follow) == (401, "invalid_api_key")


def test_no_credential_passes_only_where_it_may_follow() -> None:
    assert refused(KEYED, request()) == (401, "missing_api_key")
    assert refused(KEYED, request(), may_follow=True) is None


def test_a_key_in_the_url_is_no_credential() -> None:
    # The policy is not even shown the URL; headers that quote one change nothing.
    assert credential_of(Headers([("Referer", "http://x/?api-key=sk-key")]), ("realtime",)) is None


@pytest.mark.parametrize("name", ["api-key", "api_key", "access_token", "token", "ticket"])
def test_a_credential_in_the_url_is_refused_even_if_it_is_right(name: str) -> None:
    arrival = request(("Authorization", "Bearer sk-key"), query={name: "sk-key"})
    assert refused(KEYED, arrival) == (401, "credential_in_url")
    allowing = policy_for("sk-key", url_credentials=True)
    assert refused(allowing, arrival) == (401, "credential_in_url"), "a key does not become short-lived by a setting"


async def test_what_is_short_lived_may_come_in_the_url_where_a_setting_allows_it() -> None:
    keys = KeyRing(Secret("sk-key"))
    mint = Mint(MemoryTicketStore())
    authenticator = Authenticator(keys, mint)
    minter = await authenticator.check("sk-key")
    secret = (await mint.client_secret(minter, Wish())).value
    arrival = request(query={"token": secret})
    with pytest.raises(LiveAvatarError, match="URL"):
        await AccessPolicy(authenticator).admit(arrival)
    policy = AccessPolicy(authenticator, url_credentials=True)
    principal = await policy.admit(arrival)
    assert principal is not None
    assert principal.kind == "client_secret"
    with pytest.raises(LiveAvatarError, match="URL"):
        await policy.admit(arrival, to_socket=False)


async def test_the_credential_of_the_first_frame_is_checked_alike() -> None:
    assert (await KEYED.check_frame(request(), "sk-key")).name == "env"
    for wrong in ("sk-keyy", "", "\ud800", "ek_unknown", "tk_unknown"):
        with pytest.raises(LiveAvatarError):
            await KEYED.check_frame(request(), wrong)
    assert await OPEN.check_frame(request(), "anything") is LOCAL


async def test_whoever_opened_the_server_to_all_lets_in_anybody_but_no_wrong_key() -> None:
    policy = policy_for("sk-key", is_public=True)
    far = request(("X-Forwarded-For", "1.2.3.4"), local=False)
    assert await policy.admit(far) is PUBLIC
    assert refusal_of(await anything(policy, request(("api-key", "wrong"), local=False))).status == 401
    assert await policy_for(None, is_public=True).admit(request(("api-key", "any"), local=False)) is PUBLIC
    assert not PUBLIC.may("mint")
    assert PUBLIC.settable is not None


async def anything(policy: AccessPolicy, arrival: Request) -> LiveAvatarError:
    with pytest.raises(LiveAvatarError) as refusal:
        await policy.admit(arrival)
    return refusal.value


def test_a_key_beyond_ascii_works_in_a_header() -> None:
    policy = policy_for("schlüssel-🔑")
    sent = "schlüssel-🔑".encode().decode("latin-1")
    assert refused(policy, request(("Authorization", f"Bearer {sent}"))) is None


@pytest.mark.parametrize("key", ["", "  "])
def test_an_empty_key_is_no_key_and_not_open_access(key: str) -> None:
    with pytest.raises(ValueError, match="empty"):
        KeyRing(Secret(key))


def test_a_refusal_shows_no_credential() -> None:
    fault = fault_of(KEYED, request(("api-key", "sk-guess")))
    assert fault is not None
    assert "sk-" not in str(refusal_of(fault).body())
    assert "sk-guess" not in repr(request(("api-key", "sk-guess")).headers)


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1", True), ("127.255.0.1", True), ("::1", True), ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False), ("::2", False), ("::ffff:10.0.0.1", False), ("0.0.0.0", False), ("fe80::1%eth0", False),
        ("local", False), ("", False),
    ],
)  # fmt: skip
def test_loopback_addresses_are_known(address: str, local: bool) -> None:
    assert is_loopback(address) is local
