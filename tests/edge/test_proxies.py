import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.edge.headers import Headers
from server.edge.proxies import AmbiguousForwarding, TrustedProxies, parse_networks

PROXY, SECOND, CLIENT, STRANGER = "10.0.0.1", "10.0.0.2", "198.51.100.7", "203.0.113.9"
ONE_HOP = TrustedProxies(parse_networks("10.0.0.0/8, 2001:db8::/32"))
TWO_HOPS = TrustedProxies(parse_networks("10.0.0.0/8"), hops=2)
NOBODY = TrustedProxies()


def client(proxies: TrustedProxies, peer: str, *fields: tuple[str, str]) -> str:
    return proxies.provenance(peer, Headers([("Host", "example.com"), *fields]), is_tls=False).client


def xff(value: str) -> tuple[str, str]:
    return ("X-Forwarded-For", value)


def forwarded(value: str) -> tuple[str, str]:
    return ("Forwarded", value)


def test_a_trusted_proxy_says_who_its_client_is() -> None:
    assert client(ONE_HOP, PROXY, xff(CLIENT)) == CLIENT
    assert client(ONE_HOP, PROXY, forwarded(f"for={CLIENT};proto=https")) == CLIENT
    assert client(ONE_HOP, "::ffff:10.0.0.1", xff(CLIENT)) == CLIENT


@pytest.mark.parametrize("proxies", [NOBODY, ONE_HOP, TWO_HOPS])
@pytest.mark.parametrize(
    "fields",
    [
        [xff("127.0.0.1")],
        [xff(CLIENT), xff("127.0.0.1")],
        [forwarded("for=127.0.0.1;proto=https;host=localhost")],
        [("X-Forwarded-Proto", "https")],
        [("X-Forwarded-Host", "localhost")],
        [("X-Real-IP", "127.0.0.1")],
        [xff("127.0.0.1"), forwarded("for=10.0.0.1")],
    ],
)
def test_what_a_stranger_forges_has_no_effect(proxies: TrustedProxies, fields: list[tuple[str, str]]) -> None:
    headers = Headers([("Host", "example.com"), *fields])
    provenance = proxies.provenance(STRANGER, headers, is_tls=False)
    assert provenance == proxies.provenance(STRANGER, Headers([("Host", "example.com")]), is_tls=False)
    assert provenance.client == STRANGER
    assert not provenance.is_relayed


@pytest.mark.parametrize(
    ("proxies", "chain", "found"),
    [
        (ONE_HOP, f"1.1.1.1, {CLIENT}", CLIENT),
        (ONE_HOP, f"127.0.0.1,10.0.0.9, {CLIENT}", CLIENT),
        (ONE_HOP, f"{CLIENT}, {SECOND}", SECOND),
        (TWO_HOPS, f"{CLIENT}, {SECOND}", CLIENT),
        (TWO_HOPS, f"1.1.1.1, {CLIENT}, {SECOND}", CLIENT),
        (TWO_HOPS, f"1.1.1.1, {CLIENT}", CLIENT),
        (TWO_HOPS, f"{CLIENT}, 10.9.9.9, {SECOND}", "10.9.9.9"),
        (ONE_HOP, "unknown", PROXY),
        (ONE_HOP, "_hidden", PROXY),
        (ONE_HOP, f"{CLIENT}, unknown", PROXY),
        (ONE_HOP, "", PROXY),
        (ONE_HOP, ",,,", PROXY),
        (ONE_HOP, "999.1.1.1", PROXY),
        (ONE_HOP, f"{CLIENT}:4711", CLIENT),
        (ONE_HOP, "[2001:db8::7]:4711", "2001:db8::7"),
        (ONE_HOP, "2001:db8::7", "2001:db8::7"),
        (ONE_HOP, "::ffff:198.51.100.7", CLIENT),
    ],
)
def test_entries_count_from_the_right_as_far_as_proxies_are_trusted(
    proxies: TrustedProxies, chain: str, found: str
) -> None:
    assert client(proxies, PROXY, xff(chain)) == found


