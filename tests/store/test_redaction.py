"""Redaction: what is personal goes, what only looks like it stays, in time that grows with the text and no faster."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.store.records import HeardText, SaidText, StoppedText, ToolCall
from server.store.redaction import UNREDACTED, Redaction, is_card_number, is_iban
from tests.store.samples import NOON, begun

rules = Redaction()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Write to ann@example.com.", "Write to [e-mail]."),
        ("ann.o'neil+x@mail.example.co.uk, please", "[e-mail], please"),
        ("jürgen@müller.example", "[e-mail]"),
        ("<a@b.cd>;c@d.ef", "<[e-mail]>;[e-mail]"),
        ("a@b@example.com", "a@[e-mail]"),
        ("Call +49 30 1234567 now", "Call [phone number] now"),
        ("(030) 123-45-67", "[phone number]"),
        ("Call 555-123-4567.", "Call [phone number]."),
        ("01 23 45 67 89", "[phone number]"),
        ("0301234567", "[phone number]"),
        ("+4915112345678", "[phone number]"),
        ("My card is 4111 1111 1111 1111, ok", "My card is [card number], ok"),
        ("4111111111111111", "[card number]"),
        ("378282246310005", "[card number]"),
        ("5500-0000-0000-0004 and 6011000000000004", "[card number] and [card number]"),
        ("4111111111111111 4111111111111111 4111111111111111", "[card number] [card number] [card number]"),
        ("card4111111111111111x", "card[card number]x"),
        ("DE89 3704 0044 0532 0130 00 please", "[iban] please"),
        ("de89370400440532013000", "[iban]"),
        ("GB82WEST12345698765432.", "[iban]."),
        ('{"query":"ann@example.com"}', '{"query":"[e-mail]"}'),
    ],
)
def test_what_is_personal_goes(text: str, kept: str) -> None:
    assert rules.text(text) == kept


@pytest.mark.parametrize(
    "text",
    [
        "",
        "We meet at 10:30 on 2026-07-01.",
        "01.07.2026",
        "It cost 1 000 000 Euro, or 1.000.000.",
        "Room 1234567",
        "item_030123456789",
        "He is @home, mail me@ or @example.com",
        "Built in 1889, 330 metres, 7 300 tons",
        "DE90 is no IBAN",
        "version 1.2.3.4",
    ],
)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert rules.text(text) == text


def test_check_digits() -> None:
    assert is_card_number("4111111111111111")
    assert not is_card_number("4111111111111112")
    assert not is_card_number("0" * 16)
    assert not is_card_number("8" * 15)
    assert is_iban("FR14 2004 1010 0505 0001 3M02 606")
    assert not is_iban("FR14 2004 1010 0505 0001 3M02 607")
    assert not is_iban("FR14")


@given(st.text(alphabet="0123456789 +-@.abAZ(/\n", max_size=400))
def test_it_takes_any_text_and_is_done_after_once(text: str) -> None:
    once = rules.text(text)
    assert rules.text(once) == once or "[" in once


@given(st.text(max_size=30), st.sampled_from(["ann@example.com", "4111 1111 1111 1111", "DE89370400440532013000"]))
def test_what_is_personal_goes_whatever_is_around_it(around: str, personal: str) -> None:
    assert personal not in rules.text(f"{around} {personal} {around}")


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit",
    ["1", "1 ", "@", "a@", "a.", "+", "0-", "DE89", "DE89 ", "a" * 63 + "@", "4111 1111 1111 1111 ", "(((", "1..."],
)
def test_no_text_makes_it_slow(unit: str) -> None:
    def seconds(length: int) -> float:
        text = unit * (length // len(unit))
        start = time.perf_counter()
        rules.text(text)
        return time.perf_counter() - start

    seconds(1_000)
    # Four times the text; twice that for a machine that does something else meanwhile.
    assert seconds(80_000) < 0.02 + 10 * seconds(20_000)


def test_records_are_redacted_where_people_speak_and_search() -> None:
    said = SaidText(session_id="s", id="i", at=NOON, role="user", text="ann@example.com")
    heard = HeardText(session_id="s", id="i", at=NOON, text="ann@example.com", heard_ms=1, sent_ms=2)
    stopped = StoppedText(session_id="s", id="i", at=NOON, rule="r", text="ann@example.com")
    called = ToolCall(session_id="s", id="i", at=NOON, name="t", status="answered", arguments="ann@example.com")

    for record in (said, heard, stopped, called):
        assert "ann" not in repr(rules.redact(record))


def test_what_has_nothing_personal_stays_the_same_object() -> None:
    said = SaidText(session_id="s", id="i", at=NOON, role="user", text="Hello")
    called = ToolCall(session_id="s", id="i", at=NOON, name="t", status="lost")
    for record in (said, called, begun("s")):
        assert rules.redact(record) is record


def test_a_hook_comes_after_the_rules() -> None:
    redaction = Redaction(hook=lambda text: text.replace("Ann", "[name]"))
    assert redaction.text("Ann, ann@example.com") == "[name], [e-mail]"
    assert Redaction(rules=False).text("ann@example.com") == "ann@example.com"


@pytest.mark.parametrize("hook", [lambda text: 1 / 0, lambda text: None, lambda text: "\ud800"])
def test_where_a_hook_fails_nothing_is_kept(hook: object) -> None:
    assert Redaction(hook=hook).text("Ann") == UNREDACTED  # type: ignore[arg-type]
