"""docs/client-wire.md says what the code does."""

from pathlib import Path

import msgspec

from protocol.avatar import events
from protocol.endings import EndReason
from server.edge.admission import AVATAR_PATH, REALTIME_PATHS

PAGE = Path(__file__).parents[2].joinpath("docs/client-wire.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]


def test_every_end_reason_has_its_row_with_code_advice_and_meaning() -> None:
    documented = {row[1]: row for row in ROWS if len(row) == 4 and row[0][:1].isdigit()}
    expected = {}
    for reason in EndReason:
        own, openai = reason.close_code(), reason.close_code(openai=True)
        code = str(own) if own == openai else f"{own} ({openai} on the Realtime paths)"
        expected[f"`{reason.label}`"] = [code, f"`{reason.label}`", reason.reconnect.value, reason.text]

    assert expected == documented


def test_every_extension_event_is_listed_with_all_its_fields() -> None:
    documented = {row[0]: row[1] for row in ROWS if len(row) == 2}
    for event in (
        events.AvatarSession,
        events.AvatarState,
        events.AvatarCitations,
        events.AvatarUsage,
        events.AvatarVisemes,
    ):
        fields = {field.encode_name for field in msgspec.structs.fields(event)} - {"event_id"}
        cell = documented[f"`{event.__struct_config__.tag}`"]
        missing = [field for field in fields if f"`{field}`" not in cell]

        assert missing == [], event


def test_every_path_is_listed() -> None:
    for path in (AVATAR_PATH, *REALTIME_PATHS):
        assert any(row[0] == f"`{path}`" for row in ROWS), path