def test_lines_of_one_field_are_one_list() -> None:
    assert client(ONE_HOP, PROXY, xff("1.1.1.1"), xff(CLIENT)) == CLIENT


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (f"for={CLIENT}", CLIENT),
        (f'For="{CLIENT}:4711";Proto=http', CLIENT),
        ('for="[2001:db8:1::7]:4711"', "2001:db8:1::7"),
        (f"for=1.1.1.1, for={CLIENT}", CLIENT),
        (f'for="1.1.1.1, for={CLIENT}", for={CLIENT}', CLIENT),
        (f'for="1.1.1.1;for=9.9.9.9, for={CLIENT}', CLIENT),
        ("for=unknown", PROXY),
        ("by=10.0.0.1", PROXY),
        ("for", PROXY),
        (';;;="', PROXY),
    ],
)
def test_forwarded_is_read_as_its_standard_says(value: str, found: str) -> None:
    assert client(ONE_HOP, PROXY, forwarded(value)) == found


def test_two_fields_that_disagree_are_refused_for_one_of_them_is_forged() -> None:
    with pytest.raises(AmbiguousForwarding):
        client(ONE_HOP, PROXY, xff(CLIENT), forwarded("for=127.0.0.1"))
    with pytest.raises(AmbiguousForwarding):
        client(ONE_HOP, PROXY, xff("127.0.0.1"), forwarded(f"for={CLIENT}"))
    assert client(ONE_HOP, PROXY, xff(f"1.1.1.1, {CLIENT}"), forwarded(f"for={CLIENT}")) == CLIENT


def test_scheme_and_host_are_the_proxys_word() -> None:
    fields = [
        ("Host", "10.0.0.5:8000"),
        xff(CLIENT),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "avatar.example"),
    ]
    provenance = ONE_HOP.provenance(PROXY, Headers(fields), is_tls=False)
    assert (provenance.scheme, provenance.host, provenance.is_relayed) == ("https", "avatar.example", True)
    fields = [("Host", "10.0.0.5:8000"), forwarded(f"for={CLIENT};proto=https;host=avatar.example")]
    assert ONE_HOP.provenance(PROXY, Headers(fields), is_tls=False) == provenance


@pytest.mark.parametrize(
    ("value", "is_tls", "scheme"),
    [
        ("https", False, "https"), ("wss", False, "https"), ("HTTPS", False, "https"), ("http", False, "http"),
        ("http", True, "http"), ("ftp", False, "http"), ("http, https", False, "https"), ("https, http", False, "http"),
        (None, False, "http"), (None, True, "https"),
    ],
)  # fmt: skip
def test_a_scheme_is_encrypted_only_if_the_proxy_says_so(value: str | None, is_tls: bool, scheme: str) -> None:
    fields = [("Host", "a"), xff(CLIENT), *([("X-Forwarded-Proto", value)] if value else [])]
    assert ONE_HOP.provenance(PROXY, Headers(fields), is_tls=is_tls).scheme == scheme


def test_of_two_proxies_the_farther_one_that_is_trusted_is_heard() -> None:
    fields = [xff(f"{CLIENT}, {SECOND}"), ("X-Forwarded-Host", "evil.example, avatar.example, inner.example")]
    assert TWO_HOPS.provenance(PROXY, Headers(fields), is_tls=False).host == "avatar.example"
    assert ONE_HOP.provenance(PROXY, Headers(fields), is_tls=False).host == "inner.example"


def test_a_host_that_is_missing_or_there_twice_is_none() -> None:
    assert NOBODY.provenance(STRANGER, Headers([]), is_tls=False).host is None
    assert NOBODY.provenance(STRANGER, Headers([("Host", "a"), ("host", "b")]), is_tls=False).host is None


@pytest.mark.parametrize("text", ["10.0.0.0/33", "proxy.example.com", "10.0.0.1/8", "*", "10.0.0.0/8 everybody"])
def test_a_range_that_is_none_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="no address and no range"):
        parse_networks(text)


@given(st.lists(st.sampled_from(["X-Forwarded-For", "Forwarded", "X-Forwarded-Proto", "X-Forwarded-Host"])), st.data())
def test_whatever_is_forged_from_the_left_a_proxys_own_entry_stands(names: list[str], data: st.DataObject) -> None:
    value = st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=40)
    forged = [(name, data.draw(value)) for name in names]
    chain = ",".join([*(text for name, text in forged if name == "X-Forwarded-For"), CLIENT])
    headers = Headers([*((name, text) for name, text in forged if name != "X-Forwarded-For"), xff(chain)])
    try:
        assert ONE_HOP.provenance(PROXY, headers, is_tls=False).client == CLIENT
    except AmbiguousForwarding:
        assert "Forwarded" in names
