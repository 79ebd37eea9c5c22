"""The token by which a client that was cut off shows that a session is its own."""

from server.session.resumption import ResumeTokens


def tokens() -> ResumeTokens:
    """Tokens with the names T0, T1, T2."""
    names = iter(f"T{number}" for number in range(10))
    return ResumeTokens(lambda: next(names))


def valid(kept: ResumeTokens) -> list[str]:
    return [f"T{number}" for number in range(6) if kept.accepts(f"T{number}")]


def test_the_first_token_is_valid_until_another_was_used() -> None:
    kept = tokens()
    assert kept.present == "T0"
    kept.confirm()
    assert valid(kept) == ["T0"]
    assert not kept.accepts("")
    assert not kept.accepts("T")
    assert not kept.accepts("é")


def test_the_token_before_is_valid_until_the_client_speaks_under_the_new_one() -> None:
    kept = tokens()
    assert kept.renew("T0") == kept.present == "T1"
    assert valid(kept) == ["T0", "T1"]
    kept.confirm()
    assert valid(kept) == ["T1"]


def test_a_client_that_learns_no_new_token_may_use_its_own_again_and_again() -> None:
    kept = tokens()
    for newest in ("T1", "T2", "T3"):
        assert kept.renew("T0") == newest
        assert valid(kept) == ["T0", newest]


def test_two_tokens_are_valid_at_most() -> None:
    kept = tokens()
    kept.renew("T0")
    kept.renew("T1")
    assert valid(kept) == ["T1", "T2"]
