"""Records: what they refuse to say, and that nothing of them is lost on the way through the journal."""

import datetime as dt
from decimal import Decimal

import msgspec
import pytest

from server.store.records import TOKENS_MAX, AudioRecording, Record, StoppedText, Tokens, UsageLine
from tests.store.samples import NOON, conversation, usage


@pytest.mark.parametrize("count", [-1, TOKENS_MAX + 1])
def test_absurd_tokens_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="cached_audio"):
        msgspec.structs.replace(usage("s1", 1), tokens=Tokens(cached_audio=count))


@pytest.mark.parametrize("cost", ["-1", "NaN", "1e9", "0.0000000000001"])
def test_a_cost_that_cannot_be_kept_is_refused(cost: str) -> None:
    with pytest.raises(ValueError, match="cost"):
        usage("s1", 1, cost=cost)


def test_a_line_counts_on_its_day_in_utc() -> None:
    late = dt.datetime(2026, 7, 2, 1, 30, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    line = msgspec.structs.replace(usage("s1", 1), at=late)
    assert line.day == "2026-07-01"


def test_every_record_comes_back_from_the_journal_as_it_was() -> None:
    records: list[Record] = [
        *conversation("s1", turns=2),
        StoppedText(session_id="s1", id="i", at=NOON, rule="insults", text=""),
        AudioRecording(session_id="s1", id="client", at=NOON, file="f.wav", duration_ms=1, size_bytes=2, note="n"),
    ]
    for record in records:
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=Record) == record


def test_the_prototypes_sample_costs_what_it_costs() -> None:
    line = usage("s1", 1)
    assert isinstance(line, UsageLine)
    assert line.cost_usd == Decimal(15_703) * 4 / 10**6 + Decimal(219) * 16 / 10**6
