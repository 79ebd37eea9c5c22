"""Export: what other programs read is what is kept, and no spreadsheet runs it."""

import csv
import io
import json
from pathlib import Path

import pytest

from server.secret import Secret
from server.store.export import CSV_COLUMNS, csv_cell, session_json, usage_csv
from server.store.sql import SqlRecords
from server.store.sql_address import address_of
from server.store.views import SessionFilter
from tests.store.samples import begun, conversation, entries, usage


@pytest.fixture
async def store(tmp_path: Path) -> SqlRecords:
    store = SqlRecords(address_of(Secret(f"sqlite:///{tmp_path / 'records.sqlite3'}")))
    await store.prepare()
    return store


async def test_a_session_is_exported_whole(store: SqlRecords) -> None:
    await store.apply("journal", "epoch", entries(conversation("s1")))
    session = await store.session("s1")
    await store.aclose()
    assert session is not None

    data = json.loads(session_json(session))

    assert data["session"]["cost_usd"] == "0.066316"
    assert data["session"]["began_at"] == "2026-07-01T12:00:00.123456Z"
    assert data["turns"][1]["heard_text"] == "At ten"
    assert data["tool_calls"][0]["sources"][0]["title"] == "Hours"


async def test_usage_is_exported_without_formulas(store: SqlRecords) -> None:
    lines = [usage("s1", 1, cost="0.000000000001"), usage("s1", 2, principal_id='=HYPERLINK("http://evil")')]
    await store.apply("journal", "epoch", entries([begun("s1"), *lines]))
    first = await store.usage(SessionFilter(), limit=1)
    second = await store.usage(SessionFilter(), limit=1, key=first.next_key)
    await store.aclose()

    text = usage_csv(first.lines, header=True) + usage_csv(second.lines, header=False)

    rows = list(csv.DictReader(io.StringIO(text)))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert rows[0]["cost_usd"] == "0.000000000001"
    assert rows[0]["input_text_tokens"] == "15703"
    assert rows[0]["at"] == "2026-07-01T12:00:01.123456+00:00"
    assert rows[1]["principal_id"] == '\'=HYPERLINK("http://evil")'


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\uff1d1"])
def test_what_a_spreadsheet_takes_for_a_formula_gets_a_quote(text: str) -> None:
    assert csv_cell(text) == "'" + text


def test_other_cells_stay_as_they_are() -> None:
    assert csv_cell("museum=1") == "museum=1"
