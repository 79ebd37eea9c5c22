"""Where a broken text goes on: nothing is said twice, and nothing is left out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.cli.seam import Seam

WORDS = st.lists(st.sampled_from(["it", "opens", "at", "ten.", "and", "Closes"]), min_size=1, max_size=12)


def joined(before: str, *pieces: str) -> str:
    seam = Seam(before)
    return before + "".join(seam.add(piece) for piece in pieces) + seam.end()


@pytest.mark.parametrize(
    ("before", "pieces", "whole"),
    [
        ("We open at ten and", ["close at", " six."], "We open at ten and close at six."),
        ("We open at ten and ", [" close", " at six."], "We open at ten and close at six."),
        ("We open at ten in the", ["at ten ", "in the morning."], "We open at ten in the morning."),
        ("We open at ten.", ["We", " open late."], "We open at ten. We open late."),
        ("", ["We open."], "We open."),
        ("We open at ten.", [], "We open at ten."),
        ("We open at ten.", ["We open at ten."], "We open at ten."),
        ("a b a b", ["a b", " c"], "a b a b c"),
        ("It opens at ten.", ["It"], "It opens at ten. It"),
        ("It opens ", ["It opens at ten."], "It opens at ten."),
        ("It opens ", ["It opens", " at ten."], "It opens at ten."),
    ],
)
def test_a_text_goes_on_where_it_broke_off(before: str, pieces: list[str], whole: str) -> None:
    assert joined(before, *pieces) == whole


@given(WORDS, WORDS, st.integers(0, 12), st.data())
def test_what_is_repeated_is_left_out_however_it_is_cut(
    before: list[str], after: list[str], repeated: int, data: st.DataObject
) -> None:
    # A word that is nowhere else marks where the rest begins.
    said, rest = " ".join([*before, "MARK"]), " ".join(after)
    told = " ".join([*before[max(0, len(before) - repeated) :], "MARK", rest]) if repeated else rest
    cuts = sorted(data.draw(st.sets(st.integers(1, len(told)), max_size=4)))
    pieces = [told[start:end] for start, end in zip([0, *cuts], [*cuts, len(told)], strict=True)]
    assert joined(said, *pieces) == f"{said} {rest}"
