"""The table of origins: who may come in from a page of which address."""

import pytest

from server.edge.authority import parse_authority, read_hosts, read_origins
from server.edge.headers import Headers
from server.edge.origin import OriginPolicy
from server.edge.proxies import Provenance

POLICY = OriginPolicy(
    read_origins("https://shop.example.com, http://kiosk.example.com:3000 https://xn--mnchen-3ya.example"),
    read_hosts("avatar.example.com, museum.example:8443"),
)
LOCAL = OriginPolicy(local_pages=True)
HERE = "192.0.2.5"


def provenance(host: str | None = "avatar.example.com", scheme: str = "https") -> Provenance:
    return Provenance("198.51.100.7", scheme, host)


def is_allowed(origins: list[str], *, host: str = "avatar.example.com", scheme: str = "https") -> bool:
    headers = Headers([("Host", host), *(("Origin", origin) for origin in origins)])
    refusal = POLICY.check_origin(headers, provenance(host, scheme))
    assert refusal is None or (refusal.status, refusal.code) == (403, "origin_not_allowed")
    return refusal is None


@pytest.mark.parametrize(
    ("origin", "host", "scheme"),
    [
        ("https://avatar.example.com", "avatar.example.com", "https"),
        ("https://avatar.example.com:443", "avatar.example.com", "https"),
        ("https://avatar.example.com", "avatar.example.com:443", "https"),
        ("https://avatar.example.com:8443", "avatar.example.com:8443", "https"),
        ("http://avatar.example.com", "avatar.example.com:80", "http"),
        ("https://AVATAR.example.COM", "avatar.EXAMPLE.com", "https"),
        ("http://localhost:8000", "localhost:8000", "http"),
        ("http://[::1]:8000", "[::1]:8000", "http"),
        ("https://[2001:DB8::5]", "[2001:db8::5]", "https"),
        ("https://192.0.2.5", "192.0.2.5", "https"),
        ("https://shop.example.com", "avatar.example.com", "https"),
        ("https://shop.example.com:443", "avatar.example.com", "https"),
        ("https://shop.example.com", "avatar.example.com", "http"),
        ("http://kiosk.example.com:3000", "avatar.example.com", "https"),
        ("https://xn--mnchen-3ya.example", "avatar.example.com", "https"),
    ],
)
def test_a_page_that_may(origin: str, host: str, scheme: str) -> None:
    assert is_allowed([origin], host=host, scheme=scheme)


@pytest.mark.parametrize(
    "origin",
    [
        # Other names, before and behind
        "https://evil.example",
        "https://avatar.example.com.evil.example",
        "https://evil-avatar.example.com",
        "https://evilavatar.example.com",
        "https://evil.avatar.example.com",
        "https://example.com",
        "https://com",
        "https://shop.example.com.evil.example",
        "https://sub.shop.example.com",
        "https://notshop.example.com",
        "https://shop-example.com",
        "https://shopXexample.com",
        "https://shop.example.org",
        "https://shop.example.com.",
        "https://avatar.example.com.",
        "https://.shop.example.com",
        # Other ports and schemes
        "https://avatar.example.com:8443",
        "https://avatar.example.com:80",
        "http://avatar.example.com",
        "http://avatar.example.com:443",
        "http://shop.example.com",
        "https://shop.example.com:444",
        "http://kiosk.example.com",
        "https://kiosk.example.com:3000",
        "http://kiosk.example.com:30000",
        "ftp://avatar.example.com",
        "ws://avatar.example.com",
        "wss://avatar.example.com",
        "chrome-extension://avatar.example.com",
        # No origin of the web at all
        "null",
        "NULL",
        "",
        " ",
        "*",
        "file://",
        "file:///avatar.example.com",
        "about:blank",
        "data:text/html,hi",
        "blob:https://avatar.example.com/1",
        "avatar.example.com",
        "//avatar.example.com",
        "https:avatar.example.com",
        "https:///avatar.example.com",
        # More than an origin, or disguised as one
        "https://avatar.example.com/",
        "https://avatar.example.com/path",
        "https://avatar.example.com?x",
        "https://avatar.example.com#x",
        "https://avatar.example.com\\@evil.example",
        "https://avatar.example.com@evil.example",
        "https://user@avatar.example.com",
        "https://user:pass@avatar.example.com",
        "https://evil.example@avatar.example.com",
        "https://avatar.example.com:443@evil.example",
        "https://avatar.example.com:",
        "https://avatar.example.com:port",
        "https://avatar.example.com:-443",
        "https://avatar.example.com:443443",
        "https://avatar.example.com:443:443",
        " https://avatar.example.com",
        "https://avatar.example.com ",
        "https://avatar.example.com https://evil.example",
        "https://avatar.example.com,https://evil.example",
        "https://evil.example, https://avatar.example.com",
        "https://avatar.example.com\t",
        "https://avatar.example.com%00.evil.example",
        "https://avatar%2eexample.com",
        "https://*.example.com",
        # Names beyond ASCII, as UTF-8 read as latin-1, and what looks like them
        "https://m\xc3\xbcnchen.example",
        "https://m\xfcnchen.example",
        "https://munchen.example",
        "https://xn--mnchen-3ya.example.evil.example",
        "https://xn--80ak6aa92e.com",
        "https://\xe1vatar.example.com",
        # Addresses
        "https://192.0.2.5",
        "https://[2001:db8::5]",
        "https://[::1]",
        "https://localhost",
        "https://127.0.0.1",
        "https://[avatar.example.com]",
        "https://0x7f000001",
    ],
)
def test_a_page_that_may_not(origin: str) -> None:
    assert not is_allowed([origin])


