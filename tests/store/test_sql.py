"""Conformance: what SQLite and PostgreSQL keep of the records, and give back, is the same."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal

import msgspec
import pytest

from server.store.base import ERASED, UNFINISHED, RecordRefused, UnknownPageKey
from server.store.money import COST_MAX_USD
from server.store.records import (
    TOKENS_MAX,
    AudioRecording,
    Record,
    SaidText,
    SessionEnded,
    StoppedText,
    Tokens,
    ToolCall,
)
from server.store.sql import SqlRecords
from server.store.views import SessionFilter
from tests.store.samples import NOON, after, begun, conversation, ended, entries, usage

Open = Callable[[], SqlRecords]
ALL = SessionFilter()


@pytest.fixture
async def store(open_store: Open) -> SqlRecords:
    store = open_store()
    await store.prepare()
    return store


async def test_a_session_comes_back_as_it_was_recorded(store: SqlRecords) -> None:
    await store.apply("journal", "epoch", entries(conversation("s1", turns=2)))

    found = await store.session("s1")

    assert found is not None
    assert (found.session.began_at, found.session.ended_at) == (NOON, after(60))
    assert (found.session.end_reason, found.detail, found.session.person) == ("completed", "Bye.", "visitor")
    assert [turn.item_id for turn in found.turns] == ["user_1", "said_1", "user_2", "said_2"]
    answer = found.turns[1]
    assert (answer.text, answer.heard_text, answer.heard_ms, answer.sent_ms) == ("At ten, and", "At ten", 700, 900)
    assert (answer.asked_at, answer.search_ended_ms, answer.first_audio_ms) == (after(1), 111.5, 480.5)
    assert answer.ended_ms is None
    assert found.turns[0].heard_text is None
    assert [source.title for source in found.tool_calls[0].sources] == ["Hours"]
    assert found.tool_calls[0].duration_ms == 31.25
    assert found.usage[0].tokens.input_text == 15_703
    assert found.session.cost_usd == Decimal("0.132632")


async def test_an_unknown_session_is_none(store: SqlRecords) -> None:
    assert await store.session("nobody\0") is None


async def test_what_is_applied_again_counts_once(store: SqlRecords) -> None:
    records = entries(conversation("s1", turns=3))

    for start in (0, 0, 5):
        await store.apply("journal", "epoch", records[start:])
    await store.apply("journal", "another epoch", records)

    found = await store.session("s1")
    assert found is not None
    assert len(found.usage) == 3
    (line,) = await store.costs(["day"])
    assert (line.lines, line.cost_usd) == (3, 3 * Decimal("0.066316"))


async def test_a_batch_that_overlaps_is_applied_from_where_it_is_new(store: SqlRecords) -> None:
    records = entries(conversation("s1", turns=3))

    await store.apply("journal", "epoch", records[:9])
    await store.apply("journal", "epoch", records[4:])

    found = await store.session("s1")
    assert found is not None
    assert (len(found.turns), len(found.usage), found.session.end_reason) == (6, 3, "completed")


async def test_the_order_of_a_sessions_records_does_not_matter(store: SqlRecords) -> None:
    backwards = conversation("s1", turns=2)[::-1]

    await store.apply("journal", "epoch", entries(backwards[:3]))
    await store.apply("journal", "epoch", entries(backwards[3:], 4))
    await store.apply("journal", "epoch", entries(conversation("s2", turns=2), 100))

    found, straight = await store.session("s1"), await store.session("s2")
    assert found is not None
    assert straight is not None
    assert found.turns == straight.turns
    assert found.session.began_at == NOON


async def test_money_adds_up_to_the_last_picodollar(store: SqlRecords) -> None:
    costs = ["0.000000000001", "0.1", "0.2", "99999.999999999999"]
    lines = [usage("s1", number, cost=cost) for number, cost in enumerate(costs)]

    await store.apply("journal", "epoch", entries([begun("s1"), *lines]))

    found = await store.session("s1")
    assert found is not None
    assert found.session.cost_usd == Decimal("100000.3")
    assert (await store.costs([]))[0].cost_usd == Decimal("100000.3")
    assert (await store.sessions(ALL, limit=1)).sessions[0].cost_usd == Decimal("100000.3")


async def test_the_most_that_one_line_can_say_is_kept_and_adds_up(store: SqlRecords) -> None:
    tokens = Tokens(**dict.fromkeys(Tokens.__struct_fields__, TOKENS_MAX))
    most = [
        msgspec.structs.replace(usage("s1", number), tokens=tokens, audio_ms=TOKENS_MAX, cost_usd=COST_MAX_USD)
        for number in range(50)
    ]
    await store.apply("journal", "epoch", entries([begun("s1"), *most]))

    (line,) = await store.costs(["kb_id"])
    assert line.cost_usd == 50 * COST_MAX_USD
    assert line.tokens == Tokens(**dict.fromkeys(Tokens.__struct_fields__, 50 * TOKENS_MAX))
    assert line.audio_ms == 50 * TOKENS_MAX
    session = await store.session("s1")
    assert session is not None
    assert session.session.cost_usd == 50 * COST_MAX_USD


async def test_costs_by_each_dimension(store: SqlRecords) -> None:
    tomorrow = NOON + dt.timedelta(days=1)
    lines = [
        usage("s1", 1, cost="1"),
        usage("s1", 2, cost="2", principal_id="key:2"),
        usage("s2", 1, cost="4", start=tomorrow),
    ]
    await store.apply("journal", "epoch", entries(lines))

    by_day = await store.costs(["day"])
    by_both = await store.costs(["principal_id", "day"])
    second = await store.costs(["day", "model"], since_day="2026-07-02", until_day="2026-07-02")

    assert [(line.day, line.cost_usd) for line in by_day] == [("2026-07-01", Decimal(3)), ("2026-07-02", Decimal(4))]
    assert [(line.principal_id, line.day, line.cost_usd) for line in by_both] == [
        ("key:1", "2026-07-01", Decimal(1)),
        ("key:1", "2026-07-02", Decimal(4)),
        ("key:2", "2026-07-01", Decimal(2)),
    ]
    assert [(line.model, line.lines, line.tokens.output_text) for line in second] == [("gpt-realtime", 1, 219)]
    assert await store.costs(["day"], since_day="2027-01-01") == []
    assert await store.costs([], since_day="2027-01-01") == []
    with pytest.raises(ValueError, match="person"):
        await store.costs(["person"])  # type: ignore[list-item]


async def test_pages_hold_every_session_once_newest_first(store: SqlRecords) -> None:
    # Three at the same microsecond: the key must tell them apart.
    begins = [begun(f"s{number:02}", start=after(number // 3)) for number in range(20)]
    await store.apply("journal", "epoch", entries(begins))

    seen: list[str] = []
    key: str | None = None
    for _ in range(10):
        page = await store.sessions(ALL, limit=3, key=key)
        seen += [session.session_id for session in page.sessions]
        key = page.next_key
        if key is None:
            break

    assert seen == [f"s{number:02}" for number in reversed(range(20))]


@pytest.mark.parametrize("key", ["", "zz", "5b5d", b'["a","b"]'.hex(), b"[1,2]".hex(), b'[1e99,"a"]'.hex(), b"1".hex()])
async def test_a_key_that_is_none_is_told_so(store: SqlRecords, key: str) -> None:
    with pytest.raises(UnknownPageKey):
        await store.sessions(ALL, limit=1, key=key)


async def test_a_page_has_a_size(store: SqlRecords) -> None:
    with pytest.raises(ValueError, match="1 to 1000"):
        await store.sessions(ALL, limit=1001)


async def test_sessions_are_filtered(store: SqlRecords) -> None:
    await store.apply(
        "journal",
        "epoch",
        entries(
            [
                begun("old", start=after(-3600), person="ann"),
                ended("old", start=after(-3600), reason="idle_timeout"),
                begun("new", kb_id="garden", principal_id="key:2"),
            ]
        ),
    )

    async def ids(**wanted: object) -> list[str]:
        page = await store.sessions(msgspec.convert(wanted, SessionFilter), limit=10)
        return [session.session_id for session in page.sessions]

    assert await ids() == ["new", "old"]
    assert await ids(kb_id="garden") == await ids(principal_id="key:2") == await ids(is_live=True) == ["new"]
    assert await ids(person="ann") == await ids(end_reason="idle_timeout") == await ids(is_live=False) == ["old"]
    assert await ids(since=NOON) == ["new"]
    assert await ids(until=NOON) == ["old"]
    assert await ids(person="ann", kb_id="garden") == []


async def test_sessions_that_cost_at_least_so_much_are_found(store: SqlRecords) -> None:
    records: list[Record] = [
        begun("free"),
        begun("dear"),
        usage("dear", 1, cost="1.5"),
        usage("dear", 2, cost="0.500000000001"),
    ]
    await store.apply("journal", "epoch", entries([*records, begun("cheap"), usage("cheap", 1, cost="0.01")]))

    async def found(least: str) -> set[str]:
        which = SessionFilter(min_cost_usd=Decimal(least))
        lines = await store.usage(which, limit=10)
        page = await store.sessions(which, limit=10)
        assert {line.session_id for line in lines.lines} <= {session.session_id for session in page.sessions}
        return {session.session_id for session in page.sessions}

    assert await found("0") == await found("-1") == {"free", "dear", "cheap"}
    assert await found("0.000000000001") == {"dear", "cheap"}
    assert await found("2.000000000001") == {"dear"}
    assert await found("2.0000000000011") == set()
    assert await found("1e30") == set()


async def test_end_reasons_are_counted(store: SqlRecords) -> None:
    records: list[Record] = [begun(f"s{number}", start=after(number)) for number in range(6)]
    records += [
        ended(f"s{number}", reason=reason) for number, reason in enumerate(["completed"] * 3 + ["internal", "idle"])
    ]
    await store.apply("journal", "epoch", entries(records))

    assert list((await store.end_reasons(ALL)).items()) == [("completed", 3), ("", 1), ("idle", 1), ("internal", 1)]
    assert await store.end_reasons(SessionFilter(since=after(3), is_live=False)) == {"internal": 1, "idle": 1}
    assert await store.end_reasons(SessionFilter(kb_id="zoo")) == {}


async def test_lines_of_usage_come_in_pages(store: SqlRecords) -> None:
    lines = [usage(f"s{number % 2}", number) for number in range(7)]
    await store.apply("journal", "epoch", entries([begun("s0", kb_id="garden"), *lines]))

    first = await store.usage(ALL, limit=4)
    second = await store.usage(ALL, limit=4, key=first.next_key)

    assert [line.id for line in first.lines + second.lines] == [f"resp_{number}" for number in range(7)]
    assert second.next_key is None
    assert len((await store.usage(ALL, limit=9, session_id="s1")).lines) == 3
    assert len((await store.usage(SessionFilter(kb_id="garden"), limit=9)).lines) == 4


async def test_a_later_record_of_a_call_adds_what_it_knows(store: SqlRecords) -> None:
    records = conversation("s1")
    lost = ToolCall(session_id="s1", id="call_1", at=after(9), name="search_knowledge_base", status="lost")

    await store.apply("journal", "epoch", entries([*records, lost]))

    found = await store.session("s1")
    assert found is not None
    (call,) = found.tool_calls
    assert (call.status, call.at, call.arguments) == ("lost", after(1), '{"query":"opening hours"}')
    assert len(call.sources) == 1


async def test_what_was_stopped_says_by_which_rule(store: SqlRecords) -> None:
    stopped = StoppedText(session_id="s1", id="user_9", at=NOON, rule="insults", text="You fool")
    unknown = StoppedText(session_id="s1", id="user_8", at=NOON, rule="insults", text="")

    await store.apply("journal", "epoch", entries([begun("s1"), stopped, unknown]))

    found = await store.session("s1")
    assert found is not None
    assert [(turn.stopped_by, turn.text) for turn in found.turns] == [("insults", ""), ("insults", "You fool")]


async def test_any_text_is_kept(store: SqlRecords) -> None:
    strange = "NUL \0, quote ', Ünïcödé 🎧, \u202e, % and \\ and \x7f"
    said = SaidText(session_id="s\0", id="i\0", at=NOON, role="user", text=strange)

    await store.apply("journal", "epoch", entries([begun("s\0"), said]))

    found = await store.session("s\0")
    assert found is not None
    assert found.turns[0].text == strange.replace("\0", "\ufffd")


async def test_a_clock_that_jumps_is_kept_as_it_was(store: SqlRecords) -> None:
    first = dt.datetime(1, 1, 1, tzinfo=dt.UTC)
    last = dt.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=dt.UTC)

    await store.apply("journal", "epoch", entries([begun("a", start=first), begun("b", start=last)]))

    page = await store.sessions(ALL, limit=1)
    assert page.sessions[0].began_at == last
    assert (await store.sessions(ALL, limit=1, key=page.next_key)).sessions[0].began_at == first


async def test_a_refused_record_leaves_nothing_of_its_batch(store: SqlRecords) -> None:
    bad = AudioRecording(session_id="s1", id="client", at=NOON, file="f", duration_ms=2**70, size_bytes=0)

    with pytest.raises(RecordRefused):
        await store.apply("journal", "epoch", entries([begun("s1"), bad]))

    assert await store.session("s1") is None
    await store.apply("journal", "epoch", entries([begun("s1")]))
    assert await store.session("s1") is not None


async def test_a_time_without_a_zone_is_refused(store: SqlRecords) -> None:
    with pytest.raises(RecordRefused):
        await store.apply("journal", "epoch", entries([begun("s1", start=NOON.replace(tzinfo=None))]))


async def test_sessions_that_a_killed_server_left_are_ended_at_their_last_word(store: SqlRecords) -> None:
    await store.apply("mine", "epoch", entries([*conversation("s1", turns=3)[:-1], begun("alive")]))
    await store.apply("another's", "epoch 2", entries([begun("theirs")]))

    assert await store.finish_lost("mine", living=frozenset({"alive"})) == 1

    found = await store.session("s1")
    assert found is not None
    assert (found.session.end_reason, found.session.ended_at) == (UNFINISHED, after(3.5))
    assert [s.session_id for s in (await store.sessions(SessionFilter(is_live=True), limit=9)).sessions] == [
        "theirs",
        "alive",
    ]


async def test_sessions_of_servers_that_never_came_back_are_ended(store: SqlRecords) -> None:
    await store.apply("gone for ever", "epoch", entries([begun("s1"), begun("s2", start=after(3600))]))

    assert await store.finish_stale(after(1)) == 1

    assert (await store.sessions(SessionFilter(end_reason=UNFINISHED), limit=9)).sessions[0].session_id == "s1"


# Erasing


async def test_an_erased_session_is_gone_and_stays_gone_but_its_cost_remains(store: SqlRecords) -> None:
    recording = AudioRecording(session_id="s1", id="client", at=NOON, file="s1.wav", duration_ms=1, size_bytes=2)
    await store.apply("journal", "epoch", entries([*conversation("s1"), recording, *conversation("s2")]))

    erasure = await store.erase_sessions(["s1", "nobody"])
    await store.apply("journal", "epoch", entries([*conversation("s1")[1:3], usage("s1", 77)], 100))

    assert (erasure.sessions, erasure.recordings) == (1, ("s1.wav",))
    assert await store.session("s1") is None
    assert await store.session("s2") is not None
    assert len((await store.usage(ALL, limit=9)).lines) == 1
    (line,) = await store.costs(["principal_id"])
    assert (line.principal_id, line.lines, line.cost_usd) == ("key:1", 3, 3 * Decimal("0.066316"))


async def test_an_erased_person_is_gone_from_sessions_and_sums(store: SqlRecords) -> None:
    theirs: list[Record] = [begun("s1", person="key:1"), usage("s1", 1)]
    others: list[Record] = [begun("s2", person="bob", principal_id="key:2"), usage("s2", 1, principal_id="key:2")]
    await store.apply("journal", "epoch", entries([*theirs, *others]))

    erasure = await store.erase_person("key:1", ["still in the journal"])
    await store.apply("journal", "epoch", entries([usage("s1", 2), usage("still in the journal", 1)], 100))

    assert erasure.sessions == 1
    assert (await store.sessions(SessionFilter(person="key:1"), limit=9)).sessions == []
    sums = {line.principal_id: line.lines for line in await store.costs(["principal_id"])}
    assert sums == {ERASED: 3, "key:2": 1}


async def test_an_erased_client_of_a_key_does_not_take_the_keys_costs_along(store: SqlRecords) -> None:
    await store.apply("journal", "epoch", entries(conversation("s1", person="ann")))

    await store.erase_person("ann", [])

    assert await store.session("s1") is None
    assert [line.principal_id for line in await store.costs(["principal_id"])] == ["key:1"]


async def test_old_sessions_go_in_batches_and_living_ones_stay(store: SqlRecords) -> None:
    records = [record for number in range(5) for record in conversation(f"s{number}", start=after(number * 3600))]
    await store.apply("journal", "epoch", entries([*records, begun("alive", start=after(-99))]))

    gone = [(await store.erase_before(after(3 * 3600), limit=2)).sessions for _ in range(3)]

    assert gone == [2, 1, 0]
    left = [session.session_id for session in (await store.sessions(ALL, limit=9)).sessions]
    assert left == ["s4", "s3", "alive"]
    assert (await store.costs([]))[0].lines == 5


async def test_two_stores_write_to_one_database(open_store: Open) -> None:
    one, other = open_store(), open_store()
    await one.prepare()
    await other.prepare()

    await one.apply("one", "epoch 1", entries(conversation("s1")))
    await other.apply("other", "epoch 2", entries(conversation("s2")))

    assert len((await one.sessions(ALL, limit=9)).sessions) == 2
    assert (await other.costs([]))[0].lines == 2


async def test_a_session_that_ended_before_it_was_seen_to_begin(store: SqlRecords) -> None:
    await store.apply("journal", "epoch", entries([ended("s1")]))
    await store.apply("journal", "epoch", entries([begun("s1")], 2))

    found = await store.session("s1")
    assert found is not None
    assert (found.session.began_at, found.session.end_reason) == (NOON, "completed")
    assert isinstance(ended("s1"), SessionEnded)
