import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.simulator.voice.speech import Phone
from server.simulator.voice.visemes import SILENCE, viseme_ids, visemes


@pytest.mark.parametrize(
    ("symbol", "ids"),
    [
        ("ɑː", (2,)),
        ("aʊ", (9,)),
        ("tʃ", (16,)),
        ("ð", (17,)),
        ("ɔːɹ", (3, 13)),
        ("m", (21,)),
        ("", (0,)),
        ("ˈoʊ", (8,)),
        ("§", (1,)),
    ],
)
def test_a_phone_has_the_mouth_of_the_table(symbol: str, ids: tuple[int, ...]) -> None:
    assert viseme_ids(symbol) == ids


def test_a_path_starts_with_its_phones_and_ends_closed() -> None:
    path = visemes([Phone(0.0, "m"), Phone(50.0, "p"), Phone(90.0, "ɔːɹ")], end_ms=190.0)
    assert [(entry.offset_ms, entry.viseme_id) for entry in path] == [(0.0, 21), (90.0, 3), (140.0, 13), (190.0, 0)]
    assert visemes([], end_ms=10.0) == ()


@given(st.lists(st.tuples(st.floats(0, 1e4), st.text(max_size=4)), max_size=12))
def test_a_path_never_repeats_a_position_nor_leaves_the_table(phones: list[tuple[float, str]]) -> None:
    path = visemes([Phone(at, symbol) for at, symbol in sorted(phones)], end_ms=1e4)
    assert all(0 <= entry.viseme_id <= 21 for entry in path)
    assert all(one.viseme_id != other.viseme_id for one, other in itertools.pairwise(path))
    assert not path or path[-1].viseme_id == SILENCE
