"""The dashboard's words for how sessions end: one for each end that there is, as the records have it."""

import re
from pathlib import Path

from protocol.endings import EndReason
from server.store.base import UNFINISHED

SOURCE = Path(__file__).parents[2].joinpath("server/web/static/dashboard-ends.js").read_text(encoding="utf-8")
LABELS = {reason.label for reason in EndReason} | {UNFINISHED}


def test_every_end_has_words_of_its_own() -> None:
    table = SOURCE.partition("const WORDS = {")[2].partition("}")[0]
    words = dict(re.findall(r'^  (\w+): "(.+)",$', table, re.MULTILINE))
    assert words.keys() == LABELS
    assert len(set(words.values())) == len(words)
    assert not [text for text in words.values() if "_" in text]


def test_ends_that_need_somebodys_eye_are_ends() -> None:
    bad = set(re.findall(r'"(\w+)"', SOURCE.partition("const BAD = new Set([")[2].partition("]")[0]))
    assert bad < LABELS
    assert {"internal", UNFINISHED, "upstream_unavailable"} <= bad
