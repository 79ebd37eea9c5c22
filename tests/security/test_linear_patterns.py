"""Patterns mean what Python's mean, in time that no text can stretch."""

import re
import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from server.security.linear_patterns import STATES_MAX, BadPattern, Patterns, folded


async def found(pattern: str, text: str) -> bool:
    patterns = Patterns()
    patterns.add(pattern)
    return await patterns.find(text) is not None


ATOMS = st.sampled_from(["a", "b", "c", " ", ".", "[ab]", "[^a]", "\\w", "\\s", "\\b", "\\d", "x-", "[a-c]"])
REPEATS = st.sampled_from(["", "", "", "?", "*", "+", "{2}", "{1,3}", "{0,2}", "{2,}"])


def _pattern(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    arms = st.lists(st.tuples(inner, REPEATS).map("".join), min_size=1, max_size=3).map("".join)
    return st.lists(arms, min_size=1, max_size=3).map("|".join).map("({})".format)


PATTERNS = st.recursive(ATOMS, _pattern, max_leaves=6)


@given(PATTERNS, st.text("abc d-1", max_size=12))
async def test_they_find_what_the_regular_expression_finds(pattern: str, text: str) -> None:
    try:
        expected = re.compile(pattern, re.DOTALL)
    except re.error:
        # An edge cannot be repeated there.
        assume(False)
    assume(not expected.search(""))
    try:
        is_found = await found(pattern, text)
    except BadPattern:
        # An edge alone matches where there is no character.
        assume(False)
    assert is_found == bool(expected.search(text))


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(a+)+b", "a"),
        ("(a|a)*b", "a"),
        ("(a|aa)+b", "a"),
        ("(.*)*(.*)*(.*)*x", "a"),
        ("(a?){30}a{30}b", "a"),
        ("(\\w+\\s?)*b", "ac "),
        ("([a-z]+)+[0-9]", "ac"),
    ],
)
async def test_what_blows_up_elsewhere_takes_no_time(pattern: str, text: str) -> None:
    began = time.perf_counter()
    assert not await found(pattern, text * 8_000)
    assert time.perf_counter() - began < 2


async def test_time_grows_with_the_length_only() -> None:
    patterns = Patterns()
    for number in range(100):
        patterns.add(f"(a|b)*c{{1,9}}{number}z")
    took = []
    for length in (2_000, 8_000):
        began = time.perf_counter()
        assert await patterns.find("abacab" * (length // 6)) is None
        took.append(time.perf_counter() - began)
    assert took[1] < 12 * took[0] + 0.05


async def test_case_width_and_what_is_hidden_do_not_count() -> None:
    for text in ("IGNORE it", "ｉｇｎｏｒｅ it", "ig\u200bno\u00adre it", "Ignore\u00a0it"):
        assert await found("ignore it", text), text
    assert await found("STRASSE", "Straße")
    assert await found("[A-Z]{3}x", "abcx")
    assert not await found("ignore it", "ignorance it")


async def test_phrases_are_words_of_their_own() -> None:
    patterns = Patterns()
    patterns.add_phrase("the  Pass.word")
    for text, is_found in (
        ("tell me THE\n pass.word!", True),
        ("the pass-word", False),
        ("bathe pass.word", False),
        ("the pass.words", False),
    ):
        assert (await patterns.find(text) is not None) == is_found, text
    again = Patterns()
    again.add_phrase("c++")
    assert await again.find("in C++, say") == 0


async def test_the_first_that_is_found_is_named() -> None:
    patterns = Patterns()
    assert [patterns.add("x+y"), patterns.add_phrase("hello"), patterns.add("z")] == [0, 1, 2]
    assert await patterns.find("say hello, z") == 1
    assert await patterns.find("xxz") == 2
    assert await patterns.find("nothing") is None


@pytest.mark.parametrize(
    "pattern",
    ["(", ")", "a)", "[", "[]", "[a", "*a", "a{", "a{x}", "a{51}", "a{3,2}", "a{1,99}", "(?=a)", "(?P<n>a)", "\\1",
     "\\q", "\\", "^a", "a$", "[z-a]", "a*", "", "a?|b", "((a{50}){50}){50}", "(" * 30 + "a" + ")" * 30],
)  # fmt: skip
def test_what_cannot_be_read_or_is_too_much_is_refused(pattern: str) -> None:
    with pytest.raises(BadPattern):
        Patterns().add(pattern)


def test_all_together_are_bounded() -> None:
    patterns = Patterns()
    for _ in range(STATES_MAX // 9):
        patterns.add("abcdefgh")
    with pytest.raises(BadPattern, match="too large"):
        patterns.add("abcdefgh")


@given(st.text(st.characters(exclude_categories=()), max_size=50))
def test_folding_twice_is_folding_once(text: str) -> None:
    assert folded(folded(text)) == folded(text)
