"""What the settings ask of the records is what they do."""

import datetime as dt
from pathlib import Path

import pytest

from protocol.errors import OperatorFault
from server.app.records import open_records
from server.settings import Settings
from server.store.records import SaidText, SessionBegun

AT = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
NO_HOOK = "not a function"


def without_names(text: str) -> str:
    return text.replace("Ann", "[name]")


async def test_a_function_of_the_operators_says_what_is_kept_of_a_text(tmp_path: Path) -> None:
    async with open_records(Settings(data_dir=tmp_path, redact_hook=f"{__name__}:without_names")) as archive:
        journal = archive.session("s")
        journal.record(
            SessionBegun(
                session_id="s",
                id="s",
                at=AT,
                kb_id="museum",
                principal_id="p",
                principal_name="p",
                person="p",
                endpoint="/ws",
                model="",
            )
        )
        journal.record(SaidText(session_id="s", id="a", at=AT, role="user", text="I am Ann, ann@example.com."))
        await archive.drain()
        kept = await archive.reader.session("s")
    assert kept is not None
    assert [turn.text for turn in kept.turns] == ["I am [name], [e-mail]."]


@pytest.mark.parametrize("hook", ["no.such:hook", f"{__name__}:NO_HOOK", "nonsense"])
async def test_a_function_that_is_not_there_is_no_server(tmp_path: Path, hook: str) -> None:
    with pytest.raises(OperatorFault, match="LIVEAVATAR_REDACT_HOOK: "):
        async with open_records(Settings(data_dir=tmp_path, redact_hook=hook)):
            pass