def test_without_an_origin_it_was_no_page() -> None:
    assert is_allowed([])


@pytest.mark.parametrize(
    "origins",
    [
        ["https://avatar.example.com", "https://avatar.example.com"],
        ["https://avatar.example.com", "https://evil.example"],
        ["https://evil.example", "https://avatar.example.com"],
        ["", "https://shop.example.com"],
    ],
)
def test_an_origin_that_is_there_twice_is_none(origins: list[str]) -> None:
    assert not is_allowed(origins)


@pytest.mark.parametrize(
    ("origin", "host", "scheme"),
    [
        ("https://avatar.example.com", "avatar.example.com", "http"),
        ("http://avatar.example.com", "avatar.example.com", "https"),
        ("https://avatar.example.com:8443", "avatar.example.com:443", "https"),
        ("https://avatar.example.com", "avatar.example.com.", "https"),
        ("https://avatar.example.com", "user@avatar.example.com", "https"),
        ("https://avatar.example.com", "avatar.example.com, evil.example", "https"),
    ],
)
def test_a_page_is_the_servers_own_only_by_scheme_name_and_port(origin: str, host: str, scheme: str) -> None:
    assert not is_allowed([origin], host=host, scheme=scheme)


def test_a_request_without_a_host_has_no_pages_of_its_own() -> None:
    headers = Headers([("Origin", "https://avatar.example.com")])
    assert POLICY.check_origin(headers, provenance(None)) is not None


def test_where_only_this_machine_is_served_its_pages_come_from_any_port() -> None:
    for origin in ("http://localhost:3000", "https://127.0.0.1", "http://[::1]:9"):
        assert LOCAL.check_origin(Headers([("Origin", origin)]), provenance("localhost:8000", "http")) is None
    for origin in ("http://localhost.evil.example", "http://127.0.0.256", "null", "http://192.0.2.5"):
        assert LOCAL.check_origin(Headers([("Origin", origin)]), provenance("localhost:8000", "http")) is not None


# Host


@pytest.mark.parametrize(
    "host",
    ["avatar.example.com", "AVATAR.example.com", "avatar.example.com:8000", "museum.example:8443", "localhost",
     "localhost:8000", "127.0.0.1:8000", "127.9.9.9", "[::1]:8000", "192.0.2.5", "192.0.2.5:8000"],
)  # fmt: skip
def test_a_name_of_the_servers_own(host: str) -> None:
    assert POLICY.check_host(provenance(host), HERE) is None


@pytest.mark.parametrize(
    "host",
    [None, "", " ", "evil.example", "avatar.example.com.evil.example", "evil.avatar.example.com", "avatar.example.com.",
     "museum.example", "museum.example:8444", "192.0.2.6", "127.0.0.1.evil.example", "localhost.evil.example",
     "user@localhost", "localhost:port", "localhost:99999", "localhost, evil.example", "localhost/", "[::2]", "0.0.0.0",
     "2130706433", "xn--vatar-wya.example.com", "h\xf6st"],
)  # fmt: skip
def test_a_name_of_somebody_else(host: str | None) -> None:
    refusal = POLICY.check_host(provenance(host), HERE)
    assert refusal is not None
    assert refusal.code == "host_not_allowed"


def test_an_address_of_the_connection_itself_is_the_servers_in_ipv6_too() -> None:
    assert POLICY.check_host(provenance("[2001:db8::5]:8000"), "2001:db8::5") is None


# The lists


@pytest.mark.parametrize(
    "text",
    ["*", "https://*.example.com", "shop.example.com", "https://shop.example.com/", "null", "ftp://a", "https://m\xfcnchen.de"],
)  # fmt: skip
def test_an_entry_that_is_no_origin_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is no origin such as"):
        read_origins(f"https://good.example, {text}")


@pytest.mark.parametrize("text", ["https://a", "a/b", "*.example.com", "m\xfcnchen.de", "a:b", "a:70000"])
def test_an_entry_that_is_no_host_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is no host such as"):
        read_hosts(text)


def test_an_underscore_is_a_letter_of_names_in_container_networks() -> None:
    assert parse_authority("my_app:8000") is not None


# CORS


def test_only_pages_on_the_list_may_read_answers() -> None:
    allowed = dict(POLICY.cors_headers(Headers([("Origin", "https://shop.example.com")])))
    assert allowed == {"Access-Control-Allow-Origin": "https://shop.example.com", "Vary": "Origin"}
    for origin in ("https://evil.example", "null", "https://avatar.example.com"):
        assert dict(POLICY.cors_headers(Headers([("Origin", origin)]))) == {"Vary": "Origin"}
    assert dict(POLICY.cors_headers(Headers([]))) == {"Vary": "Origin"}
    assert POLICY.cors_headers(Headers([("Origin", "https://shop.example.com")] * 2)) == (("Vary", "Origin"),)
    assert LOCAL.cors_headers(Headers([("Origin", "http://localhost:3000")])) == ()


def test_a_preflight_is_told_what_may_be_asked_and_never_that_cookies_may() -> None:
    headers = Headers([("Origin", "https://shop.example.com"), ("Access-Control-Request-Method", "POST")])
    assert OriginPolicy.is_preflight("OPTIONS", headers)
    assert not OriginPolicy.is_preflight("POST", headers)
    answer = dict(POLICY.preflight_headers(headers))
    assert "POST" in answer["Access-Control-Allow-Methods"]
    assert "Authorization" in answer["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in answer
